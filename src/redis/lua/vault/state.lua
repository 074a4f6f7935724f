-- Shared by every script of the token vault, after guard.lua.
--
-- KEYS[1] tokens (HASH), KEYS[2] version (STRING), KEYS[3] receipts (HASH),
-- KEYS[4] expiry (ZSET), whose member '' makes it exist from the first mutation on.
--
-- Each receipt has a sequence number, its mark. Fields of receipts, besides one
-- for each mutation kept:
--   #next    how many receipts were ever written: the mark of the next one
--   #kept    how many receipts are kept at least, the same for every replica:
--            written with the first receipt
--   #span    '{first} {life} {next}': the lowest mark whose receipt is kept; how long
--            receipts are kept at least, in milliseconds of the server's clock, the
--            longest deadline of any replica; and #next, as it was left by these
--            scripts: those of earlier versions keep the last #kept receipts only
--   #{mark}  '{mutation} {written}' of the receipt with this mark, the server's time in
--            microseconds when it was first written; '~' before it once the mutation has a
--            receipt with another mark. After a rollback the same mutation may get the
--            same mark again, after other receipts, but at another time
--   #last    '{mutation} {written}' of the newest receipt
--   #own     how often version was changed by this store
-- A receipt is 'open {version} {mark}' (the mutation will be fenced on the
-- whole vault at that version), 'done {version} {attempt} {mark}' or
-- 'dropped {mark}'.

-- #kept where nothing else is written.
local KEPT = '10000'

-- From here on %.14g, by which Lua prints numbers, would not be exact.
local MAX_VERSION = 9e13

-- Whether the writes of a mutation are denied, asked before the first one.
local function writes_denied()
  return denied('HSET', KEYS[1], 'HDEL', KEYS[1], 'INCR', KEYS[2], 'HSET', KEYS[3], 'HDEL', KEYS[3])
end

local function decimal(number) return string.format('%.0f', number) end

-- The number in a plain decimal text, nil for any other.
local function plain(text)
  if text == '0' then return 0 end
  if #text > 15 or not string.find(text, '^[1-9]%d*$') then return nil end
  return tonumber(text)
end

-- A reply that the caller concludes something from: `reply`, if this is a
-- primary. No receipt has the field ''.
local function concluded(reply) return on_primary(reply, 'HDEL', KEYS[3], '') end

local function unreadable(key, what) return {'unreadable', key, what} end

-- The mark that a receipt's text ends with.
local function mark_of(receipt) return tonumber(string.match(receipt, '(%d+)$')) end

-- The time of the server's clock in microseconds, or nil and a fault to reply.
local function server_micros()
  local time, fault = read('TIME')
  if fault then return nil, fault end
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function millis(micros) return math.floor(micros / 1000) end

-- The state of the vault, with the receipt of mutation `id` ('' for none), or
-- nil and a fault to reply. What the caller's process has observed are `seen_version` and
-- the last arguments, the mark of each of `seen_receipts` and what is stored for it; `life`
-- is its longest deadline in milliseconds.
-- state.lost: some of that is gone, a rollback.
local function vault_state(id, seen_version, seen_receipts, life)
  local text, fault = read('GET', KEYS[2])
  if fault then return nil, fault end
  text = text or '0'
  local version = plain(text)
  if not version or version >= MAX_VERSION then
    return nil, unreadable(KEYS[2], 'a version that is not a decimal number below 90000000000000')
  end
  local slots, before = {}, #ARGV - 2 * seen_receipts
  for place = 1, seen_receipts do slots[place] = '#' .. ARGV[before + 2 * place - 1] end
  local kept
  kept, fault = read('HMGET', KEYS[3], id, '#next', '#own', '#last', '#kept', '#span', unpack(slots))
  if fault then return nil, fault end
  local micros
  micros, fault = server_micros()
  if fault then return nil, fault end
  local next_mark, own = plain(kept[2] or '0'), plain(kept[3] or '0')
  local ring = plain(kept[5] or KEPT)
  local first, longest, written = string.match(kept[6] or '0 0 ', '^(%d+) (%d+) (%d*)$')
  if not next_mark or not own or not ring or ring == 0 or not first then
    return nil, unreadable(KEYS[3], 'a counter (#next, #own, #kept or #span) that is not a decimal number, or #kept 0')
  end
  first = tonumber(first)
  if written ~= (kept[2] or '') then first = math.max(first, next_mark - ring) end

  local lost = version < tonumber(seen_version)
  for place = 1, seen_receipts do
    local mark, seen, slot = tonumber(ARGV[before + 2 * place - 1]), ARGV[before + 2 * place], kept[6 + place]
    lost = lost or next_mark <= mark or (mark >= first and slot ~= seen and slot ~= '~' .. seen)
  end
  if own > version and not lost then
    return nil, unreadable(KEYS[2], 'a version below the number of mutations that receipts count (' .. decimal(own)
      .. '): it was deleted or restored; once the tokens are known to be whole, set it to that number')
  end
  return {
    version = version, text = text, next_mark = next_mark, own = own, lost = lost,
    newest = kept[4] or '', micros = micros, time = millis(micros), ring = ring, is_ring_written = kept[5],
    first = first, life = math.max(tonumber(longest), tonumber(life)),
    receipt = id ~= '' and kept[1] or nil,
  }
end

-- Whether the mutation has ended, applied or dropped.
local function settled(state)
  return state.receipt and string.sub(state.receipt, 1, 5) ~= 'open '
end

local function lost(state) return concluded({'lost', state.version}) end

-- The reply that mutation `id` has ended: {'settled', receipt, when it was written, or ''}.
local function ended(state, id)
  local slot, fault = read('HMGET', KEYS[3], '#' .. (string.match(state.receipt, '(%d+)$') or ''))
  if fault then return concluded(fault) end
  local mutation, written = string.match(slot[1] or '', '^(%S+) (%d+)$')
  return concluded({'settled', state.receipt, mutation == id and written or ''})
end

-- Whether a mutation that began at `mark` may have had a receipt that is no
-- longer kept.
local function receipt_expired(state, mark) return mark < state.first end

-- Reads these fields of tokens; `unpack` takes at most some 8,000.
local function values(ids)
  if #ids > 0 and #ids <= 4000 then return read('HMGET', KEYS[1], unpack(ids)) end
  local found = {}
  for first = 1, #ids, 4000 do
    local slice, fault = read('HMGET', KEYS[1], unpack(ids, first, math.min(first + 3999, #ids)))
    if fault then return nil, fault end
    for place = 1, #slice do found[first + place - 1] = slice[place] end
  end
  return found
end

-- Deletes the oldest receipts if there are more than #kept and they are older than
-- the longest deadline, a few at a time; returns the lowest mark that is kept.
local function forget_old(state)
  local first = state.first
  for _ = 1, 4 do
    if state.next_mark - first < state.ring then break end
    local slot = '#' .. decimal(first)
    local oldest = redis.call('HMGET', KEYS[3], slot)[1]
    local id, written = string.match(oldest or '', '^(%S+) .-(%d+)$')
    -- One from the future is old: the clock was set back.
    local age = state.micros - (tonumber(written) or 0)
    if age >= 0 and age < state.life * 1000 then break end
    if oldest then redis.call('HDEL', KEYS[3], slot, id or oldest) end
    first = first + 1
  end
  return first
end

-- Writes the receipt of `id` together with `fields`, and returns its mark and when it was
-- written: a new mark, unless an open receipt is opened again. So whoever has seen that a
-- mutation ended knows another mark than of the open receipt, to which a rollback can lead
-- back. Called last, after permissions were checked.
local function note(state, id, text, fields)
  local opened = state.receipt and mark_of(state.receipt)
  if opened and string.sub(text, 1, 5) == 'open ' then
    redis.call('HSET', KEYS[3], id, text .. ' ' .. decimal(opened), unpack(fields))
    return opened
  end
  local first = forget_old(state)
  -- Not deleted: a mark without a time is taken for an old one.
  if opened and opened >= first then
    local slot = '#' .. decimal(opened)
    local superseded = string.gsub(redis.call('HMGET', KEYS[3], slot)[1] or '', '^~?', '~', 1)
    fields[#fields + 1], fields[#fields + 2] = slot, superseded
  end
  if not state.is_ring_written then
    fields[#fields + 1], fields[#fields + 2] = '#kept', KEPT
  end
  local mark, next_mark, written = decimal(state.next_mark), decimal(state.next_mark + 1), decimal(state.micros)
  redis.call('HSET', KEYS[3], id, text .. ' ' .. mark,
    '#' .. mark, id .. ' ' .. written, '#last', id .. ' ' .. written, '#next', next_mark,
    '#span', string.format('%.0f %.0f %s', first, state.life, next_mark), unpack(fields))
  return state.next_mark, written
end
