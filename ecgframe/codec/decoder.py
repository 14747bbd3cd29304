# cython: binding=True
"""Turns a frame into a message: verify the checksum, open, decompress, unpack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._core import Header, Message, flatten, message_of, read_record_head, unpack_checked, unpack_payload
from ..compression import inflate
from ..errors import AuthenticationFailed, InvalidDataFormat, MessageTooLarge
from ..messages import check_received
from ..messages.template_rules import check_size as check_template_size
from ..messages.template_rules import unknown_template, wrong_template
from ..protocol import DATA_TYPES, MAX_BATCH_PAYLOAD, MAX_TEMPLATE_PAYLOAD, Check, Flag, Form, MessageType

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from .._core._header import FlatBuffer
    from .encoded_frame import EncodedFrame
    from .interfaces import Meter, PayloadOpener, TemplateBook

__all__ = ["Batch", "Decoder", "SealedPayload"]

# Plain integers: each frame uses them, and arithmetic on enum members runs Python code.
_COMPRESSED = int(Flag.COMPRESSED)
_ENCRYPTED = int(Flag.ENCRYPTED)
_FRAGMENT = int(Flag.FRAGMENT)
_SIGNED = int(Flag.SIGNED)
_TRANSFORMED = _COMPRESSED | _ENCRYPTED
_TRANSFORMED_IN_V4 = _TRANSFORMED | _FRAGMENT | _SIGNED
_RECORD = int(Form.RECORD)
_ALGORITHM = int(Form.ALGORITHM)
_ALWAYS_CHECKED = frozenset({MessageType.STREAM_TEMPLATE, MessageType.STREAM_ATTESTATION})
_TEMPLATE = int(MessageType.STREAM_TEMPLATE)
_LONGEST_TEMPLATE = MAX_TEMPLATE_PAYLOAD
_OPTIONS_AT = 3  # offset of the options in a record
_COUNT_AT = 4  # offset of the number of samples per lead, four bytes
_SAMPLES_A_BYTE = 32  # maximum number of samples of a lead that one byte of a record expands to
_SAMPLE_SIZE = 8  # bytes that each sample of a record uses of the limit for batches, for any dtype


class SealedPayload(bytes):
    """A sealed payload that is handed on unread, as ``Message.data``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"SealedPayload(<{len(self)} bytes>)"


class Batch:
    """The limit for the decoded frames of a batch, except the first.

    Attributes:
        left: bytes that remain.
        spent: size of the samples of the current frame in bytes, if it is a record.
    """

    def __init__(self) -> None:
        self.left = MAX_BATCH_PAYLOAD
        self.spent = 0


class Decoder:
    """Decodes frames under one configuration; ``Codec`` calls it after the checks 1 to 6.

    Args:
        max_payload: maximum size of a payload in bytes, before and after decompression.
        numeric: True if plain lists of numbers in data messages become arrays.
        validate: True if the fields that each message type requires are checked.
        copy: True if the arrays of a message must be copies.
    """

    def __init__(self, max_payload: int, numeric: bool, validate: bool, copy: bool) -> None:
        self._max_payload = max_payload
        self._numeric = numeric
        self._validate = validate
        self._copy = copy

    def message(
        self,
        flat: FlatBuffer,
        offset: int,
        header: Header,
        room: int,
        meter: Meter | None,
        templates: TemplateBook | None,
        batch: Batch | None,
        opener: PayloadOpener | None,
    ) -> Message:
        """Decode a frame after the checks 1 to 6.

        Args:
            flat: the buffer.
            offset: index of the first byte of the frame.
            header: the header of the frame.
            room: maximum size of the payload, in bytes.
            meter: limits what decoding the frame may cost.
            templates: templates for records.
            batch: limit for the frames of a batch, if the frame is in one and not its first.
            opener: opens sealed payloads.
        """
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

    def payload_of(self, frame: EncodedFrame, templates: TemplateBook | None) -> Any:
        """Unpack the payload of a frame that was checked; see ``Codec.unpack_frame``."""
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

    def _message_in_v4(
        self,
        flat: FlatBuffer,
        offset: int,
        header: Header,
        room: int,
        meter: Meter | None,
        templates: TemplateBook | None,
        batch: Batch | None,
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
        batch: Batch | None,
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


def _check_bound(flat: FlatBuffer, start: int, stop: int) -> None:
    """Reject a sealed or signed record that does not name the content of its template: another could replace that."""
    head = read_record_head(flat, start, stop)
    if head[5] is None:
        raise wrong_template(f"a sealed or signed record of template {head[0]} is not bound to it", _OPTIONS_AT)
