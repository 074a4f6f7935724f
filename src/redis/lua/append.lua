-- Compare-and-append: all records, or none and a conflict.
--
-- ARGV[1] the head:hash that the first record was sealed onto, '' for an
--         empty chain: the fence
-- ARGV[2] the highest sequence the writer has seen, 0 for none
-- ARGV[3] how many records follow ARGV[6], as a check of the call
-- ARGV[4] the sequence of the first record if this batch was sent before and
--         its reply lost, 0 otherwise
-- ARGV[5] the new head:hash
-- ARGV[6] the new head
-- ARGV[7] … the records
--
-- Replies: {'committed'} · {'conflict', hash, head, length, state, record,
-- {hashes and identities at the batch's positions}} · {'diverged', detail} ·
-- {'wrongtype', key, type} · {'denied', command}. Only the first one writes.

local tail, fault = chain_end()
if fault then return concluded(fault) end

if tail.hash ~= ARGV[1] then
  local reply, last = describe('conflict', tail, tonumber(ARGV[2]))
  if not last then return concluded(reply) end
  local landed, first = {}, tonumber(ARGV[4])
  if first > 0 then
    for sequence = first, math.min(last, first + tonumber(ARGV[3]) - 1) do
      local state, record = standing(tail, last, sequence)
      if state ~= 'at' then break end
      landed[#landed + 1] = record
    end
  end
  reply[7] = landed
  return concluded(reply)
end

fault = denied(WRITES)
if fault then return fault end
-- If one of these fails on a server without acl_check_cmd, the list ends with
-- a record that no head names: reported as diverged, and never a fork.
redis.call('RPUSH', KEYS[1], unpack(ARGV, 7))
redis.call('SET', KEYS[2], ARGV[6])
redis.call('SET', KEYS[3], ARGV[5])
return {'committed'}
