-- Compare-and-append: all records, or none and a conflict.
--
-- ARGV[1] the head:hash that the first record was sealed onto, '' for an
--         empty chain: the fence
-- ARGV[2] the highest sequence the writer has seen, 0 for none
-- ARGV[3] its eventHash, '' for none
-- ARGV[4] the sequence of the first record if this batch was sent before and
--         its reply lost, 0 otherwise
-- ARGV[5] the new head:hash
-- ARGV[6] the new head
-- ARGV[7] … the records
--
-- Replies: {'committed'} · {'conflict', hash, head, length, state, found,
-- applied}, where applied is 1 if the batch's first record is in the chain ·
-- {'diverged', detail} · {'wrongtype', key, type} · {'denied', command}. Only
-- the first one writes, and none has a record: its size would not be bounded.

local tail, fault = chain_end()
if fault then return concluded(fault) end

if tail.hash ~= ARGV[1] then
  local reply, last = describe('conflict', tail, tonumber(ARGV[2]), ARGV[3])
  if not last then return concluded(reply) end
  local first = tonumber(ARGV[4])
  local _, record = record_at(tail, last, first)
  -- A batch is appended as a whole, and a record is stored as it was sent.
  reply[7] = first > 0 and record == ARGV[7] and 1 or 0
  return concluded(reply)
end

fault = writes_denied()
if fault then return fault end
-- If one of these fails on a server without acl_check_cmd, the list ends with
-- a record that no head names: reported as diverged, and never a fork.
redis.call('RPUSH', KEYS[1], unpack(ARGV, 7))
redis.call('SET', KEYS[2], ARGV[6])
redis.call('SET', KEYS[3], ARGV[5])
return {'committed'}
