# cython: binding=True
"""Codec: messages to frames and back.

The only place where the order stands: pack, deflate, encrypt, sum on the way out; the reverse on the way in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import index
from typing import TYPE_CHECKING, Any, Literal, get_args

from ._core import (
    Clock,
    Message,
    as_byte,
    build_frame,
    flatten,
    flatten_writable,
    message_of,
    pack_frame,
    pack_frame_into,
    pack_payload,
    pending_frame,
    unpack_checked,
    unpack_payload,
)
from .compression import Compression, inflate, shrunk
from .errors import AuthenticationFailed, MessageTooLarge, ProtocolError
from .messages import check_received, check_sent
from .protocol import (
    DATA_TYPES,
    DEFAULT_MAX_PAYLOAD,
    FLAG_SINCE,
    LARGEST_LENGTH,
    LARGEST_TIMESTAMP,
    LAST_FATAL_CHECK,
    LATEST_VERSION,
    MAX_BATCH_PAYLOAD,
    VERSIONS,
    Check,
    Flag,
    MessageType,
)

__all__ = [
    "Codec",
    "Message",
    "NdarrayForm",
    "NumericLists",
    "PreparedFrame",
    "decode",
    "decode_all",
    "encode",
    "pack",
    "split",
    "unpack",
]

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from ._core._header import FlatBuffer, Header
    from ._core.frame import PendingFrame

NdarrayForm = Literal["list", "binary"]
NumericLists = Literal["list", "ndarray"]

# Plain integers of what the tables say, for the way of each frame: arithmetic on enum members is Python code.
_COMPRESSED = int(Flag.COMPRESSED)
_ENCRYPTED = int(Flag.ENCRYPTED)
_TRANSFORMED = _COMPRESSED | _ENCRYPTED
_COMPRESSED_SINCE = FLAG_SINCE[Flag.COMPRESSED]
# Tables of small numbers are bytes: an element of them is a C integer, and one of a tuple is an object.
_IS_TYPE = bytes(number in {int(member) for member in MessageType} for number in range(256))

# What a caller may set, by version: the version's flags without the two that follow from what the codec does.
_SETTABLE = bytes(
    (
        0,
        *(
            sum(int(flag) for flag, since in FLAG_SINCE.items() if since <= version) & ~_TRANSFORMED
            for version in VERSIONS
        ),
    )
)


class PreparedFrame:
    """A frame that lacks its timestamp alone: ``Codec.prepare`` makes it.

    Attributes:
        flags: of its header, COMPRESSED among them where its payload is deflated.
        packed: bytes of its payload before deflating.
        nbytes: of its payload as it travels.
    """

    __slots__ = ("_pending", "_type", "_version", "flags", "nbytes", "packed")

    def __init__(self, pending: PendingFrame, version: int, type: int, flags: int, packed: int) -> None:
        self.flags = flags
        self.packed = packed
        self.nbytes = pending.nbytes
        self._pending = pending
        self._version = version
        self._type = type

    def seal(self, timestamp: int | None) -> bytes:
        """The frame, once. What is left to be done takes no longer for a large one than for a small one.

        Args:
            timestamp: microseconds since the Unix epoch; None before V3, and there alone.

        Raises:
            ValueError: a timestamp that cannot be, or a frame that has been sealed before.
        """
        if (timestamp is None) != (self._version < 3):
            raise ValueError(f"a V{self._version} frame has {'no' if self._version < 3 else 'a'} timestamp")
        stamp = 0 if timestamp is None else _checked_timestamp(timestamp)
        return self._pending.seal(self._version, self._type, self.flags, stamp)


class Codec:
    """Encodes and decodes frames under one configuration. Safe to share between threads.

    Args:
        version: protocol version of the frames it encodes.
        compression: when to deflate (V2 and up), or None for never.
        max_payload: bytes that a payload may have, as it travels and inflated, in both directions.
        ndarray: how ndarrays are sent: "list", which every peer reads, or "binary", for peers that announced
            ``ndarray-bin``. Both are read.
        numeric_lists: "ndarray" reads plain homogeneous lists of numbers in data messages as ndarrays, for peers
            that send lists.
        validate: check the fields that each message type requires, both ways.
        versions: protocol versions that it decodes; frames of others are refused as those of unknown versions are.

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
        versions: Iterable[int] = VERSIONS,
    ) -> None:
        if not 0 <= max_payload <= LARGEST_LENGTH:
            raise ValueError(f"max_payload is a number of bytes from 0 to {LARGEST_LENGTH}, not {max_payload}")
        self._version = _known_version(version)
        self._compression = compression
        self._threshold = LARGEST_LENGTH if compression is None else compression.threshold
        self._level = 0 if compression is None else compression.level
        self._max_payload = max_payload
        self._binary = _one_of("ndarray", ndarray, get_args(NdarrayForm)) == "binary"
        self._numeric = _one_of("numeric_lists", numeric_lists, get_args(NumericLists)) == "ndarray"
        self._validate = validate
        self._versions = frozenset(_known_version(version) for version in versions)
        self._knows_all = self._versions == frozenset(VERSIONS)
        self._clock = Clock()

    def __repr__(self) -> str:
        return (
            f"Codec(version={self._version}, compression={self._compression!r}, max_payload={self._max_payload}, "
            f"ndarray={'binary' if self._binary else 'list'!r}, "
            f"numeric_lists={'ndarray' if self._numeric else 'list'!r}, validate={self._validate}, "
            f"versions={sorted(self._versions)})"
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
        return self._frame(
            as_byte(type, "message type"), data, self._or_own(version), as_byte(flags, "flags"), timestamp
        )

    def prepare(
        self, type: MessageType | int, data: Any, *, version: int | None = None, flags: Flag | int = 0
    ) -> PreparedFrame:
        """One frame but for its timestamp, which is left to ``PreparedFrame.seal``.

        For large messages that one thread packs and deflates while another one goes on sending: the timestamp is to be
        of the moment at which the message is sent.

        Args and errors are those of ``encode``.
        """
        return self._prepared(as_byte(type, "message type"), data, self._or_own(version), as_byte(flags, "flags"))

    def encode_into(
        self,
        buffer: Buffer,
        offset: int,
        type: MessageType | int,
        data: Any,
        *,
        version: int | None = None,
        flags: Flag | int = 0,
        timestamp: int | None = None,
    ) -> int:
        """One frame, written into a buffer that the caller owns.

        Args:
            buffer: any writable C-contiguous buffer. It must have room for the uncompressed frame, even where the
                frame that is left is a compressed one; what lies behind the frame may have been written over.
            offset: byte of the buffer where the frame starts.

        Returns:
            The frame's size in bytes: it ends at ``offset`` plus that.

        Raises:
            BufferError: the buffer is read-only, or not contiguous, or ends before the frame does.
            TypeError, OverflowError, ValueError, ProtocolError: as ``encode`` does.
        """
        return self._frame_into(
            flatten_writable(buffer),
            offset,
            as_byte(type, "message type"),
            data,
            self._or_own(version),
            as_byte(flags, "flags"),
            timestamp,
        )

    def _frame(self, type: int, data: Any, version: int, flags: int, timestamp: int | None) -> bytes:
        stamp = self._stamp(version, timestamp)
        self._check_message(type, data, version, flags)
        longest = self._longest_undeflated(version)
        frame = pack_frame(version, type, flags, stamp, data, self._max_payload, self._binary, longest)
        if isinstance(frame, bytes):
            return frame
        deflated = shrunk(frame.payload, self._level)
        if deflated is not None:
            return build_frame(version, type, flags | _COMPRESSED, stamp, deflated)
        return frame.seal(version, type, flags, stamp)

    def _prepared(self, type: int, data: Any, version: int, flags: int) -> PreparedFrame:
        self._check_message(type, data, version, flags)
        pending = pack_frame(version, type, flags, 0, data, self._max_payload, self._binary, -1)
        assert not isinstance(pending, bytes), "no payload is as short as that"
        packed = pending.nbytes
        if packed > self._longest_undeflated(version):
            deflated = shrunk(pending.payload, self._level)
            if deflated is not None:
                pending = pending_frame(version, deflated)
                flags |= _COMPRESSED
        pending.sum_now()
        return PreparedFrame(pending, version, type, flags, packed)

    def _frame_into(
        self, target: FlatBuffer, offset: int, type: int, data: Any, version: int, flags: int, timestamp: int | None
    ) -> int:
        stamp = self._stamp(version, timestamp)
        self._check_message(type, data, version, flags)
        longest = self._longest_undeflated(version)
        written = pack_frame_into(
            target, offset, version, type, flags, stamp, data, self._max_payload, self._binary, longest
        )
        if isinstance(written, int):
            return written
        deflated = shrunk(written.payload, self._level)
        if deflated is not None:
            written.replace(deflated)
            flags |= _COMPRESSED
        written.seal(version, type, flags, stamp)
        return written.room + written.nbytes

    def _check_message(self, type: int, data: Any, version: int, flags: int) -> None:
        settable = _SETTABLE[version]
        if flags & ~settable:
            raise ValueError(_why_not_settable(version, flags & ~settable))
        if not _IS_TYPE[type]:
            raise ValueError(f"message type 0x{type:02x} is none of the specification's thirteen")
        if self._validate:
            check_sent(type, data)

    def _longest_undeflated(self, version: int) -> int:
        """Bytes that a payload may have for deflating it not to be tried."""
        return self._threshold if version >= _COMPRESSED_SINCE else LARGEST_LENGTH

    def pack(self, obj: Any) -> bytes:
        """The payload alone, uncompressed. Raises as ``encode`` does."""
        return pack_payload(obj, self._max_payload, self._binary)

    def _or_own(self, version: int | None) -> int:
        return self._version if version is None else _known_version(version)

    def _stamp(self, version: int, timestamp: int | None) -> int:
        if version < 3:
            if timestamp is not None:
                raise ValueError(f"a V{version} frame has no timestamp; V3 has")
            return 0
        if timestamp is None:
            return self._clock.next()
        return _checked_timestamp(timestamp)

    # --- receiving: sum, decrypt, inflate, unpack ---

    def decode(self, buffer: Buffer) -> Message:
        """The message of the one frame that fills the buffer.

        Arrays in binary form are read-only views of an uncompressed frame, and keep ``buffer`` alive; all else is
        copied.

        Raises:
            ProtocolError: the first of the receiver's checks that fails; its class and ``code`` say which.
            TypeError, BufferError: ``buffer`` is no buffer, or not contiguous.
        """
        flat = flatten(buffer)
        self._check_version(flat, 0)
        return self._message(flat, 0, flat.only_frame(self._max_payload), self._max_payload)

    def decode_all(self, buffer: Buffer) -> Iterator[Message]:
        """The messages of frames laid end to end, one after the other; an empty buffer has none.

        Raises as ``decode`` does; the frames before a broken one are given out first.
        """
        flat = flatten(buffer)
        offset = 0
        while offset < flat.nbytes:
            self._check_version(flat, offset)
            header = flat.whole_frame_at(offset, self._max_payload)
            yield self._message(flat, offset, header, self._max_payload)
            offset += header.size + header.length

    def decode_each(self, buffer: Buffer) -> Iterator[Message | ProtocolError]:
        """As ``decode_all``, with the error of a broken frame in the frame's place, for whoever goes on after it.

        It ends with an error of the checks 1 to 6: behind such a frame nobody knows where the next one starts. The
        payloads of the frames behind the first may have 4 MiB together, inflated; one beyond that is too large.
        """
        flat = flatten(buffer)
        offset = 0
        room = self._max_payload
        left = MAX_BATCH_PAYLOAD
        while offset < flat.nbytes:
            item: Message | ProtocolError
            try:
                self._check_version(flat, offset)
                item = self._message(flat, offset, flat.whole_frame_at(offset, self._max_payload), room)
            except ProtocolError as error:
                item = error
            yield item
            if isinstance(item, ProtocolError):
                if item.check is None or item.check <= LAST_FATAL_CHECK:
                    return
            elif offset:
                left -= item.nbytes
            header = flat.header_at(offset, self._max_payload)
            offset += header.size + header.length
            room = min(left, self._max_payload)

    def split(self, buffer: Buffer) -> tuple[Header, memoryview]:
        """Header and payload of the one frame that fills the buffer: checked and summed, not inflated, not unpacked.

        The payload is a read-only view of ``buffer``, as it travelled. Raises as ``decode`` does, for checks 1 to 7.
        """
        flat = flatten(buffer)
        self._check_version(flat, 0)
        header = flat.only_frame(self._max_payload)
        flat.check_sum(0, header)
        return header, flat.view(header.size, header.size + header.length)

    def unpack(self, buffer: Buffer) -> Any:
        """What a payload holds, without a frame around it; None for an empty one.

        Raises:
            ProtocolError: as ``decode`` does, for check 11.
        """
        flat = flatten(buffer)
        return unpack_payload(flat, 0, flat.nbytes, self._numeric)

    def _check_version(self, flat: FlatBuffer, offset: int) -> None:
        if not self._knows_all:
            flat.check_version(offset, self._versions)

    def _message(self, flat: FlatBuffer, offset: int, header: Header, room: int) -> Message:
        numeric = self._numeric and header.type in DATA_TYPES
        if header.length > room:
            flat.check_sum(offset, header)
            raise MessageTooLarge(
                f"{header.length} bytes of payload, where the message has room for {room}", check=Check.INFLATED_LIMIT
            )
        if header.bits & _TRANSFORMED:
            plain = flatten(self._restored(flat, offset, header, room))
            data = unpack_payload(plain, 0, plain.nbytes, numeric)
            nbytes = plain.nbytes
        else:
            data = unpack_checked(flat, offset, header, numeric)
            nbytes = header.length
        if self._validate:
            data = check_received(header.type, data)
        return message_of(header, data, nbytes)

    def _restored(self, flat: FlatBuffer, offset: int, header: Header, room: int) -> Buffer:
        """The payload as it was before it was deflated and encrypted."""
        flat.check_sum(offset, header)
        start = offset + header.size
        payload = flat.view(start, start + header.length)
        return self._inflated(header, self._decrypted(header, payload), room)

    def _decrypted(self, header: Header, payload: memoryview) -> memoryview:
        if header.bits & _ENCRYPTED:
            raise AuthenticationFailed("the payload is encrypted, and this codec has no key", check=Check.ENCRYPTION)
        return payload

    def _inflated(self, header: Header, payload: memoryview, room: int) -> Buffer:
        return inflate(payload, room) if header.bits & _COMPRESSED else payload


def _known_version(version: int) -> int:
    if version not in VERSIONS:
        raise ValueError(f"protocol version {version!r} is none of {VERSIONS}")
    return index(version)


def _checked_timestamp(timestamp: int) -> int:
    if not 0 <= timestamp <= LARGEST_TIMESTAMP:
        raise ValueError(f"a timestamp is microseconds since 1970 in 64 bits, not {timestamp}")
    return index(timestamp)


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ValueError(f"{name} is one of {choices}, not {value!r}")
    return value


def _why_not_settable(version: int, flags: int) -> str:
    if flags & _COMPRESSED:
        return "COMPRESSED is set by the codec, where deflating made the payload smaller"
    if flags & _ENCRYPTED:
        return "ENCRYPTED needs a key, and this codec has none"
    return f"V{version} has no flag {Flag(flags).name or hex(flags)}"


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
