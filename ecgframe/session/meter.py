"""Limits and measures the cost of a WebSocket message while it is decoded: ``codec.Meter`` for a session.

A meter only reads the account of the peer, so a thread can use it. The session charges the measured cost afterwards.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .._core import footprint
from ..codec import SealedPayload
from ..errors import AuthenticationFailed, MessageTooLarge, ProtocolError, RateLimitExceeded, forget_where
from ..protocol import (
    DATA_TYPES,
    MAX_ANSWER_PAYLOAD,
    MAX_CONTROL_PAYLOAD,
    STREAM_TYPES,
    Check,
    Flag,
    MessageType,
)
from ..signing import without_trailer

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._core._header import FlatBuffer, Header
    from ..codec import Message, PayloadOpener, RecordTemplate, TemplateBook
    from ..seal import Opened
    from ..signing import Signature
    from .cost import Account
    from .frame_reader import FrameReader, StreamEpoch
    from .sealed_reader import SealedReader

_COMPRESSED: Final = int(Flag.COMPRESSED)
_TEMPLATE: Final = int(MessageType.STREAM_TEMPLATE)
_ATTESTATION: Final = int(MessageType.STREAM_ATTESTATION)
_SIGNED: Final = int(Flag.SIGNED)
_ANSWER: Final = int(MessageType.SUBSCRIPTION_ACK)
_SAMPLE_SIZE: Final = 8


class Decoded(NamedTuple):
    """The result of decoding a frame.

    Attributes:
        result: the message, or the error of the frame.
        nbytes: bytes of the frame as received; 0 if it has no valid header.
        memory: upper bound of the bytes of memory that the message takes.
        stream: the stream that the frame named by an id; None if it named none.
        number: of the message within it.
        fault: an error in the frames that an answer holds; the answer itself is accepted.
        packed: payload of a template of a stream, or of an attestation that is verified; on a server also that of a
            record.
        opened: the payload that was opened, if the frame was sealed.
        signature: of a signed frame, if its signers are known.
        digest: of a message of a stream that is not signed, for its attestation, if signers are known.
        payload: of a message of a stream, as packed, with its signature, if the session keeps payloads.
        signed: digest of a message of a stream whose own signature is right.
    """

    result: Message | ProtocolError
    nbytes: int
    memory: int
    stream: StreamEpoch | None = None
    number: int = 0
    fault: ProtocolError | None = None
    packed: bytes | None = None
    opened: Opened | None = None
    signature: Signature | None = None
    digest: bytes | None = None
    payload: bytes | None = None
    signed: bytes | None = None


class _Keyless:
    """A ``codec.PayloadOpener`` that opens nothing, and cuts off signatures unverified.

    Args:
        passes: whether sealed payloads are handed on unread.
    """

    def __init__(self, *, passes: bool) -> None:
        self.passes = passes

    def open(self, header: Header, payload: memoryview) -> bytes:
        """Refuse to open."""
        raise AuthenticationFailed("the payload is encrypted, and this side has no key", check=Check.ENCRYPTION)

    def cut(self, header: Header, payload: memoryview) -> memoryview:
        """Cut off a signature."""
        return without_trailer(payload)

    def check(self, header: Header, data: Any) -> None:
        """Nothing was opened."""


PASSER: Final = _Keyless(passes=True)
CUTTER: Final = _Keyless(passes=False)


class FrameMeter:
    """Refuses or admits the frames of one message before they are inflated and unpacked, and measures them.

    Args:
        refuse: returns the error for which a frame is refused by its header, or None.
        account: the account of the peer; None if nothing is limited.
        measures: whether to measure the memory of messages even without an account.
        at_once: bytes that may be inflated here; beyond that, ``is_beyond`` is set, and a thread has to decode. The
            samples that a record stands for count as inflated bytes for this.
        reader: what the session knows of the peer's streams; None if it does not speak version 4.
        sealed: opens sealed frames, and refuses plain ones of sealed streams; None if this side opens none.
        passes_sealed: whether sealed frames are handed on unread.
        cuts: whether signatures of the peer are cut off unverified.

    Attributes:
        inflated: inflated bytes; for a payload that cannot be inflated, the bytes that were reserved for it.
        unpacked: bytes of memory that the values take.
        is_beyond: whether the inflated message exceeds ``at_once``.
    """

    __slots__ = (
        "_account",
        "_digest",
        "_form",
        "_frame_memory",
        "_frame_nbytes",
        "_inflated_room",
        "_is_capped",
        "_is_limited",
        "_keeps",
        "_left_at_once",
        "_measures",
        "_number",
        "_passer",
        "_payload",
        "_reader",
        "_record",
        "_refuse",
        "_room",
        "_sealed",
        "_stream_id",
        "_template",
        "_type",
        "_unpacked_room",
        "inflated",
        "is_beyond",
        "unpacked",
    )

    def __init__(
        self,
        refuse: Callable[[Header], ProtocolError | None],
        account: Account | None,
        *,
        measures: bool,
        at_once: float = inf,
        reader: FrameReader | None = None,
        sealed: SealedReader | None = None,
        passes_sealed: bool = False,
        cuts: bool = False,
    ) -> None:
        self._passer = PASSER if passes_sealed else CUTTER if cuts else None
        self._refuse = refuse
        self._sealed = sealed
        self._reader = reader
        self._template: bytes | None = None
        self._record: memoryview | None = None
        self._stream_id = self._number = self._form = 0
        self._type: MessageType | None = None
        self._keeps = False
        self._payload: bytes | None = None
        self._digest: bytes | None = None
        """Digest of the message, if it may be attested; None also as long as its payload is not known."""
        self._account = account
        self._measures = measures or account is not None
        self._left_at_once = at_once
        self._inflated_room = self._unpacked_room = inf
        self._frame_nbytes = self._frame_memory = self._room = 0
        self._is_limited = self._is_capped = False
        self.inflated = self.unpacked = 0
        self.is_beyond = False
        self.begin()

    @property
    def templates(self) -> TemplateBook | None:
        """The templates by which records are read."""
        return None if self._reader is None else self._reader.book

    @property
    def opener(self) -> PayloadOpener | None:
        """Opens sealed payloads, or passes them on."""
        return self._sealed or self._passer

    def begin(self) -> None:
        """Read the budget of the peer. A thread calls it again when it begins, because the budget may have changed."""
        if self._reader is not None:
            self._reader.begin()
        if self._account is not None:
            self._inflated_room = self._account.room_of("inflated")
            self._unpacked_room = self._account.room_of("unpacked")

    def item(self, result: Message | ProtocolError) -> Decoded:
        """Return the result for the last frame, and prepare for the next one."""
        stream, number, fault = None, self._number, None
        packed = self._template if self._record is None else bytes(self._record)
        digest, self._digest, self._type = self._digest, None, None
        payload, self._payload = self._payload, None
        if payload is not None and self._sealed is not None:
            payload += self._sealed.take_trailer()
        self._number, self._record = 0, None
        if self._reader is not None and number:
            stream = self._reader.stream_of(self._stream_id)
        opened = None if self._sealed is None else self._sealed.take_opened()
        signature = None if self._sealed is None else self._sealed.take_signature()
        signed = None if self._sealed is None else self._sealed.take_signed()
        if self._sealed is not None and not isinstance(result, ProtocolError):
            result = self._sealed.checked(result)
        is_sealed = not isinstance(result, ProtocolError) and isinstance(result.data, SealedPayload)
        if is_sealed:
            packed = digest = payload = None
        if self._reader is not None and not isinstance(result, ProtocolError) and not is_sealed:
            try:
                fault = self._reader.read(result, self._template)
            except ProtocolError as error:
                result = error
        self._template = None
        if isinstance(result, ProtocolError):
            forget_where(result)
        if isinstance(result, MessageTooLarge):
            self.is_beyond = self.is_beyond or self._is_capped
            if self._is_limited:
                result = too_much("inflated")
        item = Decoded(
            result,
            self._frame_nbytes,
            self._frame_memory,
            stream,
            number,
            fault,
            packed,
            opened,
            signature,
            digest,
            payload,
            signed,
        )
        self._frame_nbytes = self._frame_memory = self._room = 0
        self._is_limited = self._is_capped = False
        return item

    # --- what the codec calls ---

    def admit(self, header: Header, room: int) -> int:
        """Refuse the frame by its header, or return the most bytes that it may have. See ``codec.Meter``."""
        self._frame_nbytes = header.size + header.length
        if (error := self._refuse(header)) is not None:
            raise error
        self._type, self._keeps = None, False
        if header.version >= 4:
            room = self._admit_numbered(header, room)
        elif header.type not in DATA_TYPES:
            room = min(room, MAX_CONTROL_PAYLOAD)
        if header.bits & _COMPRESSED:
            room = self._room_to_inflate(room)
        return room

    def _admit_numbered(self, header: Header, room: int) -> int:
        """Judge a V4 frame by its stream, and return the most bytes that it may have."""
        if self._reader is not None:
            self._reader.book.admit(header)
        if self._sealed is not None and (error := self._sealed.check_plain(header)) is not None:
            raise error
        self._stream_id, self._number = header.stream_id or 0, header.sequence or 0
        self._template = b"" if header.type == _TEMPLATE else None
        if self._sealed is not None and (self._sealed.verifies or self._sealed.keeps):
            self._note_what_to_keep(header, self._sealed)
        if header.type in STREAM_TYPES:
            return room
        return min(room, MAX_ANSWER_PAYLOAD if header.type == _ANSWER else MAX_CONTROL_PAYLOAD)

    def _note_what_to_keep(self, header: Header, sealed: SealedReader) -> None:
        """Note whether the frame is an attestation, or may be attested, and whether its payload is kept."""
        is_attestation = header.type == _ATTESTATION
        if is_attestation and sealed.verifies:
            self._template = b""
        if self._number and header.type in STREAM_TYPES and not (is_attestation or header.bits & _SIGNED):
            self._type = header.type
        self._form = header.form_bits
        self._keeps = sealed.keeps and header.type in STREAM_TYPES

    def _hash(self, payload: memoryview) -> None:
        """Hash the payload of a message that may be attested."""
        if self._type is not None and self._sealed is not None and self._sealed.verifies:
            self._digest = self._sealed.digest(self._stream_id, int(self._type), self._form, payload)

    def _room_to_inflate(self, room: int) -> int:
        if self._inflated_room < room:
            if self._inflated_room < 1:
                raise too_much("inflated")
            room = int(self._inflated_room)
            self._is_limited = True
        if self._left_at_once < room:
            room = int(self._left_at_once)
            self._is_capped = True
        self._take_inflated(room)
        self._room = room
        return room

    def weigh(self, flat: FlatBuffer, start: int, stop: int) -> None:
        """Refuse the frame if its values take too much memory. See ``codec.Meter``."""
        if self._room:
            self._take_inflated(stop - start - self._room)
            self._room = 0
            self._is_capped = self._is_limited = False
        if self._template is not None:
            self._template = bytes(flat.view(start, stop))
        if self._type is not None:
            self._hash(flat.view(start, stop))
        if self._keeps:
            self._payload = bytes(flat.view(start, stop))
        if self._measures:
            self._take_memory(footprint(flat, start, stop))

    def weigh_record(self, template: RecordTemplate, count: int, payload: memoryview) -> None:
        """Refuse a record that stands for too much. See ``codec.Meter``."""
        if self._reader is not None and self._reader.book.takes_openings:
            self._record = payload  # it is handed on to viewers as it is
        samples = (template.rows or 1) * count * _SAMPLE_SIZE
        if samples > self._left_at_once:
            self.is_beyond = True
            raise MessageTooLarge("a record that takes long to read", check=Check.PAYLOAD)  # a thread reads it
        self._left_at_once -= samples
        if self._measures:
            self._take_memory(template.memory(count))
        if self._type is not None:
            self._hash(payload)
        if self._keeps:
            self._payload = bytes(payload)

    def _take_memory(self, memory: int) -> None:
        self._frame_memory = memory
        if memory > self._unpacked_room:
            raise too_much("unpacked")
        self.unpacked += memory
        self._unpacked_room -= memory

    def _take_inflated(self, nbytes: int) -> None:
        self.inflated += nbytes
        self._inflated_room -= nbytes
        self._left_at_once -= nbytes


_WHAT: Final = {
    "frames": "frames",
    "nbytes": "bytes",
    "inflated": "inflated bytes",
    "unpacked": "memory",
    "seconds": "processor time",
}


class BudgetExceeded(RateLimitExceeded):
    """0x204: a peer costs more than it may.

    Attributes:
        resource: of which, a field of ``RateLimit``.
    """

    def __init__(self, message: str, *, resource: str = "", check: Check | None = None) -> None:
        super().__init__(message, check=check)
        self.resource = resource


def too_much(resource: str) -> BudgetExceeded:
    """The error for a peer that costs more of a resource than it may."""
    text = f"this takes more {_WHAT[resource]} than a connection may ({resource} of the rate limit); it is lost"
    return BudgetExceeded(text, resource=resource, check=Check.PAYLOAD)
