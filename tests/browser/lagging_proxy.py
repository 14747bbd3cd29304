"""A proxy with a variable latency. It runs on a thread, as the browser's driver has the event loop of this one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PIECE = 64 * 1024
SHORTLY = 1e-6


class LaggingProxy:
    """Passes bytes on in both directions, those of the server later.

    Args:
        target: the server's port on 127.0.0.1.

    Attributes:
        port: where it listens.
        delay: seconds by which what the server sends from now on comes later. Nothing overtakes.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self.delay = 0.0
        self._target = target
        self._is_open = True
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._ending = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=[self._run()])

    def cut(self) -> None:
        """Break all connections, and refuse new ones until ``mend``."""
        self._is_open = False
        self._loop.call_soon_threadsafe(self._drop_all)

    def mend(self) -> None:
        """Accept connections again."""
        self._is_open = True

    def start(self) -> None:
        """Returns once it listens."""
        self._thread.start()
        assert self._ready.wait(20)

    def end(self) -> None:
        """Returns once all connections are gone."""
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join()
        self._loop.close()

    async def _run(self) -> None:
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._ending.wait()
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
            # later than the piece before: asyncio does not keep the order of what is due at one time
            due = max(due + SHORTLY, self._loop.time() + (self.delay if is_late else 0.0))
            self._loop.call_at(due, self._deliver, writer, piece)
        self._loop.call_at(max(due + SHORTLY, self._loop.time()), writer.close)

    @staticmethod
    def _deliver(writer: asyncio.StreamWriter, piece: bytes) -> None:
        if not writer.is_closing():
            writer.write(piece)


@contextmanager
def lagging_proxy(target: int) -> Iterator[LaggingProxy]:
    """Run such a proxy until the block is left."""
    proxy = LaggingProxy(target)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.end()
