-- Refuses requests whose body is larger than the route allows (filter context: "bytes", and
-- "streams" where the route carries streams).
--
-- A length that is told is judged at once: Envoy holds senders to it. A body of unknown length is
-- held until it is whole, at most as much as the route may buffer; beyond that Envoy refuses it
-- itself. Streams have no end to wait for: they are bounded by flow control.

local TOO_LARGE = "The request body is larger than allowed."

local function is_stream(headers)
  if headers:get("upgrade") or headers:get(":method") == "CONNECT" then
    return true
  end
  local kind = headers:get("content-type")
  return kind ~= nil and string.find(kind, "^application/grpc") ~= nil
end

function envoy_on_request(handle)
  local context = handle:filterContext()
  local most = tonumber(context:get("bytes"))
  local headers = handle:headers()
  local told = headers:get("content-length")
  if told then
    if (tonumber(told) or math.huge) > most then
      handle:respond({ [":status"] = "413" }, TOO_LARGE)
    end
    return
  end
  if context:get("streams") or is_stream(headers) then
    return
  end
  local body = handle:body()
  if body and body:length() > most then
    handle:respond({ [":status"] = "413" }, TOO_LARGE)
  end
end
