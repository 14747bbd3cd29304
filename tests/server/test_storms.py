"""Many at once: more connections than there are open files, and a ward that comes back all together."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from itertools import pairwise
from multiprocessing import get_context

import pytest
from interpreter import PACKAGES, TESTS
from recordings import optional
from running import run
from server.crowded_server import STREAM
from server.engines import ENGINES, client, until

from ecgframe.server import WebSocketBinaryHandler
from ecgframe.server.adapters.listening import ACCEPTS, ListeningSocket, listen

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the limit of open files is one of Unix")

FILES = 60
LOOPS = [(engine, "asyncio") for engine in ENGINES] + [(engine, "uvloop") for engine in ENGINES]


# --- no open files left ---


@pytest.mark.parametrize(("engine", "loop"), LOOPS, ids=[f"{engine}-{loop}" for engine, loop in LOOPS])
def test_where_open_files_run_out_viewers_notice_nothing(engine, loop, tmp_path):
    async def watching(port):
        async with client(port) as viewer:
            await viewer.subscribe(STREAM)
            watch = Watch(viewer)
            quiet = await watch.frames(10)
            began = time.monotonic()
            with crowd(port, 2 * FILES):
                crowded = await watch.frames(40)
                # the other way round under uvloop: what finds no place is closed at once
                assert failed(crowded) >= 1
                assert failed(crowded) <= time.monotonic() - began + 1
            began = time.monotonic()
            async with client(port) as another:
                await another.subscribe(STREAM)
                assert time.monotonic() - began < 2
            assert numbers(quiet + crowded) == list(range(numbers(quiet)[0], numbers(crowded)[-1] + 1))
            assert max(lateness(crowded)) < max(lateness(quiet)) + 0.1
            return failed(crowded)

    log = tmp_path / "log"
    with crowded_server(engine, log, loop) as port:
        times = run(watching(port))
    lines = log.read_text().splitlines()
    assert 1 <= len(lines) <= times + 1
    assert all("Too many open files; raise the limit of open files, which is 60" in line for line in lines)
    told = [float(line.split()[0]) for line in lines]
    assert all(later - earlier > 0.99 for earlier, later in pairwise(told))


class Watch:
    """What a viewer gets, with the time at which it came."""

    def __init__(self, viewer):
        self.viewer = viewer

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
def crowded_server(engine, log, loop):
    optional(engine)
    if loop != "asyncio":
        pytest.importorskip(loop)
    arguments = [engine, str(FILES), str(log), *([loop] if loop != "asyncio" else [])]
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
    """Connections that say nothing, in threads' time: opened one after the other, the kernel takes them."""
    sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    try:
        yield
    finally:
        for sock in sockets:
            sock.close()


# --- listening ---


def test_some_are_accepted_in_a_turn_and_the_others_in_the_next():
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


def test_the_queue_is_as_long_as_it_is_to_be_whatever_the_server_asks_for():
    with closing(listen("127.0.0.1", 0, backlog=300)) as listener:
        listener.listen(1)
        with crowd(listener.getsockname()[1], 250):  # a queue that is full drops SYNs: this would take a second
            pass


def test_outside_of_an_event_loop_it_is_a_socket_like_any_other():
    with closing(listen("127.0.0.1", 0)) as listener, crowd(listener.getsockname()[1], 3 * ACCEPTS):
        for _ in range(3 * ACCEPTS):
            listener.accept()[0].close()


def test_it_goes_to_another_process_as_uvicorn_sends_it():
    with closing(listen("127.0.0.1", 0)) as listener:
        process = get_context("spawn").Process(target=_accept_one, args=(listener,))
        process.start()
        with socket.create_connection(listener.getsockname(), timeout=30) as sock:
            assert sock.recv(100) == b"ListeningSocket"
        process.join(30)
        assert process.exitcode == 0


def _accept_one(listener):
    with closing(listener), listener.accept()[0] as connection:
        connection.sendall(type(listener).__name__.encode())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", None])
@pytest.mark.parametrize("engine", ["websockets", "picows"])
def test_all_sockets_of_a_server_are_ours(engine, host):
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
def test_a_socket_that_is_given_is_closed_with_the_server(engine):
    adapter = optional(f"ecgframe.server.adapters.{engine}")

    async def serving():
        given = socket.create_server(("127.0.0.1", 0))
        port = given.getsockname()[1]
        async with WebSocketBinaryHandler() as h, adapter.serve(h, sock=given), client(port) as viewer:
            await viewer.subscribe(STREAM)
        assert given.fileno() == -1

    run(serving())


@pytest.mark.parametrize("engine", ["websockets", "picows"])
def test_a_server_may_begin_later(engine):
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
