"""Servers for the client's tests: the real one, and one that follows a script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import repeat
from typing import Any

from recordings import optional

from ecgframe import Codec, Flag, Message, MessageType, connect
from ecgframe.client import Client
from ecgframe.protocol import SESSION_VERSIONS
from ecgframe.server import WebSocketBinaryHandler
from ecgframe.session import Settings

websockets = optional("websockets")

STREAM = "ecg/bed-7"
spoken = SESSION_VERSIONS
"""Versions of clients that are told none; ``each_version`` sets others."""
NEGOTIATION = {
    "versions": [1, 2, 3],
    "preferred": 3,
    "capabilities": ["compression", "timestamps", "priority", "broadcast", "ack", "ndarray-bin", "batch"],
    "max_payload": 1 << 20,
    "heartbeat_interval": 15.0,
}


def at_once() -> Iterator[float]:
    """Short delays between attempts to connect."""
    return repeat(0.002)


def impatient(url: str, **options: Any) -> Client:
    """A client that reconnects at once."""
    settings = Settings(versions=spoken, negotiation_timeout=1.0)
    return connect(url, **{"reconnect_delays": at_once, "settings": settings, **options})


# --- the real one ---


@asynccontextmanager
async def serving(handler: WebSocketBinaryHandler | None = None, **options: Any) -> AsyncIterator[int]:
    """Run the handler on a real server, and yield its port."""
    from ecgframe.server.adapters.websockets import serve

    served = handler or WebSocketBinaryHandler()
    async with served, serve(served, "127.0.0.1", 0, ping_interval=None, **options) as server:
        yield server.sockets[0].getsockname()[1]
        await served.close()
        for _ in range(20):
            # A connection that is accepted while the server closes is left open by Python 3.11. Those that still
            # waited to be accepted, because a proxy has cut them, are closed with the server.
            await asyncio.sleep(0)


def url_of(port: int) -> str:
    return f"ws://127.0.0.1:{port}/ws"


async def until(condition: Callable[[], object], timeout: float = 10) -> None:
    """Poll until a condition holds."""
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.002)


# --- the scripted one ---


class Talk:
    """One connection to a scripted server, frame by frame."""

    def __init__(self, websocket: Any) -> None:
        self.websocket = websocket
        self.version = 1
        self.received: list[Message] = []
        self._codec = Codec()
        self._messages: list[Message] = []

    async def say(
        self, type: MessageType, data: Any, *, version: int | None = None, flags: int = 0, timestamp: int | None = None
    ) -> None:
        frame = self._codec.encode(type, data, version=version or self.version, flags=flags, timestamp=timestamp)
        await self.websocket.send(frame)

    async def hear(self, *types: MessageType) -> Message:
        """Receive the next message of one of those types; others are skipped, and PINGs answered."""
        while True:
            if not self._messages:
                self._messages = list(self._codec.decode_all(await self.websocket.recv()))
            message = self._messages.pop(0)
            self.received.append(message)
            if message.type in types:
                return message
            if message.type is MessageType.PING:
                await self.say(MessageType.PONG, message.data)

    async def negotiate(self, **offer: Any) -> Message:
        await self.say(MessageType.PROTOCOL_NEGOTIATION, NEGOTIATION | offer, version=1)
        answer = await self.hear(MessageType.PROTOCOL_NEGOTIATION)
        self.version = answer.data["version"]
        return answer

    async def grant(self, **more: Any) -> Message:
        """Receive SUBSCRIBE and grant it."""
        asked = await self.hear(MessageType.SUBSCRIBE)
        await self.say(MessageType.SUBSCRIPTION_ACK, {"stream": asked.data["stream"], "status": "subscribed"} | more)
        return asked

    async def send_ecg(self, number: int, *, timestamp: int | None = None, flags: int = 0, **more: Any) -> None:
        data = {"signal": [number], "sampling_rate": 250, "stream": STREAM} | more
        await self.say(MessageType.ECG_DATA, data, timestamp=timestamp, flags=flags)

    async def send_alert(self, number: int, *, timestamp: int, flags: int = Flag.PRIORITY) -> None:
        data = {"kind": "test", "timestamp": 0.0, "number": number, "stream": STREAM}
        await self.say(MessageType.ANOMALY_ALERT, data, timestamp=timestamp, flags=flags)

    def cut(self) -> None:
        self.websocket.transport.abort()


Script = Callable[[Talk], Awaitable[None]]


@asynccontextmanager
async def scripted(*scripts: Script) -> AsyncIterator[str]:
    """A server whose first connection follows the first script, and so on; gives its URL.

    The connection is closed behind its script. A script that fails, fails the test.
    """
    following = iter(scripts)
    failures: list[Exception] = []

    async def serve(websocket: Any) -> None:
        try:
            script = next(following, None)
            assert script, "there is no script for another connection"
            await script(Talk(websocket))
        except websockets.ConnectionClosed:
            pass
        except Exception as error:
            failures.append(error)

    server: AbstractAsyncContextManager[Any] = websockets.serve(serve, "127.0.0.1", 0, compression=None)
    async with server as listening:
        yield url_of(listening.sockets[0].getsockname()[1])
    if failures:
        raise failures[0]


async def stay(talk: Talk) -> None:
    """Receive until the client closes the connection."""
    while True:
        await talk.hear()


def numbers(messages: list[Message]) -> list[int]:
    return [int(message.data["signal"][0]) for message in messages]
