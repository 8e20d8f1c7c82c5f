-- Says in refusals where the metadata of the protected resource is (RFC 9728, 5.1).
--
-- Comes after CHALLENGE, the parameters. An answer that says so already is the server's own.

function envoy_on_response(handle)
  local headers = handle:headers()
  local status = headers:get(":status")
  if status ~= "401" and status ~= "403" then
    return
  end
  local said = headers:get("www-authenticate")
  if said and string.find(said, "resource_metadata", 1, true) then
    return
  end
  local before, after
  if said then
    before, after = string.match(said, "^(.-Bearer )(.*)$")
  end
  if before then
    headers:replace("www-authenticate", before .. CHALLENGE .. ", " .. after)
  elseif status == "401" then
    headers:add("www-authenticate", "Bearer " .. CHALLENGE)
  end
end
