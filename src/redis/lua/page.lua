-- A page of the list, bounded in bytes whatever the records' size: elements
-- ARGV[1] up to ARGV[2] (exclusive), cut short once ARGV[3] bytes are
-- exceeded, but never before the first element.

local from, to, budget = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local page, bytes, width = {}, 0, 16
while from < to do
  local slice = redis.call('LRANGE', KEYS[1], from, math.min(from + width, to) - 1)
  if #slice == 0 then break end
  for _, record in ipairs(slice) do
    if bytes + #record > budget and #page > 0 then return page end
    bytes = bytes + #record
    page[#page + 1] = record
  end
  from = from + #slice
  -- Every slice walks to its place in the list again, so few and wide ones are
  -- better; but what comes next may be larger than what came before.
  width = math.min(width * 2, 256)
end
return page
