"""One published message, encoded once for each encoding that its viewers need."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from ..background.threads import ENCODED_AT_ONCE, let_go
from ..codec import Codec, EncodedFrame
from ..errors import MessageTooLarge
from ..protocol import (
    DEFAULT_VERSION,
    LARGEST_LENGTH,
    STANDALONE_VERSIONS,
    TRAILER_SIZE,
    ErrorCode,
    Flag,
    Form,
    MessageType,
    RecordFilter,
)
from ..session import Encoding, Loss, Outgoing, Settings, StreamPosition, encode_frame, encode_outgoing
from ..session.outgoing import Tier, encoding_for
from ..session.record_writer import Record
from ..session.settings import EVERYTHING
from ..signing import SigningKey, digest

CANONICAL: Final = encoding_for(DEFAULT_VERSION, EVERYTHING)
"""The encoding in which messages are kept and passed between servers: that of a peer with all capabilities."""

SIGNED_AS: Final = CANONICAL._replace(version=4, compressed=False)
"""The encoding of what is signed."""

_PRIORITY: Final = int(Flag.PRIORITY)
_SIGNED: Final = int(Flag.SIGNED)
_BULK: Final = int(Form.BULK)
_RECORD: Final = int(Form.RECORD)
_DELTA: Final = int(RecordFilter.DELTA)
_UNFILTERED: Final = int(RecordFilter.NONE)
_FILTER_AT: Final = 2  # byte of a record that names its filter
_COUNT_AT: Final = 4  # four bytes of a record: its samples a lead
_MOST_LIST_GROWTH: Final = 3  # by which factor a payload with arrays in binary form may grow in list form
_LIST_EXTRA: Final = 1024  # and by so many bytes besides

# For frames of servers, which have applied their own limit. Messages are kept in ``CANONICAL``, no record among them.
_reader: Final = Codec(max_payload=LARGEST_LENGTH, versions=STANDALONE_VERSIONS)
_small_reader: Final = Codec(max_payload=ENCODED_AT_ONCE)


def may_be_record(encoded: EncodedFrame) -> bool:
    """Return whether type, flags and size of a message that this server has encoded allow a record."""
    is_small = len(encoded.frame) <= ENCODED_AT_ONCE and (encoded.packed or 0) <= ENCODED_AT_ONCE
    return encoded.type is MessageType.ECG_DATA and not encoded.flags & _PRIORITY and is_small


class Publication:
    """One published message, encoded once for each encoding that its viewers need.

    Args:
        stream: name of the stream; None for a broadcast.
        timestamp: in microseconds since 1970, larger than that of any earlier message on the stream.
        frame: the message in the encoding ``CANONICAL``. Bytes are checked, their CRC included; an ``EncodedFrame`` was
            encoded or checked by this server.
        settings: settings for the other encodings.

    Attributes:
        type: type of the message.
        number: number of the publication in its ring.
        arrived: when it was added to the ring, in seconds of the loop's clock.
        nbytes: bytes of all its frames.
        urgent: whether it is sent before waiting messages.
        position: its place in the stream, for viewers of version 4; None for a broadcast.
        record: the message as a record, for those of them that read it; None if it travels as MessagePack.
        is_large: whether encoding it in another encoding may hold up the event loop; ``takes_long`` gives the answer.
        kept: whether a ring holds it.
        missing: messages of the stream before it that this server will never get, which viewers of versions 1 to 3 are
            told; those of version 4 see it by the numbers.
        is_attested: whether it is attested later, so that all viewers which can verify that get the same payload.
        signer: signs it for viewers of version 4 that agreed on ``signing``; None to sign nothing.

    Raises:
        ProtocolError: the frame is damaged.
    """

    __slots__ = (
        "_encoded",
        "_frames",
        "_inflates_large",
        "_is_deflated",
        "_settings",
        "arrived",
        "flags",
        "is_attested",
        "is_large",
        "kept",
        "missing",
        "nbytes",
        "number",
        "position",
        "record",
        "signer",
        "stream",
        "timestamp",
        "type",
        "urgent",
    )

    def __init__(self, stream: str | None, timestamp: int, frame: EncodedFrame | bytes, settings: Settings) -> None:
        encoded = _reader.verify(frame) if isinstance(frame, bytes) else frame
        if encoded.timestamp != timestamp:
            encoded = encoded.with_timestamp(timestamp)
        outgoing = Outgoing(encoded, encoded.flags, timestamp, stream)
        self.stream = stream
        self.timestamp = timestamp
        self.type = encoded.type
        self.flags = encoded.flags & CANONICAL.flags
        self.urgent = outgoing.tier is Tier.URGENT
        self.nbytes = outgoing.nbytes
        self._is_deflated = outgoing.deflated
        self.is_large = outgoing.deflated or outgoing.nbytes > ENCODED_AT_ONCE
        self._inflates_large = None if encoded.packed is None else encoded.packed > ENCODED_AT_ONCE
        self.number = 0
        self.position: StreamPosition | None = None
        self.record: Record | None = None
        self.arrived = 0.0
        self.kept = False
        self.missing = 0
        self.is_attested = False
        self.signer: SigningKey | None = None
        self._settings = settings
        self._encoded = encoded
        self._frames = {CANONICAL: outgoing, self.needed(CANONICAL): outgoing}

    @property
    def frame(self) -> bytes:
        """The frame in the encoding ``CANONICAL``."""
        return self._encoded.frame

    @property
    def is_bulk(self) -> bool:
        """True if it may wait behind others; its stream is of the class BULK, and it is not urgent."""
        return self.position is not None and bool(self.position.form & _BULK) and not self.urgent

    @property
    def encodings(self) -> int:
        """Number of different frames of this message."""
        return len(set(map(id, self._frames.values())))

    @property
    def may_be_record(self) -> bool:
        """True if its type, its flags and its size allow a record; what is large travels as MessagePack."""
        return (
            self.type is MessageType.ECG_DATA
            and not self.flags & _PRIORITY
            and (not self.is_large or not (len(self.frame) > ENCODED_AT_ONCE or self._is_large_inflated()))
        )

    @property
    def data(self) -> Any:
        """The message, unpacked."""
        return _reader.unpack_frame(self._encoded)

    def set_position(self, position: StreamPosition, record: Record | None) -> None:
        """Give it its place in the stream, before it is added to a ring or sent."""
        self.position = position
        self.record = record
        if record is not None:
            self.nbytes += len(record.payload)

    def sign_with(self, signer: SigningKey) -> None:
        """Sign it for the viewers that can verify that; before it is sent to any."""
        self.signer = signer
        self.flags |= _SIGNED

    def outgoing(self, encoding: Encoding) -> Outgoing | None:
        """The frame for peers with that encoding; an ERROR frame if the message is too large in it.

        None if peers with that encoding are not sent the message.
        """
        return self._frames.get(encoding) or self._encode_and_keep(encoding)

    def takes_long(self, encoding: Encoding) -> bool:
        """Return whether ``outgoing`` would have to encode the message, long enough to hold up the event loop."""
        if not self.is_large or encoding in self._frames or self.needed(encoding) in self._frames:
            return False
        return len(self.frame) > ENCODED_AT_ONCE or self._is_large_inflated()

    def keep(self, encoding: Encoding, outgoing: Outgoing) -> None:
        """Keep a frame that ``encode`` made."""
        needed = self.needed(encoding)
        if needed not in self._frames:
            self._frames[needed] = outgoing
            self.nbytes += outgoing.nbytes
        self._frames[encoding] = self._frames[needed]

    def strip(self) -> int:
        """Drop all frames but the one in ``CANONICAL``; others can be encoded again. Returns the freed bytes."""
        outgoing = self._frames[CANONICAL]
        needed = outgoing.nbytes + (0 if self.record is None else len(self.record.payload))
        freed = self.nbytes - needed
        self.nbytes = needed
        self._frames = {CANONICAL: outgoing, self.needed(CANONICAL): outgoing}
        return freed

    def _encode_and_keep(self, encoding: Encoding) -> Outgoing:
        needed = self.needed(encoding)
        outgoing = self._frames.get(needed)
        if outgoing is None:
            outgoing = self._frames[needed] = self.encode(needed)
            self.nbytes += outgoing.nbytes
        self._frames[encoding] = outgoing
        return outgoing

    def _is_large_inflated(self) -> bool:
        """Return whether the inflated payload is large: up to a thousand times the bytes of the frame."""
        if self._inflates_large is None:
            try:
                _small_reader.unpack_frame(self._encoded)
            except MessageTooLarge:
                self._inflates_large = True
            else:
                self._inflates_large = False
        return self._inflates_large

    def needed(self, encoding: Encoding) -> Encoding:
        """The encoding reduced to what this message has: flags, a record, a filter. So more viewers share a frame."""
        if encoding.sealed:
            encoding = _plain(encoding)
        if encoding.max_payload < LARGEST_LENGTH and self._is_within(encoding.max_payload):
            encoding = without_limit(encoding)
        if not encoding.record:
            return _without_record(encoding, self.flags, self._is_deflated)
        if self.record is None:
            return _without_record(encoding._replace(record=False, delta=False), self.flags, self._is_deflated)
        return _with_record(encoding, self.flags, self.record.payload[_FILTER_AT] == _DELTA)

    def _is_within(self, limit: int) -> bool:
        """Return whether the message is surely within a limit in every form; a list takes up to three times as much."""
        if self.record is not None and not self.record_fits(self.record, limit):
            return False
        return self._encoded.packed is not None and _MOST_LIST_GROWTH * self._encoded.packed + _LIST_EXTRA <= limit

    @staticmethod
    def record_fits(record: Record, limit: int) -> bool:
        """Return whether a record, and the signal that it stands for, are within the limit of a receiver."""
        count = int.from_bytes(record.payload[_COUNT_AT : _COUNT_AT + 4], "big")
        return max(len(record.payload), record.template.signal_bytes(count)) <= limit

    def encode(self, encoding: Encoding) -> Outgoing:
        """Encode the message for peers with that encoding, and do not keep the frame. May be called in any thread."""
        if encoding.record and self.record is not None:
            if not self.record_fits(self.record, encoding.max_payload):
                return self.too_large_for(encoding)
            return self._encode_record(encoding, self.record)
        if self.signer is not None and encoding.flags & _SIGNED:
            signed = self._signed(encoding, self.signer)
            if signed.nbytes - TRAILER_SIZE > encoding.max_payload:
                return self.too_large_for(encoding)
            return Outgoing(signed, self.flags, self.timestamp, self.stream)
        data = self.data
        try:
            return self._encode_as(encoding, self.type, data, self.flags & ~_SIGNED)
        except MessageTooLarge as error:
            return self._encode_as(without_limit(encoding), MessageType.ERROR, loss_of(self, str(error)), 0)
        finally:
            if self.is_large:
                let_go(data)

    def too_large_for(self, encoding: Encoding) -> Outgoing:
        """The ERROR for peers that take only smaller payloads than this message has."""
        why = f"the message exceeds the {encoding.max_payload} bytes that this client takes"
        return self._encode_as(without_limit(encoding), MessageType.ERROR, loss_of(self, why), 0)

    def _signed(self, encoding: Encoding, signer: SigningKey) -> EncodedFrame:
        """The frame with a signature. Signed messages are small, and not deflated."""
        plain, payload = self._to_sign(encoding.flags)
        name = self.stream or "" if plain.stream_id else ""
        return plain.signed(signer.trailer(name, int(self.type), plain.form or 0, payload))

    def digest(self) -> bytes:
        """Return the digest that an attestation of the message has. See ``signing.digest``.

        Viewers that agreed on ``templates`` and ``ndarray-bin`` get what it is made of; others get another payload of
        the same message.
        """
        name = self.stream or ""
        if self.record is not None:
            plain = self.record.template.without_filter(self.record.payload)
            return digest(name, int(self.type), int(Form.RECORD), plain)
        return digest(name, int(self.type), 0, self._to_sign(self.flags)[1])

    def _to_sign(self, flags: int) -> tuple[EncodedFrame, bytes]:
        """The frame of which a signature or an attestation is made, and its payload."""
        plain = encode_frame(
            SIGNED_AS._replace(flags=flags),
            self.type,
            self.data,
            timestamp=self.timestamp,
            settings=self._settings,
            flags=self.flags & ~_SIGNED,
            position=self.position_for(SIGNED_AS._replace(flags=flags)),
        )
        return plain, plain.frame[len(plain.frame) - plain.nbytes :]

    def _encode_record(self, encoding: Encoding, record: Record) -> Outgoing:
        payload = record.payload
        if payload[_FILTER_AT] != _UNFILTERED and not encoding.delta:
            payload = record.template.without_filter(payload)
        return self._encode_as(encoding, self.type, payload, self.flags, _RECORD)

    def position_for(self, encoding: Encoding, form: int = 0) -> StreamPosition | None:
        """Return the position, with the form of the message for peers with that encoding.

        Args:
            encoding: that of the peers.
            form: RECORD if the message is sent as a record. BULK is added where the stream has it, unless the message
                is urgent for these peers.
        """
        if self.position is None:
            return None
        overtakes = self.type is MessageType.ANOMALY_ALERT or self.flags & encoding.flags & _PRIORITY
        bulk = 0 if overtakes else self.position.form & _BULK
        return StreamPosition(self.position.id, self.position.number, form | bulk)

    def _encode_as(self, encoding: Encoding, type: MessageType, data: Any, flags: int, form: int = 0) -> Outgoing:
        position = None if type is MessageType.ERROR else self.position_for(encoding, form)
        return encode_outgoing(
            encoding,
            type,
            data,
            timestamp=self.timestamp,
            settings=self._settings,
            flags=flags,
            stream=self.stream,
            position=position,
        )


@lru_cache(maxsize=1024)
def _plain(encoding: Encoding) -> Encoding:
    return encoding._replace(sealed=False)


@lru_cache(maxsize=1024)
def without_limit(encoding: Encoding) -> Encoding:
    """The encoding for peers that take payloads of any size."""
    return encoding._replace(max_payload=LARGEST_LENGTH)


@lru_cache(maxsize=1024)
def _with_record(encoding: Encoding, flags: int, is_filtered: bool) -> Encoding:
    """The encoding of a record, reduced to these flags and the filter that it has."""
    return encoding._replace(flags=encoding.flags & flags, binary=False, delta=encoding.delta and is_filtered)


@lru_cache(maxsize=1024)
def _without_record(encoding: Encoding, flags: int, is_deflated: bool) -> Encoding:
    """The encoding reduced to these flags.

    A frame that is not compressed, although it may be, is the same for peers that do not support compression.
    """
    is_same = not is_deflated and (encoding.version, encoding.binary) == (CANONICAL.version, CANONICAL.binary)
    return encoding._replace(flags=encoding.flags & flags, compressed=encoding.compressed or is_same)


class TemplatePublication(Publication):
    """A template or an attestation in the ring of its stream, for viewers of version 4; no other viewer is sent it.

    Args:
        stream: name of the stream.
        timestamp: in microseconds since 1970.
        outgoing: its frame.
        position: its place in the stream.
    """

    __slots__ = ("_outgoing",)

    def __init__(self, stream: str, timestamp: int, outgoing: Outgoing, position: StreamPosition) -> None:
        self.stream = stream
        self.timestamp = timestamp
        self.type = outgoing.type
        self.flags = 0
        self.urgent = self.is_large = False
        self.nbytes = outgoing.nbytes
        self.number = 0
        self.position = position
        self.record = None
        self.arrived = 0.0
        self.kept = False
        self.missing = 0
        self._outgoing = outgoing

    @property
    def frame(self) -> bytes:
        """The frame."""
        return self._outgoing.frame

    @property
    def encodings(self) -> int:
        """Number of different frames: one."""
        return 1

    def outgoing(self, encoding: Encoding) -> Outgoing | None:
        """The frame, the same for all viewers of version 4; None for the others."""
        return self._outgoing if encoding.version >= 4 else None

    def takes_long(self, encoding: Encoding) -> bool:
        """False: it is encoded already."""
        return False

    def strip(self) -> int:
        """Nothing can be made again. Returns 0."""
        return 0


def loss_of(publication: Publication, why: str) -> dict[str, Any]:
    """Return the ERROR for viewers for which a message is too large."""
    details = Loss(publication.timestamp, publication.timestamp).details(publication.stream)
    return {"code": int(ErrorCode.MESSAGE_TOO_LARGE), "message": why, "details": details}
