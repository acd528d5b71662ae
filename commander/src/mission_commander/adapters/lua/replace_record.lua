-- Write, or delete, one record of a user or a login if it is the one that the decision was made on; announce what that
-- revokes in the same step.
--
-- KEYS: the record, the stream of revocations
-- ARGV: the version expected ('': none must be there, '*': any or none), the new version ('': delete), the record, how
--       long to keep it in milliseconds (0: for good), what is revoked ('': nothing), until when, how long the stream
--       remembers in milliseconds
local RECORD, REVOCATIONS = KEYS[1], KEYS[2]
local expected, version, record, keep = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

if expected ~= '*' and (redis.call('HGET', RECORD, 'v') or '') ~= expected then
    return 0
end

if version == '' then
    redis.call('DEL', RECORD)
else
    redis.call('HSET', RECORD, 'v', version, 'r', record)
    if keep > 0 then
        redis.call('PEXPIRE', RECORD, keep)
    end
end

if ARGV[5] ~= '' then
    local time = redis.call('TIME')
    local oldest = time[1] * 1000 - tonumber(ARGV[7])
    redis.call('XADD', REVOCATIONS, 'MINID', '~', string.format('%.0f', math.max(oldest, 0)), '*', 'i', ARGV[5], 'u', ARGV[6])
end
return 1
