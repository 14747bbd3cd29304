"""``python -m bench.growth`` measures how the cost of a delivered frame grows with streams, frame sizes and processes.

It writes bench/GROWTH.md and bench/results/growth-*.svg; growth with viewers is in ``bench.fan_out``. Viewers of
versions 3 and 4 are measured in the same turns, at the same servers. A frame is published once all viewers have the one
before.
"""

import argparse
import asyncio
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from ecgframe import MessageType

from . import core, live, plots, workers
from .crowd import Crowd
from .engines import CODEC, NAMES, VIEWER, Station, frame, installed, message
from .report import _processor, _table

HANDLERS = ("handler on picows", "handler on websockets")
VERSIONS = (3, 4)

STREAMS = (1, 4, 16, 64, 256)
"""Streams, over which the viewers are spread evenly. Each delivered frame is encoded for fewer and fewer viewers."""
VIEWERS = 256

SAMPLES = (25, 92, 500, 2500)
"""Samples of each of twelve leads in a frame: of 0.7, 2.3, 12 and 60 kB."""

WORKERS = (1, 2, 4)
"""Processes that share one port and Redis."""

DELIVERED = 20_000
"""Frames that are delivered in a round, about."""

Found = Mapping[int, live.Rounds]
"""Measurements by the number of streams, the bytes of a frame, or the number of processes."""


@dataclass
class Ward:
    """The viewers of one version at one server, spread over some streams.

    Attributes:
        crowd: the viewers of all servers.
        station: the server.
        group: the number of these viewers in the crowd.
        messages: the message of each stream.
        viewers: number of viewers.
        each: bytes that a viewer receives with a frame.
        nbytes: bytes that each viewer has received.
    """

    crowd: Crowd
    station: Station
    group: int
    messages: dict[str, dict[str, Any]]
    viewers: int
    each: int = 0
    nbytes: int = 0

    @classmethod
    async def of(cls, crowd: Crowd, station: Station, version: int, streams: int, viewers: int, samples: int) -> "Ward":
        """Let viewers connect and subscribe, and have each receive a frame, whose bytes are counted."""
        names = [f"ecg/v{version}-{number:03}" for number in range(streams)]
        says = [_opening(version, names[i % streams]) for i in range(viewers)]
        group = await crowd.open_each(station.port, says, 2, station.path)
        ward = cls(crowd, station, group, {name: message(samples) | {"stream": name} for name in names}, viewers)
        await ward.publish()
        await crowd.received(group, len(frame(samples)))
        while len(counts := set(await crowd.counts(group))) > 1:
            await asyncio.sleep(0.01)
        ward.each = ward.nbytes = counts.pop()
        return ward

    async def publish(self) -> None:
        """Publish one message on each stream."""
        handler = self.station.handler
        assert handler is not None
        for stream, data in self.messages.items():
            await handler.publish(stream, MessageType.ECG_DATA, data)

    async def send(self, frames: int) -> live.Round:
        """Publish so many frames on each stream, and wait for each. Return the rate and the cost."""
        spent = self.station.spent()
        loop = asyncio.get_running_loop()
        began = loop.time()
        for _ in range(frames):
            self.nbytes += self.each
            await self.publish()
            await self.crowd.received(self.group, self.nbytes)
        delivered = frames * self.viewers
        return live.Round(delivered / (loop.time() - began), 1e6 * (self.station.spent() - spent) / delivered)


def _opening(version: int, stream: str) -> list[bytes]:
    answer = {"version": version, "capabilities": VIEWER}
    return [
        CODEC.encode(MessageType.PROTOCOL_NEGOTIATION, answer, version=1),
        CODEC.encode(MessageType.SUBSCRIBE, {"stream": stream}, version=version),
    ]


def name_of(name: str, version: int) -> str:
    """Return how tables and plots call a server with viewers of a version."""
    return f"{NAMES[name]}, version {version}"


async def fan_out(*, viewers: int, streams: int, samples: int, rounds: int) -> live.Rounds:
    """Measure the handlers with viewers of both versions, in turns. The first round warms up."""
    frames = max(DELIVERED // viewers, 2) if rounds > 1 else 10
    found: live.Rounds = {}
    async with AsyncExitStack() as stack:
        names = [name for name in HANDLERS if name in installed()]
        settings = {"heartbeat_interval": 3600, "samples": samples}
        crowd, stations = await stack.enter_async_context(live.side_by_side(names, **settings))
        wards = {
            name_of(name, version): await Ward.of(crowd, station, version, streams, viewers, samples)
            for name, station in stations.items()
            for version in VERSIONS
        }
        for number in range(rounds + 1):
            for name in live.turned(list(wards), number):
                one = await wards[name].send(frames)
                if number:
                    found.setdefault(name, []).append(one)
        for station in stations.values():
            assert station.handler is not None
            assert station.handler.stats()["dropped"] == 0
    return found


@dataclass(frozen=True)
class Growth:
    """One direction in which the load grows.

    Attributes:
        name: of the plot's file.
        heading: of the section.
        text: how it was measured.
        axis: name of the axis.
        found: the measurements by place on the axis.
    """

    name: str
    heading: str
    text: str
    axis: str
    found: Found

    def costs(self) -> dict[str, list[float]]:
        """Return the median microseconds of a delivered frame, by candidate, for each place."""
        names = list(next(iter(self.found.values())))
        return {name: [median(one.cost for one in rounds[name]) for rounds in self.found.values()] for name in names}


def measure(rounds: int, redis: str | None) -> Iterator[Growth]:
    """Measure all directions; a single round with less of everything. Several processes only if Redis is to be had."""
    viewers, steps, seconds = (VIEWERS, None, 10) if rounds > 1 else (16, 2, 2)
    yield Growth(
        "streams",
        "Streams",
        f"{viewers} viewers, spread evenly over the streams; frames of {len(frame(SAMPLES[0]))} bytes. A frame is "
        "published on each stream once all viewers have those before. With as many streams as viewers, each frame is "
        "encoded for one.",
        "streams",
        {
            streams: asyncio.run(fan_out(viewers=viewers, streams=streams, samples=SAMPLES[0], rounds=rounds))
            for streams in STREAMS[:steps]
        },
    )
    yield Growth(
        "sizes",
        "Frame sizes",
        f"{viewers} viewers of one stream.",
        "bytes of a frame",
        {
            len(frame(samples)): asyncio.run(fan_out(viewers=viewers, streams=1, samples=samples, rounds=rounds))
            for samples in SAMPLES[:steps]
        },
    )
    if redis is not None:
        yield Growth(
            "processes",
            "Processes",
            f"{viewers} viewers of the workers of `ecgframe serve --workers N --redis URL`, which play the ECG that "
            "ships with the package, at its speed. The processor time is that of all workers: one of them publishes, "
            "and each reads from Redis. That of Redis is not counted.",
            "processes",
            {count: workers.measure(redis, count, viewers, seconds) for count in WORKERS[:steps]},
        )


def page(found: Sequence[Growth]) -> Iterator[str]:
    """Return the lines of GROWTH.md."""
    yield f"""# How the cost of a delivered frame grows

Written by `python -m bench.growth`: the processor time of a server for each frame that reaches a viewer, in
microseconds, as the median of the rounds. Servers with viewers of versions 3 and 4 take turns. Growth with viewers is
in [FAN_OUT.md](FAN_OUT.md).

{datetime.now(UTC):%Y-%m-%d}, {_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}.
"""
    for growth in found:
        yield f"## {growth.heading}\n\n{growth.text}\n"
        yield f"![Processor time over {growth.axis}](results/growth-{growth.name}.svg)\n"
        yield from _table(
            ["", *(f"{place:,}" for place in growth.found)],
            [[name, *(f"{cost:.2f}" for cost in costs)] for name, costs in growth.costs().items()],
        )


def write(folder: Path, found: Sequence[Growth]) -> None:
    """Write the page and its plots."""
    (folder / "results").mkdir(parents=True, exist_ok=True)
    for growth in found:
        path = folder / "results" / f"growth-{growth.name}.svg"
        title = f"Processor time for each delivered frame, over {growth.axis}"
        plots.over_counts(path, title, list(growth.found), growth.costs(), growth.axis)
    (folder / "GROWTH.md").write_text("\n".join(page(found)), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="number of rounds; 1 is a test run")
    parser.add_argument("--redis", metavar="URL", help="a Redis for several processes; without it, they are left out")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, metavar="FOLDER")
    core.add_option(parser)
    arguments = parser.parse_args()
    core.check(parser, plain=arguments.plain)
    write(arguments.output, list(measure(arguments.rounds, arguments.redis)))


if __name__ == "__main__":
    main()
