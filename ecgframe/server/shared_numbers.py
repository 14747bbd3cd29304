"""Follows the numbers of a stream that several servers share: its epochs, and templates not delivered here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..codec import EncodedFrame
from ..session import StreamPosition
from .opaque_publication import OpaquePublication
from .sealing import OF_TEMPLATES

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..session import Settings
    from ..session.record_writer import Record
    from .announcing import Announcer
    from .backplane import SharedNumber
    from .history import Ring
    from .numbering import Numbering
    from .opening import Opening
    from .stream_attestations import StreamAttestations
    from .viewers import Viewers


class SharedNumbers:
    """Follows the numbers of one stream, as the backplane gives them to its messages.

    Args:
        stream: name of the stream.
        ring: ring of the stream.
        numbering: the numbers here.
        announcer: finds the oldest message of an epoch.
        viewers: the new epochs are announced to them.
        attestations: those of this server.
        settings: for the frames of templates.
        note_ended: called with name and epoch when the epoch of a publisher has ended.
    """

    __slots__ = (
        "_announcer",
        "_attestations",
        "_note_ended",
        "_numbering",
        "_ring",
        "_settings",
        "_stream",
        "_viewers",
    )

    def __init__(
        self,
        stream: str,
        ring: Ring,
        numbering: Numbering,
        announcer: Announcer,
        viewers: Viewers,
        attestations: StreamAttestations,
        settings: Settings,
        note_ended: Callable[[str, int], None],
    ) -> None:
        self._stream = stream
        self._ring = ring
        self._numbering = numbering
        self._announcer = announcer
        self._viewers = viewers
        self._attestations = attestations
        self._settings = settings
        self._note_ended = note_ended

    def follow(self, place: SharedNumber | None) -> None:
        """Begin another epoch if that of the next message is not the present one, and announce it.

        Args:
            place: the number of the message, which servers have given it; None if it has none, so that this server
                numbers it in an epoch of its own.
        """
        numbering = self._numbering
        if place is None:
            if numbering.is_shared:
                numbering.begin(None, 1)
                self._viewers.announce()
            return
        if not numbering.is_shared or place.epoch != numbering.epoch:
            if numbering.publisher is not None:
                self._note_ended(self._stream, numbering.epoch)
            self._attestations.finish_epoch()
            numbering.begin(place.epoch, place.number - (place.lost or 0), follows=place.lost is not None)
            numbering.present.is_bulk = place.is_bulk
            self._take_templates(place)
            self._viewers.announce()
            numbering.present.go_on_from(place.number)
            return
        if numbering.present.is_bulk is None:
            numbering.present.is_bulk = place.is_bulk
        numbering.present.go_on_from(place.number)
        if self._take_templates(place):
            self._viewers.announce()  # they were among messages that will not come

    def follow_opening(self, place: SharedNumber, opening: Opening) -> None:
        """Begin the epoch of a publisher if that of the next message is not the present one, and announce it.

        Args:
            place: the number of the message, which the publisher has given it.
            opening: of the publisher.
        """
        numbering = self._numbering
        admission = numbering.admission
        if admission is not None and opening.order > admission.order:
            numbering.admission = None  # the stream was opened elsewhere
        present = numbering.present
        is_new = present.publisher is None or present.epoch != opening.epoch
        if is_new:
            if present.publisher is not None:
                self._note_ended(self._stream, present.epoch)
            self._attestations.finish_epoch()
            numbering.begin_shared(opening)
        elif present.publisher is not opening.publisher:
            present.publisher = opening.publisher  # of a stream that was left and is followed again
        numbering.present.is_bulk = place.is_bulk if place.is_bulk is not None else numbering.present.is_bulk
        numbering.present.is_sealed = numbering.present.is_sealed or opening.is_sealed
        if self._take_opened_templates(place) or is_new:
            self._viewers.announce()

    def in_force(self, record: Record | None) -> Record | None:
        """Return the record if its template is one of the latest: later viewers know no others."""
        if record is None or self._numbering.present.in_force(record.template.number) is None:
            return None
        return record

    def _take_templates(self, place: SharedNumber) -> int:
        """Write with templates of servers that were not delivered here. Returns how many there are."""
        numbering, taken = self._numbering, 0
        for number, template in place.before:
            if isinstance(template, EncodedFrame):
                continue  # of a publisher
            if number < place.number and not numbering.present.has(number):
                position = StreamPosition(numbering.id, number)
                outgoing = numbering.encode_template_at(template, position, self._ring.latest, self._settings)
                if outgoing is not None:
                    numbering.write_with(template, outgoing, self._announcer.oldest_of(numbering.present), 0.0)
                    taken += 1
        return taken

    def _take_opened_templates(self, place: SharedNumber) -> int:
        """Keep templates of the publisher that were not delivered here. Returns how many there are."""
        numbering, taken = self._numbering, 0
        for number, template in place.before:
            if numbering.present.has(number):
                continue
            position = numbering.present.position(number)
            oldest = self._announcer.oldest_of(numbering.present)
            if isinstance(template, EncodedFrame):
                outgoing = OpaquePublication(self._stream, self._ring.latest, template, position).outgoing(OF_TEMPLATES)
                if outgoing is not None:
                    numbering.keep_sealed(outgoing, oldest)
            else:
                outgoing = numbering.encode_template_at(template, position, self._ring.latest, self._settings)
                if outgoing is not None:
                    numbering.keep_opened(template, outgoing, oldest)
            taken += outgoing is not None
        return taken
