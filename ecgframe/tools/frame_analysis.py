"""Decoding of frames one by one, valid or broken, with everything that is known about each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from struct import Struct, calcsize
from typing import TYPE_CHECKING, Any, Final

from .._core import Header, crc32, flatten, message_of
from ..codec import Codec, Message
from ..compression import HIGHEST_RATIOS, inflate
from ..errors import (
    ChecksumMismatch,
    InvalidDataFormat,
    MessageTooLarge,
    ProtocolError,
    forget_where,
)
from ..messages import check_received
from ..messages.template_rules import check_size as check_template_size
from ..protocol import (
    DATA_TYPES,
    DEFAULT_MAX_PAYLOAD,
    DEFAULT_VERSION,
    FLAG_SINCE,
    HEADER_FIELDS,
    HEADER_SIZES,
    LAST_FATAL_CHECK,
    Algorithm,
    Check,
    Flag,
    Form,
    MessageType,
)
from ..value_count import count_values, has_more_values
from .budget import WORK_PER_FRAME, WORK_PER_RECORD, unlimited
from .key_blanking import blank_keys, may_have_keys
from .observation import Delivery, Origin
from .sealed_frames import SealedFrames
from .seen_fragments import Fragment, SeenFragments
from .seen_templates import SeenTemplates
from .signed_frames import SeenSignature, SignedFrames

if TYPE_CHECKING:
    from .._core._header import FlatBuffer
    from ..codec import RecordTemplate
    from ..seal import Keyring
    from ..signing import Verifier
    from .budget import Budget

MOST_VALUES: Final = 1 << 20
"""Most values of a payload that is unpacked: 16 MiB of MessagePack can become half a gigabyte of Python objects."""

SMALL_PAYLOAD: Final = 64
"""Largest payload, in bytes, whose values need not be counted."""

_LETTERS: Final = {1: "B", 4: "I", 8: "Q"}
_LAYOUTS: Final = [
    ">" + "".join(_LETTERS[width] for width in list(HEADER_FIELDS.values())[:count]) for count in (5, 6, 9)
]
_WHOLE: Final = {
    version: next(Struct(layout) for layout in _LAYOUTS if calcsize(layout) == size)
    for version, size in HEADER_SIZES.items()
}
"""Layout of a complete header, by version."""

# Integers, because arithmetic on enum members is slow.
_COMPRESSED, _ENCRYPTED = int(Flag.COMPRESSED), int(Flag.ENCRYPTED)
_RECORD, _ALGORITHM = int(Form.RECORD), int(Form.ALGORITHM)
_FRAGMENT = int(Flag.FRAGMENT)
_SIGNED = int(Flag.SIGNED)
_NOT_DECODED = int(Flag.FRAGMENT | Flag.SIGNED)

_TYPE_NAMES: Final = {int(member): member.name for member in MessageType}


@dataclass(slots=True)  # not frozen: a frozen instance takes three times as long to create, and there are millions
class Examined:
    """A frame, and how a receiver would judge it.

    Attributes:
        number: number of the frame in the source, from 1.
        origin: where and when the frame was seen.
        offset: byte of the file, or of the WebSocket message, at which the frame begins.
        octets: header and payload as sent; if the end of a broken frame is unknown, the rest of the message.
        fields: fields of the header by name, as far as they are present.
        message: the decoded message; None for a broken frame. The last fragment of a message has the whole message.
        error: the error for which a receiver would reject the frame; None for a valid frame.
        checksum: CRC-32 of the payload; None if the payload is incomplete.
        is_text: whether the frame came in a text message.
        unread: why the payload was not unpacked although header and checksum are valid; None if it was.
        fragment: which bytes of its message a fragment has; None for other frames.
        signature: who has signed the message, or the attestation; None if nobody has, or it was not read.
        opened: the frame as it was before it was sealed and signed; None if it is neither, or was not read.
    """

    number: int
    origin: Origin
    offset: int
    octets: bytes
    fields: dict[str, int]
    message: Message | None
    error: ProtocolError | None
    checksum: int | None
    is_text: bool = False
    unread: str | None = None
    fragment: Fragment | None = None
    signature: SeenSignature | None = None
    opened: bytes | None = None

    @property
    def type_name(self) -> str:
        """Name of the message type; the number in hexadecimal if there is no such type."""
        number = self.fields.get("type")
        return "?" if number is None else type_name(number)

    @property
    def flag_names(self) -> list[str]:
        """Names of the flags that are set; undefined bits in hexadecimal."""
        return flag_names(self.fields.get("flags", 0), self.fields.get("version", DEFAULT_VERSION))

    @property
    def header_size(self) -> int:
        """Bytes of the header that are present."""
        return min(HEADER_SIZES.get(self.fields.get("version", 0), HEADER_SIZES[1]), len(self.octets))

    @property
    def payload(self) -> memoryview:
        """The payload as sent, as far as it is present."""
        return memoryview(self.octets)[self.header_size :]

    @property
    def is_intact(self) -> bool | None:
        """True if the payload has the CRC-32 of the header; None if the payload is incomplete."""
        return None if self.checksum is None else self.checksum == self.fields["checksum"]

    @property
    def stream(self) -> str | None:
        """Name of the stream in the message; None if there is none."""
        data = self.message.data if self.message else None
        name = data.get("stream") if isinstance(data, dict) else None
        return name if isinstance(name, str) else None


def type_name(number: int) -> str:
    """Return the name of a message type; the number in hexadecimal if there is no such type."""
    return _TYPE_NAMES.get(number, f"0x{number:02x}")


def flag_names(bits: int, version: int = DEFAULT_VERSION) -> list[str]:
    """Return the names of the flags that are set; undefined bits in hexadecimal.

    Args:
        bits: the flags.
        version: version of the frame. Flags of V3 have names in earlier versions as well, flags of V4 in V4 only.
    """
    return list(_flag_names(bits, max(version, DEFAULT_VERSION)))


@lru_cache(maxsize=512)
def _flag_names(bits: int, version: int) -> tuple[str, ...]:
    known = [flag for flag, since in FLAG_SINCE.items() if since <= version]
    others = bits & ~sum(known)
    names = (str(flag.name) for flag in known if bits & flag)
    return (*names, *(f"0x{1 << n:02x}" for n in range(8) if others >> n & 1))


def form_names(bits: int) -> list[str]:
    """Return the names in the form byte of a V4 header, without zlib; reserved bits in hexadecimal."""
    algorithm = bits & Form.ALGORITHM
    named = [str(one.name) for one in (Form.RECORD, Form.BULK) if bits & one]
    if algorithm:
        named.append(Algorithm(algorithm).name if algorithm <= max(Algorithm) else f"algorithm {algorithm}")
    others = bits & ~int(Form.ALGORITHM | Form.RECORD | Form.BULK)
    return named + [f"0x{1 << n:02x}" for n in range(8) if others >> n & 1]


def header_fields(octets: bytes | memoryview) -> dict[str, int]:
    """Return the fields of a header by name, as far as they are present, without validating them."""
    whole = _WHOLE.get(octets[0]) if octets else None
    if whole is not None and len(octets) >= whole.size:
        return dict(zip(HEADER_FIELDS, whole.unpack_from(octets), strict=False))
    size = HEADER_SIZES.get(octets[0], HEADER_SIZES[1]) if octets else 0
    fields: dict[str, int] = {}
    start = 0
    for name, width in HEADER_FIELDS.items():
        if start + width <= min(size, len(octets)):
            fields[name] = int.from_bytes(octets[start : start + width], "big")
        start += width
    return fields


class Examiner:
    """Splits messages into frames and decodes them, valid or broken.

    Args:
        max_payload: largest payload, in bytes, that counts as valid.
        validate: whether the fields of data messages are checked; those of control messages always are.
        budget: limits the work that the source may cause; None for a live connection.
        keyring: keys with which sealed frames are opened; None to open none.
        verifier: the signers whose signatures are verified; None to verify none.

    Attributes:
        budget: the budget in use.
        sealed: the sealed frames.
    """

    def __init__(
        self,
        *,
        max_payload: int = DEFAULT_MAX_PAYLOAD,
        validate: bool = False,
        budget: Budget | None = None,
        keyring: Keyring | None = None,
        verifier: Verifier | None = None,
    ) -> None:
        self.sealed = SealedFrames(keyring)
        self._signed = SignedFrames(verifier)
        self.budget = unlimited() if budget is None else budget
        self._codec = Codec(max_payload=max_payload)
        self._max_payload = max_payload
        self._validate = validate
        self._count = 0
        self._templates = SeenTemplates(self.sealed.opened_or_not)
        self._fragments = SeenFragments(max_payload)

    def examine(self, delivery: Delivery) -> Iterator[Examined]:
        """Yield the frames of a message, up to the first broken frame whose end is unknown.

        Once the budget is used up, only the first one: a message may inflate to millions of frames. The bytes of the
        others are counted in ``budget.passed_over``.
        """
        octets = delivery.octets
        if delivery.is_text:
            error = InvalidDataFormat("a text message; frames travel in binary ones")
            yield self._examined(delivery, 0, octets, error=error)
            return
        if delivery.fault is not None:
            yield self._examined(delivery, 0, octets, error=delivery.fault)
            return
        flat = flatten(octets)
        offset, is_first = 0, True
        while offset < len(octets) or is_first:  # an empty message counts as a broken frame
            if not is_first and not self.budget.may_work:
                self.budget.passed_over += len(octets) - offset
                return
            found = self._judge(delivery, flat, offset)
            size = len(found.octets)
            if may_have_keys(found.octets):
                found = self._without_keys(found)
            yield found
            if found.error is not None and is_fatal(found.error):
                return
            offset, is_first = offset + size, False

    def _without_keys(self, found: Examined) -> Examined:
        """Return an answer without the keys of sealed streams, which must not be shown."""
        octets = blank_keys(found.octets)
        message = found.message
        if octets == found.octets:
            return found
        if message is not None:
            message.data = self._codec.decode(octets).data
        fields = header_fields(octets)
        return replace(
            found, octets=octets, fields=fields, checksum=found.checksum if found.error else fields.get("checksum")
        )

    def _judge(self, delivery: Delivery, flat: FlatBuffer, offset: int) -> Examined:
        """Decode the frame at the offset."""
        octets = delivery.octets
        frame = None
        fragment: Fragment | None = None
        signature: SeenSignature | None = None
        inside: bytes | None = None
        before = self._templates.work
        try:
            header = self._header(flat, octets, offset)
            stop = offset + header.size + header.length
            frame = octets if not offset and stop >= len(octets) else octets[offset:stop]
            whole = frame
            if frame is octets and header.version >= 4 and header.bits & _FRAGMENT:
                self.budget.work += WORK_PER_FRAME
                fragment, joined = self._fragments.add(delivery.origin, frame, header)
                if joined is None:
                    return self._examined(delivery, offset, frame, fragment=fragment)
                whole, header = joined, flatten(joined).header_at(0, self._max_payload)
            is_sealed = bool(header.bits & _ENCRYPTED)
            opened = self._open(whole, header)
            if isinstance(opened, str):
                self.budget.work += WORK_PER_FRAME
                return self._examined(delivery, offset, frame, unread=opened, fragment=fragment)
            as_sent, (plain, trailer) = header, opened
            if plain is not whole:
                whole = inside = plain
                header = flatten(plain).header_at(0, self._max_payload)
            if header.form_bits & _RECORD and not _is_not_decoded(header):
                self.budget.work += WORK_PER_RECORD
                message, unread = self._record(whole, delivery.origin)
            else:
                self.budget.work += WORK_PER_FRAME
                message, unread = self._message(whole, header)
            if message is not None and (self._validate or message.type not in DATA_TYPES):
                message.data = check_received(message.type, message.data, message.version)
            if message is not None and is_sealed:
                self.sealed.check(message.data, header.version if header.stream_id else 3)
            if message is not None:
                signature = self._judge_signature(as_sent, message, whole, trailer, delivery.origin)
                self._templates.note(whole, message, delivery.origin)
        except ProtocolError as error:
            forget_where(error)
            rest = octets[offset:] if frame is None or is_fatal(error) else octets[offset:stop]
            return self._examined(delivery, offset, rest, error=error)
        finally:
            self.budget.work += self._templates.work - before
        found = self._examined(delivery, offset, frame, message, unread=unread, fragment=fragment)
        found.signature, found.opened = signature, inside
        return found

    def _open(self, frame: bytes, header: Header) -> tuple[bytes, bytes] | str:
        """Return a frame neither sealed nor signed, and its signature; or why it cannot be read."""
        if header.bits & _ENCRYPTED:
            opened = self.sealed.open(frame)
            if isinstance(opened, str):
                return opened
            frame, header = opened, flatten(opened).header_at(0, self._max_payload)
        if header.version < 4 or header.bits & _NOT_DECODED != _SIGNED:
            return frame, b""
        _, payload = self._codec.split(frame)
        plain = self._inflate(payload, header.form_bits & _ALGORITHM) if header.bits & _COMPRESSED else payload
        if plain is None:
            return "the source inflates to too many bytes for its size"
        return self._signed.divide(header, memoryview(plain))

    def _judge_signature(
        self, header: Header, message: Message, whole: bytes, trailer: bytes, origin: Origin
    ) -> SeenSignature | None:
        """Return what is known of a signature; None if there is none."""
        if trailer:
            payload = whole[HEADER_SIZES[4] :]
            return self._signed.judge(header, message.data, payload, trailer, self._templates.of(origin))
        if header.type is MessageType.STREAM_ATTESTATION and header.version >= 4 and not header.bits & _COMPRESSED:
            return self._signed.judge_attestation(header, message.data, whole[HEADER_SIZES[4] :])
        return None

    def _header(self, flat: FlatBuffer, octets: bytes, offset: int) -> Header:
        """Read the header at the offset. The offset of an error is relative to the frame."""
        try:
            return flat.header_at(offset, self._max_payload)
        except ProtocolError:
            return flatten(octets[offset:]).header_at(0, self._max_payload)

    def _message(self, frame: bytes, header: Header) -> tuple[Message | None, str | None]:
        """Decode the payload of a frame; return the message, or None and why the payload was not unpacked."""
        budget = self.budget
        is_deflated = header.bits & (_COMPRESSED | _ENCRYPTED) == _COMPRESSED
        if not is_deflated and header.length <= SMALL_PAYLOAD and budget.may_work:
            return self._codec.decode(frame), None
        header, payload = self._codec.split(frame)
        if not budget.may_work:
            return None, "the source has too many values for its size"
        if header.bits & _ENCRYPTED or (header.version >= 4 and _is_not_decoded(header)):
            return self._codec.decode(frame), None
        algorithm = header.form_bits & _ALGORITHM
        plain: bytes | bytearray | memoryview | None = self._inflate(payload, algorithm) if is_deflated else payload
        if plain is None:
            return None, "the source inflates to too many bytes for its size"
        if header.type == MessageType.STREAM_TEMPLATE:
            check_template_size(len(plain))  # as the codec does before it unpacks one
        if len(plain) > MOST_VALUES and has_more_values(plain, MOST_VALUES):
            budget.work += MOST_VALUES
            return None, f"the payload has more than {MOST_VALUES:,} values"
        try:
            data = self._codec.unpack(plain)
        except ProtocolError:
            budget.work += min(len(plain), MOST_VALUES)  # the values before the error were unpacked
            raise
        budget.work += count_values(data)
        return message_of(header, data, len(plain)), None

    def _record(self, frame: bytes, origin: Origin) -> tuple[Message | None, str | None]:
        """Decode a record, as far as the budget allows: a byte of it becomes 32 samples at most."""
        budget = self.budget
        if not budget.may_work:
            return None, "the source has too many values for its size"
        meter = _RecordMeter(budget.inflating_left)
        try:
            message = self._codec.decode(frame, meter, self._templates.of(origin))
        except MessageTooLarge:
            if meter.is_beyond:
                return None, "the source inflates to too many bytes for its size"
            raise
        budget.inflated += meter.nbytes
        budget.work += count_values(message.data)
        return message, None

    def _inflate(self, payload: memoryview, algorithm: int) -> bytes | bytearray | None:
        """Inflate a payload; None if the budget does not allow it."""
        limit = min(self._max_payload, self.budget.inflating_left)
        try:
            inflated = inflate(payload, limit, algorithm)
        except ProtocolError as error:
            self.budget.inflated += min(limit, HIGHEST_RATIOS[Algorithm(algorithm)] * len(payload))
            if isinstance(error, MessageTooLarge) and limit < self._max_payload:
                return None
            raise
        self.budget.inflated += len(inflated)
        return inflated

    def _examined(
        self,
        delivery: Delivery,
        offset: int,
        octets: bytes,
        message: Message | None = None,
        *,
        error: ProtocolError | None = None,
        unread: str | None = None,
        fragment: Fragment | None = None,
    ) -> Examined:
        self._count += 1
        fields = {} if delivery.is_text else header_fields(octets)
        return Examined(
            number=self._count,
            origin=delivery.origin,
            offset=offset + (delivery.offset or 0),
            octets=octets,
            fields=fields,
            message=message,
            error=error,
            checksum=_checksum(octets, fields, error),
            is_text=delivery.is_text,
            unread=unread,
            fragment=fragment,
        )


class _RecordMeter:
    """Limits the bytes that a record becomes.

    Attributes:
        nbytes: most bytes that the record becomes.
        is_beyond: whether the record exceeds the budget that is left, and not the limit of a receiver.
    """

    def __init__(self, left: int) -> None:
        self._left = left
        self.nbytes = 0
        self.is_beyond = False

    def admit(self, header: Header, room: int) -> int:
        """Admit every frame, up to the budget that is left."""
        self.is_beyond = self._left < room
        return min(room, self._left)

    def weigh(self, flat: FlatBuffer, start: int, stop: int) -> None:
        """Not called: it is a record."""

    def weigh_record(self, template: RecordTemplate, count: int, payload: memoryview) -> None:
        """Refuse a record that would exceed the budget that is left."""
        self.nbytes = template.memory(count)
        self.is_beyond = self.nbytes > self._left
        if self.is_beyond:
            raise MessageTooLarge("a record that becomes too much", check=Check.PAYLOAD)


def _is_not_decoded(header: Header) -> bool:
    """Return True if a V4 frame is rejected before its payload is read, by its flags."""
    return bool(header.bits & _NOT_DECODED)


def _checksum(octets: bytes, fields: dict[str, int], error: ProtocolError | None) -> int | None:
    """Return the CRC-32 of the payload; None if the payload is incomplete. Computed only if decoding did not."""
    if error is None or (error.check is not None and error.check > Check.CHECKSUM):
        return fields.get("checksum")
    if isinstance(error, ChecksumMismatch):
        return error.found
    size = HEADER_SIZES.get(fields.get("version", 0), HEADER_SIZES[1])
    if fields.get("length") != len(octets) - size:
        return None
    return crc32(memoryview(octets)[size:])


def is_fatal(error: ProtocolError) -> bool:
    """Return whether the end of a frame with this error is unknown, so that the connection has to be closed."""
    return error.check is not None and error.check <= LAST_FATAL_CHECK


def place_of(error: ProtocolError) -> str:
    """Describe where in the frame the error is; empty if unknown."""
    if error.path is not None:
        return error.path
    if error.offset is None:
        return ""
    return (
        f"byte {error.offset} of the {'frame' if error.check is None or error.check <= Check.CHECKSUM else 'payload'}"
    )


def details_of(error: ProtocolError) -> dict[str, Any]:
    """Return an error as a dictionary, for JSON."""
    return {
        "code": int(error.code),
        "name": error.code.name,
        "check": error.check,
        "path": error.path,
        "offset": error.offset,
        "message": str(error),
    }
