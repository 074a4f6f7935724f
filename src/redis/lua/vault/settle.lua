-- Ends a mutation: applied, if an attempt was; otherwise dropped, by a receipt
-- that stops every late attempt.
--
-- ARGV[1..4] what the caller's process has observed; ARGV[5] the mutation;
-- ARGV[6] the receipt number (mark) at which it began; ARGV[7] 'look' to drop nothing.
--
-- Replies: {'settled', receipt} · {'open'}, if it would have been dropped ·
-- {'forgotten'} · {'lost', version} · a fault as in load.lua.

local state, fault = vault_state(ARGV[5], {ARGV[1], ARGV[2], ARGV[3], ARGV[4]})
if fault then return concluded(fault) end
if settled(state) then return concluded({'settled', state.receipt}) end
if state.lost or tonumber(ARGV[6]) > state.next_mark then return lost(state) end
if receipt_expired(state, tonumber(ARGV[6])) then return concluded({'forgotten'}) end
if ARGV[7] == 'look' then return concluded({'open'}) end
fault = denied('HSET', KEYS[3], 'HDEL', KEYS[3])
if fault then return fault end
local mark = note(state, ARGV[5], 'dropped', {})
return {'settled', 'dropped ' .. decimal(mark)}
