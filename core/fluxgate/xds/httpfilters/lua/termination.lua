-- Answers every request of a route, but those that may pass; comes after address.lua.
--
-- Filter context: "status", "message", "retry_after" (seconds), "header" with "digest" (SHA-256 of
-- the value it must have), "cidrs" (blocks as parse_block reads them).

local LONGEST = 4096
local REMEMBERED = 256
local known, count = {}, 0

local function blocks_of(text)
  local blocks = known[text]
  if not blocks then
    blocks = {}
    for part in string.gmatch(text, "%S+") do
      blocks[#blocks + 1] = parse_block(part)
    end
    if count >= REMEMBERED then
      known, count = {}, 0
    end
    known[text] = blocks
    count = count + 1
  end
  return blocks
end

local function may_pass(handle, context)
  local name = context:get("header")
  if name then
    local value = handle:headers():get(name)
    handle:headers():remove(name)
    if value and #value <= LONGEST and sha256(value) == context:get("digest") then
      return true
    end
  end
  local cidrs = context:get("cidrs")
  local words = cidrs and address_words(handle:streamInfo():downstreamRemoteAddress())
  local blocks = words and blocks_of(cidrs) or {}
  for i = 1, #blocks do
    if in_block(words, blocks[i]) then
      return true
    end
  end
  return false
end

function envoy_on_request(handle)
  local context = handle:filterContext()
  local ok, passes = pcall(may_pass, handle, context)
  if ok and passes then
    return
  end
  if not ok then
    handle:logErr("termination failed: " .. tostring(passes))
  end
  handle:respond(
    { [":status"] = context:get("status"), ["retry-after"] = context:get("retry_after") },
    context:get("message")
  )
end
