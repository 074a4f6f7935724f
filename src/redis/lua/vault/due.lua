-- Tokens that are expired according to the index, by the server's clock and the
-- caller's, the longest expired first.
--
-- ARGV[1] the caller's time, in milliseconds; ARGV[2] how many at most.
--
-- Replies: {'due', 1 if the index is complete, drift, ids, how many are expired
-- by one of the clocks only} · a fault. drift is
-- how often version was changed by others, or without the index: the index is
-- complete if the drift is the one at which it was built, which is stored in its
-- member '' as -1 - drift; -inf if it was never built.

local state, fault = vault_state('', '0', 0, '0')
if fault then return concluded(fault) end
local own = tonumber(ARGV[1])
local earlier, later = decimal(math.min(own, state.time)), decimal(math.max(own, state.time))
local built = redis.pcall('ZSCORE', KEYS[4], '')
local ids = redis.pcall('ZRANGEBYSCORE', KEYS[4], 0, earlier, 'LIMIT', 0, ARGV[2])
local disputed = redis.pcall('ZCOUNT', KEYS[4], '(' .. earlier, later)
if ids.err then ids = {} end
if type(disputed) ~= 'number' then disputed = 0 end
local drift = state.version - state.own
local is_whole = type(built) == 'string' and -1 - tonumber(built) == drift
return concluded({'due', is_whole and 1 or 0, drift, ids, disputed})
