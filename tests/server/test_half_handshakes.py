"""Incomplete handshakes: each server drops connections without a complete request after a configurable time."""

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest
from recordings import optional
from running import run
from server.engines import client, on_starlette

from ecgframe.server import WebSocketBinaryHandler

SECONDS = 0.2
HALF = b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"


@asynccontextmanager
async def on_websockets(handler):
    from ecgframe.server.adapters.websockets import serve

    async with serve(handler, "127.0.0.1", 0, open_timeout=SECONDS) as server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def on_picows(handler):
    optional("picows")
    from ecgframe.server.adapters.picows import serve

    async with serve(handler, "127.0.0.1", 0, websocket_handshake_timeout=SECONDS) as server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def on_aiohttp(handler):
    web = optional("aiohttp.web")
    from ecgframe.server.adapters.aiohttp import accept, listen

    async def live(request):
        return await accept(handler, request)

    app = web.Application()
    app.router.add_get("/{path:.*}", live)
    runner = web.AppRunner(app, keepalive_timeout=SECONDS, shutdown_timeout=1)
    await runner.setup()
    await web.SockSite(runner, listen("127.0.0.1", 0)).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def on_uvicorn(handler):
    optional("uvicorn")
    from ecgframe.server.adapters.uvicorn import http_protocol

    async with on_starlette(handler, http=http_protocol(SECONDS)) as port:
        yield int(port)


@pytest.mark.slow
@pytest.mark.parametrize("engine", [on_websockets, on_picows, on_aiohttp, on_uvicorn])
@pytest.mark.parametrize("said", [b"", HALF], ids=["nothing", "half a request"])
def test_a_connection_without_a_request_is_dropped(engine, said):
    async def talk():
        async with WebSocketBinaryHandler() as handler, engine(handler) as port, client(port) as viewer:
            idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
            for _, writer in idle:
                writer.write(said)
            for reader, writer in idle:
                with suppress(ConnectionError):
                    await asyncio.wait_for(reader.read(), 10)
                writer.close()
            await viewer.flush()  # open connections stay

    run(talk())
