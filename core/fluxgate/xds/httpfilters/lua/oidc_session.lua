-- Says in CREDENTIAL_METADATA whose session this is, by the ID token that the oauth2 filter before this
-- one took out of the session's cookies. Its signature is not checked: it came from the token endpoint over
-- verified TLS (OpenID Connect Core 1.0, 3.1.3.7, 6), and the cookies are encrypted and signed by the
-- gateway. json_values.lua, CREDENTIAL_METADATA and ID_TOKEN_HEADER are defined in front of this file.

local REMEMBERED = 1024
local LONGEST, LONGEST_LIST = 256, 8192

local FOREIGN_ISSUER = "The session is of another issuer."
local FOREIGN_CLIENT = "The session is for another client."
local NOBODY = "The session does not say whose it is."

-- As in access.lua: identity becomes part of headers and metadata.
local function encode(text)
  return (string.gsub(text, "[^%w_.:@/+=~*-]", function(byte)
    return string.format("%%%02X", string.byte(byte))
  end))
end

local DIGITS = {}
for index = 1, 64 do
  local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
  DIGITS[string.byte(alphabet, index)] = index - 1
end

local function base64url_decode(text)
  local parts, bits, count = {}, 0, 0
  for index = 1, #text do
    local digit = DIGITS[string.byte(text, index)] or error("not base64url", 0)
    bits, count = bits * 64 + digit, count + 6
    if count >= 8 then
      count = count - 8
      local unit = 2 ^ count
      parts[#parts + 1] = string.char(math.floor(bits / unit))
      bits = bits % unit
    end
  end
  return table.concat(parts)
end

-- The claims of recent tokens: a session sends the same one with every request.
local known, count = {}, 0

local function claims_of(token)
  local claims = known[token]
  if not claims then
    local payload = string.match(token, "^[%w_-]+%.([%w_-]+)%.[%w_-]*$") or error("not a token", 0)
    claims = json_decode(base64url_decode(payload))
    if count >= REMEMBERED then
      known, count = {}, 0
    end
    known[token] = claims
    count = count + 1
  end
  return claims
end

-- A claim by its whole name, or else by a path of names with dots between them.
local function claim(claims, name)
  local value = claims[name]
  if value ~= nil or not string.find(name, ".", 1, true) then
    return value
  end
  value = claims
  for part in string.gmatch(name, "[^.]+") do
    if type(value) ~= "table" then
      return nil
    end
    value = value[part]
  end
  return value
end

local function text(claims, name)
  local value = name and name ~= "" and claim(claims, name)
  if type(value) == "number" then
    value = string.format(value == math.floor(value) and "%.0f" or "%.14g", value)
  end
  if type(value) ~= "string" or value == "" or #value > LONGEST then
    return nil
  end
  return encode(value)
end

-- The words of claims that are lists, or texts with spaces between the words.
local function words(claims, names)
  local listed = {}
  for _, name in ipairs(names or {}) do
    local value = claim(claims, name)
    if type(value) == "string" then
      for word in string.gmatch(value, "%S+") do
        listed[#listed + 1] = encode(word)
      end
    elseif type(value) == "table" then
      for _, each in ipairs(value) do
        listed[#listed + 1] = type(each) == "string" and encode(each) or nil
      end
    end
  end
  return listed
end

local function is_for(claims, client)
  local audience = claims.aud
  if type(audience) ~= "table" then
    return audience == client
  end
  for _, each in ipairs(audience) do
    if each == client then
      -- 3.1.3.7, 4 and 5
      return claims.azp == nil or claims.azp == client
    end
  end
  return false
end

local function set_of(listed)
  local set = {}
  for _, word in ipairs(listed) do
    set[word] = true
  end
  return set
end

-- Who the claims say is calling; or nil and the sentence that refuses them.
local function session_of(claims, login)
  if claims.iss ~= login.issuer then
    return nil, FOREIGN_ISSUER
  elseif not is_for(claims, login.client_id) then
    return nil, FOREIGN_CLIENT
  end
  local subject = text(claims, login.subject)
  local scopes = table.concat(words(claims, login.scopes), " ")
  if not subject or #scopes > LONGEST_LIST then
    return nil, NOBODY
  end
  return {
    id = "oidc:" .. encode(login.issuer) .. "#" .. subject, subject = subject, scopes = scopes,
    tenant = text(claims, login.tenant_claim) or login.tenant,
    roles = set_of(words(claims, login.roles)),
  }
end

-- The session's cookies are the gateway's own, whatever else the request carries. Returns whether
-- there were any.
local function remove_cookies(headers, prefix)
  local kept, removed = {}, false
  for index = 0, headers:getNumValues("cookie") - 1 do
    for cookie in string.gmatch(headers:getAtIndex("cookie", index), "[^;]+") do
      cookie = string.match(cookie, "^%s*(.-)%s*$")
      if string.sub(cookie, 1, #prefix) == prefix then
        removed = true
      else
        kept[#kept + 1] = cookie
      end
    end
  end
  if removed then
    headers:remove("cookie")
    if #kept > 0 then
      headers:add("cookie", table.concat(kept, "; "))
    end
  end
  return removed
end

local OTHER_CREDENTIALS = { "authorization", "apikey", "x-api-key" }

local function has_other_credential(headers)
  for _, name in ipairs(OTHER_CREDENTIALS) do
    if headers:get(name) then
      return true
    end
  end
  return false
end

-- A refresh need not bring an ID token (OpenID Connect Core 1.0, 12.2), and Envoy then forgets the old
-- one. Such a session says nobody any more: end it, and let browsers begin a new one.
local function begin_anew(handle, headers, login)
  local cookies = {}
  for _, name in ipairs(login.names) do
    cookies[#cookies + 1] = login.cookies .. name .. "=; Path=/; Max-Age=0; Secure; HttpOnly"
      .. (login.domain ~= "" and "; Domain=" .. login.domain or "")
  end
  local path, mode = headers:get(":path"), headers:get("sec-fetch-mode")
  local page = headers:get(":method") == "GET" and (mode == nil or mode == "navigate")
    and headers:get("x-requested-with") == nil and string.sub(path, 1, 2) ~= "//"
  local answer = { [":status"] = page and "302" or "401", ["set-cookie"] = cookies }
  if page then
    answer["location"] = path
  end
  handle:respond(answer, NOBODY)
end

local function state_session(handle)
  local headers = handle:headers()
  local login = handle:filterContext():get("login")
  local had_session = remove_cookies(headers, login.cookies)
  local token = headers:get(ID_TOKEN_HEADER)
  if not token then
    if had_session and not has_other_credential(headers) then
      begin_anew(handle, headers, login)
    end
    return nil
  end
  headers:remove(ID_TOKEN_HEADER)
  local session, refusal = session_of(claims_of(token), login)
  if refusal then
    return refusal
  end
  if login.forward then
    headers:replace("authorization", "Bearer " .. token)
  end
  handle:streamInfo():dynamicMetadata():set(CREDENTIAL_METADATA, "oidc", session)
  return nil
end

-- Envoy lets a request pass when a script fails, so nothing may fail outside the pcall.
function envoy_on_request(handle)
  local ok, refusal = pcall(state_session, handle)
  if not ok then
    handle:logErr("the session could not be read: " .. tostring(refusal))
    handle:respond({ [":status"] = "503" }, "The session could not be read.")
  elseif refusal then
    handle:respond({ [":status"] = "403" }, refusal)
  end
end
