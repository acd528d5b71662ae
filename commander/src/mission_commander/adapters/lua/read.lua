-- Read some fields of many missions with one answer.
--
-- ARGV: prefix of missions, how many fields, the fields, the ids
local count = tonumber(ARGV[2])
local fields = {}
for i = 1, count do
    fields[i] = ARGV[2 + i]
end

local found = {}
for i = 3 + count, #ARGV do
    found[#found + 1] = redis.call('HMGET', ARGV[1] .. ARGV[i], unpack(fields))
end
return found
