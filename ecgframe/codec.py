"""Codec: messages to frames and back.

The only place where the order stands: pack, deflate, encrypt, sum on the way out; the reverse on the way in.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, get_args

from . import _header, _pack, _unpack
from ._header import Header
from .compression import Compression, deflate, inflate
from .errors import AuthenticationFailed
from .messages import check_received, check_sent
from .protocol import (
    DATA_TYPES,
    DEFAULT_MAX_PAYLOAD,
    FLAG_SINCE,
    HEADER_SIZES,
    LARGEST_LENGTH,
    LARGEST_TIMESTAMP,
    LATEST_VERSION,
    VERSIONS,
    Flag,
    MessageType,
)

if TYPE_CHECKING:
    from typing_extensions import Buffer

NdarrayForm = Literal["list", "binary"]
NumericLists = Literal["list", "ndarray"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# What a caller may set, by version: the version's flags without the two that follow from what the codec does.
_SETTABLE = {
    version: sum(
        flag for flag, since in FLAG_SINCE.items() if since <= version and flag not in (Flag.COMPRESSED, Flag.ENCRYPTED)
    )
    for version in VERSIONS
}
_TYPES = frozenset(MessageType)


@dataclass(slots=True, eq=False)
class Message:
    """One decoded frame.

    Attributes:
        type: what the frame carries.
        data: the payload as Python objects; None for an empty payload.
        version: protocol version of the frame: 1, 2 or 3.
        flags: the header's flags, undefined bits included.
        timestamp: the sender's clock, in microseconds since the Unix epoch; None before V3.
    """

    type: MessageType
    data: Any
    version: int
    flags: Flag
    timestamp: int | None

    @property
    def sent_at(self) -> datetime | None:
        """The timestamp as an aware UTC datetime; None before V3, and where it lies beyond the year 9999."""
        if self.timestamp is None:
            return None
        try:
            return EPOCH + timedelta(microseconds=self.timestamp)
        except OverflowError:
            return None


class Codec:
    """Encodes and decodes frames under one configuration. Safe to share between threads.

    Args:
        version: protocol version of the frames it encodes; it decodes every version.
        compression: when to deflate (V2 and up), or None for never.
        max_payload: bytes that a payload may have, as it travels and inflated, in both directions.
        ndarray: how ndarrays are sent: "list", which every peer reads, or "binary", for peers that announced
            ``ndarray-bin``. Both are read.
        numeric_lists: "ndarray" reads plain homogeneous lists of numbers in data messages as ndarrays, for peers
            that send lists.
        validate: check the fields that each message type requires, both ways.

    Raises:
        ValueError: an argument outside what is listed here.
    """

    def __init__(
        self,
        *,
        version: int = LATEST_VERSION,
        compression: Compression | None = Compression(),
        max_payload: int = DEFAULT_MAX_PAYLOAD,
        ndarray: NdarrayForm = "list",
        numeric_lists: NumericLists = "list",
        validate: bool = False,
    ) -> None:
        if not 0 <= max_payload <= LARGEST_LENGTH:
            raise ValueError(f"max_payload is a number of bytes from 0 to {LARGEST_LENGTH}, not {max_payload}")
        self._version = _known_version(version)
        self._compression = compression
        self._max_payload = max_payload
        self._binary = _one_of("ndarray", ndarray, get_args(NdarrayForm)) == "binary"
        self._numeric = _one_of("numeric_lists", numeric_lists, get_args(NumericLists)) == "ndarray"
        self._validate = validate
        self._clock = _Clock()

    def __repr__(self) -> str:
        return (
            f"Codec(version={self._version}, compression={self._compression!r}, max_payload={self._max_payload}, "
            f"ndarray={'binary' if self._binary else 'list'!r}, "
            f"numeric_lists={'ndarray' if self._numeric else 'list'!r}, validate={self._validate})"
        )

    # --- sending: pack, deflate, encrypt, sum ---

    def encode(
        self,
        type: MessageType | int,
        data: Any,
        *,
        version: int | None = None,
        flags: Flag | int = 0,
        timestamp: int | None = None,
    ) -> bytes:
        """One frame.

        Args:
            type: one of the thirteen message types.
            data: what the payload shall hold, of the specification's eleven types.
            version: protocol version of this frame; the codec's own by default.
            flags: PRIORITY, BROADCAST and ACK_REQUIRED, from V3 on. The codec sets COMPRESSED itself.
            timestamp: microseconds since the Unix epoch, V3 only. None is now, strictly later than the codec's last.

        Raises:
            TypeError: something in ``data`` has no form on the wire; the message names its path.
            OverflowError: an integer outside 64 bits.
            ValueError: a type, version, flag or timestamp that cannot be sent, text without UTF-8, nesting too deep.
            MessageTooLarge: the payload passes ``max_payload``.
            MissingRequiredFields, InvalidDataFormat: with ``validate``, the message is not what its type requires.
        """
        version = self._version if version is None else _known_version(version)
        if type not in _TYPES:
            raise ValueError(f"message type {type!r} is none of the specification's thirteen")
        if flags & ~_SETTABLE[version]:
            raise ValueError(_why_not_settable(version, Flag(flags)))
        stamp = self._stamp(version, timestamp)
        if self._validate:
            check_sent(MessageType(type), data)
        draft = _pack.pack_draft(HEADER_SIZES[version], data, self._max_payload, self._binary)
        if self._compression is not None and version >= FLAG_SINCE[Flag.COMPRESSED]:
            deflated = deflate(draft.payload, self._compression)
            if deflated is not None:
                return _header.build_frame(version, type, flags | Flag.COMPRESSED, stamp, deflated)
        return draft.seal(version, type, flags, stamp)

    def pack(self, obj: Any) -> bytes:
        """The payload alone, uncompressed. Raises as ``encode`` does."""
        return _pack.pack(obj, self._max_payload, self._binary)

    def _stamp(self, version: int, timestamp: int | None) -> int | None:
        if version < 3:
            if timestamp is not None:
                raise ValueError(f"a V{version} frame has no timestamp; V3 has")
            return None
        if timestamp is None:
            return self._clock.next()
        if not 0 <= timestamp <= LARGEST_TIMESTAMP:
            raise ValueError(f"a timestamp is microseconds since 1970 in 64 bits, not {timestamp}")
        return timestamp

    # --- receiving: sum, decrypt, inflate, unpack ---

    def decode(self, buffer: Buffer) -> Message:
        """The message of the one frame that fills the buffer.

        Arrays in binary form are read-only views of an uncompressed frame, and keep ``buffer`` alive; all else is
        copied.

        Raises:
            ProtocolError: the first of the receiver's checks that fails; its class and ``code`` say which.
            TypeError, BufferError: ``buffer`` is no buffer, or not contiguous.
        """
        return self._message(*_header.split_frame(buffer, self._max_payload))

    def decode_all(self, buffer: Buffer) -> Iterator[Message]:
        """The messages of frames laid end to end, one after the other; an empty buffer has none.

        Raises as ``decode`` does; the frames before a broken one are given out first.
        """
        view = _header.flat_view(buffer)
        offset = 0
        while offset < view.nbytes:
            header, payload = _header.split_next(view, offset, self._max_payload)
            yield self._message(header, payload)
            offset += header.size + header.length

    def split(self, buffer: Buffer) -> tuple[Header, memoryview]:
        """Header and payload of the one frame that fills the buffer: checked and summed, not inflated, not unpacked.

        The payload is a read-only view of ``buffer``, as it travelled. Raises as ``decode`` does, for checks 1 to 7.
        """
        return _header.split_frame(buffer, self._max_payload)

    def unpack(self, buffer: Buffer) -> Any:
        """What a payload holds, without a frame around it; None for an empty one.

        Raises:
            ProtocolError: as ``decode`` does, for check 11.
        """
        return _unpack.unpack(buffer, self._numeric)

    def _message(self, header: Header, payload: memoryview) -> Message:
        plain = self._inflated(header, self._decrypted(header, payload))
        data = _unpack.unpack(plain, self._numeric and header.type in DATA_TYPES)
        if self._validate:
            data = check_received(header.type, data)
        return Message(header.type, data, header.version, header.flags, header.timestamp)

    def _decrypted(self, header: Header, payload: memoryview) -> memoryview:
        if header.flags & Flag.ENCRYPTED:
            raise AuthenticationFailed("the payload is encrypted, and this codec has no key", check=8)
        return payload

    def _inflated(self, header: Header, payload: memoryview) -> memoryview | bytes:
        return inflate(payload, self._max_payload) if header.flags & Flag.COMPRESSED else payload


class _Clock:
    """Microseconds since the Unix epoch, never the same twice: a timestamp names its message."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = Lock()

    def next(self) -> int:
        now = time.time_ns() // 1000
        with self._lock:
            self._last = max(now, self._last + 1)
            return self._last


def _known_version(version: int) -> int:
    if version not in VERSIONS:
        raise ValueError(f"protocol version {version!r} is none of {VERSIONS}")
    return version


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ValueError(f"{name} is one of {choices}, not {value!r}")
    return value


def _why_not_settable(version: int, flags: Flag) -> str:
    if flags & Flag.COMPRESSED:
        return "COMPRESSED is set by the codec, where deflating made the payload smaller"
    if flags & Flag.ENCRYPTED:
        return "ENCRYPTED needs a key, and this codec has none"
    missing = Flag(flags & ~_SETTABLE[version])
    return f"V{version} has no flag {missing.name or hex(missing)}"


_default = Codec()

decode = _default.decode
decode_all = _default.decode_all
split = _default.split
pack = _default.pack
unpack = _default.unpack


def encode(
    type: MessageType | int,
    data: Any,
    *,
    version: int = LATEST_VERSION,
    flags: Flag | int = 0,
    timestamp: int | None = None,
) -> bytes:
    """One frame, by a codec of default configuration. See ``Codec.encode``."""
    return _default.encode(type, data, version=version, flags=flags, timestamp=timestamp)
