"""The Lua script that runs in Redis and writes each message once."""

from __future__ import annotations

from typing import Final

LATEST: Final = 2**53 - 1
"""The latest timestamp that scripts in Redis can represent exactly, in microseconds: in the year 2255."""

WRITE: Final = """
local origin, kept, most_bytes, expiry = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]

local function whole(number)
    return string.format('%.0f', number)
end

local function add(stream, time, number, frame)
    return redis.pcall('XADD', stream, 'MINID', '~', whole(math.max(0, time - kept)), whole(time) .. '-0',
                       'o', origin, 'n', number, 'f', frame)
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

-- The message's time in the stream; 0 if it was written before; or the text of an error.
local function write(stream, mark, number, time, frame)
    if tonumber(redis.call('GET', mark) or 0) >= tonumber(number) then
        return 0
    end
    local added = add(stream, time, number, frame)
    if added.err then
        local top = latest(stream)
        if not top or top < time or top >= LATEST then
            return added.err
        end
        time = top + 1
        added = add(stream, time, number, frame)
        if added.err then
            return added.err
        end
    end
    bound(stream)
    redis.call('PEXPIRE', stream, expiry)
    redis.call('SET', mark, number, 'PX', expiry)
    return time
end

local clock = redis.call('TIME')
local answers = {tonumber(clock[1]) * 1000000 + tonumber(clock[2])}
for i = 1, #KEYS, 2 do
    local at = 5 + (i - 1) / 2 * 3
    answers[#answers + 1] = write(KEYS[i], KEYS[i + 1], ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2])
end
return answers
""".replace("LATEST", str(LATEST))
"""Writes messages of one server, in order.

Keys: for each message its stream, and the mark of this server in that stream (the number of its last message there).
Arguments: the server's id; microseconds and bytes that a stream keeps; milliseconds after which a stream without new
messages expires; then for each message its number, its timestamp and its frame.

The first answer is the time by Redis' clock, in microseconds. Each other answer is the timestamp of a message in the
stream, 0 if it was written before, or the text of an error. A timestamp that is not later than that of the latest entry
is replaced by the next one after it.
"""
