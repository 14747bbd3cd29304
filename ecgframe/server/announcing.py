"""Announces the epochs of a stream to its viewers of version 4: id, next number, and the templates in force.

Section "Streams by number" of the specification. An announcement is an answer to SUBSCRIBE that nobody asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .publication import TemplatePublication
from .sealed_publication import SealedTemplate

if TYPE_CHECKING:
    from ..session import Binding, Outgoing, ServerSession, StreamPosition
    from .backlog import Backlog
    from .history import Ring
    from .numbering import Epoch, Numbering
    from .publication import Publication
    from .sealing import Seals, StreamSeal


class Listener(Protocol):
    """What an announcement needs of a connection."""

    session: ServerSession


class Announcer:
    """Announces the epochs of one stream to its viewers.

    Args:
        stream: name of the stream.
        ring: ring of the stream.
        numbering: its numbers; None if the server does not speak version 4, so that nothing is announced.
        seals: those of the handler; None if it seals no streams.
    """

    __slots__ = ("_numbering", "_ring", "_seals", "_stream")

    def __init__(self, stream: str, ring: Ring, numbering: Numbering | None, seals: Seals | None) -> None:
        self._stream = stream
        self._ring = ring
        self._numbering = numbering
        self._seals = seals

    def announce(self, viewer: Listener, binding: Binding) -> None:
        """Announce an epoch to a viewer, with the number that comes next for it."""
        binding = self.sealed_binding(binding, viewer.session)
        viewer.session.answer_subscription(self._stream, "subscribed", binding=binding)

    def announce_epoch_of(self, publication: Publication, viewer: Listener, backlog: Backlog) -> None:
        """Announce the epoch of a publication to a viewer that catches up, if it does not know that yet."""
        position = publication.position
        if viewer.session.version < 4 or position is None or position.id <= backlog.announced:
            return
        self.announce_until(position.id, viewer, backlog)

    def announce_until(self, id: int, viewer: Listener, backlog: Backlog) -> None:
        """Announce the epoch with an id to a viewer that catches up, and those before it whose ends are known.

        The end of an epoch is announced only to viewers to which that epoch was announced.
        """
        assert self._numbering is not None
        tells_end = self._numbering.find(backlog.announced) is not None
        for epoch in self._numbering.since(backlog.announced, id):
            if epoch.id == id or (backlog.announced and epoch.before is not None):
                self.announce(viewer, epoch.binding(self.first_of(epoch, backlog.next), tells_end=tells_end))
                tells_end = True
            else:
                tells_end = False
        backlog.announced = id

    def first_of(self, epoch: Epoch, start: int) -> int:
        """The least number of an epoch among the publications from a number in the ring on, or its next one.

        Messages in order have rising numbers, and those that overtook them higher ones.
        """
        least = epoch.next
        for publication in self._ring.start_from(start):
            position = publication.position
            if position is None or position.id != epoch.id:
                continue
            least = min(least, position.number)
            if not publication.urgent:
                break
        return least

    def oldest_of(self, epoch: Epoch) -> int:
        """The number of the oldest message of an epoch in the ring, or its next one."""
        return self.first_of(epoch, self._ring.first)

    def sealed_binding(self, binding: Binding, session: ServerSession) -> Binding:
        """Return what is announced to a viewer, with sealed templates if the stream is sealed for it."""
        if self._seals is None or not self._seals.seals(self._stream):
            return binding
        if not session.encoding.sealed and self._seals.offers_plain(self._stream):
            return binding
        seal = self._seal()
        return binding._replace(templates=()) if seal is None else seal.sealed_binding(binding)

    def template_publication(self, timestamp: int, outgoing: Outgoing, position: StreamPosition) -> TemplatePublication:
        """Return the publication of a template or an attestation, which is sealed if the stream is.

        Args:
            timestamp: in microseconds since 1970.
            outgoing: its frame.
            position: its number.
        """
        seal = self._seal()
        if seal is None:
            return TemplatePublication(self._stream, timestamp, outgoing, position)
        return SealedTemplate(self._stream, timestamp, outgoing, position, seal)

    def _seal(self) -> StreamSeal | None:
        """Return the seal of the stream; None if it is not sealed, or no key is valid."""
        try:
            return None if self._seals is None else self._seals.of(self._stream)
        except ValueError:
            return None
