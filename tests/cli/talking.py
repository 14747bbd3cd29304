"""Clients of a command that listens within the test process."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from recordings import optional

from ecgframe.client import ConnectionLost, connect

optional("websockets")

from websockets.exceptions import WebSocketException  # noqa: E402 - after the skip
from websockets.sync import client as sync_client  # noqa: E402


def meanwhile(port: int, talk: Callable[[Any], object], *, interrupts: bool = True) -> threading.Thread:
    """Connect from a thread to a command that will listen there, and then stop the command like Ctrl-C."""

    def act() -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                with sync_client.connect(f"ws://127.0.0.1:{port}/ws") as client:
                    talk(client)
                break
            except OSError:
                time.sleep(0.02)
        if interrupts:
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=act)
    thread.start()
    return thread


@contextmanager
def connecting_again(port: int) -> Iterator[None]:
    """Run the client of the package, which reconnects each time it is disconnected."""
    over = threading.Event()

    async def again() -> None:
        while not over.is_set():
            try:
                async with connect(f"ws://127.0.0.1:{port}", reconnect=False) as client:
                    async for _ in client.messages():
                        pass
            except (ConnectionLost, OSError, WebSocketException):
                await asyncio.sleep(0.01)

    client = threading.Thread(target=asyncio.run, args=(again(),))
    client.start()
    try:
        yield
    finally:
        over.set()
        client.join(120)
