-- Corrects the index for tokens that still have the value that was read.
--
-- ARGV[1] '' or the drift at which the index is now complete; then for each
-- token its id, '1' and its value or '0' and '', and when it expires, in
-- milliseconds, or ''.
--
-- Replies: {'indexed'} · a fault.

local ids = {}
for place = 2, #ARGV, 4 do ids[#ids + 1] = ARGV[place] end
local found, fault = values(ids)
if fault then return concluded(fault) end
fault = denied('ZADD', KEYS[4], 'ZREM', KEYS[4])
if fault then return fault end
local _
_, fault = read('ZCARD', KEYS[4])
if fault then return fault end
for place = 1, #ids do
  local at = 2 + 4 * (place - 1)
  if found[place] == (ARGV[at + 1] == '1' and ARGV[at + 2]) then
    if ARGV[at + 3] == '' then
      redis.call('ZREM', KEYS[4], ids[place])
    else
      redis.call('ZADD', KEYS[4], ARGV[at + 3], ids[place])
    end
  end
end
if ARGV[1] ~= '' then redis.call('ZADD', KEYS[4], decimal(-1 - tonumber(ARGV[1])), '') end
return {'indexed'}
