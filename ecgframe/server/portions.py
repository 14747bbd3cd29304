"""Turns for writing large frames: one connection writes one, or a part of it in fragments, then other tasks run, then
the next connection writes.

``pace.py`` gives turns for catching up, whatever the size of the frames; ``turns.py`` gives turns for decoding what
peers send.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

LARGE: Final = 64 * 1024
"""Frames of more bytes than this wait for a turn. For smaller ones, the copies for each viewer (WebSocket framing, TLS,
bytes that the kernel does not take at once) take microseconds."""

PORTION: Final = 256 * 1024
"""Bytes of fragments of a large frame that are written in one turn. A frame that is not cut is written whole."""

PAUSE: Final = 3
"""Iterations of the event loop from one large frame to the next. A task that sleeps needs two, one for its timer and
one to continue; with this pause it waits for one large frame at most."""


class Portions:
    """Lets connections write a large frame one after the other, ``PAUSE`` iterations of the event loop apart."""

    __slots__ = ("_is_giving", "_waiting")

    def __init__(self) -> None:
        self._is_giving = False
        self._waiting: deque[asyncio.Future[bool]] = deque()

    def ask(self) -> asyncio.Future[bool]:
        """Ask for a turn.

        Returns:
            A future that becomes True when the turn is granted; the frame must be written before anything else is
            awaited. Set it to False to give the turn up.
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
            if not given.done():  # otherwise the turn was given up
                given.set_result(True)
                loop.call_soon(self._give, loop, PAUSE - 1)
                return
        self._is_giving = False
