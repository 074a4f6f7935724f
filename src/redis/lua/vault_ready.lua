-- Whether a mutation of the vault would be accepted, without changing it: checks
-- every permission that its scripts need, but for those of its own lock. After
-- guard.lua; version and receipts were read by vault/load.lua.
--
-- KEYS[1] tokens (HASH), KEYS[2] version (STRING), KEYS[3] receipts (HASH),
-- KEYS[4] expiry (ZSET); ARGV[1] the lock.
--
-- Replies: {'ready'} · {'wrongtype', key, type} · {'denied', command}.

for _, call in ipairs({{'HMGET', KEYS[1], ''}, {'HMGET', KEYS[3], ''}, {'ZCARD', KEYS[4]}}) do
  local _, fault = read(unpack(call))
  if fault then return fault end
end
local fault = denied(
  'HMGET', KEYS[1], 'HLEN', KEYS[1], 'HGETALL', KEYS[1], 'HSCAN', KEYS[1], 'HSET', KEYS[1], 'HDEL', KEYS[1],
  'GET', KEYS[2], 'INCR', KEYS[2], 'HMGET', KEYS[3], 'HSET', KEYS[3], 'HDEL', KEYS[3],
  'ZADD', KEYS[4], 'ZREM', KEYS[4], 'ZSCORE', KEYS[4], 'ZCOUNT', KEYS[4], 'ZRANGEBYSCORE', KEYS[4],
  'TYPE', KEYS[1], 'TIME', KEYS[1], 'GET', ARGV[1]
)
if fault then return fault end
-- A write that changes nothing: no receipt has the field ''.
redis.call('HDEL', KEYS[3], '')
return {'ready'}
