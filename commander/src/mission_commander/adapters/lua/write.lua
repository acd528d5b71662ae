-- Run one command, also where Redis has no memory left.
--
-- KEYS: its key
-- ARGV: its name, its other arguments
return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))
