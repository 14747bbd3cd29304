"""The Lua scripts that run in Redis: they write each message once, and number it."""

from __future__ import annotations

from typing import Final

from ...protocol import LARGEST_TEMPLATE, TEMPLATES_KEPT, MessageType

LATEST: Final = 2**53 - 1
"""The latest timestamp that scripts in Redis can represent exactly, in microseconds: in the year 2255."""

_EPOCH: Final = """
local function whole(number)
    return string.format('%.0f', number)
end

-- The present epoch of a stream and the number of its last message; another epoch, if there is none or if it has fewer
-- messages than a server knows of it: then Redis has forgotten some. Or an error.
local function numbered(numbers, fresh, epoch, known)
    local found = redis.pcall('HMGET', numbers, 'epoch', 'last')
    if found.err then
        return found
    end
    local current, last = found[1], tonumber(found[2] or 0)
    if not current or (current == epoch and last < tonumber(known)) then
        redis.call('DEL', numbers)
        redis.call('HSET', numbers, 'epoch', fresh, 'last', 0)
        return {fresh, 0}
    end
    return {current, last}
end

local function keep_numbers(numbers, templates, epoch, expiry)
    redis.call('PEXPIRE', numbers, expiry)
    redis.call('PEXPIRE', templates .. epoch, expiry)
end
"""

WRITE: Final = (
    """
local origin, kept, most_bytes, expiry = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local numbers_expiry, fresh = ARGV[5], ARGV[6]
local is_stale = false

EPOCH

local function add(stream, time, number, frame, place)
    local fields = {'o', origin, 'n', number, 'f', frame}
    if place then
        fields = {'o', origin, 'n', number, 'p', place[1] .. '-' .. whole(place[2]), 'f', frame}
    end
    return redis.pcall('XADD', stream, 'MINID', '~', whole(math.max(0, time - kept)), whole(time) .. '-0',
                       unpack(fields))
end

-- The time of the latest entry, deleted ones included, or nil.
local function latest(stream)
    local info = redis.pcall('XINFO', 'STREAM', stream)
    for i = 1, info.err and 0 or #info, 2 do
        if info[i] == 'last-generated-id' then
            return tonumber(string.match(info[i + 1], '^%d+'))
        end
    end
end

local function bound(stream)
    local used = redis.call('MEMORY', 'USAGE', stream)
    if used > most_bytes then
        local share = math.floor(redis.call('XLEN', stream) * most_bytes / used)
        redis.call('XTRIM', stream, 'MAXLEN', '~', math.max(1, share))
    end
end

local function write(stream, mark, numbers, templates, number, time, frame, epoch, known, made_for)
    if tonumber(redis.call('GET', mark) or 0) >= tonumber(number) then
        return 0
    end
    local place
    if numbers ~= '' then
        place = numbered(numbers, fresh, epoch, known)
        if place.err then
            return place.err
        end
        if made_for ~= '0' and made_for ~= place[1] then
            is_stale = true
            return -1
        end
        place[2] = place[2] + 1
    end
    local added = add(stream, time, number, frame, place)
    if added.err then
        local top = latest(stream)
        if not top or top < time or top >= LATEST then
            return added.err
        end
        time = top + 1
        added = add(stream, time, number, frame, place)
        if added.err then
            return added.err
        end
    end
    bound(stream)
    redis.call('PEXPIRE', stream, expiry)
    redis.call('SET', mark, number, 'PX', expiry)
    if not place then
        return time
    end
    redis.call('HSET', numbers, 'last', whole(place[2]))
    if made_for ~= '0' and string.byte(frame, 2) == TEMPLATE_TYPE then
        redis.call('RPUSH', templates .. place[1], whole(place[2]) .. ':' .. frame)
        redis.call('LTRIM', templates .. place[1], -TEMPLATES_KEPT, -1)
    end
    keep_numbers(numbers, templates, place[1], numbers_expiry)
    return whole(time) .. ' ' .. place[1] .. ' ' .. whole(place[2])
end

local clock = redis.call('TIME')
local answers = {tonumber(clock[1]) * 1000000 + tonumber(clock[2])}
for i = 1, #KEYS, 4 do
    local at = 7 + (i - 1) / 4 * 6
    answers[#answers + 1] = is_stale and -1 or write(KEYS[i], KEYS[i + 1], KEYS[i + 2], KEYS[i + 3], ARGV[at],
        tonumber(ARGV[at + 1]), ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5])
end
return answers
""".replace("EPOCH", _EPOCH)
    .replace("LATEST", str(LATEST))
    .replace("TEMPLATE_TYPE", str(int(MessageType.STREAM_TEMPLATE)))
    .replace("TEMPLATES_KEPT", str(TEMPLATES_KEPT))
)
"""Writes messages of one server, in order.

Keys, four for each message: its stream; the mark of this server in that stream (the number of its last message there);
the numbers of the stream (epoch, number of the last message, number of the last template), or an empty text if its
messages are not numbered; the templates of the stream, to which the epoch is added.

Arguments: the server's id; microseconds and bytes that a stream keeps; milliseconds after which a stream without new
messages expires, and after which its numbers do; a random epoch, in case one is needed. Then six for each message: its
number on its server, its timestamp, its frame; an epoch and the largest number that the server knows of it, or 0 and 0;
the epoch for which the frame was made, or 0 if it fits any: a record or a template does not.

The first answer is the time by Redis' clock, in microseconds. Each other answer is 0 if the message was written before;
-1 if its frame was made for another epoch, or one before it was: then nothing is written; the text of an error; or the
timestamp of the message in the stream, or a text with it, the epoch and the number (redis-py takes long for lists). A
timestamp that is not later than that of the latest entry is replaced by the next one after it.
"""

NUMBERS: Final = """
local expiry, fresh = ARGV[1], ARGV[2]

EPOCH

local function ask(numbers, templates, epoch, known, takes)
    local place = numbered(numbers, fresh, epoch, known)
    if place.err then
        return place.err
    end
    local template = 0
    if takes == '1' and place[1] == epoch then
        template = redis.call('HINCRBY', numbers, 'template', 1)
        if template > LARGEST_TEMPLATE then
            template = 0
        end
    end
    keep_numbers(numbers, templates, place[1], expiry)
    return {tonumber(place[1]), place[2], template}
end

local answers = {}
for i = 1, #KEYS, 2 do
    local at = 3 + (i - 1) / 2 * 3
    answers[#answers + 1] = ask(KEYS[i], KEYS[i + 1], ARGV[at], ARGV[at + 1], ARGV[at + 2])
end
return answers
""".replace("EPOCH", _EPOCH).replace("LARGEST_TEMPLATE", str(LARGEST_TEMPLATE))
"""Gives the numbers of streams, draws epochs for them if necessary, and can reserve the numbers of templates.

Keys, two for each stream: its numbers; its templates, to which the epoch is added. Arguments: milliseconds after which
both expire; a random epoch; then three for each stream: an epoch and the largest number that the server knows of it; 1
if a number is to be reserved for a template of that epoch.

Answers, for each stream: the text of an error; or the present epoch, the number of the last message, and the number of
the template, 0 if none was reserved.
"""
