"""Many connections at once: more than the limit on open files allows, and viewers that all reconnect."""

import asyncio
import os
import selectors
import socket
import subprocess
import sys
import time
from contextlib import AsyncExitStack, closing, contextmanager, suppress
from itertools import pairwise
from multiprocessing import get_context

import pytest
from interpreter import PACKAGES, TESTS
from recordings import optional
from running import run
from server.accepting import send_type
from server.crowded_server import STREAM
from server.engines import ENGINES, client, each_way, until, websockets
from server.redis_server import redis_server

from ecgframe import MessageType
from ecgframe.server import Limits, WebSocketBinaryHandler
from ecgframe.server.adapters.listening import ACCEPTS, ListeningSocket, listen
from ecgframe.server.event_loop import EVENTS, FewAtATime, new_event_loop
from ecgframe.server.pace import Pace
from ecgframe.server.viewers import Viewers
from ecgframe.session import Settings

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the limit of open files is one of Unix")

FILES = 60
WAIT = "open ones are still served: Too many open files; raise the limit of open files, which is 60"
LOOPS = [(engine, "asyncio") for engine in ENGINES] + [(engine, "uvloop") for engine in ENGINES]


# --- no open files left ---


@pytest.mark.alone
@pytest.mark.parametrize(("engine", "loop"), LOOPS, ids=[f"{engine}-{loop}" for engine, loop in LOOPS])
def test_viewers_are_not_affected_when_open_files_run_out(engine, loop, tmp_path):
    async def watching(port):
        async with client(port) as viewer:
            await viewer.subscribe(STREAM)
            watch = Watch(viewer)
            quiet = await watch.frames(10)
            began = time.monotonic()
            with crowd(port, 2 * FILES):
                crowded = await watch.frames(40)
                # uvloop instead closes connections at once that it cannot accept
                assert failed(crowded) >= 1
                assert failed(crowded) <= time.monotonic() - began + 1
            async with asyncio.timeout(2):
                while not await is_served(port):
                    await asyncio.sleep(0.05)
            assert numbers(quiet + crowded) == list(range(numbers(quiet)[0], numbers(crowded)[-1] + 1))
            # A busy machine may delay one frame, but not several.
            assert sorted(lateness(crowded))[-3] < max(lateness(quiet)) + 0.1
            return failed(crowded)

    log = tmp_path / "log"
    with crowded_server(engine, log, loop) as port:
        times = run(watching(port))
    lines = log.read_text().splitlines()
    assert 1 <= len(lines) <= times + 1
    assert all(WAIT in line for line in lines)
    told = [float(line.split()[0]) for line in lines]
    assert all(later - earlier > 0.99 for earlier, later in pairwise(told))


async def is_served(port):
    """Return whether a new viewer is served; uvloop closes it at once while no files are available."""
    with suppress(websockets.InvalidMessage, websockets.ConnectionClosed, OSError):
        async with client(port) as another:
            await another.subscribe(STREAM)
            return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_the_reserved_files_are_enough_for_redis(engine, tmp_path):
    """A broken connection to Redis is restored while viewers use all files that they may use."""

    async def watching(port, redis):
        async with client(port) as viewer:
            await viewer.subscribe(STREAM)
            watch = Watch(viewer)
            with crowd(port, 2 * files):
                await watch.until(lambda features: features["up"] and features["failed"])
                redis.kill()
                failed = (await watch.until(lambda features: not features["up"]))["failed"]
                await watch.until(lambda features: features["failed"] >= failed + 2)  # viewers use its file
                redis.start()
                async with asyncio.timeout(5):
                    await watch.until(lambda features: features["up"])

    optional("redis")
    files = 160  # ten of them are not for viewers
    with (
        redis_server(tmp_path) as redis,
        crowded_server(engine, tmp_path / "log", "asyncio", redis.url, files=files) as port,
    ):
        run(watching(port, redis))


class Watch:
    """The messages of a viewer, with their times of arrival."""

    def __init__(self, viewer):
        self.viewer = viewer

    async def until(self, condition):
        while not condition(features := (await self.viewer.expect("FEATURE_DATA"))["features"]):
            pass
        return features

    async def frames(self, count):
        found = []
        while len(found) < count:
            data = await self.viewer.expect("FEATURE_DATA")
            found.append((time.monotonic(), data))
        return found


def numbers(frames):
    return [data["number"] for _, data in frames]


def lateness(frames):
    return [arrived - data["features"]["sent"] for arrived, data in frames]


def failed(frames):
    return frames[-1][1]["features"]["failed"]


@contextmanager
def crowded_server(engine, log, loop="asyncio", *redis, files=FILES):
    optional(engine)
    optional(loop)
    arguments = [engine, str(files), str(log), loop, *redis]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (PACKAGES, TESTS)))}
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "server.crowded_server", *arguments],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


@contextmanager
def crowd(port, count):
    """Open connections that send nothing, one after the other; the kernel accepts them."""
    sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    try:
        yield
    finally:
        for sock in sockets:
            sock.close()


# --- listening ---


def test_few_connections_are_accepted_in_one_turn():
    async def accepting():
        turns = []

        def accept():
            turns.append(0)
            try:
                for _ in range(100):
                    accepted.append(listener.accept()[0])
                    turns[-1] += 1
            except BlockingIOError:
                pass

        loop, accepted = asyncio.get_running_loop(), []
        with closing(listen("127.0.0.1", 0)) as listener, crowd(listener.getsockname()[1], 3 * ACCEPTS):
            listener.setblocking(False)
            loop.add_reader(listener.fileno(), accept)
            await until(lambda: len(accepted) == 3 * ACCEPTS)
            loop.remove_reader(listener.fileno())
            for sock in accepted:
                sock.close()
        assert turns[:3] == [ACCEPTS] * 3

    run(accepting())


def test_the_backlog_does_not_depend_on_the_server():
    with closing(listen("127.0.0.1", 0, backlog=300)) as listener:
        listener.listen(1)
        with crowd(listener.getsockname()[1], 250):  # a full queue drops SYNs, and connecting would take a second
            pass


def test_without_an_event_loop_it_is_an_ordinary_socket():
    with closing(listen("127.0.0.1", 0)) as listener, crowd(listener.getsockname()[1], 3 * ACCEPTS):
        for _ in range(3 * ACCEPTS):
            listener.accept()[0].close()


@pytest.mark.slow
def test_the_socket_can_be_passed_to_another_process():
    with closing(listen("127.0.0.1", 0)) as listener:
        process = get_context("spawn").Process(target=send_type, args=(listener,))
        process.start()
        with socket.create_connection(listener.getsockname(), timeout=30) as sock:
            assert sock.recv(100) == b"ListeningSocket"
        process.join(30)
        assert process.exitcode == 0


@pytest.mark.slow
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", None])
@pytest.mark.parametrize("engine", ["websockets", "picows"])
def test_all_sockets_of_a_server_are_replaced(engine, host):
    adapter = optional(f"ecgframe.server.adapters.{engine}")

    async def serving():
        async with WebSocketBinaryHandler() as handler, adapter.serve(handler, host, 0, backlog=77) as server:
            sockets = getattr(server, "server", server)._sockets
            assert {type(sock) for sock in sockets} == {ListeningSocket}
            assert {sock._backlog for sock in sockets} == {77}
            [port] = [sock.getsockname()[1] for sock in sockets if sock.family is socket.AF_INET]
            async with client(port) as viewer:
                await viewer.subscribe(STREAM)

    run(serving())


@pytest.mark.parametrize("engine", ["websockets", "picows"])
def test_a_passed_socket_is_closed_with_the_server(engine):
    adapter = optional(f"ecgframe.server.adapters.{engine}")

    async def serving():
        given = socket.create_server(("127.0.0.1", 0))
        port = given.getsockname()[1]
        async with WebSocketBinaryHandler() as h, adapter.serve(h, sock=given), client(port) as viewer:
            await viewer.subscribe(STREAM)
        assert given.fileno() == -1

    run(serving())


@pytest.mark.parametrize("engine", ["websockets", "picows"])
def test_a_server_can_be_started_later(engine):
    adapter = optional(f"ecgframe.server.adapters.{engine}")

    async def serving():
        async with (
            WebSocketBinaryHandler() as handler,
            adapter.serve(handler, "127.0.0.1", 0, start_serving=False) as server,
        ):
            inner = getattr(server, "server", server)
            assert not inner.is_serving()
            await inner.start_serving()
            async with client(inner.sockets[0].getsockname()[1]) as viewer:
                await viewer.subscribe(STREAM)

    run(serving())


# --- many viewers that reconnect ---


RATHER_MANY = 300
"""Number of frames: more than one piece of a backlog, and more than are sent in one turn."""


def serving(way, conversation, **options):
    async def serve():
        handler = WebSocketBinaryHandler(settings=Settings(rate_limit=None, compression=None), **options)
        async with handler, way(handler) as port:
            for number in range(RATHER_MANY):
                await handler.publish(STREAM, MessageType.FEATURE_DATA, {"features": {}, "number": number})
            await conversation(handler, port)
            await handler.close()

    run(serve(), loop_factory=way.loop_factory)


async def gets_all(viewer, first, end):
    for number in range(first, end):
        assert (await viewer.expect("FEATURE_DATA"))["number"] == number


@pytest.mark.slow
@each_way
def test_one_viewer_catches_up_in_each_turn_and_all_get_everything(way, monkeypatch):
    async def conversation(handler, port):
        loop, turn, caught_up_in = asyncio.get_running_loop(), 0, []
        catch_up = Viewers.catch_up

        def count():
            nonlocal turn
            turn += 1
            loop.call_soon(count)

        def counted(self, viewer, now):
            caught_up_in.append(turn)
            return catch_up(self, viewer, now)

        monkeypatch.setattr(Viewers, "catch_up", counted)
        async with AsyncExitStack() as stack:
            viewers = [await stack.enter_async_context(client(port)) for _ in range(20)]
            count()
            for viewer in viewers:
                await viewer.send("SUBSCRIBE", {"stream": STREAM, "since": 0})
            for number in range(RATHER_MANY, RATHER_MANY + 50):
                await handler.publish(STREAM, MessageType.FEATURE_DATA, {"features": {}, "number": number})
                await asyncio.sleep(0)
            for viewer in viewers:
                await viewer.expect("SUBSCRIPTION_ACK")
            for viewer in viewers:
                await gets_all(viewer, 0, RATHER_MANY + 50)
        assert len(caught_up_in) >= 20 * RATHER_MANY // 64
        assert len(set(caught_up_in)) == len(caught_up_in)

    serving(way, conversation)


@each_way
def test_live_messages_do_not_wait_for_a_turn(way, monkeypatch):
    """This holds for an alert on the same stream, and for a frame of another stream."""

    async def conversation(handler, port):
        loop = asyncio.get_running_loop()
        others_go = [loop.create_future() for _ in range(20)]
        turns = iter(others_go)
        monkeypatch.setattr(Pace, "take", lambda self: next(turns))
        async with client(port) as viewer:
            await viewer.subscribe("another")
            await viewer.send("SUBSCRIBE", {"stream": STREAM, "since": 0})
            await viewer.expect("SUBSCRIPTION_ACK")
            await until(lambda: handler.stats()["streams"][STREAM]["viewers"])
            await handler.publish(STREAM, MessageType.ANOMALY_ALERT, {"kind": "asystole", "timestamp": 1.5})
            assert (await viewer.expect("ANOMALY_ALERT"))["kind"] == "asystole"
            await handler.publish("another", MessageType.FEATURE_DATA, {"features": {}, "number": -1})
            assert (await viewer.expect("FEATURE_DATA"))["number"] == -1
            for future in others_go:
                if not future.done():
                    future.set_result(True)
            await gets_all(viewer, 0, RATHER_MANY)

    serving(way, conversation)


@each_way
def test_a_viewer_that_waits_for_a_turn_gets_the_close_frame_at_once(way, monkeypatch):
    async def conversation(handler, port):
        monkeypatch.setattr(Pace, "take", lambda self: asyncio.get_running_loop().create_future())
        async with client(port) as viewer:
            await viewer.send("SUBSCRIBE", {"stream": STREAM, "since": 0})
            await viewer.expect("SUBSCRIPTION_ACK")
            closing = asyncio.create_task(handler.close())
            assert (await viewer.closed())[0] == 1001
            await closing

    serving(way, conversation, limits=Limits(close_seconds=1000))


def test_turns_are_granted_in_order_and_can_be_given_up():
    async def taking():
        pace, turn, got = Pace(), 0, []
        assert pace.take() is None
        turns = [pace.take() for _ in range(4)]
        turns[1].cancel()
        while len(got) < 3:
            await asyncio.sleep(0)
            turn += 1
            got += [(turn, number) for number in (0, 2, 3) if turns[number].done() and number not in dict(got).values()]
            assert turn < 20
        assert [number for _, number in got] == [0, 2, 3]
        assert len({turn for turn, _ in got}) == 3
        last = pace.take()
        assert last is not None, "the connection that got the last turn runs only now"
        assert await last
        for _ in range(3):
            await asyncio.sleep(0)
        assert pace.take() is None

    run(taking())


# --- the event loop ---


def test_the_selector_returns_few_sockets_at_a_time_and_each_in_turn():
    selector, pairs = FewAtATime(), [socket.socketpair() for _ in range(3 * EVENTS)]
    try:
        for ours, theirs in pairs:
            theirs.send(b"x")
            selector.register(ours, selectors.EVENT_READ)
        found = [selector.select(0) for _ in range(6)]
        assert {len(ready) for ready in found} == {EVENTS}
        for part in (found[:3], found[3:]):
            assert {key.fileobj for ready in part for key, _ in ready} == {ours for ours, _ in pairs}
        for ours, _ in pairs[1:]:
            ours.recv(1)
        assert [key.fileobj for key, _ in selector.select(0)] == [pairs[0][0]]
    finally:
        selector.close()
        for pair in pairs:
            for sock in pair:
                sock.close()


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES.values(), ids=list(ENGINES))
def test_every_engine_runs_on_that_loop(engine):
    async def serve():
        async with WebSocketBinaryHandler() as handler, engine(handler) as port:
            viewers = 2 * EVENTS
            async with AsyncExitStack() as stack:
                there = [await stack.enter_async_context(client(port)) for _ in range(viewers)]
                for viewer in there:
                    await viewer.subscribe(STREAM)
                await handler.publish(STREAM, MessageType.FEATURE_DATA, {"features": {}, "number": 0})
                for viewer in there:
                    await gets_all(viewer, 0, 1)
            await handler.close()

    run(serve(), loop_factory=new_event_loop)
