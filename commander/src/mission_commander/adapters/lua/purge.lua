-- Remove missions that nobody needs any more, oldest first, and leave a tombstone for each.
--
-- KEYS: purgeable, dead
-- ARGV: finished before, limit, prefix of missions, prefix of listings, prefix of tombstones, seconds a tombstone stands
local PURGEABLE, DEAD = KEYS[1], KEYS[2]
local missions, listings, tombstones, stands = ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local doomed = redis.call('ZRANGEBYSCORE', PURGEABLE, '-inf', '(' .. ARGV[1], 'LIMIT', 0, ARGV[2])
for _, id in ipairs(doomed) do
    local namespace = redis.call('HGET', missions .. id, 'n')
    if namespace then
        redis.call('ZREM', listings .. namespace, id)
    end
    redis.call('UNLINK', missions .. id)
    redis.call('ZREM', PURGEABLE, id)
    redis.call('ZREM', DEAD, id)
    redis.call('SET', tombstones .. id, '', 'EX', stands)
end
return #doomed
