-- Judges how large an upstream's answer is; comes after json.lua, FILTER_NAME and
-- TOLD_TOO_LARGE.
--
-- A length that is told is judged at once: Envoy holds upstreams to it. A body of unknown length is
-- held until it is whole, at most as much as the route may buffer; beyond that Envoy refuses it
-- itself. Streams have no end to wait for.

-- What may tell the length of a body that does not come. (With 204 that is not valid HTTP.)
local function has_no_body(headers, method)
  return method == "HEAD" or headers:get(":status") == "304"
end

local function is_stream(headers)
  if headers:get(":status") == "101" then
    return true
  end
  local kind = headers:get("content-type")
  kind = kind and string.lower(match(kind, "^%s*([^;%s]*)"))
  return kind == "text/event-stream" or kind ~= nil and find(kind, "^application/grpc") ~= nil
end

-- Envoy has no local reply for scripts on this way. But it answers 502 by itself, drops the rest and
-- lets go of the upstream, when the filters leave an answer without a status.
local function refuse_at_once(message)
  message.handle:streamInfo():dynamicMetadata():set(FILTER_NAME, TOLD_TOO_LARGE, true)
  message.headers:remove(":status")
end

-- Whether the answer is larger than allowed, and whether it is refused already.
local function is_too_large(message, most)
  local headers = message.headers
  if has_no_body(headers, message.method) or is_stream(headers) then
    return false, false
  end
  local told = headers:get("content-length")
  if told then
    local large = (tonumber(told) or math.huge) > most
    if large then
      refuse_at_once(message)
    end
    return large, large
  end
  local body = message.handle:body()
  -- what was got before the wait for the body is of no use behind it
  message.headers = message.handle:headers()
  return body ~= nil and body:length() > most, false
end
