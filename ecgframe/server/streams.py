"""The streams of a server: created on demand, forgotten when they have no viewers and no messages."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import count
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..errors import InvalidDataFormat, PermissionDenied, RateLimitExceeded
from ..protocol import OPENED_TEMPLATES_PER_MINUTE
from ..session import HistoryRequested, Settings
from .backplane import NO_PAST, OF_SERVERS, Backplane, NumberedBackplane
from .disk_history import DiskHistory
from .disk_past import past_on_disk
from .encodings import Encodings
from .fan_out import NoteSent
from .history import Ring, RingsLimit
from .limits import Limits
from .lingering import Linger
from .numbering import Numbering, TemplatesLimit
from .opening import Opening
from .playback import Past, Playback
from .portions import Portions
from .publisher import Novelties
from .sealing import Seals
from .stream import Hold, Stream
from .stream_attestations import StreamAttestations
from .tasks import begin
from .viewers import Viewer

if TYPE_CHECKING:
    from ..signing import SigningKey

FLOORS: Final = 4096
"""Forgotten streams whose ``Ring.floor`` and numbers are still remembered, for viewers that resume."""


class TooManyStreams(RuntimeError):
    """The stream is new, and ``Limits.streams`` is reached."""

    def __init__(self, message: str) -> None:
        super().__init__(message)


def is_stream_name(name: object, limits: Limits) -> bool:
    """Return whether peers may use a name for a stream: a text of a permitted length, and not one of the servers'."""
    return isinstance(name, str) and 0 < len(name) <= limits.stream_name and name not in OF_SERVERS


class StreamClock(NamedTuple):
    """The clock from which the messages of a stream take their timestamps.

    Attributes:
        now: its time, in microseconds since 1970.
        is_shared: whether all servers share it; False for the clock of this server.
        is_whole: whether every message that was published on any server until now has been delivered here.
    """

    now: int
    is_shared: bool
    is_whole: bool


class Streams:
    """The streams that a server keeps in memory: those with viewers, and those with messages in their ring.

    Args:
        limits: limits of the handler.
        backplane: joins and leaves the streams.
        wall_clock_us: returns microseconds since 1970.
        encodings: encodes large publications in a thread.
        portions: turns for writing large frames.
        note_sent: called for each frame.
        settings: those of the sessions. If they speak version 4, the messages of streams are numbered.
        numbered: the backplane, if the numbers come from there.
        seals: those of the handler; None if it seals no streams.
        signer: attests what is published; None to attest nothing.
        linger: lets frames wait for others; None if none waits.
        disk: keeps the messages on disk; None to keep none.
    """

    def __init__(
        self,
        limits: Limits,
        backplane: Backplane,
        wall_clock_us: Callable[[], int],
        encodings: Encodings,
        portions: Portions,
        note_sent: NoteSent,
        settings: Settings,
        numbered: NumberedBackplane | None = None,
        seals: Seals | None = None,
        signer: SigningKey | None = None,
        linger: Linger | None = None,
        disk: DiskHistory | None = None,
    ) -> None:
        self._linger = linger
        self._disk = disk
        self._signer = signer
        self._settings = settings
        self._seals = seals
        self._is_numbered = settings.latest_version >= 4
        self._numbered = numbered
        self._ids = count(1)
        self._templates_limit = TemplatesLimit()
        self._numberings: OrderedDict[str, Numbering] = OrderedDict()  # of streams that are forgotten
        self._ended: OrderedDict[tuple[str, int], None] = OrderedDict()  # epochs of publishers
        self._novelties: OrderedDict[str, Novelties] = OrderedDict()
        self._limits = limits
        self._backplane = backplane
        self._wall_clock_us = wall_clock_us
        self._encodings = encodings
        self._portions = portions
        self._note_sent = note_sent
        self._rings_limit = RingsLimit(limits.rings_bytes)
        self._streams: dict[str, Stream] = {}
        self._floors: OrderedDict[str, int] = OrderedDict()
        self._sweeper: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._streams)

    def __iter__(self) -> Iterator[Stream]:
        """Iterate over the streams in memory."""
        return iter(self._streams.values())

    def attestations(self) -> Iterator[StreamAttestations]:
        """Iterate over the attestations of the streams in memory."""
        return (stream.attestations for stream in self)

    def __contains__(self, name: object) -> bool:
        return name in self._streams

    @property
    def nbytes(self) -> int:
        """Bytes of the messages in all rings."""
        return self._rings_limit.used

    def get(self, name: str) -> Stream | None:
        """The stream, or None if it is not in memory."""
        return self._streams.get(name)

    def hold(self, name: str) -> Hold:
        """Return a context that gives the stream, created if necessary, and keeps it from being forgotten.

        Raises:
            TooManyStreams: the stream is new, and ``Limits.streams`` is reached.
        """
        return Hold(self._streams.get(name) or self._make(name))

    async def join(self, stream: Stream) -> None:
        """Have the backplane follow the stream and deliver its past messages.

        Raises:
            TimeoutError: this took more than ``Limits.hook_seconds``.
            Exception: another error of the backplane.
        """
        if stream.joined:
            return
        if stream.joining is None:
            stream.joining = begin(self._join(stream))
        # Shielded, so that a viewer that leaves meanwhile does not cancel the task for the others.
        await asyncio.shield(stream.joining)

    async def catch_up(self, stream: Stream, since: int | None, place: tuple[int, int] | None = None) -> StreamClock:
        """Deliver messages of other servers that are still on their way, if a viewer may already have some of them.

        Args:
            stream: a stream that the backplane follows.
            since: timestamp of the last message that the viewer has, in microseconds since 1970; None if it has none.
            place: epoch and number of that message, if the viewer has named them.

        Returns:
            The clock of the stream, read afterwards.
        """
        if stream.numbering is not None and place is not None and self._numbered is not None:
            epoch, after = place
            is_behind = epoch != stream.numbering.epoch or after >= stream.numbering.next
            is_whole = not is_behind or await self._backplane.catch_up(stream.name)
            if is_behind and is_whole:
                self._take_up(stream, self._numbered)
        else:
            is_whole = since is None or stream.ring.knows(since) or await self._backplane.catch_up(stream.name)
        shared = self._backplane.now()
        return StreamClock(self._wall_clock_us() if shared is None else shared, shared is not None, is_whole)

    async def past_of(self, stream: Stream, request: HistoryRequested) -> Past | None:
        """Read from disk what a viewer has asked for, and the ring does not have; None if there is nothing.

        Raises:
            HistoryBusy: too much is being sent from disk.
        """
        if self._disk is None or stream.is_sealed:
            return None
        return await past_on_disk(self._disk, stream, request, next(self._ids), self._settings)

    def play_back(
        self, stream: Stream, viewer: Viewer, request: HistoryRequested, past: Past | None = None
    ) -> Playback:
        """Begin a history of a stream for a viewer of version 4, under an id of its own.

        Args:
            stream: the stream.
            viewer: the connection.
            request: what it has asked for.
            past: what was found on disk; None to take it from the ring.
        """
        return Playback(stream, viewer, request, next(self._ids), self._encodings, past)

    def close(self) -> None:
        """Forget all streams."""
        for stream in self._streams.values():
            stream.ring.close()
            if stream.joining:
                stream.joining.cancel()
        self._streams.clear()
        self._floors.clear()
        self._numberings.clear()
        if self._sweeper:
            self._sweeper.cancel()
            self._sweeper = None

    def names(self) -> list[str]:
        """The names of the streams in memory."""
        return list(self._streams)

    def stats(self) -> dict[str, dict[str, Any]]:
        """For each stream: the number of viewers, and frames, bytes and seconds in its ring."""
        return {
            name: {
                "viewers": len(stream.viewers),
                "frames": len(stream.ring),
                "bytes": stream.ring.nbytes,
                "seconds": stream.ring.span,
            }
            for name, stream in self._streams.items()
        }

    def _make(self, name: str) -> Stream:
        if len(self._streams) >= self._limits.streams:
            self._sweep()
        if len(self._streams) >= self._limits.streams:
            raise TooManyStreams(f"there are {len(self._streams)} streams already, the most that Limits.streams allows")
        known_after = self._floors.pop(name, 0) or self._wall_clock_us()
        ring = Ring(self._limits.ring_seconds, self._limits.ring_bytes, self._rings_limit)
        stream = self._streams[name] = Stream(
            name,
            ring,
            known_after,
            self._encodings,
            self._portions,
            self._note_sent,
            self._forget,
            self._note_ended,
            self._numbering_of(name),
            self._settings,
            self._seals,
            self._linger,
            self._disk,
        )
        self._sweep_later()
        return stream

    def _numbering_of(self, name: str) -> Numbering | None:
        """Return the numbering of a stream, which continues where it was left; None if the server has none."""
        if not self._is_numbered:
            return None
        draw_id = self._ids.__next__
        return self._numberings.pop(name, None) or Numbering(
            name, draw_id(), self._templates_limit, draw_id, self._signer
        )

    def open(self, stream: Stream, epoch: int, owner: object, now: float) -> int:
        """Open a stream for a publisher, or let it go on in its epoch.

        Args:
            stream: the stream.
            epoch: of the publisher's numbers.
            owner: its connection.
            now: in seconds of the loop's clock.

        Returns:
            The number of the message that is expected next.

        Raises:
            PermissionDenied: the epoch has ended.
            InvalidDataFormat: there were too many new epochs and templates within a minute.
        """
        name, numbering = stream.name, stream.numbering
        assert numbering is not None, "a peer that opens streams speaks version 4"
        publisher = numbering.publisher
        if publisher is None or publisher.epoch != epoch:
            if (name, epoch) in self._ended:
                raise PermissionDenied("this epoch of the stream has ended; a new one has to be another number")
            self.admit_novelty(name, now)
        return stream.open(epoch, owner)

    async def open_shared(self, stream: Stream, epoch: int, owner: object, now: float) -> int:
        """Open a stream that several servers share. Arguments and result are those of ``open``.

        Raises:
            PermissionDenied: the epoch has ended.
            RateLimitExceeded: the other servers cannot be asked now.
            InvalidDataFormat: there were too many new epochs and templates within a minute.
        """
        name, numbering, backplane = stream.name, stream.numbering, self._numbered
        assert numbering is not None, "a peer that opens streams speaks version 4"
        assert backplane is not None, "the stream is shared"
        present = numbering.admission
        if present is not None and present.epoch == epoch and present.publisher.owner is owner:
            return present.publisher.line + 1
        if numbering.epoch != epoch and (present is None or present.epoch != epoch):
            if (name, epoch) in self._ended:
                raise PermissionDenied("this epoch of the stream has ended; a new one has to be another number")
            self.admit_novelty(name, now)
        opening = await backplane.open_stream(name, epoch)
        if opening is None:  # it may have been opened at another server since
            raise RateLimitExceeded("the other servers cannot be asked how far the stream has got; try again")
        opening.publisher.owner = owner
        stream.open_shared(opening)
        return opening.publisher.line + 1

    def admission(self, name: str) -> Opening | None:
        """Return the latest opening of a stream at this server, if several servers share it."""
        stream = self._streams.get(name)
        numbering = self._numberings.get(name) if stream is None else stream.numbering
        return None if numbering is None else numbering.admission

    def _note_ended(self, name: str, epoch: int) -> None:
        self._ended[name, epoch] = None
        if len(self._ended) > FLOORS:
            self._ended.popitem(last=False)

    def admit_novelty(self, name: str, now: float) -> None:
        """Count a new epoch or template of an opened stream.

        Raises:
            InvalidDataFormat: there were too many within a minute.
        """
        novelties = self._novelties.setdefault(name, Novelties())
        self._novelties.move_to_end(name)
        if len(self._novelties) > FLOORS:
            self._novelties.popitem(last=False)
        if not novelties.admit(now):
            raise InvalidDataFormat(
                f"more than {OPENED_TEMPLATES_PER_MINUTE} new templates and epochs of a stream in a minute"
            )

    async def _join(self, stream: Stream) -> None:
        try:
            now = self._backplane.now() or self._wall_clock_us()
            since = max(0, now - round(self._limits.ring_seconds * 1_000_000))
            async with asyncio.timeout(self._limits.hook_seconds):
                complete_after = await self._backplane.join(stream.name, since)
        finally:
            stream.joining = None
        stream.joined = True
        # Other servers may have published on the stream before this one followed it; only the engine knows.
        stream.ring.raise_floor(stream.known_after if complete_after == NO_PAST else complete_after)
        if self._numbered is not None and stream.numbering is not None:
            self._take_up(stream, self._numbered)

    def _take_up(self, stream: Stream, backplane: NumberedBackplane) -> None:
        """Number the next messages of a stream in the epoch of the backplane, if there is one."""
        position = backplane.position(stream.name)
        if position is not None:
            epoch, last = position
            templates, opening = backplane.templates(stream.name, epoch), backplane.opening(stream.name)
            stream.take_up(epoch, last, templates, opening, is_bulk=backplane.class_of(stream.name))

    def _sweep_later(self) -> None:
        if self._sweeper is None:
            pause = min(max(self._limits.ring_seconds / 2, 0.05), 5.0)
            self._sweeper = asyncio.get_running_loop().call_later(pause, self._on_sweep)

    def _on_sweep(self) -> None:
        self._sweeper = None
        self._sweep()
        if self._streams:
            self._sweep_later()

    def _sweep(self) -> None:
        now = asyncio.get_running_loop().time()
        for stream in list(self._streams.values()):
            stream.ring.trim(now)
            stream.forget_if_idle()

    def _forget(self, stream: Stream) -> None:
        if self._streams.get(stream.name) is not stream:
            return
        del self._streams[stream.name]
        stream.ring.close()
        self._backplane.leave(stream.name)
        if stream.numbering is not None:
            self._numberings[stream.name] = stream.numbering
            if len(self._numberings) > FLOORS:
                self._numberings.popitem(last=False)[1].close()
        if stream.joined:
            self._floors[stream.name] = stream.ring.floor
            if len(self._floors) > FLOORS:
                self._floors.popitem(last=False)
