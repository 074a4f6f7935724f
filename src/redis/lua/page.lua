-- A page of the list, limited in bytes: elements ARGV[1] up to ARGV[2]
-- (exclusive), as many as fit ARGV[3] bytes, and at least one. After guard.lua
-- and tail.lua.

local from, to, budget = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local page, bytes, largest, width = {}, 0, 1, 1
while from < to and width > 0 do
  local slice = redis.call('LRANGE', KEYS[1], from, math.min(from + width, to) - 1)
  if #slice == 0 then break end
  for _, record in ipairs(slice) do
    if bytes + #record > budget and #page > 0 then return concluded(page) end
    bytes, largest = bytes + #record, math.max(largest, #record)
    page[#page + 1] = record
  end
  from = from + #slice
  -- LRANGE is O(start), so few wide slices are better; but what is read and does
  -- not fit holds up the server for nothing, and the next records are probably as
  -- large as the largest so far.
  width = math.min(width * 2, 256, math.floor((budget - bytes) / largest))
end
return concluded(page)
