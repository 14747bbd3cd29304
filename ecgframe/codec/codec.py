# cython: binding=True
"""``Codec``: encodes messages to frames, and decodes frames, under one configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal, get_args

from .._core import (
    Header,
    Message,
    accepts_fields,
    as_byte,
    decode_common,
    flatten,
    flatten_writable,
    pack_payload,
    unpack_payload,
)
from .._core.form import version_bits
from .._signatures import DeclaredSignature
from ..compression import Compression
from ..errors import ProtocolError
from ..messages import FIELD_TABLES, check_received
from ..protocol import (
    DEFAULT_MAX_PAYLOAD,
    DEFAULT_VERSION,
    LARGEST_LENGTH,
    LAST_FATAL_CHECK,
    VERSIONS,
    Flag,
    Form,
    MessageType,
)
from .decoder import Batch, Decoder
from .encoded_frame import EncodedFrame
from .encoder import Encoder
from .header_values import check_known
from .prepared_frame import PreparedFrame

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from .._core._header import FlatBuffer
    from .interfaces import Meter, PayloadOpener, TemplateBook

__all__ = ["Codec", "NdarrayForm", "NumericLists"]

NdarrayForm = Literal["list", "binary"]
NumericLists = Literal["list", "ndarray"]

_TRANSFORMED = int(Flag.COMPRESSED | Flag.ENCRYPTED)
_ZERO = 0  # default of the form, compared by identity: most calls have none, and need no check


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
        self._version = check_known(version)
        self._compression = compression
        self._max_payload = max_payload
        self._binary = _one_of("ndarray", ndarray, get_args(NdarrayForm)) == "binary"
        self._numeric = _one_of("numeric_lists", numeric_lists, get_args(NumericLists)) == "ndarray"
        self._validate = validate
        self._versions = frozenset(check_known(version) for version in versions)
        self._knows_all = self._versions == frozenset(VERSIONS)
        self._version_bits = version_bits(self._versions)
        self._copy = copy
        self._convert = default
        self._encoder = Encoder(compression, max_payload, self._binary, validate, default)
        self._decoder = Decoder(max_payload, self._numeric, validate, copy)

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
        frame: bytes = self._encoder.frame(
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
        encoded: EncodedFrame = self._encoder.frame(
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
        """Encode a message except for its timestamp, stream and sequence, which ``PreparedFrame.finish`` adds.

        A thread can thus pack and compress a large message while another one continues to send. The timestamp is that
        of the moment at which the message is sent. Arguments and errors are those of ``encode``.
        """
        return self._encoder.prepare(
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
        return self._encoder.frame_into(
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

    def pack(self, obj: Any) -> bytes:
        """Pack an object as a payload without a header, uncompressed. Raises the errors of ``encode``."""
        return pack_payload(obj, self._max_payload, self._binary, self._convert)

    def _version_or_own(self, version: int | None) -> int:
        return self._version if version is None else check_known(version)

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
        return self._decoder.message(flat, 0, header, self._max_payload, meter, templates, None, opener)

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
            yield self._decoder.message(flat, offset, header, self._max_payload, None, templates, None, None)
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
        batch = Batch()
        while offset < flat.nbytes:
            item: Message | ProtocolError
            try:
                self._check_version(flat, offset)
                header = flat.whole_frame_at(offset, self._max_payload)
                batch.spent = 0
                item = self._decoder.message(
                    flat, offset, header, room, meter, templates, batch if offset else None, opener
                )
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
        return self._decoder.payload_of(frame, templates)

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


_OWN_NAMES = frozenset(
    """
    _version _compression _max_payload _binary _numeric _validate _versions _version_bits _knows_all _copy _convert
    _encoder _decoder
    """.split()  # noqa: SIM905
)


def _made_again(cls: type[Codec], options: dict[str, Any]) -> Codec:
    """Restore a codec from its pickle. Attributes of a subclass are set later; its constructor is not called."""
    codec = cls.__new__(cls)
    Codec.__init__(codec, **options)
    return codec


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ValueError(f"{name} is one of {choices}, not {value!r}")
    return value
