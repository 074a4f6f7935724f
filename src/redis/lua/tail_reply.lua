-- The current end of the chain.
--
-- ARGV[1] the highest sequence the reader has seen, 0 for none
-- ARGV[2] its eventHash, '' for none
--
-- Replies: {'tail', hash, head, length, state, found} or one of the faults
-- of append.lua.

local tail, fault = chain_end()
if fault then return concluded(fault) end
return concluded((describe('tail', tail, tonumber(ARGV[1]), ARGV[2])))
