"""Large frames for many viewers are written in portions, with a turn of the loop for everybody else in between."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

LARGE: Final = 64 * 1024
"""Bytes above which a frame is written in its turn. Up to this, the copies that are made of it for each viewer (for
WebSocket framing, TLS, what the kernel does not take at once) take microseconds."""


PAUSE: Final = 3
"""Turns of the event loop from one large frame to the next: a task that sleeps takes two, one for its timer and one to
go on, and shall not have to wait for a frame in each."""


class Portions:
    """Gives those that want to write a large frame the turn, one after the other, with a pause in between."""

    __slots__ = ("_is_giving", "_waiting")

    def __init__(self) -> None:
        self._is_giving = False
        self._waiting: deque[asyncio.Future[bool]] = deque()

    def ask(self) -> asyncio.Future[bool]:
        """Ask for the turn: True once it is given. It is over with what is done before anything else is awaited.

        Who wants it no more sets the future to False.
        """
        loop = asyncio.get_running_loop()
        given: asyncio.Future[bool] = loop.create_future()
        if not self._is_giving:
            self._is_giving = True
            loop.call_soon(self._give, loop)
        self._waiting.append(given)
        return given

    def _give(self, loop: asyncio.AbstractEventLoop, pause: int = 0) -> None:
        if pause:
            loop.call_soon(self._give, loop, pause - 1)
            return
        while self._waiting:
            given = self._waiting.popleft()
            if not given.done():  # else it is not wanted any more
                given.set_result(True)
                loop.call_soon(self._give, loop, PAUSE - 1)
                return
        self._is_giving = False
