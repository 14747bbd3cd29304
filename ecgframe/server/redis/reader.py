"""The reading part of the Redis backplane: all streams that a server follows, over one connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from ..logs import logger
from .clock import RedisClock
from .commands import NUMBERS_EXPIRY, Commands, Entries, WrongKind
from .stream import FollowedStream, FollowedStreams, ForeignEntry, ReadEntry, read_entries

BLOCK: Final = 1.0
"""Seconds that a read waits in Redis if there are no entries."""

NUMBERS_PAUSE: Final = NUMBERS_EXPIRY / 6
"""Seconds after which Redis is asked again for the numbers of the followed streams, which keeps them from expiring."""

ENTRIES_A_READ: Final = 256
"""Most entries in one read, over all streams; with more streams than this, one entry of each."""


class Reader:
    """Reads the entries of all followed streams in order, past ones first, then new ones.

    Args:
        streams: the followed streams.
        clock: estimate of Redis' clock.
        patience: seconds within which Redis has to answer.
        after_reading: called after each answer.

    Attributes:
        refused: entries that no backplane has written.
        lag: seconds from the timestamp of the last message until it was read, by Redis' clock.
    """

    def __init__(
        self, streams: FollowedStreams, clock: RedisClock, patience: float, after_reading: Callable[[], None]
    ) -> None:
        self._streams = streams
        self._clock = clock
        self._patience = patience
        self._after_reading = after_reading
        self._waiting: asyncio.Timeout | None = None
        self._asked_numbers_at = 0.0
        self.refused = 0
        self.lag = 0.0

    async def run(self, commands: Commands) -> None:
        """Read until cancelled.

        Raises:
            Exception: Redis is unreachable.
        """
        while True:
            streams = {one.key: one for one in self._streams if one.readable}
            count = max(1, ENTRIES_A_READ // max(1, len(streams)))
            try:
                if self._clock.is_stale:
                    async with asyncio.timeout(self._patience):
                        await commands.ask_time()
                await self._ask_how_far_they_reach(commands, streams)
                await self._refresh_numbers(commands, streams)
                answered = await self._read(commands, streams, count)
                found = {key: read_entries(entries) for key, entries in answered.items()}
                await self._ask_what_is_lacking(commands, streams, found)
            except WrongKind as error:
                self._set_aside(next(one for one in streams.values() if error.key in {one.key, one.numbers_key}))
                continue
            for key, followed in streams.items():
                entries = found.get(key, [])
                self._receive(followed, entries)
                if len(entries) < count:
                    self._all_read(followed)
            self._after_reading()

    def expect(self, now: float) -> None:
        """Expect an answer within ``patience`` from ``now``, since a message was written."""
        soon = now + self._patience
        if self._waiting is not None and not self._waiting.expired() and (self._waiting.when() or soon) > soon:
            self._waiting.reschedule(soon)

    async def _ask_how_far_they_reach(self, commands: Commands, streams: dict[bytes, FollowedStream]) -> None:
        for followed in streams.values():
            if followed.reach is None:
                async with asyncio.timeout(self._patience):
                    reach = await commands.reach(followed.key, followed.since)
                    if followed.epochs is not None:
                        present = await commands.numbers(followed.name, followed.known)
                        followed.tell(present)
                        followed.epochs.begin_reading(present.position)
                        epoch = present.position.epoch
                        followed.add_templates(epoch, await commands.templates(followed.name, epoch))
                followed.reach = reach

    async def _refresh_numbers(self, commands: Commands, streams: dict[bytes, FollowedStream]) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._asked_numbers_at + NUMBERS_PAUSE:
            return
        self._asked_numbers_at = now
        numbered = [one for one in streams.values() if one.epochs is not None]
        async with asyncio.timeout(self._patience):
            answers = await commands.all_numbers([(followed.name, followed.known) for followed in numbered])
        for followed, answer in zip(numbered, answers, strict=True):
            if answer is not None:
                followed.tell(answer)

    async def _ask_what_is_lacking(
        self, commands: Commands, streams: dict[bytes, FollowedStream], found: dict[bytes, list[ReadEntry]]
    ) -> None:
        """Ask for the present epoch, for templates that were published long ago, and for what may have been dropped."""
        for key, entries in found.items():
            followed = streams[key]
            crosses = followed.crosses(entries)
            is_strange, epochs = followed.lacks(entries)
            if not (crosses or epochs or (is_strange and followed.epochs is not None)):
                continue
            async with asyncio.timeout(self._patience):
                if crosses and await commands.has(key, followed.position):
                    followed.continuity.verify()
                if is_strange and followed.epochs is not None:
                    followed.tell(await commands.numbers(followed.name, followed.known))
                for epoch in epochs:
                    followed.add_templates(epoch, await commands.templates(followed.name, epoch))

    async def _read(self, commands: Commands, streams: dict[bytes, FollowedStream], count: int) -> dict[bytes, Entries]:
        block = None if any(one.behind for one in streams.values()) else BLOCK
        positions = {key: followed.position for key, followed in streams.items()}
        try:
            async with asyncio.timeout(self._patience + (block or 0)) as self._waiting:
                return await commands.read(positions, count, block)
        finally:
            self._waiting = None

    def _receive(self, followed: FollowedStream, entries: list[ReadEntry]) -> None:
        last = None
        for entry_id, read in entries:
            if followed not in self._streams:
                return
            try:
                last = followed.receive(entry_id, read)
            except ForeignEntry as error:
                self._refuse(followed, entry_id, error)
        if last is not None:
            self.lag = (self._clock.now() - last.time) / 1_000_000
        self._streams.drop_if_left(followed)

    def _refuse(self, followed: FollowedStream, entry_id: bytes, error: ForeignEntry) -> None:
        self.refused += 1
        if not followed.problem_logged:
            followed.problem_logged = True  # logged once
            place = f"entry {entry_id.decode()} of stream {followed.name!r}"
            logger.warning("skipped foreign entries in Redis: %s: %s", place, error)

    def _all_read(self, followed: FollowedStream) -> None:
        if followed.behind:
            followed.caught_up()
        written = next((message.written for message in followed.pending.values()), None)
        if written is not None and asyncio.get_running_loop().time() - written > self._patience:
            followed.deliver_pending(will_be_read=False)  # Redis has dropped the message before it was read
            self._streams.drop_if_left(followed)

    def _set_aside(self, followed: FollowedStream) -> None:
        logger.error("stream %r cannot be read: its key in Redis holds something other than a stream", followed.name)
        followed.readable = False
        self._all_read(followed)
