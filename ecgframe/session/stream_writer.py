"""What a client publishes on a stream that it opens: epoch, numbers and templates, and what may have to be sent again.

The owner opens the stream over each connection, and the answer says which message the server expects next. From
there, ``take`` gives the frames to send, in order. A message that the server lacks and that is no longer in memory is
lost; the server counts it, as only it knows which urgent messages it has. Section "Publishing with numbers" of the
specification.
"""

from __future__ import annotations

import secrets
from collections import Counter, OrderedDict, deque
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .._core import build_frame
from ..codec import EncodedFrame
from ..errors import ProtocolError
from ..protocol import (
    LARGEST_SEQUENCE,
    MAX_DIGESTS,
    SEAL_OVERHEAD,
    TEMPLATES_IN_FORCE,
    TRAILER_SIZE,
    Flag,
    Form,
    MessageType,
)
from ..seal import Sealer
from ..signing import Attester
from ..signing.digests import SIGNED_TYPES
from .outgoing import Encoding, Outgoing, StreamPosition, Tier, encode_frame, encode_outgoing, encoding_for
from .record_writer import Counts, RecordWriter
from .sealed_content import sealed_content

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..messages.templates import Template
    from ..seal import Keyring
    from ..signing import SigningKey
    from .outgoing import PreparedOutgoing
    from .settings import Settings

MEMORY_FRAMES: Final = 4096
"""Default number of messages that a writer keeps, to send them again."""

MEMORY_BYTES: Final = 8 * 1024 * 1024
"""Default number of bytes of these."""

_PLAIN: Final[Encoding] = encoding_for(4, frozenset())
"""The encoding of templates and openings, which are small: every peer of version 4 reads it."""


def sealed_encoding(encoding: Encoding) -> Encoding:
    """The encoding with constant sizes: neither deflated nor in list form."""
    return encoding._replace(compressed=False, binary=True, delta=False)


class Kept(NamedTuple):
    """A message in memory.

    Attributes:
        number: its number in the stream.
        outgoing: its frame.
        template: of a record: the number, as a message of the stream, of its template.
    """

    number: int
    outgoing: Outgoing
    template: int | None


class StreamWriter:
    """What a client publishes on a stream that it opens.

    Args:
        stream: name of the stream.
        id: of the stream in the headers of the frames, the same over all connections.
        settings: those of the client.
        frames: most messages in memory.
        nbytes: most bytes of these. The latest message is kept in any case.
        keyring: keys with which the messages are sealed; None to seal none.
        bulk: whether the messages may wait behind others, except urgent ones.
        signer: signs alerts and predictions, and attests all else; None to sign nothing. Only sealed streams are
            signed: a server packs the others again.
        epoch: of the numbers; a random one if it is left out.

    Attributes:
        stream: as passed.
        id: as passed.
        epoch: of the numbers.
        next: the number of the next message that is written.
        confirmed: the server has, or will never get, every message before this number.
        lost: messages that the server was not sent, as it has reported: they were not in memory any more, or were
            refused.
        skipped: numbers of messages that were not in memory any more when it was their turn, since ``take`` began
            to count; the owner asks the server then.
        is_open: whether the server has opened the stream over the present connection.
    """

    def __init__(
        self,
        stream: str,
        id: int,
        settings: Settings,
        *,
        frames: int = MEMORY_FRAMES,
        nbytes: int = MEMORY_BYTES,
        keyring: Keyring | None = None,
        bulk: bool = False,
        signer: SigningKey | None = None,
        epoch: int | None = None,
    ) -> None:
        if signer is not None and keyring is None:
            raise ValueError("only a stream that is sealed end to end can be signed by its publisher: it needs keys")
        self.stream = stream
        self.id = id
        self.epoch = 1 + secrets.randbelow(LARGEST_SEQUENCE) if epoch is None else epoch
        self.next = 1
        self.confirmed = 1
        self.lost = 0
        self.skipped = range(0)
        self._lost_here = 0  # as the server has reported; less if it has forgotten the epoch
        self._lost_before = 0
        self.is_open = False
        self._settings = settings
        self._most_frames = frames
        self._most_nbytes = nbytes
        self._records = RecordWriter(stream)
        self._keyring = keyring
        self._form = int(Form.BULK) if bulk else 0
        self._sealer: Sealer | None = None
        self._signer = signer
        self._attester = None if signer is None else Attester(signer, stream, self.epoch)
        self._memory: deque[Kept] = deque()  # numbers without a gap, up to the one before ``next``
        self._nbytes = 0
        self._templates: OrderedDict[int, Outgoing] = OrderedDict()  # by their numbers as messages of the stream
        self._numbers: dict[int, int] = {}  # by the number of a template, that of its message
        self._uses: Counter[int] = Counter()  # of templates, by the records in memory
        self._to_send = 1  # what is before this number was sent over the present connection, or is lost
        self._ahead: set[int] = set()  # urgent messages from there on that were sent
        self._urgent: deque[int] = deque()  # those that were not
        self._sent_templates: set[int] = set()  # templates that were sent over the present connection

    # --- writing ---

    @property
    def unsent(self) -> int:
        """Number of messages that wait to be sent over the present connection, or over the next."""
        return self.next - self._to_send - len(self._ahead)

    @property
    def is_tight(self) -> bool:
        """True if the next messages may push one out of memory that was never sent over the present connection."""
        if not self.unsent or self._to_send > self._oldest:
            return False
        return len(self._memory) + 2 > self._most_frames or 2 * self._nbytes > self._most_nbytes

    @property
    def kept(self) -> int:
        """Number of messages in memory."""
        return len(self._memory)

    @property
    def nbytes(self) -> int:
        """Bytes of the messages in memory."""
        return self._nbytes

    def opening(self, timestamp: int) -> Outgoing:
        """Return the frame that opens the stream, or asks how far the server has got. The server answers it."""
        fields: dict[str, Any] = {"template": 0, "stream": self.stream, "epoch": self.epoch}
        if self.is_open and self._to_send >= self._oldest > 1:
            fields["first"] = self._oldest
        return encode_outgoing(
            _PLAIN._replace(flags=int(Flag.ACK_REQUIRED)),
            MessageType.STREAM_TEMPLATE,
            fields,
            timestamp=timestamp,
            settings=self._settings,
            flags=Flag.ACK_REQUIRED,
            stream=self.stream,
            position=StreamPosition(self.id, 0),
        )

    def write(
        self,
        encoding: Encoding,
        type: MessageType,
        data: Any,
        *,
        wall_clock_us: Callable[[], int],
        now: float,
        flags: Flag | int = 0,
        counts: Counts | None = None,
        max_payload: int | None = None,
    ) -> Outgoing:
        """Give a message its number, and keep it to be sent. A new template gets the number before it.

        Args:
            encoding: what the server reads.
            type: of the message.
            data: its payload.
            wall_clock_us: returns microseconds since 1970, always more than the time before.
            now: in seconds of a monotonic clock.
            flags: PRIORITY and ACK_REQUIRED.
            counts: of an ECG_DATA whose samples travel as counts.
            max_payload: largest payload that the server takes; by default that of the settings.

        Returns:
            Its frame.

        Raises:
            TypeError, OverflowError, ValueError, ProtocolError: as ``Codec.encode``; then nothing has changed. Of a
                sealed stream, ValueError as well if it has no ``timestamp``, or no key is valid now.
        """
        limit = self._settings.max_payload if max_payload is None else max_payload
        if self._attester is not None:
            limit -= TRAILER_SIZE
            if self._attester.waiting > MAX_DIGESTS - 2:  # the message, and a template before it
                self.attest(wall_clock_us())
        if self.is_sealed:
            self._renew_sealer()
            data = sealed_content(
                self.stream, type, {"stream": self.stream, **data} if isinstance(data, dict) else data
            )
            encoding, limit = sealed_encoding(encoding), limit - SEAL_OVERHEAD
        template: int | None = None
        if encoding.record and type is MessageType.ECG_DATA and not int(flags) & Flag.PRIORITY:
            record, new = self._records.record_of(data, now, counts=counts, max_payload=limit)
            if new is not None and not self._add_template(new, wall_clock_us(), now):
                record = None
            if record is not None:
                template, data = self._numbers[record.template.number], record.payload
                if not encoding.delta:
                    data = record.template.without_filter(data)
        timestamp = wall_clock_us()
        encoded = encode_frame(
            encoding,
            type,
            data,
            timestamp=timestamp,
            settings=self._settings,
            flags=flags,
            max_payload=limit,
            position=self._position(type, flags, 0 if template is None else int(Form.RECORD)),
        )
        outgoing = self._outgoing_of(encoded, int(flags), timestamp)
        self._keep(outgoing, template)
        return outgoing

    def _position(self, type: MessageType, flags: Flag | int, form: int = 0) -> StreamPosition:
        """The position of the next message."""
        return StreamPosition(self.id, self.next, form | self.class_of(type, flags))

    def class_of(self, type: MessageType, flags: Flag | int) -> int:
        """Return BULK for the form of a message that may wait behind others, else 0. Urgent ones never do."""
        is_urgent = type is MessageType.ANOMALY_ALERT or int(flags) & Flag.PRIORITY
        return 0 if is_urgent else self._form

    @property
    def is_sealed(self) -> bool:
        """True if the messages are sealed."""
        return self._keyring is not None

    def _renew_sealer(self) -> None:
        """Seal with the present key. With another one, templates are made anew: viewers to come may not have the old.

        Raises:
            ValueError: no key is valid now.
        """
        assert self._keyring is not None
        key = self._keyring.current(self.stream)
        if key is None:
            raise ValueError(f"there is no key of the stream {self.stream!r} any more, which is to be sealed")
        if self._sealer is None or self._sealer.key != key:
            latest = self._records.latest
            self._records = RecordWriter(self.stream)
            self._records.latest = latest
            self._records.binds, self._records.filters = True, False
            self._sealer = Sealer(key)

    def attest(self, timestamp: int, *, last: bool = False) -> bool:
        """Write an attestation of the messages since the one before, if there are any.

        Args:
            timestamp: in microseconds since 1970.
            last: whether nothing more is written.

        Returns:
            True if one was written.

        Raises:
            ValueError: no key is valid now.
        """
        if self._attester is None:
            return False
        self._renew_sealer()
        payload = self._attester.attest(last=last)
        if payload is None:
            return False
        type = MessageType.STREAM_ATTESTATION
        place = self._form, self.id, self.next
        frame = build_frame(4, int(type), 0, timestamp, payload, *place)
        encoded = EncodedFrame(frame, 4, type, 0, timestamp, len(payload), len(payload), *place)
        self._keep(self._outgoing_of(encoded, 0, timestamp), None)
        return True

    def _signed(self, encoded: EncodedFrame) -> EncodedFrame:
        """Return a message with its signature, or note it for the next attestation."""
        assert self._attester is not None
        assert self._signer is not None
        payload, form = encoded.frame[len(encoded.frame) - encoded.nbytes :], int(encoded.form or 0)
        if encoded.type in SIGNED_TYPES:
            return encoded.signed(self._signer.trailer(self.stream, int(encoded.type), form, payload))
        if encoded.type is not MessageType.STREAM_ATTESTATION:
            self._attester.add(int(encoded.type), form, payload)
        return encoded

    def _outgoing_of(self, encoded: EncodedFrame, flags: int, timestamp: int) -> Outgoing:
        if self._attester is not None:
            encoded = self._signed(encoded)
        if self.is_sealed:
            assert self._sealer is not None
            encoded = encoded.sealed(self._sealer)
        return Outgoing(encoded, flags, timestamp, self.stream)

    def write_prepared(self, prepared: PreparedOutgoing, timestamp: int) -> Outgoing:
        """Do the same with a message that was encoded in a thread, which is no record; its form has ``class_of``."""
        encoded = prepared.finish_frame(timestamp, StreamPosition(self.id, self.next))
        outgoing = self._outgoing_of(encoded, prepared.flags, timestamp)
        self._keep(outgoing, None)
        return outgoing

    def _add_template(self, template: Template, timestamp: int, now: float) -> bool:
        """Give a new template the next number, and write records with it. Returns False if it cannot be sent."""
        try:
            encoded = encode_frame(
                _PLAIN,
                MessageType.STREAM_TEMPLATE,
                template.fields_on_the_wire(),
                timestamp=timestamp,
                settings=self._settings,
                position=self._position(MessageType.STREAM_TEMPLATE, 0),
            )
            outgoing = self._outgoing_of(encoded, 0, timestamp)
        except (ProtocolError, TypeError, ValueError, OverflowError):
            return False
        self._records.latest = template.number
        self._records.write_with(template, now)
        self._templates[self.next] = outgoing
        self._numbers[template.number] = self.next
        self._keep(outgoing, None)
        return True

    def _keep(self, outgoing: Outgoing, template: int | None) -> None:
        if outgoing.tier is Tier.URGENT:
            self._urgent.append(self.next)
        self._memory.append(Kept(self.next, outgoing, template))
        self._nbytes += outgoing.nbytes
        self.next += 1
        if template is not None:
            self._uses[template] += 1
        while len(self._memory) > max(1, self._most_frames) or (
            self._nbytes > self._most_nbytes and len(self._memory) > 1
        ):
            self._drop_oldest()
        self._forget_templates()

    def _drop_oldest(self) -> None:
        oldest = self._memory.popleft()
        self._nbytes -= oldest.outgoing.nbytes
        if oldest.template is not None:
            self._uses[oldest.template] -= 1
            if not self._uses[oldest.template]:
                del self._uses[oldest.template]
        if self._urgent and self._urgent[0] == oldest.number:
            self._urgent.popleft()

    def _forget_templates(self) -> None:
        """Keep the templates that are written with, and those of records in memory."""
        for number in list(islice(self._templates, max(0, len(self._templates) - TEMPLATES_IN_FORCE))):
            if number not in self._uses:
                del self._templates[number]
                self._sent_templates.discard(number)
        if len(self._numbers) > len(self._templates):
            self._numbers = {one: number for one, number in self._numbers.items() if number in self._templates}

    # --- sending ---

    def disconnected(self) -> None:
        """Note that the connection is lost."""
        self.is_open = False

    def opened(self, next: int, lost: int) -> None:
        """Note that the server has opened the stream over a new connection.

        Args:
            next: the number that it expects next.
            lost: messages of the epoch that it passed over.
        """
        self.is_open = True
        self._note_lost(lost)
        self.confirmed = self._to_send = min(next, self.next)
        self._ahead.clear()
        self._sent_templates.clear()
        self._urgent = deque(
            each.number for each in self._memory if each.outgoing.tier is Tier.URGENT and each.number >= self._to_send
        )

    def confirm(self, next: int, lost: int) -> None:
        """Note how far the server has got over this connection. Arguments are those of ``opened``."""
        self.confirmed = max(self.confirmed, min(next, self.next))
        self._note_lost(lost)

    def _note_lost(self, lost: int) -> None:
        if lost < self._lost_here:  # it has forgotten what it had
            self._lost_before = self.lost
        self._lost_here = lost
        self.lost = self._lost_before + lost

    def take(self, *, urgent_only: bool = False) -> list[Outgoing]:
        """Return the frames of the next message to send: urgent messages first, a template before its first record.

        Args:
            urgent_only: whether to return urgent messages only.

        Returns:
            An empty list if none waits, or the stream is not open.
        """
        if not self.is_open:
            return []
        if self._urgent:
            number = self._urgent.popleft()
            self._ahead.add(number)
            return [self._memory[number - self._oldest].outgoing]
        return [] if urgent_only else list(self._take_in_line())

    def _take_in_line(self) -> Iterator[Outgoing]:
        if self._to_send < self._oldest:
            yield from self._skip_lost()
        while self._to_send in self._ahead:
            self._ahead.remove(self._to_send)
            self._to_send += 1
        if self._to_send == self.next:
            return
        kept = self._memory[self._to_send - self._oldest]
        self._to_send += 1
        if kept.template is not None and kept.template not in self._sent_templates:
            self._sent_templates.add(kept.template)
            yield self._templates[kept.template]
        if kept.number in self._templates:
            self._sent_templates.add(kept.number)
        yield kept.outgoing

    @property
    def _oldest(self) -> int:
        """Number of the oldest message in memory."""
        return self.next - len(self._memory)

    def _skip_lost(self) -> Iterator[Outgoing]:
        """Go on to the oldest message in memory. Templates before it that are kept are sent in their place."""
        templates = [number for number in self._templates if self._to_send <= number < self._oldest]
        self.skipped = range(self._to_send, self._oldest)
        self._to_send = self._oldest
        self._ahead = {number for number in self._ahead if number >= self._oldest}
        for number in templates:
            self._sent_templates.add(number)
            yield self._templates[number]
