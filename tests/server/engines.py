"""The servers that carry a handler, each a real one on a port of its own, and a plain client for all of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import oracle
import pytest
from certificates import certificate, client_context, server_context
from recordings import optional
from uvicorn_server import serving as serving_asgi

from ecgframe.server import WebSocketBinaryHandler

websockets = optional("websockets")

TYPES = oracle.TYPES
EVERYTHING = ["compression", "timestamps", "priority", "broadcast", "ack", "ndarray-bin", "batch"]

Engine = Callable[..., AbstractAsyncContextManager[int]]


class Port(int):
    """Where a server listens, and whether it is spoken to by TLS."""

    is_secure = False

    @property
    def url(self) -> str:
        """Without a path."""
        return f"{'wss' if self.is_secure else 'ws'}://127.0.0.1:{int(self)}"

    @property
    def tls(self) -> dict[str, Any]:
        """The options by which a client of ``websockets`` trusts the server."""
        return {"ssl": client_context()} if self.is_secure else {}


def _port(number: int, tls: bool) -> Port:
    port = Port(number)
    port.is_secure = tls
    return port


# --- the servers: each gives its port ---


@asynccontextmanager
async def on_websockets(
    handler: WebSocketBinaryHandler, *, connection_id: str | None = None, tls: bool = False
) -> AsyncIterator[Port]:
    from ecgframe.server.adapters.websockets import accept, serve

    async def live(websocket: Any) -> None:
        await accept(handler, websocket, connection_id)

    options: dict[str, Any] = {"ssl": server_context()} if tls else {}
    if connection_id is None:
        serving = serve(handler, "127.0.0.1", 0, **options)
    else:
        serving = websockets.serve(live, "127.0.0.1", 0, compression=None, max_size=handler.max_message, **options)
    async with serving as server:
        yield _port(next(iter(server.sockets)).getsockname()[1], tls)


@asynccontextmanager
async def on_picows(
    handler: WebSocketBinaryHandler, *, connection_id: str | None = None, tls: bool = False, **options: Any
) -> AsyncIterator[Port]:
    optional("picows")
    from ecgframe.server.adapters.picows import serve

    secure = {"ssl": server_context()} if tls else {}
    async with serve(
        handler, "127.0.0.1", 0, connection_id=lambda request: connection_id, **secure, **options
    ) as server:
        yield _port(server.sockets[0].getsockname()[1], tls)


@asynccontextmanager
async def on_starlette(
    handler: WebSocketBinaryHandler, *, connection_id: str | None = None, tls: bool = False, **options: Any
) -> AsyncIterator[Port]:
    optional("starlette")
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute

    from ecgframe.server.adapters.starlette import accept, listen

    async def live(websocket: Any) -> None:
        await accept(handler, websocket, connection_id)

    app = Starlette(routes=[WebSocketRoute("/{path:path}", live)])
    if tls:
        chain, key, _ = certificate()
        options |= {"ssl_certfile": str(chain), "ssl_keyfile": str(key)}
    async with serving_asgi(app, listener=listen("127.0.0.1", 0), ws_max_size=handler.max_message, **options) as port:
        yield _port(port, tls)


@asynccontextmanager
async def on_aiohttp(
    handler: WebSocketBinaryHandler, *, connection_id: str | None = None, tls: bool = False
) -> AsyncIterator[Port]:
    web = optional("aiohttp.web")
    from ecgframe.server.adapters.aiohttp import accept, listen

    async def live(request: Any) -> Any:
        return await accept(handler, request, connection_id)

    app = web.Application()
    app.router.add_get("/{path:.*}", live)
    runner = web.AppRunner(app, shutdown_timeout=5)
    await runner.setup()
    site = web.SockSite(runner, listen("127.0.0.1", 0), ssl_context=server_context() if tls else None)
    await site.start()
    try:
        yield _port(runner.addresses[0][1], tls)
    finally:
        await runner.cleanup()


ENGINES: dict[str, Engine] = {
    "websockets": on_websockets,
    "picows": on_picows,
    "starlette": on_starlette,
    "aiohttp": on_aiohttp,
}


@dataclass(frozen=True)
class Way:
    """One way from a handler to its peers: what every test of delivery is run over. Used like an engine."""

    engine: Engine
    tls: bool = False
    on_uvloop: bool = False

    def __call__(self, handler: WebSocketBinaryHandler, **options: Any) -> AbstractAsyncContextManager[Port]:
        return self.engine(handler, tls=self.tls, **options)

    @property
    def loop_factory(self) -> Callable[[], asyncio.AbstractEventLoop] | None:
        """Makes the event loop; None for asyncio's own. Skips the test where uvloop is missing."""
        return optional("uvloop").new_event_loop if self.on_uvloop else None

    @property
    def is_quick(self) -> bool:
        """Whether tests go this way that are not slow: each engine once, and one of them over TLS."""
        return not self.on_uvloop and (not self.tls or self.engine is ENGINES["websockets"])


WAYS: dict[str, Way] = {
    f"{name}-{'wss' if tls else 'ws'}{'-uvloop' if on_uvloop else ''}": Way(engine, tls, on_uvloop)
    for name, engine in ENGINES.items()
    for on_uvloop in (False, True)
    for tls in (False, True)
}
"""A new adapter gets all tests of delivery by being listed in ``ENGINES``."""

each_way = pytest.mark.parametrize(
    "way",
    [pytest.param(way, marks=() if way.is_quick else pytest.mark.slow) for way in WAYS.values()],
    ids=list(WAYS),
)


# --- the client ---


class PlainClient:
    """Speaks V3 by the oracle's reading of the specification, and negotiates what it is told to."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.answers = True
        self.waiting: list[oracle.Frame] = []

    async def send(self, type: str, data: Any, *, flags: int = 0, timestamp: int | None = None) -> None:
        timestamp = time.time_ns() // 1000 if timestamp is None else timestamp
        await self.connection.send(oracle.encode_frame(TYPES[type], data, 3, flags, timestamp))

    async def receive(self) -> oracle.Frame:
        """The next frame that is no heartbeat; what the server asks is answered in its place, as every peer does."""
        while True:
            if not self.waiting:
                self.waiting = list(oracle.decode_frames(await self.connection.recv(), 2**32))
            frame = self.waiting.pop(0)
            if frame.type == TYPES["PING"]:
                if self.answers:
                    await self.send("PONG", frame.data)
            elif frame.type != TYPES["HEARTBEAT"]:
                return frame

    async def expect(self, type: str) -> Any:
        frame = await self.receive()
        assert frame.type == TYPES[type], frame
        return frame.data

    async def subscribe(self, stream: str) -> float | None:
        """The place at which the stream begins for this client, in seconds; None where it is watched already."""
        await self.send("SUBSCRIBE", {"stream": stream})
        answer = await self.expect("SUBSCRIPTION_ACK")
        start = answer.pop("from", None)
        assert answer == {"stream": stream, "status": "subscribed"}
        assert start is None or isinstance(start, float)
        return start

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
    """A connection that has negotiated V3. Nothing goes either way but what a test sends: no WebSocket pings."""
    defaults: dict[str, Any] = {"compression": None, "ping_interval": None}
    secure = port.tls if isinstance(port, Port) else {}
    url = port.url if isinstance(port, Port) else f"ws://127.0.0.1:{port}"
    async with websockets.connect(f"{url}{path}", **(defaults | secure | options)) as connection:
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
