-- Callers, and who a token says that the caller is. PROVIDERS and PLANS are defined in front of this
-- file, and so is identity.lua.

local JWT_METADATA = "envoy.filters.http.jwt_authn"
local LONGEST, LONGEST_SCOPES = 256, 8192
local NOUNS = { jwt = "The token", api_key = "The API key", basic = "The user",
  mtls = "The client certificate", oidc = "The session" }
local SEVERAL = "The request carries more than one token. Send exactly one."
local ALGORITHM = "The token is signed with an algorithm that is not accepted."
local CRITICAL = "The token has critical header parameters that are not understood."
local UNVERIFIED = "The token could not be verified."

-- Identity becomes part of headers, metadata and policies: any byte outside the alphabet of API
-- keys' attributes is percent-encoded, as httpfilters/key_table.py does it.
local function encode(text)
  return (gsub(text, "[^%w_.:@/+=~*-]", function(byte)
    return string.format("%%%02X", string.byte(byte))
  end))
end

local function text_of(value)
  if type(value) == "string" then
    return value
  elseif type(value) == "number" then
    return string.format(value == math.floor(value) and "%.0f" or "%.14g", value)
  elseif type(value) == "boolean" then
    return tostring(value)
  end
  return nil
end

-- A claim by its whole name, or else by a path of names with dots between them.
local function claim(payload, name)
  local value = payload[name]
  if value ~= nil or not find(name, ".", 1, true) then
    return value
  end
  value = payload
  for part in string.gmatch(name, "[^.]+") do
    if type(value) ~= "table" then
      return nil
    end
    value = value[part]
  end
  return value
end

-- The value of a claim as it goes into a header; too long a one refuses the token.
local function single(payload, name)
  local text = name and text_of(claim(payload, name))
  text = text and encode(text) or ""
  if #text > LONGEST then
    error({ sentence = "The token's claim " .. name .. " is too long." })
  end
  return text
end

-- The words of claims that are lists, or texts with spaces between the words.
local function add_words(words, payload, names, prefix)
  for _, name in ipairs(names) do
    local value = claim(payload, name)
    if type(value) == "table" then
      for _, each in ipairs(value) do
        local text = text_of(each)
        words[#words + 1] = text and prefix .. encode(text)
      end
    elseif value ~= nil then
      for word in string.gmatch(text_of(value), "%S+") do
        words[#words + 1] = prefix .. encode(word)
      end
    end
  end
  return words
end

-- The caller that an object of credential metadata, or a token's payload, stands for.
local function caller(class, stands_for)
  local scopes = stands_for.scopes or ""
  local record = { class = class, kind = NOUNS[class], plan = stands_for.plan or "" }
  record.id = stands_for.id or stands_for.subject
  record.tenant, record.role = stands_for.tenant or "", stands_for.role or ""
  record.subject = stands_for.subject or record.id
  record.named = record.subject ~= stands_for.id and record.subject or nil
  record.audience = stands_for.audience or ""
  record.audiences = stands_for.audiences or { [record.audience] = true }
  record.scopes, record.roles = select(2, words_of(scopes)), stands_for.roles
  local key_id = class == "api_key" and record.id or ""
  record.names, record.values = stated({ record.tenant, stands_for.workspace or "", record.subject,
    record.role, key_id, scopes })
  return record
end

local function set_of(words)
  local set = {}
  for _, word in ipairs(words) do
    set[word] = true
  end
  return set
end

-- The headers that a provider makes of claims: any visible text but the percent sign as it is.
local function add_claim_headers(record, provider, payload)
  for _, header in ipairs(provider.headers) do
    local text = text_of(claim(payload, header.claim))
    if text and text ~= "" and #text <= LONGEST_SCOPES then
      record.names[#record.names + 1] = header.name
      record.values[#record.values + 1] = gsub(text, "[^ -$&-~]", function(byte)
        return string.format("%%%02X", string.byte(byte))
      end)
    end
  end
end

local function caller_of_token(provider, payload, policy)
  local subject = single(payload, provider.subject)
  if subject == "" then
    error({ sentence = "The token has no claim " .. provider.subject .. "." })
  end
  local tenant = single(payload, provider.tenant_claim)
  if provider.tenant ~= "" and tenant ~= "" and tenant ~= provider.tenant then
    error({ sentence = "The token names a tenant that its issuer may not speak for." })
  end
  local plan = single(payload, provider.plan_claim)
  if not PLANS[plan] then
    plan = provider.plan ~= "" and provider.plan or policy.fallback or ""
  end
  local scopes = add_words({}, payload, provider.scopes, "")
  add_words(scopes, payload, provider.privilege_domains, "privilege_domain:")
  add_words(scopes, payload, provider.sub_domains, "sub_domain:")
  scopes = table.concat(scopes, " ")
  if #scopes > LONGEST_SCOPES then
    error({ sentence = "The token has too many scopes." })
  end
  local audiences = add_words({}, payload, { "aud" }, "")
  local record = caller("jwt", {
    id = provider.id_prefix .. subject, subject = subject,
    tenant = tenant ~= "" and tenant or provider.tenant,
    workspace = single(payload, provider.workspace), role = single(payload, provider.role),
    roles = set_of(add_words({}, payload, provider.roles, "")), plan = plan, scopes = scopes,
    audience = table.concat(audiences, ", "), audiences = set_of(audiences),
  })
  add_claim_headers(record, provider, payload)
  return record
end

local function decoded(text)
  return (gsub(gsub(text, "%+", " "), "%%(%x%x)", function(digits)
    return string.char(tonumber(digits, 16))
  end))
end

local function starts_with(text, prefix)
  return lower(sub(text, 1, #prefix)) == lower(prefix)
end

-- How many tokens a header holds. Envoy joins repeated headers by commas, which no token contains.
local function in_header(headers, source)
  local value = headers:get(source.name)
  if not value or value == "" then
    return 0
  elseif find(value, ",", 1, true) then
    return find(lower(value), lower(source.prefix), 1, true) and 2 or 0
  end
  return starts_with(value, source.prefix) and 1 or 0
end

local function in_query(headers, source)
  local count = 0
  local query = match(headers:get(":path") or "", "%?(.*)$") or ""
  for parameter in string.gmatch(query, "[^&]+") do
    count = count + (decoded(match(parameter, "^[^=]*")) == source.name and 1 or 0)
  end
  return count
end

-- Every cookie of the request, also where several headers hold them.
local function cookies_of(headers)
  local cookies = {}
  for index = 0, headers:getNumValues("cookie") - 1 do
    for cookie in string.gmatch(headers:getAtIndex("cookie", index), "[^;]+") do
      cookies[#cookies + 1] = match(cookie, "^%s*(.-)%s*$")
    end
  end
  return cookies
end

local function is_cookie(cookie, name)
  return match(cookie, "^([^=]*)") == name
end

local function in_cookie(headers, source)
  local count = 0
  for _, cookie in ipairs(cookies_of(headers)) do
    count = count + (is_cookie(cookie, source.name) and 1 or 0)
  end
  return count
end

local COUNT_IN = { header = in_header, query = in_query, cookie = in_cookie }

local function remove_from_query(headers, source)
  local path, kept = headers:get(":path"), {}
  local before, query = match(path, "^([^?]*)%?(.*)$")
  for parameter in string.gmatch(query, "[^&]+") do
    if decoded(match(parameter, "^[^=]*")) ~= source.name then
      kept[#kept + 1] = parameter
    end
  end
  headers:replace(":path", #kept > 0 and before .. "?" .. table.concat(kept, "&") or before)
end

local function remove_cookie(headers, source)
  local kept = {}
  for _, cookie in ipairs(cookies_of(headers)) do
    if not is_cookie(cookie, source.name) then
      kept[#kept + 1] = cookie
    end
  end
  headers:remove("cookie")
  if #kept > 0 then
    headers:add("cookie", table.concat(kept, "; "))
  end
end

local function remove_token(headers, source)
  if source.kind == "header" then
    headers:remove(source.name)
  elseif source.kind == "query" then
    remove_from_query(headers, source)
  else
    remove_cookie(headers, source)
  end
end

-- The providers a policy trusts, and the places they read tokens from, each once.
local function providers_of(policy)
  if policy.trusted then
    return policy.trusted, policy.sources
  end
  local trusted, sources, seen = {}, {}, {}
  for _, name in ipairs(words_of(policy.providers or "")) do
    local provider = PROVIDERS[name] or error("there is no provider " .. name)
    local place = provider.source.kind .. " " .. provider.source.name
    trusted[#trusted + 1] = provider
    if not seen[place] then
      sources[#sources + 1] = provider.source
    end
    seen[place] = true
  end
  policy.trusted, policy.sources = trusted, sources
  return trusted, sources
end

-- The caller of the request's one token, or nil without a token. What jwt_authn verified is
-- checked for what it does not look at: the algorithm when a key does not say its own, critical
-- header parameters (RFC 7515 4.1.11), and that there is no second token.
local function token_caller(handle, headers, policy)
  local trusted, sources = providers_of(policy)
  local found = 0
  for _, source in ipairs(sources) do
    found = found + COUNT_IN[source.kind](headers, source)
  end
  if found == 0 then
    return nil
  elseif found > 1 then
    error({ sentence = SEVERAL })
  end
  local verified = handle:streamInfo():dynamicMetadata():get(JWT_METADATA) or {}
  for _, provider in ipairs(trusted) do
    local payload, header = verified[provider.name], verified[provider.name .. "#header"]
    if payload then
      if not provider.algorithms[header.alg] then
        error({ sentence = ALGORITHM })
      elseif header.crit ~= nil then
        error({ sentence = CRITICAL })
      end
      local record = caller_of_token(provider, payload, policy)
      if not provider.forward then
        remove_token(headers, provider.source)
      end
      return record
    end
  end
  error({ sentence = UNVERIFIED })
end
