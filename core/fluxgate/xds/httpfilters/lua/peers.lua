-- Who is calling, by what Envoy itself has verified: the certificate of the connection, or a name and
-- password. Each returns a name, or nil.

-- A certificate that is no use here was refused before (httpfilters/connection_rules.py). What it
-- names first: a URI such as a SPIFFE ID, a DNS name, its subject.
local function certificate_name(handle)
  local connection = handle:streamInfo():downstreamSslConnection()
  if not connection or not connection:peerCertificatePresented()
    or not connection:peerCertificateValidated() then
    return nil
  end
  return connection:uriSanPeerCertificate()[1] or connection:dnsSansPeerCertificate()[1]
    or connection:subjectPeerCertificate()
end

-- The password goes no further unless the route says so.
local function user_name(handle, headers, policy)
  local verified = handle:streamInfo():dynamicMetadata():get(BASIC_AUTH_FILTER)
  if not verified then
    return nil
  end
  if not policy.keepbasic then
    headers:remove("authorization")
  end
  return verified.username
end
