"""Queues that keep messages in order when some of them are encoded in threads."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager


class Lanes:
    """Named queues in which tasks take turns, in order of arrival.

    Attributes:
        taken: the lanes in which a task has the turn, each with the futures of the tasks that wait. In all other lanes,
            a task need not wait.
    """

    __slots__ = ("taken",)

    def __init__(self) -> None:
        self.taken: dict[Hashable, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def turn(self, name: Hashable) -> AsyncIterator[None]:
        """Wait for a turn in the lane, and hold it within the context. A cancelled task passes its turn on."""
        await self._wait(name)
        try:
            yield
        finally:
            self._pass_on(name)

    async def _wait(self, name: Hashable) -> None:
        waiting = self.taken.get(name)
        if waiting is None:
            self.taken[name] = deque()
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # the turn was granted just before the cancellation
                self._pass_on(name)
            raise

    def _pass_on(self, name: Hashable) -> None:
        waiting = self.taken[name]
        while waiting:
            turn = waiting.popleft()
            if not turn.done():  # otherwise cancelled
                turn.set_result(None)
                return
        del self.taken[name]
