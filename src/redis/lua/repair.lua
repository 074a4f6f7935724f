-- Appends the record of a repair, and sets head and head:hash to it, if the list
-- still ends as it was verified and the two keys are as they were read.
--
-- ARGV[1] the list's length when it was verified, ARGV[2] its last element
-- ARGV[3] '1' if there was a head, ARGV[4] its text; ARGV[5], ARGV[6] head:hash
-- ARGV[7] the new head:hash, ARGV[8] the new head, ARGV[9] the record
--
-- Replies: {'repaired'}, by this copy or an earlier one · {'changed'} ·
-- {'wrongtype', key, type} · {'denied', command}. Only the first one writes.

local _, fault = chain_end()
if fault and fault[1] ~= 'diverged' then return concluded(fault) end
local length, verified = redis.call('LLEN', KEYS[1]), tonumber(ARGV[1])
if length > verified and redis.call('LINDEX', KEYS[1], verified - length) == ARGV[9] then
  return concluded({'repaired'})
end
-- The reply for an absent key or element is false.
local function is(text, was_there, value) return text == (was_there and value) end
if length ~= verified
    or not is(redis.call('LINDEX', KEYS[1], -1), verified > 0, ARGV[2])
    or not is(redis.call('GET', KEYS[2]), ARGV[3] == '1', ARGV[4])
    or not is(redis.call('GET', KEYS[3]), ARGV[5] == '1', ARGV[6]) then
  return concluded({'changed'})
end
fault = writes_denied()
if fault then return fault end
redis.call('RPUSH', KEYS[1], ARGV[9])
redis.call('SET', KEYS[2], ARGV[8])
redis.call('SET', KEYS[3], ARGV[7])
return {'repaired'}
