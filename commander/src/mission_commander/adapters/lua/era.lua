-- Put an era in force if the one that it replaces ('none' where there is none) still is; answer with the one in force.
--
-- Numbers of purged missions are noted from now on: a ledger without a floor was written by an older version, or is empty.
--
-- KEYS: era, floor
-- ARGV: the new era, the one that it replaces
local in_force = redis.call('GET', KEYS[1]) or 'none'
if in_force ~= ARGV[2] then
    return in_force
end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('SETNX', KEYS[2], '0')
return ARGV[1]
