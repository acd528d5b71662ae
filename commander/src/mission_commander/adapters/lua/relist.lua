-- Put missions into the index of live ones, or take them out; one that has moved since is left as it is.
--
-- KEYS: era, live
-- ARGV: era, prefix of missions; then for each mission: id, sequence ('0': there is no record), '1' if it is live
local ERA, LIVE = KEYS[1], KEYS[2]
local missions = ARGV[2]

local era = redis.call('GET', ERA)
if era ~= ARGV[1] then
    return era or 'none'
end

for at = 3, #ARGV, 3 do
    local id = ARGV[at]
    if (redis.call('HGET', missions .. id, 's') or '0') == ARGV[at + 1] then
        if ARGV[at + 2] == '1' then
            redis.call('ZADD', LIVE, 0, id)
        else
            redis.call('ZREM', LIVE, id)
        end
    end
end
return 0
