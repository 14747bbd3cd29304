"""``python -m bench.servers_report`` measures servers, and writes bench/SERVERS.md. It takes some minutes."""

import argparse
import asyncio
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

from ecgframe.server.event_loop import new_event_loop

from . import core, live, storms
from .engines import NAMES, frame, installed
from .report import _processor, _table

HANDLERS = [name for name in NAMES if name.startswith("handler")]
BARE = "websockets"
LIBRARIES = {"handler on websockets": "websockets", "handler on picows": "picows"}
"""For each handler, the library with which its time for connecting is compared."""
HEAD = ["", "median", "best", "relative to `websockets` alone", "processor time of the server for each frame or answer"]
RATE = 40
"""Frames per second in the measurement with a viewer that does not read; its queue is full within a minute."""


def measure(rounds: int, seconds: float) -> Iterator[str]:
    """Return the lines of SERVERS.md."""
    names = list(installed())
    handlers = [name for name in HANDLERS if name in names]
    fan_out = asyncio.run(live.fan_out(names, viewers=500, frames=40, rounds=rounds))
    echo = {clients: asyncio.run(live.echo(names, clients=clients, times=2000, rounds=rounds)) for clients in (1, 16)}
    stalled = dict(zip(handlers, _each_in_a_process(_stalled, [(name, seconds) for name in handlers]), strict=True))
    alerts = {name: asyncio.run(live.alert(name, queued=10_000, bytes_a_second=1_000_000)) for name in handlers}
    storm = {tls: asyncio.run(storms.openings(names, viewers=500, rounds=rounds, tls=tls)) for tls in (False, True)}
    returns = {name: _returns(name) for name in names}
    yield from _top()
    yield "## Fan-out\n\nFrames delivered per second, from one stream to 500 viewers: median and best of the rounds.\n"
    yield from _table(HEAD, list(_rounds(fan_out)))
    for clients, found in echo.items():
        yield f"## Echo, {clients} client{'s' * (clients > 1)}\n"
        yield "Answers per second. Each client waits for an answer before it sends the next message.\n"
        yield from _table(HEAD, list(_rounds(found)))
    yield f"## One of 500 viewers does not read\n\n{RATE} frames per second for {seconds:.0f} s.\n"
    yield from _table(
        ["", "additional memory", "frames lost by the other 499", "frames dropped for this viewer"],
        [[NAMES[name], f"{one.grown:.1f} MiB", f"{one.lost}", f"{one.dropped}"] for name, one in stalled.items()],
    )
    yield "## An alert behind a backlog\n\n10,000 waveform frames wait for a viewer that reads 1 MB/s.\n"
    yield from _table(
        ["", "waiting waveforms", "arrived before the alert", "delay of the alert", "delay of a frame at the end"],
        [
            [NAMES[name], f"{one.queued:,}", f"{one.behind}", f"{one.seconds:.2f} s", f"{one.backlog:.0f} s"]
            for name, one in alerts.items()
        ],
    )
    for tls, found in storm.items():
        yield f"## 500 viewers that connect at once, {'with TLS' if tls else 'without TLS'}\n"
        yield "Time from the first SYN until all are connected. All servers listen with a backlog of 4,096.\n"
        yield from _table(
            ["", "median", "best", "compared with the library alone", "processor time"], list(_openings(found))
        )
    yield f"""## 500 viewers that reconnect over TLS, 10 s behind

{storms.RATE} frames per second. The delays are those of frames for one more viewer, which was connected before, until
all viewers are up to date. A library alone only accepts the connections. The first three columns are for the default
event loop of asyncio, the others for that of `ecgframe.server.event_loop`.
"""
    head = ["median delay", "longest delay", "time until all are up to date"]
    yield from _table(["", *head, *head], [_late(name, one) for name, one in returns.items()])


def _returns(name: str) -> list[storms.Return]:
    """Measure with the default event loop of asyncio, and with that of ``ecgframe.server.event_loop``."""
    found = []
    for factory in (None, new_event_loop):
        with asyncio.Runner(loop_factory=factory) as runner:
            found.append(runner.run(storms.ward_returns(name, viewers=500, behind=10)))
    return found


def _openings(found: dict[str, list[storms.Opening]]) -> Iterator[list[str]]:
    for name, rounds in found.items():
        base = LIBRARIES.get(name)
        more = f"{storms.excess(found, name, base):+.2f} s" if base else ""
        times = [one.seconds for one in rounds]
        cost = median(one.cost for one in rounds)
        yield [NAMES[name], f"{median(times):.2f} s", f"{min(times):.2f} s", more, f"{1e3 * cost:.0f} ms"]


def _late(name: str, found: list[storms.Return]) -> list[str]:
    cells = [NAMES[name]]
    for one in found:
        cells += [f"{1e3 * median(one.late):.0f} ms", f"{1e3 * max(one.late):.0f} ms", f"{one.seconds:.1f} s"]
    return cells


def _each_in_a_process(
    measure: Callable[..., live.Stalled], arguments: Sequence[tuple[Any, ...]]
) -> Iterator[live.Stalled]:
    """Measure one after the other, each in a new process, so that each is measured with its own memory."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as processes:
        yield from processes.map(measure, *zip(*arguments, strict=True))


def _stalled(name: str, seconds: float) -> live.Stalled:
    return asyncio.run(live.stalled_viewer(name, viewers=500, seconds=seconds, rate=RATE))


def _rounds(rounds: live.Rounds) -> Iterator[list[str]]:
    for name, found in rounds.items():
        rates = [one.rate for one in found]
        cost = median(one.cost for one in found)
        ratio = live.ratio(rounds, name, BARE)
        yield [NAMES[name], f"{median(rates):,.0f}", f"{max(rates):,.0f}", f"{ratio:.2f}", f"{cost:.1f} µs"]


def _top() -> Iterator[str]:
    libraries = ", ".join(f"{name} {version(name)}" for name in ("websockets", "picows", "uvicorn", "aiohttp"))
    yield f"""# Servers

Written by `python -m bench.servers_report`. Each server runs in one process on one core, and its clients in another.
The frames have {len(frame()):,} bytes. In each round, all servers are measured in turn; ratios compare servers within a
round. "alone" means that a library only sends prepared bytes. The handler encodes messages, keeps a history, and limits
its queues.

{datetime.now(UTC):%Y-%m-%d}, {_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, {libraries}.
"""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, metavar="N", help="number of rounds of fan-out and echo")
    parser.add_argument(
        "--seconds", type=float, default=60, metavar="S", help="duration with a viewer that does not read"
    )
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "SERVERS.md", metavar="FILE")
    core.add_option(parser)
    arguments = parser.parse_args()
    core.check(parser, plain=arguments.plain)
    arguments.output.write_text("\n".join(measure(arguments.rounds, arguments.seconds)), encoding="utf-8")
