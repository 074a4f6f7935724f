-- The globals of scripts: those of redis-server, without anything that differs from run to run.
--
-- Runs once for each engine, with the functions that are written in Rust. Returns the globals of scripts, the table
-- behind them, and the function that runs a script.
local native = ...
local error, type, rawset, setmetatable = error, type, rawset, setmetatable
local rawpcall, rawxpcall, rawtostring, resume = pcall, xpcall, tostring, coroutine.resume
local getmetatable = getmetatable

local READONLY = "Attempt to modify a readonly table"
local protected = {}

-- A read-only view of a table: otherwise a script could change what the next one reads.
local function protect(real)
  local proxy = setmetatable({}, {
    __index = real,
    __newindex = function() error(READONLY, 2) end,
    __metatable = false,
  })
  protected[proxy] = true
  return proxy
end

local function pick(from, names)
  local picked = {}
  for name in names:gmatch("%S+") do picked[name] = from[name] end
  return picked
end

local base = pick(_G, [[
  _VERSION assert error getmetatable ipairs load loadstring next pairs rawequal rawget select setmetatable tonumber
  type unpack
]])

local strings = pick(string, "byte char dump find format gfind gmatch gsub len lower match rep reverse sub upper")
base.string = protect(strings)
getmetatable("").__metatable = false
base.table = protect(pick(table, "concat foreach foreachi getn insert maxn remove setn sort"))
local maths = pick(math, [[
  abs acos asin atan atan2 ceil cos cosh deg exp floor fmod frexp huge ldexp log log10 max min mod modf pi pow rad sin
  sinh sqrt tan tanh
]])
maths.random, maths.randomseed = native.random, native.randomseed
base.math = protect(maths)
base.redis = protect(native.redis)
base.cjson = protect(native.cjson)

function base.rawset(t, k, v)
  if protected[t] then error(READONLY, 0) end
  return rawset(t, k, v)
end

-- The memory in use depends on what ran before.
function base.collectgarbage() return 0 end
function base.gcinfo() return 0 end

-- An address differs from run to run.
function base.tostring(...)
  local value = ...
  local kind = type(value)
  if kind == "table" then
    local meta = getmetatable(value)
    if type(meta) ~= "table" or meta.__tostring == nil then return "table: 0x0" end
  elseif kind == "function" or kind == "thread" then
    return kind .. ": 0x0"
  end
  return rawtostring(...)
end

-- pcall returns the text of an error table, as redis-server's does for compatibility.
local function settle(ok, ...)
  if ok then return true, ... end
  local err = ...
  if type(err) == "string" then return false, err end
  return false, native.plain(err)
end
function base.pcall(...) return settle(rawpcall(...)) end

function base.xpcall(f, handler)
  return rawxpcall(f, function(err) return handler(native.shaped(err)) end)
end

local threads = pick(coroutine, "create running status wrap yield")
local function resumed(ok, ...)
  if ok then return true, ... end
  return false, native.shaped((...))
end
function threads.resume(...) return resumed(resume(...)) end
base.coroutine = protect(threads)

setmetatable(base, {
  __index = function(_, name)
    error("Script attempted to access nonexistent global variable '" .. rawtostring(name) .. "'", 2)
  end,
})
local globals = protect(base)
base._G = globals

local handler = native.handler
return globals, base, function(script) return rawxpcall(script, handler) end
