"""A proxy that simulates a bad network: it delays, throttles, holds and cuts the bytes between client and server."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

LARGEST_PIECE = 16 * 1024


class CuttingProxy:
    """Passes bytes on in both directions, each connection for itself.

    Args:
        target: the server's port on 127.0.0.1.
        seed: of all that is random; printed, so that a failed test can be run again.

    Attributes:
        port: where it listens, on 127.0.0.1.
        delay: seconds until what came is passed on.
        rate: bytes a second in each direction, or None for any.
        targets: the servers' ports; each connection gets any one of them.
        accepted: connections so far.
        refuses: whether new connections are dropped at once.
    """

    def __init__(self, target: int, seed: int | None = None) -> None:
        seed = random.randrange(2**32) if seed is None else seed
        print(f"CuttingProxy(seed={seed})")
        self.random = random.Random(seed)
        self.port = 0
        self.delay = 0.0
        self.rate: float | None = None
        self.accepted = 0
        self.refuses = False
        self.targets = [target]
        self._open = asyncio.Event()
        self._open.set()
        self._connections: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    def hold(self) -> None:
        """Stop passing bytes in both directions, without closing, as a network does that is lost."""
        self._open.clear()

    def release(self) -> None:
        """Pass bytes again, those that were held first."""
        self._open.set()

    def cut(self) -> int:
        """Break all connections, wherever in a message they are; some with a reset, some with an end of file.

        Returns:
            How many there were.
        """
        connections = list(self._connections.items())
        for task, writers in connections:
            for writer in writers:
                if self.random.random() < 0.5:
                    writer.transport.abort()
                else:
                    writer.close()
            task.cancel()
        return len(connections)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task
        self._connections[task] = [writer]
        self.accepted += 1
        try:
            with suppress(OSError, asyncio.CancelledError):
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.random.choice(self.targets))
                self._connections[task].append(far_writer)
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pass_on(reader, far_writer))
                    group.create_task(self._pass_on(far_reader, writer))
        finally:
            for end in self._connections.pop(task):
                end.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(self.random.randint(1, LARGEST_PIECE)):
                await asyncio.sleep(self.delay + (len(data) / self.rate if self.rate else 0))
                await self._open.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def cutting_proxy(target: int, seed: int | None = None) -> AsyncIterator[CuttingProxy]:
    proxy = CuttingProxy(target, seed)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0, limit=LARGEST_PIECE)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut()
        await server.wait_closed()
