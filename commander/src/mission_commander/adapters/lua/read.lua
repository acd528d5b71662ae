-- Read some fields of many missions with one answer, as many as fit: a whole answer must not outlast its deadline.
--
-- ARGV: prefix of missions, bytes after which no more missions are read, how many fields, the fields, the ids
local room, count = tonumber(ARGV[2]), tonumber(ARGV[3])
local fields = {}
for i = 1, count do
    fields[i] = ARGV[3 + i]
end

local found = {}
for i = 4 + count, #ARGV do
    local row = redis.call('HMGET', ARGV[1] .. ARGV[i], unpack(fields))
    found[#found + 1] = row
    for _, value in ipairs(row) do
        room = room - (value and #value or 0)
    end
    if room <= 0 then
        break
    end
end
return found
