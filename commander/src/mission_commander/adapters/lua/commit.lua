-- Apply each change whose expectation holds, announce it, and answer for each: an event id, or {the record held}.
-- Everything is compared before it is written; an era that differs, or a stream that lacks an event which the caller
-- saw, ends the script before the first write.
--
-- A lane is applied together with its missions' changes, or none of them is. Lanes are answered first: 1 or 0.
--
-- A new mission has numbers above the purge floor: where that is higher than the caller knew, the answer is
-- {the record held, the floor}.
--
-- What each owner has is counted in `usage`: bytes held (field b<owner>), of them payload (p<owner>); without an owner, of
-- all together.
--
-- KEYS: era, live, outbox, purgeable, dead, events, lanes, floor, usage
-- ARGV: era, prefix of missions, prefix of listings, events to keep, event seen, prefix of lanes, how many fields lanes
--     have, the floor that new missions were decided with ('': there are none), prefix of tombstones, bytes that a
--     mission takes beside its record and payload;
-- for each lane: name, expected version, version, record, until when it is kept, '1' if this is the whole lane, what to
--     announce, how many entries, each as place and mission ('-': nobody), how many changes, each by its number from 0;
-- then fourteen fields for each change; the twelfth says 'n' of a new mission, and 'r' where it replaces the record of
-- an earlier life of its id:
local ID, EXPECTED, SEQUENCE, RECORD, PAYLOAD, NAMESPACE = 0, 1, 2, 3, 4, 5
local ACCEPTED_AT, HAND_OUT, IS_LIVE, PURGEABLE_SINCE, DEAD_SINCE, KIND = 6, 7, 8, 9, 10, 11
local OWNER, DROPS_PAYLOAD = 12, 13
local LANES, STRIDE = 11, 14
local MISSION_BYTES = tonumber(ARGV[10])
local FIRST = LANES + ARGV[7]

local call = redis.call
local ERA, LIVE, OUTBOX, PURGEABLE, DEAD, EVENTS = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local missions, listings, kept, seen, lanes = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local era = call('GET', ERA)
if era ~= ARGV[1] then
    return era or 'none'
end

local newest = call('XREVRANGE', EVENTS, '+', '-', 'COUNT', 1)[1]
local last_event = newest and newest[1] or '0-0'

local function is_before(a, b)
    local a_ms, a_n = a:match('^(%d+)%-(%d+)$')
    local b_ms, b_n = b:match('^(%d+)%-(%d+)$')
    return tonumber(a_ms) < tonumber(b_ms) or (a_ms == b_ms and tonumber(a_n) < tonumber(b_n))
end

-- An event that is not here was dropped by its age, if it is older than the oldest one; else it was lost.
local function was_lost(event)
    if event == last_event or event == '0-0' or #call('XRANGE', EVENTS, event, event) > 0 then
        return false
    end
    local oldest = call('XRANGE', EVENTS, '-', '+', 'COUNT', 1)[1]
    return not (oldest and is_before(event, oldest[1]))
end

if was_lost(seen) then
    return 'rolled back'
end

local floor = ARGV[8] ~= '' and call('GET', KEYS[8])
if floor == false and ARGV[8] ~= '' then
    return 'no floor'
end
local is_too_low = floor and tonumber(floor) > tonumber(ARGV[8])

local place = nil -- of the newest hand-out in the outbox; read when the first is written

local function hand_out(entry)
    place = place or tonumber(call('ZRANGE', OUTBOX, -1, -1, 'WITHSCORES')[2] or 0)
    place = place + 1
    call('ZADD', OUTBOX, 'NX', place, entry) -- an entry that waits already keeps its place
end

local function put(index, since, id)
    if since == '' then
        call('ZREM', index, id)
    else
        call('ZADD', index, since, id)
    end
end

-- The first id of a stream has the microseconds in its number, so that ids grow also past a wipe within a millisecond.
local function first_event_id()
    local now = call('TIME')
    local microseconds = tonumber(now[2])
    return string.format('%s%03d-%d', now[1], microseconds / 1000, microseconds % 1000 * 1000)
end

local next_id = newest and '*' or first_event_id()

local answers = {}
local spoiled, tells = {}, {} -- by the place of a change's first field

local reading = LANES
local function take(count)
    reading = reading + (count or 1)
    return ARGV[reading - (count or 1)]
end

local function put_places(key, whole, from, count)
    if whole == '1' then
        call('DEL', key)
    end
    for at = from, from + 2 * count - 2, 2 do
        if ARGV[at + 1] == '-' then
            call('HDEL', key, ARGV[at])
        else
            call('HSET', key, ARGV[at], ARGV[at + 1])
        end
    end
end

local function is(kind, at)
    return ARGV[at + KIND]:find(kind, 1, true) ~= nil
end

local grown = {} -- by field of the usage

local function grow(owner, held, payload)
    grown['b' .. owner] = (grown['b' .. owner] or 0) + held
    grown['p' .. owner] = (grown['p' .. owner] or 0) + payload
end

local function fits(at)
    if is_too_low and is('n', at) then
        return false
    end
    return (call('HGET', missions .. ARGV[at + ID], 's') or '0') == ARGV[at + EXPECTED]
end

while reading < FIRST do
    local name, expected, version, record, stays, whole, text = take(), take(), take(), take(), take(), take(), take()
    local entries = tonumber(take())
    local first_entry = reading
    take(2 * entries)
    local key = lanes .. name
    local good = (call('HGET', key, 'v') or '0') == expected
    local changes = {}
    for i = 1, tonumber(take()) do
        changes[i] = FIRST + take() * STRIDE
        good = good and fits(changes[i])
    end
    if good then
        put_places(key, whole, first_entry, entries)
        call('HSET', key, 'v', version, 'r', record)
        call('ZADD', KEYS[7], stays, name)
        if #changes > 0 then
            tells[changes[#changes]] = text
        end
    else
        for _, at in ipairs(changes) do
            spoiled[at] = true
        end
    end
    answers[#answers + 1] = good and 1 or 0
end

for at = FIRST, #ARGV, STRIDE do
    local id, record, payload = ARGV[at + ID], ARGV[at + RECORD], ARGV[at + PAYLOAD]
    local key = missions .. id
    local held = call('HGET', key, 's')
    if spoiled[at] or not fits(at) then
        answers[#answers + 1] = { held and call('HGET', key, 'r'), is_too_low and is('n', at) and floor }
    else
        -- What was counted of it; a record by an older Commander never was, and counts in full from now on. An earlier
        -- life counted for the same owner, since a mission's id names its owner.
        local counted = call('HEXISTS', key, 'o') == 1
        local record_before = counted and call('HSTRLEN', key, 'r') or 0
        local payload_before = counted and call('HSTRLEN', key, 'p') or 0
        local others_before = counted and MISSION_BYTES or 0
        if held and is('r', at) then
            call('ZREM', listings .. call('HGET', key, 'n'), id)
            call('UNLINK', key)
            call('ZREM', PURGEABLE, id)
            call('ZREM', DEAD, id)
            held = false
        end
        if held then
            call('HSET', key, 's', ARGV[at + SEQUENCE], 'r', record, 'o', ARGV[at + OWNER])
        else
            local namespace = ARGV[at + NAMESPACE]
            call('HSET', key, 's', ARGV[at + SEQUENCE], 'r', record, 'n', namespace, 'o', ARGV[at + OWNER])
            call('ZADD', listings .. namespace, ARGV[at + ACCEPTED_AT], id)
            call('DEL', ARGV[9] .. id)
        end
        if payload ~= '' then
            call('HSETNX', key, 'p', payload)
        end
        if ARGV[at + DROPS_PAYLOAD] == '1' then
            call('HDEL', key, 'p')
        end
        local more_payload = call('HSTRLEN', key, 'p') - payload_before
        local more = #record - record_before + more_payload + MISSION_BYTES - others_before
        grow(ARGV[at + OWNER], more, more_payload)
        grow('', more, more_payload)
        if ARGV[at + HAND_OUT] ~= '' then
            hand_out(ARGV[at + HAND_OUT])
        end
        if ARGV[at + IS_LIVE] == '1' then
            if not held then
                call('ZADD', LIVE, 0, id)
            end
        else
            call('ZREM', LIVE, id)
            put(PURGEABLE, ARGV[at + PURGEABLE_SINCE], id)
            put(DEAD, ARGV[at + DEAD_SINCE], id)
        end
        if tells[at] then
            local told = tells[at]
            last_event = call('XADD', EVENTS, 'MAXLEN', '~', kept, next_id, 'b', last_event, 'r', record, 'l', told)
        else
            last_event = call('XADD', EVENTS, 'MAXLEN', '~', kept, next_id, 'b', last_event, 'r', record)
        end
        next_id = '*'
        answers[#answers + 1] = last_event
    end
end

for field, bytes in pairs(grown) do
    if bytes ~= 0 and call('HINCRBY', KEYS[9], field, bytes) <= 0 then
        call('HDEL', KEYS[9], field)
    end
end
return answers
