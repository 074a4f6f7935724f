-- Whether a record is here, before WAIT or WAITAOF on the same connection.
--
-- KEYS as for tail.lua. ARGV as for tail_reply.lua.
--
-- Replies: {'tail', …} as in tail_reply.lua. If the record stands, head:hash was
-- written as it is: WAIT covers what this connection wrote, and with it all before that;
-- on a connection that wrote nothing it covers nothing, and answers at once.

local tail, fault = chain_end()
if fault then return concluded(fault) end
local reply = describe('tail', tail, tonumber(ARGV[1]), ARGV[2])
if reply[5] ~= 'stands' then return concluded(reply) end
fault = denied('SET', KEYS[3])
if fault then return fault end
redis.call('SET', KEYS[3], tail.hash)
return reply
