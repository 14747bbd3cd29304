"""Lets LIVE frames of a connection wait for others for a moment, so that they leave in one WebSocket message.

A central station that watches 64 beds at 20 frames a second is sent 1,280 messages a second, and each of them costs the
server a system call, and the browser an event. With ``Settings.linger`` of a few milliseconds, frames that are
published together are sent together. Alerts and control messages do not wait, and nothing waits behind a timer that
would otherwise have to wait for the network: such frames are queued, and sent in batches anyway.
"""

from __future__ import annotations

import asyncio
from itertools import count
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from ..protocol import MAX_BATCH_FRAMES, Capability
from ..session.outgoing import Tier
from .connection_writer import ConnectionWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..session import Outgoing, ServerSession
    from .connection_log import ConnectionLog
    from .link import Link
    from .pace import Pace
    from .portions import Portions

LARGEST: Final = 16 * 1024
"""Most bytes of frames in one message. An alert overtakes none of them, and records of this size stand for no more
samples than a receiver accepts in one message."""

MOST_FRAMES: Final = MAX_BATCH_FRAMES
MOST_BYTES: Final = 1024 * 1024
"""Frames that wait, and their bytes, at which all are sent before the time has passed."""

Part = tuple[bytes, "list[WaitingFrame]"]
"""A WebSocket message, and the frames in it."""


class WaitingFrame:
    """A frame that waits for others, and its viewers: those that it was published to.

    Args:
        outgoing: the frame.
        viewers: in the order in which they are written to.
        note_sent: called once it was sent, with the number of viewers and of those for which it was not queued.

    Attributes:
        outgoing: the frame.
        viewers: its viewers.
        queued: number of viewers for which it was queued.
    """

    __slots__ = ("_members", "_note_sent", "outgoing", "queued", "viewers")

    def __init__(
        self,
        outgoing: Outgoing,
        viewers: tuple[LingeringWriter, ...],
        note_sent: Callable[[Outgoing, int, int], None],
    ) -> None:
        self.outgoing = outgoing
        self.viewers = viewers
        self.queued = 0
        self._note_sent = note_sent
        self._members: frozenset[LingeringWriter] | None = None

    def is_for(self, viewer: LingeringWriter) -> bool:
        """Return whether the frame is for a viewer."""
        if self._members is None:
            self._members = frozenset(self.viewers)
        return viewer in self._members

    def note(self) -> None:
        """Count the frame as sent."""
        self._note_sent(self.outgoing, len(self.viewers), len(self.viewers) - self.queued)


class Linger:
    """The frames of a handler that wait for others, and the timer that sends them.

    A frame is kept once for all its viewers, which are looked at when the time has passed: so a viewer costs once for
    all frames that leave together, not once for each.

    Args:
        seconds: for which the first frame waits.

    Attributes:
        generation: changes when a connection begins to speak another version, or with other capabilities.
    """

    __slots__ = ("_frames", "_nbytes", "_seconds", "_sent", "_timer", "_writers", "generation")

    def __init__(self, seconds: float) -> None:
        self.generation = 0
        self._seconds = seconds
        self._writers: dict[QueueingWriter, None] = {}
        self._frames: list[WaitingFrame] = []
        self._nbytes = 0
        self._sent: dict[LingeringWriter, int] = {}
        """Viewers whose frames were sent early, and how many of ``_frames`` those are, from the first on."""
        self._timer: asyncio.TimerHandle | None = None

    @staticmethod
    def may_wait(outgoing: Outgoing) -> bool:
        """Return whether a frame may wait for others."""
        return (
            outgoing.tier is Tier.LIVE and not outgoing.deflated and not outgoing.queued and outgoing.nbytes <= LARGEST
        )

    def add(self, writer: QueueingWriter) -> None:
        """Send what a connection has queued when the time has passed, which may have begun for another one."""
        self._writers[writer] = None
        self._begin()

    def share(
        self,
        outgoing: Outgoing,
        viewers: tuple[LingeringWriter, ...],
        note_sent: Callable[[Outgoing, int, int], None],
    ) -> None:
        """Send a frame to viewers that all have its encoding and join frames, when the time has passed.

        Args:
            outgoing: the frame, for which ``may_wait`` holds.
            viewers: the connections.
            note_sent: called once it was sent. See ``WaitingFrame``.
        """
        self._frames.append(WaitingFrame(outgoing, viewers, note_sent))
        self._nbytes += outgoing.nbytes
        if len(self._frames) >= MOST_FRAMES or self._nbytes >= MOST_BYTES:
            self._send_shared()
        else:
            self._begin()

    def release(self, viewer: LingeringWriter) -> None:
        """Send a viewer the frames that wait for it, now."""
        if not self._frames:
            return
        frames = [frame for frame in self._frames[self._sent.get(viewer, 0) :] if frame.is_for(viewer)]
        self._sent[viewer] = len(self._frames)
        if frames:
            viewer.send_parts(joined(frames), asyncio.get_running_loop().time())

    def _begin(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._send_all)

    def _send_all(self) -> None:
        self._timer = None
        writers, self._writers = self._writers, {}
        self._send_shared()
        for writer in writers:
            writer.flush()

    def _send_shared(self) -> None:
        frames, self._frames = self._frames, []
        sent, self._sent = self._sent, {}
        self._nbytes = 0
        if not frames:
            return
        now = asyncio.get_running_loop().time()
        viewers = frames[0].viewers
        if not sent and all(frame.viewers == viewers for frame in frames):
            parts = joined(frames)
            for viewer in viewers:
                viewer.send_parts(parts, now)
        else:
            self._send_apart(frames, sent, now)
        for frame in frames:
            frame.note()

    @staticmethod
    def _send_apart(frames: list[WaitingFrame], sent: dict[LingeringWriter, int], now: float) -> None:
        """Send frames whose viewers differ. Viewers that get the same ones share the messages."""
        of_viewers: dict[LingeringWriter, list[int]] = {}
        for index, frame in enumerate(frames):
            for viewer in frame.viewers:
                if not sent or index >= sent.get(viewer, 0):
                    of_viewers.setdefault(viewer, []).append(index)
        known: dict[tuple[int, ...], list[Part]] = {}
        for viewer, indices in of_viewers.items():
            key = tuple(indices)
            parts = known.get(key)
            if parts is None:
                parts = known[key] = joined([frames[index] for index in indices])
            viewer.send_parts(parts, now)


def in_order(viewers: Iterable[LingeringWriter]) -> tuple[LingeringWriter, ...]:
    """Return viewers in the order of their connections, so that the same viewers of several streams are equal.

    Frames of viewers that are equal leave together without a look at each viewer of each frame; their subscriptions may
    have come in any order.
    """
    return tuple(sorted(viewers, key=_ordinal_of))


def joined(frames: list[WaitingFrame]) -> list[Part]:
    """Return the WebSocket messages that hold the frames, each within ``LARGEST`` bytes."""
    if sum([frame.outgoing.nbytes for frame in frames]) <= LARGEST:
        return [(b"".join([frame.outgoing.frame for frame in frames]), frames)]
    parts: list[Part] = []
    begin = nbytes = 0
    for index, frame in enumerate(frames):
        nbytes += frame.outgoing.nbytes
        if nbytes > LARGEST:
            parts += joined(frames[begin:index])
            begin, nbytes = index, frame.outgoing.nbytes
    return parts + joined(frames[begin:])


_ordinals = count()
_ordinal_of: Final = attrgetter("ordinal")


class LingeringWriter(ConnectionWriter):
    """A writer whose LIVE frames wait for others, if the peer supports batches and the link writes at once.

    Args:
        session: see ``ConnectionWriter``, as all arguments but one.
        link: see there.
        log: see there.
        pace: see there.
        linger: shared by the connections of the handler.
        rearm: see ``ConnectionWriter``.
        close: see there.

    Attributes:
        linger: shared by the connections of the handler.
        ordinal: its number among the connections of the process.
    """

    def __init__(
        self,
        session: ServerSession,
        link: Link,
        log: ConnectionLog,
        pace: Pace,
        linger: Linger,
        *,
        rearm: Callable[[], None],
        close: Callable[[], None],
    ) -> None:
        super().__init__(session, link, log, pace, rearm=rearm, close=close)
        self.linger = linger
        self.ordinal = next(_ordinals)

    _sends_past_link = False  # frames that wait go first

    @property
    def joins(self) -> bool:
        """True if its LIVE frames may wait for others. See ``Linger.generation``."""
        return Capability.BATCH in self.session.capabilities

    def renegotiated(self) -> None:
        """Note that the session speaks another version, or with other capabilities."""
        self.linger.generation += 1

    def take(self, outgoing: Outgoing, now: float) -> bool:
        """Send a frame, behind those that wait, or queue it. See ``ConnectionWriter.take``."""
        self.release()
        return super().take(outgoing, now)

    def take_in_turn(self, outgoing: Outgoing, portions: Portions) -> None:
        """Queue a large frame, behind those that wait. See ``ConnectionWriter.take_in_turn``."""
        self.release()
        super().take_in_turn(outgoing, portions)

    def pump(self, now: float) -> None:
        """Send what waits, then what is queued. See ``ConnectionWriter.pump``."""
        self.release()
        super().pump(now)

    def release(self) -> None:
        """Send the frames that wait, now. See ``ConnectionWriter.release``."""
        self.linger.release(self)

    def send_parts(self, parts: list[Part], now: float) -> None:
        """Write messages with frames that waited, or queue the frames from the first on that cannot be written.

        Args:
            parts: the messages, each with its frames.
            now: in seconds of the loop's clock.
        """
        link, session = self._link, self.session
        for index, (message, frames) in enumerate(parts):
            # The usual case first, in this function: it runs for each viewer, and is what lingering costs.
            count = len(frames)
            may_write = not self.session.is_held and link.can_write
            if may_write and not session.record_direct_sends(len(message), count, now):
                may_write = self._may_write_after_asking(len(message), count, now)
            if may_write:
                try:
                    link.write(message)
                except Exception as error:
                    self.lose(error)
                continue
            if self._is_lost:
                return
            rest = [frame for _, waiting in parts[index:] for frame in waiting]
            for frame in rest:
                frame.queued += 1
            for frame in rest[:-1]:
                self.session.enqueue(frame.outgoing, now)
            self._queue(rest[-1].outgoing, now)
            return

    def _may_write_after_asking(self, nbytes: int, frames: int, now: float) -> bool:
        """Ask how far the peer has read if that is due, and record that frames are sent; False to queue them."""
        session = self.session
        if session.has_waiting or session.closing or not session.is_to_ask:
            return False
        super().pump(now)
        return not self.session.is_held and self._link.can_write and session.record_direct_sends(nbytes, frames, now)


class QueueingWriter(ConnectionWriter):
    """A writer for a link that can only be awaited. Its LIVE frames wait in the queue of the session for others.

    Arguments and attributes are those of ``LingeringWriter``. Whatever else is sent, or received, ends the wait.
    """

    def __init__(
        self,
        session: ServerSession,
        link: Link,
        log: ConnectionLog,
        pace: Pace,
        linger: Linger,
        *,
        rearm: Callable[[], None],
        close: Callable[[], None],
    ) -> None:
        super().__init__(session, link, log, pace, rearm=rearm, close=close)
        self.linger = linger

    def take(self, outgoing: Outgoing, now: float) -> bool:
        """Queue a frame, and let it wait for others if it may. See ``ConnectionWriter.take``."""
        session = self.session
        if (
            outgoing.tier is not Tier.LIVE
            or outgoing.deflated
            or outgoing.queued
            or self.session.is_held
            or session.queued_bytes + outgoing.nbytes > LARGEST
            or session.queued_frames >= MAX_BATCH_FRAMES
            or Capability.BATCH not in session.capabilities
        ):
            return super().take(outgoing, now)
        session.enqueue(outgoing, now)
        if session.closing:
            self.pump(now)
        else:
            self.linger.add(self)
        return False
