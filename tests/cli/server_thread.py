"""Runs a server in a thread with its own event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any


@contextmanager
def within_a_thread(start: Callable[[], AbstractAsyncContextManager[Any]]) -> Iterator[int]:
    """Run a server in a thread until the context is left; yield its port.

    Args:
        start: makes the server, an async context manager that gives what has ``sockets``; called on the thread's loop.
    """
    ready, found = threading.Event(), []

    async def main() -> None:
        stop = asyncio.Event()
        async with start() as listening:
            found.extend((asyncio.get_running_loop(), stop, listening.sockets[0].getsockname()[1]))
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    try:
        assert ready.wait(120)
        yield found[2]
    finally:
        if found:
            found[0].call_soon_threadsafe(found[1].set)
        thread.join(120)


@asynccontextmanager
async def listening(talk: Callable[..., Awaitable[None]]) -> AsyncIterator[asyncio.Server]:
    """Run a TCP server whose connections are handled by ``talk``."""
    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        yield server
