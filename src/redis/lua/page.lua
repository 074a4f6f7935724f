-- A page of the list, limited in bytes: elements ARGV[1] up to ARGV[2]
-- (exclusive), cut once ARGV[3] bytes are exceeded, but never before the first
-- element. After guard.lua and tail.lua.

local from, to, budget = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local page, bytes, width = {}, 0, 16
while from < to do
  local slice = redis.call('LRANGE', KEYS[1], from, math.min(from + width, to) - 1)
  if #slice == 0 then break end
  for _, record in ipairs(slice) do
    if bytes + #record > budget and #page > 0 then return concluded(page) end
    bytes = bytes + #record
    page[#page + 1] = record
  end
  from = from + #slice
  -- LRANGE is O(start), so few wide slices are better; but the next records
  -- may be larger than those before.
  width = math.min(width * 2, 256)
end
return concluded(page)
