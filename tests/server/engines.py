"""The servers that carry a handler, each a real one on a port of its own, and a plain client for all of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import oracle
from recordings import optional
from uvicorn_server import serving as serving_asgi

from ecgframe.server import WebSocketBinaryHandler

websockets = optional("websockets")

TYPES = oracle.TYPES
EVERYTHING = ["compression", "timestamps", "priority", "broadcast", "ack", "ndarray-bin", "batch"]

Engine = Callable[..., AbstractAsyncContextManager[int]]


# --- the servers: each gives its port ---


@asynccontextmanager
async def on_websockets(handler: WebSocketBinaryHandler, *, connection_id: str | None = None) -> AsyncIterator[int]:
    from ecgframe.server.adapters.websockets import accept, serve

    async def live(websocket: Any) -> None:
        await accept(handler, websocket, connection_id)

    if connection_id is None:
        serving = serve(handler, "127.0.0.1", 0)
    else:
        serving = websockets.serve(live, "127.0.0.1", 0, compression=None, max_size=handler.max_message)
    async with serving as server:
        yield next(iter(server.sockets)).getsockname()[1]


@asynccontextmanager
async def on_picows(
    handler: WebSocketBinaryHandler, *, connection_id: str | None = None, **options: Any
) -> AsyncIterator[int]:
    optional("picows")
    from ecgframe.server.adapters.picows import serve

    async with serve(handler, "127.0.0.1", 0, connection_id=lambda request: connection_id, **options) as server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def on_starlette(
    handler: WebSocketBinaryHandler, *, connection_id: str | None = None, **options: Any
) -> AsyncIterator[int]:
    optional("starlette")
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute

    from ecgframe.server.adapters.starlette import accept, listen

    async def live(websocket: Any) -> None:
        await accept(handler, websocket, connection_id)

    app = Starlette(routes=[WebSocketRoute("/{path:path}", live)])
    async with serving_asgi(app, listener=listen("127.0.0.1", 0), ws_max_size=handler.max_message, **options) as port:
        yield port


@asynccontextmanager
async def on_aiohttp(handler: WebSocketBinaryHandler, *, connection_id: str | None = None) -> AsyncIterator[int]:
    web = optional("aiohttp.web")
    from ecgframe.server.adapters.aiohttp import accept, listen

    async def live(request: Any) -> Any:
        return await accept(handler, request, connection_id)

    app = web.Application()
    app.router.add_get("/{path:.*}", live)
    runner = web.AppRunner(app, shutdown_timeout=5)
    await runner.setup()
    site = web.SockSite(runner, listen("127.0.0.1", 0))
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


ENGINES: dict[str, Engine] = {
    "websockets": on_websockets,
    "picows": on_picows,
    "starlette": on_starlette,
    "aiohttp": on_aiohttp,
}


# --- the client ---


class PlainClient:
    """Speaks V3 by the oracle's reading of the specification, and negotiates what it is told to."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.waiting: list[oracle.Frame] = []

    async def send(self, type: str, data: Any, *, flags: int = 0, timestamp: int | None = None) -> None:
        timestamp = time.time_ns() // 1000 if timestamp is None else timestamp
        await self.connection.send(oracle.encode_frame(TYPES[type], data, 3, flags, timestamp))

    async def receive(self) -> oracle.Frame:
        """The next frame that is no heartbeat."""
        while not self.waiting:
            frames = oracle.decode_frames(await self.connection.recv(), 2**32)
            self.waiting = [frame for frame in frames if frame.type != TYPES["HEARTBEAT"]]
        return self.waiting.pop(0)

    async def expect(self, type: str) -> Any:
        frame = await self.receive()
        assert frame.type == TYPES[type], frame
        return frame.data

    async def subscribe(self, stream: str) -> None:
        await self.send("SUBSCRIBE", {"stream": stream})
        assert await self.expect("SUBSCRIPTION_ACK") == {"stream": stream, "status": "subscribed"}

    async def flush(self) -> None:
        """Wait until the server has dealt with all that was sent."""
        await self.send("PING", None)
        await self.expect("PONG")

    async def closed(self) -> tuple[int, str]:
        await self.connection.wait_closed()
        return self.connection.close_code, self.connection.close_reason


@asynccontextmanager
async def client(
    port: int, path: str = "/ws", *, capabilities: list[str] | None = None, **options: Any
) -> AsyncIterator[PlainClient]:
    """A connection that has negotiated V3."""
    async with websockets.connect(f"ws://127.0.0.1:{port}{path}", **({"compression": None} | options)) as connection:
        plain = PlainClient(connection)
        await plain.expect("PROTOCOL_NEGOTIATION")
        answer = {"version": 3, "capabilities": EVERYTHING[:-2] if capabilities is None else capabilities}
        await connection.send(oracle.encode_frame(TYPES["PROTOCOL_NEGOTIATION"], answer, 1))
        await plain.flush()
        yield plain


async def until(condition: Callable[[], Any], seconds: float = 10) -> None:
    """Wait for what nobody announces."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
