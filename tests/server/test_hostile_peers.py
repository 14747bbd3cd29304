"""Hostile peers against a server in a separate process: its memory, and the effect on a normal viewer.

``server.floods`` has the kinds; ``tests/session/test_cost.py`` the same without a network.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import oracle
import pytest
from running import run
from server.engines import client, on_websockets, websockets
from server.flooded_server import STREAM
from server.floods import CONTROL, DATA, MIB, frame_of

import ecgframe
from ecgframe.server import Limits, WebSocketBinaryHandler
from ecgframe.session import RateLimit, Settings

T = oracle.TYPES
TESTS = Path(__file__).parents[1]
PACKAGES = Path(ecgframe.__file__).parents[1]
ENGINES = ["websockets", "picows"]
THOROUGH = pytest.mark.thorough

MOST_MEMORY = 64
"""MiB that a server may take in addition under any flood."""

UNREAD = {"websockets": 32 * 1024, "picows": 32 * 1024}
"""Bytes of each connection that the library may hold."""

WITHIN_THE_RATE = 160 * 1024
"""Bytes a second of each hostile peer; the rate limit allows 8 MiB."""


def each_on_one_engine(kinds):
    """Every kind on every engine; all but one engine for each kind, in turn, are only run by ``pytest -m alone``."""
    cases = [
        pytest.param(engine, kind, marks=() if (place + turn) % len(ENGINES) == 0 else THOROUGH)
        for place, kind in enumerate(kinds)
        for turn, engine in enumerate(ENGINES)
    ]
    return pytest.mark.parametrize(("engine", "kind"), cases)


@contextmanager
def program(name, *arguments):
    process = subprocess.Popen(
        [sys.executable, "-m", f"server.{name}", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (PACKAGES, TESTS)))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ask(process):
    process.stdin.write("\n")
    process.stdin.flush()
    return process.stdout.readline()


@contextmanager
def flooded(engine, **options):
    """Start a server; yield its port, and a function that returns its measurements."""
    with program("flooded_server", engine, json.dumps(options)) as process:
        yield int(process.stdout.readline()), lambda: json.loads(ask(process))


# --- memory ---

FLOODS = ["texts", "zeros", "empty maps", "long names", "names", "PING of 15 KB", "two in one"]


def growth(engine, kind, connections, nbytes, **options):
    """The maximum additional memory in MiB while connections send floods, read nothing and stay open."""
    with flooded(engine, **options) as (port, asked), program("floods", port, kind, connections, nbytes, 0) as hostile:
        assert int(hostile.stdout.readline()) == len(frame_of(kind))
        before = asked()
        ask(hostile)
        return max(asked()["most"], asked()["most"]) - before["memory"]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", FLOODS)
def test_memory_with_one_hostile_peer(engine, kind):
    assert growth(engine, kind, 1, MIB, takes=True, slow=5) < MOST_MEMORY


@pytest.mark.slow
@pytest.mark.parametrize("kind", FLOODS)
def test_memory_with_forty_hostile_peers(kind):
    assert growth("websockets", kind, 40, MIB, takes=True, slow=5) < MOST_MEMORY


@pytest.mark.alone
@each_on_one_engine(FLOODS)
def test_memory_with_a_thousand_hostile_peers(engine, kind):
    most = MOST_MEMORY + 1000 * UNREAD[engine] / MIB
    assert growth(engine, kind, 1000, 300_000, takes=kind in DATA, slow=5) < most


# --- the effect on a normal viewer ---

FRAMES = 160


async def watch(port, frames):
    """Return the delay of each frame in seconds; no frame may be missing."""
    late, expected = [], None
    async with websockets.connect(f"ws://127.0.0.1:{port}/", compression=None, max_size=None) as viewer:
        await viewer.send(
            oracle.encode_frame(T["PROTOCOL_NEGOTIATION"], {"version": 3, "capabilities": ["ndarray-bin"]}, 1)
        )
        await viewer.send(oracle.encode_frame(T["SUBSCRIBE"], {"stream": STREAM}))
        while len(late) < frames:
            message = await viewer.recv()
            now = time.monotonic()
            for frame in oracle.decode_frames(message):
                if frame.type == T["PING"]:
                    await viewer.send(oracle.encode_frame(T["PONG"], frame.data))
                elif frame.type == T["ECG_DATA"]:
                    assert expected in (None, frame.data["sequence"]), "a frame is missing"
                    expected = frame.data["sequence"] + 1
                    late.append(now - frame.data["sent"])
                else:
                    assert frame.type != T["ERROR"], frame.data
    return late


def lateness(engine, kind, connections, *, rate=WITHIN_THE_RATE, frames=FRAMES, **options):
    """The additional delay of a viewer's frames: the median and the 95th percentile."""
    with flooded(engine, **options) as (port, _), program("floods", port, kind, connections, rate, 60) as hostile:
        hostile.stdout.readline()
        calm = run(watch(port, frames // 2))
        hostile.stdin.write("\n")
        hostile.stdin.flush()
        stormy = run(watch(port, frames), timeout=60)
    return tuple(statistics.quantiles(stormy, n=20)[k] - statistics.quantiles(calm, n=20)[k] for k in (9, 18))


@pytest.mark.alone
@pytest.mark.parametrize("connections", [pytest.param(1, marks=THOROUGH), 8])
@pytest.mark.parametrize(
    "takes", [pytest.param(False, id="may not publish", marks=THOROUGH), pytest.param(True, id="may publish")]
)
@each_on_one_engine(DATA)
def test_a_normal_viewer_gets_every_frame_in_time(engine, connections, takes, kind):
    median, worst = lateness(engine, kind, connections, takes=takes)
    assert median < 0.05
    assert worst < 0.05


@pytest.mark.alone
@pytest.mark.parametrize("kind", CONTROL)
def test_a_normal_viewer_is_not_affected_by_control_messages(kind):
    median, worst = lateness("websockets", kind, 8, rate=MIB, takes=True)
    assert median < 0.05
    assert worst < 0.05


@pytest.mark.slow
def test_a_viewer_loses_nothing_while_another_floods_the_server():
    """The same on a busy machine: nothing is lost, however long it takes."""
    lateness("websockets", "texts", 4, frames=60, takes=True)


# --- the cost of peers that may not publish ---


def test_data_of_peers_that_may_not_publish_costs_little():
    async def talk():
        async with WebSocketBinaryHandler() as handler, on_websockets(handler) as port, client(port) as viewer:
            frame = frame_of("texts")
            before = time.process_time()
            for _ in range(10):
                await viewer.connection.send(frame)
            assert (await viewer.expect("ERROR"))["code"] == 0x203
            await viewer.flush()
            assert time.process_time() - before < 0.3  # decoding one of them would take as long
            assert handler.stats()["errors"]["sent"] == {"0x203": 10}

    run(talk())


def test_may_publish_decides_by_connection_and_type():
    seen, asked = [], []

    async def take(connection, message):
        seen.append(message.type.name)

    def may(connection, type):
        asked.append(type.name)
        if type.name == "FEATURE_DATA":
            raise RuntimeError("a hook that fails refuses")
        return type.name != "ANOMALY_ALERT"

    async def talk():
        async with (
            WebSocketBinaryHandler(on_message=take, may_publish=may) as handler,
            on_websockets(handler) as port,
            client(port) as peer,
        ):
            await peer.send("ECG_DATA", {"signal": [1], "sampling_rate": 1})
            await peer.send("ANOMALY_ALERT", {"kind": "x", "timestamp": 1})
            assert await peer.expect("ERROR") == {
                "code": 0x203,
                "message": "this connection may not send ANOMALY_ALERT",
            }
            await peer.send("FEATURE_DATA", {"features": {}})
            await peer.flush()
            assert seen == ["ECG_DATA"]
            assert asked == ["ECG_DATA", "ANOMALY_ALERT", "FEATURE_DATA"]
            assert handler.stats()["errors"]["sent"] == {"0x203": 2}

    run(talk())


def test_viewers_cannot_send_large_messages():
    takes = WebSocketBinaryHandler(on_message=lambda connection, message: asyncio.sleep(0))
    assert takes.max_message > 16 * MIB
    assert WebSocketBinaryHandler().max_message < 70_000


# --- every limit at once ---


def test_memory_is_bounded_by_the_limits():
    """All limits are reached at once; the memory is no more than ``docs/limits.md`` says."""
    limits = Limits(
        connections=8, inbox_messages=8, inbox_bytes=100_000, inboxes_bytes=200_000, close_seconds=0.1, rate_limit=None
    )
    settings = Settings(
        max_payload=100_000,
        queue_bytes=50_000,
        queue_frames=100,
        rate_limit=RateLimit(unpacked_burst=300_000, inflated_burst=100_000),
    )
    going = asyncio.Event()

    async def slow(connection, message):
        await going.wait()

    async def talk():
        handler = WebSocketBinaryHandler(on_message=slow, limits=limits, settings=settings)
        async with handler, on_websockets(handler) as port:
            peers = [client(port) for _ in range(8)]
            opened = [await peer.__aenter__() for peer in peers]
            frame = oracle.encode_frame(T["ECG_DATA"], {"signal": [0.5] * 8000, "sampling_rate": 1}, compression=False)
            subscribe = oracle.encode_frame(T["SUBSCRIBE"], {"stream": "x" * 256})

            async def fill(peer):
                for _ in range(20):
                    await peer.connection.send(frame)
                    await peer.connection.send(subscribe)

            filling = [asyncio.create_task(fill(peer)) for peer in opened]
            async with asyncio.timeout(10):
                while not all(connection._is_paused for connection in handler._connections.values()):
                    await asyncio.sleep(0.01)
            held = [connection._inbox._nbytes for connection in handler._connections.values()]
            assert sum(held) == handler._shared.inboxes.used == handler.stats()["inboxes"]["bytes"]
            # One message may exceed a limit, since its memory is known only after decoding.
            assert sum(held) < limits.inboxes_bytes + settings.rate_limit.unpacked_burst
            assert max(held) < limits.inbox_bytes + settings.rate_limit.unpacked_burst
            assert handler.stats()["queues"]["bytes"] <= 8 * settings.queue_bytes
            going.set()
            await asyncio.gather(*filling)
            for peer in opened:
                await peer.connection.send(oracle.encode_frame(T["PING"], None))
            async with asyncio.timeout(10):
                while handler.stats()["inboxes"]["bytes"]:
                    await asyncio.sleep(0.01)
            for peer, end in zip(peers, opened, strict=True):
                end.connection.transport.abort()  # this peer has read nothing, not even a close frame
                await peer.__aexit__(None, None, None)

    run(talk())
