"""Single frames that a server has to reject or accept: section 3 of the cases for servers."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgpack  # type: ignore[import-untyped]

from ..._core import build_frame
from ...protocol import MAX_DEPTH, CloseCode, ErrorCode, Flag, MessageType
from .cases import Suite
from .checks import NotApplicable, alike, require, shown

if TYPE_CHECKING:
    from .peer import ScriptedPeer

CHECKS: Final = "What a receiver checks"

_STAMP: Final = 1_700_000_000_000_000
_LARGEST_BOMB: Final = 1 << 28
_DEFLATED: Final = zlib.compress(b"\xc3")
_WIDE: Final = b"\xdf\0\0\0\1" + b"\xdb\0\0\0\1a" + b"\xdd\0\0\0\1\1"
"""A map from a text to an array of an integer, each with the longest header."""

Make = Callable[["ScriptedPeer"], bytes]


class Broken(NamedTuple):
    """A frame that has to be rejected."""

    number: str
    title: str
    code: int
    make: Make


class Good(NamedTuple):
    """A PING that has to be accepted, and answered by a PONG with ``data``; ``...`` matches everything."""

    number: str
    title: str
    data: Any
    make: Make


def raw(payload: bytes, *, flags: int = 0, version: int = 3) -> bytes:
    """Build a PING with any payload, and the right length and checksum."""
    return build_frame(version, MessageType.PING, flags, _STAMP, payload)


def changed_payload(peer: ScriptedPeer) -> bytes:
    """Build a PING whose payload was changed after the checksum was taken."""
    return peer.frame(MessageType.PING, True)[:-1] + b"\xc2"


def _constant(octets: bytes) -> Make:
    return lambda peer: octets


def _patched(**bytes_at: int) -> Make:
    """Build a PING with some bytes of its header replaced."""
    places = {"version": 0, "type": 1, "flags": 2}

    def make(peer: ScriptedPeer) -> bytes:
        frame = bytearray(peer.frame(MessageType.PING, True))
        for name, octet in bytes_at.items():
            frame[places[name]] = octet
        return bytes(frame)

    return make


def _cut(size: int | None) -> Make:
    return lambda peer: peer.frame(MessageType.PING, "four")[:size]


def _two_faults(peer: ScriptedPeer) -> bytes:
    return _patched(type=0x13)(peer)[:-1] + b"\xc2"


def _beyond_the_limit(peer: ScriptedPeer) -> bytes:
    frame = bytearray(peer.frame(MessageType.PING, True))
    frame[3:7] = (peer.limit + 1).to_bytes(4, "big")
    return bytes(frame[:-1])


def _bomb(peer: ScriptedPeer) -> bytes:
    """Build a binary that exceeds the limit, and compresses to a thousandth."""
    size = peer.limit + 1
    if size > _LARGEST_BOMB:
        raise NotApplicable(f"the server accepts {peer.limit:,} bytes; more would take it too long to inflate")
    return raw(zlib.compress(b"\xc6" + size.to_bytes(4, "big") + bytes(size)), flags=Flag.COMPRESSED)


def _inconsistent_array(**changes: Any) -> Make:
    return _constant(raw(msgpack.packb({"__ndarray__": [1, 2, 3], "dtype": "int16", "shape": [3], **changes})))


def _wrapper(key: str, text: str) -> Make:
    return _constant(raw(msgpack.packb({key: text})))


def _subscribe(data: Any) -> Make:
    return lambda peer: peer.frame(MessageType.SUBSCRIBE, data)


CLOSING: Final = (
    Broken("3.1", "check 1: a header that is cut short", 0x200, _cut(15)),
    Broken("3.2", "check 1: an empty message", 0x200, _cut(0)),
    Broken("3.3", "check 2: an undefined version", 0x100, _patched(version=99)),
    Broken("3.4", "check 3: an undefined type", 0x104, _patched(type=0x13)),
    Broken("3.5", "check 4: a length beyond the limit, without payload", 0x102, _beyond_the_limit),
    Broken("3.6", "check 5: a payload that is cut short", 0x200, _cut(-1)),
    Broken("3.7", "check 6: COMPRESSED in version 1", 0x200, _constant(raw(_DEFLATED, flags=1, version=1))),
    Broken("3.8", "two faults, checks 3 and 7: the first one counts", 0x104, _two_faults),
)
"""Checks 1 to 6: the end of such a frame is unknown, so the connection is closed."""

COSTING_THEMSELVES: Final = (
    Broken("3.20", "check 7: a wrong checksum", 0x101, changed_payload),
    Broken("3.21", "check 8: ENCRYPTED", 0x202, _patched(flags=Flag.ENCRYPTED)),
    Broken("3.22", "check 9: COMPRESSED, but not a zlib stream", 0x103, _constant(raw(b"\xc3", flags=1))),
    Broken("3.23", "check 9: a zlib stream that is cut short", 0x103, _constant(raw(_DEFLATED[:-2], flags=1))),
    Broken("3.24", "check 9: a byte after the zlib stream", 0x103, _constant(raw(_DEFLATED + b"\0", flags=1))),
    Broken("3.25", "check 9: gzip instead of zlib", 0x103, _constant(raw(gzip.compress(b"\xc3"), flags=1))),
    Broken("3.26", "check 10: inflated, it exceeds the limit", 0x102, _bomb),
    Broken("3.27", "check 11: a byte that is not a MessagePack tag", 0x200, _constant(raw(b"\xc1"))),
    Broken("3.28", "check 11: a second value", 0x200, _constant(raw(b"\xc3\xc3"))),
    Broken("3.29", "check 11: a value that is cut short", 0x200, _constant(raw(b"\xa5four"))),
    Broken("3.30", "check 11: an extension type", 0x200, _constant(raw(b"\xd4\x01\x00"))),
    Broken("3.31", "check 11: text that is not UTF-8", 0x200, _constant(raw(b"\xa1\xff"))),
    Broken("3.32", "check 11: a map key that is neither text nor integer", 0x200, _constant(raw(b"\x81\xc0\xc3"))),
    Broken("3.33", "check 11: a key that occurs twice", 0x200, _constant(raw(b"\x82\xa1a\x01\xa1a\x02"))),
    Broken("3.34", "check 11: nested too deep", 0x200, _constant(raw(b"\x91" * (MAX_DEPTH + 1) + b"\xc0"))),
    Broken("3.35", "check 11: an array with a wrong shape", 0x200, _inconsistent_array(shape=[2, 2])),
    Broken("3.36", "check 11: an array of an unsupported dtype", 0x200, _inconsistent_array(dtype="O")),
    Broken("3.37", "check 11: an invalid date", 0x200, _wrapper("__datetime__", "soon")),
    Broken("3.38", "check 11: an invalid UUID", 0x200, _wrapper("__uuid__", "550e")),
    Broken("3.39", "check 12: SUBSCRIBE without a stream", 0x201, _subscribe({})),
    Broken("3.40", "check 12: SUBSCRIBE to a stream whose name is not text", 0x200, _subscribe({"stream": 7})),
)
"""Checks 7 to 12: only this frame is lost."""

ACCEPTED: Final = (
    Good("3.50", "an empty payload is nil", None, _constant(raw(b""))),
    Good("3.51", "flag bits that no version defines", True, _patched(flags=0xE0)),
    Good("3.52", "PRIORITY in version 1, which has no such flag", True, _constant(raw(b"\xc3", flags=4, version=1))),
    Good("3.53", "a compressed short payload", True, _constant(raw(_DEFLATED, flags=1))),
    Good("3.54", "an integer in nine bytes", 1, _constant(raw(b"\xcf" + bytes(7) + b"\x01"))),
    Good("3.55", "a map, a text and an array with the longest headers", {"a": [1]}, _constant(raw(_WIDE))),
    Good("3.56", "arrays nested to the maximum depth", ..., _constant(raw(b"\x91" * MAX_DEPTH + b"\xc0"))),
)


def add_frame_cases(suite: Suite) -> None:
    """Add all cases of this module."""
    for broken in CLOSING:
        title = f"Refused and closed, {broken.title}"
        suite.add(broken.number, title, CHECKS, partial(_ends_the_connection, broken))
    for broken in COSTING_THEMSELVES:
        title = f"Refused, and the connection stays open, {broken.title}"
        suite.add(broken.number, title, CHECKS, partial(_costs_one_error, broken))
    for good in ACCEPTED:
        suite.add(good.number, f"Accepted: {good.title}", CHECKS, partial(_accepts, good))


async def _ends_the_connection(broken: Broken, peer: ScriptedPeer) -> None:
    await peer.negotiate(3)
    await peer.send(broken.make(peer))
    code = ErrorCode(broken.code)
    await peer.hear_error(code)
    await peer.hear_close(CloseCode.TOO_LARGE if code is ErrorCode.MESSAGE_TOO_LARGE else CloseCode.PROTOCOL_ERROR)


async def _costs_one_error(broken: Broken, peer: ScriptedPeer) -> None:
    await peer.negotiate(3)
    await peer.send(broken.make(peer))
    await peer.hear_error(ErrorCode(broken.code))
    await peer.expect_silence("one ERROR is enough for one broken frame")


async def _accepts(good: Good, peer: ScriptedPeer) -> None:
    await peer.negotiate(3)
    await peer.send(good.make(peer))
    pong = await peer.hear_one(MessageType.PONG)
    require(alike(pong.data, good.data), f"PONG holds {shown(pong.data)}; PING held {shown(good.data)}")
