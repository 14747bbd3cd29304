"""Frames that are sent to the sockets past the links: each byte arrives once and in order, whatever else is sent."""

import asyncio
import os
import socket
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from random import Random

import oracle
import pytest
from recordings import optional
from running import run
from server.engines import TYPES, PlainClient, Port, client, until, websockets

from ecgframe import MessageType, _core
from ecgframe.server import Settings, WebSocketBinaryHandler, fan_out

pytestmark = pytest.mark.skipif(not _core.CAN_SEND_TO_ALL, reason="sockets cannot be sent to without waiting here")

STREAM = "ecg/bed-7"
SMALL = 4608
"""Bytes of the smallest buffer of a socket that Linux makes."""

ROOMY = Settings(queue_frames=100_000, queue_bytes=1 << 30)


@asynccontextmanager
async def picows_server(handler, **options):
    optional("picows")
    from ecgframe.server.adapters.picows import serve

    async with serve(handler, "127.0.0.1", 0, **options) as server:
        yield server.sockets[0]


@asynccontextmanager
async def websockets_server(handler, **options):
    from ecgframe.server.adapters.websockets import serve

    async with serve(handler, "127.0.0.1", 0, **options) as server:
        yield next(iter(server.sockets))


SERVERS = {"picows": picows_server, "websockets": websockets_server}
each_server = pytest.mark.parametrize("server", SERVERS.values(), ids=SERVERS)


@pytest.fixture
def outcomes(monkeypatch):
    """Counts what became of the frames that were to be sent past the links."""
    counts = Counter()

    def spy(sessions, encoding, message, nbytes, now):
        rest = _core.send_to_all(sessions, encoding, message, nbytes, now)
        counts["whole"] += len(sessions) - len(rest)
        for _, taken in rest:
            name = {_core.QUEUE: "queued", _core.OTHER_ENCODING: "other", 0: "nothing"}.get(taken, "a part")
            counts[name] += 1
        return rest

    monkeypatch.setattr(fan_out, "send_to_all", spy)
    return counts


def small_buffers(listener):
    """Let the sockets that a server accepts take little at a time."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL // 2)


async def connected(port):
    """Return a socket that is connected to a server, and that takes little at a time."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL // 2)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    return sock


async def published(handler, number, text=""):
    """Publish a frame with a number, and a text that is as long as a test wants it."""
    data = {"signal": [number], "sampling_rate": 250, "n": number, "text": text}
    await handler.publish(STREAM, MessageType.ECG_DATA, data)


@each_server
def test_small_frames_go_past_the_links(server, outcomes):
    async def conversation():
        async with (
            WebSocketBinaryHandler() as handler,
            server(handler) as listener,
            AsyncExitStack() as stack,
        ):
            viewers = [await stack.enter_async_context(client(listener.getsockname()[1])) for _ in range(5)]
            for viewer in viewers:
                await viewer.subscribe(STREAM)
            for number in range(30):
                await published(handler, number)
            for viewer in viewers:
                assert [(await viewer.expect("ECG_DATA"))["n"] for _ in range(30)] == list(range(30))
            assert outcomes == {"whole": 150}
            stats = handler.stats()
            assert stats["messages"]["sent"]["ECG_DATA"] == 150

    run(conversation())


async def read(viewer, last, pause):
    """Receive until the last number, with WebSocket pings meanwhile; return the numbers, and those of the alerts."""
    numbers, alerts, pongs = [], [], []
    while not numbers or numbers[-1] != last:
        frame = await viewer.receive()
        if frame.type == TYPES["ANOMALY_ALERT"]:
            alerts.append(frame.data["n"])
        else:
            assert frame.type == TYPES["ECG_DATA"], frame
            assert frame.data["signal"] == [frame.data["n"]]
            numbers.append(frame.data["n"])
        if len(numbers) % 10 == 0:
            pongs.append(await viewer.connection.ping(os.urandom(100)))
        await asyncio.sleep(pause)
    await viewer.send("PING", None)
    while (frame := await viewer.receive()).type != TYPES["PONG"]:
        alerts.append(frame.data["n"])
    assert all(pong.done() for pong in pongs)  # with the bytes of their pings, in the order of these
    return numbers, alerts


@each_server
def test_every_byte_comes_once_and_in_order_at_full_sockets(server, outcomes):
    """Frames larger and smaller than what a socket takes, alerts, pings and their answers; some viewers read slowly."""
    last, pauses = 200, [0, 0, 0.001, 0.003]
    random = Random(5)  # text that cannot be compressed

    async def conversation():
        async with WebSocketBinaryHandler(settings=ROOMY) as handler, server(handler) as listener:
            small_buffers(listener)
            async with AsyncExitStack() as stack:
                port = listener.getsockname()[1]
                viewers = []
                for _ in pauses:
                    sock = await connected(port)
                    viewers.append(await stack.enter_async_context(client(port, sock=sock, max_queue=1)))
                for viewer in viewers:
                    await viewer.subscribe(STREAM)
                    await viewer.subscribe("alerts")
                reading = [
                    asyncio.create_task(read(viewer, last, pause))
                    for viewer, pause in zip(viewers, pauses, strict=True)
                ]
                for number in range(last + 1):
                    await published(handler, number, random.randbytes(number * 7919 % 4500 if number % 3 else 10).hex())
                    if number % 20 == 0:
                        alert = {"kind": "asystole", "timestamp": 1.5, "n": number}
                        await handler.publish("alerts", MessageType.ANOMALY_ALERT, alert)
                    if number % 5 == 0:
                        await asyncio.sleep(0.001)
                for numbers, alerts in await asyncio.gather(*reading):
                    assert numbers == list(range(last + 1))
                    assert alerts == list(range(0, last + 1, 20))
            stats = handler.stats()
            assert stats["dropped"] == 0
            assert stats["messages"]["sent"]["ECG_DATA"] == len(pauses) * (last + 1)

    run(conversation())
    assert outcomes["whole"] > 0
    assert outcomes["a part"] > 0
    assert outcomes["queued"] > 0


@each_server
def test_a_viewer_that_goes_away_costs_the_others_nothing(server, outcomes):
    """One resets its connection, one sends a close frame, in the middle of the frames."""

    async def conversation():
        async with (
            WebSocketBinaryHandler(settings=ROOMY) as handler,
            server(handler) as listener,
            AsyncExitStack() as stack,
        ):
            port = listener.getsockname()[1]
            stays, resets, closes = [await stack.enter_async_context(client(port, max_queue=None)) for _ in range(3)]
            for viewer in (stays, resets, closes):
                await viewer.subscribe(STREAM)
            for number in range(300):
                if number == 100:
                    sock = resets.connection.transport.get_extra_info("socket")
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    resets.connection.transport.abort()
                if number == 200:
                    closing = asyncio.create_task(closes.connection.close(1000, "enough"))
                await published(handler, number, "x" * 500)
                await asyncio.sleep(0)
            assert [(await stays.expect("ECG_DATA"))["n"] for _ in range(300)] == list(range(300))
            await closing
            await until(lambda: len(handler.connections()) == 1)
            await published(handler, 300)
            assert (await stays.expect("ECG_DATA"))["n"] == 300
            assert handler.stats()["connections"]["closed"]["1000"] == 1

    run(conversation())
    assert outcomes["whole"] > 0


def opcodes(octets):
    """Return the opcodes of the frames of a server, and the bytes of an incomplete one."""
    found, at = [], 0
    while at + 2 <= len(octets):
        size, head = octets[at + 1], 2
        if size == 126:
            size, head = int.from_bytes(octets[at + 2 : at + 4]), 4
        if at + head + size > len(octets):
            break
        found.append(octets[at] & 0x0F)
        at += head + size
    return found, octets[at:]


@each_server
def test_nothing_follows_a_close_frame_that_the_library_sends(server, outcomes):
    """A frame without a mask is an error: the library closes the connection by itself, while frames are published."""

    async def conversation():
        async with WebSocketBinaryHandler() as handler, server(handler) as listener:
            port = listener.getsockname()[1]
            async with client(port) as viewer:
                await viewer.subscribe(STREAM)
                await published(handler, 0)
                await viewer.expect("ECG_DATA")
                received = bytearray()
                transport = viewer.connection.transport
                transport.set_protocol(Collector(received, transport.get_protocol()))
                transport.write(b"\x82\x01x")
                number = 0
                while handler.connections():
                    number += 1
                    await published(handler, number)
                    await asyncio.sleep(0)
                await until(transport.is_closing)
                found, rest = opcodes(received)
                assert rest == b""
                assert found.count(0x8) == 1
                assert found[-1] == 0x8

    run(conversation())


class Collector(asyncio.Protocol):
    """Keeps what arrives, instead of the protocol of a connection."""

    def __init__(self, received, protocol):
        self.received = received
        self.connection_lost = protocol.connection_lost

    def data_received(self, data):
        self.received += data


@each_server
def test_what_others_would_change_stays_with_the_links(server, outcomes):
    """TLS encrypts; frames that wait for others go first."""
    from certificates import server_context

    async def watched(handler, listener, secure):
        port = Port(listener.getsockname()[1])
        port.is_secure = secure
        async with client(port) as viewer:
            await viewer.subscribe(STREAM)
            await published(handler, 1)
            assert (await viewer.expect("ECG_DATA"))["n"] == 1

    async def conversation():
        async with WebSocketBinaryHandler() as handler, server(handler, ssl=server_context()) as listener:
            await watched(handler, listener, True)
        async with WebSocketBinaryHandler(settings=Settings(linger=0.01)) as handler, server(handler) as listener:
            await watched(handler, listener, False)

    run(conversation())
    assert outcomes["whole"] == 0


@each_server
def test_a_viewer_that_negotiates_again_gets_its_own_bytes(server, outcomes):
    """It subscribes in version 1 and agrees on version 3 later, while another one of version 1 watches as well."""

    async def conversation():
        async with WebSocketBinaryHandler() as handler, server(handler) as listener, AsyncExitStack() as stack:
            url = f"ws://127.0.0.1:{listener.getsockname()[1]}"
            old = []
            for _ in range(2):
                connection = await stack.enter_async_context(websockets.connect(url, compression=None))
                viewer = PlainClient(connection)
                await viewer.expect("PROTOCOL_NEGOTIATION")
                await connection.send(oracle.encode_frame(TYPES["SUBSCRIBE"], {"stream": STREAM}, 1))
                await viewer.expect("SUBSCRIPTION_ACK")
                old.append(viewer)
            await published(handler, 1)
            assert [(await viewer.receive()).version for viewer in old] == [1, 1]
            choice = {"version": 3, "capabilities": ["timestamps"]}
            await old[1].connection.send(oracle.encode_frame(TYPES["PROTOCOL_NEGOTIATION"], choice, 1))
            await old[1].flush()
            await published(handler, 2)
            frames = [await viewer.receive() for viewer in old]
            assert [frame.version for frame in frames] == [1, 3]
            assert [frame.data["n"] for frame in frames] == [2, 2]
            await published(handler, 3)
            assert [(await viewer.receive()).version for viewer in old] == [1, 3]

    run(conversation())
    assert outcomes == {"whole": 6, "other": 1}


class Keeper:
    """Stands for a handler: keeps the links, and receives."""

    max_message = 1 << 20

    def __init__(self):
        self.links = asyncio.Queue()

    async def handle(self, link, connection_id=None, *, identity=None):
        await self.links.put(link)
        with suppress(Exception):
            while await link.receive() is not None:
                pass

    @asynccontextmanager
    async def shared(self, server, **options):
        """Open a connection; yield the client, its link, and a recipient that shares its descriptor."""
        async with server(self, **options) as listener:
            port = listener.getsockname()[1]
            async with websockets.connect(f"ws://127.0.0.1:{port}", ping_interval=None) as peer:
                link = await self.links.get()
                recipient = _core.Recipient()
                link.share_descriptor(recipient)
                yield peer, link, recipient


def has_descriptor_of(recipient, link):
    """Return whether a recipient has the descriptor of the socket of its link."""
    transport = link._transport
    transport = getattr(transport, "underlying_transport", transport)
    return recipient.descriptor == transport.get_extra_info("socket").fileno() >= 0


@each_server
def test_a_descriptor_is_shared_while_the_transport_holds_nothing_back(server):
    async def conversation():
        async with Keeper().shared(server) as (peer, link, recipient):
            assert has_descriptor_of(recipient, link)
            while link.can_write:
                link.write(bytes(1 << 16))
            assert recipient.descriptor == -1
            received = asyncio.create_task(collected(peer))
            await link.writable()
            assert link.can_write
            assert has_descriptor_of(recipient, link)
            received.cancel()

    run(conversation())


async def collected(peer):
    async for _ in peer:
        pass


@each_server
def test_a_single_byte_that_is_held_back_is_noticed(server):
    async def conversation():
        async with Keeper().shared(server) as (_, link, recipient):
            transport = getattr(link._transport, "underlying_transport", link._transport)
            assert transport.get_write_buffer_limits() == (0, 0)
            nbytes = 1
            while not transport.get_write_buffer_size():
                transport.write(bytes(nbytes))
            assert recipient.descriptor == -1

    run(conversation())


@each_server
@pytest.mark.parametrize("by", ["server", "peer", "abort", "reset"])
def test_a_descriptor_is_not_shared_once_the_connection_is_closing(server, by):
    async def conversation():
        async with Keeper().shared(server) as (peer, link, recipient):
            if by == "server":
                closing = asyncio.create_task(link.close(1000, ""))
                await asyncio.sleep(0)
                assert recipient.descriptor == -1  # at once, before the next frame
                await closing
            elif by == "peer":
                await peer.close()
            elif by == "abort":
                link.abort()
            else:
                sock = peer.transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                peer.transport.abort()
            await until(lambda: recipient.descriptor == -1)

    run(conversation())


def test_a_write_limit_or_an_extension_of_the_application_keeps_the_socket():
    async def conversation():
        for options in ({"write_limit": 4096}, {"compression": "deflate"}):
            async with Keeper().shared(websockets_server, **options) as (_, _, recipient):
                assert recipient.descriptor == -1
        async with Keeper().shared(websockets_server, compression=None) as (_, link, recipient):
            assert has_descriptor_of(recipient, link)

    run(conversation())


def test_picows_keeps_the_socket_if_it_pings_by_itself():
    """It may close the connection then, at any time, without telling."""

    async def conversation():
        async with Keeper().shared(picows_server, enable_auto_ping=True) as (_, _, recipient):
            assert recipient.descriptor == -1

    run(conversation())
