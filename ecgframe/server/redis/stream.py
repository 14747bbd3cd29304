"""One stream in Redis that a server follows: how far it was read, and what was delivered."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from ...codec import Codec, EncodedFrame
from ...errors import ProtocolError
from ...messages.templates import Template, template_number
from ...protocol import (
    HEADER_SIZES,
    LARGEST_LENGTH,
    LARGEST_SEQUENCE,
    TEMPLATES_IN_FORCE,
    TEMPLATES_KEPT,
    VERSIONS,
    Flag,
    Form,
    MessageType,
)
from ...session.record_writer import Record
from ..backplane import Deliver, PublishedBy, SharedNumber
from ..envelope import EnvelopeOpener, Unopened
from ..logs import logger
from ..opening import Opening, order_of
from ..publisher import Publisher, Verdict
from .continuity import Continuity
from .epochs import Epochs
from .outbox import Message
from .positions import NOTHING, Known, Position, Standing
from .proofs import Proofs
from .script import LATEST

NOT_OPENED: Final = Standing(NOTHING)

REMEMBERED_ORIGINS: Final = 64
"""Most servers whose last message number is remembered for each stream."""

READY_TEMPLATES: Final = 4
"""Templates of a stream that are kept unpacked."""

_codec: Final = Codec(max_payload=LARGEST_LENGTH, versions=VERSIONS, ndarray="binary")
_RECORD: Final = int(Form.RECORD)
_COMPRESSED: Final = int(Flag.COMPRESSED)
_ENCRYPTED: Final = int(Flag.ENCRYPTED)
_OF_EPOCHS: Final = frozenset({MessageType.STREAM_TEMPLATE, MessageType.STREAM_ATTESTATION})


class ForeignEntry(ValueError):
    """An entry that no backplane has written."""


class Entry(NamedTuple):
    """One message in Redis.

    Attributes:
        origin: id of the server that published it.
        number: number of the message on that server.
        time: timestamp, in microseconds since 1970.
        frame: the canonical frame, or a record or a template.
        position: its number in the stream, 0 if it was published beside the numbers of a publisher; None if a server of
            an earlier release has written it.
        token: of the opening, if the number is that of a publisher.
        is_bulk: whether its epoch is of the class BULK.
        proof: that a server with a certain signing key has published it; empty if there is none.
    """

    origin: bytes
    number: int
    time: int
    frame: bytes
    position: Position | None = None
    token: str = ""
    is_bulk: bool = False
    proof: bytes = b""

    @property
    def is_beside(self) -> bool:
        """True if it has no number, because the numbers of the stream are those of a publisher."""
        return self.position is not None and self.position.number == 0


ReadEntry = tuple[bytes, Entry | ForeignEntry]
"""An id, and the entry, or why it is none."""


def read_entry(entry_id: bytes, fields: Mapping[bytes, bytes]) -> Entry:
    """Parse an entry; its frame is not checked here.

    Raises:
        ForeignEntry: no backplane has written the entry.
    """
    try:
        epoch, is_numbered, place = fields.get(b"p", b"").partition(b"-")
        position = Position(int(epoch), int(place)) if is_numbered else None
        time = int(entry_id.partition(b"-")[0])
        token, is_bulk = fields.get(b"w", b"").decode("ascii"), fields.get(b"c") == b"1"
        proof = fields.get(b"m", b"")
        entry = Entry(fields[b"o"], int(fields[b"n"]), time, fields[b"f"], position, token, is_bulk, proof)
    except KeyError as missing:
        raise ForeignEntry(f"it has no field {missing}") from None
    except ValueError:
        raise ForeignEntry("its number or id is not a number") from None
    if entry.token and (entry.position is None or not 0 < entry.position.number < LARGEST_SEQUENCE):
        raise ForeignEntry("its publisher has given it no number")
    if entry.time > LATEST:
        raise ForeignEntry(f"its timestamp {entry.time} is after the year 2255")
    return entry


def read_entries(entries: Iterable[tuple[bytes, Mapping[bytes, bytes]]]) -> list[ReadEntry]:
    """Parse entries, each with its id; what no backplane has written is an error in its place."""
    found: list[ReadEntry] = []
    for entry_id, fields in entries:
        try:
            found.append((entry_id, read_entry(entry_id, fields)))
        except ForeignEntry as error:
            found.append((entry_id, error))
    return found


def check_frame(frame: bytes) -> EncodedFrame:
    """Check that the bytes are a complete V3 or V4 frame, and return the frame with the fields of its header.

    Raises:
        ForeignEntry: they are not; the text of the error does not quote them.
    """
    try:
        encoded = _codec.verify(frame)
    except ProtocolError as error:
        raise ForeignEntry(f"its frame is invalid: {error}") from None
    if encoded.version < 3:
        raise ForeignEntry(f"its frame is of V{encoded.version}, not V3 or V4")
    return encoded


class Templates:
    """The templates of a stream in Redis, by which its records are read.

    The latest ``TEMPLATES_KEPT`` are kept packed, and those that were used last unpacked. Of those that their publisher
    has sealed, the frames of the latest are kept.
    """

    def __init__(self) -> None:
        self._packed: OrderedDict[tuple[int, int], tuple[int, bytes]] = OrderedDict()
        self._ready: OrderedDict[tuple[int, int], Template] = OrderedDict()
        self._sealed: dict[Position, EncodedFrame] = {}

    def __contains__(self, key: object) -> bool:
        return key in self._packed

    def add(self, position: Position, template: Template) -> None:
        """Keep a template, which has a number in the stream."""
        key = position.epoch, template.number
        self._packed[key] = position.number, template.payload
        self._packed.move_to_end(key)
        self._make_ready(key, template)
        if len(self._packed) > TEMPLATES_KEPT:
            oldest, _ = self._packed.popitem(last=False)
            self._ready.pop(oldest, None)

    def add_sealed(self, position: Position, frame: EncodedFrame) -> None:
        """Keep the frame of a template that its publisher has sealed."""
        self._sealed[position] = frame
        if len(self._sealed) > TEMPLATES_IN_FORCE:
            del self._sealed[next(iter(self._sealed))]

    def get(self, epoch: int, number: int) -> Template:
        """Return a template.

        Raises:
            ForeignEntry: it is not known.
        """
        key = epoch, number
        template = self._ready.get(key)
        if template is None:
            if key not in self._packed:
                raise ForeignEntry(f"its template {number} is not in Redis")
            template = Template.unpack(self._packed[key][1])
        self._make_ready(key, template)
        return template

    def of(self, epoch: int) -> list[tuple[int, Template | EncodedFrame]]:
        """Return the latest templates of an epoch, each with its number in the stream, in that order."""
        found: dict[int, bytes | EncodedFrame] = dict(kept for key, kept in self._packed.items() if key[0] == epoch)
        found |= {position.number: frame for position, frame in self._sealed.items() if position.epoch == epoch}
        latest = [(number, found[number]) for number in sorted(found)[-TEMPLATES_IN_FORCE:]]
        return [(number, Template.unpack(one) if isinstance(one, bytes) else one) for number, one in latest]

    def _make_ready(self, key: tuple[int, int], template: Template) -> None:
        self._ready[key] = template
        self._ready.move_to_end(key)
        if len(self._ready) > READY_TEMPLATES:
            self._ready.popitem(last=False)


class FollowedStream:
    """One followed stream: delivers its messages in one order, each once.

    Args:
        name: name of the stream.
        key: key of the stream in Redis.
        since: in microseconds since 1970; later messages are delivered.
        numbers_key: key of its epoch and numbers in Redis.
        origin: id of this server.
        deliver: takes the messages.
        is_numbered: whether ``deliver`` takes their numbers.
        opener: opens the messages of a stream that servers seal; None if this server seals none.
        note_epoch: called with the stream's name and the epoch when its messages are numbered in another one than
            before; None if they are delivered without numbers.
        proofs: tells who has published a message; None if this server signs nothing.
        note_missing: called with the stream's name and the number of messages that this server will never get.

    Attributes:
        since: as passed, but by Redis' clock.
        position: id of the last entry read.
        reach: the timestamp after which no message is missing; None until Redis was asked.
        behind: whether Redis may have entries that were not read.
        readable: False if the key holds something other than a stream.
        settled: set if there is nothing to wait for: all entries were read, or Redis is unreachable.
        pending: messages of this server that are delivered when they are read from Redis, by number.
        problem_logged: whether a problem with the entries of this stream was logged.
        leaving: whether the stream is followed only until ``pending`` is empty.
        epochs: by which numbers the messages are delivered; None if by none.
        templates: by which its records are read.
        continuity: whether each message was read.
        opening: of the publisher whose messages are delivered; None if servers number them.
        own_lost: by the number of a message of this server, the messages of this server before it that were never
            written. They have numbers, and were delivered here.
        own_read: number of the latest message of this server that was read from Redis.
        is_bulk: the class of the present epoch, as Redis has said; None if it is not decided.
    """

    def __init__(
        self,
        name: str,
        key: bytes,
        since: int,
        *,
        origin: bytes,
        deliver: Deliver,
        numbers_key: bytes = b"",
        is_numbered: bool = False,
        opener: EnvelopeOpener | None = None,
        note_epoch: Callable[[str, int | None], None] = lambda stream, epoch: None,
        proofs: Proofs | None = None,
        note_missing: Callable[[str, int], None] = lambda stream, count: None,
    ) -> None:
        self.name = name
        self.key = key
        self.numbers_key = numbers_key
        self.since = since
        self.position: bytes = b"%d-0" % since
        self.reach: int | None = None
        self.behind = True
        self.readable = True
        self.settled = asyncio.Event()
        self.pending: dict[int, Message] = {}
        self.problem_logged = False
        self.leaving = False
        self.epochs = Epochs(lambda epoch: note_epoch(name, epoch)) if is_numbered else None
        self.templates = Templates()
        self.continuity = Continuity()
        self.opening: Opening | None = None
        self.own_lost: dict[int, int] = {}
        self.own_read = 0
        self.is_bulk: bool | None = None
        self._note_missing = note_missing
        self._missing = 0  # reported with the next message
        self._counted: Position | None = None  # that of the last message that was read, by the numbers of servers
        self._known_opening = NOT_OPENED
        self._expected = Position(0, 0)
        self._origin = origin
        self._opener = opener
        self._proofs = proofs
        self._deliver = deliver
        self._last = since
        self._earliest: int | None = None
        self._numbers: dict[bytes, int] = {}

    @property
    def next_time(self) -> int:
        """The earliest timestamp that the next message can have."""
        return self._last + 1

    def shift(self, microseconds: int) -> None:
        """Correct ``since`` to a clock that is that much ahead. Call this before anything is read."""
        self.since = max(0, self.since + microseconds)
        self.position = b"%d-0" % self.since
        if self._earliest is None:  # nothing was delivered
            self._last = self.since

    def has_read(self, entry_id: bytes) -> bool:
        """Return whether all entries up to that id were read."""
        return _numbers_of(self.position) >= _numbers_of(entry_id)

    def catch_up(self, *, restarted: bool) -> None:
        """Read the stream after Redis was unreachable.

        Args:
            restarted: whether Redis was restarted or replaced. Then the stream is read again from ``since``, because
                entries with old ids may be new; messages that were delivered are recognized by their numbers.
        """
        if restarted:
            self.position = b"%d-0" % self.since
            self.continuity.end()  # what other servers had written may be gone
        self.behind = True
        self.readable = True
        self.settled.clear()

    def caught_up(self) -> None:
        """Note that all entries were read."""
        self.behind = False
        self._earliest = 0
        self.settled.set()

    def tell(self, standing: Standing) -> None:
        """Note what Redis says of the numbers."""
        if self.epochs is not None:
            self.epochs.tell(standing.position)
        self._known_opening = standing
        self.is_bulk = standing.is_bulk

    @property
    def known(self) -> Known:
        """What this server knows of the numbers."""
        if self.epochs is None:
            return Known()
        opening = self.opening
        if opening is None or opening.epoch not in {self.epochs.epoch, self.epochs.seen}:
            return Known(self.epochs.known)
        return Known(Position(opening.epoch, opening.publisher.line), opening.token, opening.pack())

    def take_up(self) -> Position | None:
        """Deliver in the present epoch from now on, as far as it was read. Call this once all entries were read.

        Returns:
            The epoch and the number of its last message; None if messages are delivered without numbers.
        """
        if self.epochs is None:
            return None
        told = self._known_opening
        present = self.opening
        is_later = present is None or (present.epoch != told.position.epoch and order_of(told.token) > present.order)
        if told.token and is_later:
            self.opening = self._opening_of(told)
        elif told.token and present is not None and present.epoch == told.position.epoch:
            present.publisher.give_up_before(self._opening_of(told).publisher.line + 1)  # all that Redis has was read
        before = self.epochs.epoch
        position = self.epochs.take_up()
        if position is not None and position.epoch != before:
            self.continuity.begin(position)
        if position is None or self.opening is None:
            return position
        if self.opening.epoch != position.epoch:
            self.opening = None
            return position
        return Position(position.epoch, self.opening.publisher.line)

    def _opening_of(self, told: Standing) -> Opening:
        try:
            return Opening.unpack(told.position.epoch, told.token, told.state)
        except ValueError as error:
            logger.error("stream %r: %s", self.name, error)
            return Opening(told.token, Publisher(told.position.epoch, None))

    def crosses(self, entries: Sequence[ReadEntry]) -> bool:
        """Return whether to ask Redis for the last entry that was read, before others are received."""
        if not entries:
            return False
        _, first = entries[0]
        if isinstance(first, ForeignEntry):
            self.continuity.end()
            return False
        return first.position is not None and self.continuity.crosses(first.position)

    def lacks(self, entries: Sequence[ReadEntry]) -> tuple[bool, list[int]]:
        """Tell what has to be asked of Redis before entries are received.

        Returns:
            True if an epoch in them is not known; and the epochs whose templates are to be asked for: some may have
            been published in entries that are not there any more.
        """
        is_strange = False
        epochs: dict[int, None] = {}
        in_these: set[tuple[int, int]] = set()
        for _, entry in entries:
            if isinstance(entry, ForeignEntry) or entry.position is None or entry.is_beside:
                continue
            epoch, number = entry.position
            if self.epochs is not None:
                is_strange = is_strange or self.epochs.is_strange(entry.position)
                if entry.position != self._expected:
                    epochs[epoch] = None
                self._expected = Position(epoch, number + 1)
            kind, template = _template_in(entry.frame)
            if kind is MessageType.STREAM_TEMPLATE:
                in_these.add((epoch, template))
            elif kind is not None and (epoch, template) not in self.templates and (epoch, template) not in in_these:
                epochs[epoch] = None
        return is_strange, list(epochs)

    def receive(self, entry_id: bytes, entry: Entry | ForeignEntry) -> Entry:
        """Deliver the message of an entry, unless it was delivered before.

        Raises:
            ForeignEntry: no backplane has written the entry.
        """
        self.position = entry_id
        if isinstance(entry, ForeignEntry):
            raise entry
        is_own = entry.origin == self._origin
        if is_own and self.epochs is not None:
            self.epochs.own_was_read(entry.number)
        own_lost = 0
        if is_own:
            self.own_read = max(self.own_read, entry.number)
            own_lost = self.own_lost.pop(entry.number, 0)
        if self.epochs is None:
            self._count_missing(entry, own_lost)
        was_delivered = entry.number <= self._numbers.get(entry.origin, 0)
        if not was_delivered and entry.time < (self._earliest or 0):
            self.continuity.end()
        by_number = self.epochs is not None and self.epochs.epoch is not None
        self.continuity.note(None if entry.token or entry.is_beside else entry.position, by_number=by_number)
        if was_delivered or entry.time < (self._earliest or 0):
            if self.epochs is not None and not entry.token and not entry.is_beside:
                self.epochs.skip(entry.position)
            return entry
        if is_own and entry.number in self.pending:
            self._deliver_awaited(entry)
            return entry
        try:
            self._hand_over(entry)
        except ForeignEntry:
            self.continuity.end()
            if self.epochs is None and entry.position is not None:
                self._miss(1)
            raise
        return entry

    def _deliver_awaited(self, entry: Entry) -> None:
        """Deliver a message that this server has published, and that was to be read from Redis."""
        self.deliver_pending(before=entry.number, will_be_read=False)  # Redis has dropped these
        message = self.pending.pop(entry.number)
        try:
            message.time = self._hand_over(entry, message)
        except ForeignEntry as error:
            self.continuity.end()
            if not message.delivery.done():
                message.delivery.set_exception(ValueError(f"the message cannot be read from Redis: {error}"))
            raise
        if not message.delivery.done():
            message.delivery.set_result(message.time)

    def _count_missing(self, entry: Entry, own_lost: int) -> None:
        """Count the messages before an entry that were never written, or dropped before they were read.

        This is for servers that deliver messages without their numbers; the others see it by these.
        """
        position, last = entry.position, self._counted
        if position is None or entry.token:
            self._counted = None
        elif not entry.is_beside and (last is None or position.epoch != last.epoch or position.number > last.number):
            self._counted = position
            if last is not None and position.epoch == last.epoch:
                self._miss(position.number - last.number - 1 - own_lost)

    def _miss(self, count: int) -> None:
        """Note that this server will never get so many messages before the next one."""
        if count > 0:
            self._missing += count
            self._note_missing(self.name, count)

    def add_templates(self, epoch: int, frames: Iterable[tuple[int, bytes]]) -> None:
        """Keep templates of an epoch that were published before the messages that are read, each with its number."""
        for number, frame in frames:
            with suppress(ForeignEntry):  # its records will be refused
                encoded = self._plain(check_frame(frame), again=True)
                if encoded.flags & _ENCRYPTED:
                    self.templates.add_sealed(Position(epoch, number), encoded)
                else:
                    self.templates.add(Position(epoch, number), template_of(encoded))

    def deliver_pending(self, before: int | None = None, *, will_be_read: bool = True) -> None:
        """Deliver pending messages without reading them from Redis: all, or those with numbers below ``before``.

        Args:
            before: see above.
            will_be_read: whether they may be read from Redis later.
        """
        while self.pending and (before is None or next(iter(self.pending)) < before):
            message = self.pending.pop(next(iter(self.pending)))
            if message.own is not None:
                position, token = Position(message.own.epoch, message.own.number), message.own.token
                entry = Entry(self._origin, message.number, message.time, message.frame, position, token)
                message.time = self._deliver_own_numbered(entry._replace(is_bulk=message.own.is_bulk), message)
            elif message.encoded is not None:
                position = None
                if self.epochs is not None and self.opening is None:
                    position = self.epochs.deliver_own(message.number, message.position, will_be_read=will_be_read)
                place = None if position is None else SharedNumber(*position)
                message.time = self._deliver_at(self._origin, message.number, message.time, message.encoded, place)
            if not message.delivery.done():
                message.delivery.set_result(message.time)

    def _hand_over(self, entry: Entry, message: Message | None = None) -> int:
        """Deliver the message of an entry, which is ``message`` if this server has published it and waits for it."""
        if entry.token and self.epochs is not None:
            return self._deliver_own_numbered(entry, message)
        encoded = self._plain(check_frame(entry.frame))
        if encoded.flags & _ENCRYPTED:
            raise ForeignEntry("it is sealed by a server, and this one has no key of the stream")
        record = template = None
        is_attestation = encoded.type is MessageType.STREAM_ATTESTATION
        if entry.position is not None and encoded.type is MessageType.STREAM_TEMPLATE:
            template = template_of(encoded)
            self.templates.add(entry.position, template)
        elif encoded.version == 4 and (encoded.form or 0) & _RECORD:
            try:
                record = self._record_of(entry, encoded)
            except ForeignEntry:
                if message is None:
                    raise
        place = self._place_of(entry, record, template, overtakes=_overtakes(encoded))
        if (template is not None or is_attestation) and place is None:
            self._remember(entry.origin, entry.number)
            return entry.time  # it is of no use without numbers
        if message is not None and message.encoded is not None:
            canonical = message.encoded
        elif record is not None:
            canonical = _unfold(record, encoded)
        else:
            canonical = encoded if template is not None or is_attestation else encoded.in_version_3()
        by = self._publisher_of(entry, message)
        return self._deliver_at(entry.origin, entry.number, entry.time, canonical, place, by)

    def _publisher_of(self, entry: Entry, message: Message | None) -> PublishedBy:
        """Who has published the message of an entry, which is ``message`` if this server waits for it."""
        if self._proofs is None or message is not None:
            return PublishedBy.HERE
        return self._proofs.judge(self.name, entry.origin, entry.number, entry.frame, entry.proof)

    def _deliver_own_numbered(self, entry: Entry, message: Message | None) -> int:
        """Deliver a message that the publisher of the stream has numbered, unless it was delivered before.

        It is ``message`` if this server has published it; only such a one is delivered before it is read from Redis.
        """
        assert entry.position is not None
        assert self.epochs is not None
        encoded = self._plain(check_frame(entry.frame), again=message is not None)
        if encoded.version < 4:
            raise ForeignEntry("its publisher has given it a number, and its frame is not of V4")
        opening = self._begin_opening(entry)
        if opening is None:
            self._remember(entry.origin, entry.number)
            return entry.time
        overtakes = _overtakes(encoded)
        number = entry.position.number
        if not overtakes:
            opening.publisher.begin_at(number)
        if opening.publisher.look(number) is not Verdict.NEW:
            self._remember(entry.origin, entry.number)
            return entry.time  # it was sent again over another server
        before = tuple(one for one in self.templates.of(opening.epoch) if one[0] < number) if not overtakes else ()
        is_bulk = None if overtakes else entry.is_bulk
        place = SharedNumber(opening.epoch, number, before=before, opening=opening, is_bulk=is_bulk)
        place, canonical = self._read_own_numbered(entry, encoded, place, message)
        if not overtakes:
            self._miss(opening.publisher.missing_before(number))
        opening.is_sealed = opening.is_sealed or bool(encoded.flags & _ENCRYPTED)
        if not overtakes:
            opening.is_bulk = entry.is_bulk
        by = self._publisher_of(entry, message)
        time = self._deliver_at(entry.origin, entry.number, entry.time, canonical, place, by)
        # Afterwards: before the first message of an epoch, viewers are told which number comes next.
        opening.publisher.take(number, overtakes=overtakes)
        return time

    def _read_own_numbered(
        self, entry: Entry, encoded: EncodedFrame, place: SharedNumber, message: Message | None
    ) -> tuple[SharedNumber, EncodedFrame]:
        """Return the message for ``deliver``, and keep it if it is a template. What is sealed stays as it is."""
        assert entry.position is not None
        if encoded.type is MessageType.STREAM_TEMPLATE and encoded.flags & _ENCRYPTED:
            self.templates.add_sealed(entry.position, encoded)
        if encoded.flags & _ENCRYPTED:
            return place, encoded
        if encoded.type is MessageType.STREAM_TEMPLATE:
            template = template_of(encoded)
            self.templates.add(entry.position, template)
            return place._replace(template=template), encoded
        own = None if message is None else message.encoded
        if not (encoded.form or 0) & _RECORD:
            return place, own or encoded.in_version_3()
        try:
            record = self._record_of(entry, encoded)
        except ForeignEntry:
            if own is None:
                raise
            return place, own
        return place._replace(record=record), own or _unfold(record, encoded)

    def _begin_opening(self, entry: Entry) -> Opening | None:
        """The opening of a message. None if another one has ended its epoch here."""
        assert entry.position is not None
        assert self.epochs is not None
        epoch, present = entry.position.epoch, self.opening
        if present is not None and present.epoch == epoch:
            if order_of(entry.token) > present.order:
                present.token = entry.token
        elif present is not None and order_of(entry.token) < present.order:
            return None
        else:
            self.opening = Opening(entry.token, Publisher(epoch, None))
        self.epochs.deliver_opened(epoch)
        return self.opening

    def _place_of(
        self, entry: Entry, record: Record | None, template: Template | None, *, overtakes: bool
    ) -> SharedNumber | None:
        if self.epochs is None or entry.is_beside:
            return None
        self.opening = None
        epoch, delivered = self.epochs.epoch, self.epochs.delivered
        position = self.epochs.deliver(entry.position)
        if position is None:
            return None
        lost = None if position.epoch == epoch else self.continuity.begin(position)
        before: list[tuple[int, Template | EncodedFrame]] = []
        if (epoch, delivered) != (position.epoch, position.number - 1):
            before = [one for one in self.templates.of(position.epoch) if one[0] < position.number]
        if position.epoch == epoch:
            self._miss(position.number - delivered - 1 - sum(number > delivered for number, _ in before))
        else:
            self._miss(lost or 0)
        is_bulk = None if overtakes and not entry.is_bulk else entry.is_bulk
        return SharedNumber(*position, record, template, tuple(before), is_bulk=is_bulk, lost=lost)

    def _plain(self, encoded: EncodedFrame, *, again: bool = False) -> EncodedFrame:
        """The message as it was before a server has sealed it for the way through Redis."""
        if self._opener is None:
            return encoded
        try:
            return self._opener.open(encoded, again=again)
        except Unopened as error:
            raise ForeignEntry(str(error)) from None

    def _record_of(self, entry: Entry, encoded: EncodedFrame) -> Record:
        if entry.position is None:
            raise ForeignEntry("it is a record without an epoch")
        payload = encoded.frame[HEADER_SIZES[4] :]
        try:
            number = template_number(payload)
        except ProtocolError as error:
            raise ForeignEntry(f"its record is invalid: {error}") from None
        return Record(self.templates.get(entry.position.epoch, number), payload)

    def _deliver_at(
        self,
        origin: bytes,
        number: int,
        time: int,
        frame: EncodedFrame,
        place: SharedNumber | None,
        by: PublishedBy = PublishedBy.HERE,
    ) -> int:
        if self._earliest is None:
            self._earliest = time  # older messages that are read later would be out of order
        self._last = max(time, self._last + 1)
        self._remember(origin, number)
        if self._missing and frame.type not in _OF_EPOCHS:
            missing, self._missing = self._missing, 0
            self._deliver(self.name, self._last, frame, place, by, missing)
        elif self.epochs is None:
            self._deliver(self.name, self._last, frame)
        elif self._proofs is None:
            self._deliver(self.name, self._last, frame, place)
        else:
            self._deliver(self.name, self._last, frame, place, by)
        return self._last

    def _remember(self, origin: bytes, number: int) -> None:
        self._numbers.pop(origin, None)
        self._numbers[origin] = number
        if len(self._numbers) > REMEMBERED_ORIGINS:
            del self._numbers[next(iter(self._numbers))]


def _overtakes(encoded: EncodedFrame) -> bool:
    """Return whether a message may arrive before others with lower numbers, and says nothing of the class."""
    return bool(encoded.flags & Flag.PRIORITY) or encoded.type is MessageType.ANOMALY_ALERT


def _template_in(frame: bytes) -> tuple[MessageType | None, int]:
    """The type of a template or a record, and the number of the template; None and 0 for anything else."""
    try:
        encoded = _codec.verify(frame) if frame[:1] == b"\4" else None
        if encoded is None or encoded.flags & _ENCRYPTED:
            return None, 0
        if encoded.type is MessageType.STREAM_TEMPLATE:
            return encoded.type, Template.unpack(frame[HEADER_SIZES[4] :]).number
        if (encoded.form or 0) & _RECORD:
            return encoded.type, template_number(frame[HEADER_SIZES[4] :])
    except ProtocolError:
        pass
    return None, 0


def template_of(encoded: EncodedFrame) -> Template:
    """Read a template from its frame.

    Raises:
        ForeignEntry: it is invalid.
    """
    try:
        template = Template.unpack(encoded.frame[HEADER_SIZES[4] :])
    except ProtocolError as error:
        raise ForeignEntry(f"its template is invalid: {error}") from None
    return template


def _unfold(record: Record, encoded: EncodedFrame) -> EncodedFrame:
    """Make the canonical frame of a record."""
    try:
        data = record.template.decode(record.payload, max_payload=LARGEST_LENGTH).data
    except ProtocolError as error:
        raise ForeignEntry(f"its record is invalid: {error}") from None
    flags = encoded.flags & ~_COMPRESSED
    return _codec.encode_frame(MessageType.ECG_DATA, data, flags=flags, timestamp=encoded.timestamp)


def _numbers_of(entry_id: bytes) -> tuple[int, int]:
    time, _, sequence = entry_id.partition(b"-")
    return int(time), int(sequence)


class FollowedStreams:
    """The streams that a server follows, by name.

    Args:
        make: returns a new stream, given its name and ``since``.
    """

    def __init__(self, make: Callable[[str, int], FollowedStream]) -> None:
        self._make = make
        self._streams: dict[str, FollowedStream] = {}

    def __iter__(self) -> Iterator[FollowedStream]:
        return iter(list(self._streams.values()))

    def __len__(self) -> int:
        return len(self._streams)

    def __contains__(self, followed: FollowedStream) -> bool:
        return self._streams.get(followed.name) is followed

    def get(self, name: str) -> FollowedStream | None:
        """Return the stream, or None if it is not followed."""
        return self._streams.get(name)

    def follow(self, name: str, since: int) -> FollowedStream:
        """Return the stream; start to follow it if necessary."""
        followed = self._streams.get(name)
        if followed is None:
            followed = self._streams[name] = self._make(name, since)
        followed.leaving = False
        return followed

    def leave(self, name: str) -> None:
        """Stop following a stream, once its pending messages are delivered."""
        followed = self._streams.get(name)
        if followed is not None:
            followed.leaving = True
            self.drop_if_left(followed)

    def drop_if_left(self, followed: FollowedStream) -> None:
        """Remove a stream that was left and has no pending messages."""
        if followed.leaving and not followed.pending and followed in self:
            del self._streams[followed.name]
            followed.settled.set()
