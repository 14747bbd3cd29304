"""How soon frames arrive, with every way, and with traffic in one direction only.

The viewers of these tests send nothing after they have subscribed, so no incoming message wakes a
server that has to send. Times are compared with those of the bare ``websockets`` library in the same run.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from contextlib import asynccontextmanager

import pytest
from client.cutting_proxy import cutting_proxy
from client.servers import impatient
from running import run
from server.engines import TYPES, Port, client, each_way, on_websockets, server_context, until, websockets

from ecgframe import MessageType
from ecgframe.client import State
from ecgframe.server import Limits, WebSocketBinaryHandler
from ecgframe.session import Settings

STREAM = "ecg/bed-7"
FRAMES = 40
PAUSE = 0.01
LARGE = 300_000
UNCOMPRESSED = Settings(rate_limit=None, compression=None)


def ecg(nbytes: int) -> dict:
    return {"sent": time.perf_counter(), "filling": os.urandom(nbytes)}


@asynccontextmanager
async def bare_websockets(tls: bool):
    """A server of the library alone; yields its port and its connections."""
    connections = []

    async def serve(connection):
        connections.append(connection)
        await connection.wait_closed()

    options = {"ssl": server_context()} if tls else {}
    async with websockets.serve(serve, "127.0.0.1", 0, compression=None, ping_interval=None, **options) as server:
        port = Port(server.sockets[0].getsockname()[1])
        port.is_secure = tls
        yield port, connections


async def bare_seconds(tls: bool) -> float:
    """The median time of a frame of 700 bytes over the library alone."""
    async with bare_websockets(tls) as (port, connections):
        options = {"compression": None, "ping_interval": None} | port.tls
        async with websockets.connect(port.url, **options) as viewer:
            await until(lambda: connections)
            taken = []
            for _ in range(FRAMES):
                began = time.perf_counter()
                await connections[0].send(os.urandom(700))
                await viewer.recv()
                taken.append(time.perf_counter() - began)
                await asyncio.sleep(PAUSE)
    return statistics.median(taken)


@pytest.mark.alone
@each_way
def test_frames_and_alerts_arrive_at_once_while_the_viewer_sends_nothing(way):
    async def conversation():
        bare = await bare_seconds(way.tls)
        async with WebSocketBinaryHandler(settings=UNCOMPRESSED) as handler, way(handler) as port:
            async with client(port) as viewer:
                await viewer.subscribe(STREAM)
                arrived: dict[str, list[float]] = {"ECG_DATA": [], "ANOMALY_ALERT": []}
                names = {TYPES[name]: name for name in arrived}

                async def receive():
                    while len(arrived["ECG_DATA"]) < FRAMES + 1 or not arrived["ANOMALY_ALERT"]:
                        frame = await viewer.receive()
                        arrived[names[frame.type]].append(time.perf_counter() - frame.data["sent"])

                receiving = asyncio.create_task(receive())
                for number in range(FRAMES):
                    await handler.publish(STREAM, MessageType.ECG_DATA, ecg(700))
                    if number == FRAMES // 2:
                        await handler.publish(STREAM, MessageType.ECG_DATA, ecg(LARGE))
                        await handler.publish(
                            STREAM, MessageType.ANOMALY_ALERT, ecg(10) | {"kind": "VT", "timestamp": 0.0}
                        )
                    await asyncio.sleep(PAUSE)
                await receiving
            # A processor that is shared makes any single frame late; what is held up on purpose is later by far.
            assert statistics.median(arrived["ECG_DATA"]) <= 2 * bare + 0.002
            assert max(arrived["ECG_DATA"]) < 0.5
            assert arrived["ANOMALY_ALERT"][0] < 0.2

    run(conversation(), loop_factory=way.loop_factory)


@each_way
def test_waiting_frames_are_sent_when_the_viewer_reads_again(way):
    """A viewer stops reading until frames wait for it, then continues and sends nothing: it gets all of them."""

    async def conversation():
        handler = WebSocketBinaryHandler(settings=UNCOMPRESSED)
        async with handler, way(handler) as port, client(port, max_size=None) as viewer:
            await viewer.subscribe(STREAM)
            [info] = handler.connections()
            for _ in range(3):
                viewer.connection.transport.pause_reading()
                sent = 0
                while info.queued_frames < 200:
                    await handler.publish(STREAM, MessageType.ECG_DATA, {"n": sent, "filling": os.urandom(2000)})
                    sent += 1
                    assert sent < 50_000
                viewer.connection.transport.resume_reading()
                for number in range(sent):
                    assert (await viewer.expect("ECG_DATA"))["n"] == number
            assert info.dropped == 0

    run(conversation(), loop_factory=way.loop_factory)


@pytest.mark.slow
@each_way
def test_a_viewer_that_does_not_answer_ping_gets_everything_later(way):
    """The viewer sends nothing, so the server can continue only after a timeout."""

    async def conversation():
        handler = WebSocketBinaryHandler(settings=UNCOMPRESSED)
        async with handler, way(handler) as port, client(port) as viewer:
            await viewer.subscribe(STREAM)
            viewer.answers = False
            for number in range(300):
                await handler.publish(STREAM, MessageType.ECG_DATA, {"n": number, "filling": os.urandom(1000)})
            async with asyncio.timeout(5):
                for number in range(300):
                    assert (await viewer.expect("ECG_DATA"))["n"] == number

    run(conversation(), loop_factory=way.loop_factory)


@each_way
def test_the_client_resumes_without_a_gap_when_its_connection_is_cut(way):
    async def conversation():
        handler = WebSocketBinaryHandler(settings=UNCOMPRESSED)
        async with handler, way(handler) as port, cutting_proxy(port) as proxy:
            through = Port(proxy.port)
            through.is_secure = way.tls
            async with impatient(f"{through.url}/ws", **through.tls) as viewer, viewer.subscribe(STREAM) as stream:
                number = 0
                for _ in range(5):
                    for _ in range(20):
                        await handler.publish(STREAM, MessageType.ECG_DATA, {"n": number})
                        number += 1
                        await asyncio.sleep(0.001)
                    await until(proxy.cut)
                got = [(await anext(stream)).data["n"] for _ in range(number)]
                assert got == list(range(number))
                assert stream.gap_count == 0
                assert viewer.state is State.CONNECTED

    run(conversation(), loop_factory=way.loop_factory)


@each_way
def test_a_stopping_server_sends_urgent_frames_first(way):
    async def conversation():
        handler = WebSocketBinaryHandler(settings=UNCOMPRESSED, limits=Limits(close_seconds=1000))
        async with handler, way(handler) as port, client(port) as viewer:
            await viewer.subscribe(STREAM)
            await handler.publish(STREAM, MessageType.ANOMALY_ALERT, {"kind": "VT", "timestamp": 0.0})
            closing = asyncio.create_task(handler.close())
            assert (await viewer.expect("ANOMALY_ALERT"))["kind"] == "VT"
            assert (await viewer.closed())[0] == 1001
            await closing

    run(conversation(), loop_factory=way.loop_factory)


@pytest.mark.alone
@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_the_client_sends_at_once_while_the_server_says_nothing(tls):
    """The other direction: a device publishes, and no incoming message wakes its client."""
    arrived: list[float] = []

    async def take(connection, message):
        arrived.append(time.perf_counter() - message.data["sent"])

    async def conversation():
        handler = WebSocketBinaryHandler(on_message=take)
        async with handler, on_websockets(handler, tls=tls) as port, impatient(f"{port.url}/ws", **port.tls) as device:
            for _ in range(FRAMES):
                await device.send_message(MessageType.ECG_DATA, ecg(700))
                await asyncio.sleep(PAUSE)
            await until(lambda: len(arrived) == FRAMES)
        assert statistics.median(arrived) < 0.02
        assert max(arrived) < 0.5

    run(conversation())
