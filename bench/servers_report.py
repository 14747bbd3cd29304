"""``python -m bench.servers_report``: the servers, measured and written to bench/SERVERS.md. Takes some minutes."""

import argparse
import asyncio
import os
import platform
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

from . import live
from .engines import NAMES, frame, installed
from .report import _processor, _table

HANDLERS = [name for name in NAMES if name.startswith("handler")]
BARE = "websockets"


def measure(rounds: int, seconds: float) -> Iterator[str]:
    """The lines of SERVERS.md."""
    names = list(installed())
    fan_out = asyncio.run(live.fan_out(names, viewers=500, frames=40, rounds=rounds))
    echo = {clients: asyncio.run(live.echo(names, clients=clients, times=2000, rounds=rounds)) for clients in (1, 16)}
    stalled = {
        name: asyncio.run(live.stalled_viewer(name, viewers=500, seconds=seconds, rate=20))
        for name in HANDLERS
        if name in names
    }
    alerts = {
        name: asyncio.run(live.alert(name, queued=10_000, bytes_a_second=1_000_000))
        for name in HANDLERS
        if name in names
    }
    yield from _top()
    yield "## Fan-out\n\nFrames delivered a second, one stream to 500 viewers; median and best of the rounds.\n"
    yield from _table(["", "median", "best", "of `websockets` alone"], list(_rates(fan_out)))
    for clients, rates in echo.items():
        yield f"## Echo, {clients} client{'s' * (clients > 1)}\n\nAnswers a second; each client waits for its answer.\n"
        yield from _table(["", "median", "best", "of `websockets` alone"], list(_rates(rates)))
    yield f"## One of 500 viewers does not read\n\n20 frames a second for {seconds:.0f} s.\n"
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


def _rates(rates: live.Rates) -> Iterator[list[str]]:
    for name, found in rates.items():
        yield [NAMES[name], f"{median(found):,.0f}", f"{max(found):,.0f}", f"{live.ratio(rates, name, BARE):.2f}"]


def _top() -> Iterator[str]:
    libraries = ", ".join(f"{name} {version(name)}" for name in ("websockets", "picows", "uvicorn", "aiohttp"))
    yield f"""# Servers

Written by `python -m bench.servers_report`. Each server in one process on one core, its clients in another; frames of
{len(frame()):,} bytes; servers take turns within one run. A bare library sends bytes that are ready; the handler
encodes, keeps a ring, and bounds its queues.

{datetime.now(UTC):%Y-%m-%d}, {_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, {libraries}.
"""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, metavar="N", help="of fan-out and echo")
    parser.add_argument("--seconds", type=float, default=60, metavar="S", help="of the viewer that does not read")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "SERVERS.md", metavar="FILE")
    arguments = parser.parse_args()
    arguments.output.write_text("\n".join(measure(arguments.rounds, arguments.seconds)), encoding="utf-8")
