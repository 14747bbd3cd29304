"""The Lua scripts that run in Redis: they write each message once, and number it."""

from __future__ import annotations

from typing import Final

from ...protocol import LARGEST_TEMPLATE, TEMPLATES_KEPT, MessageType

LATEST: Final = 2**53 - 1
"""The latest timestamp that scripts in Redis can represent exactly, in microseconds: in the year 2255."""

KEPT_ENDED: Final = 64
"""Epochs of publishers of one stream that Redis knows to be over, the latest ones."""

LEASE: Final = 3_600_000_000
"""Microseconds after its last message for which a stream stays its publisher's, if no server says that it left."""

STALE: Final = -1
"""What the script answers for a message that was made for another epoch, or comes behind such a one."""

DENIED: Final = -2
"""What it answers for a message of a publisher that has not opened the stream last."""

NOT_NEXT: Final = -4
"""What it answers for an attestation that does not follow the latest one of its signer."""

OTHER_CLASS: Final = -3
"""What it answers for a message of another class than the epoch's."""

_EPOCH: Final = """
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])

local function whole(number)
    return string.format('%.0f', number)
end

local function order_of(token)
    return tonumber(string.match(token, '^%d+') or 0)
end

-- The epochs of publishers that are over, the latest ones.
local function ended(over, epoch)
    local all = {}
    for one in string.gmatch(over .. ' ' .. epoch, '%d+') do
        all[#all + 1] = one
    end
    return table.concat(all, ' ', math.max(1, #all - KEPT_ENDED + 1))
end

-- Begin another epoch; that of a publisher if there is a token. "found" is what "look" has found.
local function begin(numbers, found, epoch, last, token, state)
    local over, order = found[5] or '', tonumber(found[4] or 0)
    if found[3] and found[1] ~= epoch then
        over = ended(over, found[1])
    end
    redis.call('DEL', numbers)
    redis.call('HSET', numbers, 'epoch', epoch, 'last', last)
    if over ~= '' then
        redis.call('HSET', numbers, 'over', over)
    end
    if token ~= '' then
        redis.call('HSET', numbers, 'owner', token, 'order', whole(order_of(token)), 'state', state,
                   'until', whole(now + LEASE))
    elseif order > 0 then
        redis.call('HSET', numbers, 'order', whole(order))
    end
    return {epoch, tonumber(last), token}
end

local function look(numbers)
    return redis.pcall('HMGET', numbers, 'epoch', 'last', 'owner', 'order', 'over', 'until')
end

-- The present epoch of a stream, the number of its last message, and the token of its publisher or an empty text.
-- Another epoch, if there is none or if it has fewer messages than a server knows of it: then Redis has forgotten some.
-- That of a publisher, if a server knows of a later opening than Redis does. Or an error.
local function numbered(numbers, fresh, epoch, known, token, state)
    local found = look(numbers)
    if found.err then
        return found
    end
    local current, last, owner = found[1], tonumber(found[2] or 0), found[3] or ''
    if token ~= '' and order_of(token) > tonumber(found[4] or 0) then
        return begin(numbers, found, epoch, known, token, state)
    end
    if not current or (owner == '' and current == epoch and last < tonumber(known)) then
        return begin(numbers, found, fresh, 0, '', '')
    end
    return {current, last, owner}
end

local function keep_numbers(numbers, templates, epoch, expiry)
    redis.call('PEXPIRE', numbers, expiry)
    redis.call('PEXPIRE', templates .. epoch, expiry)
end
""".replace("KEPT_ENDED", str(KEPT_ENDED)).replace("LEASE", str(LEASE))

WRITE: Final = (
    """
local origin, kept, most_bytes, expiry = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local numbers_expiry, fresh = ARGV[5], ARGV[6]
local is_stale = false

EPOCH

local function add(stream, time, number, frame, place, proof)
    local fields = {'o', origin, 'n', number, 'f', frame}
    if place then
        fields = {'o', origin, 'n', number, 'p', place[1] .. '-' .. whole(place[2]), 'f', frame}
        if place.writer then
            fields[#fields + 1], fields[#fields + 2] = 'w', place.writer
        end
        if place.class == '1' then
            fields[#fields + 1], fields[#fields + 2] = 'c', '1'
        end
    end
    if proof ~= '' then
        fields[#fields + 1], fields[#fields + 2] = 'm', proof
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

-- Whether an attestation follows the latest one of its signer in the epoch.
local function is_next(numbers, link)
    local signer, number = string.match(link, '^(%x+) (%d+)')
    local latest = redis.call('HGET', numbers, 'signed:' .. signer) or '0'
    return tonumber(string.match(latest, '^%d+')) == tonumber(number) - 1
end

local function keep_link(numbers, link, place)
    local signer, told = string.match(link, '^(%x+) (.+)$')
    redis.call('HSET', numbers, 'signed:' .. signer, told .. ' ' .. whole(place))
end

-- The number of a message that this server or another one numbers: in the present epoch; beside the numbers of a
-- publisher, as long as the stream is its own. Or what is answered instead.
local function next_place(numbers, found, made_for, class, link, lost)
    if found[3] ~= '' then
        if now >= tonumber(redis.call('HGET', numbers, 'until') or 0) then
            found = begin(numbers, look(numbers), fresh, 0, '', '')
        elseif made_for == '0' then
            return {found[1], 0, is_beside = true}
        end
    end
    if made_for ~= '0' and made_for ~= found[1] then
        is_stale = true
        return STALE
    end
    local first = redis.call('HGET', numbers, 'bulk')
    if class ~= '' and first and first ~= class then
        return OTHER_CLASS
    end
    if link ~= '' and not is_next(numbers, link) then
        return NOT_NEXT
    end
    if class ~= '' and not first then
        redis.call('HSET', numbers, 'bulk', class)
    end
    return {found[1], found[2] + 1 + lost, class = first or class}
end

local function write(stream, mark, numbers, templates, number, time, frame, epoch, known, made_for, token, state, own,
                     class, proof, link, lost)
    if tonumber(redis.call('GET', mark) or 0) >= tonumber(number) then
        return 0
    end
    local place, last
    if numbers ~= stream then
        local found = numbered(numbers, fresh, epoch, known, token, state)
        if found.err then
            return found.err
        end
        if own == '0' then
            place = next_place(numbers, found, made_for, class, link, tonumber(lost))
            if type(place) == 'number' then
                return place
            end
            last = place.is_beside and found[2] or place[2]
        elseif found[3] ~= token then
            return DENIED
        else
            place = {epoch, tonumber(own), writer = token, class = class}
            last = math.max(found[2], place[2])
        end
    end
    local added = add(stream, time, number, frame, place, proof)
    if added.err then
        local top = latest(stream)
        if not top or top < time or top >= LATEST then
            return added.err
        end
        time = top + 1
        added = add(stream, time, number, frame, place, proof)
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
    redis.call('HSET', numbers, 'last', whole(last))
    if link ~= '' then
        keep_link(numbers, link, place[2])
    end
    if own ~= '0' then
        redis.call('HSET', numbers, 'state', state, 'until', whole(now + LEASE))
    end
    if (made_for ~= '0' or own ~= '0') and string.byte(frame, 2) == TEMPLATE_TYPE then
        redis.call('RPUSH', templates .. place[1], whole(place[2]) .. ':' .. frame)
        redis.call('LTRIM', templates .. place[1], -TEMPLATES_KEPT, -1)
    end
    keep_numbers(numbers, templates, place[1], numbers_expiry)
    return whole(time) .. ' ' .. place[1] .. ' ' .. whole(place[2])
end

local answers = {now}
for i = 1, #KEYS, 4 do
    local at = 7 + (i - 1) / 4 * 13
    answers[#answers + 1] = is_stale and STALE or write(KEYS[i], KEYS[i + 1], KEYS[i + 2], KEYS[i + 3], ARGV[at],
        tonumber(ARGV[at + 1]), ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5], ARGV[at + 6], ARGV[at + 7],
        ARGV[at + 8], ARGV[at + 9], ARGV[at + 10], ARGV[at + 11], ARGV[at + 12])
end
return answers
""".replace("EPOCH", _EPOCH)
    .replace("LEASE", str(LEASE))
    .replace("LATEST", str(LATEST))
    .replace("STALE", str(STALE))
    .replace("DENIED", str(DENIED))
    .replace("OTHER_CLASS", str(OTHER_CLASS))
    .replace("NOT_NEXT", str(NOT_NEXT))
    .replace("TEMPLATE_TYPE", str(int(MessageType.STREAM_TEMPLATE)))
    .replace("TEMPLATES_KEPT", str(TEMPLATES_KEPT))
)
"""Writes messages of one server, in order.

Keys, four for each message: its stream; the mark of this server in that stream (the number of its last message there);
the numbers of the stream (epoch, number of the last message, number of the last template, the class; of a publisher its
token and how far it has got; of each signer, number, hash and place of its latest attestation), or its stream again if
its messages are not numbered; the templates of the stream, to which the epoch is added.

Arguments: the server's id; microseconds and bytes that a stream keeps; milliseconds after which a stream without new
messages expires, and after which its numbers do; a random epoch, in case one is needed. Then thirteen for each message:
its number on its server, its timestamp, its frame; an epoch and the largest number that the server knows of it, or 0
and 0; the epoch for which the frame was made, or 0 if it fits any: a record, a template or an attestation does not; the
token of the publisher that has opened the stream, as far as the server knows, and how far that has got, or empty texts;
the publisher's own number of the message, or 0 if Redis numbers it; its class, "1" for BULK, empty if it decides
nothing; the proof for servers with the same signing key, or an empty text; of an attestation, the name of the key, its
number and its hash, joined by spaces, an empty text of anything else; the number of messages of this server before it
that will never be written: they get numbers, too, so that viewers know.

The first answer is the time by Redis' clock, in microseconds. Each other answer is 0 if the message was written before;
``STALE``, ``DENIED``, ``OTHER_CLASS`` or ``NOT_NEXT`` if it was not written; the text of an error; or the timestamp of
the message in the stream, or a text with it, the epoch and the number (redis-py takes long for lists). A timestamp that
is not later than that of the latest entry is replaced by the next one after it. The number of what others publish on
the stream of a publisher is 0.
"""

NUMBERS: Final = """
local expiry, fresh = ARGV[1], ARGV[2]

EPOCH

local function ask(numbers, templates, epoch, known, takes, token, state)
    local place = numbered(numbers, fresh, epoch, known, token, state)
    if place.err then
        return place.err
    end
    local template = 0
    if takes == '1' and place[1] == epoch and place[3] == '' then
        template = redis.call('HINCRBY', numbers, 'template', 1)
        if template > LARGEST_TEMPLATE then
            template = 0
        end
    end
    keep_numbers(numbers, templates, place[1], expiry)
    local kept = redis.call('HMGET', numbers, 'state', 'bulk')
    return {tonumber(place[1]), place[2], template, place[3], kept[1] or '', kept[2] or ''}
end

local answers = {}
for i = 1, #KEYS, 2 do
    local at = 3 + (i - 1) / 2 * 5
    answers[#answers + 1] = ask(KEYS[i], KEYS[i + 1], ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4])
end
return answers
""".replace("EPOCH", _EPOCH).replace("LARGEST_TEMPLATE", str(LARGEST_TEMPLATE))
"""Gives the numbers of streams, draws epochs for them if necessary, and can reserve the numbers of templates.

Keys, two for each stream: its numbers; its templates, to which the epoch is added. Arguments: milliseconds after which
both expire; a random epoch; then five for each stream: an epoch and the largest number that the server knows of it; 1
if a number is to be reserved for a template of that epoch; the token of the publisher of the epoch and how far that has
got, or empty texts.

Answers, for each stream: the text of an error; or the present epoch, the number of the last message, the number of
the template, 0 if none was reserved, the token of the publisher and how far it has got, and the class, or empty texts.
"""

OPEN: Final = """
local expiry, epoch, name = ARGV[1], ARGV[2], ARGV[3]

EPOCH

local found = look(KEYS[1])
if found.err then
    return found.err
end
local token = whole(math.max(now, tonumber(found[4] or 0) + 1)) .. ':' .. name
if found[1] == epoch and found[3] then
    redis.call('HSET', KEYS[1], 'owner', token, 'order', whole(order_of(token)), 'until', whole(now + LEASE))
else
    for one in string.gmatch(found[5] or '', '%d+') do
        if one == epoch then
            return {'', ''}
        end
    end
    begin(KEYS[1], found, epoch, 0, token, '')
end
keep_numbers(KEYS[1], KEYS[2], epoch, expiry)
return {token, redis.call('HGET', KEYS[1], 'state') or ''}
""".replace("EPOCH", _EPOCH).replace("LEASE", str(LEASE))
"""Opens a stream for a publisher: from then on, only its messages are written under numbers.

Keys: the numbers of the stream; its templates, to which the epoch is added. Arguments: milliseconds after which both
expire; the epoch of the publisher; a random name. Answers: the token that its messages have to bring, and how far it
has got; empty texts if the epoch has ended; the text of an error.
"""

LEAVE: Final = """
if redis.call('HGET', KEYS[1], 'owner') == ARGV[1] then
    local clock = redis.call('TIME')
    redis.call('HSET', KEYS[1], 'until', string.format('%.0f', clock[1] * 1000000 + clock[2] + ARGV[2]))
end
"""
"""Notes that the connection of a publisher has ended: others may number the stream again once that is long ago.

Keys: the numbers of the stream. Arguments: the token of the publisher; the microseconds for which the stream stays its
own.
"""
