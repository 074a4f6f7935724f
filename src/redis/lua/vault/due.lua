-- Tokens that are expired according to the index, the longest expired first.
--
-- ARGV[1] now, in milliseconds; ARGV[2] how many at most.
--
-- Replies: {'due', 1 if the index is complete, drift, ids} · a fault. drift is
-- how often version was changed by others, or without the index: the index is
-- complete if the drift is the one at which it was built, which is stored in its
-- member '' as -1 - drift.

local state, fault = vault_state('', {'0', '', '0'})
if fault then return concluded(fault) end
local built = redis.pcall('ZSCORE', KEYS[5], '')
local ids = redis.pcall('ZRANGEBYSCORE', KEYS[5], 0, ARGV[1], 'LIMIT', 0, ARGV[2])
if ids.err then ids = {} end
local drift = state.version - state.own
local is_whole = type(built) == 'string' and -1 - tonumber(built) == drift
return concluded({'due', is_whole and 1 or 0, drift, ids})
