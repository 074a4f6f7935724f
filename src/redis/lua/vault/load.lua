-- Reads tokens, and the state that a mutation of them begins with.
--
-- ARGV[1..3] what the caller's process has observed, see vault_state
-- ARGV[4]    '' or the mutation that will fence on the whole vault: its open
--            receipt proves at the fence that the version is the one read here,
--            and not the same number after a rollback
-- ARGV[5]    'all' for every token, 'some' for those named
-- ARGV[6] …  token ids
--
-- Replies: {'loaded', version, mark, values, newest, next mark, time} with values in the order of
-- the ids, or ids and values in turn · {'lost', version} · {'large', how many tokens
-- there are, how many are read at once} · a fault:
-- {'wrongtype', key, type}, {'denied', command}, {'unreadable', key, what}.

-- More would hold Redis for too long.
local MOST_TOKENS = 100000

local state, fault = vault_state(ARGV[4], ARGV[1], tonumber(ARGV[2]), ARGV[3])
if fault then return concluded(fault) end
if state.lost then return lost(state) end

local found
if ARGV[5] == 'all' then
  local size
  size, fault = read('HLEN', KEYS[1])
  if fault then return concluded(fault) end
  if size > MOST_TOKENS then return concluded({'large', size, MOST_TOKENS}) end
  found, fault = read('HGETALL', KEYS[1])
else
  local ids = {}
  for place = 6, #ARGV - 2 * ARGV[2] do ids[place - 5] = ARGV[place] end
  found, fault = values(ids)
end
if fault then return concluded(fault) end
local mark, newest = state.next_mark, state.newest
if ARGV[4] ~= '' then
  -- The mutation begins at its receipt's own number, by which it is decided
  -- later whether the receipt can still be kept.
  if settled(state) then
    mark = mark_of(state.receipt)
  else
    fault = writes_denied()
    if fault then return fault end
    mark = note(state, ARGV[4], 'open ' .. state.text, {})
  end
end
local reply = {'loaded', state.version, mark, found, newest, state.next_mark, state.time}
if ARGV[4] ~= '' and not settled(state) then return reply end
return concluded(reply)
