"""Ports for servers that are to be started by their number."""

from __future__ import annotations

import asyncio
import socket


def unused_port() -> int:
    """A port at which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


async def wait_until_used(port: int) -> None:
    """Wait until something listens there."""
    async with asyncio.timeout(120):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return await writer.wait_closed()
