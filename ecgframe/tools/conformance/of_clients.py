"""The cases for clients. The suite acts as a server; each connection of the client runs the next case.

The meaning of a number never changes; new rules get new numbers.
"""

from __future__ import annotations

import zlib
from functools import partial
from typing import Any, Final

import numpy as np

from ...codec import Codec
from ...protocol import (
    CAPABILITY_SINCE,
    STANDALONE_VERSIONS,
    Capability,
    CloseCode,
    ErrorCode,
    Flag,
    MessageType,
)
from ...session import microseconds
from ...session.timestamps import seconds
from .cases import Suite
from .checks import NotApplicable, alike, require, require_catch_up, shown
from .client_fragments import add_fragment_cases
from .client_numbers import add_numbered_cases
from .peer import ScriptedPeer
from .server_frames import changed_payload, raw

CLIENTS: Final = Suite()

_EVERYTHING: Final = [
    str(name) for name, since in CAPABILITY_SINCE.items() if since <= 3 and name is not Capability.ENCRYPTION
]
_FROM_THE_CLIENT: Final = frozenset(
    {MessageType.SUBSCRIBE, MessageType.UNSUBSCRIBE, MessageType.HEARTBEAT, MessageType.VERSION_CHECK}
)
"""What a client may send at any time after the negotiation."""

_OF_BROWSERS: Final = range(4000, 5000)
"""Close codes that a page may use: a browser does not let it send 1002."""


async def _agree(peer: ScriptedPeer, versions: tuple[int, ...] = STANDALONE_VERSIONS, **offer: Any) -> dict[str, Any]:
    """Send an offer, and return the choice of the client, whose version is used from then on."""
    offered = {
        "versions": list(versions),
        "preferred": max(versions),
        "capabilities": _EVERYTHING,
        "max_payload": 1 << 20,
        "heartbeat_interval": 15.0,
        **offer,
    }
    await peer.say(MessageType.PROTOCOL_NEGOTIATION, offered, version=1)
    message = await peer.hear("PROTOCOL_NEGOTIATION, since the client answers the offer")
    require(message.type is MessageType.PROTOCOL_NEGOTIATION, f"the first message of the client is {message.type.name}")
    require(message.version == 1, f"the choice came in version {message.version}; it travels in version 1")
    chosen: dict[str, Any] = message.data
    require(chosen.get("version") in versions, f"it chose version {chosen.get('version')!r} of {list(versions)}")
    peer.agree(chosen["version"])
    return chosen


# --- 1: opening ---


@CLIENTS.case("1.1", "It answers the offer, in version 1, with the highest common version", "Opening")
async def _chooses_the_highest(peer: ScriptedPeer) -> None:
    chosen = await _agree(peer)
    require(
        chosen["version"] == max(STANDALONE_VERSIONS),
        f"it chose version {chosen['version']} of {list(STANDALONE_VERSIONS)}",
    )


async def _chooses(version: int, peer: ScriptedPeer) -> None:
    await _agree(peer, (version,))
    await peer.say(MessageType.PING, "which version?")
    pong = await peer.hear_one(MessageType.PONG, among=_FROM_THE_CLIENT)
    require(pong.version == version, f"version {version} was agreed; PONG came in version {pong.version}")


for _place, _version in enumerate(STANDALONE_VERSIONS, start=2):
    CLIENTS.add(
        f"1.{_place}", f"Offered version {_version} alone, it talks in that", "Opening", partial(_chooses, _version)
    )


@CLIENTS.case("1.5", "It names only capabilities that were offered", "Capabilities")
async def _names_common_capabilities(peer: ScriptedPeer) -> None:
    chosen = await _agree(peer, capabilities=["compression", "telepathy"])
    named = set(chosen.get("capabilities", ()))
    require(named <= {"compression"}, f"it names {sorted(named)}; what both have is compression at most")


@CLIENTS.case("1.6", "If no offered version is supported, it sends ERROR 0x100 or closes the connection", "Opening")
async def _refuses_the_unknown(peer: ScriptedPeer) -> None:
    await peer.say(MessageType.PROTOCOL_NEGOTIATION, {"versions": [77, 78], "preferred": 78}, version=1)
    if await peer.is_left():
        return
    await peer.hear_error(ErrorCode.INVALID_PROTOCOL_VERSION)


@CLIENTS.case("1.7", "A second offer gets ERROR 0x200 and changes nothing", "Opening")
async def _agrees_once(peer: ScriptedPeer) -> None:
    await _agree(peer)
    await peer.say(MessageType.PROTOCOL_NEGOTIATION, {"versions": [1], "preferred": 1}, version=1)
    await peer.hear_error(ErrorCode.INVALID_DATA_FORMAT, among=_FROM_THE_CLIENT)
    await peer.say(MessageType.PING, None)
    pong = await peer.hear_one(MessageType.PONG, among=_FROM_THE_CLIENT)
    require(pong.version == peer.version, f"it talks in version {pong.version} from then on")


# --- 2: ping, heartbeat, version check ---

_DATA: Final = {
    "nil": None,
    "a map": {"n": 1, "list": [True, None, "µV", 0.5]},
    "bytes": b"\x00\xff",
    "more than the threshold of compression": {"text": "ecg " * 1000},
}


async def _echoes(data: Any, peer: ScriptedPeer) -> None:
    await _agree(peer)
    await peer.say(MessageType.PING, data)
    pong = await peer.hear_one(MessageType.PONG, among=_FROM_THE_CLIENT)
    require(alike(pong.data, data), f"PONG holds {shown(pong.data)}; PING held {shown(data)}")


for _place, (_title, _data) in enumerate(_DATA.items(), start=1):
    CLIENTS.add(
        f"2.{_place}",
        f"PING is answered by PONG with the same payload: {_title}",
        "Heartbeats and pings",
        partial(_echoes, _data),
    )


@CLIENTS.case("2.10", "PONG, HEARTBEAT and ERROR are not answered", "Heartbeats and pings")
async def _leaves_alone(peer: ScriptedPeer) -> None:
    await _agree(peer)
    await peer.say(MessageType.PONG, "unsolicited")
    await peer.say(MessageType.HEARTBEAT, {"timestamp": 1.5})
    await peer.say(MessageType.ERROR, {"code": int(ErrorCode.RATE_LIMIT_EXCEEDED), "message": "a test"})
    await peer.expect_silence("they must not be answered", among=_FROM_THE_CLIENT)


@CLIENTS.case("2.11", "It sends HEARTBEAT in the interval that the server announces", "Heartbeats and pings")
async def _beats(peer: ScriptedPeer) -> None:
    await _agree(peer, heartbeat_interval=0.2)
    await peer.hear_one(MessageType.HEARTBEAT, among=_FROM_THE_CLIENT)


@CLIENTS.case("2.12", "VERSION_CHECK is answered", "Version check")
async def _checks_version(peer: ScriptedPeer) -> None:
    await _agree(peer)
    for version, compatible in ((1, True), (99, False)):
        await peer.say(MessageType.VERSION_CHECK, {"version": version})
        answer = await peer.hear_one(MessageType.VERSION_CHECK, among=_FROM_THE_CLIENT - {MessageType.VERSION_CHECK})
        found = (answer.data["version"], answer.data.get("compatible"))
        require(found == (version, compatible), f"it answers {found} about version {version}")


# --- 3: what a receiver checks ---


@CLIENTS.case("3.1", "A wrong checksum gets ERROR 0x101, and the connection stays open", "What a receiver checks")
async def _refuses_a_checksum(peer: ScriptedPeer) -> None:
    await _require_one_error(peer, changed_payload(peer), ErrorCode.CHECKSUM_MISMATCH)


@CLIENTS.case("3.2", "A broken zlib stream gets ERROR 0x103, and the connection stays open", "What a receiver checks")
async def _refuses_a_stream(peer: ScriptedPeer) -> None:
    await _require_one_error(peer, raw(b"\xc3", flags=Flag.COMPRESSED), ErrorCode.DECOMPRESSION_FAILED)


@CLIENTS.case("3.3", "A payload that is not MessagePack gets ERROR 0x200, and the connection stays open", "Payload")
async def _refuses_a_payload(peer: ScriptedPeer) -> None:
    await _require_one_error(peer, raw(b"\xc1"), ErrorCode.INVALID_DATA_FORMAT)


@CLIENTS.case("3.4", "An unknown type gets ERROR 0x104, and the connection is closed", "What a receiver checks")
async def _refuses_a_type(peer: ScriptedPeer) -> None:
    await _agree(peer)
    await peer.send(b"\x03\x13" + raw(b"\xc3")[2:])
    await _require_error_and_close(peer, ErrorCode.INVALID_MESSAGE_TYPE)


@CLIENTS.case("3.5", "A payload that is cut short gets ERROR 0x200, and the connection is closed", "Payload")
async def _refuses_truncated(peer: ScriptedPeer) -> None:
    await _agree(peer)
    await peer.send(raw(b"\xa4four")[:-1])
    await _require_error_and_close(peer, ErrorCode.INVALID_DATA_FORMAT)


@CLIENTS.case("3.6", "A compressed payload is inflated", "Compression")
async def _inflates(peer: ScriptedPeer) -> None:
    await _agree(peer)
    await peer.send(raw(zlib.compress(Codec().pack({"n": 7})), flags=Flag.COMPRESSED))
    pong = await peer.hear_one(MessageType.PONG, among=_FROM_THE_CLIENT)
    require(pong.data == {"n": 7}, f"PONG holds {shown(pong.data)}")


async def _require_one_error(peer: ScriptedPeer, frame: bytes, code: ErrorCode) -> None:
    await _agree(peer)
    await peer.send(frame)
    await peer.hear_error(code, among=_FROM_THE_CLIENT)
    await peer.expect_silence("one ERROR is enough for one broken frame", among=_FROM_THE_CLIENT)


async def _require_error_and_close(peer: ScriptedPeer, code: ErrorCode) -> None:
    await peer.hear_error(code, among=_FROM_THE_CLIENT)
    await peer.hear_close(CloseCode.PROTOCOL_ERROR, or_within=_OF_BROWSERS)


# --- 4: what it announced ---


@CLIENTS.case("4.1", "ACK_REQUIRED is answered by a PONG with the timestamp and type of the message", "Acknowledgement")
async def _acknowledges(peer: ScriptedPeer) -> None:
    await _agree_on(peer, Capability.ACK)
    alert = {"kind": "asystole", "timestamp": 1705314645.25}
    await _require_acknowledgement(peer, MessageType.ANOMALY_ALERT, alert, Flag.ACK_REQUIRED | Flag.PRIORITY)


@CLIENTS.case("4.2", "A message that is repeated is acknowledged again", "Acknowledgement")
async def _acknowledges_again(peer: ScriptedPeer) -> None:
    await _agree_on(peer, Capability.ACK)
    frame = peer.frame(MessageType.ANOMALY_ALERT, {"kind": "asystole", "timestamp": 1.5}, flags=Flag.ACK_REQUIRED)
    for _ in range(2):
        await peer.send(frame)
        await peer.hear_one(MessageType.PONG, among=_FROM_THE_CLIENT)


@CLIENTS.case("4.3", "All frames of a message are processed, in order", "Batches")
async def _takes_batches(peer: ScriptedPeer) -> None:
    await _agree_on(peer, Capability.BATCH)
    await peer.send(b"".join(peer.frame(MessageType.PING, number) for number in range(3)))
    found = [(await peer.hear_one(MessageType.PONG, among=_FROM_THE_CLIENT)).data for _ in range(3)]
    require(found == [0, 1, 2], f"the PONGs hold {found}")


@CLIENTS.case("4.4", "An array in binary form is read", "Binary form")
async def _reads_binary(peer: ScriptedPeer) -> None:
    await _agree_on(peer, Capability.NDARRAY_BIN)
    array = np.array([1, -2, 300], "int16")
    await peer.send(Codec(ndarray="binary").encode(MessageType.PING, array))
    pong = await peer.hear_one(MessageType.PONG, among=_FROM_THE_CLIENT)
    require(alike(pong.data, array), f"PONG holds {shown(pong.data)}; PING held {shown(array)}")


@CLIENTS.case("4.5", "A control message with ACK_REQUIRED is acknowledged as well", "Acknowledgement")
async def _acknowledges_control(peer: ScriptedPeer) -> None:
    await _agree_on(peer, Capability.ACK)
    await _require_acknowledgement(peer, MessageType.HEARTBEAT, None, Flag.ACK_REQUIRED)


@CLIENTS.case("4.6", "A refused message is not acknowledged", "Acknowledgement")
async def _does_not_acknowledge_the_refused(peer: ScriptedPeer) -> None:
    await _agree_on(peer, Capability.ACK)
    await peer.say(MessageType.SUBSCRIPTION_ACK, {"stream": "ecg/1"}, flags=Flag.ACK_REQUIRED)
    await peer.hear_error(ErrorCode.MISSING_REQUIRED_FIELDS, among=_FROM_THE_CLIENT)
    await peer.expect_silence("a refused message must not be acknowledged", among=_FROM_THE_CLIENT)


async def _require_acknowledgement(peer: ScriptedPeer, type: MessageType, data: Any, flags: Flag) -> None:
    """Send a message, and check that a PONG acknowledges it."""
    stamp = await peer.say(type, data, flags=flags)
    pong = await peer.hear_one(MessageType.PONG, among=_FROM_THE_CLIENT)
    expected = {"ack": stamp, "type": int(type)}
    require(pong.data == expected, f"the acknowledgement is {shown(pong.data)}; expected {expected}")


async def _agree_on(peer: ScriptedPeer, capability: Capability) -> None:
    chosen = await _agree(peer)
    if capability not in chosen.get("capabilities", ()):
        raise NotApplicable(f"the client does not announce {capability}")


# --- 5: resume ---


@CLIENTS.case("5.1", "After a lost connection, since is the timestamp of the last message", "Resume")
async def _resumes(peer: ScriptedPeer) -> None:
    stream = await _grant_first_stream(peer)
    last = [await _publish(peer, stream) for _ in range(3)][-1]
    await _comes_back_from(peer, stream, last)


@CLIENTS.case("5.2", "Messages that overtook do not change since", "Resume")
async def _resumes_in_line(peer: ScriptedPeer) -> None:
    stream = await _grant_first_stream(peer)
    last = await _publish(peer, stream)
    alert = {"kind": "asystole", "timestamp": 1705314645.25, "stream": stream}
    await peer.say(MessageType.ANOMALY_ALERT, alert, flags=Flag.PRIORITY)
    await _comes_back_from(peer, stream, last)


@CLIENTS.case("5.3", "An answer without from does not change since", "Resume")
async def _stays_where_it_was(peer: ScriptedPeer) -> None:
    stream = await _grant_first_stream(peer)
    last = await _publish(peer, stream)
    for _ in range(2):
        await _comes_back_from(peer, stream, last)


@CLIENTS.case("5.4", "A notice of dropped frames is not answered, and does not change since", "Waiting frames")
async def _takes_notices(peer: ScriptedPeer) -> None:
    stream = await _grant_first_stream(peer)
    last = await _publish(peer, stream)
    moment = (last + 1) / 1_000_000
    dropped = {"from": moment, "to": moment, "dropped": 1, "stream": stream}
    notice = {"code": int(ErrorCode.RATE_LIMIT_EXCEEDED), "message": "a test", "details": dropped}
    await peer.say(MessageType.ERROR, notice)
    await peer.expect_silence("a notice must not be answered", among=_FROM_THE_CLIENT)
    await _comes_back_from(peer, stream, last)


SKIPPED: Final = 1000
"""Microseconds of messages that the suite leaves out, as after ``catch_up``."""


@CLIENTS.case("5.5", "After catch_up, it goes on where the answer says", "Resume")
async def _takes_the_present_first(peer: ScriptedPeer) -> None:
    stream = await _grant_first_stream(peer)
    last = await _publish(peer, stream)
    await peer.still_there()
    await peer.reconnect()
    await _agree(peer)
    wish = await _grant(peer, stream, start=last + SKIPPED)
    require_catch_up(wish)
    await _comes_back_from(peer, stream, await _publish(peer, stream))


async def _grant_first_stream(peer: ScriptedPeer) -> str:
    """Negotiate, accept the first subscription of the client, and return the name of its stream."""
    chosen = await _agree(peer)
    if chosen["version"] != max(STANDALONE_VERSIONS):
        raise NotApplicable(f"version {chosen['version']} has no timestamps to resume by")
    return str((await _grant(peer))["stream"])


async def _grant(peer: ScriptedPeer, stream: str | None = None, start: int | None = None) -> dict[str, Any]:
    """Receive SUBSCRIBE, for a certain stream if given, and accept it, ``from`` a time if given; return its payload."""
    async for message in peer.listen(min(1.0, peer.settings.timeout)):
        if message.type is MessageType.SUBSCRIBE and stream in (None, message.data["stream"]):
            wish: dict[str, Any] = message.data
            answer = {"stream": wish["stream"], "status": "subscribed"}
            late = {} if start is None else {"from": seconds(start)}
            await peer.say(MessageType.SUBSCRIPTION_ACK, answer | late)
            return wish
    raise NotApplicable("the client does not subscribe by itself" if stream is None else f"it left {stream!r}")


async def _publish(peer: ScriptedPeer, stream: str) -> int:
    return await peer.say(MessageType.ECG_DATA, {"signal": [0.5], "sampling_rate": 250, "stream": stream})


async def _comes_back_from(peer: ScriptedPeer, stream: str, last: int) -> None:
    """Abort the connection, and check that the client resumes after that message."""
    await peer.still_there()
    await peer.reconnect()
    await _agree(peer)
    since = (await _grant(peer, stream)).get("since")
    if since is None:
        raise NotApplicable("it reconnects without since: it subscribed anew, or does not resume")
    require(microseconds(since) == last, f"since is {microseconds(since)}; the last message in order was {last}")


add_numbered_cases(CLIENTS, _agree)  # 6: version 4
add_fragment_cases(CLIENTS, _agree)
