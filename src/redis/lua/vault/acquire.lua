-- Takes the lock: {1}, or {0, the holder's token}.
--
-- It is left free for the first 40 ms of every second of the server's clock,
-- and expires within its second: replicas that cannot proceed without the lock
-- get it, however many of ours contend for it.
--
-- KEYS[1] the lock; ARGV[1] our token, ARGV[2] its TTL in milliseconds.

local millisecond = math.floor(tonumber(redis.call('TIME')[2]) / 1000)
if millisecond < 40 then return {0, redis.call('GET', KEYS[1]) or ''} end
local life = math.min(tonumber(ARGV[2]), 1000 - millisecond)
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', string.format('%.0f', life)) then return {1} end
return {0, redis.call('GET', KEYS[1])}
