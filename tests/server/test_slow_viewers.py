"""Viewers whose network is slower than their streams, and connections that are lost at any time."""

import asyncio
import gc
import os
import random
import socket
import sys
from contextlib import asynccontextmanager, suppress

import oracle
import pytest
from running import run
from server.engines import ENGINES, TYPES, Way, client, each_way, on_websockets, until, websockets

from ecgframe import MessageType
from ecgframe.server import Limits, Link, Request, WebSocketBinaryHandler
from ecgframe.server.connection import Connection
from ecgframe.server.connection_writer import ConnectionWriter
from ecgframe.server.inbox import Inbox
from ecgframe.session import Settings, microseconds

STREAM = "ecg/bed-7"
ALERT = {"kind": "asystole", "timestamp": 1705314645.5}


PLAIN = Way(on_websockets)


def serving(conversation, *, timeout=120, way=PLAIN, **options):
    async def serve():
        async with WebSocketBinaryHandler(**options) as handler, way(handler) as port:
            await conversation(handler, port)
            await handler.close()

    run(serve(), timeout, way.loop_factory)


@asynccontextmanager
async def throttled(port, **options):
    """A client whose receive buffer has room for few frames, and which reads only when a test asks it to."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    async with client(port, sock=sock, max_queue=1, **options) as viewer:
        yield viewer


def noise(number, nbytes=2000):
    return {"sequence": number, "filling": os.urandom(nbytes)}


async def publish_until_waiting(handler, info, frames):
    """Publish until a number of frames wait for the viewer; return how many were published."""
    sent = 0
    while info.queued_frames < frames:
        await handler.publish(STREAM, MessageType.ECG_DATA, noise(sent))
        sent += 1
    return sent


@pytest.mark.slow
@each_way
def test_an_alert_overtakes_ten_thousand_waiting_frames(way):
    settings = Settings(queue_frames=20_000, queue_bytes=64 * 1024 * 1024, rate_limit=None, compression=None)

    async def conversation(handler, port):
        async with throttled(port) as viewer:
            await viewer.subscribe(STREAM)
            [info] = handler.connections()
            sent = await publish_until_waiting(handler, info, 10_000)
            waiting = info.queued_frames
            await handler.publish(STREAM, MessageType.ANOMALY_ALERT, ALERT)
            arrived = [(await viewer.receive()) for _ in range(sent + 1)]
            position = [frame.type for frame in arrived].index(TYPES["ANOMALY_ALERT"])
            # Only frames that the network had taken already arrived before it.
            assert position <= sent - waiting
            numbers = [frame.data["sequence"] for frame in arrived if frame.type == TYPES["ECG_DATA"]]
            assert numbers == list(range(sent))
            assert info.dropped == 0

    serving(conversation, way=way, settings=settings)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["websockets", "picows", "aiohttp"])  # uvicorn's own buffer cannot be configured
def test_the_network_buffers_little_data(engine):
    """Data that has left the queue cannot be overtaken: on both sides together it is less than 40 KiB."""
    settings = Settings(rate_limit=None, compression=None)

    async def conversation(handler, port):
        async with throttled(port) as viewer:
            await viewer.subscribe(STREAM)
            [info] = handler.connections()
            sent = await publish_until_waiting(handler, info, 500)
            assert (sent - info.queued_frames) * 2000 < 40 * 1024
            viewer.connection.transport.abort()

    serving(conversation, way=Way(ENGINES[engine]), settings=settings)


class DeafLink(Link):
    """A link whose transport is full until a test breaks it; then it takes everything, as transports do."""

    def __init__(self):
        self.request = Request(headers={})
        self.is_broken = False
        self.written = []
        self.arrived = asyncio.Queue()
        self.changed = asyncio.Event()

    @property
    def can_write(self):
        return self.is_broken or not self.written

    @property
    def is_closing(self):
        return self.is_broken and bool(self.written)

    def write(self, message):
        self.written.append(message)

    async def writable(self):
        await self.changed.wait()

    async def send(self, message):
        raise NotImplementedError

    async def receive(self):
        return await self.arrived.get()

    async def close(self, code, reason):
        pass

    def abort(self):
        self.arrived.put_nowait(None)


def test_nothing_is_written_after_the_peer_is_gone():
    async def conversation():
        async with WebSocketBinaryHandler(settings=Settings(rate_limit=None)) as handler:
            link = DeafLink()
            serving = asyncio.create_task(handler.handle(link))
            link.arrived.put_nowait(oracle.encode_frame(TYPES["SUBSCRIBE"], {"stream": STREAM}, 3, 0, 1))
            await until(lambda: handler.connections() and handler.connections()[0].streams)
            for number in range(1000):
                await handler.publish(STREAM, MessageType.ECG_DATA, noise(number))
            assert len(link.written) == 1
            assert len(tasks_of_the_server()) == 1
            link.is_broken = True
            link.changed.set()
            await serving
            assert len(link.written) == 2
            assert not tasks_of_the_server()

    run(conversation())


def test_a_slow_viewer_loses_the_oldest_frames_and_is_told():
    settings = Settings(queue_frames=50, rate_limit=None, compression=None)

    async def conversation(handler, port):
        async with throttled(port) as slow, client(port) as quick:
            await slow.subscribe(STREAM)
            await quick.subscribe(STREAM)
            timestamps = []
            for number in range(1000):
                timestamps.append(await handler.publish(STREAM, MessageType.ECG_DATA, noise(number)))
                assert (await quick.expect("ECG_DATA"))["sequence"] == number
            got, told = [], []
            while not got or got[-1] != 999:
                frame = await slow.receive()
                if frame.type == TYPES["ERROR"]:
                    told.append(frame.data["details"])
                else:
                    got.append(frame.data["sequence"])
            [notice] = told
            assert notice["stream"] == STREAM
            missing = sorted(set(range(1000)) - set(got))
            assert got == sorted(set(got))
            assert missing == list(range(missing[0], missing[-1] + 1))
            assert notice["dropped"] == len(missing) == handler.stats()["dropped"]
            assert microseconds(notice["from"]) == timestamps[missing[0]]
            assert microseconds(notice["to"]) == timestamps[missing[-1]]
            assert len(got) - missing[0] == 50  # the newest fifty waited

    serving(conversation, settings=settings)


@pytest.mark.slow
def test_memory_stays_bounded_with_a_viewer_that_does_not_read():
    settings = Settings(queue_bytes=1024 * 1024, rate_limit=None, compression=None)

    async def conversation(handler, port):
        async with throttled(port) as stalls, client(port) as reads:
            await stalls.subscribe(STREAM)
            await reads.subscribe(STREAM)
            for number in range(3000):
                await handler.publish(STREAM, MessageType.ECG_DATA, noise(number, 4000))
                await reads.expect("ECG_DATA")
                queues = handler.stats()["queues"]
                assert queues["longest_bytes"] <= 1024 * 1024
                assert handler.stats()["streams"][STREAM]["bytes"] <= 2 * 1024 * 1024
            assert queues["longest_frames"] > 200
            stalls.connection.transport.abort()

    serving(conversation, settings=settings, limits=Limits(ring_bytes=2 * 1024 * 1024))


def test_dropped_frames_are_logged_occasionally(caplog):
    settings = Settings(queue_frames=10, rate_limit=None, compression=None)

    async def conversation(handler, port):
        async with throttled(port) as slow:
            await slow.subscribe(STREAM)
            [info] = handler.connections()
            number = 0
            while info.dropped < 1000:
                await handler.publish(STREAM, MessageType.ECG_DATA, noise(number))
                number += 1
            while (await slow.receive()).data.get("sequence") != number - 1:
                pass

    serving(conversation, settings=settings)
    told = [record for record in caplog.records if "too slow" in record.getMessage()]
    assert 1 <= len(told) <= 3
    assert sum(record.dropped for record in told) > 0
    assert told[0].levelname == "WARNING"


def test_idle_connections_get_heartbeats_and_silent_peers_are_dropped():
    async def conversation(handler, port):
        async with client(port) as silent:
            await silent.subscribe(STREAM)
            assert await silent.closed() == (1011, silent.connection.close_reason)
            sent = handler.stats()["messages"]["sent"]
            assert (sent["HEARTBEAT"], sent["PING"]) == (1, 1)  # and sent a PING
        await until(lambda: not handler.connections())

    serving(conversation, settings=Settings(heartbeat_interval=0.2))


# --- lost connections ---


@pytest.mark.slow
@each_way
@pytest.mark.parametrize("seed", range(2))
def test_a_connection_that_is_lost_at_any_time_leaves_nothing_behind(way, seed):
    """Peers disconnect while they subscribe, publish, get answers, catch up, or wait for a slow hook."""
    chance = random.Random(seed)

    async def authorize(connection, action, stream):
        await asyncio.sleep(chance.choice([0, 0, 0.001, 0.02]))
        return chance.random() < 0.8

    async def on_message(connection, message):
        await asyncio.sleep(chance.choice([0, 0, 0.001, 0.05]))
        if chance.random() < 0.2:
            raise RuntimeError

    async def visit(port):
        with suppress(websockets.ConnectionClosed, websockets.InvalidMessage):
            visitor = throttled if chance.random() < 0.3 else client
            # A client that does not read would wait for a close frame that it never sees.
            async with visitor(port, close_timeout=0.1) as peer:
                for _ in range(chance.randrange(8)):
                    match chance.randrange(6):
                        case 0:
                            await peer.send("SUBSCRIBE", {"stream": STREAM, "since": 0})
                        case 1:
                            await peer.send("SUBSCRIBE", {"stream": f"made up {chance.random()}"})
                        case 2:
                            await peer.send("ECG_DATA", noise(1) | {"stream": f"published {chance.randrange(5)}"})
                        case 3:
                            await peer.send("UNSUBSCRIBE", {"stream": STREAM})
                        case 4:
                            await peer.connection.send(os.urandom(40))
                        case 5:
                            await asyncio.sleep(0.003)
                peer.connection.transport.abort()

    async def conversation(handler, port):
        async def feed():
            number = 0
            while True:
                type = MessageType.ECG_DATA if number % 10 else MessageType.ANOMALY_ALERT
                await handler.publish(STREAM, type, noise(number), flags=oracle.ACK_REQUIRED if number % 7 == 0 else 0)
                number += 1
                await asyncio.sleep(0.001)

        feeding = asyncio.create_task(feed())
        for _ in range(10):
            async with asyncio.TaskGroup() as visits:
                for _ in range(10):
                    visits.create_task(visit(port))
        feeding.cancel()
        await until(lambda: not handler.connections())
        await until(lambda: handler.stats()["connections"]["open"] == 0)
        assert set(handler.stats()["streams"]) <= {STREAM, *(f"published {number}" for number in range(5))}
        assert all(stream["viewers"] == 0 for stream in handler.stats()["streams"].values())
        await handler.close()
        await until(lambda: not tasks_of_the_server())
        gc.collect()

    settings = Settings(queue_frames=20, rate_limit=None, compression=None)
    limits = Limits(close_seconds=0.5, hook_seconds=1)
    serving(conversation, way=way, settings=settings, limits=limits, authorize=authorize, on_message=on_message)


def tasks_of_the_server():
    """Return the tasks of connections, without those of the servers."""
    code = (Connection.__module__, ConnectionWriter.__module__, Inbox.__module__)
    files = {sys.modules[name].__file__ for name in code}
    return [task for task in asyncio.all_tasks() if task.get_coro().cr_code.co_filename in files]


def test_a_cancelled_handler_drops_the_connection():
    """Some servers cancel it when they are shut down."""

    async def conversation(handler, port):
        async with client(port) as peer:
            await peer.subscribe(STREAM)
            for task in asyncio.all_tasks():
                if "protocol_handler" in str(task.get_coro()):
                    task.cancel()
            await peer.connection.wait_closed()
        assert handler.connections() == []
        assert handler.stats()["streams"] == {}
        assert not tasks_of_the_server()

    serving(conversation)
