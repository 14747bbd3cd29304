"""A server of the monitor whose source, or whose version of the protocol, is another than that of ``ecgframe serve``.

On a thread: the browser's driver has this one's event loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ecgframe import MessageType
from ecgframe.records import shipped_ecg
from ecgframe.server import WebSocketBinaryHandler
from ecgframe.server.adapters.websockets import serve
from ecgframe.server.origins import Origins
from ecgframe.server.pages import Pages
from ecgframe.server.player import Loop, Player
from ecgframe.session import Settings

STREAMS = ("ecg/1",)


class Source:
    """What is published, which a test may change while it runs.

    Attributes:
        ahead: seconds by which its clock is; None where it sends no timestamps.
        losing: frames that are still to be lost.
    """

    def __init__(self, ahead: float | None) -> None:
        self.ahead = ahead
        self.losing = 0

    def changed(self, data: Mapping[str, Any]) -> dict[str, Any] | None:
        """Encode a frame; None if it is lost."""
        if self.losing > 0:
            self.losing -= 1
            return None
        if self.ahead is None:
            return {name: value for name, value in data.items() if name != "timestamp"}
        return {**data, "timestamp": data["timestamp"] + self.ahead}


class OwnServer:
    """Attributes:
    port: of the server.
    source: of its stream.
    """

    def __init__(self, ahead: float | None, versions: tuple[int, ...]) -> None:
        self.source = Source(ahead)
        self.port = 0
        self._versions = versions
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._ending = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=[self._run()])

    def start(self) -> None:
        """Start, and return once viewers can connect."""
        self._thread.start()
        assert self._ready.wait(20)

    def end(self) -> None:
        """Stop, and return once it has ended."""
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join()
        self._loop.close()

    async def _run(self) -> None:
        settings = Settings(versions=self._versions)
        async with WebSocketBinaryHandler(settings=settings) as handler:

            async def publish(stream: str, type: MessageType, data: Mapping[str, Any]) -> None:
                if (changed := self.source.changed(data)) is not None:
                    await handler.publish(stream, type, changed)

            pages = Pages(handler, STREAMS, Origins((), host="127.0.0.1"))
            async with serve(handler, "127.0.0.1", 0, process_request=pages) as server:
                self.port = server.sockets[0].getsockname()[1]
                record = shipped_ecg().take(["II"])
                playing = asyncio.create_task(Player(Loop(record, None), STREAMS, publish).run())
                self._ready.set()
                await self._ending.wait()
                playing.cancel()


@contextmanager
def own_server(*, ahead: float | None = 0.0, versions: tuple[int, ...] = (1, 2, 3)) -> Iterator[OwnServer]:
    """Run such a server until the block is left."""
    server = OwnServer(ahead, versions)
    server.start()
    try:
        yield server
    finally:
        server.end()
