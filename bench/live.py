"""Measurements of servers: fan-out, echo, a viewer that does not read, an alert behind a backlog.

All servers listen in one process and take turns, so that noise affects all alike; the clients are in another process.
With two cores, each process has one.
"""

import asyncio
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple

from ecgframe import Codec, MessageType

from .crowd import Crowd, bytes_on_the_wire, first_message, more_of, open_websocket, websocket_frame
from .engines import SAMPLES, STREAM, Engine, Station, frame, installed, opening

MiB = 1024 * 1024


class Round(NamedTuple):
    """One measurement of one server.

    Attributes:
        rate: frames delivered, or answers, per second.
        cost: processor time of the server's process for each, in microseconds. On a shared machine, it varies less than
            the rate.
    """

    rate: float
    cost: float


Rounds = dict[str, list[Round]]
"""Measurements by server."""


@contextmanager
def two_cores() -> Iterator[int | None]:
    """Pin this process to one core, and yield another one for the clients; None if there is only one."""
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(allowed) < 2:
        yield None
        return
    os.sched_setaffinity(0, {allowed[0]})
    try:
        yield allowed[1]
    finally:
        os.sched_setaffinity(0, allowed)


@asynccontextmanager
async def side_by_side(
    names: Sequence[str], engines: Mapping[str, Engine] | None = None, **settings: Any
) -> AsyncIterator[tuple[Crowd, dict[str, Station]]]:
    """Start the servers of these names, by default of those that are installed, and the viewers."""
    engines = installed() if engines is None else engines
    async with AsyncExitStack() as stack:
        with two_cores() as core:
            stations = {
                name: await stack.enter_async_context(engines[name](**settings)) for name in names if name in engines
            }
            with Crowd(core) as crowd:  # it ends before the servers do, which need not wait for closing handshakes
                yield crowd, stations


# --- fan-out ---


async def fan_out(
    names: Sequence[str],
    *,
    viewers: int,
    frames: int,
    rounds: int,
    engines: Mapping[str, Engine] | None = None,
    samples: int = SAMPLES,
    burst: int | None = None,
) -> Rounds:
    """Measure the frames delivered per second, until the last viewer has the last frame. No frame may be lost.

    Args:
        names: names of the servers.
        viewers: viewers of each server.
        frames: frames of a round.
        rounds: rounds, and one before them to warm up.
        engines: servers by name; by default, those that are installed.
        samples: samples of each lead in a frame.
        burst: frames that are published before all viewers have the last of them; by default all of a round.
    """
    found: Rounds = {name: [] for name in names}
    settings = {"heartbeat_interval": 3600, "samples": samples}  # the viewers say nothing
    async with side_by_side(names, engines, **settings) as (crowd, stations):
        audiences = {
            name: await Audience.of(crowd, station, viewers, bytes_on_the_wire(frame(samples)) + station.more)
            for name, station in stations.items()
        }
        for number in range(rounds + 1):
            for name in turned(list(stations), number):
                spent = stations[name].spent()
                rate = await audiences[name].send(frames, burst)
                spent = stations[name].spent() - spent
                if number:  # the first round warms up
                    found[name].append(Round(rate, 1e6 * spent / (frames * viewers)))
        for station in stations.values():
            assert station.handler is None or station.handler.stats()["dropped"] == 0
    return {name: measured for name, measured in found.items() if measured}


@dataclass
class Audience:
    """The viewers of one server, and how many bytes they have received."""

    crowd: Crowd
    station: Station
    group: int
    viewers: int
    each: int
    nbytes: int = 0

    @classmethod
    async def of(cls, crowd: Crowd, station: Station, viewers: int, each: int | None = None) -> "Audience":
        """Let viewers connect, which receive ``each`` bytes with a published message."""
        group = await crowd.open(station.port, viewers, station.says, station.hears, path=station.path)
        return cls(crowd, station, group, viewers, bytes_on_the_wire(frame()) if each is None else each)

    async def send(self, frames: int, burst: int | None = None) -> float:
        """Publish, wait until all frames have arrived, and return the frames delivered per second."""
        began = time.monotonic()
        for first in range(0, frames, burst or frames):
            some = min(burst or frames, frames - first)
            self.nbytes += some * self.each
            for _ in range(some):
                await self.station.publish()
                await asyncio.sleep(0)
            arrived = await self.crowd.received(self.group, self.nbytes)
        return frames * self.viewers / (arrived - began)


# --- echo ---


async def echo(names: Sequence[str], *, clients: int, times: int, rounds: int) -> Rounds:
    """Measure answers per second, with clients that each wait for the answer before sending again."""
    found: Rounds = {name: [] for name in names}
    async with side_by_side(names, rate_limit=None, heartbeat_interval=3600) as (crowd, stations):
        groups = {
            name: await crowd.open(
                station.port,
                clients,
                opening(subscribes=False) if station.handler else [],
                1 if station.handler else 0,
                reads=False,
            )
            for name, station in stations.items()
        }
        for number in range(rounds + 1):
            for name in turned(list(stations), number):
                spent = time.process_time()
                seconds = await crowd.talk(groups[name], frame(), bytes_on_the_wire(frame()), times)
                spent = time.process_time() - spent
                if number:
                    found[name].append(Round(times / seconds, 1e6 * spent / times))
    return {name: measured for name, measured in found.items() if measured}


# --- a viewer that does not read ---


@dataclass(frozen=True)
class Stalled:
    """Effects of a viewer that does not read on the server and the other viewers.

    Attributes:
        viewers: number of viewers that read.
        frames: number of published frames.
        seconds: duration.
        before: resident memory of the server in bytes, when all viewers were connected.
        most: largest resident memory since then.
        lost: frames that the viewers which read did not get.
        dropped: frames that were dropped of the one that does not.
    """

    viewers: int
    frames: int
    seconds: float
    before: int
    most: int
    lost: int
    dropped: int

    @property
    def grown(self) -> float:
        """Growth of the server's memory in MiB."""
        return (self.most - self.before) / MiB


async def stalled_viewer(name: str, *, viewers: int, seconds: float, rate: float) -> Stalled:
    """Publish at a constant rate to viewers, one of which does not read."""
    async with side_by_side([name]) as (crowd, stations):
        station = stations[name]
        assert station.handler is not None
        audience = await Audience.of(crowd, station, viewers - 1)
        await crowd.open(station.port, 1, station.says, station.hears, reads=False)
        await audience.send(1)
        before = most = resident_memory()
        began, frames = time.monotonic(), round(seconds * rate)
        for number in range(frames):
            await asyncio.sleep(max(0, began + number / rate - time.monotonic()))
            await station.publish()
            if number % round(rate) == 0:
                most = max(most, resident_memory())
                await crowd.say(audience.group, HEARTBEAT)
        audience.nbytes += frames * bytes_on_the_wire(frame())
        lost = await _lost(audience)
        stats = station.handler.stats()
        most = max(most, resident_memory())
        return Stalled(viewers - 1, frames, time.monotonic() - began, before, most, lost, stats["dropped"])


HEARTBEAT = Codec().encode(MessageType.HEARTBEAT, None)


async def _lost(audience: Audience) -> int:
    try:
        async with asyncio.timeout(10):
            await audience.crowd.received(audience.group, audience.nbytes)
    except TimeoutError:
        counts = await audience.crowd.counts(audience.group)
        return sum(max(0, audience.nbytes - count) for count in counts) // bytes_on_the_wire(frame())
    return 0


def resident_memory() -> int:
    """Return the resident memory of this process in bytes."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# --- an alert behind a backlog ---


@dataclass(frozen=True)
class Overtaking:
    """Delivery of an alert behind a backlog.

    Attributes:
        queued: number of waveform frames in the queue when the alert was published.
        behind: number of waveform frames that arrived between publication and arrival of the alert.
        seconds: seconds until the alert arrived.
        backlog: seconds until the last waveform frame arrived.
    """

    queued: int
    behind: int
    seconds: float
    backlog: float


async def alert(name: str, *, queued: int, bytes_a_second: float, **options: Any) -> Overtaking:
    """Publish an alert to a viewer on a slow link, with ``queued`` frames in its queue."""
    engine = installed()[name]
    roomy = {"queue_frames": 2 * queued, "queue_bytes": 4 * queued * len(frame())}
    async with engine(**roomy, **options) as station:
        assert station.handler is not None
        with SlowViewer(station, bytes_a_second) as viewer:
            while not station.handler.stats()["streams"].get(STREAM, {"viewers": 0})["viewers"]:
                await asyncio.sleep(0.01)
            while station.handler.stats()["queues"]["frames"] < queued:
                await station.publish()
            data = {"kind": "asystole", "timestamp": 1.5}
            published = time.monotonic()
            waiting = station.handler.stats()["queues"]["frames"]
            await station.handler.publish(STREAM, MessageType.ANOMALY_ALERT, data)
            arrived = await asyncio.to_thread(viewer.alert_at.wait, 60) and viewer.when
            behind = sum(published < when < arrived for when in viewer.waveforms)
            rate = len(viewer.waveforms) / (arrived - viewer.began)
            return Overtaking(waiting, behind, arrived - published, waiting / rate)


class SlowViewer:
    """A viewer in a thread that reads at the rate of its link."""

    def __init__(self, station: Station, bytes_a_second: float) -> None:
        self.station = station
        self.pause = 2048 / bytes_a_second
        self.waveforms: list[float] = []
        self.alert_at = threading.Event()
        self.when = self.began = 0.0
        self.ends = False
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def __enter__(self) -> "SlowViewer":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ends = True
        self.thread.join()

    def watch(self) -> None:
        sock, received = open_websocket(self.station.port, receive_buffer=16 * 1024)
        with sock:
            for words in self.station.says:
                sock.sendall(websocket_frame(words))
            self.began = time.monotonic()
            sock.settimeout(0.1)  # nothing more comes once the server has sent all: it waits for this thread to end
            while not self.ends:
                with suppress(TimeoutError):
                    received = self.note(received + more_of(sock, 2048))
                time.sleep(self.pause)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    def note(self, received: bytes) -> bytes:
        while first := first_message(received):
            words, end = first
            received = received[end:]
            if words[1] == MessageType.ECG_DATA:
                self.waveforms.append(time.monotonic())
            elif words[1] == MessageType.ANOMALY_ALERT:
                self.when = time.monotonic()
                self.alert_at.set()
        return received


# --- numbers ---


def turned(names: list[str], number: int) -> list[str]:
    """Rotate the order, so that no server always follows the same one."""
    first = number % len(names)
    return names[first:] + names[:first]


def ratio(rounds: Rounds, name: str, base: str) -> float:
    """Return the median ratio of the rates over the rounds."""
    return median(one.rate / other.rate for one, other in zip(rounds[name], rounds[base], strict=True))
