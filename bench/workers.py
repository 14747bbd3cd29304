"""The processor time that ``ecgframe serve --workers N`` takes for each delivered frame: all processes together."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ecgframe import MessageType

from . import live
from .crowd import Crowd, bytes_on_the_wire, first_message, more_of, open_websocket, websocket_frame
from .engines import CODEC, VIEWER

STREAM = "ecg/1"
"""The stream that the command plays by default."""

FRAME_MS = 50
PATIENCE = 60
"""Seconds within which the workers have to start."""
NAME = "handler, `ecgframe serve`"
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


def measure(redis: str, count: int, viewers: int, seconds: int) -> live.Rounds:
    """Let viewers watch one stream at so many workers.

    Each second is a round: the median leaves out those in which a worker starts.

    Args:
        redis: URL of the Redis that the workers share.
        count: number of workers.
        viewers: viewers of all workers together, which the kernel spreads over them.
        seconds: how long they watch.
    """
    with serving(redis, count) as (port, pid):
        return {NAME: asyncio.run(_watch(port, pid, viewers, seconds))}


@contextmanager
def serving(redis: str, count: int) -> Iterator[tuple[int, int]]:
    """Start the command. Yields its port, and the number of its process."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "ecgframe",
        "serve",
        "--port",
        str(port),
        "--redis",
        redis,
        "--workers",
        str(count),
    ]
    command += ["--frame-ms", str(FRAME_MS), "--log-level", "error"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            yield port, process.pid
        finally:
            process.terminate()


async def _watch(port: int, pid: int, viewers: int, seconds: int) -> list[live.Round]:
    each = bytes_on_the_wire(_first_frame(port))
    found = []
    with Crowd() as crowd:
        group = await crowd.open(port, viewers, _says(), 2)
        nbytes, spent, began = sum(await crowd.counts(group)), _spent(pid), time.monotonic()
        for _ in range(seconds):
            await asyncio.sleep(1)
            now = sum(await crowd.counts(group)), _spent(pid), time.monotonic()
            delivered = (now[0] - nbytes) / each
            found.append(live.Round(delivered / (now[2] - began), 1e6 * (now[1] - spent) / delivered))
            nbytes, spent, began = now
    return found


def _says() -> list[bytes | str]:
    answer = {"version": 3, "capabilities": VIEWER}
    return [
        CODEC.encode(MessageType.PROTOCOL_NEGOTIATION, answer, version=1),
        CODEC.encode(MessageType.SUBSCRIBE, {"stream": STREAM}),
    ]


def _first_frame(port: int) -> bytes:
    """Wait until the stream is live, and return a frame of it."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            sock, received = open_websocket(port)
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
            continue
        with sock:
            for words in _says():
                sock.sendall(websocket_frame(words))
            sock.settimeout(PATIENCE)
            while True:
                while (first := first_message(received)) is None:
                    received += more_of(sock)
                message, end = first
                received = received[end:]
                if message[1] == MessageType.ECG_DATA:
                    return message


def _spent(pid: int) -> float:
    """Return the seconds of processor time of a process and of all that it has started."""
    parents: dict[int, list[int]] = {}
    ticks: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        number = int(stat.parent.name)
        parents.setdefault(int(fields[1]), []).append(number)
        ticks[number] = int(fields[11]) + int(fields[12])
    total, waiting = 0, [pid]
    while waiting:
        number = waiting.pop()
        total += ticks.get(number, 0)
        waiting += parents.get(number, [])
    return total / TICKS
