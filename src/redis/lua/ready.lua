-- Whether an append would be accepted, without changing the chain: checks
-- every permission that the chain's scripts need, and writes the probe.
--
-- KEYS as for tail.lua, KEYS[4] the probe, KEYS[5] the lock, if it is taken.
--
-- Replies: {'ready'} · {'denied', command} or one of tail.lua's faults.

local tail, fault = chain_end()
if fault then return concluded(fault) end
local reply, last = describe('tail', tail, 0)
if not last then return concluded(reply) end
-- An empty chain is read by fewer commands than the next append's.
fault = denied(WRITES) or denied({
  {'LINDEX', KEYS[1]}, {'LRANGE', KEYS[1]}, {'TYPE', KEYS[1]}, {'SET', KEYS[4]},
})
if not fault and KEYS[5] then
  fault = denied({{'GET', KEYS[5]}, {'SET', KEYS[5]}})
  -- A further argument would be a key.
  if redis.acl_check_cmd and not redis.acl_check_cmd('DEL', KEYS[5]) then fault = {'denied', 'DEL'} end
end
if fault then return fault end
redis.call('SET', KEYS[4], '1', 'PX', 2000)
return {'ready'}
