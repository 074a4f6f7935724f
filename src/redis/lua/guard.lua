-- Shared by every script that checks permissions before it writes; read-only.

-- The first of these commands, each followed by its key, that the user may not do,
-- as a reply; nil if there is none, or if this server has no acl_check_cmd (before
-- 7.0). Asked before the first write, because an error does not undo earlier writes.
local function denied(...)
  local may = redis.acl_check_cmd
  if not may then return nil end
  for place = 1, select('#', ...), 2 do
    local command, key = select(place, ...)
    if not may(command, key, '') then return {'denied', command} end
  end
  return nil
end

-- The error of a command, without the script's line, which servers before 7.0 put before it.
local function error_of(answer)
  return redis.error_reply((string.gsub(answer.err, '^@user_script: %d+: %-?', '')))
end

-- `reply`, unless this server is a replica, whose data may be behind: then its
-- error. The rest of the arguments is a write that changes nothing; a replica
-- refuses it before anything else does. Only where no write follows: after a
-- write, a full server accepts more.
local function on_primary(reply, ...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err and string.find(answer.err, 'READONLY', 1, true) then
    return error_of(answer)
  end
  return reply
end

-- Error texts for a missing permission of the script's user.
local DENIALS = {'NOPERM', 'ACL failure in script', 'user executing the script can'}

-- Reads a key; the second value is a fault to reply if the key has another
-- type, or the user may not read it.
local function read(command, ...)
  local reply = redis.pcall(command, ...)
  if type(reply) ~= 'table' or not reply.err then return reply end
  if string.sub(reply.err, 1, 9) == 'WRONGTYPE' then
    local key = ...
    return nil, {'wrongtype', key, redis.call('TYPE', key).ok}
  end
  for _, denial in ipairs(DENIALS) do
    if string.find(reply.err, denial, 1, true) then return nil, {'denied', command} end
  end
  return nil, error_of(reply)
end

