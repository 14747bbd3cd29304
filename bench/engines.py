"""The servers that are compared: bare libraries, and the handler with each of its adapters.

Each server imports its library when it is started, so that missing libraries are skipped. The clients do not answer
pings, so the libraries send none.
"""

# ruff: noqa: PLC0415

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from ecgframe import Codec, MessageType
from ecgframe.records import shipped_ecg
from ecgframe.server import Limits, Settings, WebSocketBinaryHandler

STREAM = "ecg/bed-7"
VIEWER = ["timestamps", "priority", "ndarray-bin"]
"""Capabilities of the viewers, without compression and batches, so that all servers send the same bytes."""

BACKLOG = 4096
"""Connections that may wait to be accepted, the same for all servers."""

CODEC = Codec(ndarray="binary", compression=None)
NAMES = {
    "websockets": "`websockets` alone",
    "picows": "picows alone",
    "handler on websockets": "handler on `websockets`",
    "handler on picows": "handler on picows",
    "handler on starlette": "handler on Starlette, uvicorn",
    "handler on aiohttp": "handler on aiohttp",
}


SAMPLES = 92
"""Samples of each lead in a message, unless another number is given: a frame of 2.3 kB."""


@cache
def message(samples: int = SAMPLES) -> dict[str, Any]:
    """Return so many samples of twelve leads at 1000 Hz, as ADC counts."""
    record = shipped_ecg()
    return {
        "signal": np.ascontiguousarray(record.signal[:, :samples], "int16"),
        "sampling_rate": record.sampling_rate,
        "stream": STREAM,
    }


@cache
def frame(samples: int = SAMPLES) -> bytes:
    """Return the frame that viewers receive, except for its timestamp."""
    return CODEC.encode(MessageType.ECG_DATA, message(samples), timestamp=1)


def opening(*, subscribes: bool = True) -> list[bytes]:
    """Return the first messages of a viewer."""
    answer = {"version": 3, "capabilities": VIEWER}
    words = [CODEC.encode(MessageType.PROTOCOL_NEGOTIATION, answer, version=1)]
    return words + [CODEC.encode(MessageType.SUBSCRIBE, {"stream": STREAM})] * subscribes


@dataclass(frozen=True)
class Certificate:
    """The TLS certificate of a server.

    Attributes:
        chain: path of the certificate.
        key: path of its private key.
    """

    chain: str
    key: str

    def context(self) -> ssl.SSLContext:
        found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        found.load_cert_chain(self.chain, self.key)
        return found


def _secure(tls: Certificate | None) -> dict[str, Any]:
    return {"ssl": tls.context()} if tls else {}


@dataclass
class Station:
    """A running server.

    Attributes:
        port: port that it listens on.
        publish: sends the message to all viewers.
        says: the first messages of a viewer; a str is a text message.
        hears: number of messages that a viewer receives before the first published one.
        handler: the handler; None for a bare library.
        path: path at which viewers connect.
        more: bytes that a viewer receives with each published message, besides the message.
        spent: returns the seconds of processor time that the server has taken so far.
    """

    port: int
    publish: Callable[[], Awaitable[object]]
    says: list[bytes | str] = field(default_factory=list)
    hears: int = 0
    handler: WebSocketBinaryHandler | None = None
    path: str = "/ws"
    more: int = 0
    spent: Callable[[], float] = time.process_time


Engine = Callable[..., AbstractAsyncContextManager[Station]]


def installed() -> dict[str, Engine]:
    """Return the servers by name, without those whose library is missing."""
    return {
        name: engine
        for name, (engine, libraries) in _ENGINES.items()
        if all(find_spec(library) for library in libraries)
    }


# --- bare libraries, which send an encoded frame ---


@asynccontextmanager
async def _websockets(*, tls: Certificate | None = None, samples: int = SAMPLES, **_: Any) -> AsyncIterator[Station]:
    import websockets

    connections = set()

    async def serve(connection: Any) -> None:
        connections.add(connection)
        try:
            async for received in connection:
                await connection.send(received)
        except websockets.ConnectionClosed:
            pass
        finally:
            connections.discard(connection)

    async def publish() -> None:
        websockets.broadcast(connections, frame(samples))

    options = {"compression": None, "ping_interval": None, "backlog": BACKLOG, **_secure(tls)}
    async with websockets.serve(serve, "127.0.0.1", 0, **options) as server:
        yield Station(next(iter(server.sockets)).getsockname()[1], publish)


@asynccontextmanager
async def _picows(*, tls: Certificate | None = None, samples: int = SAMPLES, **_: Any) -> AsyncIterator[Station]:
    import picows

    binary, transports = picows.WSMsgType.BINARY, set()

    class Echo(picows.WSListener):
        def on_ws_connected(self, transport: Any) -> None:
            transports.add(transport)

        def on_ws_disconnected(self, transport: Any) -> None:
            transports.discard(transport)

        def on_ws_frame(self, transport: Any, received: Any) -> None:
            if received.msg_type == binary:
                transport.send(binary, received.get_payload_as_bytes())

        def pause_writing(self) -> None: ...

        def resume_writing(self) -> None: ...

    async def publish() -> None:
        for transport in transports:
            transport.send(binary, frame(samples))

    server = await picows.ws_create_server(lambda request: Echo(), "127.0.0.1", 0, backlog=BACKLOG, **_secure(tls))
    try:
        yield Station(server.sockets[0].getsockname()[1], publish)
    finally:
        server.close()
        for transport in list(transports):
            transport.disconnect(graceful=False)


# --- the handler ---


@asynccontextmanager
async def _handler(**settings: Any) -> AsyncIterator[WebSocketBinaryHandler]:
    async def answer(connection: Any, received: Any) -> None:
        await handler.send_message(connection.id, received.type, received.data)

    limits = Limits(rate_limit=None)  # a few clients send as fast as they can
    handler = WebSocketBinaryHandler(settings=Settings(**settings), limits=limits, on_message=answer)
    async with handler:
        yield handler


def _station(handler: WebSocketBinaryHandler, port: int, samples: int) -> Station:
    async def publish() -> None:
        await handler.publish(STREAM, MessageType.ECG_DATA, message(samples))

    return Station(port, publish, opening(), hears=2, handler=handler)


@asynccontextmanager
async def _on_websockets(
    *, tls: Certificate | None = None, samples: int = SAMPLES, **settings: Any
) -> AsyncIterator[Station]:
    from ecgframe.server.adapters.websockets import serve

    options = {"ping_interval": None, **_secure(tls)}
    async with _handler(**settings) as handler, serve(handler, "127.0.0.1", 0, **options) as server:
        yield _station(handler, next(iter(server.sockets)).getsockname()[1], samples)


@asynccontextmanager
async def _on_picows(
    *, tls: Certificate | None = None, samples: int = SAMPLES, **settings: Any
) -> AsyncIterator[Station]:
    from ecgframe.server.adapters.picows import serve

    async with _handler(**settings) as handler, serve(handler, "127.0.0.1", 0, **_secure(tls)) as server:
        yield _station(handler, server.sockets[0].getsockname()[1], samples)


@asynccontextmanager
async def _on_starlette(
    *,
    listener: socket.socket | None = None,
    tls: Certificate | None = None,
    samples: int = SAMPLES,
    **settings: Any,
) -> AsyncIterator[Station]:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute

    from ecgframe.server.adapters.starlette import accept, listen

    async with _handler(**settings) as handler:

        async def live(websocket: Any) -> None:
            await accept(handler, websocket)

        listener = listener or listen("127.0.0.1", 0)
        app = Starlette(routes=[WebSocketRoute("/ws", live)])
        options = {"ws_max_size": handler.max_message, "ws_per_message_deflate": False, "ws_ping_interval": None}
        if tls:
            options |= {"ssl_certfile": tls.chain, "ssl_keyfile": tls.key}
        server = uvicorn.Server(uvicorn.Config(app, timeout_graceful_shutdown=1, log_level="error", **options))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield _station(handler, listener.getsockname()[1], samples)
        finally:
            server.should_exit = True
            await serving


@asynccontextmanager
async def _on_aiohttp(
    *, tls: Certificate | None = None, samples: int = SAMPLES, **settings: Any
) -> AsyncIterator[Station]:
    from aiohttp import web

    from ecgframe.server.adapters.aiohttp import accept, listen

    async with _handler(**settings) as handler:

        async def live(request: Any) -> Any:
            return await accept(handler, request)

        app = web.Application()
        app.router.add_get("/ws", live)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        await web.SockSite(runner, listen("127.0.0.1", 0), ssl_context=tls and tls.context()).start()
        try:
            yield _station(handler, runner.addresses[0][1], samples)
        finally:
            await handler.close()
            await runner.cleanup()


_ENGINES: dict[str, tuple[Engine, list[str]]] = {
    "websockets": (_websockets, ["websockets"]),
    "picows": (_picows, ["picows"]),
    "handler on websockets": (_on_websockets, ["websockets"]),
    "handler on picows": (_on_picows, ["picows"]),
    "handler on starlette": (_on_starlette, ["starlette", "uvicorn"]),
    "handler on aiohttp": (_on_aiohttp, ["aiohttp"]),
}
