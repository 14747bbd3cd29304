"""What has arrived and nobody has asked for yet: a short queue that makes the engine stop reading when it is full."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

FULL_MESSAGES: Final = 32
FULL_BYTES: Final = 128 * 1024
"""At either, reading stops; at half of both it goes on. What the engine has read by then still comes in."""


class Arrivals:
    """Messages on their way from an engine that calls back to a handler that asks.

    Args:
        pause: stop reading from the connection.
        resume: read again.
    """

    __slots__ = ("_closed", "_messages", "_nbytes", "_pause", "_paused", "_resume", "_waiting")

    def __init__(self, pause: Callable[[], object], resume: Callable[[], object]) -> None:
        self._pause = pause
        self._resume = resume
        self._messages: deque[bytes | str] = deque()
        self._nbytes = 0
        self._paused = False
        self._closed = False
        self._waiting: asyncio.Future[None] | None = None

    def put(self, message: bytes | str) -> None:
        """Take one message; after ``close``, drop it."""
        if self._closed:
            return
        self._messages.append(message)
        self._nbytes += len(message)
        if not self._paused and (len(self._messages) >= FULL_MESSAGES or self._nbytes >= FULL_BYTES):
            self._paused = True
            self._pause()
        self._wake()

    async def get(self) -> bytes | str | None:
        """The oldest message, as soon as there is one; None when it is closed and empty."""
        while not self._messages:
            if self._closed:
                return None
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        message = self._messages.popleft()
        self._nbytes -= len(message)
        if self._paused and len(self._messages) <= FULL_MESSAGES // 2 and self._nbytes <= FULL_BYTES // 2:
            self._paused = False
            self._resume()
        return message

    def close(self, *, discard: bool = False) -> None:
        """Nothing more comes in.

        Args:
            discard: nobody will ask for what is there either, so the rest may be read off the connection.
        """
        self._closed = True
        if discard:
            self._messages.clear()
            self._nbytes = 0
            if self._paused:
                self._paused = False
                self._resume()
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
