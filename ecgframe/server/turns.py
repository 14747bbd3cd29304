"""Turns for reading: in each iteration of the event loop, connections decode messages of peers for a limited time.

The rest of the iteration is for other tasks. ``pace.py`` and ``portions.py`` give turns for sending: for catching up,
and for writing large frames.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

TURN: Final = 0.004
"""Processor time in seconds for decoding in one iteration of the event loop, for all connections of a handler."""

_SMOOTH: Final = 0.9
"""Weight of the past in the moving average of the time that a message takes."""


class Turns:
    """Lets connections decode messages in the order in which they ask.

    A connection waits only if the time of the current iteration is used up.
    """

    __slots__ = ("_average", "_is_counting", "_left", "_waiting")

    def __init__(self) -> None:
        self._left = TURN
        self._average = TURN
        self._is_counting = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def is_over(self) -> bool:
        """True if a connection has to call ``take`` before it decodes a message."""
        return self._left <= 0 or bool(self._waiting)

    def spend(self, seconds: float) -> None:
        """Count the processor time of a message, in seconds."""
        self._left -= seconds
        self._average = _SMOOTH * self._average + (1 - _SMOOTH) * seconds
        if not self._is_counting:
            self._is_counting = True
            asyncio.get_running_loop().call_soon(self._begin)

    async def take(self) -> None:
        """Wait for the turn of this connection."""
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting.append(turn)
        if not self._is_counting:
            self._is_counting = True
            loop.call_soon(self._begin)
        await turn

    def _begin(self) -> None:
        self._left = TURN
        self._is_counting = False
        # Those that are woken run in the next iteration of the loop, so wake as many as fit into it on average.
        given = max(1, int(TURN / max(self._average, 1e-6)))
        while self._waiting and given:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                given -= 1
        if self._waiting:
            self._is_counting = True
            asyncio.get_running_loop().call_soon(self._begin)
