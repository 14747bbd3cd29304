"""Frames on their way out: encoded once, shared by all the sessions whose peers understand the same."""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .._core import flatten
from ..codec import Codec, PreparedFrame
from ..protocol import (
    CAPABILITY_OF_FLAG,
    DATA_TYPES,
    FLAG_SINCE,
    HEADER_SIZES,
    LARGEST_LENGTH,
    Capability,
    Flag,
    MessageType,
)

if TYPE_CHECKING:
    from ..compression import Compression
    from .settings import Settings

# Plain integers, for the way of each frame: arithmetic on enum members is Python code.
_PRIORITY: Final = int(Flag.PRIORITY)
_ACK_REQUIRED: Final = int(Flag.ACK_REQUIRED)
_COMPRESSED: Final = int(Flag.COMPRESSED)

_ALWAYS_URGENT: Final = frozenset({MessageType.ANOMALY_ALERT, MessageType.PROTOCOL_NEGOTIATION})
"""Negotiation, since nothing may be said before it in what it agrees on."""

TIMED_VERSIONS: Final = frozenset(version for version, size in HEADER_SIZES.items() if size > HEADER_SIZES[1])
"""The versions whose header has a timestamp."""


class Encoding(NamedTuple):
    """All that the bytes of a frame depend on besides the message.

    Attributes:
        version: protocol version.
        flags: those that the peer understands, as bits.
        compressed: whether the peer inflates.
        binary: whether the peer reads ndarrays in binary form.
    """

    version: int
    flags: int
    compressed: bool
    binary: bool


@lru_cache(maxsize=1024)
def encoding_for(version: int, capabilities: frozenset[Capability]) -> Encoding:
    """What a peer of that version with those capabilities understands: for all such peers the same object."""
    flags = sum(
        int(flag)
        for flag, capability in CAPABILITY_OF_FLAG.items()
        if capability in capabilities and FLAG_SINCE[flag] <= version
    )
    compressed = Capability.COMPRESSION in capabilities and FLAG_SINCE[Flag.COMPRESSED] <= version
    return Encoding(version, flags, compressed, Capability.NDARRAY_BIN in capabilities)


class Tier(IntEnum):
    """Which waiting frames leave first."""

    URGENT = 0
    CONTROL = 1
    DATA = 2


class Outgoing:
    """One encoded frame that waits to be sent. Never changed, so that thousands of sessions may hold the same one.

    Attributes:
        frame: its bytes.
        type: of the message.
        timestamp: of the message, in microseconds since 1970; in the frame's header from V3 on.
        stream: on which it was published, or None.
        tier: which frames it goes before.
        acknowledged: whether the peer is to acknowledge it.
        waveform: whether it may be dropped before anything else when the peer does not keep up.
        droppable: whether it may be dropped at all.
        nbytes: size of the frame.
        deflated: whether its payload is larger than it looks.
    """

    __slots__ = (
        "acknowledged",
        "deflated",
        "droppable",
        "frame",
        "nbytes",
        "stream",
        "tier",
        "timestamp",
        "type",
        "waveform",
    )

    def __init__(
        self,
        frame: bytes,
        type: MessageType,
        flags: int,
        timestamp: int,
        stream: str | None,
        *,
        in_line: bool = False,
    ) -> None:
        self.frame = frame
        self.type = type
        self.timestamp = timestamp
        self.stream = stream
        self.tier, self.acknowledged, self.droppable, self.waveform, self.deflated = _queue_policy(type, flags, in_line)
        self.nbytes = len(frame)

    def __repr__(self) -> str:
        return f"Outgoing({self.type.name}, {self.nbytes} bytes, timestamp={self.timestamp}, stream={self.stream!r})"


def encode_outgoing(
    encoding: Encoding,
    type: MessageType,
    data: Any,
    *,
    timestamp: int,
    settings: Settings,
    flags: Flag | int = 0,
    stream: str | None = None,
    max_payload: int | None = None,
) -> Outgoing:
    """The message as a frame for every peer of that encoding.

    Args:
        encoding: what the peers understand; flags that they do not are left out.
        type: of the message.
        data: its payload.
        timestamp: in microseconds since 1970, later than that of any other message of this sender.
        settings: the sender's, for compression and its limit.
        flags: PRIORITY, BROADCAST and ACK_REQUIRED.
        stream: on which it is published.
        max_payload: bytes that the payload may have, where that is not the settings' own limit.

    Raises:
        TypeError, OverflowError, ValueError, ProtocolError: as ``Codec.encode`` does.
    """
    limit = settings.max_payload if max_payload is None else max_payload
    codec = codec_for(encoding, settings.compression, limit)
    bits = int(flags) & encoding.flags
    timed = encoding.version in TIMED_VERSIONS
    frame = codec.encode(type, data, flags=bits, timestamp=timestamp if timed else None)
    # Old peers get what is urgent first, although they have no flag for it, hence the flags as they were meant. But a
    # viewer that resumes by timestamps must see what overtook: without the flag, the message stays in line.
    meant = bits | (int(flags) & _PRIORITY)
    if encoding.compressed:
        meant |= flatten(frame).header_at(0, LARGEST_LENGTH).bits & _COMPRESSED
    return Outgoing(frame, type, meant, timestamp, stream, in_line=timed and not bits & _PRIORITY)


class PreparedOutgoing:
    """An ``Outgoing`` that lacks its timestamp alone: ``prepare_outgoing`` makes it.

    Attributes:
        packed: bytes of its payload before deflating.
        nbytes: of its payload as it travels.
        deflated: whether the two differ.
    """

    __slots__ = ("_encoding", "_frame", "_meant", "_type", "deflated", "nbytes", "packed")

    def __init__(self, encoding: Encoding, type: MessageType, frame: PreparedFrame, meant: int) -> None:
        self._encoding = encoding
        self._type = type
        self._frame = frame
        self._meant = meant
        self.packed = frame.packed
        self.nbytes = frame.nbytes
        self.deflated = bool(frame.flags & _COMPRESSED)

    def seal(self, timestamp: int, stream: str | None = None) -> Outgoing:
        """The message as it was sent at that moment, once. It takes no longer for a large one than for a small one.

        Args:
            timestamp: in microseconds since 1970, later than that of any other message of this sender.
            stream: on which it is published.
        """
        timed = self._encoding.version in TIMED_VERSIONS
        bits = self._frame.flags
        frame = self._frame.seal(timestamp if timed else None)
        in_line = timed and not bits & _PRIORITY  # as ``encode_outgoing`` has it
        return Outgoing(frame, self._type, bits | self._meant, timestamp, stream, in_line=in_line)


def prepare_outgoing(
    encoding: Encoding,
    type: MessageType,
    data: Any,
    *,
    settings: Settings,
    flags: Flag | int = 0,
    max_payload: int | None = None,
) -> PreparedOutgoing:
    """The message as ``encode_outgoing`` makes it, but for its timestamp: all that takes long.

    It may be called in any thread. Arguments and errors are those of ``encode_outgoing``.
    """
    limit = settings.max_payload if max_payload is None else max_payload
    bits = int(flags) & encoding.flags
    frame = codec_for(encoding, settings.compression, limit).prepare(type, data, flags=bits)
    return PreparedOutgoing(encoding, type, frame, int(flags) & _PRIORITY)


@lru_cache(maxsize=64)  # bounded: a peer's max_payload is the peer's word
def codec_for(encoding: Encoding, compression: Compression | None, max_payload: int) -> Codec:
    """The codec that makes frames for peers of that encoding."""
    return Codec(
        version=encoding.version,
        compression=compression if encoding.compressed else None,
        max_payload=max_payload,
        ndarray="binary" if encoding.binary else "list",
    )


@lru_cache(maxsize=256)
def _queue_policy(type: MessageType, flags: int, in_line: bool) -> tuple[Tier, bool, bool, bool, bool]:
    """How a frame waits: the attributes of ``Outgoing`` that follow from its type and flags."""
    tier = _tier(type, flags & ~_PRIORITY if in_line else flags)
    droppable = tier is Tier.DATA and not flags & (_ACK_REQUIRED | _PRIORITY)
    return (
        tier,
        bool(flags & _ACK_REQUIRED),
        droppable,
        droppable and type is MessageType.ECG_DATA,
        bool(flags & _COMPRESSED),
    )


def _tier(type: MessageType, flags: int) -> Tier:
    if flags & _PRIORITY or type in _ALWAYS_URGENT:
        return Tier.URGENT
    return Tier.DATA if type in DATA_TYPES else Tier.CONTROL
