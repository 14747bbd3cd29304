"""The picows adapter only: fragments, pings, and the handshake of Firefox."""

import asyncio
import os
import socket

import oracle
import pytest
from recordings import optional, uninstall
from running import run
from server.engines import TYPES, client, on_picows, until, websockets

from ecgframe import MessageType
from ecgframe.libraries import MissingLibrary
from ecgframe.server import Settings, WebSocketBinaryHandler

optional("picows")

from ecgframe.server.adapters.arrivals import FULL_BYTES, Arrivals  # noqa: E402 - after the skip
from ecgframe.server.adapters.picows import _ReadingLittle  # noqa: E402
from ecgframe.server.link import READ_SIZE  # noqa: E402

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


def serving(conversation, **options):
    async def serve():
        handler = WebSocketBinaryHandler(**options)
        async with handler, on_picows(handler) as port:
            await conversation(handler, port)

    run(serve())


def raw(opcode, payload=b"", *, fin=True):
    """Build a WebSocket frame of a client, with a mask of zeros, which changes nothing."""
    head = bytes([opcode | 0x80 * fin])
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2)
    return head + length + bytes(4) + payload


async def write(peer, *frames):
    peer.connection.transport.write(b"".join(frames))


PING_FRAME = oracle.encode_frame(TYPES["PING"], {"some": "text"}, 3)


def test_fragments_with_a_ping_between_them():
    async def conversation(handler, port):
        async with client(port) as peer:
            await write(
                peer,
                raw(BINARY, PING_FRAME[:7], fin=False),
                raw(PING, b"are you there?"),
                raw(CONTINUATION, PING_FRAME[7:9], fin=False),
                raw(CONTINUATION, PING_FRAME[9:]),
            )
            assert await peer.expect("PONG") == {"some": "text"}
            await peer.flush()

    serving(conversation)


@pytest.mark.slow
@pytest.mark.parametrize(
    "frames",
    [
        [raw(CONTINUATION, b"x")],
        [raw(BINARY, b"x", fin=False), raw(BINARY, b"x")],
        [raw(BINARY, b"x", fin=False), raw(TEXT, b"x")],
        [raw(0x3, b"x")],
        [raw(PING, b"x", fin=False)],
    ],
)
def test_fragments_out_of_order(frames):
    async def conversation(handler, port):
        async with client(port) as peer:
            await write(peer, *frames)
            assert (await peer.closed())[0] == 1002
        await until(lambda: not handler.connections())

    serving(conversation)


def test_invalid_utf_8_in_a_fragmented_text_message():
    async def conversation(handler, port):
        async with client(port) as peer:
            await write(peer, raw(TEXT, b"\xff", fin=False), raw(CONTINUATION, b"\xfe"))
            assert (await peer.expect("ERROR"))["code"] == 0x200
            await peer.flush()

    serving(conversation)


def test_pings_are_answered():
    async def conversation(handler, port):
        async with client(port) as peer:
            for payload in (b"", b"x" * 125):
                async with asyncio.timeout(5):
                    await (await peer.connection.ping(payload))

    serving(conversation)


@pytest.mark.slow
def test_pings_of_a_peer_that_does_not_read_take_no_memory():
    """Only the latest ping needs an answer; pongs for all of them would fill the server's memory."""

    async def conversation(handler, port):
        async with client(port) as peer, client(port) as other:
            transport = peer.connection.transport
            transport.pause_reading()
            [link] = [link for link in links if link.request.peer.endswith(f":{peer.connection.local_address[1]}")]
            pings = raw(PING, b"x" * 125) * 1000
            for _ in range(400):  # 52 MB of pings
                await write(peer, pings)
                await other.flush()
                await until(lambda: not transport.get_write_buffer_size())
                assert link._transport.underlying_transport.get_write_buffer_size() <= 64 * 1024
            await write(peer, raw(PING, b"the last"))
            await other.flush()
            answered = asyncio.get_running_loop().create_future()
            peer.connection.pending_pings[b"the last"] = (answered, asyncio.get_running_loop().time())
            transport.resume_reading()
            async with asyncio.timeout(10):
                await answered

    from ecgframe.server.adapters import picows

    links = []
    attend = picows._attend

    async def noting(handler, link, connection_id):
        links.append(link)
        await attend(handler, link, connection_id)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(picows, "_attend", noting)
        serving(conversation, settings=Settings(rate_limit=None))


@pytest.mark.parametrize("code", [b"", (1000).to_bytes(2), (4999).to_bytes(2) + b"bye"])
def test_close_frames_are_answered(code):
    async def conversation(handler, port):
        async with client(port) as peer:
            await write(peer, raw(CLOSE, code))
            assert (await peer.closed())[0] == (int.from_bytes(code[:2]) or 1000)
        await until(lambda: sum(handler.stats()["connections"]["closed"].values()) == 1)
        [closed] = handler.stats()["connections"]["closed"]
        assert int(closed) == (int.from_bytes(code[:2]) or 1005)

    serving(conversation)


def test_a_peer_that_does_not_answer_the_close_frame_is_dropped():
    async def conversation(handler, port):
        async with client(port) as peer:
            peer.connection.transport.pause_reading()
            async with asyncio.timeout(20):
                await handler.close()
            assert handler.stats()["connections"]["closed"] == {"1001": 1}
            peer.connection.transport.abort()

    from ecgframe.server import Limits

    serving(conversation, limits=Limits(close_seconds=0.3))


def test_messages_received_before_the_peer_closed_are_handled():
    taken = []

    async def take(connection, message):
        taken.append(message.data["n"])
        await asyncio.sleep(0)

    async def conversation(handler, port):
        async with client(port) as peer:
            for n in range(20):
                await peer.send("FEATURE_DATA", {"features": {}, "n": n})
            await peer.connection.close()
        await until(lambda: len(taken) == 20)
        assert taken == list(range(20))

    serving(conversation, on_message=take)


@pytest.mark.parametrize("connection", ["keep-alive, Upgrade", "Upgrade", "upgrade,keep-alive"])
def test_the_handshake_of_each_browser(connection):
    """The first header is Firefox's."""

    async def conversation(handler, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            f"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: {connection}\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        assert (await reader.readline()).split()[1] == b"101"
        writer.close()
        await writer.wait_closed()

    serving(conversation)


def test_a_request_that_is_not_a_websocket_is_refused():
    async def conversation(handler, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await reader.readline()).split()[1] == b"400"
        writer.close()
        await writer.wait_closed()
        assert not handler.connections()

    serving(conversation)


def test_stopping_the_server_closes_its_connections_but_not_the_handler():
    async def serve():
        async with WebSocketBinaryHandler() as handler:
            async with on_picows(handler) as first:
                peer = await websockets.connect(f"ws://127.0.0.1:{first}/ws", compression=None)
                await peer.recv()
            await peer.wait_closed()
            assert (peer.close_code, peer.close_reason) == (1001, "the server is stopping")
            async with on_picows(handler) as second, client(second) as again:
                await again.subscribe("ecg")
                await handler.publish("ecg", MessageType.FEATURE_DATA, {"features": {}})
                await again.expect("FEATURE_DATA")

    run(serve())


def test_transport_and_kernel_buffers_are_small():
    async def conversation(handler, port):
        async with client(port) as peer:
            [connection] = handler.connections()
            transport = connection._connection.link._transport.underlying_transport
            assert transport.get_write_buffer_limits()[1] <= 64 * 1024
            if hasattr(socket, "TCP_NOTSENT_LOWAT"):
                sock = transport.get_extra_info("socket")
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == 16 * 1024
            await peer.flush()

    serving(conversation)


def test_the_connection_id_can_come_from_the_request():
    async def serve():
        from ecgframe.server.adapters.picows import serve

        handler = WebSocketBinaryHandler()
        naming = serve(handler, "127.0.0.1", 0, connection_id=lambda request: request.path.strip("/") or None)
        async with handler, naming as server:
            port = server.sockets[0].getsockname()[1]
            async with client(port, "/bed-7"), client(port, "/"):
                named, made_up = sorted((connection.id for connection in handler.connections()), key=len)
                assert named == "bed-7"
                assert len(made_up) == 32

    run(serve())


def test_without_picows(monkeypatch):
    uninstall(monkeypatch, "picows")
    monkeypatch.delitem(__import__("sys").modules, "ecgframe.server.adapters.picows", raising=False)
    with pytest.raises(MissingLibrary, match=r'pip install "ecgframe\[picows\]"'):
        __import__("importlib").import_module("ecgframe.server.adapters.picows")


def test_random_bytes_do_not_stop_the_server():
    async def conversation(handler, port):
        for _ in range(20):
            async with client(port) as peer:
                await write(peer, os.urandom(300))
                await peer.connection.close()
        await until(lambda: not handler.connections())

    serving(conversation)


@pytest.mark.slow
@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_messages_that_arrive_while_reading_is_paused_are_read_later(tls):
    """Reading pauses because too much waits. Then the peer is silent, so nothing else wakes the reader."""

    async def conversation():
        async def answer(connection, message):
            await handler.send_message(connection.id, message.type, message.data)

        async with WebSocketBinaryHandler(on_message=answer) as handler, on_picows(handler, tls=tls) as port:
            for _ in range(30):
                async with client(port) as peer:
                    for number in range(100):
                        await peer.send("ECG_DATA", {"signal": list(range(40)), "sampling_rate": 250, "n": number})
                    assert [(await peer.expect("ECG_DATA"))["n"] for _ in range(100)] == list(range(100))

    run(conversation())


def test_a_read_takes_little_of_a_large_buffer():
    """Otherwise picows doubles its buffer whenever a flood fills it, up to all bytes that the kernel holds."""

    class Protocol:
        buffer = bytearray(1 << 20)

        def get_buffer(self, sizehint):
            return memoryview(self.buffer)

    assert len(_ReadingLittle(Protocol(), print).get_buffer(-1)) == READ_SIZE


def test_a_large_message_that_is_handled_keeps_the_connection_from_being_read():
    read = []

    async def take():
        arrivals = Arrivals(lambda: read.append("pause"), lambda: read.append("resume"))
        arrivals.put(bytes(FULL_BYTES))
        assert await arrivals.get() == bytes(FULL_BYTES)
        assert read == ["pause"]
        waiting = asyncio.ensure_future(arrivals.get())
        await asyncio.sleep(0)
        assert read == ["pause", "resume"]
        arrivals.put(b"x")
        assert await waiting == b"x"

    run(take())


def test_a_transport_that_is_full_again_is_not_taken_for_a_closed_connection():
    """The answer to a ping may fill it, before the task that waits for room goes on."""

    class Handler:
        max_message = 1 << 20
        links = asyncio.Queue()

        async def handle(self, link, connection_id):
            await self.links.put(link)
            while await link.receive() is not None:
                pass

    async def conversation():
        async with on_picows(Handler()) as port, websockets.connect(port.url, compression=None) as peer:
            link = await Handler.links.get()
            link.pause_writing()
            sending = asyncio.create_task(link.send(b"text"))
            await asyncio.sleep(0)
            link.resume_writing()
            link.pause_writing()
            await asyncio.wait([sending], timeout=0.05)
            assert not sending.done()
            link.resume_writing()
            assert await peer.recv() == b"text"
            link.pause_writing()
            sending = asyncio.create_task(link.send(b"more"))
            await asyncio.sleep(0)
            link.abort()
            with pytest.raises(ConnectionResetError):
                await sending

    run(conversation())
