"""Turns for catching up: one connection sends a part of its backlog in each iteration of the event loop.

So many backlogs do not delay live messages. ``portions.py`` gives turns for writing large frames, live ones included;
``turns.py`` gives turns for decoding what peers send.
"""

from __future__ import annotations

import asyncio
from collections import deque


class Pace:
    """Lets one connection catch up in each iteration of the event loop, in the order in which they ask.

    So a live message waits for at most one part of a backlog, however many viewers catch up.
    """

    __slots__ = ("_is_taken", "_is_waking", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[bool]] = deque()
        self._is_taken = False
        self._is_waking = False

    def take(self) -> asyncio.Future[bool] | None:
        """Ask for a turn.

        Returns:
            None if the turn is granted at once. Otherwise a future whose result is True when the turn comes; completing
            it with False, or cancelling it earlier, gives the turn up.
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
                turn.set_result(True)
                self._is_waking = True
                return
        if self._is_waking:  # the connection with the last turn sends only now, so this iteration is taken, too
            self._is_waking = False
            asyncio.get_running_loop().call_soon(self._give)
        else:
            self._is_taken = False
