-- Changes of one JSON document; comes after json.lua. A path is a list of steps: the name of a
-- member, the number of an item from 0, or false for every one.

-- The places of the members that a step leads to; several where a name is repeated.
local function places(node, step)
  local found = {}
  if step == false then
    for i = 1, #node.items do
      found[i] = i
    end
  elseif node.kind == "object" then
    for i = 1, #node.names do
      if node.names[i] == step then
        found[#found + 1] = i
      end
    end
  elseif find(step, "^%d+$") and node.items[tonumber(step) + 1] then
    found[1] = tonumber(step) + 1
  end
  return found
end

-- Remove the members at these places, but the first "spared" of them, in one pass.
local function take_away(node, found, spared)
  if #found <= spared then
    return
  end
  local next_gone, kept, before = spared + 1, 0, #node.items
  for i = 1, before do
    if i == found[next_gone] then
      next_gone = next_gone + 1
    else
      kept = kept + 1
      node.items[kept] = node.items[i]
      if node.kind == "object" then
        node.names[kept], node.spelt[kept] = node.names[i], node.spelt[i]
      end
    end
  end
  for i = before, kept + 1, -1 do
    node.items[i] = nil
    if node.kind == "object" then
      node.names[i], node.spelt[i] = nil, nil
    end
  end
end

-- Add a member; in an array only right behind the last ("-", or its number).
local function append(node, step, value)
  local place = #node.items + 1
  if node.kind == "object" then
    node.names[place], node.spelt[place] = step, quote(step)
  elseif step ~= "-" and step ~= tostring(#node.items) then
    return nil
  end
  node.items[place] = value
  return value
end

-- Call act(parent, last step) wherever the path leads; with make, after making what is missing on it.
local function follow(node, path, level, make, act)
  if type(node) ~= "table" then
    return
  elseif level == #path then
    act(node, path[level])
    return
  end
  local step = path[level]
  local found = places(node, step)
  if #found == 0 and make and step ~= false then
    local made = append(node, step, { kind = "object", names = {}, spelt = {}, items = {} })
    follow(made, path, level + 1, make, act)
  end
  for i = 1, #found do
    if make and step ~= false and node.items[found[i]] == "null" then
      node.items[found[i]] = { kind = "object", names = {}, spelt = {}, items = {} }
    end
    follow(node.items[found[i]], path, level + 1, make, act)
  end
end

local ACTS = {
  set = function(node, step, value)
    local found = places(node, step)
    if #found == 0 then
      append(node, step, value)
    else
      node.items[found[1]] = value
      take_away(node, found, 1)
    end
  end,
  add = function(node, step, value)
    if #places(node, step) == 0 then
      append(node, step, value)
    end
  end,
  remove = function(node, step)
    take_away(node, places(node, step), 0)
  end,
  rename = function(node, step, name)
    if node.kind ~= "object" or step == name or #places(node, step) == 0 then
      return
    end
    take_away(node, places(node, name), 0)
    local found = places(node, step)
    for i = 1, #found do
      node.names[found[i]], node.spelt[found[i]] = name, quote(name)
    end
  end,
}

-- Change a document: what to do, the path, and the value as JSON, or the new name.
local function change_json(document, change, path, value)
  local act, make = ACTS[change], change == "set" or change == "add"
  follow(document, path, 1, make, function(node, step)
    -- a node of its own each time, for other changes may go into it
    act(node, step, make and parse_json(value) or value)
  end)
end
