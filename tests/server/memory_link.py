"""A link without a network: keeps what the handler sends, and receives what a test passes to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from ecgframe import Codec, Message, MessageType
from ecgframe.server import WebSocketBinaryHandler
from ecgframe.server.link import Link, Request
from ecgframe.session.settings import EVERYTHING

ALL = [str(capability) for capability in EVERYTHING]


class MemoryLink(Link):
    """Writes at once, and answers PING.

    Args:
        copying: seconds for which each byte of a large message blocks the event loop, like framing and encryption.
    """

    def __init__(self, copying: float = 0.0) -> None:
        self.request = Request(headers={})
        self.sent: list[bytes] = []
        self.first: dict[int, float] = {}  # when the first message of each type was sent
        self.is_gone = False
        self.may_write = asyncio.Event()
        self.may_write.set()
        self._copying = copying
        self._to_receive: asyncio.Queue[bytes | None] = asyncio.Queue()

    @property
    def can_write(self) -> bool:
        return self.may_write.is_set() and not self.is_gone

    def write(self, message: bytes) -> None:
        if self._copying:
            time.sleep(self._copying * len(message))
        self.sent.append(message)
        self.first.setdefault(message[1], time.perf_counter())
        if message[1] == MessageType.PING:
            [ping] = Codec().decode_all(message)
            self.say(MessageType.PONG, ping.data, version=ping.version)

    async def writable(self) -> None:
        await self.may_write.wait()

    async def send(self, message: bytes) -> None:
        self.write(message)

    async def receive(self) -> bytes | None:
        return await self._to_receive.get()

    async def close(self, code: int, reason: str) -> None:
        self.abort()

    def abort(self) -> None:
        self.is_gone = True
        self.may_write.set()
        self._to_receive.put_nowait(None)

    # --- for tests ---

    def say(self, type: MessageType, data: Any, *, version: int = 3, **options: Any) -> None:
        """Pass a message to the handler."""
        self._to_receive.put_nowait(Codec(version=version, max_payload=2**32 - 1, **options).encode(type, data))

    def pass_on(self, octets: bytes) -> None:
        """Pass the bytes of a message to the handler."""
        self._to_receive.put_nowait(octets)

    def messages(self, *types: MessageType) -> list[Message]:
        """Return the messages of these types that were sent so far."""
        codec = Codec(max_payload=2**32 - 1)
        return [message for sent in self.sent for message in codec.decode_all(sent) if message.type in types]

    def count(self, type: MessageType) -> int:
        """Return how many messages of a type were sent."""
        return sum(sent[1] == type for sent in self.sent)


@asynccontextmanager
async def viewing(
    handler: WebSocketBinaryHandler,
    *streams: str,
    version: int = 3,
    capabilities: list[str] | None = None,
    **options: Any,
) -> AsyncIterator[MemoryLink]:
    """Open a connection that has negotiated and watches these streams."""
    link = MemoryLink(**options)
    serving = asyncio.create_task(handler.handle(link))
    link.say(
        MessageType.PROTOCOL_NEGOTIATION,
        {"version": version, "capabilities": ALL if capabilities is None else capabilities},
        version=1,
    )
    for stream in streams:
        link.say(MessageType.SUBSCRIBE, {"stream": stream}, version=version)
    link.say(MessageType.PING, None, version=version)
    async with asyncio.timeout(10):
        while len(link.messages(MessageType.SUBSCRIPTION_ACK)) < len(streams) or not link.messages(MessageType.PONG):
            await asyncio.sleep(0.001)
    try:
        yield link
    finally:
        link.abort()
        await serving
