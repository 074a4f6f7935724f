-- Shared by every script of the audit chain, after guard.lua; it changes nothing.
--
-- KEYS[1] chain (LIST), KEYS[2] head (STRING), KEYS[3] head:hash (STRING).

-- Whether what an append writes is denied, in order.
local function writes_denied() return denied('RPUSH', KEYS[1], 'SET', KEYS[2], 'SET', KEYS[3]) end

-- What a sealed record has once, and its event may have too.
local MEMBER = '"auditIntegrity":'

-- Whether a record that cjson does not read, since it is nested deeper or has a
-- lone surrogate, names this hash and sequence.
local function mentions(text, hash, sequence)
  return string.find(text, '"eventHash"%s*:%s*"' .. string.gsub(hash, '%-', '%%-') .. '"') ~= nil
    and string.find(text, '"sequence"%s*:%s*' .. string.format('%.0f', sequence) .. '[^%d]') ~= nil
end

-- A record's auditIntegrity; nil if cjson does not read the record.
local function integrity_of(text)
  local _, last = string.find(text, MEMBER, 1, true)
  if last and not string.find(text, MEMBER, last + 1, true) then
    local parsed, integrity = pcall(cjson.decode, string.match(text, '^%b{}', last + 1) or '')
    if parsed then return integrity end
  end
  local parsed, record = pcall(cjson.decode, text)
  if not parsed then return nil end
  local integrity = type(record) == 'table' and record.auditIntegrity
  return type(integrity) == 'table' and integrity or {}
end

-- Whether a record has this hash and sequence; and the hash that it has, '' if it
-- cannot be read.
local function is_record(text, hash, sequence)
  local integrity = integrity_of(text)
  if not integrity then return mentions(text, hash, sequence), '' end
  local found = type(integrity.eventHash) == 'string' and integrity.eventHash or ''
  return found == hash and integrity.sequence == sequence, found
end

-- Whether a record is the one that head and head:hash name. For records written by
-- a store it is enough to compare its auditIntegrity with the text of head.
local function is_sealed_as(text, head, hash)
  local first, last = string.find(text, MEMBER, 1, true)
  if first and string.sub(text, last + 1, last + #head) == head
      and not string.find(text, MEMBER, last + 1, true) then
    return true
  end
  local sealed, integrity = pcall(cjson.decode, head)
  if not sealed or type(integrity) ~= 'table' or type(integrity.sequence) ~= 'number' then
    return false
  end
  return (is_record(text, hash, integrity.sequence))
end

-- A reply that a writer or reader concludes something from: `reply`, if this is
-- a primary.
local function concluded(reply)
  local hash = redis.pcall('GET', KEYS[3])
  local is_absent = hash == false
  -- Without permission to read it nothing tells which of the two changes nothing.
  if type(hash) == 'table' and string.sub(hash.err or '', 1, 9) ~= 'WRONGTYPE' then return reply end
  return on_primary(reply, 'SET', KEYS[3], '', is_absent and 'XX' or 'NX')
end

-- The end of the chain, in constant time: {length, hash, head}, hash and head
-- empty for an empty chain. nil and a fault to reply unless head, head:hash and
-- the list's last element are of one record.
local function chain_end()
  local length, fault = read('LLEN', KEYS[1])
  if fault then return nil, fault end
  local head
  head, fault = read('GET', KEYS[2])
  if fault then return nil, fault end
  local hash
  hash, fault = read('GET', KEYS[3])
  if fault then return nil, fault end

  if length == 0 and not head and not hash then
    return {length = 0, hash = '', head = ''}
  end
  if length == 0 then
    return nil, {'diverged', 'the list is empty, but head or head:hash is there'}
  end
  if not hash then
    return nil, {'diverged', 'head:hash is absent, but the list holds ' .. length .. ' records'}
  end
  if not head then
    return nil, {'diverged', 'head is absent, but the list holds ' .. length .. ' records'}
  end
  if not string.find(head, '"eventHash":"' .. hash .. '"', 1, true) then
    local parsed, integrity = pcall(cjson.decode, head)
    if not parsed or type(integrity) ~= 'table' or integrity.eventHash ~= hash then
      return nil, {'diverged', 'head and head:hash name different records'}
    end
  end
  local last
  last, fault = read('LINDEX', KEYS[1], -1)
  if fault then return nil, fault end
  if not is_sealed_as(last, head, hash) then
    return nil, {'diverged', 'the last record of the list is not the one that head:hash names'}
  end
  return {length = length, hash = hash, head = head}
end

-- The record at `sequence`: 'none' past the end, 'trimmed' before the list's
-- first element, or 'at' and the record. Positions are counted from the tail, so
-- that trimming makes no difference.
local function record_at(tail, last, sequence)
  local back = last - sequence + 1
  if back < 1 then return 'none', '' end
  if back > tail.length then
    if tail.length < last then return 'trimmed', '' end
    return 'none', ''
  end
  return 'at', redis.call('LINDEX', KEYS[1], -back)
end

-- The reply that describes the end of the chain to a writer that had seen the
-- record `hash` at `seen` (a sequence; 0 for nothing seen): {kind, hash, head,
-- length, state, found}. The state is 'unasked', 'stands', 'none', 'trimmed', or
-- 'other' with the hash found. The second value is the last sequence.
local function describe(kind, tail, seen, hash)
  if tail.length == 0 then
    return {kind, '', '', 0, seen > 0 and 'none' or 'unasked', ''}, 0
  end
  local parsed, integrity = pcall(cjson.decode, tail.head)
  local last = parsed and type(integrity) == 'table' and tonumber(integrity.sequence)
  if not last or last < tail.length then
    return {'diverged', 'the list holds ' .. tail.length .. ' records, which the sequence in head does not allow'}
  end
  if seen == 0 then
    return {kind, tail.hash, tail.head, tail.length, 'unasked', ''}, last
  end
  local state, record = record_at(tail, last, seen)
  local found = ''
  if state == 'at' then
    local stands
    stands, found = is_record(record, hash, seen)
    state = stands and 'stands' or 'other'
  end
  return {kind, tail.hash, tail.head, tail.length, state, found}, last
end
