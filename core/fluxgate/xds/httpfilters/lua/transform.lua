-- Changes queries and JSON bodies, and refuses answers that are too large; comes after json_changes.lua
-- and response_limit.lua. ANSWERED_HEADER and FILTER_NAME are defined in front.
--
-- Filter context: "rules", a Lua table as a literal that the control plane wrote, and "key", its
-- digest, by which it is remembered. Headers change in Envoy's own filter, unless their value
-- comes from the query.

local REMEMBERED = 4096
local known, count = {}, 0

local function rules_of(handle)
  local context = handle:filterContext()
  local key = context:get("key")
  local rules = known[key]
  if not rules then
    rules = assert(loadstring("return " .. context:get("rules")))()
    if count >= REMEMBERED then
      known, count = {}, 0
    end
    known[key] = rules
    count = count + 1
  end
  return rules
end

local function percent_decoded(text)
  local plain = gsub(gsub(text, "%+", " "), "%%(%x%x)", function(digits)
    return char(tonumber(digits, 16))
  end)
  return plain
end

local function percent_encoded(text)
  local encoded = gsub(text, "[^%w%-%._~]", function(found)
    return format("%%%02X", byte(found))
  end)
  return encoded
end

-- The path, and the parameters of its query as they are spelt.
local function split(path)
  local mark = find(path, "?", 1, true)
  local parameters = {}
  if mark and mark < #path then
    for parameter in string.gmatch(sub(path, mark + 1) .. "&", "([^&]*)&") do
      parameters[#parameters + 1] = parameter
    end
  end
  return mark and sub(path, 1, mark - 1) or path, parameters
end

local function name_of(parameter)
  return percent_decoded(match(parameter, "^[^=]*"))
end

local function without_port(address)
  return match(address, "^%[(.*)%]:%d+$") or match(address, "^(.*):%d+$") or address
end

-- The values that templates name, of one request or answer.
local SOURCES = {
  ["text"] = function(_, name)
    return name
  end,
  ["request.headers"] = function(message, name)
    return message.headers:get(name)
  end,
  ["request.query"] = function(message, name)
    local _, parameters = split(message.headers:get(":path") or "")
    for i = 1, #parameters do
      if name_of(parameters[i]) == name then
        return percent_decoded(match(parameters[i], "=(.*)$") or "")
      end
    end
  end,
  ["request.method"] = function(message)
    return message.headers:get(":method")
  end,
  ["request.path"] = function(message)
    return (split(message.headers:get(":path") or ""))
  end,
  ["request.host"] = function(message)
    return message.headers:get(":authority")
  end,
  ["request.scheme"] = function(message)
    return message.headers:get(":scheme")
  end,
  ["request.id"] = function(message)
    return message.headers:get("x-request-id")
  end,
  ["client.ip"] = function(message)
    return without_port(message.handle:streamInfo():downstreamRemoteAddress())
  end,
  ["response.headers"] = function(message, name)
    return message.headers:get(name)
  end,
  ["response.status"] = function(message)
    return message.headers:get(":status")
  end,
  -- a value of the request, kept for the answer
  ["kept"] = function(message, name)
    local kept = message.handle:streamInfo():dynamicMetadata():get(FILTER_NAME)
    return kept and kept[name]
  end,
}

local function text_of(message, parts)
  local texts = {}
  for i = 1, #parts do
    texts[i] = SOURCES[parts[i][1]](message, parts[i][2]) or ""
  end
  return concat(texts)
end

-- A value of the query holds any byte; a header holds none that ends its line.
local function change_headers(message, changes)
  for i = 1, #changes do
    local change, name = changes[i][1], changes[i][2]
    local value = gsub(text_of(message, changes[i][3]), "[%z\1-\31\127-\255]", function(found)
      return format("%%%02X", byte(found))
    end)
    if value ~= "" and change == "set" then
      message.headers:replace(name, value)
    elseif value ~= "" then
      message.headers:add(name, value)
    end
  end
end

local function keep_others(parameters, name)
  local kept, place = {}, nil
  for i = 1, #parameters do
    if name_of(parameters[i]) ~= name then
      kept[#kept + 1] = parameters[i]
    else
      place = place or #kept + 1
    end
  end
  return kept, place
end

local function change_query(message, changes)
  local path = message.headers:get(":path")
  if not path then
    return
  end
  -- all values first: they are those of the request as it came
  local texts = {}
  for i = 1, #changes do
    texts[i] = changes[i][3] and text_of(message, changes[i][3])
  end
  local base, parameters = split(path)
  for i = 1, #changes do
    local change, name = changes[i][1], changes[i][2]
    local place
    if change ~= "add" then
      parameters, place = keep_others(parameters, name)
    end
    if change ~= "remove" then
      local made = percent_encoded(name) .. "=" .. percent_encoded(texts[i])
      table.insert(parameters, place or #parameters + 1, made)
    end
  end
  local changed = #parameters > 0 and base .. "?" .. concat(parameters, "&") or base
  if changed ~= path then
    message.headers:replace(":path", changed)
  end
end

local function is_json(headers)
  local kind = headers:get("content-type")
  kind = kind and string.lower(match(kind, "^%s*([^;%s]*)"))
  local json = kind == "application/json" or kind and find(kind, "^application/.*%+json$") ~= nil
  return json and not find(kind, "^application/grpc"), kind
end

local function is_encoded(headers)
  local encoding = headers:get("content-encoding")
  return encoding and string.lower(encoding) ~= "identity"
end

local NOT_JSON, BROKEN, TOO_LARGE, ENCODED = 1, 2, 3, 4

-- Change the body, or say why not. What has no body, and what is no JSON where that is allowed, passes.
local function change_body(message, rules)
  local headers, handle = message.headers, message.handle
  local json, kind = is_json(headers)
  if not json and not rules.refuse then
    return nil
  end
  if kind and not json and find(kind, "^application/grpc") then
    return NOT_JSON
  end
  local told = tonumber(headers:get("content-length") or "")
  if told and told > 0 and not json then
    return NOT_JSON
  elseif told and told > rules.max and message.request then
    return TOO_LARGE
  end
  local body = handle:body()
  -- what was got before the wait for the body is of no use behind it
  headers = handle:headers()
  message.headers = headers
  local size = body and body:length() or 0
  if size == 0 then
    return nil, false, body == nil
  elseif not json then
    return NOT_JSON
  elseif is_encoded(headers) then
    return ENCODED
  elseif size > rules.max then
    return TOO_LARGE
  end
  local before = body:getBytes(0, size)
  local document = parse_json(before)
  if not document then
    return BROKEN
  end
  local changes = rules.changes
  for i = 1, #changes do
    local change, path, value = changes[i][1], changes[i][2], changes[i][3]
    if type(value) == "table" then
      value = quote(text_of(message, value))
    end
    change_json(document, change, path, value)
  end
  local after = json_text(document)
  if after ~= before then
    body:setBytes(after)
    return nil, true
  end
  return nil, false
end

local REQUEST_REFUSALS = {
  [NOT_JSON] = { "415", "This route takes JSON bodies only." },
  [BROKEN] = { "400", "The request body is not valid JSON." },
  [TOO_LARGE] = { "413", "The request body is larger than this route can change." },
  [ENCODED] = { "415", "This route takes no compressed bodies." },
}

local function on_request(handle)
  local rules = rules_of(handle)
  local message = { handle = handle, headers = handle:headers(), request = true }
  if rules.keep then
    local metadata = handle:streamInfo():dynamicMetadata()
    for i = 1, #rules.keep do
      metadata:set(FILTER_NAME, tostring(i), text_of(message, { rules.keep[i] }))
    end
  end
  if rules.headers then
    change_headers(message, rules.headers)
  end
  if rules.response then
    -- a part of an answer, and a compressed one, cannot be changed
    message.headers:remove("range")
    message.headers:replace("accept-encoding", "identity")
  end
  local refusal
  if rules.body and not message.headers:get("upgrade")
    and message.headers:get(":method") ~= "CONNECT" then
    refusal = change_body(message, rules.body)
  end
  if not refusal and rules.query then
    change_query(message, rules.query)
  end
  return refusal and REQUEST_REFUSALS[refusal]
end

-- A request that cannot be changed is not let through as it is.
function envoy_on_request(handle)
  local ok, refusal = pcall(on_request, handle)
  if ok and not refusal then
    return
  end
  if not ok then
    handle:logErr("transform failed: " .. tostring(refusal))
    refusal = { "500", "The request could not be changed for the upstream." }
  end
  handle:respond({ [":status"] = refusal[1] }, refusal[2])
end

local RESPONSE_REFUSALS = {
  [NOT_JSON] = "The upstream's answer is not JSON.",
  [BROKEN] = "The upstream's answer is not valid JSON.",
  [TOO_LARGE] = "The upstream's answer is larger than this route can change.",
  [ENCODED] = "The upstream's answer is compressed, and this route has to change it.",
}
local LARGER_THAN_ALLOWED = "The upstream's answer is larger than this route can hold."
-- what says how the body used to be
local OF_BODY = { "etag", "content-md5", "digest", "content-digest", "repr-digest", "accept-ranges" }

local function forget_body(headers)
  for i = 1, #OF_BODY do
    headers:remove(OF_BODY[i])
  end
end

-- They say something of the body that was refused.
local function forget_trailers(handle)
  local trailers, names = handle:trailers(), {}
  if trailers then
    for name in pairs(trailers) do
      names[#names + 1] = name
    end
    for i = 1, #names do
      trailers:remove(names[i])
    end
  end
end

-- Envoy has no local reply on this way, so the answer is made into one.
local function refuse_answer(handle, request_id, sentence)
  local headers = handle:headers()
  forget_body(headers)
  headers:remove("content-encoding")
  headers:remove("content-length")
  headers:replace(":status", "502")
  headers:replace("content-type", "application/json")
  local text = '{"error":"bad_gateway","message":' .. quote(sentence) .. ',"request_id":'
    .. quote(request_id) .. "}"
  local body = handle:body(true)
  body:setBytes(text)
  forget_trailers(handle)
end

local function on_response(handle, method)
  local message = { handle = handle, headers = handle:headers(), method = method }
  local most = rules_of(handle).most
  if most then
    local large, refused = is_too_large(message, most)
    if large then
      return not refused and LARGER_THAN_ALLOWED or nil
    end
  end
  local rules = rules_of(handle).response
  if not rules or message.headers:get(":status") == "101" then
    return nil
  end
  local refusal, changed, absent = change_body(message, rules)
  local headers = message.headers
  if changed or absent then
    forget_body(headers)
  end
  if absent then
    -- the length of what a HEAD did not ask for
    headers:remove("content-length")
  end
  return refusal and RESPONSE_REFUSALS[refusal]
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local answered = headers:get(ANSWERED_HEADER)
  if not answered then
    return
  end
  headers:remove(ANSWERED_HEADER)
  local how, method, request_id = match(answered, "^(%S*) (%S*) ?(.*)$")
  if how ~= "via_upstream" then
    return
  end
  local ok, refusal = pcall(on_response, handle, method)
  if ok and not refusal then
    return
  end
  if not ok then
    handle:logErr("transform failed: " .. tostring(refusal))
    refusal = "The upstream's answer could not be changed for the client."
  end
  refuse_answer(handle, request_id, refusal)
end
