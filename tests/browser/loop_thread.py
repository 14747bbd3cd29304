"""Servers on threads of their own, because the browser's driver uses the event loop of the main thread."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self


class LoopThread(ABC):
    """A server that runs in the event loop of another thread.

    Attributes:
        port: the port on which it listens; 0 before it has started.
    """

    def __init__(self) -> None:
        self.port = 0
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._ending = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=[self._run_to_end()])

    async def _run_to_end(self) -> None:
        await self._run()
        for _ in range(20):  # what was accepted while the server closed, and what it has dropped, is closed in these
            await asyncio.sleep(0)

    @abstractmethod
    async def _run(self) -> None:
        """Set ``port``, then call ``_listen_until_end``."""

    async def _listen_until_end(self) -> None:
        self._ready.set()
        await self._ending.wait()

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Start the server, and wait until it listens; when the block is left, wait until it has ended."""
        self._thread.start()
        try:
            assert self._ready.wait(20)
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._ending.set)
            self._thread.join()
            self._loop.close()
