-- What the three keys hold, also if they disagree: where a repair begins.
--
-- Replies: {'state', length, head, hash, disagreement}, head and hash nil if
-- absent, the disagreement '' if there is none · {'wrongtype', key, type} ·
-- {'denied', command}.

local tail, fault = chain_end()
if tail then
  local reply, last = describe('tail', tail, 0)
  if not last then fault = reply end
elseif fault[1] ~= 'diverged' then
  return concluded(fault)
end
return concluded({
  'state', redis.call('LLEN', KEYS[1]), redis.call('GET', KEYS[2]), redis.call('GET', KEYS[3]),
  fault and fault[2] or '',
})
