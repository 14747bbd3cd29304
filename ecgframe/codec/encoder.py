"""Turns a message into a frame: check, pack, compress, compute the checksum."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from .._core import (
    Clock,
    build_frame,
    flatten,
    pack_frame,
    pack_frame_into,
    pack_payload,
    pending_frame,
    unpack_payload,
)
from .._core.form import count_of_types
from ..compression import AlgorithmChoice, Compression, compressed, may_shrink, shrink, zstd
from ..errors import MessageTooLarge
from ..messages import check_received, check_sent
from ..messages.template_rules import check_size as check_template_size
from ..protocol import (
    FLAG_SINCE,
    LARGEST_LENGTH,
    RECORD_HEADER,
    TYPE_SINCE,
    VERSIONS,
    Algorithm,
    Flag,
    Form,
    MessageType,
)
from .encoded_frame import describe_frame
from .header_values import check_numbering, check_timestamp
from .prepared_frame import PreparedFrame

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from .._core._header import FlatBuffer

__all__ = ["Encoder"]

# Plain integers: each frame uses them, and arithmetic on enum members runs Python code.
_COMPRESSED = int(Flag.COMPRESSED)
_ENCRYPTED = int(Flag.ENCRYPTED)
_SET_BY_CODEC_IN_V4 = int(Flag.FRAGMENT | Flag.SIGNED)
_RECORD = int(Form.RECORD)
_ZERO = 0  # default of stream and sequence, compared by identity: most calls have none, and need no check
_COMPRESSED_SINCE = FLAG_SINCE[Flag.COMPRESSED]
# Tables of small numbers are bytes: their elements are C integers, those of a tuple are objects.
_TYPE_SINCE = bytes(TYPE_SINCE.get(number, 255) for number in range(256))  # type: ignore[call-overload]
_ALWAYS_CHECKED = frozenset({MessageType.STREAM_TEMPLATE, MessageType.STREAM_ATTESTATION})
_TEMPLATE = int(MessageType.STREAM_TEMPLATE)
_RECORD_HEADER = RECORD_HEADER
_FILTER_AT = 2  # offset of the filter in a record

# Flags that a caller may set, by version. The codec sets COMPRESSED and ENCRYPTED.
_SETTABLE = bytes(
    (
        0,
        *(
            sum(int(flag) for flag, since in FLAG_SINCE.items() if since <= version)
            & ~(_COMPRESSED | _ENCRYPTED | _SET_BY_CODEC_IN_V4)
            for version in VERSIONS
        ),
    )
)


class Encoder:
    """Encodes messages under one configuration; ``Codec`` calls it with checked arguments.

    Args:
        compression: when and how to compress payloads, from V2 on; None for no compression.
        max_payload: maximum size of a payload in bytes, before and after compression.
        binary: True if ndarrays are sent in binary form.
        validate: True if the fields that each message type requires are checked.
        convert: converts objects of types that the protocol does not have; see ``Codec``.
    """

    def __init__(
        self,
        compression: Compression | None,
        max_payload: int,
        binary: bool,
        validate: bool,
        convert: Callable[[Any], Any] | None,
    ) -> None:
        self._threshold = LARGEST_LENGTH if compression is None else compression.threshold
        self._level = 0 if compression is None else compression.level
        self._choice = None if compression is None else _choice_of(compression)
        self._max_payload = max_payload
        self._binary = binary
        self._validate = validate
        self._convert = convert
        self._clock = Clock()

    def frame(
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
    ) -> Any:
        """Return the bytes of a frame, or an ``EncodedFrame`` if ``describe`` is true."""
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
            return describe_frame(frame, version, type, flags, stamp, packed, form, stream_id, sequence)
        return frame

    def prepare(self, type: int, data: Any, version: int, flags: int, form: int) -> PreparedFrame:
        """Return a frame that lacks its timestamp, stream and sequence."""
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
            return describe_frame(frame, version, type, flags, stamp, record.nbytes, form, stream_id, sequence)
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

    def frame_into(
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
        """Write a frame into a buffer, and return its size in bytes."""
        if form & _RECORD:
            frame: bytes = self.frame(type, data, version, flags, timestamp, False, stream_id, sequence, form)
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
            check_numbering(type, version, flags, form, stream_id, sequence)
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

    def _stamp(self, version: int, timestamp: int | None) -> int:
        if version < 3:
            if timestamp is not None:
                raise ValueError(f"a V{version} frame has no timestamp; V3 has")
            return 0
        if timestamp is None:
            return self._clock.next()
        return check_timestamp(timestamp)


def _choice_of(compression: Compression) -> AlgorithmChoice | None:
    """What selects the algorithm of each payload; None if zlib is the only one."""
    algorithms = compression.algorithms or (Algorithm.ZLIB,)
    if algorithms == (Algorithm.ZLIB,):
        return None
    if Algorithm.ZSTD in algorithms:
        zstd.require()
    compress = partial(compressed, level=compression.level)
    return AlgorithmChoice(tuple(map(int, algorithms)), compression.link_speed, compress)


def _why_not_settable(version: int, flags: int) -> str:
    if flags & _COMPRESSED:
        return "COMPRESSED is set by the codec, if it compressed the payload"
    if flags & _ENCRYPTED:
        return "ENCRYPTED needs a key, and this codec has none"
    if version >= 4 and flags & _SET_BY_CODEC_IN_V4:
        return f"{Flag(flags & _SET_BY_CODEC_IN_V4).name} is not supported by this codec"
    return f"V{version} has no flag {Flag(flags).name or hex(flags)}"
