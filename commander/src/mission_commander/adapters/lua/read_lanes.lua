-- Read whole lanes with one answer.
--
-- ARGV: prefix of lanes, the names
local found = {}
for i = 2, #ARGV do
    found[i - 1] = redis.call('HGETALL', ARGV[1] .. ARGV[i])
end
return found
