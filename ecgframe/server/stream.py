"""One named stream: its messages get numbers, go to its ring, and are sent to its viewers.

Its parts, each of which uses those before it: ``announcing`` (what viewers learn of the numbers), ``viewers`` (who gets
what from the ring), ``stream_attestations``, and ``shared_numbers`` (the numbers that several servers share).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from ..codec import EncodedFrame, Message
from ..errors import InvalidDataFormat
from ..messages.templates import Template, template_number
from ..protocol import DATA_TYPES, HEADER_SIZES, Form, MessageType
from ..session import Settings
from ..session.record_writer import Record, Wanted
from .announcing import Announcer
from .backplane import PublishedBy, SharedNumber
from .disk_history import DiskHistory
from .encodings import Encodings
from .fan_out import NoteSent
from .history import Ring
from .lingering import Linger
from .numbering import Numbering
from .opaque_publication import OpaquePublication, opaque_frame
from .opening import Opening
from .portions import Portions
from .publication import Publication, may_be_record
from .publisher import Publisher
from .sealed_publication import SealedPublication
from .sealing import OF_TEMPLATES, Seals
from .shared_numbers import SharedNumbers
from .stream_attestations import StreamAttestations
from .viewers import Viewer, Viewers


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
    """One stream: its ring, its numbers and its viewers.

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
        name: as passed.
        ring: as passed.
        numbering: as passed.
        announcer: announces the epochs of the numbers to viewers.
        viewers: the connections that watch the stream.
        attestations: attests what is published.
        known_after: as passed.
        joined: whether the backplane follows the stream.
        joining: the task that joins it; None if there is none.
        source: what is published next, if that is known before it is delivered.
    """

    __slots__ = (
        "_forget",
        "_holders",
        "_note_ended",
        "_seals",
        "_settings",
        "_shared",
        "announcer",
        "attestations",
        "joined",
        "joining",
        "known_after",
        "name",
        "numbering",
        "ring",
        "source",
        "viewers",
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
        self.name = name
        self.ring = ring
        self.numbering = numbering
        self.announcer = announcer = Announcer(name, ring, numbering, seals)
        keep = None if disk is None else partial(self._keep_on_disk, disk)
        self.viewers = Viewers(name, ring, numbering, announcer, encodings, portions, note_sent, linger, keep)
        self.attestations = StreamAttestations(name, ring, numbering, announcer, self.viewers)
        self._shared: SharedNumbers | None = None
        if numbering is not None:
            self._shared = SharedNumbers(
                name, ring, numbering, announcer, self.viewers, self.attestations, settings, note_ended
            )
        self.known_after = known_after
        self.joined = False
        self.joining: asyncio.Task[None] | None = None
        self.source: Source | None = None
        self._holders = 0
        self._settings = settings
        self._seals = seals
        self._forget = forget
        self._note_ended = note_ended

    # --- what servers publish ---

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
        return self.viewers.send(publication, now)

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
        numbering, shared = self.numbering, self._shared
        if numbering is None or shared is None:
            pass
        elif place is not None and place.opening is not None:
            shared.follow_opening(place, place.opening)
            publication.set_position(numbering.present.position(place.number), shared.in_force(place.record))
        elif place is not None or numbering.publisher is None:  # otherwise it is beside the numbers
            shared.follow(place)
            publication.set_position(numbering.take(), None if place is None else place.record)
            self.attestations.note(publication, now, by)
        self.viewers.send(publication, now)

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
        if self.numbering is None or self._shared is None:
            return
        if place.opening is not None:
            self._shared.follow_opening(place, place.opening)
            self.deliver_opened_template(template, place.number, timestamp, now)
            return
        self._shared.follow(place)
        if self.numbering.present.has(place.number):
            self.numbering.take()  # it was among the templates that were there when the stream was joined
            return
        if not self._publish_template(template, timestamp, self.numbering, now, by):
            self.numbering.take()

    def deliver_attestation(self, encoded: EncodedFrame, place: SharedNumber, timestamp: int, now: float) -> None:
        """Add an attestation of a server to the ring and send it to the viewers of version 4.

        Args:
            encoded: its frame.
            place: its number.
            timestamp: in microseconds since 1970.
            now: in seconds of the loop's clock.
        """
        if self.numbering is None or self._shared is None:
            return
        self._shared.follow(place)
        payload = encoded.frame[HEADER_SIZES[4] :]
        self.attestations.deliver(payload, self.numbering.take(), timestamp, now)

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
        assert self._shared is not None
        before = tuple(templates)
        if opening is None:
            place = SharedNumber(epoch, last + 1, before=before, is_bulk=is_bulk)
            self._shared.follow(place)
        else:
            place = SharedNumber(epoch, last + 1, before=before, opening=opening, is_bulk=opening.is_bulk)
            self._shared.follow_opening(place, opening)

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

    def note_reader(self, viewer: Viewer) -> None:
        """Make records from now on, if the viewer reads them."""
        if self.numbering is not None and viewer.session.encoding.record:
            self.numbering.makes_records = True

    def _number(self, publication: Publication, numbering: Numbering, now: float) -> None:
        """Give a publication its number, make a record of it, and deliver a new template before it."""
        source, self.source = self.source, None
        if source is not None and source.number is not None:
            position = numbering.present.position(source.number)
            publication.set_position(position, self._handed_on(publication, source))
            publication.missing = numbering.present.newly_lost()
            return
        if numbering.publisher is not None:
            if numbering.publisher.owner is not None or now < numbering.publisher.left_at + self.ring.seconds:
                return  # the numbers are the publisher's
            self._begin_opened(None)
        attester = numbering.attester
        if attester is not None and attester.is_full:
            self.attestations.attest(publication.timestamp - 1, now)
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

    def _publish_template(
        self,
        template: Template,
        timestamp: int,
        numbering: Numbering,
        now: float,
        by: PublishedBy = PublishedBy.HERE,
    ) -> bool:
        """Deliver a new template, and write records with it from then on. Returns False if it cannot be sent."""
        oldest = self.announcer.oldest_of(numbering.present)
        outgoing = numbering.encode_template(template, timestamp, self._settings)
        if outgoing is None:
            return False
        position = numbering.present.position(numbering.next - 1)
        self.attestations.note_template(template, now, by)
        self.viewers.send(self.announcer.template_publication(timestamp, outgoing, position), now)
        numbering.write_with(template, outgoing, oldest, now)
        return True

    # --- what the client publishes that has opened the stream ---

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

    def open_shared(self, opening: Opening) -> None:
        """Take the messages of a client that has opened the stream at this server."""
        assert self.numbering is not None, "a peer that opens streams speaks version 4"
        self.numbering.admission = opening

    def _begin_opened(self, publisher: Publisher | None) -> None:
        """Begin another epoch of the numbers, and announce it to the viewers.

        Args:
            publisher: who gives the messages their numbers from now on; None if the server does.
        """
        numbering = self.numbering
        assert numbering is not None
        if numbering.publisher is None:
            self.attestations.finish_epoch()
        else:
            self._note_ended(self.name, numbering.epoch)
        numbering.begin_opened(publisher)
        self.viewers.announce()
        self.viewers.pump(asyncio.get_running_loop().time())

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
        oldest = min(number, self.announcer.oldest_of(numbering.present))
        self.viewers.send(self.announcer.template_publication(timestamp, outgoing, position), now)
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

    def deliver_sealed_at(self, encoded: EncodedFrame, place: SharedNumber, timestamp: int, now: float) -> None:
        """Deliver a message that the stream's publisher has sealed, at this server or another one.

        Args:
            encoded: its frame of version 4.
            place: its number.
            timestamp: in microseconds since 1970.
            now: in seconds of the loop's clock.
        """
        if self.numbering is None or self._shared is None or place.opening is None:
            return
        self._shared.follow_opening(place, place.opening)
        self._deliver_opaque(encoded, self.numbering, place.number, timestamp, now)

    def _deliver_opaque(
        self, encoded: EncodedFrame, numbering: Numbering, number: int, timestamp: int, now: float
    ) -> None:
        publication = OpaquePublication(self.name, timestamp, encoded, numbering.present.position(number))
        oldest = min(number, self.announcer.oldest_of(numbering.present))
        self.viewers.send(publication, now)
        outgoing = publication.outgoing(OF_TEMPLATES)
        if encoded.type is MessageType.STREAM_TEMPLATE and outgoing is not None:
            numbering.keep_sealed(outgoing, oldest)

    def note_sealed_by_publisher(self) -> None:
        """Note that the publisher of the present epoch seals its messages."""
        assert self.numbering is not None, "the stream is opened"
        self.numbering.present.is_sealed = True

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

    # --- what holds for all messages of an epoch ---

    @property
    def is_sealed(self) -> bool:
        """True if this server or the publisher of the present epoch seals its messages."""
        return self.is_sealed_by_publisher or (self._seals is not None and self._seals.seals(self.name))

    @property
    def is_sealed_by_publisher(self) -> bool:
        """True if the publisher of the present epoch seals its messages."""
        return self.numbering is not None and self.numbering.present.is_sealed

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

    def _keep_on_disk(self, disk: DiskHistory, publication: Publication) -> None:
        if publication.type not in DATA_TYPES:
            return
        if self.is_sealed:
            disk.skip(self.name)
        else:
            disk.add(self.name, publication.timestamp, publication.frame)

    # --- its viewers, and its end ---

    def remove(self, viewer: Viewer) -> None:
        """Remove a viewer; does nothing if it does not watch the stream."""
        self.viewers.remove(viewer)
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
