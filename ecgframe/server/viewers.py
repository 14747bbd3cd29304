"""The viewers of a stream, and how far each has got: up to date, catching up, or waiting for a later message."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from ..plural import counted
from ..protocol import ErrorCode
from ..session import Loss, StreamPosition
from ..session.outgoing import Tier
from .backlog import Backlog, is_half_full, is_piece_complete
from .fan_out import FanOut, NoteSent
from .fan_out import Viewer as UpToDateViewer

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..session import Binding, Outgoing
    from .announcing import Announcer
    from .encodings import Encodings
    from .history import Ring
    from .lingering import Linger
    from .numbering import Epoch, Numbering
    from .portions import Portions
    from .publication import Publication


class Viewer(UpToDateViewer, Protocol):
    """What a stream needs of a connection."""

    def pump(self, now: float) -> None:
        """Send as many queued messages as the link takes now."""

    def bring_up_to_date(self, stream: Any) -> None:
        """Call the stream's ``catch_up`` whenever nothing is queued, until it returns False."""


class _UpToDate:
    """The viewers that are up to date.

    They are asked for as a tuple, the same until one is added or removed, which is how ``FanOut`` knows them again.
    """

    __slots__ = ("_all", "_viewers")

    def __init__(self) -> None:
        self._viewers: dict[Viewer, None] = {}
        self._all: tuple[Viewer, ...] | None = None

    def __len__(self) -> int:
        return len(self._viewers)

    def all(self) -> tuple[Viewer, ...]:
        """Return the viewers, in the order in which they were added."""
        if self._all is None:
            self._all = tuple(self._viewers)
        return self._all

    def add(self, viewer: Viewer) -> None:
        self._viewers[viewer] = None
        self._all = None

    def discard(self, viewer: Viewer) -> None:
        """Remove a viewer, if it is among them."""
        if viewer in self._viewers:
            del self._viewers[viewer]
            self._all = None


class Viewers:
    """The viewers of one stream.

    A viewer that resumes is sent its backlog from the ring, piece by piece as its network takes it, and then messages
    that were published meanwhile, from the ring as well; only urgent messages go to it at once. A viewer may know a
    later message than the newest in the ring, because messages of another server have yet to arrive here: it waits for
    one that is later still.

    Args:
        stream: name of the stream.
        ring: ring of the stream.
        numbering: its numbers; None if the server does not speak version 4.
        announcer: announces the epochs of the numbers.
        encodings: encodes large publications in a thread.
        portions: turns for writing large frames.
        note_sent: called for each frame.
        linger: lets frames wait for others; None if none waits.
        keep: keeps each message longer than the ring does; None to keep none.
    """

    __slots__ = (
        "_announcer",
        "_backlogs",
        "_encodings",
        "_fan_out",
        "_keep",
        "_live",
        "_note_sent",
        "_numbering",
        "_ring",
        "_stream",
        "_waiting",
        "_waiting_by_number",
    )

    def __init__(
        self,
        stream: str,
        ring: Ring,
        numbering: Numbering | None,
        announcer: Announcer,
        encodings: Encodings,
        portions: Portions,
        note_sent: NoteSent,
        linger: Linger | None = None,
        keep: Callable[[Publication], None] | None = None,
    ) -> None:
        self._keep = keep
        self._stream = stream
        self._ring = ring
        self._numbering = numbering
        self._announcer = announcer
        self._encodings = encodings
        self._fan_out = FanOut(encodings, portions, ring.frame, ring.keep, note_sent, linger)
        self._note_sent = note_sent
        self._live = _UpToDate()
        self._backlogs: dict[Viewer, Backlog] = {}
        self._waiting: dict[Viewer, tuple[int, int]] = {}  # timestamp, and id of the epoch announced to the viewer
        self._waiting_by_number: dict[Viewer, StreamPosition] = {}

    def __len__(self) -> int:
        return len(self._live) + len(self._backlogs) + len(self._waiting) + len(self._waiting_by_number)

    # --- adding and removing ---

    def add(self, viewer: Viewer) -> None:
        """Add a viewer that gets messages from now on."""
        self.remove(viewer)
        self._live.add(viewer)

    def add_at(self, viewer: Viewer, number: int, last: int) -> None:
        """Add a viewer that gets what is in the ring from a publication on.

        Args:
            viewer: the connection.
            number: of that publication in the ring.
            last: timestamp of the message before it, in microseconds since 1970.
        """
        self.remove(viewer)
        if number < self._ring.end:
            self._backlogs[viewer] = Backlog(number, last)
        else:
            self._live.add(viewer)

    def add_waiting(self, viewer: Viewer, since: int) -> None:
        """Add a viewer that gets messages from the first one on that is later than ``since``, which is to arrive here.

        Args:
            viewer: the connection.
            since: timestamp of its last message, in microseconds since 1970.
        """
        self.remove(viewer)
        self._waiting[viewer] = since, 0 if self._numbering is None else self._numbering.id

    def add_waiting_by_number(self, viewer: Viewer, after: int) -> None:
        """Add a viewer of version 4 that has later messages of the present epoch than have arrived here.

        Args:
            viewer: the connection.
            after: number of its last message; it gets those after it, as soon as they arrive.
        """
        assert self._numbering is not None
        self.remove(viewer)
        self._waiting_by_number[viewer] = StreamPosition(self._numbering.id, after)

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
        for publication in self._ring.start_from(backlog.next):
            if publication.timestamp >= before:
                break
            skipped = publication
        if skipped is None:
            return None
        backlog.next, backlog.last = skipped.number + 1, skipped.timestamp
        if backlog.next == self._ring.end:
            del self._backlogs[viewer]
            self._live.add(viewer)
        return skipped.timestamp

    def remove(self, viewer: Viewer) -> None:
        """Remove a viewer; does nothing if it does not watch the stream."""
        self._live.discard(viewer)
        self._backlogs.pop(viewer, None)
        self._waiting.pop(viewer, None)
        self._waiting_by_number.pop(viewer, None)
        self._fan_out.forget(viewer)

    # --- the numbers ---

    def announce(self) -> None:
        """Announce the present epoch and its templates to the viewers of version 4 that are up to date.

        Those that catch up learn it in their turn, and those that wait for a time when that comes.
        """
        numbering = self._numbering
        assert numbering is not None
        kept = (each.position.id for each in self._ring.start_from(self._ring.first) if each.position is not None)
        numbering.forget_before(next(kept, numbering.id))
        binding = numbering.present.binding(numbering.next, tells_end=True)
        for viewer in (*self._live.all(), *self._waiting_by_number):
            if viewer.session.version >= 4:
                self._announcer.announce(viewer, binding)

    def pump(self, now: float) -> None:
        """Send what is queued for the viewers that are up to date, as far as their links take it now."""
        for viewer in self._live.all():
            viewer.pump(now)

    def binding(self, viewer: Viewer, epoch: int | None = None, after: int = 0) -> Binding | None:
        """Return what a viewer has to know about the numbers of its messages; None before version 4.

        Args:
            viewer: the connection.
            epoch: the one in which it resumes; None if it named none.
            after: the number after which it resumes; 0 if it gets what follows anyway.
        """
        numbering = self._numbering
        if numbering is None or viewer.session.version < 4:
            return None
        if (waiting_for := self._waiting_by_number.get(viewer)) is not None:
            return numbering.binding(waiting_for.number + 1)
        present, following = self._following(viewer, numbering)
        waiting = (
            viewer.session.first_waiting(self._stream, present.id),
            self._fan_out.first_waiting(viewer, present.id),
        )
        least = min([following, *(number for number in waiting if number is not None)])
        if present.epoch == epoch:
            return present.binding(max(least, after + 1))
        return present.binding(least, tells_end=present.ends_before == epoch)

    def _following(self, viewer: Viewer, numbering: Numbering) -> tuple[Epoch, int]:
        """Return the epoch and the number of the next message in order for a viewer."""
        backlog = self._backlogs.get(viewer)
        if backlog is None:
            return numbering.present, numbering.next
        for publication in self._ring.start_from(backlog.next):
            position = publication.position
            if position is not None and (epoch := numbering.find(position.id)) is not None:
                backlog.announced = max(backlog.announced, epoch.id)
                return epoch, self._announcer.first_of(epoch, publication.number)
        backlog.announced = numbering.id
        return numbering.present, numbering.next

    # --- sending ---

    def send(self, publication: Publication, now: float) -> int:
        """Add a publication to the ring and send it to the viewers.

        Args:
            publication: the message, with its number.
            now: in seconds of the loop's clock.

        Returns:
            The number of viewers to which it is sent now.
        """
        last = self._ring.latest
        self._ring.append(publication, now)
        if self._keep is not None:
            self._keep(publication)
        if self._waiting or self._waiting_by_number:
            self._await_no_longer(publication)
        if publication.is_bulk:
            self._hold_bulk_back(publication, last)
        viewers = self._live.all()
        if publication.missing:
            for viewer in viewers:
                self._report_missing(publication, viewer, last)
        self._fan_out.send(publication, viewers, now)
        taken = len(viewers)
        if publication.urgent and self._backlogs:
            taken += self._send_ahead(publication, now)
        self._ring.trim(now)
        return taken

    def _await_no_longer(self, publication: Publication) -> None:
        """Send live messages from this one on to viewers that waited for a later one than they have."""
        position = publication.position
        for viewer, (since, announced) in list(self._waiting.items()):
            if since < publication.timestamp:
                del self._waiting[viewer]
                self._live.add(viewer)
                self._announce_after_waiting(viewer, position, announced)
        for viewer, last in list(self._waiting_by_number.items()):
            if position is None or position.id != last.id or position.number > last.number:
                del self._waiting_by_number[viewer]
                self._live.add(viewer)

    def _announce_after_waiting(self, viewer: Viewer, position: StreamPosition | None, announced: int) -> None:
        """Announce the epoch that began while a viewer waited, from the first message on that it gets."""
        numbering = self._numbering
        if numbering is None or position is None or viewer.session.version < 4 or not position.id > announced > 0:
            return
        epoch = numbering.find(position.id)
        if epoch is not None:
            self._announcer.announce(viewer, epoch.binding(position.number))

    def _hold_bulk_back(self, publication: Publication, last: int) -> None:
        """Let viewers for which BULK waits go on from the ring, so that nothing is dropped and little is queued.

        Args:
            publication: the latest in the ring.
            last: timestamp of the one before it.
        """
        position = publication.position
        assert position is not None, "BULK is of a stream"
        for viewer in self._live.all():
            if not viewer.session.has_bulk or self._fan_out.first_waiting(viewer, position.id) is not None:
                continue
            self._live.discard(viewer)
            self._backlogs[viewer] = Backlog(publication.number, last, position.id)
            viewer.bring_up_to_date(self)

    def _send_ahead(self, publication: Publication, now: float) -> int:
        """Send an urgent publication to viewers that catch up, unless their backlog is already past it."""
        ahead = [viewer for viewer, backlog in self._backlogs.items() if publication.number >= backlog.next]
        for viewer in ahead:
            self._send_urgent(viewer, self._backlogs[viewer], now)
        return len(ahead)

    def _send_urgent(self, viewer: Viewer, backlog: Backlog, now: float) -> None:
        """Send the urgent messages of a backlog in their order, so that an alarm does not end before it begins."""
        session = viewer.session
        for publication in self._ring.start_from(backlog.next):
            if not publication.urgent or publication.number in backlog.overtaken:
                continue
            if publication.takes_long(session.encoding):
                break  # sent with the rest of the backlog
            self._announcer.announce_epoch_of(publication, viewer, backlog)
            outgoing = self._ring.frame(publication, session.encoding)
            if outgoing is None:
                break  # sealed, for a viewer that cannot open it
            # Sent with the rest of the backlog: to viewers that cannot tell that it was sent ahead, and in a flood.
            if outgoing.tier is not Tier.URGENT or is_half_full(session):
                break
            backlog.overtaken.add(publication.number)
            session.enqueue(outgoing)
            self._note_sent(outgoing, 1, 0)
        viewer.pump(now)

    # --- catching up, which the writers of the connections do ---

    @property
    def is_bulk(self) -> bool:
        """True if the stream is of the class BULK."""
        return self._numbering is not None and bool(self._numbering.present.is_bulk)

    def is_behind(self, viewer: Viewer) -> bool:
        """Return whether the viewer has a backlog."""
        return viewer in self._backlogs

    def next_for(self, viewer: Viewer) -> int:
        """Return the number in the ring of the next message for a viewer of this stream."""
        backlog = self._backlogs.get(viewer)
        return self._ring.end if backlog is None else backlog.next

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
        if backlog.next < self._ring.first:
            self._report_loss(viewer, backlog)
        goes_on = True
        queued = 0
        for publication in self._ring.start_from(backlog.next):
            if queued and publication.position is not None and publication.position.id > backlog.announced > 0:
                break  # an answer overtakes what waits
            self._announcer.announce_epoch_of(publication, viewer, backlog)
            is_overtaken = publication.number in backlog.overtaken
            encoded = backlog.encoded.pop(publication.number, None)
            if not is_overtaken and encoded is None and publication.takes_long(session.encoding):
                self._have_encoded(publication, viewer, backlog)
                goes_on = False
                break
            self._report_missing(publication, viewer, backlog.last)
            backlog.next = publication.number + 1
            backlog.last = publication.timestamp
            if is_overtaken:
                backlog.overtaken.remove(publication.number)
                continue
            outgoing = encoded or self._ring.frame(publication, session.encoding)
            if outgoing is None:
                continue
            session.enqueue(outgoing, now)
            queued += 1
            self._note_sent(outgoing, 1, 0)
            if is_piece_complete(session, outgoing, queued):
                break
        if backlog.next == self._ring.end:
            del self._backlogs[viewer]
            self._live.add(viewer)
            goes_on = False
            if self._numbering is not None and session.version >= 4 and self._numbering.id > backlog.announced > 0:
                self._announcer.announce_until(self._numbering.id, viewer, backlog)
        self._ring.trim(now)
        return goes_on

    def _have_encoded(self, publication: Publication, viewer: Viewer, backlog: Backlog) -> None:
        """Encode a publication for the viewer in a thread, then continue with its backlog."""
        encoding = viewer.session.encoding

        def go_on(outgoing: Outgoing | None) -> None:
            if self._backlogs.get(viewer) is not backlog:
                return  # the viewer has left the stream, or subscribed again
            if outgoing is None:  # encoding failed, and has been logged
                self._report_missing(publication, viewer, backlog.last)
                backlog.next = publication.number + 1
            elif viewer.session.encoding is encoding:
                self._ring.keep(publication, encoding, outgoing)
                backlog.encoded[publication.number] = outgoing  # the ring may drop the frame before it is sent
            viewer.bring_up_to_date(self)
            viewer.pump(asyncio.get_running_loop().time())

        self._encodings.prepare(publication, encoding, go_on)

    def _report_missing(self, publication: Publication, viewer: Viewer, last: int) -> None:
        """Send a viewer whose messages have no numbers an ERROR about those that are missing before a publication.

        Args:
            publication: the message after them.
            viewer: the connection.
            last: timestamp of the message before them, in microseconds since 1970.
        """
        if not publication.missing or viewer.session.version >= 4:
            return
        loss = Loss(last + 1, max(last + 1, publication.timestamp - 1), publication.missing)
        text = f"{counted(loss.frames, 'message')} of the stream did not reach this server"
        viewer.session.refuse(ErrorCode.RATE_LIMIT_EXCEEDED, text, details=loss.details(self._stream))

    def _report_loss(self, viewer: Viewer, backlog: Backlog) -> None:
        """Continue a backlog at the oldest message of the ring, and send the viewer an ERROR about the lost ones.

        The epoch is announced to a viewer of version 4 as well: there may be templates among the lost ones.
        """
        session, ring = viewer.session, self._ring
        lost = range(backlog.next, ring.first)
        frames = len(lost) - sum(number in lost for number in backlog.overtaken)
        if self._numbering is not None and session.version < 4:
            frames -= ring.templates_within(lost.start, lost.stop)
        backlog.overtaken.difference_update(lost)
        first = backlog.last + 1
        loss = Loss(first, max(first, ring.floor), frames)  # templates do not raise the floor
        backlog.next = ring.first
        if frames:
            session.counters.dropped += frames
            text = (
                f"{frames} frames were dropped: they are no longer kept, and this connection did not take them in time"
            )
            session.refuse(ErrorCode.RATE_LIMIT_EXCEEDED, text, details=loss.details(self._stream))
        announced = backlog.announced
        if (binding := self.binding(viewer)) is None:
            return
        if binding.id > announced > 0:
            backlog.announced = announced
            self._announcer.announce_until(binding.id, viewer, backlog)
        else:
            self._announcer.announce(viewer, binding)
