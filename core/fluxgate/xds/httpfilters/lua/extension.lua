-- Runs the script of a Plugin (SOURCE) apart from the process it runs in.
--
-- The script is text, never bytecode. It sees the language, strings, tables, numbers and the clock, and no
-- files, processes, libraries or ways to load code. Of the handle it gets what reads and changes the
-- message; not what would choose another route after authentication, or another host. Calls out go
-- only to the backends its policy names. A hook that fails ends the request with 500.
--
-- Comes after SOURCE, NAME, BACKENDS (name -> cluster), IDENTITY (set of names) and METHODS (set).

local function copied(library, except)
  local result = {}
  for name, value in pairs(library) do
    if not except[name] then
      result[name] = value
    end
  end
  return result
end

local env = {
  assert = assert, error = error, ipairs = ipairs, next = next, pairs = pairs, pcall = pcall,
  rawequal = rawequal, rawget = rawget, rawset = rawset, select = select, setmetatable = setmetatable,
  tonumber = tonumber, tostring = tostring, type = type, unpack = unpack, xpcall = xpcall,
  bit = copied(bit, {}), math = copied(math, {}), table = copied(table, {}),
  string = copied(string, { dump = true }),
  os = { clock = os.clock, date = os.date, difftime = os.difftime, time = os.time },
}
env._G = env
-- methods of string values come from here
string.dump = nil

local chunk, problem = load(SOURCE, "=" .. NAME, "t", env)
if chunk == nil then
  error(problem, 0)
end
chunk()
local on_request, on_response = env.envoy_on_request, env.envoy_on_response
if type(on_request) ~= "function" and type(on_response) ~= "function" then
  error(NAME .. ": defines neither envoy_on_request nor envoy_on_response", 0)
end

local function without_identity(headers)
  local result = {}
  for name, value in pairs(headers) do
    if not IDENTITY[string.lower(name)] then
      result[name] = value
    end
  end
  return result
end

local function limited(call)
  return function(handle, backend, headers, ...)
    local cluster = BACKENDS[backend]
    if cluster == nil then
      error("there is no backend " .. tostring(backend) .. " in the policy's backends", 2)
    end
    return call(handle, cluster, without_identity(headers), ...)
  end
end

local restricted = false

-- the metatables are those of this script's own Lua state
local function restrict(handle)
  restricted = true
  local methods = getmetatable(handle)
  for name, value in pairs(methods) do
    if type(value) == "function" and string.sub(name, 1, 2) ~= "__" and not METHODS[name] then
      methods[name] = nil
    end
  end
  methods.httpCall = limited(methods.httpCall)
  local stream = handle:streamInfo()
  -- the gateway remembers there who is calling
  getmetatable(stream).filterState = nil
  local metadata = getmetatable(stream:dynamicMetadata())
  local set = metadata.set
  metadata.set = function(self, filter, ...)
    if string.find(filter, "^fluxgate") or string.find(filter, "^envoy") then
      error("the metadata " .. filter .. " belongs to the gateway", 2)
    end
    return set(self, filter, ...)
  end
end

local function failed(handle, message)
  handle:logErr(NAME .. " failed: " .. tostring(message))
end

if type(on_request) == "function" then
  function envoy_on_request(handle)
    if not restricted then
      restrict(handle)
    end
    local ok, message = pcall(on_request, handle)
    if not ok then
      failed(handle, message)
      handle:respond({ [":status"] = "500" }, "A script of the gateway failed.")
    end
  end
end

if type(on_response) == "function" then
  function envoy_on_response(handle)
    if not restricted then
      restrict(handle)
    end
    local ok, message = pcall(on_response, handle)
    if not ok then
      failed(handle, message)
      local headers = handle:headers()
      headers:replace(":status", "500")
      headers:remove("content-encoding")
      headers:replace("content-type", "application/json")
      local body = handle:body()
      if body ~= nil then
        local length = body:setBytes('{"error":"internal_error","message":"A script of the gateway failed."}')
        headers:replace("content-length", tostring(length))
      end
    end
  end
end
