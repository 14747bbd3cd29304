"""A server of the monitor whose source or version of the protocol differs from those of ``ecgframe serve``."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from browser.loop_thread import LoopThread
from ecgframe import MessageType
from ecgframe.records import shipped_ecg
from ecgframe.server import Limits, WebSocketBinaryHandler
from ecgframe.server.adapters.websockets import serve
from ecgframe.server.link import Request
from ecgframe.server.origins import Origins
from ecgframe.server.pages import Pages
from ecgframe.server.player import Loop, Player
from ecgframe.session import Settings

STREAMS = ("ecg/1",)


class Source:
    """Changes the published messages, as a test tells it while it runs.

    Attributes:
        ahead: seconds by which its clock is ahead; None if it sends no timestamps.
        losing: number of the next frames that are lost.
    """

    def __init__(self, ahead: float | None) -> None:
        self.ahead = ahead
        self.losing = 0

    def changed(self, data: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the data of a message as published; None if it is lost."""
        if self.losing > 0:
            self.losing -= 1
            return None
        if self.ahead is None:
            return {name: value for name, value in data.items() if name != "timestamp"}
        return {**data, "timestamp": data["timestamp"] + self.ahead}


class OwnServer(LoopThread):
    """A server with one stream.

    Attributes:
        source: the source of the stream.
    """

    def __init__(self, ahead: float | None, versions: tuple[int, ...], ring_seconds: float, token: str | None) -> None:
        super().__init__()
        self._limits = Limits(ring_seconds=ring_seconds)
        self.source = Source(ahead)
        self._versions = versions
        self._token = token

    async def _authenticate(self, request: Request) -> bool:
        return self._token is None or request.bearer_token == self._token

    async def _run(self) -> None:
        settings = Settings(versions=self._versions)
        async with WebSocketBinaryHandler(
            settings=settings, limits=self._limits, authenticate=self._authenticate
        ) as handler:

            async def publish(stream: str, type: MessageType, data: Mapping[str, Any]) -> None:
                if (changed := self.source.changed(data)) is not None:
                    await handler.publish(stream, type, changed)

            self.handler = handler
            pages = Pages(handler, STREAMS, Origins((), host="127.0.0.1"))
            async with serve(handler, "127.0.0.1", 0, process_request=pages) as server:
                self.port = server.sockets[0].getsockname()[1]
                record = shipped_ecg().take(["II"])
                playing = asyncio.create_task(Player(Loop(record, None), STREAMS, publish).run())
                await self._listen_until_end()
                playing.cancel()


def own_server(
    *,
    ahead: float | None = 0.0,
    versions: tuple[int, ...] = (1, 2, 3),
    ring_seconds: float = 30.0,
    token: str | None = None,
) -> AbstractContextManager[OwnServer]:
    """Run a server until the block is left. With a token, it accepts only clients that have it."""
    return OwnServer(ahead, versions, ring_seconds, token).running()
