"""A proxy that simulates a bad network: it delays, throttles, holds and cuts the bytes between client and server."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit

from .either_way import EitherWay

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

LARGEST_PIECE: Final = 16 * 1024
"""Most bytes that are passed on at once. Each piece has a random size."""


class CuttingProxy(EitherWay):
    """Passes bytes on in both directions, for each connection separately, with TLS as without.

    It is a context manager: with ``async with``, it runs in the event loop of the test and is used there; with
    ``with``, in a thread of its own, and may be used from any other.

    >>> with LiveServer() as server, CuttingProxy(server.url) as proxy:
    ...     with ecgframe.connect_sync(proxy.url) as client:
    ...         proxy.cut()

    Args:
        target: URL of the server, or its port on 127.0.0.1. Only servers on this machine, by their address.
        seed: seed of all that is random; None for any.

    Attributes:
        port: the port on 127.0.0.1 where it listens.
        seed: the seed, to repeat a test that failed.
        delay: seconds until bytes are passed on.
        rate: bytes per second in each direction, or None for any number.
        targets: the ports of the servers; each connection gets any one of them.
        accepted: number of connections so far.
        refuses: whether new connections are closed at once.
    """

    _thread_name = "proxy"

    def __init__(self, target: int | str, seed: int | None = None) -> None:
        address = urlsplit(target if isinstance(target, str) else f"ws://127.0.0.1:{target}/ws")
        if address.port is None or address.hostname not in {"127.0.0.1", "localhost"}:
            raise ValueError(f"the target is a server at a port of 127.0.0.1, not {target!r}")
        self.seed = random.randrange(2**32) if seed is None else seed
        self.random = random.Random(self.seed)
        self.port = 0
        self.delay = 0.0
        self.rate: float | None = None
        self.accepted = 0
        self.refuses = False
        self.targets = [address.port]
        self._address = address
        self._open = asyncio.Event()
        self._open.set()
        self._connections: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}
        self._server: asyncio.Server | None = None

    def __repr__(self) -> str:
        return f"<CuttingProxy {self.port} to {self.targets}, seed {self.seed}>"

    @property
    def url(self) -> str:
        """The URL of the server, by way of the proxy."""
        return self._address._replace(netloc=f"127.0.0.1:{self.port}").geturl()

    def hold(self) -> None:
        """Stop passing bytes in both directions, without closing, like a network that is lost."""
        self._call(self._open.clear)

    def release(self) -> None:
        """Pass bytes again, those that were held first."""
        self._call(self._open.set)

    def cut(self) -> int:
        """Break all connections, wherever in a message they are; some with a reset, some with an end of file.

        Returns:
            Number of connections.
        """
        return self._call(self._cut)

    # --- running ---

    def _call(self, function: Callable[[], T]) -> T:
        return function() if self._thread is None else self._thread.call(function)

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=LARGEST_PIECE)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self._cut()
        await self._server.wait_closed()

    # --- passing on ---

    def _cut(self) -> int:
        connections = list(self._connections.items())
        for task, writers in connections:
            for writer in writers:
                if self.random.random() < 0.5:
                    writer.transport.abort()
                else:
                    writer.close()
            task.cancel()
        return len(connections)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
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
