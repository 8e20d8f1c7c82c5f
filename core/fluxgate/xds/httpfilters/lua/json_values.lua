-- JSON (RFC 8259) to Lua values. Objects and arrays become tables, null becomes nil. json_decode raises
-- an error for a text that is not JSON, or is nested more deeply than any claim is.

local json_decode
do
  local DEEPEST = 16
  local ESCAPES = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\",
    ["/"] = "/" }

  local function fail(position)
    error("not JSON, at byte " .. position, 0)
  end

  local function utf8_of(code)
    if code < 0x80 then
      return string.char(code)
    elseif code < 0x800 then
      return string.char(0xc0 + math.floor(code / 0x40), 0x80 + code % 0x40)
    elseif code < 0x10000 then
      return string.char(0xe0 + math.floor(code / 0x1000), 0x80 + math.floor(code / 0x40) % 0x40,
        0x80 + code % 0x40)
    end
    return string.char(0xf0 + math.floor(code / 0x40000), 0x80 + math.floor(code / 0x1000) % 0x40,
      0x80 + math.floor(code / 0x40) % 0x40, 0x80 + code % 0x40)
  end

  -- The character that begins with "\u" at a position, and the position behind it.
  local function unicode(text, position)
    local code = tonumber(string.match(text, "^\\u(%x%x%x%x)", position) or fail(position), 16)
    if code < 0xd800 or code > 0xdfff then
      return utf8_of(code), position + 6
    end
    local low = string.match(text, "^\\u([dD][c-fC-F]%x%x)", position + 6)
    if code > 0xdbff or not low then
      fail(position)
    end
    return utf8_of(0x10000 + (code - 0xd800) * 0x400 + tonumber(low, 16) - 0xdc00), position + 12
  end

  local function text_at(text, position)
    local parts = {}
    position = position + 1
    while true do
      local stop = string.find(text, '[%c"\\]', position) or fail(position)
      parts[#parts + 1] = string.sub(text, position, stop - 1)
      local mark = string.sub(text, stop, stop)
      if mark == '"' then
        return table.concat(parts), stop + 1
      elseif mark ~= "\\" then
        fail(stop)
      elseif string.sub(text, stop + 1, stop + 1) == "u" then
        parts[#parts + 1], position = unicode(text, stop)
      else
        parts[#parts + 1] = ESCAPES[string.sub(text, stop + 1, stop + 1)] or fail(stop)
        position = stop + 2
      end
    end
  end

  local function skip(text, position)
    return string.find(text, "[^ \t\r\n]", position) or fail(position)
  end

  local value_at

  -- The members between brackets: add(position) reads one and returns the position behind it.
  local function members(text, position, close, add)
    position = skip(text, position + 1)
    if string.sub(text, position, position) == close then
      return position + 1
    end
    while true do
      position = skip(text, add(position))
      local mark = string.sub(text, position, position)
      position = position + 1
      if mark == close then
        return position
      elseif mark ~= "," then
        fail(position)
      end
      position = skip(text, position)
    end
  end

  local function object_at(text, position, depth)
    local object = {}
    local function add(at)
      if string.sub(text, at, at) ~= '"' then
        fail(at)
      end
      local name
      name, at = text_at(text, at)
      at = skip(text, at)
      if string.sub(text, at, at) ~= ":" then
        fail(at)
      end
      object[name], at = value_at(text, skip(text, at + 1), depth + 1)
      return at
    end
    return object, members(text, position, "}", add)
  end

  local function array_at(text, position, depth)
    local array = {}
    local function add(at)
      local value
      value, at = value_at(text, at, depth + 1)
      array[#array + 1] = value
      return at
    end
    return array, members(text, position, "]", add)
  end

  local WORDS = { ["true"] = true, ["false"] = false }

  function value_at(text, position, depth)
    local mark = string.sub(text, position, position)
    if depth > DEEPEST then
      fail(position)
    elseif mark == '"' then
      return text_at(text, position)
    elseif mark == "{" then
      return object_at(text, position, depth)
    elseif mark == "[" then
      return array_at(text, position, depth)
    end
    local word = string.match(text, "^%l+", position)
    if word == "null" or WORDS[word] ~= nil then
      return WORDS[word], position + #word
    end
    local number = string.match(text, "^-?%d+%.?%d*[eE]?[+-]?%d*", position)
    return tonumber(number or "") or fail(position), position + #(number or "")
  end

  function json_decode(text)
    local value, position = value_at(text, skip(text, 1), 1)
    if string.find(text, "[^ \t\r\n]", position) then
      fail(position)
    end
    return value
  end
end
