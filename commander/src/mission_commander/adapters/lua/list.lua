-- A page of a listing, newest first, strictly after a place that need not be in it any more.
--
-- KEYS: listing
-- ARGV: acceptance of the place, its id, limit
local LISTING = KEYS[1]
local at, id, limit = ARGV[1], ARGV[2], tonumber(ARGV[3])

-- Bytes, as the sorted set compares them; Lua's own comparison follows the server's locale.
local function is_below(a, b)
    for i = 1, math.min(#a, #b) do
        local x, y = a:byte(i), b:byte(i)
        if x ~= y then
            return x < y
        end
    end
    return #a < #b
end

-- Among those accepted at the same moment, find the first whose id is below the place's.
local low = redis.call('ZCOUNT', LISTING, '(' .. at, '+inf')
local high = low + redis.call('ZCOUNT', LISTING, at, at)
while low < high do
    local middle = math.floor((low + high) / 2)
    if is_below(redis.call('ZREVRANGE', LISTING, middle, middle)[1], id) then
        high = middle
    else
        low = middle + 1
    end
end
return redis.call('ZREVRANGE', LISTING, low, low + limit - 1)
