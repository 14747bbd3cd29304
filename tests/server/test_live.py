"""The complete server in the test's process, with short limits."""

import asyncio

from recordings import optional
from running import run
from server.engines import client

from ecgframe.records import shipped_ecg
from ecgframe.server import Limits
from ecgframe.server.player import Loop

optional("websockets")


def test_a_stopping_server_drops_a_viewer_that_does_not_read():
    from ecgframe.server.live import LiveServer

    async def watching():
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        ready = loop.create_future()
        server = LiveServer(
            loop=Loop(shipped_ecg()), streams=("ecg/1",), speed=5, limits=Limits(close_seconds=0.2), port=0
        )
        running = asyncio.create_task(server.run(stop, ready.set_result))
        async with client(await ready, close_timeout=0.1) as viewer:
            await viewer.subscribe("ecg/1")
            viewer.connection.transport.pause_reading()
            began = loop.time()
            stop.set()
            await running
            assert 0.2 <= loop.time() - began < 4

    run(watching())
