"""A short queue of received messages, which stops the library from reading while it is full."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

FULL_MESSAGES: Final = 32
FULL_BYTES: Final = 8 * 1024
"""Reading stops at either limit, and resumes below half of both. Messages that are already read are still added. The
message that the handler has taken last counts as well, until it asks for the next one."""


class Arrivals:
    """Messages from a library with callbacks, for a handler that awaits them.

    Args:
        pause: stops reading from the connection.
        resume: resumes reading.
    """

    __slots__ = ("_closed", "_messages", "_nbytes", "_pause", "_paused", "_resume", "_taken", "_waiting")

    def __init__(self, pause: Callable[[], object], resume: Callable[[], object]) -> None:
        self._pause = pause
        self._resume = resume
        self._messages: deque[bytes | str] = deque()
        self._nbytes = 0
        self._taken = 0
        self._paused = False
        self._closed = False
        self._waiting: asyncio.Future[None] | None = None

    def put(self, message: bytes | str) -> None:
        """Add a message; after ``close``, discard it."""
        if self._closed:
            return
        self._messages.append(message)
        self._nbytes += len(message)
        if not self._paused and (len(self._messages) >= FULL_MESSAGES or self._nbytes >= FULL_BYTES):
            self._paused = True
            self._pause()
        self._wake()

    async def get(self) -> bytes | str | None:
        """Wait for the oldest message; None once the queue is closed and empty."""
        self._nbytes -= self._taken
        self._taken = 0
        if self._paused and len(self._messages) <= FULL_MESSAGES // 2 and self._nbytes <= FULL_BYTES // 2:
            self._paused = False
            self._resume()
        while not self._messages:
            if self._closed:
                return None
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        message = self._messages.popleft()
        self._taken = len(message)
        return message

    def close(self, *, discard: bool = False) -> None:
        """Add no more messages.

        Args:
            discard: also discard the messages in the queue, so that reading can continue up to the close frame.
        """
        self._closed = True
        if discard:
            self._messages.clear()
            self._nbytes = self._taken = 0
            if self._paused:
                self._paused = False
                self._resume()
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
