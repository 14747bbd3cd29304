"""A proxy with a variable latency."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, suppress

from browser.loop_thread import LoopThread

PIECE = 64 * 1024
SHORTLY = 1e-6


class LaggingProxy(LoopThread):
    """Passes bytes on in both directions, those of the server with a delay.

    Args:
        target: the server's port on 127.0.0.1.

    Attributes:
        port: the port on which it listens.
        delay: seconds by which bytes that the server sends from now on are delayed. Their order does not change.
    """

    def __init__(self, target: int) -> None:
        super().__init__()
        self.delay = 0.0
        self._target = target
        self._is_open = True
        self._writers: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Break all connections, and refuse new ones until ``mend``."""
        self._is_open = False
        self._loop.call_soon_threadsafe(self._drop_all)

    def mend(self) -> None:
        """Accept connections again."""
        self._is_open = True

    async def _run(self) -> None:
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        await self._listen_until_end()
        server.close()
        self._drop_all()
        relays = asyncio.all_tasks() - {asyncio.current_task()}
        for relay in relays:
            relay.cancel()
        await asyncio.gather(*relays, return_exceptions=True)

    def _drop_all(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._is_open:
            writer.transport.abort()
            return
        behind, before = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, before}
        try:
            with suppress(OSError):
                await asyncio.gather(
                    self._pass(reader, before, is_late=False), self._pass(behind, writer, is_late=True)
                )
        finally:
            self._writers -= {writer, before}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_late: bool) -> None:
        due = 0.0
        while piece := await reader.read(PIECE):
            # Later than the previous piece: asyncio does not keep the order of calls that are due at the same time.
            due = max(due + SHORTLY, self._loop.time() + (self.delay if is_late else 0.0))
            self._loop.call_at(due, self._deliver, writer, piece)
        self._loop.call_at(max(due + SHORTLY, self._loop.time()), writer.close)

    @staticmethod
    def _deliver(writer: asyncio.StreamWriter, piece: bytes) -> None:
        if not writer.is_closing():
            writer.write(piece)


def lagging_proxy(target: int) -> AbstractContextManager[LaggingProxy]:
    """Run a proxy until the block is left."""
    return LaggingProxy(target).running()
