-- Tokens that the index holds to have expired, the longest ago first.
--
-- ARGV[1] now, in milliseconds; ARGV[2] how many at most.
--
-- Replies: {'due', 1 if the index lacks nothing, drift, ids} · a fault. drift
-- counts how often version was moved by others, or without the index: the
-- index lacks nothing if the drift is still the one that it was built at,
-- which its member '' holds as -1 - drift.

local state, fault = vault_state('', {'0', '', '0'})
if fault then return fault end
local built = redis.pcall('ZSCORE', KEYS[5], '')
local ids = redis.pcall('ZRANGEBYSCORE', KEYS[5], 0, ARGV[1], 'LIMIT', 0, ARGV[2])
if ids.err then ids = {} end
local drift = state.version - state.own
local is_whole = type(built) == 'string' and -1 - tonumber(built) == drift
return {'due', is_whole and 1 or 0, drift, ids}
