-- Whether a mutation of the vault would be accepted, without changing it: checks
-- every permission that its scripts need, but for those of its own lock. After
-- guard.lua; version and receipts were read by vault/load.lua.
--
-- KEYS[1] tokens (HASH), KEYS[2] version (STRING), KEYS[3] lock (STRING),
-- KEYS[4] receipts (HASH), KEYS[5] expiry (ZSET).
--
-- Replies: {'ready'} · {'wrongtype', key, type} · {'denied', command}.

for _, call in ipairs({{'HGET', KEYS[1], ''}, {'GET', KEYS[3]}, {'HGET', KEYS[4], ''}, {'ZCARD', KEYS[5]}}) do
  local _, fault = read(unpack(call))
  if fault then return fault end
end
local fault = denied({
  {'HMGET', KEYS[1]}, {'HLEN', KEYS[1]}, {'HGETALL', KEYS[1]}, {'HSCAN', KEYS[1]}, {'HSET', KEYS[1]}, {'HDEL', KEYS[1]},
  {'GET', KEYS[2]}, {'INCR', KEYS[2]}, {'HMGET', KEYS[4]}, {'HSET', KEYS[4]}, {'HDEL', KEYS[4]},
  {'ZADD', KEYS[5]}, {'ZREM', KEYS[5]}, {'ZSCORE', KEYS[5]}, {'ZCOUNT', KEYS[5]}, {'ZRANGEBYSCORE', KEYS[5]},
  {'TYPE', KEYS[1]}, {'TIME', KEYS[1]},
})
if fault then return fault end
-- A write that changes nothing: no receipt has the field ''.
redis.call('HDEL', KEYS[4], '')
return {'ready'}
