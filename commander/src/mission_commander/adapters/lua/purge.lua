-- Remove missions that nobody needs any more, oldest first, and leave a tombstone for each that says when it ended.
--
-- The floor rises to the highest number that one of them showed: a later mission of the same id begins above it. No
-- era is compared here: what is past its retention is so in every era, and the floor only rises.
--
-- KEYS: purgeable, dead, floor
-- ARGV: finished before, limit, prefix of missions, prefix of listings, prefix of tombstones, seconds a tombstone stands
local PURGEABLE, DEAD, FLOOR = KEYS[1], KEYS[2], KEYS[3]
local missions, listings, tombstones, stands = ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local doomed = redis.call('ZRANGEBYSCORE', PURGEABLE, '-inf', '(' .. ARGV[1], 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local top = tonumber(redis.call('GET', FLOOR) or 0)
for i = 1, #doomed, 2 do
    local id, ended_at = doomed[i], doomed[i + 1]
    local row = redis.call('HMGET', missions .. id, 'n', 's')
    local namespace, sequence = row[1], row[2]
    if namespace then
        redis.call('ZREM', listings .. namespace, id)
        top = math.max(top, tonumber(sequence))
    end
    redis.call('UNLINK', missions .. id)
    redis.call('ZREM', PURGEABLE, id)
    redis.call('ZREM', DEAD, id)
    redis.call('SET', tombstones .. id, ended_at, 'EX', stands)
end
if #doomed > 0 then
    redis.call('SET', FLOOR, string.format('%.0f', top))
end
return #doomed / 2
