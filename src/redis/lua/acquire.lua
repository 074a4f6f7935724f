-- Takes the lock: {1}, or {0, the holder's token}.
--
-- KEYS[1] the lock; ARGV[1] our token, ARGV[2] its TTL in milliseconds.

if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return {1} end
return {0, redis.call('GET', KEYS[1])}
