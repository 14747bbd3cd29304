"""Metrics of several workers add up, whichever is asked and whatever happens to the others."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from recordings import optional
from running import run

optional("prometheus_client")
from prometheus_client.parser import text_string_to_metric_families  # noqa: E402

from ecgframe.server import WebSocketBinaryHandler, worker_metrics  # noqa: E402
from ecgframe.server.prometheus import Exposition  # noqa: E402
from ecgframe.server.worker_metrics import WorkerMetrics  # noqa: E402


def seen_by(handler, metrics):
    body, _ = Exposition(handler, metrics.registry).answer("text/plain")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


async def some(stack, directory, number):
    """Some workers in one process, each of which has accepted as many connections as its number says."""
    workers = []
    for count in range(1, number + 1):
        handler = await stack.enter_async_context(WebSocketBinaryHandler())
        handler._stats.accepted = count
        handler._stats.closed["1000"] = count
        handler._stats.publish_seconds.observe(0.001)
        metrics = await stack.enter_async_context(WorkerMetrics(handler, directory))
        workers.append((handler, metrics))
    await asyncio.sleep(0)
    return workers


def test_whoever_is_asked_tells_the_sum(tmp_path):
    async def conversation():
        async with AsyncExitStack() as stack:
            workers = await some(stack, tmp_path / "new" / "metrics", 3)
            for metrics in workers:
                seen = seen_by(*metrics)
                assert seen["ecgframe_connections_accepted_total",] == 6
                assert seen["ecgframe_connections_closed_total", "1000"] == 6
                assert seen["ecgframe_processing_seconds_count", "publish"] == 3
                assert seen["ecgframe_processing_seconds_bucket", "+Inf", "publish"] == 3
                assert seen["ecgframe_workers",] == 3
                assert seen["process_open_fds",] < 2 * len(os.listdir("/proc/self/fd"))  # not the sum
            assert all(file.stat().st_mode & 0o077 == 0 for file in (tmp_path / "new" / "metrics").iterdir())

    run(conversation())


def test_counters_of_those_that_have_ended_stay_and_their_gauges_do_not(tmp_path, monkeypatch):
    async def conversation():
        async with AsyncExitStack() as stack:
            [first, second] = await some(stack, tmp_path, 2)
            second[0]._stats.accepted = 10
            await second[1].__aexit__(None, None, None)
            assert seen_by(*first)["ecgframe_connections_accepted_total",] == 11
            assert seen_by(*first)["ecgframe_workers",] == 1
            assert seen_by(*first)["process_resident_memory_bytes",] < 1.5 * own_memory()
            first[1]._take_in_ended()
            assert sorted(file.name for file in tmp_path.iterdir()) == sorted(["ended.json", f"{first[1]._id}.json"])
            assert seen_by(*first)["ecgframe_connections_accepted_total",] == 11
            monkeypatch.setattr(WorkerMetrics, "__aexit__", lambda *_: asyncio.sleep(0))

    def own_memory():
        with open("/proc/self/statm") as numbers:
            return int(numbers.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    run(conversation())


def test_one_that_stood_still_is_counted_once(tmp_path, monkeypatch):
    """Others have taken it for ended, and have added its counters."""

    async def conversation():
        async with AsyncExitStack() as stack:
            [first, second] = await some(stack, tmp_path, 2)
            monkeypatch.setattr(worker_metrics, "ENDED_AFTER", -1.0)
            first[1]._take_in_ended()
            monkeypatch.setattr(worker_metrics, "ENDED_AFTER", 10.0)
            assert seen_by(*first)["ecgframe_connections_accepted_total",] == 3
            second[0]._stats.accepted += 5
            second[1]._write_and_log()
            for worker in (first, second):
                assert seen_by(*worker)["ecgframe_connections_accepted_total",] == 8

    run(conversation())


def test_one_that_is_killed_between_two_steps_of_taking_in_is_counted_once(tmp_path):
    async def conversation():
        async with AsyncExitStack() as stack:
            [first, second] = await some(stack, tmp_path, 2)
            await second[1].__aexit__(None, None, None)
            file = tmp_path / f"{second[1]._id}.json"
            kept = file.read_bytes()
            first[1]._take_in_ended()
            file.write_bytes(kept)  # as if it had not been removed
            assert seen_by(*first)["ecgframe_connections_accepted_total",] == 3
            first[1]._take_in_ended()
            assert seen_by(*first)["ecgframe_connections_accepted_total",] == 3
            assert not file.exists()
            second[1]._writing = asyncio.create_task(asyncio.sleep(0))

    run(conversation())


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"at": "now", "counters": [], "gauges": []}', b'{"at": 1.0, "counters": [1], "gauges": []}'],
)
def test_a_damaged_file_is_left_out(tmp_path, content):
    async def conversation():
        async with AsyncExitStack() as stack:
            [first] = await some(stack, tmp_path, 1)
            (tmp_path / "damaged.json").write_bytes(content)
            assert seen_by(*first)["ecgframe_connections_accepted_total",] == 1

    run(conversation())


def test_a_lock_of_one_that_was_killed_is_removed(tmp_path):
    async def conversation():
        async with AsyncExitStack() as stack:
            [first] = await some(stack, tmp_path, 1)
            lock = tmp_path / "lock"
            lock.touch()
            assert not first[1]._lock()
            os.utime(lock, (1, 1))
            assert not first[1]._lock()
            assert first[1]._lock()

    run(conversation())


def test_a_directory_that_cannot_be_written_is_told_once(tmp_path, caplog):
    async def conversation():
        async with AsyncExitStack() as stack:
            [first] = await some(stack, tmp_path / "here", 1)
            for file in (tmp_path / "here").iterdir():
                file.unlink()
            (tmp_path / "here").rmdir()
            first[1]._write_and_log()
            first[1]._write_and_log()
            assert seen_by(*first)["ecgframe_connections_accepted_total",] == 1

    run(conversation())
    assert sum("metrics of a worker failed" in record.message for record in caplog.records) == 1


# --- processes ---


def serve(directory, told):
    """A worker, as a server starts several of them."""

    async def work():
        handler = WebSocketBinaryHandler()
        async with handler, WorkerMetrics(handler, directory):
            handler._stats.accepted = 7
            await asyncio.sleep(0.1)
            told.send(json.dumps({"pid": os.getpid()}))
            while True:
                handler._stats.accepted += 1
                await asyncio.sleep(0.01)

    asyncio.run(work())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_a_worker_that_is_killed_never_lets_a_counter_decrease(tmp_path, monkeypatch):
    monkeypatch.setattr(worker_metrics, "ENDED_AFTER", 1.5)
    monkeypatch.setattr(worker_metrics, "WRITE_EVERY", 0.1)
    monkeypatch.syspath_prepend(Path(__file__).parents[2])  # where the processes find this module
    spawn = multiprocessing.get_context("spawn")
    mine, theirs = multiprocessing.Pipe()
    processes = [spawn.Process(target=serve, args=(tmp_path, theirs)) for _ in range(2)]

    async def conversation():
        async with AsyncExitStack() as stack:
            [first] = await some(stack, tmp_path, 1)
            seen = []

            async def look(seconds):
                give_up = time.monotonic() + seconds
                while time.monotonic() < give_up:
                    seen.append(seen_by(*first)["ecgframe_connections_accepted_total",])
                    await asyncio.sleep(0.02)

            await look(2.5)
            os.kill(processes[0].pid, signal.SIGKILL)
            await look(4)
            assert seen == sorted(seen)
            assert seen[-1] > 15
            assert (tmp_path / "ended.json").exists()
            assert seen_by(*first)["ecgframe_workers",] == 2

    try:
        for process in processes:
            process.start()
        for _ in processes:
            assert mine.poll(60)
            mine.recv()
        run(conversation())
    finally:
        for process in processes:
            process.kill()
            process.join()
