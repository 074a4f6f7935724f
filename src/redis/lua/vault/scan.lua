-- A slice of the tokens: ARGV[1] the cursor, ARGV[2] about how many.
--
-- Replies: {'page', cursor, ids and values in turn, time} · a fault. Every token
-- that exists from the first slice to the last is in one of them; one may
-- be in two.

local page, fault = read('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
if fault then return concluded(fault) end
local micros
micros, fault = server_micros()
if fault then return concluded(fault) end
return concluded({'page', page[1], page[2], millis(micros)})
