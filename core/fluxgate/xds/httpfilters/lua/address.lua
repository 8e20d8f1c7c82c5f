-- IP addresses as four 32-bit words of their IPv6 form; IPv4 is ::ffff:a.b.c.d (RFC 4291, 2.5.5.2).

-- "a.b.c.d" as one word; nil when it is not an IPv4 address.
local function ipv4_word(text)
  local a, b, c, d = string.match(text, "^(%d+)%.(%d+)%.(%d+)%.(%d+)$")
  if not a then
    return nil
  end
  a, b, c, d = tonumber(a), tonumber(b), tonumber(c), tonumber(d)
  if a > 255 or b > 255 or c > 255 or d > 255 then
    return nil
  end
  return bor(lshift(a, 24), lshift(b, 16), lshift(c, 8), d)
end

-- The 16-bit groups of one side of "::"; nil when one of them is not a group.
local function groups_of(text)
  local groups = {}
  for part in string.gmatch(text, "[^:]+") do
    if string.find(part, ".", 1, true) then
      local word = ipv4_word(part)
      if not word then
        return nil
      end
      groups[#groups + 1] = band(rshift(word, 16), 0xffff)
      groups[#groups + 1] = band(word, 0xffff)
    elseif string.find(part, "^%x%x?%x?%x?$") then
      groups[#groups + 1] = tonumber(part, 16)
    else
      return nil
    end
  end
  return groups
end

local function ipv6_words(text)
  local head, tail = string.match(text, "^(.-)::(.*)$")
  local groups = groups_of(head or text)
  local rest = groups_of(tail or "")
  if not groups or not rest or (not head and #groups ~= 8) or #groups + #rest > 8 then
    return nil
  end
  for _ = 1, 8 - #groups - #rest do
    groups[#groups + 1] = 0
  end
  for i = 1, #rest do
    groups[#groups + 1] = rest[i]
  end
  local words = {}
  for i = 1, 4 do
    words[i] = bor(lshift(groups[i * 2 - 1], 16), groups[i * 2])
  end
  return words
end

-- The words of an address as Envoy prints it, with its port: "10.0.0.1:80", "[2001:db8::1]:80".
local function address_words(text)
  local inner = string.match(text, "^%[([^%]%%]+)[^%]]*%]:%d+$")
  if inner then
    return ipv6_words(inner)
  end
  local word = ipv4_word(string.match(text, "^([^:]+)") or "")
  return word and { 0, 0, tobit(0xffff), word } or nil
end

-- "<32 hexadecimal digits>/<length>" as {words, masks}; nil for anything else, which matches nothing.
local function parse_block(text)
  local digits, length = string.match(text, "^(%x+)/(%d+)$")
  if not digits or #digits ~= 32 then
    return nil
  end
  local block = { words = {}, masks = {} }
  for i = 1, 4 do
    local bits = math.max(0, math.min(32, tonumber(length) - (i - 1) * 32))
    local mask = bits == 0 and 0 or lshift(-1, 32 - bits)
    block.masks[i] = mask
    block.words[i] = band(tobit(tonumber(string.sub(digits, i * 8 - 7, i * 8), 16)), mask)
  end
  return block
end

local function in_block(words, block)
  for i = 1, 4 do
    if band(words[i], block.masks[i]) ~= block.words[i] then
      return false
    end
  end
  return true
end
