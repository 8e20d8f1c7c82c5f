-- Decides who is calling, where not only API keys may say so: of the credentials that the filters
-- before this one have verified the strongest counts, and two that disagree are refused.
-- AUTH_METADATA and CREDENTIAL_METADATA are defined in front of this file, and so are identity.lua,
-- peers.lua and tokens.lua.

local MISSING = "A credential is required: "
local FORMS = { jwt = "a token", api_key = "an API key", basic = "a name and password",
  mtls = "a client certificate", oidc = "a login" }
local DISAGREE = "The credentials of the request name different "

local function by_metadata(class)
  return function(handle)
    local verified = handle:streamInfo():dynamicMetadata():get(CREDENTIAL_METADATA)
    local stands_for = verified and verified[class]
    return stands_for and caller(class, stands_for)
  end
end

-- Callers of whom nothing but a name is known; see peers.lua. Whoever says on a tenant's route whose
-- names may call speaks for the tenant.
local function by_name(class, name_of)
  return function(handle, headers, policy)
    local name = name_of(handle, headers, policy)
    if not name or name == "" then
      return nil
    end
    name = encode(name)
    local record = caller(class, { id = class .. ":" .. name, subject = name,
      tenant = policy.tenants, plan = policy.fallback })
    -- a certificate is a machine's: it contradicts no user's token or key
    record.named = class ~= "mtls" and record.named or nil
    return record
  end
end

-- A session says no plan; it gets that of its tenant, as a token does.
local session = by_metadata("oidc")

local function session_caller(handle, headers, policy)
  local record = session(handle, headers, policy)
  if record then
    record.plan = policy.fallback or ""
  end
  return record
end

local CLASSES = { mtls = by_name("mtls", certificate_name), jwt = token_caller,
  oidc = session_caller, api_key = by_metadata("api_key"), basic = by_name("basic", user_name) }

local function require_agreement(one, other)
  if one.tenant ~= "" and other.tenant ~= "" and one.tenant ~= other.tenant then
    error({ sentence = DISAGREE .. "tenants." })
  elseif one.named and other.named and one.named ~= other.named then
    error({ sentence = DISAGREE .. "subjects." })
  end
end

-- The strongest of the verified credentials; policy.credentials begins with it.
local function strongest(handle, headers, policy)
  local found = {}
  policy.classes = policy.classes or words_of(policy.credentials or "")
  for _, class in ipairs(policy.classes) do
    local record = CLASSES[class](handle, headers, policy)
    for _, other in ipairs(found) do
      require_agreement(other, record or other)
    end
    found[#found + 1] = record
  end
  return found[1]
end

-- Headers made of claims are this gateway's to set, whoever is calling.
local function remove_claim_headers(headers, policy)
  for _, provider in ipairs((providers_of(policy))) do
    for _, header in ipairs(provider.headers) do
      headers:remove(header.name)
    end
  end
end

local function forms(policy)
  local listed = {}
  for _, class in ipairs(policy.classes) do
    listed[#listed + 1] = FORMS[class]
  end
  return MISSING .. table.concat(listed, ", or ") .. "."
end

-- Nothing when the request may pass; else status, sentence, and the scopes that are lacking.
local function decide(handle)
  local headers = handle:headers()
  local asked = handle:filterContext():get("policy") or ""
  local policy = policies[asked] or parse_policy(asked)
  remove_claim_headers(headers, policy)
  local record = strongest(handle, headers, policy)
  if not record then
    if not policy.optional or policy.allow then
      return "401", forms(policy)
    end
    if policy.plan then
      handle:streamInfo():dynamicMetadata():set(AUTH_METADATA, "anonymous_plan", policy.plan)
    end
    return nil
  end
  set_metadata(handle, record, policy, policy.plan or record.plan)
  if policy.grants then
    local refusal, lacking = missing_grant(record, policy)
    if refusal then
      return "403", refusal, record.class == "jwt" and lacking
    end
  end
  set_identity(headers, record)
  return nil
end

local CHALLENGES = { jwt = 'Bearer realm="fluxgate"', oidc = 'Bearer realm="fluxgate"',
  api_key = 'ApiKey realm="fluxgate"', basic = 'Basic realm="fluxgate"' }

-- RFC 9110 11.6.1, RFC 6750 3.
local function challenge(handle, failed)
  local asked = handle:filterContext():get("policy") or ""
  local listed, seen = {}, {}
  for class in string.gmatch(match(asked, "credentials=([^;]*)") or "", "%S+") do
    local text = CHALLENGES[class]
    if text and not seen[text] then
      seen[text] = true
      listed[#listed + 1] = text .. (failed and class == "jwt" and ', error="invalid_token"' or "")
    end
  end
  return #listed > 0 and table.concat(listed, ", ") or nil
end

-- Envoy lets a request pass when a script fails, so nothing may fail outside the pcall.
function envoy_on_request(handle)
  local ok, status, sentence, lacking = pcall(decide, handle)
  if ok and not status then
    return
  end
  local failed = not ok and type(status) == "table"
  if failed then
    status, sentence = "401", status.sentence
  elseif not ok then
    handle:logErr("the credentials could not be checked: " .. tostring(status))
    handle:respond({ [":status"] = "503" }, "The credentials could not be checked.")
    return
  end
  local answer = { [":status"] = status }
  if status == "401" then
    answer["www-authenticate"] = challenge(handle, failed)
  elseif lacking then
    answer["www-authenticate"] = 'Bearer realm="fluxgate", error="insufficient_scope", scope="'
      .. lacking .. '"'
  end
  handle:respond(answer, sentence)
end
