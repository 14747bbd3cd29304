"""The cases for servers. The meaning of a number never changes; new rules get new numbers."""

from __future__ import annotations

import zlib
from datetime import UTC, datetime
from functools import partial
from time import perf_counter
from typing import Any, Final
from uuid import UUID

import numpy as np

from ...codec import Message
from ...protocol import (
    ERROR_BUDGET,
    HEADER_SIZES,
    MAX_BATCH_FRAMES,
    MAX_STREAM_NAME,
    STANDALONE_VERSIONS,
    Capability,
    CloseCode,
    ErrorCode,
    Flag,
    MessageType,
)
from .cases import Suite
from .checks import Failed, NotApplicable, alike, require, shown
from .peer import ScriptedPeer
from .server_frames import add_frame_cases, changed_payload
from .server_numbers import add_numbered_cases
from .server_streams import add_stream_cases, hear_data, streaming, subscribed

SERVERS: Final = Suite()
add_frame_cases(SERVERS)
add_stream_cases(SERVERS)
add_numbered_cases(SERVERS)

_STREAM: Final = "conformance"
_NDARRAY: Final = b"__ndarray__"
_BIN: Final = (0xC4, 0xC5, 0xC6)
_HARMLESS: Final = {"features": {"a conformance test": 1.0}}
"""Payload of messages that other clients may receive; it cannot be mistaken for patient data."""

MOMENT: Final = 0.1
"""Seconds to wait for a server to deny a permission."""

FLOOD: Final = 6000
"""Number of frames that are sent at once to exceed a rate limit."""

FRAMES_AT_ONCE: Final = 1000
"""Frames in one message, if the server accepts batches."""

PINGS: Final = 10
"""Most PINGs that are sent to find out whether the server still answers."""

RECOVERY: Final = 5.0
"""Seconds within which one of these PINGs has to be answered."""


# --- 1: opening ---


@SERVERS.case("1.1", "The first message of the server is PROTOCOL_NEGOTIATION with its versions", "Opening")
async def _speaks_first(peer: ScriptedPeer) -> None:
    await peer.hear_offer()
    require("versions" in peer.offer, "the offer has no versions")


@SERVERS.case("1.2", "Its offer travels in a version 1 frame without flags", "Opening")
async def _offers_in_version_1(peer: ScriptedPeer) -> None:
    offer = await peer.hear_offer()
    require(offer.version == 1, f"the offer came in version {offer.version}")
    require(not offer.flags, f"the offer came with the flags {offer.flags!r}")


@SERVERS.case("1.3", "Its preferred version is one of its versions", "Opening")
async def _prefers_what_it_speaks(peer: ScriptedPeer) -> None:
    await peer.hear_offer()
    preferred, versions = peer.offer.get("preferred"), peer.offer.get("versions", ())
    require(preferred is None or preferred in versions, f"it prefers {preferred} and speaks {list(versions)}")


async def _talks_in(version: int, peer: ScriptedPeer) -> None:
    await peer.negotiate(version)
    await peer.say(MessageType.PING, "which version?")
    pong = await peer.hear_one(MessageType.PONG)
    require(pong.version == version, f"version {version} was agreed; PONG came in version {pong.version}")


for _place, _version in enumerate(STANDALONE_VERSIONS, start=4):
    SERVERS.add(
        f"1.{_place}",
        f"Once version {_version} is agreed, it sends in version {_version}",
        "Opening",
        partial(_talks_in, _version),
    )


@SERVERS.case("1.7", "A choice of another version gets ERROR 0x100 and a close with 1002", "Opening")
async def _refuses_other_versions(peer: ScriptedPeer) -> None:
    await peer.hear_offer()
    await peer.choose({"version": 99, "capabilities": []})
    await peer.hear_error(ErrorCode.INVALID_PROTOCOL_VERSION)
    await peer.hear_close(CloseCode.PROTOCOL_ERROR)


@SERVERS.case("1.8", "A second PROTOCOL_NEGOTIATION gets ERROR 0x200 and changes nothing", "Opening")
async def _agrees_once(peer: ScriptedPeer) -> None:
    await peer.negotiate()
    agreed = peer.version
    await peer.say(MessageType.PROTOCOL_NEGOTIATION, {"version": 1, "capabilities": []}, version=1)
    await peer.hear_error(ErrorCode.INVALID_DATA_FORMAT)
    await peer.say(MessageType.PING, None)
    pong = await peer.hear_one(MessageType.PONG)
    require(pong.version == agreed, f"it talks in version {pong.version} from then on, and {agreed} was agreed")


@SERVERS.case("1.9", "Unknown capabilities and fields are ignored", "Capabilities")
async def _ignores_the_unknown(peer: ScriptedPeer) -> None:
    await peer.hear_offer()
    version = max(one for one in peer.offer["versions"] if one in STANDALONE_VERSIONS)
    await peer.choose({"version": version, "capabilities": ["telepathy"], "hobby": "chess"})
    await peer.expect_silence("a choice with an unknown capability must be accepted without an ERROR")


# --- 2: old clients ---


async def _serves_old(version: int, peer: ScriptedPeer) -> None:
    await peer.hear_offer()
    if version not in peer.offer.get("versions", ()):
        raise NotApplicable(f"the server does not offer version {version}")
    peer.version = version
    await peer.say(MessageType.PING, {"long": "x" * 3000})
    pong = await peer.hear_one(MessageType.PONG)
    require(pong.version == version, f"the client talks in version {version}; PONG came in version {pong.version}")
    if version == 1:
        require(not pong.flags, f"a version 1 client got the flags {pong.flags!r}")


for _place, _version in enumerate(STANDALONE_VERSIONS, start=1):
    SERVERS.add(
        f"2.{_place}",
        f"A client that just talks in version {_version} is served in it",
        "Old peers",
        partial(_serves_old, _version),
    )


@SERVERS.case("2.4", "A version 1 client gets data in version 1, without flags", "Old peers")
async def _sends_old_data(peer: ScriptedPeer) -> None:
    stream = streaming(peer)
    await peer.hear_offer()
    await peer.say(MessageType.SUBSCRIBE, {"stream": stream})
    await peer.hear_one(MessageType.SUBSCRIPTION_ACK)
    data = await hear_data(peer)
    require(data.version == 1, f"data came in version {data.version}")
    require(not data.flags, f"data came with the flags {data.flags!r}")


# --- 3: single frames are in server_frames.py ---


@SERVERS.case("3.41", "A text message gets ERROR 0x200, and the connection stays open", "Errors")
async def _refuses_text(peer: ScriptedPeer) -> None:
    await peer.negotiate()
    await peer.send("hello")
    await peer.hear_error(ErrorCode.INVALID_DATA_FORMAT)
    await peer.expect_silence("one ERROR is enough for one text message")


# --- 4: batches ---


@SERVERS.case("4.1", "All frames of a message are processed, in order", "Batches")
async def _takes_batches(peer: ScriptedPeer) -> None:
    await peer.negotiate(3)
    peer.needs(Capability.BATCH)
    await peer.send(b"".join(peer.frame(MessageType.PING, number) for number in range(3)))
    found = [(await peer.hear_one(MessageType.PONG)).data for _ in range(3)]
    require(found == [0, 1, 2], f"the PONGs hold {found}")


@SERVERS.case("4.2", "If a frame of a batch fails check 7, only that frame is lost", "Batches")
async def _takes_the_rest(peer: ScriptedPeer) -> None:
    await peer.negotiate(3)
    peer.needs(Capability.BATCH)
    good = peer.frame(MessageType.PING, "good")
    await peer.send(changed_payload(peer) + good)
    heard = [await peer.hear("ERROR and PONG") for _ in range(2)]
    require(
        {message.type for message in heard} == {MessageType.ERROR, MessageType.PONG},
        f"ERROR and PONG have to come; {' and '.join(message.type.name for message in heard)} came",
    )


@SERVERS.case("4.3", "A message with too many frames gets ERROR 0x102 and a close with 1009", "Batches")
async def _bounds_batches(peer: ScriptedPeer) -> None:
    await peer.negotiate(1)  # the smallest frames: a server may limit the bytes of a message, too
    peer.needs(Capability.BATCH)
    await peer.send(peer.frame(MessageType.PONG, None) * (MAX_BATCH_FRAMES + 1))
    error = await peer.hear_one(MessageType.ERROR)
    if error.data.get("code") == ErrorCode.RATE_LIMIT_EXCEEDED:
        raise NotApplicable("so many frames are more than the server's rate limit lets through")
    require(error.data.get("code") == ErrorCode.MESSAGE_TOO_LARGE, f"ERROR {error.data.get('code')} came")
    await peer.hear_close(CloseCode.TOO_LARGE)


# --- 5: version check ---


async def _checks_version(version: int, peer: ScriptedPeer) -> None:
    await peer.negotiate()
    versions = sorted(peer.offer["versions"])
    await peer.say(MessageType.VERSION_CHECK, {"version": version})
    answer = (await peer.hear_one(MessageType.VERSION_CHECK)).data
    require(answer["version"] == version, f"it was asked about {version} and answers about {answer['version']}")
    require(
        answer.get("compatible") is (version in versions),
        f"compatible is {answer.get('compatible')!r} for version {version}; it offers {versions}",
    )
    offered = answer.get("versions")
    require(offered is None or sorted(offered) == versions, f"versions are {offered!r}; it offers {versions}")


SERVERS.add("5.1", "VERSION_CHECK of a supported version", "Version check", partial(_checks_version, 1))
SERVERS.add("5.2", "VERSION_CHECK of a version that is not supported", "Version check", partial(_checks_version, 99))


@SERVERS.case("5.3", "An answer to a VERSION_CHECK is not answered", "Version check")
async def _leaves_answers_alone(peer: ScriptedPeer) -> None:
    await peer.negotiate()
    await peer.say(MessageType.VERSION_CHECK, {"version": 1, "compatible": True, "versions": [1]})
    await peer.expect_silence("an answer to a VERSION_CHECK must not be answered")


# --- 6: ping ---


async def _echoes(data: Any, peer: ScriptedPeer) -> None:
    await peer.negotiate()
    await peer.say(MessageType.PING, data)
    pong = await peer.hear_one(MessageType.PONG)
    require(alike(pong.data, data), f"PONG holds {shown(pong.data)}; PING held {shown(data)}")


for _place, (_title, _data) in enumerate(
    {
        "nil": None,
        "a map": {"n": 1, 2: [True, None, "µV", 0.1, -(2**63), 2**64 - 1]},
        "bytes": b"\x00\xff" * 300,
        "a date": datetime(2026, 1, 15, 10, 30, 45, 123456, UTC),
        "a UUID": UUID("550e8400-e29b-41d4-a716-446655440000"),
        "an array of floats": np.array([[0.1, float("inf")], [-0.0, 1e300]]),
        "an array of integers": np.arange(-300, 300, dtype="int16"),
        "more than the threshold of compression": {"text": "ecg " * 2000},
    }.items(),
    start=1,
):
    SERVERS.add(
        f"6.{_place}",
        f"PING is answered by PONG with the same payload: {_title}",
        "Heartbeats and pings",
        partial(_echoes, _data),
    )


@SERVERS.case("6.9", "PONG is not answered", "Heartbeats and pings")
async def _leaves_pongs_alone(peer: ScriptedPeer) -> None:
    await peer.negotiate()
    await peer.say(MessageType.PONG, "unsolicited")
    await peer.expect_silence("a PONG must not be answered")


@SERVERS.case("6.10", "It sends HEARTBEAT when it has sent nothing else for the interval", "Heartbeats and pings")
async def _beats(peer: ScriptedPeer) -> None:
    await peer.negotiate()
    interval = peer.offer.get("heartbeat_interval")
    if interval is None or interval > peer.settings.patience:
        raise NotApplicable(f"the interval is {interval} s; the suite waits for {peer.settings.patience:g} s")
    async for message in peer.listen(interval + peer.settings.timeout):
        require(message.type is MessageType.HEARTBEAT, f"expected HEARTBEAT; {message.type.name} came")
        return
    raise Failed(f"expected HEARTBEAT after {interval} s; nothing came")


@SERVERS.case("6.11", "HEARTBEAT may have any payload, and is not answered", "Heartbeats and pings")
async def _takes_heartbeats(peer: ScriptedPeer) -> None:
    await peer.negotiate()
    for data in (None, {"timestamp": 1.5}, [1, 2]):
        await peer.say(MessageType.HEARTBEAT, data)
    await peer.expect_silence("a HEARTBEAT must not be answered")


# --- 7: subscriptions ---


@SERVERS.case("7.1", "SUBSCRIBE is answered by SUBSCRIPTION_ACK about the same stream", "Subscriptions")
async def _answers_subscribe(peer: ScriptedPeer) -> None:
    stream = peer.settings.stream or _STREAM
    await peer.negotiate()
    await peer.say(MessageType.SUBSCRIBE, {"stream": stream})
    answer = (await peer.hear_one(MessageType.SUBSCRIPTION_ACK)).data
    require(answer["stream"] == stream, f'it was asked about "{stream}" and answers about "{answer["stream"]}"')
    require(answer["status"] in ("subscribed", "denied"), f"the status of a SUBSCRIBE is {answer['status']!r}")


@SERVERS.case("7.2", "UNSUBSCRIBE is answered by SUBSCRIPTION_ACK with unsubscribed", "Subscriptions")
async def _answers_unsubscribe(peer: ScriptedPeer) -> None:
    stream = peer.settings.stream or _STREAM
    await peer.negotiate()
    await peer.say(MessageType.SUBSCRIBE, {"stream": stream})
    await peer.hear_one(MessageType.SUBSCRIPTION_ACK)
    await peer.say(MessageType.UNSUBSCRIBE, {"stream": stream})
    answer = (await peer.hear_one(MessageType.SUBSCRIPTION_ACK)).data
    require(answer["stream"] == stream, f'it was asked about "{stream}" and answers about "{answer["stream"]}"')
    require(answer["status"] == "unsubscribed", f"the status of an UNSUBSCRIBE is {answer['status']!r}")


@SERVERS.case("7.3", "An empty or too long name is denied with 0x200", "Subscriptions")
async def _bounds_names(peer: ScriptedPeer) -> None:
    await peer.negotiate()
    for name in ("", "x" * (MAX_STREAM_NAME + 1)):
        await peer.say(MessageType.SUBSCRIBE, {"stream": name})
        answer = (await peer.hear_one(MessageType.SUBSCRIPTION_ACK)).data
        found = (answer["status"], answer.get("code"))
        expected = ("denied", int(ErrorCode.INVALID_DATA_FORMAT))
        require(found == expected, f"a name of {len(name)} characters gets {found}; expected {expected}")


@SERVERS.case("7.4", "Data of a stream names the stream in the field stream", "Subscriptions")
async def _names_the_stream(peer: ScriptedPeer) -> None:
    stream = await subscribed(peer)
    data = await hear_data(peer)
    named = data.data.get("stream") if isinstance(data.data, dict) else None
    require(named == stream, f'data of "{stream}" names the stream {named!r}')


@SERVERS.case("7.5", "The timestamps of a stream strictly rise", "Timestamp")
async def _stamps_rise(peer: ScriptedPeer) -> None:
    await subscribed(peer)
    stamps = [(await hear_data(peer)).timestamp or 0 for _ in range(3)]
    require(stamps[0] < stamps[1] < stamps[2], f"the timestamps are {stamps}")


@SERVERS.case("7.6", "A client without ndarray-bin receives arrays in list form", "Binary form")
async def _sends_lists(peer: ScriptedPeer) -> None:
    await subscribed(peer)
    payload = _payload(await _data_octets(peer))
    place = payload.find(_NDARRAY)
    kind = payload[place + len(_NDARRAY)] if place >= 0 else 0
    require(kind not in _BIN, "data came in binary form")


@SERVERS.case("7.7", "A client without compression receives data uncompressed", "Capabilities")
async def _sends_plain(peer: ScriptedPeer) -> None:
    await subscribed(peer)
    octets = await _data_octets(peer)
    require(not octets[2] & Flag.COMPRESSED, "data came compressed")


async def _data_octets(peer: ScriptedPeer) -> bytes:
    await hear_data(peer)
    return peer.transcript[-1].octets


def _payload(frame: bytes) -> bytes:
    payload = frame[HEADER_SIZES[frame[0]] :]
    return zlib.decompress(payload) if frame[2] & Flag.COMPRESSED else payload


# --- 8: acknowledgement; what the server wants acknowledged is in server_streams.py ---


@SERVERS.case("8.1", "ACK_REQUIRED is answered by a PONG with the timestamp and type of the message", "Acknowledgement")
async def _acknowledges(peer: ScriptedPeer) -> None:
    await peer.negotiate(3)
    peer.needs(Capability.ACK)
    stamp = await peer.say(MessageType.UNSUBSCRIBE, {"stream": _STREAM}, flags=Flag.ACK_REQUIRED)
    heard = [await peer.hear("SUBSCRIPTION_ACK and PONG") for _ in range(2)]
    acks = [message.data for message in heard if message.type is MessageType.PONG]
    expected = {"ack": stamp, "type": int(MessageType.UNSUBSCRIBE)}
    require(acks == [expected], f"the acknowledgements are {acks}; expected {expected}")


@SERVERS.case("8.2", "A refused message is not acknowledged", "Acknowledgement")
async def _does_not_acknowledge_the_refused(peer: ScriptedPeer) -> None:
    await peer.negotiate(3)
    peer.needs(Capability.ACK)
    await peer.say(MessageType.SUBSCRIBE, {}, flags=Flag.ACK_REQUIRED)
    await peer.hear_error(ErrorCode.MISSING_REQUIRED_FIELDS)
    await peer.expect_silence("a refused message must not be acknowledged")


# --- 9: errors ---


@SERVERS.case("9.1", "ERROR is not answered", "Errors")
async def _leaves_errors_alone(peer: ScriptedPeer) -> None:
    await peer.negotiate()
    await peer.say(MessageType.ERROR, {"code": int(ErrorCode.CHECKSUM_MISMATCH), "message": "a test"})
    await peer.expect_silence("an ERROR must not be answered")


@SERVERS.case("9.2", "Five errors within ten seconds close the connection with 1002", "Errors")
async def _has_a_budget(peer: ScriptedPeer) -> None:
    await peer.negotiate(3)
    for _ in range(ERROR_BUDGET):
        await peer.send(changed_payload(peer))
    await peer.hear_close(CloseCode.PROTOCOL_ERROR)


@SERVERS.case("9.3", "SUBSCRIPTION_ACK from a client is refused", "Subscriptions")
async def _refuses_what_servers_send(peer: ScriptedPeer) -> None:
    await peer.negotiate()
    await peer.say(MessageType.SUBSCRIPTION_ACK, {"stream": _STREAM, "status": "subscribed"})
    answered = await peer.still_there()
    refused = [message for message in answered if message.type is MessageType.ERROR]
    require(refused, "a client's SUBSCRIPTION_ACK was accepted without an ERROR")


# --- 10 and 11: resume and what waits are in server_streams.py ---


# --- 12: rights ---


@SERVERS.case("12.1", "BROADCAST from a client without the right gets ERROR 0x203", "Broadcast")
async def _asks_for_the_right_to_broadcast(peer: ScriptedPeer) -> None:
    if await _broadcast(peer):
        raise NotApplicable("this client has the right to broadcast")


@SERVERS.case("12.2", "A message for a stream from a client without the right to publish gets ERROR 0x203", "Broadcast")
async def _asks_for_the_right_to_publish(peer: ScriptedPeer) -> None:
    await peer.negotiate(3)
    await peer.say(MessageType.FEATURE_DATA, {**_HARMLESS, "stream": _STREAM})
    if not await _is_refused(peer):
        raise NotApplicable("this client has the right to publish, or the server's application takes its messages")


@SERVERS.case("12.3", "BROADCAST from a client with the right goes to every other client", "Broadcast")
async def _passes_broadcasts_on(peer: ScriptedPeer) -> None:
    if not await _broadcast(peer):
        raise NotApplicable("this client does not have the right to broadcast")


async def _broadcast(peer: ScriptedPeer) -> bool:
    """Send a broadcast, return whether it was accepted, and check that another client receives it then."""
    await peer.negotiate(3, [Capability.BROADCAST])
    other = await peer.another()
    await other.negotiate(3, [Capability.BROADCAST])
    await other.still_there()
    begin = perf_counter()
    await peer.say(MessageType.FEATURE_DATA, _HARMLESS, flags=Flag.BROADCAST)
    while perf_counter() < begin + peer.settings.timeout:
        if await _is_refused(peer):
            return False
        if any(_is_harmless(message) for message in await _heard(other)):
            return True
    raise Failed("a broadcast got no ERROR, and no other client got it")


async def _is_refused(peer: ScriptedPeer) -> bool:
    """Return whether the message was refused, which has to be for lack of permission."""
    said = await _heard(peer)
    echoed = [message for message in said if message.flags & Flag.BROADCAST and _is_harmless(message)]
    require(not echoed, "the broadcast came back to its sender")
    codes = [message.data["code"] for message in said if message.type is MessageType.ERROR]
    expected = int(ErrorCode.PERMISSION_DENIED)
    require(codes in ([], [expected]), f"the ERRORs are {[hex(code) for code in codes]}; expected 0x{expected:03x}")
    return bool(codes)


async def _heard(peer: ScriptedPeer) -> list[Message]:
    """Return the messages that arrive within ``MOMENT``. A PONG does not end them, since it may overtake an ERROR."""
    said = await peer.still_there()
    return said + [message async for message in peer.listen(MOMENT)]


def _is_harmless(message: Message) -> bool:
    return isinstance(message.data, dict) and message.data.get("features") == _HARMLESS["features"]


# --- 13: rates; 14, version 4, is in server_numbers.py ---


@SERVERS.case("13.1", "Frames beyond the rate limit get ERROR 0x204, and the connection stays open", "Errors")
async def _limits_rates(peer: ScriptedPeer) -> None:
    await peer.negotiate(3)
    frame = peer.frame(MessageType.PONG, None)
    at_once = FRAMES_AT_ONCE if Capability.BATCH in peer.offer.get("capabilities", ()) else 1
    await peer.flood(frame * at_once, FLOOD // at_once)
    begin = perf_counter()
    codes = [message.data["code"] for message in await _until_it_listens(peer) if message.type is MessageType.ERROR]
    if not codes:
        raise NotApplicable(f"the server takes {FLOOD:,} small frames at once: its limit is higher, or there is none")
    require(set(codes) == {ErrorCode.RATE_LIMIT_EXCEEDED}, f"the ERRORs are {[hex(code) for code in codes]}")
    most = 2 + int(perf_counter() - begin)
    require(len(codes) <= most, f"{len(codes)} ERRORs came within {most - 1} s; one a second is enough")


async def _until_it_listens(peer: ScriptedPeer) -> list[Message]:
    """Send PINGs until a PONG arrives, since PINGs may exceed the limit as well; return the messages before it."""
    before: list[Message] = []
    for number in range(PINGS):
        await peer.say(MessageType.PING, {"listening": number})
        async for message in peer.listen(RECOVERY / PINGS):
            if message.type is MessageType.PONG:
                return before
            before.append(message)
    raise Failed(f"expected PONG, since the connection goes on; none came within {RECOVERY:g} s")
