"""One named stream: its viewers, and how they get new messages and those that they missed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol

from ..codec import EncodedFrame, Message
from ..errors import InvalidDataFormat
from ..messages.templates import Template, template_number
from ..protocol import DATA_TYPES, HEADER_SIZES, ErrorCode, Form, MessageType
from ..session import Binding, Loss, Outgoing, ServerSession, Settings, StreamPosition
from ..session.outgoing import Tier
from ..session.record_writer import Record, Wanted
from .attesting import StreamAttester, attestation_frame
from .backplane import PublishedBy, SharedNumber
from .disk_history import DiskHistory
from .encodings import Encodings
from .fan_out import FanOut, NoteSent
from .fan_out import Viewer as UpToDateViewer
from .history import Ring
from .lingering import Linger
from .numbering import Epoch, Numbering
from .opaque_publication import OpaquePublication, opaque_frame
from .opening import Opening
from .portions import Portions
from .publication import Publication, TemplatePublication, may_be_record
from .publisher import Publisher
from .sealed_publication import SealedPublication, SealedTemplate
from .sealing import OF_TEMPLATES, Seals, StreamSeal

CHUNK_FRAMES: Final = 64
"""Most frames in one piece of a backlog."""

CHUNK_BYTES: Final = 256 * 1024
"""Bytes at which a piece of a backlog gets no further frame."""


BULK_CHUNK_BYTES: Final = 64 * 1024
"""The same for a stream of the class BULK."""


class Viewer(UpToDateViewer, Protocol):
    """What a stream needs of a connection."""

    def pump(self, now: float) -> None:
        """Send as many queued messages as the link takes now."""

    def bring_up_to_date(self, stream: Any) -> None:
        """Call the stream's ``catch_up`` whenever nothing is queued, until it returns False."""


class Source(NamedTuple):
    """The message that the application published, from which its frame was made.

    Attributes:
        data: the payload.
        is_exact: whether to look for the counts behind floats.
        number: of a message of the stream's publisher.
        record: the payload of its record, if it came as one.
    """

    data: Any
    is_exact: bool = False
    number: int | None = None
    record: bytes | None = None


class MadeRecord(NamedTuple):
    """A record for the backplane, or what is needed for one.

    Attributes:
        epoch: the epoch of its template.
        record: the record; None if the message travels as MessagePack.
        wanted: what a template has to be made of, for the messages that follow; None if none is needed.
    """

    epoch: int = 0
    record: Record | None = None
    wanted: Wanted | None = None


class Backlog:
    """The publications in a ring that a viewer has to get before it is up to date.

    Attributes:
        next: number of the next publication to send.
        last: timestamp of the last publication that was sent.
        told: id of the latest epoch that the viewer was told of.
        overtaken: numbers of urgent publications that were sent ahead of their turn.
        encoded: by its number, the next publication, if it had to be encoded for this viewer in a thread.
    """

    __slots__ = ("encoded", "last", "next", "overtaken", "told")

    def __init__(self, next: int, last: int, told: int = 0) -> None:
        self.next = next
        self.last = last
        self.told = told
        self.overtaken: set[int] = set()
        self.encoded: dict[int, Outgoing] = {}


class Hold:
    """A context in which a stream is not forgotten. Each message is published within one, so it is no generator.

    Args:
        stream: the stream, which entering returns.
    """

    __slots__ = ("_stream",)

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def __enter__(self) -> Stream:
        self._stream.add_holder()
        return self._stream

    def __exit__(self, *error: object) -> None:
        self._stream.remove_holder()


class Stream:
    """One stream: its ring and its viewers.

    A viewer that resumes is sent its backlog from the ring, piece by piece as its network takes it, and then messages
    that were published meanwhile, from the ring as well; only urgent messages go to it at once. A viewer may know a
    later message than the newest in the ring, because messages of another server have yet to arrive here: it waits for
    one that is later still.

    Args:
        name: name of the stream.
        ring: ring of this stream.
        known_after: in microseconds since 1970; every message published on this server later than this was in the ring.
        encodings: encodes large publications in a thread.
        portions: turns for writing large frames.
        note_sent: called for each frame.
        forget: called when the stream has no viewers and no messages.
        note_ended: called with name and epoch when the epoch of a publisher has ended.
        numbering: its numbers, for viewers of version 4; None if the server does not speak it.
        settings: for the frames of templates.
        seals: those of the handler; None if it seals no streams.
        linger: lets frames wait for others; None if none waits.
        disk: keeps the messages on disk; None to keep none.

    Attributes:
        joined: whether the backplane follows the stream.
        joining: the task that joins it; None if there is none.
        source: what is published next, if that is known before it is delivered.
    """

    __slots__ = (
        "_ahead",
        "_ahead_by_number",
        "_backlogs",
        "_disk",
        "_encodings",
        "_fan_out",
        "_forget",
        "_holders",
        "_live",
        "_note_ended",
        "_note_sent",
        "_seals",
        "_settings",
        "joined",
        "joining",
        "known_after",
        "name",
        "numbering",
        "ring",
        "source",
    )

    def __init__(
        self,
        name: str,
        ring: Ring,
        known_after: int,
        encodings: Encodings,
        portions: Portions,
        note_sent: NoteSent,
        forget: Callable[[Stream], None],
        note_ended: Callable[[str, int], None],
        numbering: Numbering | None,
        settings: Settings,
        seals: Seals | None = None,
        linger: Linger | None = None,
        disk: DiskHistory | None = None,
    ) -> None:
        self._disk = disk
        self.numbering = numbering
        self._seals = seals
        self._note_ended = note_ended
        self.source: Source | None = None
        self._settings = settings
        self.name = name
        self.ring = ring
        self.known_after = known_after
        self._holders = 0
        self.joined = False
        self.joining: asyncio.Task[None] | None = None
        self._encodings = encodings
        self._fan_out = FanOut(encodings, portions, ring.frame, ring.keep, note_sent, linger)
        self._note_sent = note_sent
        self._forget = forget
        self._live: dict[Viewer, None] = {}
        self._ahead: dict[Viewer, tuple[int, int]] = {}  # timestamp, and id of the epoch that it was told of
        self._ahead_by_number: dict[Viewer, StreamPosition] = {}
        self._backlogs: dict[Viewer, Backlog] = {}

    @property
    def viewers(self) -> int:
        """Number of connections that watch the stream."""
        return len(self._live) + len(self._backlogs) + len(self._ahead) + len(self._ahead_by_number)

    def deliver(self, publication: Publication, now: float) -> int:
        """Add a publication to the ring and send it to the viewers.

        Args:
            publication: the message.
            now: in seconds of the loop's clock.

        Returns:
            The number of viewers to which it is sent now.
        """
        if self.numbering is not None:
            self._number(publication, self.numbering, now)
        return self._deliver(publication, now)

    def deliver_at(
        self,
        publication: Publication,
        place: SharedNumber | None,
        now: float,
        by: PublishedBy = PublishedBy.HERE,
    ) -> None:
        """Add a publication to the ring and send it to the viewers. Its number comes from the backplane.

        Args:
            publication: the message.
            place: its number; None if it has none, so that this server numbers it in an epoch of its own.
            now: in seconds of the loop's clock.
            by: who has published it.
        """
        numbering = self.numbering
        if numbering is None:
            pass
        elif place is not None and place.opening is not None:
            self._follow_opening(numbering, place, place.opening)
            publication.set_position(numbering.present.position(place.number), self._in_force(place.record))
        elif place is not None or numbering.publisher is None:  # otherwise it is beside the numbers
            self._follow_numbers(numbering, place)
            publication.set_position(numbering.take(), None if place is None else place.record)
            self._note_for_attestation(numbering, publication, now, by)
        self._deliver(publication, now)

    def _note_for_attestation(
        self, numbering: Numbering, publication: Publication, now: float, by: PublishedBy
    ) -> None:
        """Have the next attestation name a message that a server with the signing key has published."""
        if numbering.attester is not None and publication.signer is None and by is not PublishedBy.OTHERS:
            numbering.attester.note(publication, now, is_own=by is PublishedBy.HERE)

    def deliver_attestation(self, encoded: EncodedFrame, place: SharedNumber, timestamp: int, now: float) -> None:
        """Add an attestation of a server to the ring and send it to the viewers of version 4.

        Args:
            encoded: its frame.
            place: its number.
            timestamp: in microseconds since 1970.
            now: in seconds of the loop's clock.
        """
        numbering = self.numbering
        if numbering is None:
            return
        self._follow_numbers(numbering, place)
        position = numbering.take()
        payload = encoded.frame[HEADER_SIZES[4] :]
        if numbering.attester is not None:
            numbering.attester.follow(payload, position.number)
        outgoing = attestation_frame(payload, timestamp, position, self.name)
        self._deliver(self._template_publication(timestamp, outgoing, position), now)

    def deliver_sealed_at(self, encoded: EncodedFrame, place: SharedNumber, timestamp: int, now: float) -> None:
        """Deliver a message that the stream's publisher has sealed, at this server or another one.

        Args:
            encoded: its frame of version 4.
            place: its number.
            timestamp: in microseconds since 1970.
            now: in seconds of the loop's clock.
        """
        numbering, opening = self.numbering, place.opening
        if numbering is None or opening is None:
            return
        self._follow_opening(numbering, place, opening)
        self._deliver_opaque(encoded, numbering, place.number, timestamp, now)

    def deliver_template(
        self,
        template: Template,
        place: SharedNumber,
        timestamp: int,
        now: float,
        by: PublishedBy = PublishedBy.HERE,
    ) -> None:
        """Add a template to the ring and send it to the viewers of version 4.

        Args:
            template: the template.
            place: its number.
            timestamp: in microseconds since 1970.
            now: in seconds of the loop's clock.
            by: who has published it.
        """
        if self.numbering is None:
            return
        if place.opening is not None:
            self._follow_opening(self.numbering, place, place.opening)
            self.deliver_opened_template(template, place.number, timestamp, now)
            return
        self._follow_numbers(self.numbering, place)
        if self.numbering.present.has(place.number):
            self.numbering.take()  # it was among the templates that were there when the stream was joined
            return
        if not self._publish_template(template, timestamp, self.numbering, now, by):
            self.numbering.take()

    def take_up(
        self,
        epoch: int,
        last: int,
        templates: Sequence[tuple[int, Template | EncodedFrame]],
        opening: Opening | None = None,
        *,
        is_bulk: bool | None = None,
    ) -> None:
        """Number the next messages in an epoch of the backplane.

        Args:
            epoch: the epoch.
            last: number of its last message that was delivered here, or never will be.
            templates: its latest templates, each with its number.
            opening: of the client that has opened the stream; None if servers number its messages.
            is_bulk: the class of its messages; None if that is not decided.
        """
        assert self.numbering is not None
        before = tuple(templates)
        if opening is None:
            place = SharedNumber(epoch, last + 1, before=before, is_bulk=is_bulk)
            self._follow_numbers(self.numbering, place)
        else:
            place = SharedNumber(epoch, last + 1, before=before, opening=opening, is_bulk=opening.is_bulk)
            self._follow_opening(self.numbering, place, opening)

    def _follow_numbers(self, numbering: Numbering, place: SharedNumber | None) -> None:
        """Begin another epoch if that of the next message is not the present one, and tell the viewers."""
        if place is None:
            if numbering.is_shared:
                numbering.begin(None, 1)
                self._tell_all(numbering)
            return
        if not numbering.is_shared or place.epoch != numbering.epoch:
            if numbering.publisher is not None:
                self._note_ended(self.name, numbering.epoch)
            self._finish_own_epoch(numbering)
            numbering.begin(place.epoch, place.number - (place.lost or 0), follows=place.lost is not None)
            numbering.present.is_bulk = place.is_bulk
            self._take_templates(numbering, place)
            self._tell_all(numbering)
            numbering.present.go_on_from(place.number)
            return
        if numbering.present.is_bulk is None:
            numbering.present.is_bulk = place.is_bulk
        numbering.present.go_on_from(place.number)
        if self._take_templates(numbering, place):
            self._tell_all(numbering)  # they were among messages that will not come

    def _finish_own_epoch(self, numbering: Numbering) -> None:
        """Attest the rest of an epoch that only this server has."""
        if numbering.attester is not None and not numbering.is_shared and numbering.publisher is None:
            self.attest(self.ring.latest + 1, asyncio.get_running_loop().time(), last=True)

    def _follow_opening(self, numbering: Numbering, place: SharedNumber, opening: Opening) -> None:
        """Begin the epoch of a publisher if that of the next message is not the present one, and tell the viewers."""
        admission = numbering.admission
        if admission is not None and opening.order > admission.order:
            numbering.admission = None  # the stream was opened elsewhere
        present = numbering.present
        is_new = present.publisher is None or present.epoch != opening.epoch
        if is_new:
            if present.publisher is not None:
                self._note_ended(self.name, present.epoch)
            self._finish_own_epoch(numbering)
            numbering.begin_shared(opening)
        elif present.publisher is not opening.publisher:
            present.publisher = opening.publisher  # of a stream that was left and is followed again
        numbering.present.is_bulk = place.is_bulk if place.is_bulk is not None else numbering.present.is_bulk
        numbering.present.is_sealed = numbering.present.is_sealed or opening.is_sealed
        if self._take_opened_templates(numbering, place) or is_new:
            self._tell_all(numbering)

    def _take_opened_templates(self, numbering: Numbering, place: SharedNumber) -> int:
        """Keep templates of the publisher that were not delivered here. Returns how many there are."""
        taken = 0
        for number, template in place.before:
            if numbering.present.has(number):
                continue
            position = numbering.present.position(number)
            oldest = self._oldest(numbering)
            if isinstance(template, EncodedFrame):
                outgoing = OpaquePublication(self.name, self.ring.latest, template, position).outgoing(OF_TEMPLATES)
                if outgoing is not None:
                    numbering.keep_sealed(outgoing, oldest)
            else:
                outgoing = numbering.encode_template_at(template, position, self.ring.latest, self._settings)
                if outgoing is not None:
                    numbering.keep_opened(template, outgoing, oldest)
            taken += outgoing is not None
        return taken

    def _in_force(self, record: Record | None) -> Record | None:
        """The record, if its template is one of the latest: viewers to come know no others."""
        if record is None or self.numbering is None:
            return None
        return None if self.numbering.present.in_force(record.template.number) is None else record

    def _take_templates(self, numbering: Numbering, place: SharedNumber) -> int:
        """Write with templates that were not delivered. Returns how many there are."""
        taken = 0
        for number, template in place.before:
            if isinstance(template, EncodedFrame):
                continue  # of a publisher
            if number < place.number and not numbering.present.has(number):
                position = StreamPosition(numbering.id, number)
                outgoing = numbering.encode_template_at(template, position, self.ring.latest, self._settings)
                if outgoing is not None:
                    numbering.write_with(template, outgoing, self._oldest(numbering), 0.0)
                    taken += 1
        return taken

    def _tell_all(self, numbering: Numbering) -> None:
        """Tell the viewers of version 4 that are up to date the present epoch and its templates."""
        kept = (each.position.id for each in self.ring.start_from(self.ring.first) if each.position is not None)
        numbering.forget_before(next(kept, numbering.id))
        binding = numbering.present.binding(numbering.next, tells_end=True)
        for viewer in (*self._live, *self._ahead_by_number):  # those that wait for a time are told when that comes
            if viewer.session.version >= 4:
                self._answer_again(viewer, binding)

    def _oldest(self, numbering: Numbering) -> int:
        """The number of the oldest message of the present epoch in the ring, or the next one."""
        return self._first_of(numbering.present, self.ring.first)

    def _answer_again(self, viewer: Viewer, binding: Binding) -> None:
        viewer.session.answer_subscription(
            self.name, "subscribed", binding=self.sealed_binding(binding, viewer.session)
        )

    def _seal(self) -> StreamSeal | None:
        """Return the seal of the stream; None if it is not sealed, or no key is valid."""
        try:
            return None if self._seals is None else self._seals.of(self.name)
        except ValueError:
            return None

    def sealed_binding(self, binding: Binding, session: ServerSession) -> Binding:
        """Return what a viewer is told of the numbers, with sealed templates if the stream is sealed for it."""
        if self._seals is None or not self._seals.seals(self.name):
            return binding
        if not session.encoding.sealed and self._seals.offers_plain(self.name):
            return binding
        seal = self._seal()
        return binding._replace(templates=()) if seal is None else seal.sealed_binding(binding)

    def _template_publication(
        self, timestamp: int, outgoing: Outgoing, position: StreamPosition
    ) -> TemplatePublication:
        seal = self._seal()
        if seal is None:
            return TemplatePublication(self.name, timestamp, outgoing, position)
        return SealedTemplate(self.name, timestamp, outgoing, position, seal)

    def _tell_epoch(self, viewer: Viewer, backlog: Backlog, publication: Publication) -> None:
        """Tell a viewer that catches up the epoch of a publication, if it does not know that yet."""
        position = publication.position
        if viewer.session.version < 4 or position is None or position.id <= backlog.told:
            return
        self._tell_epochs(viewer, backlog, position.id)

    def _tell_epochs(self, viewer: Viewer, backlog: Backlog, until: int) -> None:
        """Tell a viewer that catches up the epoch with an id, and those before it whose ends are known.

        It is told the end of an epoch only if it was told of that epoch.
        """
        assert self.numbering is not None
        tells_end = self.numbering.find(backlog.told) is not None
        for epoch in self.numbering.since(backlog.told, until):
            if epoch.id == until or (backlog.told and epoch.before is not None):
                self._answer_again(viewer, epoch.binding(self._first_of(epoch, backlog.next), tells_end=tells_end))
                tells_end = True
            else:
                tells_end = False
        backlog.told = until

    def _first_of(self, epoch: Epoch, start: int) -> int:
        """The least number of an epoch among the publications from a number in the ring on, or its next one.

        Messages in order have rising numbers, and those that overtook them higher ones.
        """
        least = epoch.next
        for publication in self.ring.start_from(start):
            position = publication.position
            if position is None or position.id != epoch.id:
                continue
            least = min(least, position.number)
            if not publication.urgent:
                break
        return least

    def make_record(self, encoded: EncodedFrame, source: Source, now: float) -> MadeRecord:
        """Make a record of a message that this server publishes, by a template that all servers have.

        Args:
            encoded: the message in the encoding ``CANONICAL``.
            source: what was published.
            now: in seconds of the loop's clock.
        """
        numbering = self.numbering
        if numbering is None or not numbering.is_shared or numbering.publisher or not may_be_record(encoded):
            return MadeRecord()
        limit = self._settings.max_payload
        is_sealed = self._seals is not None and self._seals.seals(self.name)
        numbering.writer.binds = is_sealed or numbering.attester is not None
        numbering.writer.filters = not is_sealed or (self._seals is not None and self._seals.compress)
        record, wanted = numbering.shared_record_of(source.data, now, exact=source.is_exact, max_payload=limit)
        return MadeRecord(numbering.epoch, record, wanted)

    def _number(self, publication: Publication, numbering: Numbering, now: float) -> None:
        """Give a publication its number, make a record of it, and deliver a new template before it."""
        source, self.source = self.source, None
        if source is not None and source.number is not None:
            position = numbering.present.position(source.number)
            publication.set_position(position, self._handed_on(publication, source))
            return
        if numbering.publisher is not None:
            if numbering.publisher.owner is not None or now < numbering.publisher.left_at + self.ring.seconds:
                return  # the numbers are the publisher's
            self._begin_opened(None)
        attester = numbering.attester
        if attester is not None and attester.is_full:
            self.attest(publication.timestamp - 1, now)
        record: Record | None = None
        if numbering.makes_records and publication.may_be_record:
            if source is None:
                source = Source(publication.data, is_exact=False)
            limit = self._settings.max_payload
            seal = publication.seal if isinstance(publication, SealedPublication) else None
            numbering.writer.binds = seal is not None or numbering.attester is not None
            numbering.writer.filters = seal is None or seal.compress
            record, template = numbering.record_of(source.data, now, exact=source.is_exact, max_payload=limit)
            if template is not None and not self._publish_template(template, publication.timestamp - 1, numbering, now):
                record = None
        publication.set_position(numbering.take(), record)
        if attester is not None and publication.signer is None:
            attester.note(publication)

    def _handed_on(self, publication: Publication, source: Source) -> Record | None:
        """The record of the stream's publisher, if its template is in force: viewers to come know no others."""
        if source.record is None or not publication.may_be_record:
            return None
        assert self.numbering is not None
        template = self.numbering.present.in_force(template_number(source.record))
        return None if template is None else Record(template, source.record)

    def record_handed_on(self, encoded: EncodedFrame, record: bytes | None, opening: Opening) -> bytes | None:
        """The record of the stream's publisher for the backplane, if its template is in force."""
        numbering = self.numbering
        if record is None or numbering is None or numbering.epoch != opening.epoch or not may_be_record(encoded):
            return None
        template = numbering.present.in_force(template_number(record))
        if template is None or self._seals is None or not self._seals.seals(self.name):
            return None if template is None else record
        return template.bind(record, delta=self._seals.compress)

    @property
    def attester(self) -> StreamAttester | None:
        """Collects the messages for the next attestation of this server; None if there is no signer."""
        return None if self.numbering is None else self.numbering.attester

    @property
    def attests_together(self) -> bool:
        """True if other servers have the numbers of the present epoch, too."""
        return self.numbering is not None and self.numbering.is_shared and self.numbering.publisher is None

    @property
    def delivered(self) -> int:
        """Number of the last message of the present epoch in order."""
        return 0 if self.numbering is None else self.numbering.next - 1

    @property
    def class_for_all(self) -> bool | None:
        """The class of the messages of the present epoch; None if it is not decided."""
        return None if self.numbering is None else self.numbering.present.is_bulk

    def attest(self, timestamp: int, now: float, *, last: bool = False) -> int:
        """Attest the messages that this server has published since the attestation before.

        Args:
            timestamp: of the attestation, in microseconds since 1970.
            now: in seconds of the loop's clock.
            last: whether nothing more is published in this epoch.

        Returns:
            The number of attestations: 0 or 1.
        """
        numbering = self.numbering
        if numbering is None or numbering.attester is None or numbering.publisher is not None or numbering.is_shared:
            return 0
        payload = numbering.attester.attest(last=last)
        if payload is None:
            return 0
        position = numbering.take()
        outgoing = attestation_frame(payload, timestamp, position, self.name)
        self._deliver(self._template_publication(timestamp, outgoing, position), now)
        return 1

    def _begin_opened(self, publisher: Publisher | None) -> None:
        """Begin another epoch of the numbers, and tell the viewers of version 4: those that catch up, in their turn.

        Args:
            publisher: who gives the messages their numbers from now on; None if the server does.
        """
        numbering = self.numbering
        assert numbering is not None
        if numbering.publisher is None:
            self.attest(self.ring.latest + 1, asyncio.get_running_loop().time(), last=True)
        else:
            self._note_ended(self.name, numbering.epoch)
        numbering.begin_opened(publisher)
        self._tell_all(numbering)
        now = asyncio.get_running_loop().time()
        for viewer in list(self._live):
            viewer.pump(now)

    def open(self, epoch: int, owner: object) -> int:
        """Open the stream for a publisher, or let it go on in its epoch.

        Returns:
            The number of the message that is expected next.
        """
        assert self.numbering is not None
        publisher = self.numbering.publisher
        if publisher is None or publisher.epoch != epoch:
            self._begin_opened(Publisher(epoch, owner))
        else:
            publisher.owner = owner
        return self.numbering.next

    def publisher_of(self, epoch: int, owner: object) -> Publisher | None:
        """Return the publisher of the present epoch, if it is that one, and its connection is that one."""
        numbering = self.numbering
        if numbering is None:
            return None
        publisher = numbering.publisher if numbering.admission is None else numbering.admission.publisher
        if publisher is None or publisher.epoch != epoch or publisher.owner is not owner:
            return None
        return publisher

    def deliver_opened_template(self, template: Template, number: int, timestamp: int, now: float) -> bool:
        """Deliver a template of the stream's publisher. Returns False if it cannot be sent to viewers."""
        numbering = self.numbering
        assert numbering is not None
        position = numbering.present.position(number)
        outgoing = numbering.encode_template_at(template, position, timestamp, self._settings)
        if outgoing is None:
            return False
        oldest = min(number, self._oldest(numbering))
        self._deliver(self._template_publication(timestamp, outgoing, position), now)
        numbering.keep_opened(template, outgoing, oldest)
        return True

    def deliver_sealed(self, message: Message, timestamp: int, now: float) -> None:
        """Deliver a message that the stream's publisher has sealed.

        Args:
            message: as it came, with its ``SealedPayload``; its number was taken.
            timestamp: in microseconds since 1970.
            now: in seconds of the loop's clock.
        """
        numbering = self.numbering
        assert numbering is not None, "the stream is opened"
        encoded = opaque_frame(message, timestamp, numbering.id)
        self._deliver_opaque(encoded, numbering, message.sequence or 0, timestamp, now)

    def _deliver_opaque(
        self, encoded: EncodedFrame, numbering: Numbering, number: int, timestamp: int, now: float
    ) -> None:
        publication = OpaquePublication(self.name, timestamp, encoded, numbering.present.position(number))
        oldest = min(number, self._oldest(numbering))
        self._deliver(publication, now)
        outgoing = publication.outgoing(OF_TEMPLATES)
        if encoded.type is MessageType.STREAM_TEMPLATE and outgoing is not None:
            numbering.keep_sealed(outgoing, oldest)

    def note_sealed_by_publisher(self) -> None:
        """Note that the publisher of the present epoch seals its messages."""
        assert self.numbering is not None, "the stream is opened"
        self.numbering.present.is_sealed = True

    def open_shared(self, opening: Opening) -> None:
        """Take the messages of a client that has opened the stream at this server."""
        assert self.numbering is not None, "a peer that opens streams speaks version 4"
        self.numbering.admission = opening

    @property
    def is_sealed_by_publisher(self) -> bool:
        """True if the publisher of the present epoch seals its messages."""
        return self.numbering is not None and self.numbering.present.is_sealed

    @property
    def is_sealed(self) -> bool:
        """True if this server or the publisher of the present epoch seals its messages."""
        return self.is_sealed_by_publisher or (self._seals is not None and self._seals.seals(self.name))

    def _publish_template(
        self,
        template: Template,
        timestamp: int,
        numbering: Numbering,
        now: float,
        by: PublishedBy = PublishedBy.HERE,
    ) -> bool:
        """Deliver a new template, and write records with it from then on. Returns False if it cannot be sent."""
        oldest = self._oldest(numbering)
        outgoing = numbering.encode_template(template, timestamp, self._settings)
        if outgoing is None:
            return False
        position = numbering.present.position(numbering.next - 1)
        if numbering.attester is not None and by is not PublishedBy.OTHERS:
            is_own = by is PublishedBy.HERE
            numbering.attester.note_template(self.name, template.payload, now, is_own=is_own)
        self._deliver(self._template_publication(timestamp, outgoing, position), now)
        numbering.write_with(template, outgoing, oldest, now)
        return True

    def decide_class(self, *, is_bulk: bool) -> None:
        """Note the class of the message that the server publishes next.

        Raises:
            ValueError: the stream has messages of the other class.
        """
        if self.numbering is None:
            return
        self.numbering.next_is_bulk = is_bulk
        if self.numbering.publisher is None and (not self.numbering.is_shared or self._is_bulk_known):
            self.numbering.present.decide_class(is_bulk=is_bulk)  # else Redis decides

    @property
    def _is_bulk_known(self) -> bool:
        """True if the class of the present epoch is decided."""
        return self.numbering is not None and self.numbering.present.is_bulk is not None

    def decide_opened_class(self, message: Message) -> None:
        """Note the class of a message of the stream's publisher, which does not overtake.

        Raises:
            InvalidDataFormat: the epoch has messages of the other class.
        """
        assert self.numbering is not None
        is_bulk = bool((message.form or 0) & Form.BULK)
        admission = self.numbering.admission
        try:
            if admission is None:
                self.numbering.present.decide_class(is_bulk=is_bulk)
            elif admission.is_bulk is None:
                admission.is_bulk = is_bulk
            elif admission.is_bulk != is_bulk:
                raise ValueError("another class")
        except ValueError as error:
            raise InvalidDataFormat("all messages of an opened stream have BULK, or none of them") from error

    @property
    def is_bulk(self) -> bool:
        """True if the stream is of the class BULK."""
        return self.numbering is not None and bool(self.numbering.present.is_bulk)

    def _deliver(self, publication: Publication, now: float) -> int:
        last = self.ring.latest
        self.ring.append(publication, now)
        if self._disk is not None and publication.type in DATA_TYPES:
            self._keep_on_disk(self._disk, publication)
        if self._ahead or self._ahead_by_number:
            self._await_no_longer(publication)
        if publication.is_bulk:
            self._hold_bulk_back(publication, last)
        viewers = list(self._live)
        self._fan_out.send(publication, viewers, now)
        taken = len(viewers)
        if publication.urgent and self._backlogs:
            taken += self._send_ahead(publication, now)
        self.ring.trim(now)
        return taken

    def _keep_on_disk(self, disk: DiskHistory, publication: Publication) -> None:
        if self.is_sealed:
            disk.skip(self.name)
        else:
            disk.add(self.name, publication.timestamp, publication.frame)

    def _hold_bulk_back(self, publication: Publication, last: int) -> None:
        """Let viewers for which BULK waits go on from the ring, so that nothing is dropped and little is queued.

        Args:
            publication: the latest in the ring.
            last: timestamp of the one before it.
        """
        position = publication.position
        assert position is not None, "BULK is of a stream"
        for viewer in list(self._live):
            if not viewer.session.has_bulk or self._fan_out.first_waiting(viewer, position.id) is not None:
                continue
            del self._live[viewer]
            self._backlogs[viewer] = Backlog(publication.number, last, position.id)
            viewer.bring_up_to_date(self)

    def follow(self, viewer: Viewer) -> int:
        """Add a viewer that gets messages from now on.

        Returns:
            The first timestamp that a message for it can have, in microseconds since 1970.
        """
        self.remove(viewer)
        self._live[viewer] = None
        return self.ring.latest + 1

    def resume_after(self, viewer: Viewer, since: int) -> int | None:
        """Add a viewer that gets messages after the one with timestamp ``since``.

        If the stream has no message with that timestamp, it may come from a server with another clock and says nothing
        about what the viewer has. Then the viewer is sent the whole ring.

        Args:
            viewer: the connection.
            since: timestamp of its last message, in microseconds since 1970.

        Returns:
            None if the message is known, so that nothing is missing. Otherwise the time from which nothing is missing,
            in microseconds since 1970.
        """
        self.remove(viewer)
        ring = self.ring
        if ring.knows(since):
            self._send_from(viewer, ring.number_after(since), since)
            return None
        self._send_from(viewer, ring.first, ring.floor)
        return ring.floor + 1

    def resume_shared(self, viewer: Viewer, since: int, now: int, *, is_whole: bool) -> int | None:
        """Add a viewer that gets messages after ``since``, when all servers take their timestamps from one clock.

        Then ``since`` is valid even if the stream has no message with exactly that timestamp.

        Args:
            viewer: the connection.
            since: timestamp of its last message, in microseconds since 1970.
            now: in microseconds since 1970, by the shared clock.
            is_whole: whether every message that was published on any server until now has arrived here.

        Returns:
            As for ``resume_after``.
        """
        ring = self.ring
        if not is_whole and ring.latest < since <= now:
            self.remove(viewer)
            self._ahead[viewer] = since, 0 if self.numbering is None else self.numbering.id
            return None
        if ring.floor <= since < (ring.oldest or now):  # before the oldest in the ring, and none in between is missing
            self.remove(viewer)
            self._send_from(viewer, ring.first, since)
            return None
        return self.resume_after(viewer, since)

    def resume_at(self, viewer: Viewer, moment: int, now: int) -> int | None:
        """Add a viewer that gets messages after a time, which need not be the timestamp of a message.

        Args:
            viewer: a connection without timestamps, or one that asks for a time.
            moment: in microseconds since 1970, by the clock of the stream's timestamps.
            now: the current time by that clock.

        Returns:
            None if every message after that time is in the ring. Otherwise the time from which nothing is missing.
        """
        self.remove(viewer)
        ring = self.ring
        if ring.floor <= moment <= max(now, ring.latest):
            self._send_from(viewer, ring.number_after(moment), moment)
            return None
        self._send_from(viewer, ring.first, ring.floor)
        return ring.floor + 1

    def resume_after_number(self, viewer: Viewer, after: int) -> None:
        """Add a viewer of version 4 that gets messages after the one with a number, or all that the ring still has.

        Args:
            viewer: the connection.
            after: a number of this epoch, below the next one.
        """
        assert self.numbering is not None
        self.resume_within(viewer, {self.numbering.id}, after)

    def resume_within(self, viewer: Viewer, ids: set[int], after: int) -> bool:
        """Add a viewer of version 4 that gets the messages after the one with a number in an epoch.

        Args:
            viewer: the connection.
            ids: those of the epoch.
            after: number of a message of it.

        Returns:
            True if that place is known: the epoch is the present one, or one of its messages is in the ring. If not,
            the viewer is not added.
        """
        assert self.numbering is not None
        last, number = self.ring.floor, self.ring.first
        opened = {one.id for one in map(self.numbering.find, ids) if one is not None and one.publisher is not None}
        is_known = self.numbering.id in ids
        has_begun = False
        overtaken: tuple[int, int] | None = None  # where an urgent message is that the viewer may not have
        for publication in self.ring.start_from(self.ring.first):
            position = publication.position
            if position is None:
                continue
            if position.id in ids:
                is_known = has_begun = True
                if publication.urgent and position.id in opened:  # it overtook; servers number in order
                    if position.number > after and overtaken is None:
                        overtaken = last, publication.number
                    continue
                if position.number > after:
                    break
            elif has_begun:
                break
            last, number = publication.timestamp, publication.number + 1
        if not is_known:
            return False
        if overtaken is not None and self.numbering.is_shared:
            last, number = overtaken  # elsewhere on another server; what follows in line comes again, as repetitions
        self.remove(viewer)
        self._send_from(viewer, number, last)
        return True

    def kept_from(self, since: int) -> int | None:
        """The time in microseconds since 1970 from which all messages are kept; None if it is not after ``since``."""
        return self.ring.floor + 1 if self.ring.floor >= since else None

    def resume_ahead(self, viewer: Viewer, after: int) -> None:
        """Add a viewer of version 4 that has later messages of the present epoch than have arrived here.

        Args:
            viewer: the connection.
            after: number of its last message; it gets those after it, as soon as they arrive.
        """
        assert self.numbering is not None
        self.remove(viewer)
        self._ahead_by_number[viewer] = StreamPosition(self.numbering.id, after)

    def note_reader(self, viewer: Viewer) -> None:
        """Make records from now on, if the viewer reads them."""
        if self.numbering is not None and viewer.session.encoding.record:
            self.numbering.makes_records = True

    def binding(self, viewer: Viewer, epoch: int | None = None, after: int = 0) -> Binding | None:
        """Return what a viewer has to know about the numbers of its messages; None before version 4.

        Args:
            viewer: the connection.
            epoch: the one in which it resumes; None if it named none.
            after: the number after which it resumes; 0 if it gets what follows anyway.
        """
        numbering = self.numbering
        if numbering is None or viewer.session.version < 4:
            return None
        if (ahead := self._ahead_by_number.get(viewer)) is not None:
            return numbering.binding(ahead.number + 1)
        present, following = self._following(viewer, numbering)
        waiting = viewer.session.first_waiting(self.name, present.id), self._fan_out.first_waiting(viewer, present.id)
        least = min([following, *(number for number in waiting if number is not None)])
        if present.epoch == epoch:
            return present.binding(max(least, after + 1))
        return present.binding(least, tells_end=present.ends_before == epoch)

    def _following(self, viewer: Viewer, numbering: Numbering) -> tuple[Epoch, int]:
        """Return the epoch and the number of the next message in order for a viewer."""
        backlog = self._backlogs.get(viewer)
        if backlog is None:
            return numbering.present, numbering.next
        for publication in self.ring.start_from(backlog.next):
            position = publication.position
            if position is not None and (epoch := numbering.find(position.id)) is not None:
                backlog.told = max(backlog.told, epoch.id)
                return epoch, self._first_of(epoch, publication.number)
        backlog.told = numbering.id
        return numbering.present, numbering.next

    def _send_from(self, viewer: Viewer, number: int, last: int) -> None:
        if number < self.ring.end:
            self._backlogs[viewer] = Backlog(number, last)
        else:
            self._live[viewer] = None

    def skip(self, viewer: Viewer, before: int) -> int | None:
        """Let a viewer that has just been added go on from the first message that is not older than a time.

        Args:
            viewer: the connection.
            before: in microseconds since 1970, by the clock of the stream's timestamps.

        Returns:
            The timestamp of the last message that it does not get because of this; None if there is none.
        """
        backlog = self._backlogs.get(viewer)
        if backlog is None:
            return None
        skipped = None
        for publication in self.ring.start_from(backlog.next):
            if publication.timestamp >= before:
                break
            skipped = publication
        if skipped is None:
            return None
        backlog.next, backlog.last = skipped.number + 1, skipped.timestamp
        if backlog.next == self.ring.end:
            del self._backlogs[viewer]
            self._live[viewer] = None
        return skipped.timestamp

    def remove(self, viewer: Viewer) -> None:
        """Remove a viewer; does nothing if it does not watch the stream."""
        self._live.pop(viewer, None)
        self._backlogs.pop(viewer, None)
        self._ahead.pop(viewer, None)
        self._ahead_by_number.pop(viewer, None)
        self._fan_out.forget(viewer)
        self.forget_if_idle()

    def hold(self) -> Hold:
        """Return a context within which the stream is not forgotten."""
        return Hold(self)

    def add_holder(self) -> None:
        """Keep the stream from being forgotten, until ``remove_holder``."""
        self._holders += 1

    def remove_holder(self) -> None:
        """Let the stream be forgotten, as far as this holder is concerned."""
        self._holders -= 1
        self.forget_if_idle()

    def forget_if_idle(self) -> None:
        """Forget the stream if it has no holders, no viewers and no messages."""
        if not (self._holders or self.viewers or self.ring):
            self._forget(self)

    def is_behind(self, viewer: Viewer) -> bool:
        """Return whether the viewer has a backlog."""
        return viewer in self._backlogs

    def next_for(self, viewer: Viewer) -> int:
        """Return the number in the ring of the next message for a viewer of this stream."""
        backlog = self._backlogs.get(viewer)
        return self.ring.end if backlog is None else backlog.next

    def catch_up(self, viewer: Viewer, now: float) -> bool:
        """Queue the next piece of a viewer's backlog. Call this while nothing is queued for the viewer.

        Args:
            viewer: the connection.
            now: in seconds of the loop's clock.

        Returns:
            True if this has to be called again. False if the viewer is up to date, or if the next message is encoded in
            a thread, which calls ``bring_up_to_date`` afterwards.
        """
        backlog = self._backlogs[viewer]
        session = viewer.session
        if backlog.next < self.ring.first:
            self._tell_loss(viewer, backlog)
        goes_on = True
        queued = 0
        for publication in self.ring.start_from(backlog.next):
            if queued and publication.position is not None and publication.position.id > backlog.told > 0:
                break  # an answer overtakes what waits
            self._tell_epoch(viewer, backlog, publication)
            is_overtaken = publication.number in backlog.overtaken
            encoded = backlog.encoded.pop(publication.number, None)
            if not is_overtaken and encoded is None and publication.takes_long(session.encoding):
                self._have_encoded(publication, viewer, backlog)
                goes_on = False
                break
            backlog.next = publication.number + 1
            backlog.last = publication.timestamp
            if is_overtaken:
                backlog.overtaken.remove(publication.number)
                continue
            outgoing = encoded or self.ring.frame(publication, session.encoding)
            if outgoing is None:
                continue
            session.enqueue(outgoing, now)
            queued += 1
            self._note_sent(outgoing, 1, 0)
            if _has_enough(session, outgoing, queued):
                break
        if backlog.next == self.ring.end:
            del self._backlogs[viewer]
            self._live[viewer] = None
            goes_on = False
            if self.numbering is not None and session.version >= 4 and self.numbering.id > backlog.told > 0:
                self._tell_epochs(viewer, backlog, self.numbering.id)
        self.ring.trim(now)
        return goes_on

    def _have_encoded(self, publication: Publication, viewer: Viewer, backlog: Backlog) -> None:
        """Encode a publication for the viewer in a thread, then continue with its backlog."""
        encoding = viewer.session.encoding

        def go_on(outgoing: Outgoing | None) -> None:
            if self._backlogs.get(viewer) is not backlog:
                return  # the viewer has left the stream, or subscribed again
            if outgoing is None:  # encoding failed, and has been logged
                backlog.next = publication.number + 1
            elif viewer.session.encoding is encoding:
                self.ring.keep(publication, encoding, outgoing)
                backlog.encoded[publication.number] = outgoing  # the ring may drop the frame before it is sent
            viewer.bring_up_to_date(self)
            viewer.pump(asyncio.get_running_loop().time())

        self._encodings.prepare(publication, encoding, go_on)

    def _await_no_longer(self, publication: Publication) -> None:
        """Send live messages from this one on to viewers that waited for a later one than they have."""
        position = publication.position
        for viewer, (since, told) in list(self._ahead.items()):
            if since < publication.timestamp:
                del self._ahead[viewer]
                self._live[viewer] = None
                self._tell_after_waiting(viewer, position, told)
        for viewer, last in list(self._ahead_by_number.items()):
            if position is None or position.id != last.id or position.number > last.number:
                del self._ahead_by_number[viewer]
                self._live[viewer] = None

    def _tell_after_waiting(self, viewer: Viewer, position: StreamPosition | None, told: int) -> None:
        """Tell a viewer of the epoch that began while it waited, from the first message on that it gets."""
        numbering = self.numbering
        if numbering is None or position is None or viewer.session.version < 4 or not position.id > told > 0:
            return
        epoch = numbering.find(position.id)
        if epoch is not None:
            self._answer_again(viewer, epoch.binding(position.number))

    def _send_ahead(self, publication: Publication, now: float) -> int:
        """Send an urgent publication to viewers that catch up, unless their backlog is already past it."""
        ahead = [viewer for viewer, backlog in self._backlogs.items() if publication.number >= backlog.next]
        for viewer in ahead:
            self._send_urgent(viewer, self._backlogs[viewer], now)
        return len(ahead)

    def _send_urgent(self, viewer: Viewer, backlog: Backlog, now: float) -> None:
        """Send the urgent messages of a backlog in their order, so that an alarm does not end before it begins."""
        session = viewer.session
        for publication in self.ring.start_from(backlog.next):
            if not publication.urgent or publication.number in backlog.overtaken:
                continue
            if publication.takes_long(session.encoding):
                break  # sent with the rest of the backlog
            self._tell_epoch(viewer, backlog, publication)
            outgoing = self.ring.frame(publication, session.encoding)
            if outgoing is None:
                break  # sealed, for a viewer that cannot open it
            # Sent with the rest of the backlog: to viewers that cannot tell that it was sent ahead, and in a flood.
            if outgoing.tier is not Tier.URGENT or _is_half_full(session):
                break
            backlog.overtaken.add(publication.number)
            session.enqueue(outgoing)
            self._note_sent(outgoing, 1, 0)
        viewer.pump(now)

    def _tell_loss(self, viewer: Viewer, backlog: Backlog) -> None:
        """Continue a backlog at the oldest message of the ring, and send the viewer an ERROR about the lost ones.

        A viewer of version 4 is answered again as well: there may be templates among the lost ones.
        """
        session = viewer.session
        lost = range(backlog.next, self.ring.first)
        frames = len(lost) - sum(number in lost for number in backlog.overtaken)
        if self.numbering is not None and session.version < 4:
            frames -= self.ring.templates_within(lost.start, lost.stop)
        backlog.overtaken.difference_update(lost)
        first = backlog.last + 1
        loss = Loss(first, max(first, self.ring.floor), frames)  # templates do not raise the floor
        backlog.next = self.ring.first
        if frames:
            session.counters.dropped += frames
            text = (
                f"{frames} frames were dropped: they are no longer kept, and this connection did not take them in time"
            )
            session.refuse(ErrorCode.RATE_LIMIT_EXCEEDED, text, details=loss.details(self.name))
        told = backlog.told
        if (binding := self.binding(viewer)) is None:
            return
        if binding.id > told > 0:
            backlog.told = told
            self._tell_epochs(viewer, backlog, binding.id)
        else:
            self._answer_again(viewer, binding)


def _has_enough(session: ServerSession, latest: Outgoing, queued: int) -> bool:
    """Return whether no more of a backlog is queued: so many frames of it were, the latest of which is given."""
    if latest.tier is Tier.BULK:  # it waits beside LIVE, whatever waits of that
        return queued >= CHUNK_FRAMES or session.queued_bulk_bytes >= BULK_CHUNK_BYTES
    return _is_half_full(session) or session.queued_frames >= CHUNK_FRAMES or session.queued_bytes >= CHUNK_BYTES


def _is_half_full(session: ServerSession) -> bool:
    settings = session.settings
    return session.queued_frames >= settings.queue_frames / 2 or session.queued_bytes >= settings.queue_bytes / 2
