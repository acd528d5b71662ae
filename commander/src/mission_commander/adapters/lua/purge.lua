-- Remove missions that nobody needs any more, oldest first, and leave a tombstone for each that says when it ended.
--
-- The floor rises to the highest number that one of them showed: a later mission of the same id begins above it. No
-- era is compared here: what is past its retention is so in every era, and the floor only rises.
--
-- KEYS: purgeable, dead, floor, usage
-- ARGV: finished before, limit, prefix of missions, prefix of listings, prefix of tombstones, seconds a tombstone stands,
--     bytes that a mission takes beside its record and payload
local PURGEABLE, DEAD, FLOOR, USAGE = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local missions, listings, tombstones, stands = ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local function shrink(field, bytes)
    if bytes ~= 0 and redis.call('HINCRBY', USAGE, field, -bytes) <= 0 then
        redis.call('HDEL', USAGE, field)
    end
end

local function discount(key, owner)
    local payload = redis.call('HSTRLEN', key, 'p')
    local held = redis.call('HSTRLEN', key, 'r') + payload + ARGV[7]
    for _, one in ipairs({ owner, '' }) do
        shrink('b' .. one, held)
        shrink('p' .. one, payload)
    end
end

local doomed = redis.call('ZRANGEBYSCORE', PURGEABLE, '-inf', '(' .. ARGV[1], 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local top = tonumber(redis.call('GET', FLOOR) or 0)
for i = 1, #doomed, 2 do
    local id, ended_at = doomed[i], doomed[i + 1]
    local row = redis.call('HMGET', missions .. id, 'n', 's', 'o')
    local namespace, sequence, owner = row[1], row[2], row[3]
    if namespace then
        redis.call('ZREM', listings .. namespace, id)
        if owner then -- else an older Commander wrote it, and it was never counted
            discount(missions .. id, owner)
        end
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
