-- Compare-and-apply: the whole diff once, or nothing.
--
-- ARGV[1..3] what the caller's process has observed, see vault_state
-- ARGV[4]    the mutation; at most one of its attempts is applied
-- ARGV[5]    the attempt's number
-- ARGV[6]    the receipt number (mark) at which the mutation began
-- ARGV[7]    the key of the lock, which is only read
-- ARGV[8]    the foreign lock token that is not waited for, '*' for all
-- ARGV[9]    the fence: '' for the values below, or the version of the whole
--            vault that the open receipt names
-- ARGV[10]   how many tokens are compared, then how many are set and deleted:
-- ARGV[11], ARGV[12]
-- ARGV[13] … id, '1' and the value it had, or '0' and ''; id, value, the time
--            it expires in milliseconds or ''; id
--
-- Replies: {'committed', version, mark, when the receipt was written} · {'conflict',
-- 'value'|'version', version, mark, the compared tokens' values, newest, next mark, time} ·
-- {'held', token} · {'settled', receipt, when it was written} · {'forgotten'} ·
-- {'lost', version} · a fault as in load.lua. Only the first one writes.

local id = ARGV[4]
local state, fault = vault_state(id, ARGV[1], tonumber(ARGV[2]), ARGV[3])
if fault then return concluded(fault) end
if settled(state) then return ended(state, id) end
if state.lost or tonumber(ARGV[6]) > state.next_mark then return lost(state) end
if receipt_expired(state, tonumber(ARGV[6])) then return concluded({'forgotten'}) end

-- Replicas that follow the whole-snapshot protocol fail if version changes too
-- often while they have the lock. Locks of this store begin with 'own:'. If it cannot
-- be read, because it has moved to another node of a cluster, it is not waited for.
local holder = redis.pcall('GET', ARGV[7])
if type(holder) == 'string' and ARGV[8] ~= '*' and ARGV[8] ~= holder
    and string.sub(holder, 1, 4) ~= 'own:' then
  return concluded({'held', holder})
end

local compared, set, deleted = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local ids = {}
for place = 1, compared do ids[place] = ARGV[10 + 3 * place] end
local found
found, fault = values(ids)
if fault then return concluded(fault) end
local moved = nil
if ARGV[9] ~= '' and (state.text ~= ARGV[9] or string.match(state.receipt or '', '^open (%d+) ') ~= ARGV[9]) then
  moved = 'version'
end
for place = 1, compared do
  local expected = ARGV[11 + 3 * place] == '1' and ARGV[12 + 3 * place]
  if found[place] ~= expected then moved = moved or 'value' end
end
if moved then
  return concluded({'conflict', moved, state.version, state.next_mark, found, state.newest, state.next_mark,
    state.time})
end

fault = writes_denied()
if fault then return fault end

local sets, scores, gone = {}, {}, {}
local first_set = 13 + 3 * compared
for place = 0, set - 1 do
  local at = first_set + 3 * place
  sets[#sets + 1], sets[#sets + 2] = ARGV[at], ARGV[at + 1]
  if ARGV[at + 2] == '' then
    gone[#gone + 1] = ARGV[at]
  else
    scores[#scores + 1], scores[#scores + 2] = ARGV[at + 2], ARGV[at]
  end
end
local deletes = {}
for place = 0, deleted - 1 do
  local token = ARGV[first_set + 3 * set + place]
  deletes[#deletes + 1], gone[#gone + 1] = token, token
end

-- Runs `command` on `key` with all of `words`, as few times as `unpack` allows.
local function all(call, command, key, words)
  for first = 1, #words, 4000 do
    local reply = call(command, key, unpack(words, first, math.min(first + 3999, #words)))
    if type(reply) == 'table' and reply.err then return false end
  end
  return true
end

all(redis.call, 'HDEL', KEYS[1], deletes)
all(redis.call, 'HSET', KEYS[1], sets)
local version = redis.call('INCR', KEYS[2])
-- The index is advisory: if it cannot be updated, #own is not incremented, and
-- the drift causes a rebuild.
local indexed = all(redis.pcall, 'ZADD', KEYS[4], scores)
indexed = all(redis.pcall, 'ZREM', KEYS[4], gone) and indexed
-- A key that is declared and absent would keep a slot from being served while it moves.
if state.own == 0 then all(redis.pcall, 'ZADD', KEYS[4], {'NX', '-inf', ''}) end
local own = indexed and state.own + 1 or state.own
local mark, written = note(state, id, 'done ' .. decimal(version) .. ' ' .. ARGV[5], {'#own', decimal(own)})
return {'committed', version, mark, written}
