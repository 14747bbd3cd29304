"""The streams of a server: made when they are asked for, forgotten when nobody would miss them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from .backplane import NO_PAST, Backplane
from .encodings import Encodings
from .fan_out import NoteSent
from .history import Ring, Room
from .limits import Limits
from .portions import Portions
from .stream import Stream
from .tasks import begin

FLOORS: Final = 4096
"""Streams forgotten of late of which the server still knows since when nothing was published."""


class TooManyStreams(RuntimeError):
    """The server remembers as many streams as it may, so no other one can be begun."""


class StreamClock(NamedTuple):
    """What gives the messages of a stream their timestamps.

    Attributes:
        now: by that clock, in microseconds since 1970.
        is_shared: whether it is the one clock of several servers, and not this server's own.
        is_whole: whether all that was published on any server until now has been delivered here.
    """

    now: int
    is_shared: bool
    is_whole: bool


class Streams:
    """The streams that a server remembers: those that somebody watches or that have messages in their ring.

    Args:
        limits: how many, and how much they keep.
        backplane: is told which streams to follow.
        wall_clock_us: gives microseconds since 1970.
        encodings: as ``Stream`` has it, and so with the next two.
    """

    def __init__(
        self,
        limits: Limits,
        backplane: Backplane,
        wall_clock_us: Callable[[], int],
        encodings: Encodings,
        portions: Portions,
        note_sent: NoteSent,
    ) -> None:
        self._limits = limits
        self._backplane = backplane
        self._wall_clock_us = wall_clock_us
        self._encodings = encodings
        self._portions = portions
        self._note_sent = note_sent
        self._room = Room(limits.rings_bytes)
        self._streams: dict[str, Stream] = {}
        self._floors: OrderedDict[str, int] = OrderedDict()
        self._sweeper: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._streams)

    def __contains__(self, name: object) -> bool:
        return name in self._streams

    @property
    def nbytes(self) -> int:
        """Bytes in all rings."""
        return self._room.used

    def get(self, name: str) -> Stream | None:
        """The stream, if it is remembered."""
        return self._streams.get(name)

    @contextmanager
    def hold(self, name: str) -> Iterator[Stream]:
        """The stream, made if need be, which is not forgotten within the context.

        Raises:
            TooManyStreams: it is not there, and no more may be.
        """
        stream = self._streams.get(name) or self._make(name)
        with stream.held():
            yield stream

    async def join(self, stream: Stream) -> None:
        """Have the backplane follow the stream, and its past delivered.

        Raises:
            TimeoutError: the backplane took too long.
            Exception: whatever else it raises.
        """
        if stream.joined:
            return
        if stream.joining is None:
            stream.joining = begin(self._join(stream))
        # Shielded: one viewer that goes away meanwhile does not take the stream from the others.
        await asyncio.shield(stream.joining)

    async def catch_up(self, stream: Stream, since: int | None) -> StreamClock:
        """Have what other servers published until now delivered here, where a viewer may know of more than this server.

        Args:
            stream: that the backplane follows.
            since: timestamp of the last message that the viewer has.

        Returns:
            The clock of the stream, afterwards.
        """
        is_whole = since is None or stream.ring.knows(since) or await self._backplane.catch_up(stream.name)
        shared = self._backplane.now()
        return StreamClock(self._wall_clock_us() if shared is None else shared, shared is not None, is_whole)

    def close(self) -> None:
        """Forget all."""
        for stream in self._streams.values():
            stream.ring.close()
            if stream.joining:
                stream.joining.cancel()
        self._streams.clear()
        self._floors.clear()
        if self._sweeper:
            self._sweeper.cancel()
            self._sweeper = None

    def stats(self) -> dict[str, dict[str, Any]]:
        """Of each stream: viewers, and what its ring holds."""
        return {
            name: {
                "viewers": stream.viewers,
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
            raise TooManyStreams(f"{len(self._streams)} streams are there already, as many as the limits allow")
        known_after = self._floors.pop(name, 0) or self._wall_clock_us()
        ring = Ring(self._limits.ring_seconds, self._limits.ring_bytes, self._room)
        stream = self._streams[name] = Stream(
            name, ring, known_after, self._encodings, self._portions, self._note_sent, self._forget
        )
        self._sweep_later()
        return stream

    async def _join(self, stream: Stream) -> None:
        try:
            now = self._backplane.now() or self._wall_clock_us()
            since = max(0, now - round(self._limits.ring_seconds * 1_000_000))
            async with asyncio.timeout(self._limits.hook_seconds):
                complete_after = await self._backplane.join(stream.name, since)
        finally:
            stream.joining = None
        stream.joined = True
        # While this server did not follow the stream, others may have published on it: only the engine knows.
        stream.ring.raise_floor(stream.known_after if complete_after == NO_PAST else complete_after)

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
        if stream.joined:
            self._floors[stream.name] = stream.ring.floor
            if len(self._floors) > FLOORS:
                self._floors.popitem(last=False)
