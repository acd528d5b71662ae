-- Keep a registered instance's beat, unless a newer one came first over another way.
-- No era is compared: beats carry no number of ours, and the next one says it all again.
--
-- KEYS: soldiers, beats
-- ARGV: instance, number of the beat, the beat
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
    return 0
end
local newest = redis.call('HGET', KEYS[2], ARGV[1])
if not newest or tonumber(newest:match('^%d+')) <= tonumber(ARGV[2]) then
    redis.call('HSET', KEYS[2], ARGV[1], ARGV[2] .. ' ' .. ARGV[3])
end
return 1
