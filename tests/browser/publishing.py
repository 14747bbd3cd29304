"""A server for messages of a test, which also serves the monitor."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from recordings import optional

from ecgframe import MessageType
from ecgframe.server import WebSocketBinaryHandler
from ecgframe.server.pages import Pages

STREAM = "ecg/1"


@contextmanager
def publishing(
    message: Callable[[int], dict[str, Any]], seconds: float, numbers: Callable[[], dict[str, Any]] | None = None
) -> Iterator[int]:
    """The port of a server that publishes ECG_DATA on ``ecg/1`` again and again.

    Args:
        message: gives the fields of the message of that number.
        seconds: from one to the next.
        numbers: gives the fields of a FEATURE_DATA message after every tenth; None for none.
    """
    optional("websockets")
    ports: list[int] = []
    ready = threading.Event()
    loop = asyncio.new_event_loop()

    async def serve_and_publish() -> None:
        from ecgframe.server.adapters.websockets import serve

        async with WebSocketBinaryHandler() as handler:
            server = await serve(handler, "127.0.0.1", 0, process_request=Pages(handler, [STREAM]))
            ports.append(server.sockets[0].getsockname()[1])
            ready.set()
            try:
                number = 0
                while True:
                    await handler.publish(STREAM, MessageType.ECG_DATA, message(number))
                    if numbers is not None and number % 10 == 0:
                        await handler.publish(STREAM, MessageType.FEATURE_DATA, numbers())
                    number += 1
                    await asyncio.sleep(seconds)
            finally:
                server.close()

    task = loop.create_task(serve_and_publish())

    def run() -> None:
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(task)
        ready.set()
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        ready.wait()
        yield ports[0]
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
