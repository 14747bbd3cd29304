"""Memory for messages of all peers that wait for the application."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

DECODERS: Final = 1
"""Large messages that are decoded at the same time: the memory of each is known only once its decoding has begun."""


class InboxesLimit:
    """A limit on the memory of all inboxes together.

    Args:
        nbytes: bytes that the inboxes may use.

    Attributes:
        used: bytes that they use.
        decoding: held while a large message is decoded.
    """

    __slots__ = ("_nbytes", "_waiting", "decoding", "used")

    def __init__(self, nbytes: int) -> None:
        self._nbytes = nbytes
        self.used = 0
        self.decoding = asyncio.Semaphore(DECODERS)
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def is_full(self) -> bool:
        """True if the limit is reached, so that no data message may be decoded."""
        return self.used >= self._nbytes

    def keep(self, nbytes: int) -> None:
        """Count memory that a message takes."""
        self.used += nbytes

    def release(self, nbytes: int) -> None:
        """Count memory as free again, and wake a connection that waits for it."""
        self.used -= nbytes
        if not self.is_full:
            self._wake()

    async def wait(self) -> None:
        """Wait until there is room. Connections are woken one at a time, so that they do not fill it all at once."""
        while self.is_full:
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            try:
                await waiting
            except asyncio.CancelledError:
                if waiting.done() and not waiting.cancelled():
                    self._wake()
                raise
        self._wake()

    def _wake(self) -> None:
        while self._waiting and not self.is_full:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)
                return
