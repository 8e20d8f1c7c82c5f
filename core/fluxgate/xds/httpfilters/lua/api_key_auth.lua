-- Verifies API keys. INDEX, ATTRIBUTES, COUNT, PREFIXES and CREDENTIAL_METADATA are defined in front
-- of this file, and so is identity.lua.
--
-- INDEX holds COUNT records of 72 characters, sorted: the SHA-256 of a key in hexadecimal, and
-- the offset of its line in ATTRIBUTES. Nothing is parsed before a key is presented, so that a
-- new table costs a worker no more than copying a string.

local RECORD, DIGEST = 72, 64
local LONGEST_KEY = 256
local REMEMBERED, REFUSED = 2048, 256

-- The offset of a digest's line, by binary search; nil when no key has this digest.
local function locate(digest)
  local low, high = 0, COUNT - 1
  while low <= high do
    local middle = math.floor((low + high) / 2)
    local start = middle * RECORD
    local found = sub(INDEX, start + 1, start + DIGEST)
    if found == digest then
      return tonumber(sub(INDEX, start + DIGEST + 1, start + RECORD), 16)
    elseif found < digest then
      low = middle + 1
    else
      high = middle - 1
    end
  end
  return nil
end

local function blocks_of(text)
  local blocks = {}
  for part in string.gmatch(text, "%S+") do
    blocks[#blocks + 1] = parse_block(part)
  end
  return blocks
end

-- The record on the line at an offset: whose the key is, and what to check.
local function parse_record(offset)
  local line = sub(ATTRIBUTES, offset + 1, find(ATTRIBUTES, "\n", offset + 1, true) - 1)
  local id, tenant, workspace, subject, role, audience, plan, expires, scopes, cidrs = match(
    line, "^([^|]*)|([^|]*)|([^|]*)|([^|]*)|([^|]*)|([^|]*)|([^|]*)|(%d+)|([^|]*)|([^|]*)$"
  )
  local record = {
    kind = "The API key", id = id, tenant = tenant, workspace = workspace, subject = subject,
    role = role, audience = audience, audiences = { [audience] = true }, plan = plan,
    verdicts = setmetatable({}, { __mode = "k" }),
  }
  record.expires = expires ~= "0" and tonumber(expires) or nil
  record.blocks = cidrs ~= "" and blocks_of(cidrs) or nil
  record.scopes = select(2, words_of(scopes))
  record.names, record.values = stated({ tenant, workspace, subject, role, id, scopes })
  return record
end

-- What recent keys stand for, in two generations: a full one becomes the old one, and what is
-- used again moves to the young one. Refused keys have a small table of their own, so that
-- guessing cannot push good keys out. Expiry is checked on every request, never remembered.
local young, old, count = {}, {}, 0
local refused, refusals = {}, 0

local function remember(key, record)
  if count >= REMEMBERED then
    old, young, count = young, {}, 0
  end
  young[key] = record
  count = count + 1
end

local function lookup(key)
  local record = old[key]
  if record then
    remember(key, record)
    return record
  end
  if refused[key] or #key > LONGEST_KEY or not find(key, "^[%w_%-%.]+$") then
    return nil
  end
  local offset = locate(sha256(key))
  if offset then
    record = parse_record(offset)
    remember(key, record)
    return record
  end
  if refusals >= REFUSED then
    refused, refusals = {}, 0
  end
  refused[key] = true
  refusals = refusals + 1
  return nil
end

local function has_known_prefix(key)
  for i = 1, #PREFIXES do
    if sub(key, 1, #PREFIXES[i]) == PREFIXES[i] then
      return true
    end
  end
  return false
end

-- The key in one Authorization value: "ApiKey <key>", or "Bearer <key>" when a known prefix
-- marks it as one. Other Bearers, and other schemes, are not ours.
local function key_of(value)
  local scheme, key = match(value, "^%s*([%a%-]+)%s+(.-)%s*$")
  if not scheme then
    return nil
  end
  scheme = lower(scheme)
  if scheme == "apikey" or (scheme == "bearer" and has_known_prefix(key)) then
    return key
  end
  return nil
end

-- As key_of, for the whole header. Envoy joins repeated headers by commas: a key among other
-- values is returned with its comma, which no key contains, and so is refused.
local function key_in_authorization(value)
  local key = key_of(value)
  if not key and find(value, ",", 1, true) then
    for part in string.gmatch(value, "[^,]+") do
      if key_of(part) then
        return value
      end
    end
  end
  return key
end

local function percent_decoded(text)
  return (gsub(text, "%%(%x%x)", function(digits)
    return string.char(tonumber(digits, 16))
  end))
end

-- The path without its apikey parameters, every other byte as it was; and their value, joined
-- by commas when there are several. Nil when there is none.
local function split_path(path)
  local start = find(path, "?", 1, true)
  if not start then
    return nil
  end
  local kept, key = {}, nil
  for parameter in string.gmatch(sub(path, start + 1) .. "&", "([^&]*)&") do
    local value = match(parameter, "^apikey=(.*)$") or (parameter == "apikey" and "")
    if value then
      key = key and key .. "," .. value or percent_decoded(value)
    else
      kept[#kept + 1] = parameter
    end
  end
  if not key then
    return nil
  end
  local query = table.concat(kept, "&")
  return query == "" and sub(path, 1, start - 1) or sub(path, 1, start) .. query, key
end

local KEY_HEADERS = "Send the key as 'apikey', 'x-api-key' or 'Authorization: ApiKey <key>'."
local MISSING = "An API key is required. " .. KEY_HEADERS
local NOT_IN_QUERY = "This route takes no API key in the query string. " .. KEY_HEADERS
local AMBIGUOUS = "The request carries more than one API key. Send exactly one."
local INVALID = "The API key is not valid."
local EXPIRED = "The API key has expired."
local ADDRESS = "The API key may not be used from this address."

local function from_allowed_address(handle, blocks)
  local words = address_words(handle:streamInfo():downstreamRemoteAddress())
  for i = 1, words and #blocks or 0 do
    if in_block(words, blocks[i]) then
      return true
    end
  end
  return false
end

-- Remembered per policy.
local function check_grants(record, policy)
  local verdict = record.verdicts[policy]
  if verdict == nil then
    verdict = missing_grant(record, policy)
    record.verdicts[policy] = verdict
  end
  return verdict
end

-- For a filter behind this one, which decides between all credentials of the request.
local function hand_over(handle, record)
  local scopes = {}
  for scope in pairs(record.scopes) do
    scopes[#scopes + 1] = scope
  end
  handle:streamInfo():dynamicMetadata():set(CREDENTIAL_METADATA, "api_key", {
    id = record.id, tenant = record.tenant, workspace = record.workspace,
    subject = record.subject, role = record.role, audience = record.audience, plan = record.plan,
    scopes = table.concat(scopes, " "),
  })
end

local function check(handle, record, policy)
  if record.expires and record.expires <= os.time() then
    return "401", EXPIRED
  end
  if record.blocks and not from_allowed_address(handle, record.blocks) then
    return "403", ADDRESS
  end
  if policy.grants and not policy.deferred then
    local refusal = check_grants(record, policy)
    if refusal then
      return "403", refusal
    end
  end
  return nil
end

-- Removes every credential from the request and returns the one key it carries; or nil and
-- the sentence that refuses it.
local function take_key(headers, policy)
  local key, refusal
  local first = headers:get("apikey")
  if first then
    headers:remove("apikey")
    key = first
  end
  local second = headers:get("x-api-key")
  if second then
    headers:remove("x-api-key")
    refusal = key and key ~= second and AMBIGUOUS
    key = key or second
  end
  local authorization = headers:get("authorization")
  local third = authorization and key_in_authorization(authorization)
  if third then
    headers:remove("authorization")
    refusal = refusal or key and key ~= third and AMBIGUOUS
    key = key or third
  end
  local path = headers:get(":path")
  if path and find(path, "apikey", 1, true) then
    local rest, fourth = split_path(path)
    if rest then
      headers:replace(":path", rest)
      if policy.query then
        refusal = refusal or key and key ~= fourth and AMBIGUOUS
        key = key or fourth
      elseif not key and not policy.optional then
        refusal = NOT_IN_QUERY
      end
    end
  end
  if refusal then
    return nil, refusal
  end
  return key
end

-- Nothing when the request may pass; else the status and the sentence that refuse it.
local function authenticate(handle)
  local headers = handle:headers()
  local asked = handle:filterContext():get("policy") or ""
  local policy = policies[asked] or parse_policy(asked)
  local key, refusal = take_key(headers, policy)
  if refusal then
    return "401", refusal
  end
  if not key then
    if not policy.optional or policy.allow and not policy.deferred then
      return "401", MISSING
    end
    if policy.plan and not policy.deferred then
      handle:streamInfo():dynamicMetadata():set(AUTH_METADATA, "anonymous_plan", policy.plan)
    end
    return nil
  end
  local record = young[key] or lookup(key)
  if not record then
    return "401", find(key, ",", 1, true) and AMBIGUOUS or INVALID
  end
  if not policy.deferred then
    set_metadata(handle, record, policy, policy.plan or record.plan)
  end
  local status, sentence = check(handle, record, policy)
  if status then
    return status, sentence
  elseif policy.deferred then
    hand_over(handle, record)
  else
    set_identity(headers, record)
  end
  return nil
end

-- Envoy lets a request pass when a script fails, so nothing may fail outside the pcall.
function envoy_on_request(handle)
  local ok, status, sentence = pcall(authenticate, handle)
  if ok and not status then
    return
  end
  if not ok then
    handle:logErr("API key check failed: " .. tostring(status))
    handle:respond({ [":status"] = "503" }, "The API key could not be checked.")
  elseif status == "401" then
    handle:respond({ [":status"] = "401", ["www-authenticate"] = 'ApiKey realm="fluxgate"' }, sentence)
  else
    handle:respond({ [":status"] = status }, sentence)
  end
end
