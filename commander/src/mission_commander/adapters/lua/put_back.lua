-- Put hand-outs into the outbox once more, behind all that wait there; an entry that waits already keeps its place.
--
-- KEYS: era, outbox
-- ARGV: era, the entries
local ERA, OUTBOX = KEYS[1], KEYS[2]

local era = redis.call('GET', ERA)
if era ~= ARGV[1] then
    return era or 'none'
end

local place = tonumber(redis.call('ZRANGE', OUTBOX, -1, -1, 'WITHSCORES')[2] or 0)
for at = 2, #ARGV do
    place = place + 1
    redis.call('ZADD', OUTBOX, 'NX', place, ARGV[at])
end
return 0
