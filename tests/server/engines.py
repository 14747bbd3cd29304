"""Real servers for a handler, one for each adapter, and a plain client for all of them."""

from __future__ import annotations

import asyncio
import time
import zlib
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
    """The address of a server, and whether it uses TLS."""

    is_secure = False

    @property
    def url(self) -> str:
        """The URL of the server, without a path."""
        return f"{'wss' if self.is_secure else 'ws'}://127.0.0.1:{int(self)}"

    @property
    def tls(self) -> dict[str, Any]:
        """Options of a ``websockets`` client that trusts the server."""
        return {"ssl": client_context()} if self.is_secure else {}


def _port(number: int, tls: bool) -> Port:
    port = Port(number)
    port.is_secure = tls
    return port


# --- servers, each yields its port ---


@asynccontextmanager
async def on_websockets(
    handler: WebSocketBinaryHandler, *, connection_id: str | None = None, identity: object = None, tls: bool = False
) -> AsyncIterator[Port]:
    from ecgframe.server.adapters.websockets import accept, serve

    async def live(websocket: Any) -> None:
        await accept(handler, websocket, connection_id, identity=identity)

    options: dict[str, Any] = {"ssl": server_context()} if tls else {}
    if connection_id is identity is None:
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
    handler: WebSocketBinaryHandler,
    *,
    connection_id: str | None = None,
    identity: object = None,
    tls: bool = False,
    **options: Any,
) -> AsyncIterator[Port]:
    optional("starlette")
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute

    from ecgframe.server.adapters.starlette import accept, listen

    async def live(websocket: Any) -> None:
        await accept(handler, websocket, connection_id, identity=identity)

    app = Starlette(routes=[WebSocketRoute("/{path:path}", live)])
    if tls:
        chain, key, _ = certificate()
        options |= {"ssl_certfile": str(chain), "ssl_keyfile": str(key)}
    if handler.resolves_proxies:
        options["proxy_headers"] = False  # as by options_for
    async with serving_asgi(app, listener=listen("127.0.0.1", 0), ws_max_size=handler.max_message, **options) as port:
        yield _port(port, tls)


@asynccontextmanager
async def on_aiohttp(
    handler: WebSocketBinaryHandler, *, connection_id: str | None = None, identity: object = None, tls: bool = False
) -> AsyncIterator[Port]:
    web = optional("aiohttp.web")
    from ecgframe.server.adapters.aiohttp import accept, listen

    async def live(request: Any) -> Any:
        return await accept(handler, request, connection_id, identity=identity)

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
    """One combination of adapter, event loop and TLS, with which tests of delivery run. Used like an engine."""

    engine: Engine
    tls: bool = False
    on_uvloop: bool = False

    def __call__(self, handler: WebSocketBinaryHandler, **options: Any) -> AbstractAsyncContextManager[Port]:
        return self.engine(handler, tls=self.tls, **options)

    @property
    def loop_factory(self) -> Callable[[], asyncio.AbstractEventLoop] | None:
        """Return the factory of the event loop; None for asyncio's own. Skips the test if uvloop is missing."""
        return optional("uvloop").new_event_loop if self.on_uvloop else None


WAYS: dict[str, Way] = {
    f"{name}-{'wss' if tls else 'ws'}{'-uvloop' if on_uvloop else ''}": Way(engine, tls, on_uvloop)
    for name, engine in ENGINES.items()
    for on_uvloop in (False, True)
    for tls in (False, True)
}
"""A new adapter that is listed in ``ENGINES`` gets all tests of delivery."""


def quick_ways(test: str) -> set[str]:
    """The ways with which a test runs without ``--slow``: one without TLS and one with it.

    They are derived from the test's name, so they stay the same, and all tests together use every way.
    """
    number = zlib.crc32(test.encode())
    plain, secure = ([name for name, way in WAYS.items() if way.tls is tls] for tls in (False, True))
    return {plain[number % len(plain)], secure[(number >> 16) % len(secure)]}


def each_way(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test once for each way, the argument ``way``; most of these runs are marked as slow."""
    quick = quick_ways(test.__name__)
    ways = [pytest.param(way, id=name, marks=() if name in quick else pytest.mark.slow) for name, way in WAYS.items()]
    return pytest.mark.parametrize("way", ways)(test)


# --- the client ---


class PlainClient:
    """A V3 client that uses the oracle's codec, and negotiates what a test asks for."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.answers = True
        self.waiting: list[oracle.Frame] = []

    async def send(self, type: str, data: Any, *, flags: int = 0, timestamp: int | None = None) -> None:
        timestamp = time.time_ns() // 1000 if timestamp is None else timestamp
        await self.connection.send(oracle.encode_frame(TYPES[type], data, 3, flags, timestamp))

    async def receive(self) -> oracle.Frame:
        """Return the next frame that is not a heartbeat, and answer PINGs of the server meanwhile."""
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
        """Subscribe, and return ``from`` of the answer in seconds; None if the stream is watched already."""
        await self.send("SUBSCRIBE", {"stream": stream})
        answer = await self.expect("SUBSCRIPTION_ACK")
        start = answer.pop("from", None)
        assert answer == {"stream": stream, "status": "subscribed"}
        assert start is None or isinstance(start, float)
        return start

    async def flush(self) -> None:
        """Wait until the server has processed everything that was sent."""
        await self.send("PING", None)
        await self.expect("PONG")

    async def closed(self) -> tuple[int, str]:
        await self.connection.wait_closed()
        return self.connection.close_code, self.connection.close_reason


@asynccontextmanager
async def client(
    port: int, path: str = "/ws", *, capabilities: list[str] | None = None, **options: Any
) -> AsyncIterator[PlainClient]:
    """Open a connection that has negotiated V3. It sends only what a test sends: no WebSocket pings."""
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


async def until(condition: Callable[[], Any], seconds: float = 60) -> None:
    """Wait until a condition holds, by polling."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
