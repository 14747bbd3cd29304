"""Cases for servers that speak version 4: headers, ids, numbers, epochs, templates and records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..._core import Header, crc32
from ...codec import Message, pack, split
from ...compression import lz4
from ...protocol import (
    DATA_TYPES,
    LARGEST_STREAM_ID,
    LEAST_FRAGMENT,
    Algorithm,
    Capability,
    CloseCode,
    ErrorCode,
    Flag,
    Form,
    MessageType,
    RecordFilter,
)
from ...session.fragmenting import Fragments
from .cases import Suite
from .checks import NotApplicable, require
from .server_streams import AWAY, RECENT, streaming

if TYPE_CHECKING:
    from .peer import ScriptedPeer

_NUMBERS: Final = "Streams by number"
_CHECKS: Final = "What a receiver checks"
_HISTORY: Final = "History on request"
_FORM_AT, _FILTER_AT = 19, 32 + 2
_UNDEFINED: Final = 0x08
"""A bit of the form that is not defined."""

_REPEATED: Final = "lead II, " * 20
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_SMALL: Final = 64
"""Bytes that no message with samples fits into."""

_OF_STREAMS: Final = DATA_TYPES | {MessageType.STREAM_TEMPLATE, MessageType.HEARTBEAT}
"""What may come before an answer: earlier data of the stream, too."""


def add_numbered_cases(suite: Suite) -> None:
    """Add the cases."""
    suite.add("14.1", "Once version 4 is agreed, control messages have 32 bytes of header", "Opening", _talks)
    suite.add("14.2", "A frame of version 4 before it is agreed gets ERROR 0x100 and a close", _NUMBERS, _waits)
    suite.add("14.3", "To a client that chooses version 3 it talks in version 3, without ids", "Opening", _falls_back)
    suite.add("14.4", "The answer to SUBSCRIBE has id, epoch, next and templates", _NUMBERS, _binds)
    suite.add("14.5", "Numbers begin at next and rise by one, templates included", _NUMBERS, _numbers)
    suite.add("14.6", "Every record can be read by a template that came before it", "Templates", _explains)
    suite.add("14.7", "A client that did not announce templates gets maps, under the same numbers", _NUMBERS, _maps)
    suite.add("14.8", "A client that did not announce delta gets records without filter", _NUMBERS, _filters_nothing)
    suite.add("14.9", "After epoch and after, what was missed comes first, each once", _NUMBERS, _resumes)
    suite.add("14.10", "After another epoch, it begins in the present one", _NUMBERS, _begins_anew)
    suite.add("14.11", "The answer to UNSUBSCRIBE binds nothing", _NUMBERS, _unbinds)
    suite.add("14.12", "A SUBSCRIBE that only repeats an earlier one changes nothing", _NUMBERS, _repeats)
    suite.add("14.13", "Refused and closed: a header of version 4 that is cut short", _CHECKS, _refuses_short)
    suite.add("14.14", "Refused and closed: reserved bits of the form", _CHECKS, _refuses_form)
    suite.add("14.15", "Refused and closed: a control message with a number", _CHECKS, _refuses_numbered_control)
    suite.add("14.16", "Refused and closed: STREAM_TEMPLATE in version 3", _CHECKS, _refuses_old_template)
    suite.add("14.17", "A frame of an id that was never bound gets ERROR 0x200, or 0x203", _NUMBERS, _refuses_unbound)
    suite.add("14.18", "STREAM_TEMPLATE from a client gets ERROR 0x203", _NUMBERS, _refuses_openings)
    suite.add("14.19", "A fragment without a beginning gets ERROR 0x200, or 0x203", "Fragments", _refuses_piece)
    suite.add(
        "14.20", "A history comes in BULK, with its own id and the numbers of the stream, and ends", _HISTORY, _plays
    )
    suite.add("14.21", "A PING that is compressed with LZ4 is answered like any other", "LZ4", _reads_lz4)
    suite.add("14.22", "A PING that is compressed with zstd is answered like any other", "zstd", _reads_zstd)
    suite.add(
        "14.23", "An LZ4 block that names too much gets ERROR 0x103, and the connection stays open", "LZ4", _bounds
    )
    suite.add("14.24", "A client is sent no data beyond the max_payload in its answer", "Opening", _keeps_to_limit)
    suite.add("14.25", "With catch_up, what is older is not sent, and next says so", "Resume", _sends_the_present_first)


async def _subscribe(peer: ScriptedPeer, *capabilities: str, **wish: Any) -> dict[str, Any]:
    """Negotiate version 4, subscribe to the stream that the user named, and return the answer."""
    await peer.negotiate(4, capabilities)
    return await _ask(peer, **wish)


async def _ask(peer: ScriptedPeer, **wish: Any) -> dict[str, Any]:
    stream = streaming(peer)
    await peer.say(MessageType.SUBSCRIBE, {"stream": stream, **wish})
    answer: dict[str, Any] = (await peer.hear_one(MessageType.SUBSCRIPTION_ACK, among=_OF_STREAMS)).data
    require(answer["status"] == "subscribed", f'the stream "{stream}" is {answer["status"]}')
    missing = [name for name in ("id", "epoch", "next") if name not in answer]
    require(not missing, f"the answer lacks {', '.join(missing)}")
    return answer


async def _hear_of_stream(peer: ScriptedPeer, answer: dict[str, Any]) -> Message:
    """Return the next message in line of the stream, a template included."""
    end = peer.soon()
    while True:
        message = await peer.hear("data of the stream", end)
        if message.type not in _OF_STREAMS or message.type is MessageType.HEARTBEAT:
            continue
        if message.type is MessageType.ANOMALY_ALERT or message.flags & Flag.PRIORITY:
            continue
        found = message.stream_id
        require(found == answer["id"], f"{message.type.name} has the id {found}; the answer bound {answer['id']}")
        return message


async def _hear_numbers(peer: ScriptedPeer, answer: dict[str, Any], count: int) -> list[int]:
    """Return the numbers of the next messages in line."""
    return [(await _hear_of_stream(peer, answer)).sequence or 0 for _ in range(count)]


def _in_order(found: list[int], first: int) -> None:
    expected = list(range(first, first + len(found)))
    if found != expected and found == sorted(set(found)) and found[0] >= first:
        raise NotApplicable(f"alerts have numbers between {found}, or frames were dropped")
    require(found == expected, f"the numbers are {found}; expected {expected}")


async def _talks(peer: ScriptedPeer) -> None:
    await peer.negotiate(4)
    await peer.say(MessageType.PING, "which version?")
    pong = await peer.hear_one(MessageType.PONG)
    require(pong.version == 4, f"version 4 was agreed; PONG came in version {pong.version}")
    found = (pong.form, pong.stream_id, pong.sequence)
    require(found == (0, 0, 0), f"form, stream and sequence of PONG are {found}")


async def _waits(peer: ScriptedPeer) -> None:
    await _require_offer(peer)
    await peer.send(peer.frame(MessageType.PING, None, version=4))
    await peer.hear_error(ErrorCode.INVALID_PROTOCOL_VERSION)
    await peer.hear_close(CloseCode.PROTOCOL_ERROR)


async def _require_offer(peer: ScriptedPeer) -> None:
    await peer.hear_offer()
    if 4 not in peer.offer.get("versions", ()):
        raise NotApplicable("the server does not offer version 4")


async def _falls_back(peer: ScriptedPeer) -> None:
    stream = streaming(peer)
    await _require_offer(peer)
    await peer.choose({"version": 3, "capabilities": []})
    await peer.say(MessageType.SUBSCRIBE, {"stream": stream})
    message = await peer.hear_one(MessageType.SUBSCRIPTION_ACK)
    require(message.version == 3, f"version 3 was agreed; the answer came in version {message.version}")
    named = {"id", "epoch", "next", "templates"} & set(message.data)
    require(not named, f"the answer in version 3 has {', '.join(sorted(named))}")


async def _binds(peer: ScriptedPeer) -> None:
    answer = await _subscribe(peer, Capability.TEMPLATES, Capability.DELTA)
    for frame in answer.get("templates", ()):
        message = peer.read(frame)
        found = (message.type, message.stream_id)
        require(found == (MessageType.STREAM_TEMPLATE, answer["id"]), f"the answer has a template of {found}")
        number = message.sequence or 0
        require(number < answer["next"], f"template number {number} is not before next, {answer['next']}")


async def _numbers(peer: ScriptedPeer) -> None:
    answer = await _subscribe(peer, Capability.TEMPLATES, Capability.DELTA)
    _in_order(await _hear_numbers(peer, answer, 4), answer["next"])


async def _explains(peer: ScriptedPeer) -> None:
    answer = await _subscribe(peer, Capability.TEMPLATES, Capability.DELTA)
    for _ in range(4):  # a record that cannot be read fails the case
        message = await _hear_of_stream(peer, answer)
        if (message.form or 0) & Form.RECORD:
            return
    raise NotApplicable("no records came")


async def _maps(peer: ScriptedPeer) -> None:
    answer = await _subscribe(peer)
    messages = [await _hear_of_stream(peer, answer) for _ in range(4)]
    records = [message.sequence for message in messages if (message.form or 0) & Form.RECORD]
    require(not records, f"the messages {records} came as records")
    _in_order([message.sequence or 0 for message in messages], answer["next"])


async def _filters_nothing(peer: ScriptedPeer) -> None:
    answer = await _subscribe(peer, Capability.TEMPLATES)
    for _ in range(4):
        message = await _hear_of_stream(peer, answer)
        if (message.form or 0) & Form.RECORD and not message.flags & Flag.COMPRESSED:
            used = peer.transcript[-1].octets[_FILTER_AT]
            require(used == RecordFilter.NONE, f"the record {message.sequence} has the filter {used}")
            return
    raise NotApplicable("no records came")


async def _resumes(peer: ScriptedPeer) -> None:
    answer = await _subscribe(peer, Capability.TEMPLATES, Capability.DELTA)
    after, *missed = await _hear_numbers(peer, answer, 4)
    await peer.reconnect()
    again = await _subscribe(peer, Capability.TEMPLATES, Capability.DELTA, epoch=answer["epoch"], after=after)
    if again["epoch"] != answer["epoch"] or again["next"] > after + 1:
        raise NotApplicable("the server does not keep what was published a moment ago, and says so")
    require(again["next"] == after + 1, f"next is {again['next']} after {after}")
    found = await _hear_numbers(peer, again, len(missed))
    require(found == missed, f"what followed {after} were {missed}; after the reconnection they are {found}")


async def _sends_the_present_first(peer: ScriptedPeer) -> None:
    answer = await _subscribe(peer, Capability.TEMPLATES, Capability.DELTA)
    first = last = await _hear_of_stream(peer, answer)
    while (last.timestamp or 0) < (first.timestamp or 0) + AWAY:
        last = await _hear_of_stream(peer, answer)
    await peer.reconnect()
    wish = {"epoch": answer["epoch"], "after": first.sequence, "catch_up": RECENT / 1_000_000}
    again = await _subscribe(peer, Capability.TEMPLATES, Capability.DELTA, **wish)
    if again["epoch"] != answer["epoch"] or again["next"] == (first.sequence or 0) + 1:
        raise NotApplicable("nothing is left out: the server does not know catch_up, or has begun another epoch")
    present = await _hear_of_stream(peer, again)
    found, oldest = present.timestamp or 0, (last.timestamp or 0) - RECENT
    require(found >= oldest, f"what came first is of {found}, which is older than {oldest}")
    _in_order([present.sequence or 0, *await _hear_numbers(peer, again, 2)], again["next"])


async def _begins_anew(peer: ScriptedPeer) -> None:
    answer = await _subscribe(peer, Capability.TEMPLATES, Capability.DELTA)
    await peer.reconnect()
    other = answer["epoch"] % (2**53 - 1) + 1
    again = await _subscribe(peer, Capability.TEMPLATES, Capability.DELTA, epoch=other, after=1)
    require(again["epoch"] != other, f"the server answers with the epoch {other}, which it never had")
    _in_order(await _hear_numbers(peer, again, 3), again["next"])


async def _unbinds(peer: ScriptedPeer) -> None:
    await _subscribe(peer, Capability.TEMPLATES, Capability.DELTA)
    await peer.say(MessageType.UNSUBSCRIBE, {"stream": streaming(peer)})
    answer = (await peer.hear_one(MessageType.SUBSCRIPTION_ACK, among=_OF_STREAMS)).data
    require(answer["status"] == "unsubscribed", f"the status of an UNSUBSCRIBE is {answer['status']!r}")
    require("id" not in answer, "the answer to UNSUBSCRIBE has an id")


async def _repeats(peer: ScriptedPeer) -> None:
    answer = await _subscribe(peer, Capability.TEMPLATES, Capability.DELTA)
    last = (await _hear_numbers(peer, answer, 2))[-1]
    again = await _ask(peer)
    require(again["next"] > last, f"next is {again['next']}, and {last} came before")
    found = (again["id"], again["epoch"], again.get("templates", []))
    expected: tuple[Any, ...] = (answer["id"], answer["epoch"], [])
    require(found == expected, f"id, epoch and templates are {found}; expected {expected}")


async def _refuses_short(peer: ScriptedPeer) -> None:
    await peer.negotiate(4)
    await peer.send(peer.frame(MessageType.PING, None)[:31])
    await _require_error_and_close(peer, ErrorCode.INVALID_DATA_FORMAT)


async def _refuses_form(peer: ScriptedPeer) -> None:
    await peer.negotiate(4)
    frame = bytearray(peer.frame(MessageType.PING, None))
    frame[_FORM_AT] = _UNDEFINED
    await peer.send(bytes(frame))
    await _require_error_and_close(peer, ErrorCode.INVALID_DATA_FORMAT)


async def _refuses_numbered_control(peer: ScriptedPeer) -> None:
    await peer.negotiate(4)
    frame = bytearray(peer.frame(MessageType.PING, None))
    frame[31] = 1
    await peer.send(bytes(frame))
    await _require_error_and_close(peer, ErrorCode.INVALID_DATA_FORMAT)


async def _refuses_old_template(peer: ScriptedPeer) -> None:
    await _require_offer(peer)
    await peer.choose({"version": 3, "capabilities": []})
    frame = bytearray(peer.frame(MessageType.PING, None))
    frame[1] = MessageType.STREAM_TEMPLATE
    await peer.send(bytes(frame))
    await _require_error_and_close(peer, ErrorCode.INVALID_MESSAGE_TYPE)


async def _require_error_and_close(peer: ScriptedPeer, code: ErrorCode) -> None:
    await peer.hear_error(code)
    await peer.hear_close(CloseCode.PROTOCOL_ERROR)


async def _refuses_unbound(peer: ScriptedPeer) -> None:
    await peer.negotiate(4)
    data = {"signal": [0.5], "sampling_rate": 250}
    await peer.say(MessageType.ECG_DATA, data, stream_id=LARGEST_STREAM_ID, sequence=1)
    codes = [message.data["code"] for message in await peer.still_there() if message.type is MessageType.ERROR]
    # a server may ask for the right to publish before it looks at the id
    allowed = ([ErrorCode.INVALID_DATA_FORMAT], [ErrorCode.PERMISSION_DENIED])
    require(codes in allowed, f"the ERRORs are {[hex(code) for code in codes]}")


async def _refuses_openings(peer: ScriptedPeer) -> None:
    await peer.negotiate(4)
    opening = {"template": 0, "stream": "conformance", "epoch": 1}
    await peer.say(MessageType.STREAM_TEMPLATE, opening, stream_id=1, sequence=0)
    answered = await peer.still_there()
    codes = [message.data["code"] for message in answered if message.type is MessageType.ERROR]
    if not codes:
        raise NotApplicable("this client has the right to open streams")
    require(codes == [ErrorCode.PERMISSION_DENIED], f"the ERRORs are {[hex(code) for code in codes]}")


async def _reads_lz4(peer: ScriptedPeer) -> None:
    await peer.negotiate(4, (Capability.LZ4,))
    payload = lz4.compress(memoryview(pack(_REPEATED)))
    assert payload is not None, "it repeats itself"
    await _require_echo(peer, payload, Algorithm.LZ4)


async def _reads_zstd(peer: ScriptedPeer) -> None:
    await peer.negotiate(4, (Capability.ZSTD,))
    payload = pack(_REPEATED)
    header = _ZSTD_MAGIC + b"\xa0" + len(payload).to_bytes(4, "little")  # a single segment that names its size
    block = (len(payload) << 3 | 1).to_bytes(3, "little")  # the last one, as it is
    await _require_echo(peer, header + block + payload, Algorithm.ZSTD)


async def _require_echo(peer: ScriptedPeer, payload: bytes, algorithm: Algorithm) -> None:
    await peer.send(_compressed_ping(peer, payload, algorithm))
    pong = await peer.hear_one(MessageType.PONG)
    require(pong.data == _REPEATED, f"the payload of the PONG is {pong.data!r}")


def _compressed_ping(peer: ScriptedPeer, payload: bytes, algorithm: Algorithm) -> bytes:
    header = split(peer.frame(MessageType.PING, None))[0]
    made = Header(
        4, MessageType.PING, Flag.COMPRESSED, len(payload), crc32(payload), header.timestamp, Form(algorithm), 0, 0
    )
    return bytes(made) + payload


async def _bounds(peer: ScriptedPeer) -> None:
    await peer.negotiate(4, (Capability.LZ4,))
    await peer.send(_compressed_ping(peer, (1000).to_bytes(4, "big") + b"\x10\xc0", Algorithm.LZ4))
    await peer.hear_error(ErrorCode.DECOMPRESSION_FAILED)
    await peer.still_there()


async def _keeps_to_limit(peer: ScriptedPeer) -> None:
    await _require_offer(peer)
    await peer.choose({"version": 4, "capabilities": [], "max_payload": _SMALL})
    await _ask(peer)
    end = peer.soon()
    while True:
        message = await peer.hear("ERROR 0x102 in place of data", end)
        if message.type in DATA_TYPES:
            require(message.nbytes <= _SMALL, f"{message.type.name} has {message.nbytes} bytes, and {_SMALL} are taken")
        if message.type is MessageType.ERROR and message.data["code"] == ErrorCode.MESSAGE_TOO_LARGE:
            return


async def _refuses_piece(peer: ScriptedPeer) -> None:
    await peer.negotiate(4)
    frame = peer.frame(MessageType.FEATURE_DATA, {"features": {"n": 1}, "filling": bytes(3000)})
    await peer.send(Fragments(frame, LEAST_FRAGMENT)[1])
    codes = [message.data["code"] for message in await peer.still_there() if message.type is MessageType.ERROR]
    allowed = ([ErrorCode.INVALID_DATA_FORMAT], [ErrorCode.PERMISSION_DENIED])
    require(codes in allowed, f"the ERRORs are {[hex(code) for code in codes]}")


async def _plays(peer: ScriptedPeer) -> None:
    live = await _subscribe(peer)
    first = await _hear_of_stream(peer, live)
    last = first
    for _ in range(3):
        last = await _hear_of_stream(peer, live)
    stream, start = streaming(peer), (first.timestamp or 0) / 1e6
    await peer.say(MessageType.SUBSCRIBE, {"stream": stream, "history": 5, "start": start})
    end = peer.soon()
    answer: dict[str, Any] = {}
    found: list[int] = []
    while True:
        message = await peer.hear("a history", end)
        if message.type is MessageType.SUBSCRIPTION_ACK:
            data = message.data
            require(data.get("history") == 5, "the answer does not name the request in history")
            if data["status"] != "subscribed":
                break
            missing = [name for name in ("id", "epoch", "next", "end") if name not in data]
            require(not missing, f"the answer lacks {', '.join(missing)}")
            require(data["id"] != live["id"], "the history has the id of the stream")
            answer = data
        elif answer and message.stream_id == answer["id"]:
            is_alert = message.type is MessageType.ANOMALY_ALERT
            require(is_alert or bool(int(message.form or 0) & Form.BULK), "a message of the history lacks BULK")
            urgent = int(message.flags) & (Flag.PRIORITY | Flag.ACK_REQUIRED)
            require(not urgent, "a message of the history has PRIORITY or ACK_REQUIRED")
            found.append(message.sequence or 0)
    wanted = set(range(first.sequence or 0, (last.sequence or 0) + 1))
    require(wanted <= set(found), f"the history has {found}; of the stream came {sorted(wanted)}")
    beyond = [number for number in found if not answer["next"] <= number < answer["end"]]
    require(not beyond, f"the numbers {beyond} are not from next to end")
