# cython: binding=True
"""Encodes messages to frames, and decodes frames.

Only this module knows the order of the steps. To encode: pack, compress, compute the checksum. To decode: the same in
reverse order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from operator import index
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

from ._core import (
    Clock,
    Header,
    Message,
    TemplateCoder,
    accepts_fields,
    as_byte,
    build_frame,
    decode_common,
    flatten,
    flatten_writable,
    form_fault,
    message_of,
    pack_frame,
    pack_frame_into,
    pack_payload,
    pending_frame,
    read_record_head,
    unpack_checked,
    unpack_payload,
)
from ._core.form import count_of_types, describe_fault, version_bits
from ._signatures import DeclaredSignature
from .compression import AlgorithmChoice, Compression, compressed, inflate, may_shrink, shrink, zstd
from .errors import AuthenticationFailed, InvalidDataFormat, MessageTooLarge, ProtocolError
from .messages import FIELD_TABLES, check_received, check_sent
from .messages.template_rules import check_size as check_template_size
from .messages.template_rules import unknown_template, wrong_template
from .protocol import (
    DATA_TYPES,
    DEFAULT_MAX_PAYLOAD,
    DEFAULT_VERSION,
    FLAG_SINCE,
    HEADER_SIZES,
    LARGEST_LENGTH,
    LARGEST_SEQUENCE,
    LARGEST_STREAM_ID,
    LARGEST_TIMESTAMP,
    LAST_FATAL_CHECK,
    MAX_BATCH_PAYLOAD,
    MAX_TEMPLATE_PAYLOAD,
    RECORD_HEADER,
    TYPE_SINCE,
    VERSIONS,
    Algorithm,
    Check,
    Flag,
    Form,
    MessageType,
)

__all__ = [
    "Codec",
    "EncodedFrame",
    "Message",
    "Meter",
    "NdarrayForm",
    "NumericLists",
    "PayloadOpener",
    "PayloadSealer",
    "PreparedFrame",
    "RecordContent",
    "RecordTemplate",
    "SealedPayload",
    "TemplateBook",
    "decode",
    "decode_all",
    "encode",
    "pack",
    "split",
    "unpack",
]

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from ._core._header import FlatBuffer
    from ._core.frame import PendingFrame

NdarrayForm = Literal["list", "binary"]
NumericLists = Literal["list", "ndarray"]

# Plain integers: each frame uses them, and arithmetic on enum members runs Python code.
_COMPRESSED = int(Flag.COMPRESSED)
_ENCRYPTED = int(Flag.ENCRYPTED)
_FRAGMENT = int(Flag.FRAGMENT)
_SIGNED = int(Flag.SIGNED)
_TRANSFORMED = _COMPRESSED | _ENCRYPTED
_TRANSFORMED_IN_V4 = _TRANSFORMED | _FRAGMENT | _SIGNED
_RECORD = int(Form.RECORD)
_ZERO = 0  # default of stream, sequence and form, compared by identity: most calls have none, and need no check
_ALGORITHM = int(Form.ALGORITHM)
_COMPRESSED_SINCE = FLAG_SINCE[Flag.COMPRESSED]
# Tables of small numbers are bytes: their elements are C integers, those of a tuple are objects.
_TYPES: list[MessageType | None] = [None] * 256
for _member in MessageType:
    _TYPES[_member] = _member
_HEADER_SIZES = bytes(HEADER_SIZES.get(version, 0) for version in range(VERSIONS[-1] + 1))
_TYPE_SINCE = bytes(TYPE_SINCE.get(number, 255) for number in range(256))  # type: ignore[call-overload]
_ALWAYS_CHECKED = frozenset({MessageType.STREAM_TEMPLATE, MessageType.STREAM_ATTESTATION})
_TEMPLATE = int(MessageType.STREAM_TEMPLATE)
_LONGEST_TEMPLATE = MAX_TEMPLATE_PAYLOAD
_RECORD_HEADER = RECORD_HEADER
_OPTIONS_AT = 3  # offset of the options in a record
_FILTER_AT = 2  # offset of the filter in a record
_COUNT_AT = 4  # offset of the number of samples per lead, four bytes
_SAMPLES_A_BYTE = 32  # maximum number of samples of a lead that one byte of a record expands to
_SAMPLE_SIZE = 8  # bytes that each sample of a record uses of the limit for batches, for any dtype

# Flags that a caller may set, by version. The codec sets COMPRESSED and ENCRYPTED.
_SETTABLE = bytes(
    (
        0,
        *(
            sum(int(flag) for flag, since in FLAG_SINCE.items() if since <= version) & ~_TRANSFORMED_IN_V4
            for version in VERSIONS
        ),
    )
)


class Meter(Protocol):
    """Limits what decoding a frame may cost, before it is decoded. A session has one for each received message."""

    def admit(self, header: Header, room: int) -> int:
        """Judge a frame by its header, which passed the checks 1 to 6.

        Args:
            header: header of the frame; nothing else has been read yet.
            room: maximum size of the payload before and after decompression, in bytes.

        Returns:
            ``room``, or a lower limit.

        Raises:
            ProtocolError: the frame is rejected.
        """
        ...

    def weigh(self, flat: FlatBuffer, start: int, stop: int) -> None:
        """Judge a frame by its payload, after decompression and before unpacking. The checksum may still be unverified.

        Raises:
            ProtocolError: the frame is rejected.
        """
        ...

    def weigh_record(self, template: RecordTemplate, count: int, payload: memoryview) -> None:
        """Judge a record by what it stands for, before its samples are read.

        Args:
            template: its template.
            count: samples of each lead; at most as many as the bytes of the record can hold.
            payload: the record, as packed.

        Raises:
            ProtocolError: the frame is refused.
        """
        ...


class PayloadSealer(Protocol):
    """The part of ``Sealer`` that the codec needs."""

    def seal(self, payload: Buffer, *, version: int, type: int, flags: int = 0, form: int = 0) -> bytes:
        """Seal a payload. See ``Sealer.seal``."""
        ...


class SealedPayload(bytes):
    """A sealed payload that is handed on unread, as ``Message.data``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"SealedPayload(<{len(self)} bytes>)"


class PayloadOpener(Protocol):
    """Opens the sealed payloads of a peer. A session has one if it reads sealed streams.

    Attributes:
        passes: whether sealed payloads are not opened: a message then has a ``SealedPayload`` as its data.
    """

    passes: bool

    def open(self, header: Header, payload: memoryview) -> Buffer:
        """Return the payload as it was before it was sealed.

        Args:
            header: header of the frame, which has ENCRYPTED.
            payload: the sealed payload, whose checksum was verified.

        Raises:
            ProtocolError: check 8 failed, or the payload cannot be opened for now.
        """
        ...

    def cut(self, header: Header, payload: memoryview) -> Buffer:
        """Return a signed payload without its trailer, opened and inflated.

        Args:
            header: header of the frame, which has SIGNED.
            payload: the payload with the trailer.

        Raises:
            ProtocolError: the trailer is cut short (check 11), or the signature is not right (check 14).
        """
        ...

    def check(self, header: Header, data: Any) -> None:
        """Check the content of the last payload that was opened. ``data`` is the unpacked message.

        Raises:
            ProtocolError: check 8; the message does not belong to the key.
        """
        ...


class RecordContent(Protocol):
    """The result of decoding a record. ``DecodedRecord`` has more."""

    @property
    def data(self) -> dict[Any, Any]:
        """The ECG_DATA map that the record stands for."""
        ...


class RecordTemplate(Protocol):
    """The part of ``Template`` that the codec needs."""

    @property
    def rows(self) -> int:
        """Number of leads; 0 if the signal has one dimension."""
        ...

    @property
    def digest(self) -> bytes:
        """The digest in records that are bound to the template, 8 bytes."""
        ...

    @property
    def coder(self) -> TemplateCoder | None:
        """Reads records as ``decode`` does, in one call, apart from their digest; None if that is not enough."""
        ...

    def memory(self, count: int) -> int:
        """Bytes of memory that a record of ``count`` samples a lead takes, at most: its map, and what reads it."""
        ...

    def decode(self, payload: memoryview, *, max_payload: int, copy: bool, numeric: bool) -> RecordContent:
        """Read the payload of a record.

        Args:
            payload: read-only; at least the 16 bytes before the samples, with the number of this template.
            max_payload: maximum size of the samples in memory, in bytes.
            copy: True if the array must be a copy. Otherwise it may be a view, which keeps the payload alive.
            numeric: True if plain lists of numbers in the fields become arrays.

        Raises:
            ProtocolError: check 11 failed.
        """
        ...


TemplateBook = Mapping[tuple[int, int], RecordTemplate]
"""Templates for decoding records of V4, by stream id and number of the template. The caller of the codec adds them from
the STREAM_TEMPLATE messages that it receives."""


class _Batch:
    """The limit for the decoded frames of a batch, except the first.

    Attributes:
        left: bytes that remain.
        spent: size of the samples of the current frame in bytes, if it is a record.
    """

    def __init__(self) -> None:
        self.left = MAX_BATCH_PAYLOAD
        self.spent = 0


class EncodedFrame:
    """A frame and the fields of its header, so that the code that passes it on does not have to parse it again.

    ``Codec.encode_frame``, ``PreparedFrame.seal`` and ``Codec.verify`` return it. It is immutable.

    Attributes:
        frame: the bytes of the frame.
        version: protocol version.
        type: type of the message.
        flags: flags of the header as an integer, including COMPRESSED if the payload is compressed.
        timestamp: microseconds since the Unix epoch; None before V3.
        nbytes: size of the payload in the frame, in bytes.
        packed: size of the payload before compression, in bytes; None if the frame was received compressed.
        form: form of the header as an integer; None before V4.
        stream_id: number of the stream, 0 for none; None before V4.
        sequence: number of the message in the stream, 0 for none; None before V4.
    """

    def __init__(
        self,
        frame: bytes,
        version: int,
        type: MessageType,
        flags: int,
        timestamp: int | None,
        nbytes: int,
        packed: int | None,
        form: int | None = None,
        stream_id: int | None = None,
        sequence: int | None = None,
    ) -> None:
        self.frame = frame
        self.version = version
        self.type = type
        self.flags = flags
        self.timestamp = timestamp
        self.nbytes = nbytes
        self.packed = packed
        self.form = form
        self.stream_id = stream_id
        self.sequence = sequence

    def __bytes__(self) -> bytes:
        return self.frame

    def __repr__(self) -> str:
        return f"EncodedFrame({self.type.name}, V{self.version}, {len(self.frame)} bytes, timestamp={self.timestamp})"

    def with_timestamp(self, timestamp: int) -> EncodedFrame:
        """Return a copy of the frame with another timestamp. The checksum stays: it does not cover the header.

        Raises:
            ValueError: the frame is of V1 or V2, or the timestamp is out of range.
        """
        if self.timestamp is None:
            raise ValueError(f"a V{self.version} frame has no timestamp")
        return self._with_header(self.version, timestamp, self.form, self.stream_id, self.sequence)

    def as_message(self, timestamp: int, form: int, stream_id: int, sequence: int) -> EncodedFrame:
        """Return the same payload in a frame of V4, as another message of a stream.

        Raises:
            ValueError: the frame is not of V4, or a number is out of range.
        """
        if self.version != 4:
            raise ValueError(f"{self!r} is not of V4")
        return self._with_header(4, timestamp, form, stream_id, sequence)

    def in_version_3(self) -> EncodedFrame:
        """Return the same MessagePack payload in a frame of V3, or the frame itself if it is one.

        Raises:
            ValueError: the frame is of V1 or V2, or its payload is a record.
        """
        if self.version == 3:
            return self
        if self.timestamp is None or (self.form or 0) & _RECORD:
            raise ValueError(f"{self!r} has no equivalent in V3")
        return self._with_header(3, self.timestamp)

    def in_version_4(self, stream_id: int, sequence: int) -> EncodedFrame:
        """Return the same MessagePack payload in a frame of V4, as a message of a stream.

        Raises:
            ValueError: the frame is not of V3.
        """
        if self.version != 3 or self.timestamp is None:
            raise ValueError(f"{self!r} is not of V3")
        return self._with_header(4, self.timestamp, 0, stream_id, sequence)

    def sealed(self, sealer: PayloadSealer) -> EncodedFrame:
        """Return the same message with its payload sealed.

        Args:
            sealer: that of the stream.

        Raises:
            ValueError: the frame is of V1 or V2, sealed already, or as ``Sealer.seal``.
        """
        if self.flags & _ENCRYPTED or self.timestamp is None:
            raise ValueError(
                f"{self!r} cannot be sealed: {'it is' if self.flags & _ENCRYPTED else 'only V3 and V4 can'}"
            )
        form = self.form or 0
        flat = flatten(self.frame)
        payload = flat.view(flat.nbytes - self.nbytes, flat.nbytes)
        sealed = sealer.seal(payload, version=self.version, type=self.type, flags=self.flags, form=form)
        flags = self.flags | _ENCRYPTED
        stream_id, sequence = self.stream_id or 0, self.sequence or 0
        frame = build_frame(self.version, self.type, flags, self.timestamp, sealed, form, stream_id, sequence)
        return EncodedFrame(
            frame,
            self.version,
            self.type,
            flags,
            self.timestamp,
            len(sealed),
            self.packed,
            self.form,
            self.stream_id,
            self.sequence,
        )

    def signed(self, trailer: Buffer) -> EncodedFrame:
        """Return the same message with a signature.

        Args:
            trailer: that of the payload, 72 bytes; see ``SigningKey.trailer``.

        Raises:
            ValueError: the frame is not of V4, or its payload is compressed, signed or sealed already.
        """
        if self.version < 4 or self.flags & (_TRANSFORMED | _SIGNED):
            raise ValueError(f"{self!r} cannot be signed: only plain frames of V4 can")
        flat = flatten(self.frame)
        payload = bytes(flat.view(flat.nbytes - self.nbytes, flat.nbytes)) + bytes(trailer)
        flags, stamp = self.flags | _SIGNED, self.timestamp or 0
        place = self.form or 0, self.stream_id or 0, self.sequence or 0
        frame = build_frame(self.version, self.type, flags, stamp, payload, *place)
        return EncodedFrame(frame, self.version, self.type, flags, stamp, len(payload), len(payload), *place)

    def _with_header(
        self,
        version: int,
        timestamp: int,
        form: int | None = None,
        stream_id: int | None = None,
        sequence: int | None = None,
    ) -> EncodedFrame:
        flat = flatten(self.frame)
        old = flat.header_at(0, LARGEST_LENGTH)
        stamp = _check_timestamp(timestamp)
        numbering = form, stream_id, sequence
        header = Header(version, self.type, self.flags, self.nbytes, old.checksum, stamp, *numbering)
        frame = b"".join((bytes(header), flat.view(old.size, flat.nbytes)))
        return EncodedFrame(frame, version, self.type, self.flags, stamp, self.nbytes, self.packed, *numbering)


class PreparedFrame:
    """A frame that is complete except for its timestamp, stream and sequence; ``Codec.prepare`` returns it.

    Attributes:
        flags: flags of the header, including COMPRESSED if the payload is compressed.
        packed: size of the payload before compression, in bytes.
        nbytes: size of the payload in the frame, in bytes.
        version: protocol version.
        form: form of the header as an integer; 0 before V4.
    """

    __slots__ = ("_pending", "_type", "flags", "form", "nbytes", "packed", "version")

    def __init__(self, pending: PendingFrame, version: int, type: int, flags: int, packed: int, form: int = 0) -> None:
        self.form = form
        self.flags = flags
        self.packed = packed
        self.nbytes = pending.nbytes
        self.version = version
        self._pending = pending
        self._type = type

    def seal(self, timestamp: int | None, stream_id: int = 0, sequence: int = 0) -> EncodedFrame:
        """Add timestamp, stream and sequence, and return the frame. This takes no longer for a large frame.

        Args:
            timestamp: microseconds since the Unix epoch; None for V1 and V2, which have no timestamps.
            stream_id: number of the stream, V4 only; see ``Codec.encode``.
            sequence: number of the message in the stream, V4 only.

        Raises:
            ValueError: the timestamp, stream or sequence is out of range, or ``seal`` was called before.
        """
        if (timestamp is None) != (self.version < 3):
            raise ValueError(f"a V{self.version} frame has {'no' if self.version < 3 else 'a'} timestamp")
        stamp = 0 if timestamp is None else _check_timestamp(timestamp)
        _check_numbering(self._type, self.version, self.flags, self.form, stream_id, sequence)
        frame = self._pending.finish(self.version, self._type, self.flags, stamp, self.form, stream_id, sequence)
        return _describe(
            frame, self.version, self._type, self.flags, stamp, self.packed, self.form, stream_id, sequence
        )


def _options(
    *,
    version: int = DEFAULT_VERSION,
    compression: Compression | None = Compression(),
    max_payload: int = DEFAULT_MAX_PAYLOAD,
    ndarray: NdarrayForm = "list",
    numeric_lists: NumericLists = "list",
    validate: bool = False,
    versions: Iterable[int] = VERSIONS,
    copy: bool = False,
    default: Callable[[Any], Any] | None = None,
) -> None:
    """Have the signature of ``Codec.__init__``, which ``inspect`` cannot read from the compiled class."""


class Codec:
    """Encodes and decodes frames under one configuration. Safe to share between threads.

    It can be pickled and copied: a copy has the same configuration, and a clock of its own.

    Args:
        version: protocol version of the frames that it encodes.
        compression: when and how to compress payloads, from V2 on; None for no compression.
        max_payload: maximum size of a payload in bytes, sent or received, before and after decompression.
        ndarray: form in which ndarrays are sent: "list", which every peer reads, or "binary", for peers that announced
            ``ndarray-bin``. Both forms are always decoded.
        numeric_lists: "ndarray" decodes plain lists of numbers in data messages to ndarrays, for peers that send
            signals as lists.
        validate: check the fields that each message type requires, in both directions.
        versions: protocol versions that it decodes; frames of other versions raise ``InvalidProtocolVersion``.
        copy: True to make the arrays of a decoded message copies, which are writable and independent of the buffer.
            See ``decode``.
        default: function that converts an object of a type that the protocol does not have, such as a Decimal or a
            dataclass, to one that can be packed; it raises TypeError for what it does not know. What it returns is not
            converted again, but what is in a list or dict that it returns is. Map keys are not converted, and
            ``validate`` checks the fields before.

    Raises:
        TypeError: ``default`` cannot be called.
        ValueError: an argument is outside the values listed here.
        MissingLibrary: the compression uses zstd, whose library is not installed.
    """

    __signature__ = DeclaredSignature(_options)

    def __init__(
        self,
        *,
        version: int = DEFAULT_VERSION,
        compression: Compression | None = Compression(),
        max_payload: int = DEFAULT_MAX_PAYLOAD,
        ndarray: NdarrayForm = "list",
        numeric_lists: NumericLists = "list",
        validate: bool = False,
        versions: Iterable[int] = VERSIONS,
        copy: bool = False,
        default: Callable[[Any], Any] | None = None,
    ) -> None:
        if not 0 <= max_payload <= LARGEST_LENGTH:
            raise ValueError(f"max_payload is a number of bytes from 0 to {LARGEST_LENGTH}, not {max_payload}")
        if default is not None and not callable(default):
            raise TypeError(f"default is a function of the object to convert, not {type(default).__name__}")
        self._version = _check_known(version)
        self._compression = compression
        self._threshold = LARGEST_LENGTH if compression is None else compression.threshold
        self._level = 0 if compression is None else compression.level
        self._choice = None if compression is None else _choice_of(compression)
        self._max_payload = max_payload
        self._binary = _one_of("ndarray", ndarray, get_args(NdarrayForm)) == "binary"
        self._numeric = _one_of("numeric_lists", numeric_lists, get_args(NumericLists)) == "ndarray"
        self._validate = validate
        self._versions = frozenset(_check_known(version) for version in versions)
        self._knows_all = self._versions == frozenset(VERSIONS)
        self._version_bits = version_bits(self._versions)
        self._copy = copy
        self._convert = default
        self._clock = Clock()

    def __reduce__(self) -> tuple[object, ...]:
        options = {
            "version": self._version,
            "compression": self._compression,
            "max_payload": self._max_payload,
            "ndarray": "binary" if self._binary else "list",
            "numeric_lists": "ndarray" if self._numeric else "list",
            "validate": self._validate,
            "versions": sorted(self._versions),
            "copy": self._copy,
            "default": self._convert,
        }
        state = {name: value for name, value in getattr(self, "__dict__", {}).items() if name not in _OWN_NAMES}
        return _made_again, (type(self), options), state or None

    def __repr__(self) -> str:
        return (
            f"Codec(version={self._version}, compression={self._compression!r}, max_payload={self._max_payload}, "
            f"ndarray={'binary' if self._binary else 'list'!r}, "
            f"numeric_lists={'ndarray' if self._numeric else 'list'!r}, validate={self._validate}, "
            f"versions={sorted(self._versions)}{', copy=True' if self._copy else ''}"
            f"{'' if self._convert is None else f', default={self._convert!r}'})"
        )

    # --- sending: pack, compress, compute the checksum ---

    def encode(
        self,
        type: MessageType | int,
        data: Any,
        *,
        version: int | None = None,
        flags: Flag | int = 0,
        timestamp: int | None = None,
        stream_id: int = 0,
        sequence: int = 0,
        form: Form | int = 0,
    ) -> bytes:
        """Encode a message to one frame.

        Args:
            type: one of the message types.
            data: the content of the payload, of the specification's eleven types, tensors of other libraries in the
                memory of the CPU (by DLPack), and what ``default`` converts; with RECORD, the packed record: any
                C-contiguous buffer.
            version: protocol version of this frame; by default that of the codec.
            flags: PRIORITY, BROADCAST and ACK_REQUIRED, from V3 on. The codec sets COMPRESSED itself.
            timestamp: microseconds since the Unix epoch, from V3 on. By default the current time, but always later than
                the previous timestamp of this codec.
            stream_id: V4 only: number of the stream on the connection, below 2**32; 0 for none, as in all control
                messages.
            sequence: V4 only: number of the message in its stream, from 1 to 2**53 - 1; 0 without a stream, and in the
                STREAM_TEMPLATE that opens one.
            form: V4 only: RECORD and BULK. The codec sets the compression algorithm itself.

        Raises:
            TypeError: something in ``data`` cannot be encoded, or no reader would accept it; the message names its
                path. Examples are pandas' NaT, nanoseconds, a map with the keys of a wrapper around something else, and
                a tensor that is not in the memory of the CPU. A TypeError, LookupError or AttributeError that
                ``default`` raises is the cause of a TypeError with the path, its ValueErrors and ArithmeticErrors that
                of a ValueError; its other errors are raised as they are, with the path as a note.
            OverflowError: an integer does not fit in 64 bits.
            ValueError: the type, version, flags, timestamp, stream, sequence or form are invalid, or the version does
                not have them; a text has no UTF-8 form; ``data`` is nested too deep; two keys of a map are packed to
                the same bytes; or a date has an offset that receivers would change.
            RuntimeError: a list, map or array in ``data`` changes while it is packed.
            MessageTooLarge: the payload is larger than ``max_payload``, or has more values than receivers accept.
            MissingRequiredFields, InvalidDataFormat: with ``validate``, the message lacks what its type requires. Those
                of STREAM_TEMPLATE and STREAM_ATTESTATION are always checked.
        """
        frame: bytes = self._frame(
            as_byte(type, "message type"),
            data,
            self._version_or_own(version),
            as_byte(flags, "flags"),
            timestamp,
            False,
            stream_id,
            sequence,
            0 if form is _ZERO else as_byte(form, "form"),
        )
        return frame

    def encode_frame(
        self,
        type: MessageType | int,
        data: Any,
        *,
        version: int | None = None,
        flags: Flag | int = 0,
        timestamp: int | None = None,
        stream_id: int = 0,
        sequence: int = 0,
        form: Form | int = 0,
    ) -> EncodedFrame:
        """Encode a message to one frame, and return it with the fields of its header.

        Arguments and errors are those of ``encode``.
        """
        encoded: EncodedFrame = self._frame(
            as_byte(type, "message type"),
            data,
            self._version_or_own(version),
            as_byte(flags, "flags"),
            timestamp,
            True,
            stream_id,
            sequence,
            0 if form is _ZERO else as_byte(form, "form"),
        )
        return encoded

    def prepare(
        self,
        type: MessageType | int,
        data: Any,
        *,
        version: int | None = None,
        flags: Flag | int = 0,
        form: Form | int = 0,
    ) -> PreparedFrame:
        """Encode a message except for its timestamp, stream and sequence, which ``PreparedFrame.seal`` adds.

        A thread can thus pack and compress a large message while another one continues to send. The timestamp is that
        of the moment at which the message is sent. Arguments and errors are those of ``encode``.
        """
        return self._prepare(
            as_byte(type, "message type"),
            data,
            self._version_or_own(version),
            as_byte(flags, "flags"),
            0 if form is _ZERO else as_byte(form, "form"),
        )

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
        stream_id: int = 0,
        sequence: int = 0,
        form: Form | int = 0,
    ) -> int:
        """Encode a message to one frame, and write it into the caller's buffer.

        Args:
            buffer: any writable C-contiguous buffer. It needs space for the uncompressed frame, even if the result is
                a compressed one; the bytes after the frame may be overwritten.
            offset: index of the first byte of the frame in the buffer.

        Returns:
            The size of the frame in bytes.

        Raises:
            BufferError: the buffer is read-only, not contiguous, or too small.
            TypeError, OverflowError, ValueError, ProtocolError: as ``encode``.
        """
        return self._frame_into(
            flatten_writable(buffer),
            offset,
            as_byte(type, "message type"),
            data,
            self._version_or_own(version),
            as_byte(flags, "flags"),
            timestamp,
            stream_id,
            sequence,
            0 if form is _ZERO else as_byte(form, "form"),
        )

    def _frame(
        self,
        type: int,
        data: Any,
        version: int,
        flags: int,
        timestamp: int | None,
        describe: bool,
        stream_id: int,
        sequence: int,
        form: int,
    ) -> Any:  # bytes, or an EncodedFrame where it is to be described
        stamp = self._stamp(version, timestamp)
        self._check_message(type, data, version, flags, form, stream_id, sequence)
        if form & _RECORD:
            return self._record_frame(type, data, version, flags, stamp, describe, stream_id, sequence, form)
        longest = self._longest_undeflated(version)
        packed = -1
        frame = pack_frame(
            version,
            type,
            flags,
            stamp,
            data,
            self._max_payload,
            self._binary,
            longest,
            form,
            stream_id,
            sequence,
            self._convert,
        )
        if not isinstance(frame, bytes):
            packed = frame.nbytes
            algorithm, deflated = self._shrink(version, type, False, frame.payload)
            if deflated is None:
                frame = frame.finish(version, type, flags, stamp, form, stream_id, sequence)
            else:
                flags |= _COMPRESSED
                form |= algorithm
                frame = build_frame(version, type, flags, stamp, deflated, form, stream_id, sequence)
        if describe:
            return _describe(frame, version, type, flags, stamp, packed, form, stream_id, sequence)
        return frame

    def _prepare(self, type: int, data: Any, version: int, flags: int, form: int) -> PreparedFrame:
        some = 1 if form else 0  # stream and sequence are added later: any valid ones
        self._check_message(type, data, version, flags, form, some, some)
        if form & _RECORD:
            return self._prepare_record(type, data, version, flags, form)
        pending = pack_frame(version, type, flags, 0, data, self._max_payload, self._binary, -1, 0, 0, 0, self._convert)
        assert not isinstance(pending, bytes), "no payload is as short as that"
        packed = pending.nbytes
        if packed > self._longest_undeflated(version):
            algorithm, deflated = self._shrink(version, type, False, pending.payload)
            if deflated is not None:
                pending = pending_frame(version, deflated)
                flags |= _COMPRESSED
                form |= algorithm
        pending.sum_now()
        return PreparedFrame(pending, version, type, flags, packed, form)

    def _record_frame(
        self,
        type: int,
        data: Any,
        version: int,
        flags: int,
        stamp: int,
        describe: bool,
        stream_id: int,
        sequence: int,
        form: int,
    ) -> Any:  # bytes, or an EncodedFrame where it is to be described
        record = self._checked_record(data)
        algorithm, payload = self._shrink_record(version, type, record)
        if payload is not record:
            flags |= _COMPRESSED
            form |= algorithm
        frame = build_frame(version, type, flags, stamp, payload, form, stream_id, sequence)
        if describe:
            return _describe(frame, version, type, flags, stamp, record.nbytes, form, stream_id, sequence)
        return frame

    def _prepare_record(self, type: int, data: Any, version: int, flags: int, form: int) -> PreparedFrame:
        record = self._checked_record(data)
        algorithm, payload = self._shrink_record(version, type, record)
        if payload is not record:
            flags |= _COMPRESSED
            form |= algorithm
        pending = pending_frame(version, payload)
        pending.sum_now()
        return PreparedFrame(pending, version, type, flags, record.nbytes, form)

    def _checked_record(self, data: Any) -> FlatBuffer:
        """Return the payload of a record, which the caller has packed."""
        try:
            flat = flatten(data)
        except TypeError:
            kind = type(data).__name__
            raise TypeError(f"with RECORD, data is the packed record: bytes or another buffer, not {kind}") from None
        if flat.nbytes < _RECORD_HEADER:
            raise ValueError(f"a record must have at least {RECORD_HEADER} bytes, not {flat.nbytes}")
        if flat.nbytes > self._max_payload:
            raise MessageTooLarge(f"a payload of {flat.nbytes} bytes; the limit is {self._max_payload}")
        return flat

    def _shrink_record(self, version: int, type: int, flat: FlatBuffer) -> tuple[int, Buffer]:
        """Compress a record if that makes it smaller. A filter has compressed a record already."""
        if flat.nbytes <= self._threshold:
            return 0, flat
        record = flat.view(0, flat.nbytes)
        algorithm, deflated = (0, None) if record[_FILTER_AT] else self._shrink(version, type, True, record)
        return algorithm, flat if deflated is None else deflated

    def _shrink(self, version: int, type: int, is_record: bool, payload: memoryview) -> tuple[int, Any]:
        """Compress a payload: with zlib, or from V4 on with the chosen algorithm.

        Returns:
            The number of the algorithm, and the compressed payload; None if compressing does not make it smaller.
        """
        if version < 4 or self._choice is None:
            return 0, shrink(payload, self._level)
        return self._choice.compress(type, is_record, payload) if may_shrink(payload) else (0, None)

    def _frame_into(
        self,
        target: FlatBuffer,
        offset: int,
        type: int,
        data: Any,
        version: int,
        flags: int,
        timestamp: int | None,
        stream_id: int,
        sequence: int,
        form: int,
    ) -> int:
        if form & _RECORD:
            frame: bytes = self._frame(type, data, version, flags, timestamp, False, stream_id, sequence, form)
            target.write(offset, frame)
            return len(frame)
        stamp = self._stamp(version, timestamp)
        self._check_message(type, data, version, flags, form, stream_id, sequence)
        longest = self._longest_undeflated(version)
        written = pack_frame_into(
            target,
            offset,
            version,
            type,
            flags,
            stamp,
            data,
            self._max_payload,
            self._binary,
            longest,
            form,
            stream_id,
            sequence,
            self._convert,
        )
        if isinstance(written, int):
            return written
        algorithm, deflated = self._shrink(version, type, False, written.payload)
        if deflated is not None:
            written.replace(deflated)
            flags |= _COMPRESSED
            form |= algorithm
        written.finish(version, type, flags, stamp, form, stream_id, sequence)
        return written.room + written.nbytes

    def _check_message(
        self, type: int, data: Any, version: int, flags: int, form: int, stream_id: int, sequence: int
    ) -> None:
        settable = _SETTABLE[version]
        if flags & ~settable:
            raise ValueError(_why_not_settable(version, flags & ~settable))
        if _TYPE_SINCE[type] > version:
            raise ValueError(f"message type 0x{type:02x} is none of the specification's {count_of_types(version)}")
        if version >= 4 or form or stream_id is not _ZERO or sequence is not _ZERO:
            _check_numbering(type, version, flags, form, stream_id, sequence)
        if (self._validate and not form & _RECORD) or (version >= 4 and type in _ALWAYS_CHECKED):
            check_sent(type, data)
        if version >= 4 and type == _TEMPLATE:
            self._check_packed_template(type, data)

    def _check_packed_template(self, type: int, data: Any) -> None:
        """Reject a packed template that a receiver would reject for its bytes or values. It is small: 4,096 bytes."""
        packed = pack_payload(data, self._max_payload, self._binary, self._convert)
        check_template_size(len(packed))
        check_received(type, unpack_payload(flatten(packed), 0, len(packed), False, False))

    def _longest_undeflated(self, version: int) -> int:
        """Return the size in bytes up to which payloads are sent uncompressed."""
        return self._threshold if version >= _COMPRESSED_SINCE else LARGEST_LENGTH

    def pack(self, obj: Any) -> bytes:
        """Pack an object as a payload without a header, uncompressed. Raises the errors of ``encode``."""
        return pack_payload(obj, self._max_payload, self._binary, self._convert)

    def _version_or_own(self, version: int | None) -> int:
        return self._version if version is None else _check_known(version)

    def _stamp(self, version: int, timestamp: int | None) -> int:
        if version < 3:
            if timestamp is not None:
                raise ValueError(f"a V{version} frame has no timestamp; V3 has")
            return 0
        if timestamp is None:
            return self._clock.next()
        return _check_timestamp(timestamp)

    # --- receiving: verify the checksum, decompress, unpack ---

    def decode(
        self,
        buffer: Buffer,
        meter: Meter | None = None,
        templates: TemplateBook | None = None,
        opener: PayloadOpener | None = None,
    ) -> Message:
        """Decode the only frame in the buffer.

        In an uncompressed frame, arrays in binary form are read-only views, which keep ``buffer`` alive. While one of
        them is in use, nobody may write to the buffer: the samples would change with it. Use ``Codec(copy=True)`` to
        receive into one buffer again and again; its arrays are copies. Everything else is copied in any case, and the
        message belongs to the caller:

        ========================== ==================== =============
        in the message             by default           copy=True
        ========================== ==================== =============
        array, list form           writable             writable
        array, binary form         read-only            writable
        dict, list                 writable             writable
        bytes                      copied, immutable    copied, immutable
        ========================== ==================== =============

        While ``decode`` runs, nobody may write to the buffer in either case.

        Args:
            buffer: the frame.
            meter: limits what decoding the frame may cost.
            templates: templates for records of V4; without them, records are rejected (check 11).
            opener: opens sealed payloads; without it, they are rejected (check 8).

        Raises:
            ProtocolError: for the first check that fails; its class and ``code`` depend on the check.
            TypeError, BufferError: ``buffer`` is not a buffer, or not contiguous.
        """
        if meter is None:
            message = decode_common(buffer, self._max_payload, self._version_bits, self._numeric, self._copy)
            if message is not None:
                if self._validate and not accepts_fields(FIELD_TABLES, message):
                    message.data = check_received(message.type, message.data, message.version)
                return message
        flat = flatten(buffer)
        self._check_version(flat, 0)
        header = flat.only_frame(self._max_payload)
        return self._message(flat, 0, header, self._max_payload, meter, templates, None, opener)

    def decode_all(self, buffer: Buffer, templates: TemplateBook | None = None) -> Iterator[Message]:
        """Decode consecutive frames. An empty buffer yields nothing.

        Each frame is decoded when the caller asks for it, so nobody may write to the buffer before the last one, even
        with ``copy``. A template that is added to ``templates`` after one message applies to the records that follow.
        Yields the messages before an invalid frame, then raises an error like ``decode``.
        """
        flat = flatten(buffer)
        offset = 0
        while offset < flat.nbytes:
            self._check_version(flat, offset)
            header = flat.whole_frame_at(offset, self._max_payload)
            yield self._message(flat, offset, header, self._max_payload, None, templates, None, None)
            offset += header.size + header.length

    def decode_each(
        self,
        buffer: Buffer,
        meter: Meter | None = None,
        templates: TemplateBook | None = None,
        opener: PayloadOpener | None = None,
    ) -> Iterator[Message | ProtocolError]:
        """Decode consecutive frames like ``decode_all``, but yield the error of an invalid frame and continue after it.

        An error of the checks 1 to 6 is the last item, as the end of such a frame is unknown. The decompressed payloads
        of all frames but the first are limited to 4 MiB together; a frame beyond that is too large. A record counts as
        8 bytes for each sample if that is more than its payload, since a byte of it can stand for 32 samples.

        Args:
            buffer: the frames.
            meter: limits what decoding each frame may cost; without one, all frames are decoded.
            templates: as in ``decode``.
            opener: as in ``decode``.
        """
        flat = flatten(buffer)
        offset = 0
        room = self._max_payload
        batch = _Batch()
        while offset < flat.nbytes:
            item: Message | ProtocolError
            try:
                self._check_version(flat, offset)
                header = flat.whole_frame_at(offset, self._max_payload)
                batch.spent = 0
                item = self._message(flat, offset, header, room, meter, templates, batch if offset else None, opener)
            except ProtocolError as error:
                item = error
            if offset and isinstance(item, Message):
                batch.left -= max(item.nbytes, batch.spent)
            yield item
            if isinstance(item, ProtocolError) and (item.check is None or item.check <= LAST_FATAL_CHECK):
                return
            header = flat.header_at(offset, self._max_payload)
            offset += header.size + header.length
            room = min(batch.left, self._max_payload)

    def split(self, buffer: Buffer) -> tuple[Header, memoryview]:
        """Return header and payload of the only frame in the buffer, after checks 1 to 7.

        The payload is a read-only view of ``buffer``, neither decompressed nor unpacked. Raises the errors of
        ``decode``.
        """
        flat = flatten(buffer)
        self._check_version(flat, 0)
        header = flat.only_frame(self._max_payload)
        flat.check_sum(0, header)
        return header, flat.view(header.size, header.size + header.length)

    def verify(self, frame: bytes) -> EncodedFrame:
        """Check the only frame in the bytes (checks 1 to 7), and return it with the fields of its header.

        Raises the errors of ``decode``.
        """
        flat = flatten(frame)
        self._check_version(flat, 0)
        header = flat.only_frame(self._max_payload)
        flat.check_sum(0, header)
        packed = None if header.bits & _TRANSFORMED else header.length
        return EncodedFrame(
            frame,
            header.version,
            header.type,
            header.bits,
            header.timestamp,
            header.length,
            packed,
            None if header.version < 4 else header.form_bits,
            header.stream_id,
            header.sequence,
        )

    def unpack_frame(self, frame: EncodedFrame, templates: TemplateBook | None = None) -> Any:
        """Unpack the payload of a frame that this side has encoded or verified, without checks 1 to 7.

        Args:
            frame: a frame that ``encode_frame`` or ``verify`` returned.
            templates: templates for records of V4.

        Raises:
            ProtocolError: one of the checks 8 to 11, 13 and 14 failed.
        """
        flat = flatten(frame.frame)
        start = flat.nbytes - frame.nbytes
        if frame.version < 4 and not frame.flags & _TRANSFORMED:
            return unpack_payload(flat, start, flat.nbytes, self._numeric and frame.type in DATA_TYPES, self._copy)
        form = frame.form or 0
        payload = flat.view(start, flat.nbytes)
        plain = flatten(self._untransformed(frame.version, frame.flags, form, payload, self._max_payload, None, None))
        if form & _RECORD:
            return self._read_record(
                frame.stream_id or 0, plain, 0, plain.nbytes, self._max_payload, templates, None, None
            )
        return unpack_payload(plain, 0, plain.nbytes, self._numeric and frame.type in DATA_TYPES, self._copy)

    def unpack(self, buffer: Buffer) -> Any:
        """Unpack a payload without a header; an empty one is None.

        Raises:
            ProtocolError: check 11 failed.
        """
        flat = flatten(buffer)
        return unpack_payload(flat, 0, flat.nbytes, self._numeric, self._copy)

    def _check_version(self, flat: FlatBuffer, offset: int) -> None:
        if not self._knows_all:
            flat.check_version(offset, self._version_bits)

    def _message(
        self,
        flat: FlatBuffer,
        offset: int,
        header: Header,
        room: int,
        meter: Meter | None,
        templates: TemplateBook | None,
        batch: _Batch | None,
        opener: PayloadOpener | None,
    ) -> Message:
        numeric = self._numeric and header.type in DATA_TYPES
        if meter is not None:
            room = meter.admit(header, room)
        if header.length > room:
            flat.check_sum(offset, header)
            raise MessageTooLarge(
                f"{header.length} bytes of payload, where the message has room for {room}", check=Check.INFLATED_LIMIT
            )
        if opener is not None and header.bits & _ENCRYPTED and not header.bits & _FRAGMENT and opener.passes:
            flat.check_sum(offset, header)
            start = offset + header.size
            return message_of(header, SealedPayload(flat.view(start, start + header.length)), header.length)
        if header.version >= 4 and (header.bits & _TRANSFORMED_IN_V4 or header.form_bits & _RECORD):
            return self._message_in_v4(flat, offset, header, room, meter, templates, batch, opener)
        if header.length > _LONGEST_TEMPLATE and header.type == _TEMPLATE and not header.bits & _ENCRYPTED:
            flat.check_sum(offset, header)
            check_template_size(header.length)
        if header.bits & _TRANSFORMED:
            plain = flatten(self._restore(flat, offset, header, room, opener))
            if meter is not None:
                meter.weigh(plain, 0, plain.nbytes)
            data = unpack_payload(plain, 0, plain.nbytes, numeric, self._copy)
            nbytes = plain.nbytes
            if opener is not None and header.bits & _ENCRYPTED:
                opener.check(header, data)
        else:
            if meter is not None:
                meter.weigh(flat, offset + header.size, offset + header.size + header.length)
            data = unpack_checked(flat, offset, header, numeric, self._copy)
            nbytes = header.length
        if self._validate or (header.version >= 4 and header.type in _ALWAYS_CHECKED):
            data = check_received(header.type, data, header.version)
        return message_of(header, data, nbytes)

    def _message_in_v4(
        self,
        flat: FlatBuffer,
        offset: int,
        header: Header,
        room: int,
        meter: Meter | None,
        templates: TemplateBook | None,
        batch: _Batch | None,
        opener: PayloadOpener | None,
    ) -> Message:
        """Decode a V4 frame whose payload was transformed or is a record, after the checks 1 to 6."""
        if header.bits & _TRANSFORMED_IN_V4:
            plain = flatten(self._restore(flat, offset, header, room, opener))
            start, stop = 0, plain.nbytes
        else:
            flat.check_sum(offset, header)
            plain = flat
            start = offset + header.size
            stop = start + header.length
        if header.form_bits & _RECORD:
            if header.bits & (_ENCRYPTED | _SIGNED):
                _check_bound(plain, start, stop)
            data = self._read_record(header.stream_id or 0, plain, start, stop, room, templates, meter, batch)
        else:
            if header.type == _TEMPLATE:
                check_template_size(stop - start)
            if meter is not None:
                meter.weigh(plain, start, stop)
            data = unpack_payload(plain, start, stop, self._numeric and header.type in DATA_TYPES, self._copy)
        if opener is not None and header.bits & _ENCRYPTED:
            opener.check(header, data)
        if self._validate or header.type in _ALWAYS_CHECKED:
            data = check_received(header.type, data, header.version)
        return message_of(header, data, stop - start)

    def _read_record(
        self,
        stream_id: int,
        flat: FlatBuffer,
        start: int,
        stop: int,
        room: int,
        templates: TemplateBook | None,
        meter: Meter | None,
        batch: _Batch | None,
    ) -> Any:
        """Decode a record by its template, within the limit for batches if it is in one."""
        head = read_record_head(flat, start, stop)
        number, count, digest = head[0], head[2], head[5]
        template = None if templates is None else templates.get((stream_id, number))
        if template is None:
            raise unknown_template(number, stream_id)
        if meter is not None:
            payload = flat.view(start, stop)
            meter.weigh_record(template, min(count, (stop - start) * _SAMPLES_A_BYTE), payload)
        if batch is not None:
            batch.spent = (template.rows or 1) * count * _SAMPLE_SIZE
            if batch.spent > batch.left:
                raise MessageTooLarge(
                    f"a record that stands for {batch.spent} bytes of samples (byte {_COUNT_AT}), where the frames of "
                    f"this batch have room for {max(batch.left, 0)}",
                    check=Check.PAYLOAD,
                )
        coder = template.coder
        if coder is None or self._numeric or (digest is not None and digest != template.digest):
            payload = flat.view(start, stop)
            return template.decode(payload, max_payload=room, copy=self._copy, numeric=self._numeric).data
        return coder.read(flat, start, stop, head, room, self._copy)

    def _restore(
        self, flat: FlatBuffer, offset: int, header: Header, room: int, opener: PayloadOpener | None
    ) -> Buffer:
        """Verify the checksum of the payload, then open and decompress it."""
        flat.check_sum(offset, header)
        start = offset + header.size
        payload = flat.view(start, start + header.length)
        return self._untransformed(header.version, header.bits, header.form_bits, payload, room, header, opener)

    def _untransformed(
        self,
        version: int,
        bits: int,
        form: int,
        payload: memoryview,
        room: int,
        header: Header | None,
        opener: PayloadOpener | None,
    ) -> Buffer:
        """Open and decompress a payload. Rejects payloads that are signed or a fragment, or sealed without an opener.

        Args:
            version: version of the frame.
            bits: flags of the header.
            form: form of the header; 0 before V4.
            payload: the payload in the frame.
            room: maximum size of the result, in bytes.
            header: the header, for the opener.
            opener: opens the payload if it is sealed.
        """
        if version >= 4 and bits & _FRAGMENT:
            raise InvalidDataFormat(
                "the frame is a fragment; a session puts fragments together, each in a WebSocket message of its own",
                check=Check.FRAGMENT,
            )
        if bits & _ENCRYPTED:
            if opener is None or header is None:
                raise AuthenticationFailed(
                    "the payload is encrypted, and this codec has no key", check=Check.ENCRYPTION
                )
            payload = memoryview(opener.open(header, payload))
        is_signed = version >= 4 and bool(bits & _SIGNED)
        if is_signed and (opener is None or header is None):
            raise AuthenticationFailed(
                "the payload is signed, and this codec does not support signatures", check=Check.SIGNATURE
            )
        plain: Buffer = payload
        if bits & _COMPRESSED:
            plain = inflate(payload, room, form & _ALGORITHM)
        if is_signed:
            assert opener is not None
            assert header is not None
            return opener.cut(header, memoryview(plain))
        return plain


def _choice_of(compression: Compression) -> AlgorithmChoice | None:
    """What selects the algorithm of each payload; None if zlib is the only one."""
    algorithms = compression.algorithms or (Algorithm.ZLIB,)
    if algorithms == (Algorithm.ZLIB,):
        return None
    if Algorithm.ZSTD in algorithms:
        zstd.require()
    compress = partial(compressed, level=compression.level)
    return AlgorithmChoice(tuple(map(int, algorithms)), compression.link_speed, compress)


_OWN_NAMES = frozenset(
    """
    _version _compression _threshold _level _choice _max_payload _binary _numeric _validate _versions _version_bits
    _knows_all _copy _convert _clock
    """.split()  # noqa: SIM905
)


def _made_again(cls: type[Codec], options: dict[str, Any]) -> Codec:
    """Restore a codec from its pickle. Attributes of a subclass are set later; its constructor is not called."""
    codec = cls.__new__(cls)
    Codec.__init__(codec, **options)
    return codec


def _describe(
    frame: bytes,
    version: int,
    type: int,
    flags: int,
    stamp: int,
    packed: int,
    form: int,
    stream_id: int,
    sequence: int,
) -> EncodedFrame:
    """Return the frame with the fields of its header. ``packed`` may be -1 if the payload is not compressed."""
    member = _TYPES[type]
    assert member is not None, "the type was checked"
    nbytes = len(frame) - _HEADER_SIZES[version]
    if packed < 0:
        packed = nbytes
    if version < 4:
        return EncodedFrame(frame, version, member, flags, None if version < 3 else stamp, nbytes, packed)
    return EncodedFrame(frame, version, member, flags, stamp, nbytes, packed, form, stream_id, sequence)


def _check_bound(flat: FlatBuffer, start: int, stop: int) -> None:
    """Reject a sealed or signed record that does not name the content of its template: another could replace that."""
    head = read_record_head(flat, start, stop)
    if head[5] is None:
        raise wrong_template(f"a sealed or signed record of template {head[0]} is not bound to it", _OPTIONS_AT)


def _check_numbering(type: int, version: int, flags: int, form: int, stream_id: int, sequence: int) -> None:
    """Reject what check 6 of the receiver would reject."""
    if version >= 4:
        if not 0 <= stream_id <= LARGEST_STREAM_ID:
            raise ValueError(f"a stream id is a number from 0 to {LARGEST_STREAM_ID}, not {stream_id}")
        if not 0 <= sequence <= LARGEST_SEQUENCE:
            raise ValueError(f"a sequence is a number from 0 to {LARGEST_SEQUENCE}, not {sequence}")
        if fault := form_fault(type, flags, form, stream_id, sequence):
            text, _ = describe_fault(fault, type, form, stream_id, sequence)
            raise ValueError(text)
    elif stream_id or sequence or form:
        raise ValueError(f"a V{version} frame has neither stream, sequence nor form; V4 has")


def _check_known(version: int) -> int:
    if version not in VERSIONS:
        raise ValueError(f"protocol version {version!r} is none of {VERSIONS}")
    return index(version)


def _check_timestamp(timestamp: int) -> int:
    if not 0 <= timestamp <= LARGEST_TIMESTAMP:
        raise ValueError(f"a timestamp is microseconds since 1970 in 64 bits, not {timestamp}")
    return index(timestamp)


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ValueError(f"{name} is one of {choices}, not {value!r}")
    return value


def _why_not_settable(version: int, flags: int) -> str:
    if flags & _COMPRESSED:
        return "COMPRESSED is set by the codec, if it compressed the payload"
    if flags & _ENCRYPTED:
        return "ENCRYPTED needs a key, and this codec has none"
    if version >= 4 and flags & (_FRAGMENT | _SIGNED):
        return f"{Flag(flags & (_FRAGMENT | _SIGNED)).name} is not supported by this codec"
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
    version: int = DEFAULT_VERSION,
    flags: Flag | int = 0,
    timestamp: int | None = None,
    stream_id: int = 0,
    sequence: int = 0,
    form: Form | int = 0,
) -> bytes:
    """Encode a message with a codec of default configuration. See ``Codec.encode``."""
    return _default.encode(
        type,
        data,
        version=version,
        flags=flags,
        timestamp=timestamp,
        stream_id=stream_id,
        sequence=sequence,
        form=form,
    )
