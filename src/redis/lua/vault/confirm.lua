-- Which mutations' receipts are here, before WAIT or WAITAOF on the same
-- connection.
--
-- ARGV… mutations.
--
-- Replies: {'confirmed', 1 (done), 2 (dropped) or 0, …} · a fault as in load.lua. If there
-- are any, one of them was written again, unchanged: WAIT covers what this connection
-- wrote, and with it all before that; on a connection that wrote nothing it covers
-- nothing, and answers at once.

local reply, found, text = {'confirmed'}, nil, nil
for place = 1, #ARGV do
  local receipts, fault = read('HMGET', KEYS[3], ARGV[place])
  if fault then return concluded(fault) end
  local receipt = receipts[1]
  local ended = receipt and string.match(receipt, '^(d%a+) ')
  reply[place + 1] = ended == 'done' and 1 or ended == 'dropped' and 2 or 0
  if ended then found, text = ARGV[place], receipt end
end
if not found then return concluded(reply) end
local fault = denied('HSET', KEYS[3])
if fault then return fault end
redis.call('HSET', KEYS[3], found, text)
return reply
