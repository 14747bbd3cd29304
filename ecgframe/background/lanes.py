"""Who goes after whom: messages that take long to encode, and those behind them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager


class Lanes:
    """Lanes in which tasks go one after the other, in the order in which they came.

    Attributes:
        taken: the lanes in which somebody has the turn, each with those that wait for it. In all others, nobody need
            wait.
    """

    __slots__ = ("taken",)

    def __init__(self) -> None:
        self.taken: dict[Hashable, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def turn(self, name: Hashable) -> AsyncIterator[None]:
        """Wait for the lane's turn, and have it within the context. To be cancelled holds nobody up."""
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
            if not turn.cancelled():  # it was given the turn just before
                self._pass_on(name)
            raise

    def _pass_on(self, name: Hashable) -> None:
        waiting = self.taken[name]
        while waiting:
            turn = waiting.popleft()
            if not turn.done():  # else cancelled
                turn.set_result(None)
                return
        del self.taken[name]
