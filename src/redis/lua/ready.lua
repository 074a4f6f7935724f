-- Whether an append would be accepted, without changing the chain: checks
-- every permission that append.lua needs, and writes the probe.
--
-- KEYS as for tail.lua, KEYS[4] the probe.
--
-- Replies: {'ready'} · {'denied', command} or one of tail.lua's faults.

local tail, fault = chain_end()
if fault then return concluded(fault) end
local reply, last = describe('tail', tail, 0)
if not last then return concluded(reply) end
fault = denied(WRITES) or denied({{'SET', KEYS[4]}})
if fault then return fault end
redis.call('SET', KEYS[4], '1', 'PX', 2000)
return {'ready'}
