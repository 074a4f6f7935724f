-- Whether an append would be accepted, without changing the chain: checks
-- every permission that the chain's scripts need.
--
-- KEYS as for tail.lua; ARGV[1] the lock, if it is taken.
--
-- Replies: {'ready'} · {'denied', command} or one of tail.lua's faults.

local tail, fault = chain_end()
if fault then return concluded(fault) end
local reply, last = describe('tail', tail, 0)
if not last then return concluded(reply) end
-- An empty chain is read by fewer commands than the next append's.
fault = writes_denied() or denied('LINDEX', KEYS[1], 'LRANGE', KEYS[1], 'TYPE', KEYS[1])
if not fault and ARGV[1] then
  fault = denied('GET', ARGV[1], 'SET', ARGV[1])
  -- A further argument would be a key.
  if redis.acl_check_cmd and not redis.acl_check_cmd('DEL', ARGV[1]) then fault = {'denied', 'DEL'} end
end
if fault then return fault end
-- A write that changes nothing.
redis.call('SET', KEYS[3], '', tail.hash == '' and 'XX' or 'NX')
return {'ready'}
