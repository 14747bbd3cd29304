"""One named stream: who watches it, and how each of them gets what is published and what it missed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from ..protocol import ErrorCode
from ..session import Loss, Outgoing, ServerSession
from ..session.outgoing import Tier
from .encodings import Encodings
from .fan_out import FanOut, NoteSent
from .fan_out import Viewer as UpToDateViewer
from .history import Ring
from .portions import Portions
from .publication import Publication

CHUNK_FRAMES: Final = 64
"""Frames of a backlog that are queued at once, at most."""

CHUNK_BYTES: Final = 256 * 1024
"""Bytes of a backlog after which no further frame is queued at once."""


class Viewer(UpToDateViewer, Protocol):
    """A connection, as far as a stream knows it."""

    def pump(self, now: float) -> None:
        """Send what is queued, as far as it can be sent at once."""

    def bring_up_to_date(self, stream: Stream) -> None:
        """Call ``catch_up`` of the stream whenever nothing is queued, for as long as that says so."""


class Backlog:
    """What a viewer has yet to get of a stream's ring before it is up to date.

    Attributes:
        next: number of the publication that it gets next.
        last: timestamp of the one that it got last.
        overtaken: numbers of urgent publications that it got ahead of their turn.
        encoded: the next publication for this viewer, by its number, where that had to be encoded first.
    """

    __slots__ = ("encoded", "last", "next", "overtaken")

    def __init__(self, next: int, last: int) -> None:
        self.next = next
        self.last = last
        self.overtaken: set[int] = set()
        self.encoded: dict[int, Outgoing] = {}


class Stream:
    """One stream: its ring, the viewers that are up to date, those that catch up with it, and those that know more.

    A viewer that comes back takes what it missed from the ring piece by piece, as its network does, and is given
    what is published meanwhile from there as well; only what is urgent goes to it at once. One whose last message is
    later than all that is in the ring waits for one that is later still: the past may yet arrive from another server.

    Args:
        name: its name.
        ring: its own.
        known_after: microseconds since 1970: whatever was published here later, the stream's ring has had.
        encodings: makes the frames that take long.
        portions: of all large frames of the server.
        note_sent: is told of each frame.
        forget: is called when nobody would miss the stream any more.

    Attributes:
        joined: whether the backplane follows it.
        joining: the task that makes it do so.
    """

    __slots__ = (
        "_ahead",
        "_backlogs",
        "_encodings",
        "_fan_out",
        "_forget",
        "_holders",
        "_live",
        "_note_sent",
        "joined",
        "joining",
        "known_after",
        "name",
        "ring",
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
    ) -> None:
        self.name = name
        self.ring = ring
        self.known_after = known_after
        self._holders = 0
        self.joined = False
        self.joining: asyncio.Task[None] | None = None
        self._encodings = encodings
        self._fan_out = FanOut(encodings, portions, ring.frame, ring.keep, note_sent)
        self._note_sent = note_sent
        self._forget = forget
        self._live: dict[Viewer, None] = {}
        self._ahead: dict[Viewer, int] = {}
        self._backlogs: dict[Viewer, Backlog] = {}

    @property
    def viewers(self) -> int:
        """Connections that watch it."""
        return len(self._live) + len(self._backlogs) + len(self._ahead)

    def deliver(self, publication: Publication, now: float) -> int:
        """Keep a publication and send it to all viewers. Returns to how many it goes now."""
        self.ring.append(publication, now)
        if self._ahead:
            self._await_no_longer(publication.timestamp)
        viewers = list(self._live)
        self._fan_out.send(publication, viewers, now)
        taken = len(viewers)
        if publication.urgent and self._backlogs:
            taken += self._send_ahead(publication, now)
        self.ring.trim(now)
        return taken

    def follow(self, viewer: Viewer) -> int:
        """Let a connection watch, from now on.

        Returns:
            The moment from which it gets what is published, in microseconds since 1970.
        """
        self.remove(viewer)
        self._live[viewer] = None
        return self.ring.latest + 1

    def resume_after(self, viewer: Viewer, since: int) -> int | None:
        """Let a connection watch from the message of that timestamp on.

        A timestamp that is none of this stream's tells nothing of what the viewer has: a server with another clock may
        have given it. Such a viewer is sent all that is kept.

        Args:
            viewer: that has the message already.
            since: its timestamp, in microseconds since 1970.

        Returns:
            None where the message is known, so that nothing is missing. Else the moment from which on nothing is.
        """
        self.remove(viewer)
        ring = self.ring
        if ring.knows(since):
            self._send_from(viewer, ring.number_after(since), since)
            return None
        self._send_from(viewer, ring.first, ring.floor)
        return ring.floor + 1

    def resume_shared(self, viewer: Viewer, since: int, now: int, *, is_whole: bool) -> int | None:
        """The same where one clock gives all servers their timestamps, so that places between two messages count.

        Args:
            viewer: that has the message already.
            since: its timestamp, in microseconds since 1970.
            now: by that clock.
            is_whole: whether all that was published on any server until now is here.

        Returns:
            As ``resume_after`` does.
        """
        ring = self.ring
        if not is_whole and ring.latest < since <= now:
            self.remove(viewer)
            self._ahead[viewer] = since
            return None
        if ring.floor <= since < (ring.oldest or now):  # before all that is kept, and what came before is not missing
            self.remove(viewer)
            self._send_from(viewer, ring.first, since)
            return None
        return self.resume_after(viewer, since)

    def resume_at(self, viewer: Viewer, moment: int, now: int) -> int | None:
        """Let a connection watch from a moment on, by the clock that gives this stream its timestamps.

        Args:
            viewer: whose messages have no timestamps, or who asks for a time.
            moment: in microseconds since 1970.
            now: by that clock.

        Returns:
            None where all from that moment on is here. Else the moment from which on it is.
        """
        self.remove(viewer)
        ring = self.ring
        if ring.floor <= moment <= max(now, ring.latest):
            self._send_from(viewer, ring.number_after(moment), moment)
            return None
        self._send_from(viewer, ring.first, ring.floor)
        return ring.floor + 1

    def _send_from(self, viewer: Viewer, number: int, last: int) -> None:
        if number < self.ring.end:
            self._backlogs[viewer] = Backlog(number, last)
        else:
            self._live[viewer] = None

    def remove(self, viewer: Viewer) -> None:
        """Let it watch no more."""
        self._live.pop(viewer, None)
        self._backlogs.pop(viewer, None)
        self._ahead.pop(viewer, None)
        self._fan_out.forget(viewer)
        self.forget_if_idle()

    @contextmanager
    def held(self) -> Iterator[None]:
        """The stream is not forgotten within this context."""
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
            self.forget_if_idle()

    def forget_if_idle(self) -> None:
        """Have the stream forgotten if nobody would miss it."""
        if not (self._holders or self.viewers or self.ring):
            self._forget(self)

    def is_behind(self, viewer: Viewer) -> bool:
        """Tell whether the viewer still has a backlog."""
        return viewer in self._backlogs

    def catch_up(self, viewer: Viewer, now: float) -> bool:
        """Queue the next piece of a viewer's backlog, which has nothing waiting. Tells whether to call this again.

        Not so where the viewer is up to date, and where something has to be encoded for it first, which then has it
        go on.
        """
        backlog = self._backlogs[viewer]
        session = viewer.session
        if backlog.next < self.ring.first:
            self._tell_loss(session, backlog)
        goes_on = True
        for publication in self.ring.start_from(backlog.next):
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
            session.enqueue(outgoing)
            self._note_sent(outgoing, 1, 0)
            if _is_half_full(session) or session.queued_frames >= CHUNK_FRAMES or session.queued_bytes >= CHUNK_BYTES:
                break
        if backlog.next == self.ring.end:
            del self._backlogs[viewer]
            self._live[viewer] = None
            goes_on = False
        self.ring.trim(now)
        return goes_on

    def _have_encoded(self, publication: Publication, viewer: Viewer, backlog: Backlog) -> None:
        """Have the viewer go on with its backlog once a publication is encoded for it."""
        encoding = viewer.session.encoding

        def go_on(outgoing: Outgoing | None) -> None:
            if self._backlogs.get(viewer) is not backlog:
                return  # it has left the stream, or come anew
            if outgoing is None:  # which a log says
                backlog.next = publication.number + 1
            elif viewer.session.encoding is encoding:
                self.ring.keep(publication, encoding, outgoing)
                backlog.encoded[publication.number] = outgoing  # the ring may let it go before its turn comes
            viewer.bring_up_to_date(self)
            viewer.pump(asyncio.get_running_loop().time())

        self._encodings.prepare(publication, encoding, go_on)

    def _await_no_longer(self, timestamp: int) -> None:
        """What comes now is new to viewers that knew more than the ring."""
        for viewer, since in list(self._ahead.items()):
            if since < timestamp:
                del self._ahead[viewer]
                self._live[viewer] = None

    def _send_ahead(self, publication: Publication, now: float) -> int:
        """Send what is urgent to viewers that catch up. One that is up to date by now has it already."""
        ahead = [viewer for viewer, backlog in self._backlogs.items() if publication.number >= backlog.next]
        for viewer in ahead:
            self._send_urgent(viewer, self._backlogs[viewer], now)
        return len(ahead)

    def _send_urgent(self, viewer: Viewer, backlog: Backlog, now: float) -> None:
        """Send what is urgent in a backlog, in its order: an alarm does not end before it has begun."""
        session = viewer.session
        for publication in self.ring.start_from(backlog.next):
            if not publication.urgent or publication.number in backlog.overtaken:
                continue
            if publication.takes_long(session.encoding):
                break  # it gets it in its turn
            outgoing = self.ring.frame(publication, session.encoding)
            # A viewer that could not tell, and resumes by timestamps, gets it in its turn; so it is with a flood.
            if outgoing.tier is not Tier.URGENT or _is_half_full(session):
                break
            backlog.overtaken.add(publication.number)
            session.enqueue(outgoing)
            self._note_sent(outgoing, 1, 0)
        viewer.pump(now)

    def _tell_loss(self, session: ServerSession, backlog: Backlog) -> None:
        """The ring has moved on: the viewer goes on at its oldest message and is told what it misses."""
        lost = range(backlog.next, self.ring.first)
        frames = len(lost) - sum(number in lost for number in backlog.overtaken)
        backlog.overtaken.difference_update(lost)
        loss = Loss(backlog.last + 1, self.ring.floor, frames)
        backlog.next = self.ring.first
        if frames:
            session.counters.dropped += frames
            text = (
                f"{frames} frames were dropped: they are no longer kept, and this connection did not take them in time"
            )
            session.refuse(ErrorCode.RATE_LIMIT_EXCEEDED, text, details=loss.details(self.name))


def _is_half_full(session: ServerSession) -> bool:
    settings = session.settings
    return session.queued_frames >= settings.queue_frames / 2 or session.queued_bytes >= settings.queue_bytes / 2
