"""``ecgframe serve --workers``: several processes on one port, which their parent starts, replaces and ends."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from cli.live_server import ENVIRONMENT, LiveServer, live
from command_line import run as command
from recordings import optional
from running import run
from server.engines import TYPES, client, until
from server.redis_server import redis_server

optional("redis")

SERVE = [sys.executable, "-P", "-W", "error", "-m", "ecgframe", "serve", "--port", "0"]
BINARY = ["timestamps", "ndarray-bin"]
SERVES = re.compile(r"worker (\d+) serves, process (\d+)")
OPENED = re.compile(r"worker (\d+): connection \w+ from .* opened")


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@contextmanager
def working(redis, *arguments, workers=2):
    """A server with workers, and the process of each by its number."""
    with live("--workers", workers, "--redis", redis.url, *arguments) as server:
        yield server, processes_of(server, workers)


def processes_of(server, count):
    found = {}
    while len(found) < count:
        number, process = SERVES.search(server.wait_for_log(" serves, process ")).groups()
        found[int(number)] = int(process)
    return found


async def viewers_of(stack, server, numbers):
    """A viewer of each worker. The kernel decides which one accepts, so there are connections until each has one."""
    found = {}
    while set(found) != set(numbers):
        viewer = await stack.enter_async_context(client(server.port, capabilities=BINARY))
        line = await asyncio.to_thread(server.wait_for_log, " opened")
        found.setdefault(int(OPENED.search(line)[1]), viewer)
    return found


async def watch(viewer, *streams):
    """Subscribe; what is already watched may arrive before the answers."""
    for stream in streams:
        await viewer.send("SUBSCRIBE", {"stream": stream})


async def frame_of(viewer, stream):
    """The next frame of a stream."""
    while True:
        frame = await viewer.receive()
        if frame.type == TYPES["ECG_DATA"] and frame.data["stream"] == stream:
            return frame


def get(server, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=10) as response:
        return response.read().decode()


def is_there(process):
    """Return True if a process runs; one that has ended and was not waited for does not."""
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


# --- what is refused ---


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--workers", 2), "--redis redis://localhost"),
        (("--workers", 0), "--workers"),
        (("--workers", 2, "--redis", "redis://localhost", "--alarms", "alarms.json"), "one file of alarms"),
        (("-", "--workers", 2, "--redis", "redis://localhost"), "name a file"),
    ],
)
def test_what_several_workers_cannot_do_is_refused_with_the_way_out(arguments, words):
    assert words in command("serve", *arguments, code=2).output


def test_a_port_that_is_taken_is_told_before_a_worker_starts():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        output = command("serve", "--workers", 2, "--redis", "redis://localhost", "--port", port, code=1).output
    assert output.splitlines()[-1].startswith(f"error: cannot listen at 127.0.0.1, port {port}: another program does")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("nowhere.hea",), 1, "error: nowhere.hea: no such file"),
        (("--tokens", "damaged.toml"), 2, "error: Invalid value for --tokens"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_once(tmp_path, arguments, code, words):
    (tmp_path / "damaged.toml").write_text("[[")
    done = subprocess.run(
        [*SERVE, "--workers", "3", "--redis", "redis://localhost", *arguments],
        check=False,
        env=os.environ | ENVIRONMENT,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.count(words) == 1
    assert "Traceback" not in done.stderr


# --- what they do ---


@pytest.mark.slow
def test_viewers_of_each_worker_get_every_stream_once_in_order(redis):
    async def watching(server):
        async with AsyncExitStack() as stack:
            viewers = await viewers_of(stack, server, (1, 2))
            seen = {}
            for viewer in viewers.values():
                await watch(viewer, "ecg/1", "ecg/2", "ecg/3")
            for number, viewer in viewers.items():
                frames = [await viewer.receive() for _ in range(90)]
                for frame in frames:
                    if frame.type == TYPES["ECG_DATA"]:
                        seen.setdefault((number, frame.data["stream"]), []).append(frame)
            return seen

    with working(redis, "--streams", 3) as (server, _):
        assert server.said.startswith("Workers: 2, joined by Redis\n")
        assert server.streams == "ecg/1 to ecg/3"
        seen = run(watching(server))
    assert set(seen) == {(worker, f"ecg/{number}") for worker in (1, 2) for number in (1, 2, 3)}
    for frames in seen.values():
        numbers = [frame.data["sequence"] for frame in frames]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    for stream in ("ecg/1", "ecg/2", "ecg/3"):  # both workers say the same
        of_one, of_other = (
            {
                frame.data["sequence"]: (frame.timestamp, frame.data["signal"].tobytes())
                for frame in seen[worker, stream]
            }
            for worker in (1, 2)
        )
        shared = of_one.keys() & of_other.keys()
        assert len(shared) > 5
        assert all(of_one[number] == of_other[number] for number in shared)


@pytest.mark.slow
def test_streams_begin_at_other_places_of_the_recording_whichever_worker_plays_them(redis):
    async def watching(server):
        async with client(server.port, capabilities=BINARY) as viewer:
            await watch(viewer, "ecg/1", "ecg/2")
            found = {}
            while not (shared := found.get("ecg/1", {}).keys() & found.get("ecg/2", {}).keys()):
                frame = await viewer.receive()
                if frame.type == TYPES["ECG_DATA"]:
                    found.setdefault(frame.data["stream"], {})[frame.data["sequence"]] = frame.data["signal"].tobytes()
            number = min(shared)
            return found["ecg/1"][number], found["ecg/2"][number]

    with working(redis, "--streams", 2) as (server, _):
        one, two = run(watching(server))
    assert one != two


@pytest.mark.slow
def test_metrics_add_up_whichever_worker_answers(redis):
    optional("prometheus_client")

    def value(page, name):
        return float(re.search(rf"^{name} (\S+)$", page, re.M)[1])

    async def watching(server):
        async with AsyncExitStack() as stack:
            await viewers_of(stack, server, (1, 2))
            clients = len(stack._exit_callbacks)
            for _ in range(100):
                pages = [await asyncio.to_thread(get, server, "/metrics") for _ in range(8)]
                told = {(value(page, "ecgframe_workers"), value(page, "ecgframe_connections")) for page in pages}
                if told == {(2, clients)}:  # those of the other are a second old
                    return
                await asyncio.sleep(0.1)
            raise AssertionError((told, clients))

    with working(redis) as (server, _):
        run(watching(server))


@pytest.mark.slow
def test_what_clients_publish_is_listed_by_every_worker(redis):
    data = {"signal": [[1, 2, 3]], "sampling_rate": 250, "stream": "ecg/bed-7"}

    async def publishing(server):
        async with AsyncExitStack() as stack:
            viewers = await viewers_of(stack, server, (1, 2))
            await viewers[2].subscribe("ecg/bed-7")
            await viewers[1].send("ECG_DATA", data)
            assert (await frame_of(viewers[2], "ecg/bed-7")).data["signal"] == [[1, 2, 3]]
            lists = []
            for _ in range(100):
                lists = [json.loads(await asyncio.to_thread(get, server, "/streams"))["streams"] for _ in range(8)]
                if all("ecg/bed-7" in one for one in lists):
                    return
                await asyncio.sleep(0.1)
            raise AssertionError(lists)

    with working(redis, "--publish") as (server, _):
        run(publishing(server))


@pytest.mark.slow
def test_each_worker_has_an_error_log_of_its_own_and_they_share_the_audit_log(redis, tmp_path):
    async def talking(server):
        async with AsyncExitStack() as stack:
            for viewer in (await viewers_of(stack, server, (1, 2))).values():
                await viewer.send("SUBSCRIBE", {"stream": 7})
                assert await viewer.expect("ERROR")

    errors, audit = tmp_path / "errors.jsonl", tmp_path / "audit.jsonl"
    with working(redis, "--error-log", errors, "--audit-log", audit) as (server, _):
        run(talking(server))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["audit.jsonl", "errors-1.jsonl", "errors-2.jsonl"]
    records = [json.loads(line) for line in audit.read_text().splitlines()]
    assert len({record["run"] for record in records}) == 2


# --- how they are watched ---


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced_and_the_viewers_of_others_go_on(redis):
    async def watching(server, processes):
        async with AsyncExitStack() as stack:
            viewers = await viewers_of(stack, server, (1, 2))
            for viewer in viewers.values():
                await watch(viewer, "ecg/1", "ecg/2")  # the first of which worker 1 plays
            await frame_of(viewers[2], "ecg/1")
            os.kill(processes[1], signal.SIGKILL)
            said = await asyncio.to_thread(server.wait_for_log, "has ended")
            assert f"worker 1, process {processes[1]}, has ended with SIGKILL; another one starts now" in said
            before = (await frame_of(viewers[2], "ecg/2")).data["sequence"]
            assert (await frame_of(viewers[2], "ecg/2")).data["sequence"] == before + 1
            said = await asyncio.to_thread(server.wait_for_log, "worker 1 serves")
            assert int(SERVES.search(said)[2]) != processes[1]
            await frame_of(viewers[2], "ecg/1")  # it is played again
            async with client(server.port, capabilities=BINARY) as again:
                await again.subscribe("ecg/1")
                await frame_of(again, "ecg/1")

    with working(redis, "--streams", 2) as (server, processes):
        run(watching(server, processes))


@pytest.mark.slow
def test_connections_wait_while_all_workers_are_replaced(redis):
    async def connecting(server, processes):
        for process in processes.values():
            os.kill(process, signal.SIGKILL)
        async with client(server.port, capabilities=BINARY) as viewer:
            await viewer.subscribe("ecg/1")
            await frame_of(viewer, "ecg/1")

    with working(redis) as (server, processes):
        run(connecting(server, processes))


@pytest.mark.slow
def test_a_worker_that_ends_by_itself_is_replaced_too(redis):
    with working(redis) as (server, processes):
        os.kill(processes[2], signal.SIGTERM)
        assert "worker 2: stopping" in server.wait_for_log("stopping")
        assert "worker 2, process" in server.wait_for_log("has ended with exit code 0")
        server.wait_for_log("worker 2 serves")


@pytest.mark.alone
def test_a_worker_that_hangs_is_killed_and_replaced(redis, monkeypatch, caplog, capsys):
    from ecgframe.cli.serve import workers

    monkeypatch.setattr(workers, "SILENT_SECONDS", 3.0)
    monkeypatch.setitem(os.environ, "PYTHONPATH", ENVIRONMENT["PYTHONPATH"])
    caplog.set_level("INFO")

    def said(words):
        return [record.getMessage() for record in caplog.records if words in record.getMessage()]

    async def hanging(path):
        sockets, stop = await workers.bind("127.0.0.1", 0), asyncio.Event()
        serving = asyncio.create_task(workers.Workers(options_of(redis), 2, sockets, path).run(stop))
        await until(lambda: said("2 workers serve"))
        process = int(SERVES.search(said("worker 2 serves")[0])[2])
        os.kill(process, signal.SIGSTOP)
        await until(lambda: len(said("worker 2 serves")) == 2)
        stop.set()
        assert await serving == 0
        for sock in sockets:
            sock.close()
        return process

    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as path:
        process = run(hanging(Path(path)))
    assert said("worker 2 sends no heartbeats; killing it")
    assert said(f"worker 2, process {process}, has ended with SIGKILL")
    assert not is_there(process)
    assert "Workers: 2" in capsys.readouterr().out


def options_of(redis):
    """The options of ``ecgframe serve --redis``, without others."""
    from dataclasses import fields

    from ecgframe.cli.logs import LogLevel
    from ecgframe.cli.serve.options import ServeOptions

    given = {
        "host": "127.0.0.1",
        "streams": 2,
        "frame_ms": 50.0,
        "speed": 1.0,
        "redis": redis.url,
        "versions": (1, 2, 3),
        "max_connections": 100,
        "ring_seconds": 30.0,
        "log_level": LogLevel.ERROR,
        "port": 0,
        "alerts": 0.0,
    }
    rest = {
        field.name: () if field.type.startswith("tuple") else False if field.type == "bool" else None
        for field in fields(ServeOptions)
        if field.name not in given
    }
    return ServeOptions(**given, **rest)


# --- how they end ---


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_viewers_of_all_workers_are_told_when_it_ends(redis, number):
    async def watching(server, processes):
        async with AsyncExitStack() as stack:
            viewers = await viewers_of(stack, server, (1, 2))
            if number == signal.SIGINT:  # a terminal sends it to all
                for process in processes.values():
                    os.kill(process, number)
            server.process.send_signal(number)
            return [await viewer.closed() for viewer in viewers.values()]

    server = LiveServer("--workers", 2, "--redis", redis.url)
    processes = processes_of(server, 2)
    assert run(watching(server, processes)) == [(1001, "the server is stopping")] * 2
    code, log = server.ended()
    assert code == 0
    assert "stopping 2 workers" in log
    assert "Traceback" not in log
    assert not any(is_there(process) for process in processes.values())


@pytest.mark.slow
def test_an_interrupt_before_they_serve_ends_them(redis):
    process = subprocess.Popen(
        [*SERVE, "--workers", "4", "--redis", redis.url],
        env=os.environ | ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for line in process.stderr:
        if "worker 1 serves" in line:
            break
    os.killpg(process.pid, signal.SIGINT)
    said, log = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "")
    assert "Traceback" not in log


@pytest.mark.slow
def test_workers_whose_parent_was_killed_end(redis):
    server = LiveServer("--workers", 2, "--redis", redis.url)
    processes = processes_of(server, 2)
    server.process.kill()
    code, log = server.ended()
    assert code == -signal.SIGKILL
    give_up = time.monotonic() + 60
    while any(is_there(process) for process in processes.values()):
        assert time.monotonic() < give_up
        time.sleep(0.05)
    assert log.count("the parent process has ended; stopping") == 2


@pytest.mark.slow
def test_each_line_of_the_log_names_its_worker(redis):
    optional("pythonjsonlogger")
    server = LiveServer("--workers", 2, "--redis", redis.url, "--log-json")
    _, log = server.end()
    records = [json.loads(line) for line in log.splitlines()]
    listening = [record for record in records if record["message"].startswith("listening at")]
    assert sorted(record["worker"] for record in listening) == [1, 2]
