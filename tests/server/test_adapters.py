"""All adapters, each on a real server, with a client that shares no code with them."""

import asyncio
import os
import socket

import numpy as np
import oracle
import pytest
from running import run
from server.engines import TYPES, client, each_way, until, websockets

from ecgframe import Flag, MessageType
from ecgframe.server import Limits, UnknownConnection, WebSocketBinaryHandler
from ecgframe.session import RateLimit, Settings

STREAM = "ecg/bed-7"
ECG = {"signal": np.arange(24, dtype="float32").reshape(2, 12), "sampling_rate": 250}
ALERT = {"kind": "asystole", "timestamp": 1705314645.5}
UNHURRIED = Settings(rate_limit=None)


def serving(way, conversation, *, connection_id=None, timeout=120, **options):
    """Run ``await conversation(handler, port)`` with a handler on a server of that way."""

    async def serve():
        handler = WebSocketBinaryHandler(**options)
        async with handler, way(handler, connection_id=connection_id) as port:
            await conversation(handler, port)
            await handler.close()

    run(serve(), timeout, way.loop_factory)


class Echo:
    """Sends each message of a peer back, through a handler that is set later."""

    handler = None

    async def on_message(self, connection, message):
        await self.handler.send_message(connection.id, message.type, message.data)


# --- messages ---


@each_way
def test_published_messages_arrive_in_order(way):
    async def conversation(handler, port):
        async with client(port) as one, client(port) as other:
            await one.subscribe(STREAM)
            await other.subscribe(STREAM)
            await handler.publish("another", MessageType.ECG_DATA, ECG)
            for sequence in range(200):
                await handler.publish(STREAM, MessageType.ECG_DATA, ECG | {"sequence": sequence})
            for viewer in (one, other):
                for sequence in range(200):
                    data = await viewer.expect("ECG_DATA")
                    assert oracle.same(data, ECG | {"sequence": sequence, "stream": STREAM})
            assert handler.stats()["dropped"] == 0

    serving(way, conversation)


@each_way
def test_an_alert_arrives_with_its_type_and_flags(way):
    async def conversation(handler, port):
        async with client(port) as viewer:
            await viewer.subscribe(STREAM)
            await handler.publish(STREAM, MessageType.ANOMALY_ALERT, ALERT)
            frame = await viewer.receive()
            assert (frame.type, frame.flags, frame.data) == (
                TYPES["ANOMALY_ALERT"],
                oracle.PRIORITY,
                ALERT | {"stream": STREAM},
            )

    serving(way, conversation)


@each_way
def test_an_application_can_answer(way):
    echo = Echo()

    async def conversation(handler, port):
        echo.handler = handler
        async with client(port) as peer:
            for sequence in range(100):
                await peer.send("ECG_DATA", ECG | {"sequence": sequence})
            for sequence in range(100):
                assert oracle.same(await peer.expect("ECG_DATA"), ECG | {"sequence": sequence})

    serving(way, conversation, on_message=echo.on_message)


@each_way
def test_a_connection_can_have_an_id(way):
    async def conversation(handler, port):
        async with client(port) as peer:
            assert [connection.id for connection in handler.connections()] == ["client_123"]
            await handler.send_message("client_123", MessageType.FEATURE_DATA, {"features": {"rate": 72}})
            assert await peer.expect("FEATURE_DATA") == {"features": {"rate": 72}}
        await until(lambda: not handler.connections())
        with pytest.raises(UnknownConnection, match="client_123"):
            await handler.send_message("client_123", MessageType.FEATURE_DATA, {"features": {"rate": 72}})

    serving(way, conversation, connection_id="client_123")


@each_way
def test_hooks_see_the_request(way):
    requests = []

    async def authenticate(request):
        requests.append(request)
        return "nurse"

    async def conversation(handler, port):
        headers = [("Authorization", "Bearer x"), ("X-Ward", "3"), ("X-Ward", "4")]
        async with client(port, "/ward%203/ws?token=a%26b&bed=7", additional_headers=headers) as peer:
            [connection] = handler.connections()
            host, peer_port = peer.connection.local_address
            assert (connection.identity, connection.peer) == ("nurse", f"{host}:{peer_port}")
        [request] = requests
        assert (request.path, request.query) == ("/ward%203/ws", "token=a%26b&bed=7")
        assert request.headers["authorization"] == "Bearer x"
        assert request.headers["x-ward"] == "3, 4"
        assert request.headers["host"] == f"127.0.0.1:{port}"
        assert request.peer == connection.peer

    serving(way, conversation, authenticate=authenticate)


@each_way
def test_permessage_deflate_is_off(way):
    async def conversation(handler, port):
        async with client(port, compression="deflate") as peer:
            assert "Sec-WebSocket-Extensions" not in peer.connection.response.headers

    serving(way, conversation)


# --- sizes and shapes ---


@each_way
def test_large_frames_pass_up_to_the_limit(way):
    limit = 1024 * 1024
    settings = Settings(max_payload=limit, rate_limit=None, compression=None)
    noise = os.urandom(limit - 100)
    echo = Echo()

    async def conversation(handler, port):
        echo.handler = handler
        async with client(port, max_size=None) as peer:
            for _ in range(3):
                await peer.send("FEATURE_DATA", {"features": {}, "raw": noise})
                assert (await peer.expect("FEATURE_DATA"))["raw"] == noise
            whole = oracle.frame(3, TYPES["ECG_DATA"], 0, b"\xc6" + (limit - 5).to_bytes(4) + bytes(limit - 5), 1)
            assert len(whole) == limit + 19
            await peer.connection.send(whole)
            assert await peer.expect("ECG_DATA") == bytes(limit - 5)

    serving(way, conversation, settings=settings, on_message=echo.on_message)


@each_way
def test_a_message_above_the_limit_is_refused_by_its_header(way):
    async def conversation(handler, port):
        async with client(port) as peer:
            beginning = b"\x82\xff" + (2**40).to_bytes(8) + bytes(4)  # announces a terabyte that never follows
            peer.connection.transport.write(beginning)
            assert (await peer.closed())[0] == 1009
        await until(lambda: handler.stats()["connections"]["closed"] == {"1009": 1})

    serving(way, conversation, settings=Settings(max_payload=64 * 1024))


@each_way
def test_fragments_are_joined_to_one_message(way):
    async def conversation(handler, port):
        async with client(port) as peer:
            frame = oracle.encode_frame(TYPES["PING"], {"some": "text"}, 3)
            await peer.connection.send([frame[:5], b"", frame[5:20], frame[20:]])
            assert await peer.expect("PONG") == {"some": "text"}

    serving(way, conversation)


@each_way
def test_the_limit_applies_to_all_fragments_together(way):
    async def conversation(handler, port):
        async with client(port) as peer:

            async def endless():
                while True:
                    yield bytes(16 * 1024)

            with pytest.raises(websockets.ConnectionClosed):
                await peer.connection.send(endless())
            assert (await peer.closed())[0] in (1009, 1006)  # a reset may overtake the close frame
        await until(lambda: not handler.connections())

    serving(way, conversation, settings=Settings(max_payload=64 * 1024, rate_limit=None))


@each_way
def test_text_messages_are_refused(way):
    async def conversation(handler, port):
        async with client(port) as peer:
            await peer.connection.send("hello")
            assert (await peer.expect("ERROR"))["code"] == 0x200
            await peer.flush()

    serving(way, conversation)


# --- ending ---


@each_way
@pytest.mark.parametrize("code", [1000, 1001, 3999, 4000])
def test_a_peer_may_close_the_connection(way, code):
    async def conversation(handler, port):
        async with client(port) as peer:
            await peer.subscribe(STREAM)
            await peer.connection.close(code, "enough")
            assert await peer.closed() == (code, "enough") or code < 4001
        await until(lambda: handler.stats()["connections"]["closed"] == {str(code): 1})
        assert handler.stats()["streams"].get(STREAM, {"viewers": 0})["viewers"] == 0

    serving(way, conversation)


@each_way
def test_a_closing_handler_gives_code_and_reason(way):
    async def conversation(handler, port):
        async with client(port) as one, client(port) as other:
            closing = asyncio.create_task(handler.close(reason="the ward closes"))
            assert await one.closed() == (1001, "the ward closes")
            assert await other.closed() == (1001, "the ward closes")
            await closing
        assert handler.stats()["connections"]["closed"] == {"1001": 2}

    serving(way, conversation)


@each_way
def test_a_refused_peer_gets_an_error_and_a_close_code(way):
    async def authenticate(request):
        return None

    async def conversation(handler, port):
        async with websockets.connect(f"{port.url}/ws", compression=None, **port.tls) as connection:
            error = oracle.decode_frame(await connection.recv())
            assert (error.type, error.data["code"]) == (TYPES["ERROR"], 0x202)
            await connection.wait_closed()
            assert connection.close_code == 1008

    serving(way, conversation, authenticate=authenticate)


@each_way
def test_one_connection_too_many_is_closed(way):
    async def conversation(handler, port):
        async with client(port), websockets.connect(f"{port.url}/ws", compression=None, **port.tls) as one_too_many:
            await one_too_many.wait_closed()
            assert one_too_many.close_code == 1013
            assert len(handler.connections()) == 1

    serving(way, conversation, limits=Limits(connections=1))


@each_way
def test_an_invalid_frame_closes_the_connection(way):
    async def conversation(handler, port):
        async with client(port) as peer:
            await peer.connection.send(b"\x09" * 40)
            assert (await peer.expect("ERROR"))["code"] == 0x100
            assert (await peer.closed())[0] == 1002

    serving(way, conversation)


@pytest.mark.slow
@each_way
def test_a_peer_that_disconnects_does_not_affect_others(way):
    async def conversation(handler, port):
        async with client(port) as stays:
            await stays.subscribe(STREAM)
            for _ in range(5):
                async with client(port) as vanishes:
                    await vanishes.subscribe(STREAM)
                    linger = (1).to_bytes(4, "little") + bytes(4)  # a reset instead of a close frame
                    vanishes.connection.transport.get_extra_info("socket").setsockopt(
                        socket.SOL_SOCKET, socket.SO_LINGER, linger
                    )
                    vanishes.connection.transport.abort()
                    await handler.publish(STREAM, MessageType.ECG_DATA, ECG)
                    await stays.expect("ECG_DATA")
            await until(lambda: len(handler.connections()) == 1)
            assert handler.stats()["streams"][STREAM]["viewers"] == 1

    serving(way, conversation)


# --- pressure ---


@pytest.mark.slow
@each_way
def test_a_flood_is_not_read_faster_than_it_is_handled(way):
    """The application handles nothing, so after a while the peer cannot send any more."""
    gate, taken = asyncio.Event(), []

    async def take(connection, message):
        await gate.wait()
        taken.append(message.data["sequence"])

    async def conversation(handler, port):
        async with client(port) as peer:
            sequence, noise = 0, os.urandom(4096)
            while True:
                frame = oracle.encode_frame(TYPES["ECG_DATA"], {"sequence": sequence, "raw": noise}, 3)
                sequence += 1
                try:
                    async with asyncio.timeout(1):
                        await peer.connection.send(frame)
                except TimeoutError:
                    break
                assert sequence < 20_000, "80 MB were received, and none were handled"
            gate.set()
            await until(lambda: len(taken) == sequence)
            assert taken == list(range(sequence))
            await peer.flush()

    serving(way, conversation, settings=UNHURRIED, on_message=take)


@pytest.mark.slow
@each_way
def test_a_viewer_that_does_not_read_does_not_affect_others(way):
    settings = Settings(queue_frames=100, rate_limit=None, compression=None)
    noise = {"signal": np.random.default_rng(1).normal(size=250), "sampling_rate": 250}

    async def conversation(handler, port):
        async with client(port) as reads, client(port) as stalls:
            for viewer in (reads, stalls):
                await viewer.subscribe(STREAM)
            stalls.connection.transport.pause_reading()
            [stalled] = [info for info in handler.connections() if info.peer.endswith(str(local_port(stalls)))]
            sent = 0
            while not stalled.dropped:
                await handler.publish(STREAM, MessageType.ECG_DATA, noise | {"sequence": sent})
                assert (await reads.expect("ECG_DATA"))["sequence"] == sent
                assert stalled.queued_frames <= 100
                sent += 1
                assert sent < 50_000, "100 MB were sent to a viewer that does not read"
            await handler.publish(STREAM, MessageType.ANOMALY_ALERT, ALERT)
            await reads.expect("ANOMALY_ALERT")
            # It reads again: it gets everything that was not dropped, and an ERROR about the rest.
            stalls.connection.transport.resume_reading()
            got, told = [], 0
            while len(got) + told < sent + 1:
                frame = await stalls.receive()
                if frame.type == TYPES["ERROR"]:
                    told += frame.data["details"]["dropped"]
                else:
                    got.append(frame.data.get("sequence", "alert"))
            assert got.index("alert") < sent - told  # before frames that were published earlier
            got.remove("alert")
            assert got == sorted(set(got))

    serving(way, conversation, settings=settings)


@pytest.mark.slow
@each_way
def test_a_viewer_that_never_reads_again_is_dropped(way):
    """Alerts are never dropped, so the connection of a viewer that does not read them is closed without waiting."""
    settings = Settings(queue_frames=20, rate_limit=None)
    big = ALERT | {"message": os.urandom(20_000).hex()}

    async def conversation(handler, port):
        async with client(port, max_size=None) as reads, client(port, max_size=None) as stalls:
            for viewer in (reads, stalls):
                await viewer.subscribe(STREAM)
            stalls.connection.transport.pause_reading()
            for _ in range(2000):
                await handler.publish(STREAM, MessageType.ANOMALY_ALERT, big)
                await reads.expect("ANOMALY_ALERT")
                if len(handler.connections()) == 1:
                    break
            await until(lambda: handler.stats()["connections"]["closed"] == {"1013": 1})
            stalls.connection.transport.abort()

    serving(way, conversation, settings=settings, limits=Limits(close_seconds=0.5))


@pytest.mark.slow
@each_way
def test_a_peer_above_its_rate_is_slowed_down(way):
    settings = Settings(rate_limit=RateLimit(frames=10, frames_burst=20), max_payload=1024 * 1024)

    async def conversation(handler, port):
        async with client(port) as peer:
            for _ in range(60):
                await peer.send("HEARTBEAT", None)
            assert (await peer.expect("ERROR"))["code"] == 0x204

    serving(way, conversation, settings=settings)


def local_port(peer):
    return peer.connection.local_address[1]


def test_the_oracle_has_the_same_priority_flag():
    assert int(Flag.PRIORITY) == oracle.PRIORITY
