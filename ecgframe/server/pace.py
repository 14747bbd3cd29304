"""Turns for those who catch up: a ward that comes back must not keep the event loop from what is live."""

from __future__ import annotations

import asyncio
from collections import deque


class Pace:
    """Gives one turn in a turn of the event loop, in the order in which they are asked for.

    So what is published waits for one piece of a backlog at most, however many viewers catch up.
    """

    __slots__ = ("_is_taken", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_taken = False

    def take(self) -> asyncio.Future[None] | None:
        """Ask for a turn.

        Returns:
            None where it is had at once. Otherwise a future that is done when it comes; who is done with it before
            gives the turn up.
        """
        loop = asyncio.get_running_loop()
        if not self._is_taken:
            self._is_taken = True
            loop.call_soon(self._give)
            return None
        turn = loop.create_future()
        self._waiting.append(turn)
        return turn

    def _give(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                asyncio.get_running_loop().call_soon(self._give)
                turn.set_result(None)
                return
        self._is_taken = False
