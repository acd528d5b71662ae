-- Forget unused lanes whose time has come, oldest first.
-- No era is compared: what is past its time is so in every era, and a mark that was lost is restored from memory.
--
-- KEYS: lanes
-- ARGV: now, limit, prefix of lanes
local doomed = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[1], 'LIMIT', 0, ARGV[2])
for _, name in ipairs(doomed) do
    redis.call('UNLINK', ARGV[3] .. name)
    redis.call('ZREM', KEYS[1], name)
end
return #doomed
