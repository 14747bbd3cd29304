from __future__ import annotations

import asyncio
import io
from contextlib import asynccontextmanager

import pytest
from ports import unused_port
from recordings import optional
from running import run

from ecgframe import MessageType, encode
from ecgframe.protocol import Form
from ecgframe.tools import ToolError
from ecgframe.tools.capture.pcap import read_capture
from ecgframe.tools.capture.wireshark_export import Recorder
from ecgframe.tools.faults import Faults, FaultyDirection
from ecgframe.tools.observation import Delivery, Origin, Remark

websockets = optional("websockets")

from websockets.asyncio.client import connect  # noqa: E402 - after the skip
from websockets.asyncio.server import serve  # noqa: E402

from ecgframe.tools.proxy import Proxy  # noqa: E402
from ecgframe.tools.replay import Cue, Replay, part_of  # noqa: E402

PING = encode(MessageType.PING, {"n": 1}, version=1)
OFFER = encode(MessageType.PROTOCOL_NEGOTIATION, {"versions": [1]}, version=1)


def port_of(server):
    return server.sockets[0].getsockname()[1]


@asynccontextmanager
async def proxied(behave, **options):
    """Run a server and a proxy in front of it; yield the URL of the proxy and its observations."""
    seen = []
    faults = Faults(**{name: options.pop(name) for name in list(options) if name in Faults.__dataclass_fields__})
    async with serve(behave, "127.0.0.1", 0, compression=None, **options) as server:
        proxy = await Proxy(f"ws://127.0.0.1:{port_of(server)}", seen.append, faults).listen("127.0.0.1", 0)
        async with proxy:
            yield f"ws://127.0.0.1:{port_of(proxy)}", seen


async def echo(connection):
    async for message in connection:
        await connection.send(message)


# --- relaying ---


def test_messages_pass_both_ways_and_are_seen():
    async def talk():
        async with proxied(echo) as (url, seen), connect(url, compression=None) as client:
            for message in (PING, b"", "text"):
                await client.send(message)
                assert await client.recv() == message
            client_port = client.local_address[1]
        return seen, client_port

    seen, client_port = run(talk())
    passed = [(one.octets, one.is_text, one.origin.from_server) for one in seen if isinstance(one, Delivery)]
    both = [(octets, is_text) for octets, is_text in ((PING, False), (b"", False), (b"text", True)) for _ in range(2)]
    assert passed == [(*one, number % 2 == 1) for number, one in enumerate(both)]
    assert {one.origin.client for one in seen} == {f"127.0.0.1:{client_port}"}
    assert [one.text for one in seen if isinstance(one, Remark)] == ["closes: 1000"]


@pytest.mark.slow
def test_frames_of_version_4_pass_as_they_are():
    place = {"version": 4, "stream_id": 7, "sequence": 57}
    frames = [
        encode(MessageType.ECG_DATA, {"signal": [1]}, form=Form.BULK, **place),
        encode(MessageType.ECG_DATA, bytes(24), form=Form.RECORD, **place),
        encode(MessageType.PING, None, version=4)[:31],
    ]

    async def talk():
        async with proxied(echo) as (url, seen), connect(url, compression=None) as client:
            for frame in frames:
                await client.send(frame)
                assert await client.recv() == frame
        return [one.octets for one in seen if isinstance(one, Delivery) and one.origin.from_server]

    assert run(talk()) == frames


def test_the_path_the_query_and_some_headers_are_passed_on():
    asked = []

    async def note(connection):
        request = connection.request
        offered = request.headers.get("Sec-WebSocket-Protocol")
        asked.append((request.path, request.headers.get("Authorization"), offered, connection.subprotocol))

    async def talk():
        async with proxied(note, subprotocols=["ecgframe"]) as (url, _):
            headers = {"Authorization": "Bearer 7"}
            offered = ["ecgframe", "bearer.abc"]
            async with connect(f"{url}/ws?room=1", additional_headers=headers, subprotocols=offered) as client:
                assert client.subprotocol == "ecgframe"
                await client.wait_closed()

    run(talk())
    assert asked == [("/ws?room=1", "Bearer 7", "ecgframe, bearer.abc", "ecgframe")]


def test_other_requests_are_passed_to_the_target_unseen():
    asked = []

    def page(connection, request):
        asked.append((request.path, request.headers.get("Origin"), request.headers.get("Authorization")))
        response = connection.respond(418, "")
        response.body = b"<h1>page</h1>"
        response.headers["X-Own"] = "stays behind"
        response.headers["ETag"] = '"7"'
        del response.headers["Content-Length"]
        response.headers["Content-Length"] = "13"
        return response

    async def ask():
        async with proxied(echo, process_request=page) as (url, seen):
            port = int(url.rpartition(":")[2])
            request = b"GET /streams?a=1 HTTP/1.1\r\nHost: x\r\nOrigin: http://here\r\nAuthorization: Bearer 7\r\n\r\n"
            return await said(port, request), seen

    answer, seen = run(ask())
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 418 ")
    assert body == b"<h1>page</h1>"
    assert b'ETag: "7"' in head
    assert b"X-Own" not in head
    assert asked == [("/streams?a=1", "http://here", "Bearer 7")]
    assert seen == []


@pytest.mark.slow
def test_a_page_of_a_target_that_is_not_there():
    async def ask():
        proxy = await Proxy(f"ws://127.0.0.1:{unused_port()}", print).listen("127.0.0.1", 0)
        async with proxy:
            return await said(port_of(proxy), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

    answer = run(ask())
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"cannot be reached" in answer


async def said(port, request):
    """Send bytes, and return everything received until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.slow
@pytest.mark.parametrize("closing", ["server", "client"])
def test_close_codes_pass(closing):
    codes = []

    async def behave(connection):
        if closing == "server":
            await connection.close(1002, "too many errors")
        await connection.wait_closed()
        codes.append((connection.close_code, connection.close_reason))

    async def talk():
        async with proxied(behave) as (url, _), connect(url) as client:
            if closing == "client":
                await client.close(1002, "too many errors")
            await client.wait_closed()
            codes.append((client.close_code, client.close_reason))

    run(talk())
    assert set(codes) == {(1002, "too many errors")}


def test_a_connection_that_breaks_breaks_on_the_other_side():
    async def behave(connection):
        connection.transport.abort()

    async def talk():
        async with proxied(behave) as (url, _), connect(url) as client:
            await client.wait_closed()
            return client.close_code

    assert run(talk()) == 1006


def test_a_target_that_is_not_there():
    async def talk(seen):
        async with serve(echo, "127.0.0.1", 0) as server:
            port = port_of(server)
        proxy = await Proxy(f"ws://127.0.0.1:{port}", seen.append).listen("127.0.0.1", 0)
        async with proxy, connect(f"ws://127.0.0.1:{port_of(proxy)}") as client:
            await client.wait_closed()
            return client.close_code, client.close_reason

    seen = []
    assert run(talk(seen)) == (1013, "the target cannot be reached")
    assert seen[0].is_fault
    assert "cannot be reached" in seen[0].text


@pytest.mark.slow
def test_a_place_that_is_taken():
    async def talk():
        async with serve(echo, "127.0.0.1", 0) as server:
            for what in (Proxy("ws://127.0.0.1:1", print), Replay([], print)):
                with pytest.raises(ToolError, match="cannot listen at 127"):
                    await what.listen("127.0.0.1", port_of(server))

    run(talk())


def test_faults_are_told_and_what_arrives_is_seen():
    async def talk():
        async with proxied(echo, corrupt=1.0, seed=3) as (url, seen), connect(url, compression=None) as client:
            await client.send(OFFER)
            assert await client.recv() == OFFER
            await client.send(PING)
            return seen, await client.recv()

    seen, received = run(talk())
    faults = [one.text for one in seen if isinstance(one, Remark) and one.is_fault]
    assert len(faults) == 2
    assert all(text.startswith("15 bytes: bit ") for text in faults)
    assert [one.octets for one in seen if isinstance(one, Delivery)][-1] == received != PING


def test_lost_messages_do_not_arrive():
    async def talk():
        async with proxied(echo, drop=1.0) as (url, seen), connect(url, compression=None) as client:
            await client.send(PING)
            await client.send(OFFER)
            assert await client.recv() == OFFER
            return seen

    seen = run(talk())
    assert [one.text for one in seen if isinstance(one, Remark) and one.is_fault] == ["15 bytes: lost"]
    assert [one.octets for one in seen if isinstance(one, Delivery)] == [OFFER, OFFER]


@pytest.mark.slow
def test_delay_keeps_the_order():
    async def talk():
        async with proxied(echo, delay=0.02) as (url, _), connect(url, compression=None) as client:
            loop = asyncio.get_running_loop()
            begin = loop.time()
            for number in range(50):
                await client.send(bytes([number]))
            found = [await client.recv() for _ in range(50)]
            return found, loop.time() - begin

    found, elapsed = run(talk())
    assert found == [bytes([number]) for number in range(50)]
    assert 0.04 <= elapsed < 1


# --- simulated faults ---


def test_a_throttled_direction_takes_its_time():
    direction = FaultyDirection(Faults(throttle=1000, delay=0.5), 0)
    assert [direction.send(bytes(100), now).due for now in (0.0, 0.0, 5.0)] == pytest.approx([0.6, 0.7, 5.6])


def test_chance_is_that_of_the_seed_and_the_direction():
    def outcomes(seed, direction):
        one_way = FaultyDirection(Faults(drop=0.3, corrupt=0.3, seed=seed), direction)
        return [one_way.send(PING, 0.0) for _ in range(200)]

    assert outcomes(1, 0) == outcomes(1, 0)
    assert outcomes(1, 0) != outcomes(1, 1)
    assert outcomes(1, 0) != outcomes(2, 0)
    lost = [outcome for outcome in outcomes(1, 0) if outcome.data is None]
    changed = [outcome for outcome in outcomes(1, 0) if outcome.data not in (None, PING)]
    assert 35 < len(lost) < 85
    assert 20 < len(changed) < 70
    for outcome in changed:
        assert sum((one ^ other).bit_count() for one, other in zip(outcome.data, PING, strict=True)) == 1
        assert "is flipped" in outcome.fault


def test_an_empty_message_has_no_bit_to_flip():
    assert FaultyDirection(Faults(corrupt=1.0), 0).send(b"", 0.0).data == b""


@pytest.mark.parametrize(
    "values", [{"delay": -1}, {"drop": 1.5}, {"corrupt": -0.1}, {"throttle": 0}, {"delay": float("inf")}]
)
def test_faults_that_cannot_be(values):
    with pytest.raises(ValueError, match="is a"):
        Faults(**values)


# --- replaying ---


def recording():
    """Return a recording of two connections, as a proxy writes it."""
    file = io.BytesIO()
    recorder = Recorder(file)
    first, second = ("127.0.0.1:1", "127.0.0.1:9"), ("127.0.0.1:2", "127.0.0.1:9")
    for time, ends, from_server, octets in (
        (10.0, first, True, b"offer"),
        (10.1, first, False, b"answer"),
        (10.2, second, True, b"offer 2"),
        (10.3, first, True, b"data"),
    ):
        recorder.write(Delivery(octets, Origin(time, *ends, from_server)))
    return io.BytesIO(file.getvalue())


def test_the_part_of_each_side():
    assert part_of(read_capture(recording()), from_server=True) == [
        Cue(0.0, b"offer"),
        Cue(pytest.approx(0.3), b"data"),
    ]
    assert part_of(read_capture(recording()), from_server=False) == [Cue(pytest.approx(0.1), b"answer")]
    assert part_of(read_capture(recording()), from_server=True, connection=2) == [Cue(0.0, b"offer 2")]


def test_frames_of_a_file_are_a_servers_and_tell_their_times():
    frames = [encode(MessageType.PING, None, timestamp=time) for time in (5_000_000, 5_500_000)] + [PING]
    part = part_of(map(Delivery, frames), from_server=True)
    assert part == [Cue(0.0, frames[0]), Cue(0.5, frames[1]), Cue(0.0, PING)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"from_server": False, "connection": 2}, "the client sends nothing in connection 2"),
        ({"from_server": True, "connection": 3}, "there is no connection 3: 2 connections in this recording"),
    ],
)
def test_a_file_without_frames_is_refused(options, words):
    with pytest.raises(ToolError, match=words):
        part_of(read_capture(recording()), **options)


def test_an_empty_recording():
    with pytest.raises(ToolError, match="no connection in this recording"):
        part_of([], from_server=True)


CUES = [Cue(0.0, b"one"), Cue(0.4, "zwölf".encode(), is_text=True)]


@pytest.mark.slow
def test_the_servers_part_is_played_to_each_that_connects():
    async def talk():
        seen = []
        async with await Replay(CUES, seen.append, speed=20, linger=0.05).listen("127.0.0.1", 0) as server:
            for _ in range(2):
                async with connect(f"ws://127.0.0.1:{port_of(server)}") as client:
                    await client.send("hello")
                    assert [message async for message in client] == [b"one", "zwölf"]
                    assert client.close_code == 1000
        return seen

    seen = run(talk())
    assert sorted((one.octets, one.origin.from_server) for one in seen) == sorted(
        [(b"one", True), ("zwölf".encode(), True), (b"hello", False)] * 2
    )


@pytest.mark.slow
def test_the_clients_part_is_played_to_a_server_at_its_pace():
    times = []

    async def note(connection):
        async for message in connection:
            times.append(asyncio.get_running_loop().time())
            await connection.send(message)

    async def talk():
        seen = []
        async with serve(note, "127.0.0.1", 0) as server:
            await Replay(CUES, seen.append, speed=10, linger=0.1).to_server(f"ws://127.0.0.1:{port_of(server)}")
        return seen

    seen = run(talk())
    assert [(one.octets, one.is_text, one.origin.from_server) for one in seen] == [
        (cue.octets, cue.is_text, from_server) for cue in CUES for from_server in (False, True)
    ]
    assert times[1] - times[0] == pytest.approx(0.04, abs=0.03)


@pytest.mark.slow
def test_a_peer_that_disconnects_before_the_end_is_reported():
    async def behave(connection):
        await connection.recv()
        await connection.close(1002, "no")

    async def talk():
        seen = []
        async with serve(behave, "127.0.0.1", 0) as server:
            await Replay(CUES, seen.append).to_server(f"ws://127.0.0.1:{port_of(server)}")
        return seen

    assert run(talk())[-1].text == "closes before the end: 1002 no"
