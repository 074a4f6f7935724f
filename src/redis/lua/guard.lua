-- Shared by every script that has to be sure before it writes; it only reads.

-- The first write that the user may not do, as a reply; nil if there is none,
-- or if this server cannot tell (before 7.0). Asked before the first write,
-- because an error does not undo the writes before it.
local function denied(writes)
  if not redis.acl_check_cmd then return nil end
  for _, write in ipairs(writes) do
    if not redis.acl_check_cmd(write[1], write[2], '') then return {'denied', write[1]} end
  end
  return nil
end

-- Ways in which servers say that a script's user may not do something.
local DENIALS = {'NOPERM', 'ACL failure in script', 'user executing the script can'}

-- A reading that is refused ends the script with a reply that says why: the
-- key is of another type, or the user may not read it.
local function read(command, key, ...)
  local reply = redis.pcall(command, key, ...)
  if type(reply) ~= 'table' or not reply.err then return reply end
  if string.sub(reply.err, 1, 9) == 'WRONGTYPE' then
    return nil, {'wrongtype', key, redis.call('TYPE', key).ok}
  end
  for _, denial in ipairs(DENIALS) do
    if string.find(reply.err, denial, 1, true) then return nil, {'denied', command} end
  end
  return nil, redis.error_reply(reply.err)
end

