"""``python -m bench.servers_report``: the servers, measured and written to bench/SERVERS.md. Takes some minutes."""

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

from . import live
from .engines import NAMES, frame, installed
from .report import _processor, _table

HANDLERS = [name for name in NAMES if name.startswith("handler")]
BARE = "websockets"
HEAD = ["", "median", "best", "of `websockets` alone", "processor time of the server for each"]
RATE = 40
"""Frames a second past a viewer that does not read: more than its queue holds come in a minute."""


def measure(rounds: int, seconds: float) -> Iterator[str]:
    """The lines of SERVERS.md."""
    names = list(installed())
    handlers = [name for name in HANDLERS if name in names]
    fan_out = asyncio.run(live.fan_out(names, viewers=500, frames=40, rounds=rounds))
    echo = {clients: asyncio.run(live.echo(names, clients=clients, times=2000, rounds=rounds)) for clients in (1, 16)}
    stalled = dict(zip(handlers, _each_in_a_process(_stalled, [(name, seconds) for name in handlers]), strict=True))
    alerts = {name: asyncio.run(live.alert(name, queued=10_000, bytes_a_second=1_000_000)) for name in handlers}
    yield from _top()
    yield "## Fan-out\n\nFrames delivered a second, one stream to 500 viewers; median and best of the rounds.\n"
    yield from _table(HEAD, list(_rounds(fan_out)))
    for clients, found in echo.items():
        yield f"## Echo, {clients} client{'s' * (clients > 1)}\n\nAnswers a second; each client waits for its answer.\n"
        yield from _table(HEAD, list(_rounds(found)))
    yield f"## One of 500 viewers does not read\n\n{RATE} frames a second for {seconds:.0f} s.\n"
    yield from _table(
        ["", "memory grew by", "frames lost by the other 499", "dropped of the one"],
        [[NAMES[name], f"{one.grown:.1f} MiB", f"{one.lost}", f"{one.dropped}"] for name, one in stalled.items()],
    )
    yield "## An alert behind a backlog\n\n10,000 waveform frames wait for a viewer who takes 1 MB a second.\n"
    yield from _table(
        ["", "waveforms that waited", "arrived before the alert", "alert after", "a frame at the end would have taken"],
        [
            [NAMES[name], f"{one.queued:,}", f"{one.behind}", f"{one.seconds:.2f} s", f"{one.backlog:.0f} s"]
            for name, one in alerts.items()
        ],
    )


def _each_in_a_process(
    measure: Callable[..., live.Stalled], arguments: Sequence[tuple[Any, ...]]
) -> Iterator[live.Stalled]:
    """One after the other, each in a new process: its memory is that of nothing else."""
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

Written by `python -m bench.servers_report`. Each server in one process on one core, its clients in another; frames of
{len(frame()):,} bytes; servers take turns within one run. A bare library sends bytes that are ready; the handler
encodes, keeps a ring, and bounds its queues. Ratios are of the rounds of one run, side by side.

{datetime.now(UTC):%Y-%m-%d}, {_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, {libraries}.
"""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, metavar="N", help="of fan-out and echo")
    parser.add_argument("--seconds", type=float, default=60, metavar="S", help="of the viewer that does not read")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "SERVERS.md", metavar="FILE")
    arguments = parser.parse_args()
    arguments.output.write_text("\n".join(measure(arguments.rounds, arguments.seconds)), encoding="utf-8")
