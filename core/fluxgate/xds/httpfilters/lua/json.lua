-- JSON (RFC 8259) for documents of which little changes: a scalar is its own spelling, an object its
-- members in their order. So numbers, escapes, order and even repeated names come out as they went
-- in; only white space goes.

local byte, char, concat = string.byte, string.char, table.concat
local find, format, gsub, match, sub = string.find, string.format, string.gsub, string.match, string.sub

local DEEPEST = 64

-- The position of the first character at or behind one that is no white space.
local function skip(text, at)
  return find(text, "[^ \t\n\r]", at) or #text + 1
end

-- A string as it is spelt, and the position behind it; nil when it is none.
local function read_string(text, from)
  local at = from + 1
  while true do
    local stop = find(text, '["\\%z\1-\31]', at)
    if not stop then
      return nil
    end
    local found = byte(text, stop)
    if found == 34 then
      return sub(text, from, stop), stop + 1
    elseif found ~= 92 then
      return nil
    elseif find(text, '^["\\/bfnrt]', stop + 1) then
      at = stop + 2
    elseif find(text, "^u%x%x%x%x", stop + 1) then
      at = stop + 6
    else
      return nil
    end
  end
end

local function read_number(text, from)
  local digits = match(text, "^-?(%d+)", from)
  if not digits or (#digits > 1 and byte(digits) == 48) then
    return nil
  end
  local stop = select(2, find(text, "^-?%d+", from))
  if byte(text, stop + 1) == 46 then
    stop = select(2, find(text, "^%.%d+", stop + 1))
  end
  if stop and find(text, "^[eE]", stop + 1) then
    stop = select(2, find(text, "^[eE][+-]?%d+", stop + 1))
  end
  if not stop then
    return nil
  end
  return sub(text, from, stop), stop + 1
end

local function utf8(code)
  if code < 0x80 then
    return char(code)
  elseif code < 0x800 then
    return char(0xC0 + math.floor(code / 0x40), 0x80 + code % 0x40)
  elseif code < 0x10000 then
    return char(0xE0 + math.floor(code / 0x1000), 0x80 + math.floor(code / 0x40) % 0x40,
      0x80 + code % 0x40)
  end
  return char(0xF0 + math.floor(code / 0x40000), 0x80 + math.floor(code / 0x1000) % 0x40,
    0x80 + math.floor(code / 0x40) % 0x40, 0x80 + code % 0x40)
end

local ESCAPED = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

-- What a string as it is spelt says.
local function unquote(spelt)
  local text = sub(spelt, 2, -2)
  if not find(text, "\\", 1, true) then
    return text
  end
  local said, at = {}, 1
  while true do
    local slash = find(text, "\\", at, true)
    if not slash then
      said[#said + 1] = sub(text, at)
      return concat(said)
    end
    said[#said + 1] = sub(text, at, slash - 1)
    local kind = sub(text, slash + 1, slash + 1)
    at = slash + 2
    if kind == "u" then
      local code = tonumber(sub(text, at, at + 3), 16)
      at = at + 4
      local low = code >= 0xD800 and code < 0xDC00 and match(text, "^\\u([dD][c-fC-F]%x%x)", at)
      if low then
        code = 0x10000 + (code - 0xD800) * 0x400 + tonumber(low, 16) - 0xDC00
        at = at + 6
      end
      said[#said + 1] = utf8(code)
    else
      said[#said + 1] = ESCAPED[kind] or kind
    end
  end
end

local WELL_FORMED = {
  "^[%z\1-\127]+", "^[\194-\223][\128-\191]", "^\224[\160-\191][\128-\191]",
  "^[\225-\236\238\239][\128-\191][\128-\191]", "^\237[\128-\159][\128-\191]",
  "^\240[\144-\191][\128-\191][\128-\191]", "^[\241-\243][\128-\191][\128-\191][\128-\191]",
  "^\244[\128-\143][\128-\191][\128-\191]",
}

-- The text with every byte that is no UTF-8 replaced by U+FFFD.
local function well_formed(text)
  local parts, at = {}, 1
  while at <= #text do
    local stop
    for i = 1, #WELL_FORMED do
      stop = stop or select(2, find(text, WELL_FORMED[i], at))
    end
    parts[#parts + 1] = stop and sub(text, at, stop) or "\239\191\189"
    at = (stop or at) + 1
  end
  return concat(parts)
end

-- A text as a JSON string.
local function quote(text)
  if find(text, "[\128-\255]") then
    text = well_formed(text)
  end
  local escaped = gsub(text, '[%z\1-\31"\\\127]', function(found)
    return format("\\u%04x", byte(found))
  end)
  return '"' .. escaped .. '"'
end

local read_value

local function read_array(text, from, depth)
  local array = { kind = "array", items = {} }
  local at = skip(text, from + 1)
  if byte(text, at) == 93 then
    return array, at + 1
  end
  while true do
    local item
    item, at = read_value(text, at, depth)
    if not item then
      return nil
    end
    array.items[#array.items + 1] = item
    at = skip(text, at)
    local found = byte(text, at)
    if found == 93 then
      return array, at + 1
    elseif found ~= 44 then
      return nil
    end
    at = skip(text, at + 1)
  end
end

local function read_object(text, from, depth)
  local object = { kind = "object", names = {}, spelt = {}, items = {} }
  local at = skip(text, from + 1)
  if byte(text, at) == 125 then
    return object, at + 1
  end
  while byte(text, at) == 34 do
    local spelt, item
    spelt, at = read_string(text, at)
    at = spelt and skip(text, at)
    if not spelt or byte(text, at) ~= 58 then
      return nil
    end
    item, at = read_value(text, skip(text, at + 1), depth)
    if not item then
      return nil
    end
    local place = #object.items + 1
    object.names[place], object.spelt[place], object.items[place] = unquote(spelt), spelt, item
    at = skip(text, at)
    local found = byte(text, at)
    if found == 125 then
      return object, at + 1
    elseif found ~= 44 then
      return nil
    end
    at = skip(text, at + 1)
  end
  return nil
end

read_value = function(text, at, depth)
  local found = byte(text, at)
  if found == 123 or found == 91 then
    if depth >= DEEPEST then
      return nil
    end
    return (found == 123 and read_object or read_array)(text, at, depth + 1)
  elseif found == 34 then
    return read_string(text, at)
  end
  local word = match(text, "^%l+", at)
  if word == "true" or word == "false" or word == "null" then
    return word, at + #word
  end
  return read_number(text, at)
end

-- The document in a text; nil when it is not JSON, or nested deeper than DEEPEST.
local function parse_json(text)
  local document, at = read_value(text, skip(text, 1), 0)
  if document and skip(text, at) > #text then
    return document
  end
  return nil
end

local function write(node, parts)
  if type(node) == "string" then
    parts[#parts + 1] = node
    return
  end
  local object = node.kind == "object"
  parts[#parts + 1] = object and "{" or "["
  for i = 1, #node.items do
    if i > 1 then
      parts[#parts + 1] = ","
    end
    if object then
      parts[#parts + 1] = node.spelt[i]
      parts[#parts + 1] = ":"
    end
    write(node.items[i], parts)
  end
  parts[#parts + 1] = object and "}" or "]"
end

-- The text of a document.
local function json_text(document)
  local parts = {}
  write(document, parts)
  return concat(parts)
end
