"""A proxy between a client and Redis, or NATS, that can hold back answers and cut connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class HoldingProxy:
    """Forwards bytes in both directions, for each connection separately.

    Attributes:
        port: port on 127.0.0.1 on which it listens.
        delay: seconds by which each answer is late.
    """

    def __init__(self, target: int, scheme: str = "redis") -> None:
        self._target = target
        self._scheme = scheme
        self._answers = asyncio.Event()
        self._answers.set()
        self._held_words = b""
        self._connections: set[asyncio.Task[None]] = set()
        self.port = 0
        self.delay = 0.0

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}/0"

    def hold_answers(self, to: bytes = b"") -> None:
        """Hold back the answers to requests that contain these bytes; requests are still forwarded."""
        self._held_words = to
        self._answers.clear()

    def release(self) -> None:
        """Stop holding back answers."""
        self._answers.set()

    async def cut(self, *, release: bool = True) -> None:
        """Close all connections and discard held answers; then stop holding back, unless ``release`` is False."""
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        if release:
            self.release()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            from_target, to_target = await asyncio.open_connection("127.0.0.1", self._target)
            try:
                said = bytearray()
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._ask(reader, to_target, said))
                    both.create_task(self._answer(from_target, writer, said))
            finally:
                to_target.close()
        except (OSError, ExceptionGroup, asyncio.CancelledError):
            pass  # the connection was cut
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _ask(self, client: asyncio.StreamReader, target: asyncio.StreamWriter, said: bytearray) -> None:
        while data := await client.read(65536):
            said[:] = data
            target.write(data)
            await target.drain()
        raise ConnectionResetError

    async def _answer(self, target: asyncio.StreamReader, client: asyncio.StreamWriter, said: bytearray) -> None:
        while data := await target.read(65536):
            if self._held_words in said:
                await self._answers.wait()
            if self.delay:
                await asyncio.sleep(self.delay)
            client.write(data)
            await client.drain()
        raise ConnectionResetError


@asynccontextmanager
async def holding_proxy(target: int, scheme: str = "redis") -> AsyncIterator[HoldingProxy]:
    """Run a proxy for a port of 127.0.0.1."""
    proxy = HoldingProxy(target, scheme)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.cut()
        await server.wait_closed()
