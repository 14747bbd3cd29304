"""Several servers joined by Redis Streams.

Each stream of messages is one stream in Redis, an entry a message, whose id is the message's timestamp: the time by
Redis' clock, whatever the clocks of the servers say. All servers deliver what they read there, their own messages too:
so they agree on one order and one timestamp for each message. While Redis is away, a server delivers its own messages
itself, by what it last knew of Redis' clock, and keeps them for Redis.
"""

from __future__ import annotations

import asyncio
import math
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from ..backplane import Deliver
from ..logs import log_failure, logger
from ..timestamps import system_clock
from .clock import RedisClock
from .commands import CONNECT, Commands, Keys, is_absence, own_pool, pauses, two_clients
from .outbox import Message, Outbox
from .reader import Reader
from .stream import FollowedStream, FollowedStreams
from .writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.asyncio import Redis

MiB: Final = 1024 * 1024

LONGEST_PAUSE: Final = 1.0
"""Seconds between two attempts to reach Redis."""


class RedisBackplane:
    """The backplane of servers that share one Redis (6.2 or newer).

    What Redis keeps of a stream lets viewers resume on another server. What it does not keep, because it was killed,
    the servers write again from memory, as far as that reaches: ``seconds`` and ``outbox_bytes``.

    When Redis gives no answer for ``patience`` seconds, each server goes on alone: what is published on it reaches its
    own viewers at once, and the others when Redis is back. Each server still delivers every message once, with
    timestamps that increase. If several servers published on one stream meanwhile, though, they have delivered those
    messages in different orders, and under timestamps that differ.

    It talks to one Redis, or to the master that Sentinel names (``Sentinel.master_for``), not to a Redis Cluster.

    Args:
        redis: a URL (``redis://``, ``rediss://``, ``unix://``), or a client to whose server, and with whose
            credentials, own connections are opened.
        prefix: of all keys in Redis.
        seconds: that messages are kept: by Redis, and by this server for Redis.
        max_bytes: that Redis keeps at most of one stream.
        outbox_bytes: that this server keeps at most for Redis, all streams together.
        patience: seconds without an answer after which Redis counts as away.
        clock: this server's, in microseconds since 1970; the system's by default.

    Raises:
        MissingLibrary: redis-py is not installed.
        ValueError: a URL that redis-py does not read, or a number that is not above 0.
    """

    def __init__(
        self,
        redis: str | Redis,
        *,
        prefix: str = "ecgframe:",
        seconds: float = 30.0,
        max_bytes: int = 16 * MiB,
        outbox_bytes: int = 64 * MiB,
        patience: float = 0.5,
        clock: Callable[[], int] | None = None,
    ) -> None:
        bounds = {"seconds": seconds, "max_bytes": max_bytes, "outbox_bytes": outbox_bytes, "patience": patience}
        for name, value in bounds.items():
            if not 0 < value < math.inf:
                raise ValueError(f"{name} is a finite number above 0, not {value}")
        self._pool = own_pool(redis)
        self._origin = uuid.uuid4().hex.encode()
        self._keys = Keys(prefix, self._origin)
        self._kept = round(seconds * 1_000_000)
        self._max_bytes = max_bytes
        self._patience = patience
        self._streams = FollowedStreams(self._make_stream)
        self._outbox = Outbox(seconds, outbox_bytes)
        self._clock = RedisClock(clock or system_clock)
        self._reader = Reader(self._streams, self._clock, patience, self._has_read)
        self._writer = Writer(self._streams, self._outbox, patience, self._has_written)
        self._deliver: Deliver | None = None
        self._running: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self._news = asyncio.Event()
        self._commands: Commands | None = None
        self._connected = False
        self._up = False
        self._closing = False
        self._life: str | None = None  # of the Redis that was read
        self._last_number = 0
        self._times_up = 0
        self._rewritten = 0

    async def open(self, deliver: Deliver) -> None:
        """Begin. Where Redis does not answer, this returns all the same, and goes on trying."""
        if self._running is not None:
            raise RuntimeError("a RedisBackplane serves one handler; make another one for this")
        self._deliver = deliver
        self._running = asyncio.create_task(self._run(), name="ecgframe Redis backplane")
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience):
                await self._tried.wait()

    async def join(self, stream: str, since: int) -> int:
        """Follow a stream. See ``Backplane.join``.

        While Redis is away this returns at once, with ``since``; the past is delivered when Redis is back. If this
        server publishes on the stream before that, the past from before its first message is not delivered at all.
        """
        followed = self._follow(stream, since)
        if self._connected:
            await followed.settled.wait()
        return since if followed.reach is None else followed.reach

    async def catch_up(self, stream: str) -> bool:
        """Have all delivered here that Redis has of the stream. See ``Backplane.catch_up``."""
        followed = self._streams.get(stream)
        if followed is None or self._commands is None or not self._up:
            return False
        with suppress(Exception):  # Redis is away, then: the reader and the writer find that out, and say so
            async with asyncio.timeout(self._patience):
                last = await self._commands.last_id(stream)
                while self._up and followed in self._streams:
                    if last is None or followed.has_read(last):
                        return True
                    self._news.clear()
                    await self._news.wait()
        return False

    def now(self) -> int:
        """The time by Redis' clock, by which messages get their timestamps; see ``Backplane.now``.

        As long as Redis was never there, it is this server's own.
        """
        return self._clock.now()

    def leave(self, stream: str) -> None:
        """Follow a stream no more, once what is being published on it here is delivered."""
        self._streams.leave(stream)

    async def publish(self, stream: str, timestamp: int, frame: bytes) -> int:
        """Write a message into Redis; it is delivered here when it is read there, or at once where Redis is away.

        A stream that this server has not joined is followed from now on.
        """
        followed = self._follow(stream, timestamp - 1)
        while self._up and not followed.settled.is_set():
            await followed.settled.wait()
            followed = self._follow(stream, timestamp - 1)  # it may have been left meanwhile
        self._last_number += 1
        message = Message(self._last_number, stream, self._clock.corrected(timestamp), frame)
        followed.pending[message.number] = message
        self._writer.add(message)
        if not self._up:
            followed.deliver_pending()
        self._writer.shrink()
        return await asyncio.shield(message.delivery)

    async def close(self) -> None:
        """End. What waits is still written, if Redis takes it within ``patience``."""
        if self._running is None or self._closing:
            return
        self._closing = True
        self._writer.finish()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience if self._up else 0):
                await asyncio.shield(self._running)
        self._running.cancel()
        with suppress(asyncio.CancelledError):
            await self._running
        self._alone()
        self._deliver = None

    def stats(self) -> dict[str, int | float | bool]:
        """Numbers for an operator.

        Returns:
            up: whether messages go through Redis. streams: that are followed. outbox_frames, outbox_bytes: that wait
            for Redis. lag_seconds: from the timestamp of the last message to its being read here. clock_skew_seconds:
            this server's clock minus Redis', by which messages get their timestamps. And since the start: lost_total:
            messages that other servers will not get. restamped_total: messages that were delivered here without Redis
            and that other servers get under another timestamp. rewritten_total: messages that Redis had lost.
            refused_total: entries of Redis that no backplane had written. reconnections_total.
        """
        return {
            "up": self._up,
            "streams": len(self._streams),
            "outbox_frames": self._outbox.waiting,
            "outbox_bytes": self._outbox.waiting_bytes,
            "lag_seconds": self._reader.lag,
            "lost_total": self._writer.lost,
            "clock_skew_seconds": self._clock.skew,
            "restamped_total": self._writer.restamped,
            "rewritten_total": self._rewritten,
            "refused_total": self._reader.refused,
            "reconnections_total": max(0, self._times_up - 1),
        }

    def _follow(self, stream: str, since: int) -> FollowedStream:
        if self._deliver is None:
            raise RuntimeError("the backplane is not open")
        followed = self._streams.follow(stream, since)
        if followed.behind:
            self._writer.ring()
        return followed

    def _make_stream(self, stream: str, since: int) -> FollowedStream:
        assert self._deliver is not None
        return FollowedStream(stream, self._keys.stream(stream), since, origin=self._origin, deliver=self._deliver)

    # --- while Redis is there, and while it is away ---

    async def _run(self) -> None:
        backoff = pauses(LONGEST_PAUSE)
        failures = 0
        while not self._closing:
            try:
                await self._converse()
            except Exception as error:
                failures = 1 if self._up else failures + 1
                self._go_away(error)
                await asyncio.sleep(backoff.compute(failures))

    async def _converse(self) -> None:
        """Read and write until the backplane is closed.

        Raises:
            Exception: whatever ends it before.
        """
        async with asyncio.timeout(CONNECT) as connecting, two_clients(self._pool) as (writing, reading):
            commands = Commands(
                writing,
                reading,
                keys=self._keys,
                origin=self._origin,
                kept=self._kept,
                max_bytes=self._max_bytes,
                clock=self._clock,
            )
            before = None if self._clock.is_known else self._clock.now()
            await commands.ask_time()
            life = await commands.life()
            marks = await commands.marks(self._outbox.last_written())
            connecting.reschedule(None)
            if before is not None:
                self._take_over_clock(self._clock.now() - before)
            self._come_back(life, marks)
            self._commands = commands
            async with asyncio.TaskGroup() as both:
                reading_on = both.create_task(self._reader.run(commands))
                await self._writer.run(commands)
                reading_on.cancel()

    def _take_over_clock(self, ahead: int) -> None:
        """What was to be followed by this server's clock is followed by Redis', which is ahead by that."""
        for followed in self._streams:
            followed.shift(ahead)

    def _come_back(self, life: str | None, marks: dict[str, int]) -> None:
        self._connected = True
        self._rewritten += self._outbox.take_back(marks)
        anew = life is None or life != self._life
        for followed in self._streams:
            followed.catch_up(anew=anew)
        self._life = life
        self._up_if_even()

    def _has_read(self) -> None:
        self._news.set()
        self._writer.shrink()
        self._up_if_even()

    def _has_written(self, some_are_to_be_read: bool) -> None:
        if some_are_to_be_read:
            self._reader.expect(asyncio.get_running_loop().time())
        self._up_if_even()

    def _up_if_even(self) -> None:
        """From now on through Redis, once it has what was published here, and all was read that it has."""
        if self._up or not self._writer.is_nearly_done or any(followed.behind for followed in self._streams):
            return
        self._up = True
        self._times_up += 1
        self._tried.set()
        logger.info("Redis is there; %d messages were lost to other servers so far", self._writer.lost)

    def _go_away(self, error: BaseException) -> None:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if not is_absence(error):
            log_failure("the Redis backplane", error)
        elif self._up or not self._tried.is_set():
            text = str(error) or f"no answer within {self._patience} s"
            logger.warning("Redis is away, messages stay on this server until it is back: %s", text)
        self._alone()
        self._tried.set()

    def _alone(self) -> None:
        """Deliver here what waits to be read from Redis."""
        self._up = self._connected = False
        self._commands = None
        self._news.set()
        for followed in self._streams:
            followed.settled.set()
            followed.deliver_pending()
            self._streams.drop_if_left(followed)
