"""Outgoing frames: encoded once, and shared by all sessions whose peers use the same encoding."""

from __future__ import annotations

from dataclasses import replace
from enum import IntEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..codec import Codec, EncodedFrame, PreparedFrame
from ..protocol import (
    CAPABILITY_OF_ALGORITHM,
    CAPABILITY_OF_FLAG,
    DATA_TYPES,
    FLAG_SINCE,
    FRAGMENT_SIZE,
    HEADER_SIZES,
    LARGEST_LENGTH,
    STREAM_TYPES,
    Algorithm,
    Capability,
    Flag,
    Form,
    MessageType,
)
from .fragmenting import Fragments

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..compression import Compression
    from .settings import Settings

# Plain integers: each frame uses them, and arithmetic on enum members runs Python code.
_PRIORITY: Final = int(Flag.PRIORITY)
_ACK_REQUIRED: Final = int(Flag.ACK_REQUIRED)
_COMPRESSED: Final = int(Flag.COMPRESSED)
_BULK: Final = int(Form.BULK)
_RECORD: Final = int(Form.RECORD)

_RECORD_GROWTH: Final = 32 * 8
"""Bytes that a byte of a record may count in a batch: it stands for 32 samples at most, and each of them counts 8."""

_ALWAYS_URGENT: Final = frozenset({MessageType.ANOMALY_ALERT, MessageType.PROTOCOL_NEGOTIATION})
"""PROTOCOL_NEGOTIATION, because nothing may be sent before it in the version that it agrees on."""

TIMED_VERSIONS: Final = frozenset(version for version, size in HEADER_SIZES.items() if size > HEADER_SIZES[1])
"""The versions whose header has a timestamp."""


class Encoding(NamedTuple):
    """Everything that the bytes of a frame depend on, apart from the message.

    Attributes:
        version: protocol version.
        flags: those that the peer understands, as an integer.
        compressed: whether the peer accepts compressed payloads.
        binary: whether the peer accepts ndarrays in binary form.
        record: whether the peer accepts records.
        delta: whether it accepts records with the filter DELTA.
        sealed: whether the peer opens sealed payloads. Only messages of sealed streams depend on it.
        algorithms: the compression algorithms that it has, in version 4; before, zlib is the only one.
        max_payload: largest payload of data messages for peers that take less than this side. It is a power of two, so
            that there are few of them; the largest length for all others.
    """

    version: int
    flags: int
    compressed: bool
    binary: bool
    record: bool = False
    delta: bool = False
    sealed: bool = False
    algorithms: tuple[Algorithm, ...] = ()
    max_payload: int = LARGEST_LENGTH

    @property
    def has_zlib(self) -> bool:
        """True if payloads may be compressed with zlib."""
        return self.compressed and (self.version < 4 or Algorithm.ZLIB in self.algorithms)


class Binding(NamedTuple):
    """The numbering of a stream, which an answer to SUBSCRIBE states from version 4 on.

    Attributes:
        id: number of the stream in this direction.
        epoch: of its numbers.
        next: number of the first message that follows.
        templates: the frames of the templates in force before that one.
        ended: number of the message that would have been next in the epoch before; None in an answer to SUBSCRIBE.
    """

    id: int
    epoch: int
    next: int
    templates: tuple[bytes, ...] = ()
    ended: int | None = None


class HistoryPart(NamedTuple):
    """A part of a history, as an answer states it: the kept messages of one epoch.

    Attributes:
        binding: id, epoch and templates, and the number of its first message.
        end: the number after its last message.
        more: the time from which to ask for the rest, in microseconds since 1970; None if there is none.
    """

    binding: Binding
    end: int
    more: int | None


class StreamPosition(NamedTuple):
    """The place of a message in its stream, which the header of a V4 frame names.

    Attributes:
        id: number of the stream in this direction.
        number: of the message within the epoch of the stream.
        form: the form byte: RECORD if the data is a packed record.
    """

    id: int
    number: int
    form: int = 0


@lru_cache(maxsize=1024)
def encoding_for(version: int, capabilities: frozenset[Capability]) -> Encoding:
    """The encoding for peers of that version and those capabilities; the same object for all of them."""
    flags = sum(
        int(flag)
        for flag, capability in CAPABILITY_OF_FLAG.items()
        # A fragment is cut from a frame when it is sent; the frame itself is the same for peers without fragments.
        if capability in capabilities and FLAG_SINCE[flag] <= version and flag is not Flag.FRAGMENT
    )
    algorithms: tuple[Algorithm, ...] = ()
    if version >= 4:
        algorithms = tuple(one for one, name in CAPABILITY_OF_ALGORITHM.items() if name in capabilities)
    has_zlib = Capability.COMPRESSION in capabilities and FLAG_SINCE[Flag.COMPRESSED] <= version
    compressed = bool(algorithms) or has_zlib
    record = version >= 4 and Capability.TEMPLATES in capabilities
    delta = record and Capability.DELTA in capabilities
    sealed = version >= 3 and Capability.ENCRYPTION in capabilities
    binary = Capability.NDARRAY_BIN in capabilities
    return Encoding(version, flags, compressed, binary, record, delta, sealed, algorithms)


def within(encoding: Encoding, announced: int, own: int) -> Encoding:
    """The encoding for a peer that announced the largest payload that it takes.

    Args:
        encoding: that of its version and its capabilities.
        announced: in bytes. It is rounded down to a power of two, so that peers do not make many encodings.
        own: the largest payload of this side; a peer that takes as much needs no encoding of its own.

    Returns:
        The same object for all peers that get the same bytes, as from ``encoding_for``.
    """
    return encoding if announced >= own else _limited(encoding, 1 << announced.bit_length() >> 1)


@lru_cache(maxsize=1024)
def _limited(encoding: Encoding, max_payload: int) -> Encoding:
    return encoding._replace(max_payload=max_payload)


class Tier(IntEnum):
    """The classes of service, in the order in which waiting frames are sent.

    While both wait, LIVE has seven parts of the bytes, and BULK one. Only version 4 has BULK.
    """

    URGENT = 0
    CONTROL = 1
    LIVE = 2
    BULK = 3


class Outgoing:
    """An encoded frame that waits to be sent. It does not change, so that thousands of sessions can share one.

    Args:
        encoded: the frame.
        flags: those of the message, including flags that the frame lacks because the peer does not understand them.
        timestamp: of the message.
        stream: the stream on which it was published, or None.

    Attributes:
        frame: the bytes of the frame.
        type: of the message.
        timestamp: of the message, in microseconds since 1970; from V3 on, it is in the header of the frame.
        stream: the stream on which it was published, or None.
        number: of the message in its stream; None if the frame names none.
        stream_id: number of the stream in this direction; None if the frame names none.
        tier: its order among waiting frames.
        acknowledged: whether the peer has to acknowledge it.
        waveform: whether it is dropped before all others when the peer does not keep up.
        droppable: whether it may be dropped at all.
        nbytes: size of the frame in bytes.
        deflated: whether its payload is compressed.
        weight: bytes that it counts in a batch, at most.
        divisible: whether it may be cut into fragments: a data message of version 4 that does not overtake.
        queued: whether it is always queued: it needs an acknowledgement, or is to be cut.
    """

    __slots__ = (
        "_fragments",
        "acknowledged",
        "deflated",
        "divisible",
        "droppable",
        "frame",
        "nbytes",
        "number",
        "queued",
        "stream",
        "stream_id",
        "tier",
        "timestamp",
        "type",
        "waveform",
        "weight",
    )

    def __init__(self, encoded: EncodedFrame, flags: int, timestamp: int, stream: str | None) -> None:
        self.frame = encoded.frame
        self.type = encoded.type
        self.timestamp = timestamp
        self.stream = stream
        self.number = encoded.sequence or None
        self.stream_id = encoded.stream_id or None
        # Urgent messages overtake for old peers too, although their frames have no flag for it. But a viewer that
        # resumes by timestamps must recognise a message that overtook: without the flag, it stays in order.
        bits = encoded.flags
        in_line = encoded.timestamp is not None and not bits & _PRIORITY
        is_bulk = encoded.form is not None and bool(encoded.form & _BULK)
        self.tier, self.acknowledged, self.droppable, self.waveform, self.deflated = _queue_policy(
            encoded.type, bits | (flags & _PRIORITY), in_line, encoded.version >= 4, is_bulk
        )
        self.nbytes = len(encoded.frame)
        is_record = encoded.form is not None and bool(encoded.form & _RECORD)
        self.weight = self.nbytes * _RECORD_GROWTH if is_record else self.nbytes
        self.divisible = encoded.version >= 4 and self.tier >= Tier.LIVE
        self.queued = self.acknowledged or (self.divisible and encoded.nbytes > FRAGMENT_SIZE)
        self._fragments: Fragments | None = None

    def fragments(self, size: int) -> Fragments:
        """Return its fragments, with pieces of so many bytes. All sessions share them."""
        fragments = self._fragments
        if fragments is None or fragments.size != size:
            fragments = self._fragments = Fragments(self.frame, size)
        return fragments

    def __repr__(self) -> str:
        return f"Outgoing({self.type.name}, {self.nbytes} bytes, timestamp={self.timestamp}, stream={self.stream!r})"


def encode_frame(
    encoding: Encoding,
    type: MessageType,
    data: Any,
    *,
    timestamp: int,
    settings: Settings,
    flags: Flag | int = 0,
    max_payload: int | None = None,
    position: StreamPosition | None = None,
) -> EncodedFrame:
    """Encode a message for all peers of that encoding. Arguments and errors are those of ``encode_outgoing``."""
    limit = settings.max_payload if max_payload is None else max_payload
    if type in DATA_TYPES:
        limit = min(limit, encoding.max_payload)
    codec = codec_for(encoding, settings.compression, limit, settings.default)
    stamp = timestamp if encoding.version in TIMED_VERSIONS else None
    bits = int(flags) & encoding.flags
    if position is None or encoding.version < 4:
        return codec.encode_frame(type, data, flags=bits, timestamp=stamp)
    return codec.encode_frame(
        type, data, flags=bits, timestamp=stamp, stream_id=position.id, sequence=position.number, form=position.form
    )


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
    position: StreamPosition | None = None,
) -> Outgoing:
    """Encode a message for all peers of that encoding, ready to be queued.

    Args:
        encoding: that of the peers; flags that it lacks are left out of the frame.
        type: of the message.
        data: its payload.
        timestamp: in microseconds since 1970, later than that of any other message of this sender.
        settings: those of the sender, for compression and the limit of the payload.
        flags: PRIORITY, BROADCAST and ACK_REQUIRED.
        stream: the stream on which it is published.
        max_payload: largest payload in bytes; by default that of the settings.
        position: of a message of a stream, for peers of version 4.

    Raises:
        TypeError, OverflowError, ValueError, ProtocolError: as ``Codec.encode``.
    """
    encoded = encode_frame(
        encoding,
        type,
        data,
        timestamp=timestamp,
        settings=settings,
        flags=flags,
        max_payload=max_payload,
        position=position,
    )
    return Outgoing(encoded, int(flags), timestamp, stream)


class PreparedOutgoing:
    """An ``Outgoing`` that is complete except for its timestamp; ``prepare_outgoing`` returns it."""

    __slots__ = ("_flags", "_prepared")

    @property
    def flags(self) -> int:
        """The flags of the message."""
        return self._flags

    def __init__(self, prepared: PreparedFrame, flags: int) -> None:
        self._prepared = prepared
        self._flags = flags

    def finish(self, timestamp: int, stream: str | None = None, position: StreamPosition | None = None) -> Outgoing:
        """Add the timestamp, once. This takes as long for a large message as for a small one.

        Args:
            timestamp: in microseconds since 1970, later than that of any other message of this sender.
            stream: the stream on which it is published.
            position: of a message of a stream, in version 4.
        """
        return Outgoing(self.finish_frame(timestamp, position), self._flags, timestamp, stream)

    def finish_frame(self, timestamp: int, position: StreamPosition | None = None) -> EncodedFrame:
        """Add the timestamp and the position, once, and return the frame alone."""
        stamp = timestamp if self._prepared.version in TIMED_VERSIONS else None
        if position is None:
            return self._prepared.finish(stamp)
        return self._prepared.finish(stamp, position.id, position.number)


def prepare_outgoing(
    encoding: Encoding,
    type: MessageType,
    data: Any,
    *,
    settings: Settings,
    flags: Flag | int = 0,
    max_payload: int | None = None,
    form: int = 0,
) -> PreparedOutgoing:
    """Encode a message as ``encode_outgoing`` does, except for its timestamp.

    This does all the slow work, and may run in any thread. Arguments and errors are those of ``encode_outgoing``;
    ``form`` is that of the header in version 4.
    """
    limit = settings.max_payload if max_payload is None else max_payload
    if type in DATA_TYPES:
        limit = min(limit, encoding.max_payload)
    bits = int(flags) & encoding.flags
    return PreparedOutgoing(
        codec_for(encoding, settings.compression, limit, settings.default).prepare(type, data, flags=bits, form=form),
        int(flags),
    )


@lru_cache(maxsize=64)  # bounded, because peers choose max_payload
def codec_for(
    encoding: Encoding,
    compression: Compression | None,
    max_payload: int,
    default: Callable[[Any], Any] | None = None,
) -> Codec:
    """The codec that encodes frames for peers of that encoding."""
    return Codec(
        version=encoding.version,
        compression=_compression_for(encoding, compression),
        max_payload=max_payload,
        ndarray="binary" if encoding.binary else "list",
        default=default,
    )


def _compression_for(encoding: Encoding, compression: Compression | None) -> Compression | None:
    """The compression for peers of that encoding: in version 4, with the algorithms that both sides have."""
    if compression is None or not encoding.compressed:
        return None
    if encoding.version < 4:
        return replace(compression, algorithms=None)
    wanted = compression.algorithms
    usable = tuple(one for one in encoding.algorithms if wanted is None or one in wanted)
    return replace(compression, algorithms=usable) if usable else None


@lru_cache(maxsize=256)
def _queue_policy(
    type: MessageType, flags: int, in_line: bool, is_numbered: bool, is_bulk: bool
) -> tuple[Tier, bool, bool, bool, bool]:
    """The attributes of ``Outgoing`` that follow from its type, its flags, its version and its form."""
    tier = _tier(type, flags & ~_PRIORITY if in_line else flags, is_bulk)
    if is_numbered and type is MessageType.SUBSCRIPTION_ACK:
        tier = Tier.URGENT  # it names the id of the alerts after it
    droppable = tier is Tier.LIVE and type in DATA_TYPES and not flags & (_ACK_REQUIRED | _PRIORITY)
    return (
        tier,
        bool(flags & _ACK_REQUIRED),
        droppable,  # records need their templates, and BULK goes on from the ring
        droppable and type is MessageType.ECG_DATA,
        bool(flags & _COMPRESSED),
    )


def _tier(type: MessageType, flags: int, is_bulk: bool) -> Tier:
    if flags & _PRIORITY or type in _ALWAYS_URGENT:
        return Tier.URGENT
    if type not in STREAM_TYPES:
        return Tier.CONTROL
    return Tier.BULK if is_bulk else Tier.LIVE
