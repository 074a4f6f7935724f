-- Ends a mutation: applied, if an attempt was; otherwise dropped, by a receipt
-- that stops every late attempt.
--
-- ARGV[1..3] what the caller's process has observed, see vault_state; ARGV[4] the mutation;
-- ARGV[5] the receipt number (mark) at which it began; ARGV[6] 'look' to drop nothing.
--
-- Replies: {'settled', receipt, when it was written} · {'open'}, if it would have been dropped ·
-- {'forgotten'} · {'lost', version} · a fault as in load.lua.

local state, fault = vault_state(ARGV[4], ARGV[1], tonumber(ARGV[2]), ARGV[3])
if fault then return concluded(fault) end
if settled(state) then return ended(state, ARGV[4]) end
if state.lost or tonumber(ARGV[5]) > state.next_mark then return lost(state) end
if receipt_expired(state, tonumber(ARGV[5])) then return concluded({'forgotten'}) end
if ARGV[6] == 'look' then return concluded({'open'}) end
fault = denied('HSET', KEYS[3], 'HDEL', KEYS[3])
if fault then return fault end
local mark, written = note(state, ARGV[4], 'dropped', {})
return {'settled', 'dropped ' .. decimal(mark), written}
