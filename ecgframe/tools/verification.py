"""Verifying a recording of signed streams: whether it is complete and untouched, and where it is not.

Section "Signatures" of the specification. Reading takes constant memory and time in proportion to the file.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from ..codec import Codec
from ..errors import AuthenticationFailed, ProtocolError
from ..messages.templates import Template, template_number
from ..messages.times import unix_seconds
from ..plural import counted
from ..protocol import (
    DATA_TYPES,
    DIGEST_SIZE,
    MAX_DIGESTS,
    Flag,
    Form,
    MessageType,
    RecordFilter,
    RecordOption,
)
from ..signing import Attestation, Signature, Verifier, digest, without_trailer
from ..signing.attestation_book import LATER_ATTESTATIONS
from .frame_stream import FrameStream, Stretch

if TYPE_CHECKING:
    from .._core._header import FlatBuffer, Header
    from ..codec import Message, RecordTemplate

MOST_FAULTS: Final = 1000
"""Faults that are described one by one; the rest are counted."""

KEPT_TEMPLATES: Final = 64
"""Templates of a stream that are kept, as receivers keep them."""

MOST_STREAMS: Final = 64
"""Streams of a file that are followed at a time, each with the digests of at most two attestations."""

FIRST_ATTESTATIONS: Final = 4
"""Attestations at the beginning of a file in which a signer may name what is before it: each attests once a second."""

MOST_PROOFS: Final = 1000
"""Streams and epochs of a file that are verified."""

_PRIORITY, _SIGNED, _RECORD = int(Flag.PRIORITY), int(Flag.SIGNED), int(Form.RECORD)
_NONE_BEFORE: Final = bytes(DIGEST_SIZE)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong in a recording.

    Attributes:
        kind: "damaged", "changed", "missing", "order", "signature", "signer", "attestation", "unsigned" or "cut".
        text: a sentence.
        stream: name of the stream; None if it is not known.
        time: when it was measured, in Unix seconds, or that of the last message before it. Before the first message,
            the time of the stream's opening by the clock of its sender. None if not known.
        frame: number of the frame in the file, from 1; that after it if frames are missing.
        offset: byte of the file at which the frame begins.
    """

    kind: str
    text: str
    stream: str | None
    time: float | None
    frame: int
    offset: int


@dataclass(slots=True)
class StreamProof:
    """The proofs about one epoch of a stream.

    Attributes:
        stream: name of the stream.
        epoch: its epoch.
        messages: number of messages, templates included, attestations not.
        signed: those whose own signature is right.
        attested: those that an attestation names.
        attestations: number of attestations whose signature is right.
        signers: names of the signers, in hexadecimal.
        begins: when the first proven message was measured, in Unix seconds; None if there is none.
        ends: when the last proven message was measured.
        is_ended: whether each signer has said in its last attestation that it stopped.
    """

    stream: str
    epoch: int
    messages: int = 0
    signed: int = 0
    attested: int = 0
    attestations: int = 0
    signers: list[str] = field(default_factory=list)
    begins: float | None = None
    ends: float | None = None
    is_ended: bool = False


@dataclass(slots=True)
class Verification:
    """The proofs about a recording.

    Attributes:
        frames: number of valid frames in the file.
        streams: what is proven of each stream, in the order of the file.
        faults: what is wrong, in the order of the file; at most 1,000.
        more_faults: number of further ones.
        before: number of messages that the first attestations name, and that were published before the file begins.
    """

    frames: int = 0
    streams: list[StreamProof] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    more_faults: int = 0
    before: int = 0

    @property
    def is_whole(self) -> bool:
        """True if every message is proven, none is missing, and every stream has its last attestation."""
        return bool(self.streams) and not self.faults

    def note(self, fault: Fault) -> None:
        """Add a fault."""
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(fault)
        else:
            self.more_faults += 1


def verify_frames(file: BinaryIO, signers: list[bytes], *, report: Any = None) -> Verification:
    """Verify a file of frames, such as ``ecgframe record --signatures`` writes.

    Args:
        file: opened for reading bytes.
        signers: public keys of the signers, 32 bytes each.
        report: called with the number of bytes that were read, from time to time; None for no reports.

    Raises:
        ValueError: a key is not one.
        MissingLibrary: the extra ``seal`` is not installed.
        OSError: the file cannot be read.
    """
    reader = _Reader(Verifier(signers))
    frames = FrameStream(file)
    for number, stretch in enumerate(frames.stretches(), 1):
        reader.take(stretch, number)
        if report is not None and not number % 256:
            report(frames.position)
    reader.finish()
    if frames.gave_up:
        reader.found.note(Fault("damaged", "the rest of the file was not read", None, None, 0, frames.position))
    return reader.found


@dataclass(slots=True)
class _Pending:
    """A message that waits for its attestation."""

    digest: bytes
    number: int
    time: float | None
    frame: int
    offset: int
    passed: Counter[bytes] = field(default_factory=Counter)
    """By signer, the number of later attestations that do not name it."""
    is_claimed: bool = False
    """True if an attestation of an unknown signer names it."""


@dataclass(slots=True)
class _Chain:
    """The latest attestation of a signer."""

    number: int
    own: bytes
    is_last: bool


class _Stream:
    """One epoch of a stream of the file."""

    def __init__(self, proof: StreamProof, id: int) -> None:
        self.proof = proof
        self.id = id
        self.templates: OrderedDict[tuple[int, int], Template] = OrderedDict()
        """By stream id and number, as the codec takes them."""
        self.pending: deque[_Pending] = deque()
        self.signed: OrderedDict[bytes, None] = OrderedDict()
        """Digests of messages with a signature of their own."""
        self.chains: dict[bytes, _Chain] = {}
        self.lacking = 0
        """Number of messages that an attestation names, and that are missing or changed."""
        self.line = 0
        """The largest number of a message that did not overtake."""
        self.ahead: set[int] = set()
        self.time: float | None = None
        """Time of the last message."""
        self.begun: float | None = None
        """When the opening was sent."""
        self.numbered_from: int | None = None


class _Reader:
    """Reads the frames of a file one after the other."""

    passes = False

    def __init__(self, verifier: Verifier) -> None:
        self.found = Verification()
        self._verifier = verifier
        self._codec = Codec()
        self._streams: OrderedDict[int, _Stream] = OrderedDict()
        self._begun: set[tuple[str, int]] = set()
        self._payload = b""
        self._trailer = b""
        self._unsigned = 0
        self._frame = self._offset = 0

    # --- frames ---

    def take(self, stretch: Stretch, frame: int) -> None:
        """Take the next frame, or the bytes between two."""
        self._frame, self._offset = frame, stretch.offset
        if stretch.header is None:
            latest = next(reversed(self._streams.values()), None)
            self._fault("damaged", f"{counted(stretch.nbytes, 'byte')} are no frame: {stretch.error}", latest)
            return
        self.found.frames += 1
        header = stretch.header
        stream = self._streams.get(header.stream_id or 0)
        templates = {} if stream is None else stream.templates
        self._payload = self._trailer = b""
        try:
            message = self._codec.decode(bytes(stretch.octets), self, templates, self)
            self._take(message, stream)
        except ProtocolError as error:
            kind = "signature" if isinstance(error, AuthenticationFailed) else "damaged"
            self._fault(kind, str(error), stream)

    def _take(self, message: Message, stream: _Stream | None) -> None:
        type = message.type
        if type is MessageType.STREAM_TEMPLATE and message.stream_id and not int(message.data["template"]):
            self._open(message)
            return
        if stream is None or not message.stream_id:
            self._unsigned += 1
            if self._unsigned == 1:
                self._fault("unsigned", "messages without a stream of version 4: nothing of them is signed", None)
            return
        if type is MessageType.STREAM_ATTESTATION:
            self._check_order(stream, message)
            self._attest(message, stream)
        elif type in DATA_TYPES or type is MessageType.STREAM_TEMPLATE:
            self._add(message, stream)

    def _open(self, message: Message) -> None:
        data = message.data
        proof = StreamProof(data["stream"], int(data["epoch"]))
        if (proof.stream, proof.epoch) in self._begun:
            self._fault("order", f"the epoch {proof.epoch} of {proof.stream!r} begins again", None)
        id = message.stream_id or 0
        if id in self._streams:
            self._close(self._streams.pop(id))
        if len(self._streams) >= MOST_STREAMS:
            self._close(self._streams.popitem(last=False)[1])
        if len(self.found.streams) >= MOST_PROOFS:
            self._fault("unsigned", f"more than {MOST_PROOFS:,} streams and epochs: this one is not verified", None)
            return
        self._begun.add((proof.stream, proof.epoch))
        self._streams[id] = stream = _Stream(proof, id)
        stream.begun = (message.timestamp or 0) / 1e6 or None
        self.found.streams.append(proof)

    def _add(self, message: Message, stream: _Stream) -> None:
        """Take a data message or a template."""
        name, form = stream.proof.stream, int(message.form or 0) & _RECORD
        if message.type is MessageType.STREAM_TEMPLATE:
            template = Template.unpack(self._payload)
            key = stream.id, template.number
            stream.templates[key] = template
            stream.templates.move_to_end(key)
            if len(stream.templates) > KEPT_TEMPLATES:
                stream.templates.popitem(last=False)
            if not message.sequence:
                return  # from an answer: the records that need it name its content
        time = _time_of(message)
        stream.time = stream.time if time is None else time
        self._check_order(stream, message)
        stream.proof.messages += 1
        payload = self._payload
        if form:
            if not payload[3] & RecordOption.BOUND:
                self._fault("changed", "a record does not name the content of its template", stream)
            if payload[2] != RecordFilter.NONE:
                payload = stream.templates[stream.id, template_number(payload)].without_filter(payload)
        if int(message.flags) & _SIGNED:
            self._verify_own(message, payload, form, stream)
            return
        hashed = digest(name, int(message.type), form, payload)
        stream.pending.append(_Pending(hashed, message.sequence or 0, stream.time, self._frame, self._offset))
        if len(stream.pending) > 2 * MAX_DIGESTS:
            self._tell_unattested(stream, [stream.pending.popleft()])

    def _verify_own(self, message: Message, payload: bytes, form: int, stream: _Stream) -> None:
        name = stream.proof.stream
        signed = self._verifier.verify(name, int(message.type), form, payload + self._trailer)
        hashed = digest(name, int(message.type), form, payload)
        if hashed in stream.signed:
            self._fault("order", f"message {message.sequence} is there twice", stream)
        stream.signed[hashed] = None
        if len(stream.signed) > 2 * MAX_DIGESTS:
            stream.signed.popitem(last=False)
        if signed.signature is Signature.VALID:
            stream.proof.signed += 1
            self._note_signer(stream, signed.signer)
            self._note_proven(stream, stream.time)
        else:
            text = f"a {message.type.name} is signed by {signed.signer.hex()}, which is none of the given keys"
            self._fault("signer", text, stream)

    # --- order ---

    def _check_order(self, stream: _Stream, message: Message) -> None:
        """Compare the number of a message with those before it. Only messages with PRIORITY and alerts overtake."""
        number = message.sequence or 0
        if int(message.flags) & _PRIORITY or message.type is MessageType.ANOMALY_ALERT:
            stream.ahead.add(number)
            if len(stream.ahead) > MAX_DIGESTS:
                stream.ahead.remove(min(stream.ahead))
            return
        if stream.numbered_from is None:
            stream.numbered_from = number
            stream.line = number - 1
        if number <= stream.line:
            self._fault("order", f"message {number} stands behind message {stream.line}", stream)
            return
        missing = [
            one for one in range(stream.line + 1, min(number, stream.line + MAX_DIGESTS)) if one not in stream.ahead
        ]
        if missing:
            lacking = number - stream.line - 1 - len([one for one in stream.ahead if stream.line < one < number])
            what = f"message {missing[0]} is" if lacking == 1 else f"{lacking} messages from {missing[0]} on are"
            self._fault("missing", f"{what} missing", stream)
        stream.line = number
        stream.ahead = {one for one in stream.ahead if one > number}

    # --- attestations ---

    def _attest(self, message: Message, stream: _Stream) -> None:
        proof = stream.proof
        attestation = self._verifier.attestation(self._payload, stream=proof.stream, epoch=proof.epoch)
        if attestation.signature is not Signature.VALID:
            text = f"an attestation of {attestation.signer.hex()}, which is none of the given keys"
            self._fault("signer", text, stream)
            self._claim(stream, attestation)
            return
        proof.attestations += 1
        self._note_signer(stream, attestation.signer)
        is_first = self._follow(stream, attestation)
        self._compare(stream, attestation, message.sequence or 0, is_first=is_first)
        proof.is_ended = all(chain.is_last for chain in stream.chains.values())

    def _claim(self, stream: _Stream, attestation: Attestation) -> None:
        """Note which messages an unknown signer names: they are proven only if a known one names them as well."""
        named = frozenset(attestation.digests)
        claimed = [one for one in stream.pending if one.digest in named]
        for one in claimed:
            one.is_claimed = True
        if not _names_of_open(stream):  # nobody known will
            stream.pending = deque(one for one in stream.pending if one.digest not in named)
            self._tell_unattested(stream, claimed)

    def _follow(self, stream: _Stream, attestation: Attestation) -> bool:
        """Compare an attestation with the one before. Returns whether messages before the file may be named in it."""
        chain, number = stream.chains.get(attestation.signer), attestation.number
        stream.chains[attestation.signer] = _Chain(number, attestation.own, attestation.last)
        if chain is None:
            if number == 1 and attestation.previous != _NONE_BEFORE:
                self._fault("attestation", "the first attestation names one before it", stream)
            return stream.proof.attestations <= FIRST_ATTESTATIONS and (number > 1 or stream.numbered_from != 1)
        if number <= chain.number:
            self._fault("attestation", f"attestation {number} stands behind attestation {chain.number}", stream)
        elif chain.is_last:
            self._fault("attestation", f"attestation {number} stands behind the last one of its signer", stream)
        elif number > chain.number + 1:
            lacking = counted(number - chain.number - 1, "attestation")
            self._fault("missing", f"{lacking} missing, with what they attest", stream)
        elif attestation.previous != chain.own:
            self._fault("attestation", f"attestation {number} does not follow the one before", stream)
        return False

    def _taken(self, stream: _Stream, before: int) -> list[_Pending]:
        """Return the messages with lower numbers that wait, in the order of their frames."""
        taken = [one for one in stream.pending if one.number < before]
        stream.pending = deque(one for one in stream.pending if one.number >= before)
        return taken

    def _compare(self, stream: _Stream, attestation: Attestation, before: int, *, is_first: bool) -> None:
        """Compare what an attestation names with the messages since the one before.

        Of several servers with one key, one may publish while another one attests: the next attestation names that.
        """
        waiting = sorted(self._taken(stream, before), key=lambda one: one.number)
        places: dict[bytes, deque[int]] = {}
        for place, one in enumerate(waiting):
            places.setdefault(one.digest, deque()).append(place)
        named: set[int] = set()
        latest = -1
        lacking = 0
        for hashed in attestation.digests:
            found = places.get(hashed)
            if not found:
                lacking += not (is_first and not named)
                self.found.before += is_first and not named
                continue
            place = found.popleft()
            named.add(place)
            one = waiting[place]
            if place < latest:
                self._fault_at(
                    "order", f"message {one.number} was published before message {waiting[latest].number}", stream, one
                )
            latest = max(latest, place)
            stream.proof.attested += 1
            self._note_proven(stream, one.time)
        stream.lacking += lacking
        unnamed = [one for place, one in enumerate(waiting) if place not in named]
        kept: list[_Pending] = []
        claimed: list[_Pending] = []
        for one in unnamed:
            one.passed[attestation.signer] += 1
            if any(
                one.passed[signer] < LATER_ATTESTATIONS and not chain.is_last for signer, chain in stream.chains.items()
            ):
                kept.append(one)
            elif one.is_claimed:
                claimed.append(one)
            else:
                self._tell_changed(stream, one)
        self._tell_unattested(stream, claimed)
        stream.pending.extendleft(reversed(kept))
        self._tell_lacking(stream, len(kept))

    def _tell_changed(self, stream: _Stream, one: _Pending) -> None:
        stream.lacking -= stream.lacking > 0
        text = f"message {one.number} is not what was published: no attestation names it"
        self._fault_at("changed", text, stream, one)

    def _tell_lacking(self, stream: _Stream, waiting: int) -> None:
        """Report messages that were named and are missing, except for as many as wait: those may be changed ones."""
        if stream.lacking > waiting:
            more = counted(stream.lacking - waiting, "message")
            self._fault("missing", f"{more} missing that the attestation names", stream)
            stream.lacking = waiting

    def _tell_unattested(self, stream: _Stream, waiting: list[_Pending]) -> None:
        if waiting:
            first = waiting[0]
            self._fault_at("unsigned", f"{counted(len(waiting), 'message')} not attested, from here on", stream, first)

    def _note_signer(self, stream: _Stream, signer: bytes) -> None:
        if signer.hex() not in stream.proof.signers:
            stream.proof.signers.append(signer.hex())

    @staticmethod
    def _note_proven(stream: _Stream, time: float | None) -> None:
        if time is not None:
            proof = stream.proof
            proof.begins = time if proof.begins is None else min(proof.begins, time)
            proof.ends = time if proof.ends is None else max(proof.ends, time)

    # --- the end ---

    def finish(self) -> None:
        """Judge what is left at the end of the file."""
        for stream in self._streams.values():
            self._close(stream)
        if not self.found.streams and not self._unsigned:
            self._fault("unsigned", "the file has no signed stream", None)

    def _close(self, stream: _Stream) -> None:
        proof = stream.proof
        passed = [one for one in stream.pending if one.passed]
        stream.pending = deque(one for one in stream.pending if not one.passed)
        for one in passed:
            if not one.is_claimed:
                self._tell_changed(stream, one)
        self._tell_unattested(stream, [one for one in passed if one.is_claimed])
        self._tell_lacking(stream, 0)
        if proof.messages and not (proof.attestations or proof.signed):
            self._tell_unattested(stream, list(stream.pending))
            return
        if not proof.is_ended and proof.attestations:
            waiting = counted(len(stream.pending), "message")
            of = "" if len(stream.chains) == 1 else f" of {', '.join(_names_of_open(stream))}"
            text = f"no last attestation{of}: the end is open, and {waiting} behind the latest one not proven"
            self._fault("cut", text, stream)
        elif stream.pending:
            self._tell_unattested(stream, list(stream.pending))

    # --- faults ---

    def _fault(self, kind: str, text: str, stream: _Stream | None) -> None:
        name = None if stream is None else stream.proof.stream
        time = None if stream is None else stream.begun if stream.time is None else stream.time
        self.found.note(Fault(kind, text, name, time, self._frame, self._offset))

    def _fault_at(self, kind: str, text: str, stream: _Stream, one: _Pending) -> None:
        time = stream.begun if one.time is None else one.time
        self.found.note(Fault(kind, text, stream.proof.stream, time, one.frame, one.offset))

    # --- what the codec calls ---

    def admit(self, header: Header, room: int) -> int:
        """Admit every frame."""
        return room

    def weigh(self, flat: FlatBuffer, start: int, stop: int) -> None:
        """Keep the payload."""
        self._payload = bytes(flat.view(start, stop))

    def weigh_record(self, template: RecordTemplate, count: int, payload: memoryview) -> None:
        """Keep the payload."""
        self._payload = bytes(payload)

    def open(self, header: Header, payload: memoryview) -> bytes:
        """Refuse to open."""
        raise AuthenticationFailed("the frame is sealed: recordings are verified as they were opened")

    def cut(self, header: Header, payload: memoryview) -> memoryview:
        """Cut off a signature, which is verified afterwards."""
        body = without_trailer(payload)
        self._trailer = bytes(payload[body.nbytes :])
        return body

    def check(self, header: Header, data: Any) -> None:
        """Nothing was opened."""


def _names_of_open(stream: _Stream) -> list[str]:
    """The names of the signers that have not made their last attestation."""
    return [signer.hex() for signer, chain in stream.chains.items() if not chain.is_last]


def _time_of(message: Message) -> float | None:
    time = unix_seconds(message.data.get("timestamp")) if isinstance(message.data, dict) else None
    return time if time is not None and isfinite(time) else None
