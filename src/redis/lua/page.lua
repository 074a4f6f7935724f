-- A page of the list, bounded in bytes whatever the records' size: elements
-- ARGV[1] up to ARGV[2] (exclusive), cut short once ARGV[3] bytes are
-- exceeded, but never before the first element.

local from, to, budget = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local page, bytes = {}, 0
while from < to do
  local slice = redis.call('LRANGE', KEYS[1], from, math.min(from + 16, to) - 1)
  if #slice == 0 then break end
  for _, record in ipairs(slice) do
    if bytes + #record > budget and #page > 0 then return page end
    bytes = bytes + #record
    page[#page + 1] = record
  end
  from = from + #slice
end
return page
