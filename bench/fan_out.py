"""``python -m bench.fan_out`` compares what a delivered frame costs: here, with bare libraries, and with other servers.

It writes bench/FAN_OUT.md and bench/results/fan-out.svg. Each frame is published once all viewers have the one before,
as in live streams, so that nothing queues. All servers take turns, and their processes share one core.
"""

import argparse
import asyncio
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

from . import core, live, other_servers, plots
from .engines import NAMES, frame, installed
from .report import _processor, _table

SAMPLES = 25
"""Samples of each of twelve leads: 25 ms at 1000 Hz, or 50 ms at 500 Hz."""

VIEWERS = (50, 200, 500, 1000, 1500)
"""Viewers of each server. The process of the viewers has a connection for each viewer of each server."""

DELIVERED = 20_000
"""Frames that are delivered by a server in a round, about."""

MOST_FRAMES = 400
"""Frames that are published in a round at most."""

FLOOR = "C loop"
HEAD = ["", "processor time for each delivered frame", "best round", "relative to the C loop"]
LIBRARIES = ("websockets", "picows", "uvicorn", "starlette", "aiohttp", "python-socketio")

Found = Mapping[int, live.Rounds]
"""Measurements by the number of viewers."""


def measure(viewers: Sequence[int], rounds: int, names: Sequence[str] | None = None) -> Found:
    """Measure all servers that can run here, or those of some names."""
    engines = {**other_servers.others(), **installed()}
    wanted = [name for name in engines if names is None or name in names]
    return {
        count: asyncio.run(
            live.fan_out(
                wanted,
                viewers=count,
                frames=min(max(DELIVERED // count, 5), MOST_FRAMES),
                rounds=rounds,
                engines=engines,
                samples=SAMPLES,
                burst=1,
            )
        )
        for count in viewers
    }


def name_of(name: str) -> str:
    """Return how tables and plots call a server."""
    return other_servers.NAMES.get(name) or NAMES[name]


def cost(rounds: Sequence[live.Round]) -> float:
    """Return the median processor time for each delivered frame, in microseconds."""
    return median(one.cost for one in rounds)


def page(found: Found) -> Iterator[str]:
    """Return the lines of FAN_OUT.md."""
    most = max(found)
    yield f"""# What a delivered frame costs

Written by `python -m bench.fan_out`: the processor time of a server for each frame of {len(frame(SAMPLES))} bytes
that reaches a viewer, from one stream. Each frame is published once all viewers have the one before. Only the handlers
encode, keep a history and limit their queues; all others send prepared bytes. Servers in Python run in the process that
asks the viewers, which is counted with them. Ratios are medians of the rounds.

{datetime.now(UTC):%Y-%m-%d}, {_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, {_versions()}.
"""
    yield "![Processor time over viewers](results/fan-out.svg)\n"
    yield f"## {most:,} viewers\n"
    rounds = found[most]
    yield from _table(
        HEAD,
        [
            [name_of(name), f"{cost(ones):.2f} µs", f"{min(one.cost for one in ones):.2f} µs", _relative(rounds, name)]
            for name, ones in sorted(rounds.items(), key=lambda item: cost(item[1]))
        ],
    )
    if lacking := other_servers.missing():
        yield "Not measured: " + "; ".join(f"{name_of(name)} (needs {lack})" for name, lack in lacking.items()) + ".\n"
    yield "## Over viewers\n"
    yield "Median, in microseconds.\n"
    yield from _table(
        ["", *(f"{count:,}" for count in found)],
        [
            [name_of(name), *(f"{cost(found[count][name]):.2f}" for count in found)]
            for name in sorted(rounds, key=lambda name: cost(rounds[name]))
        ],
    )


def _versions() -> str:
    known = []
    for name in LIBRARIES:
        try:
            known.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join([*known, *other_servers.versions()])


def _relative(rounds: live.Rounds, name: str) -> str:
    if FLOOR not in rounds:
        return ""
    return f"{median(one.cost / other.cost for one, other in zip(rounds[name], rounds[FLOOR], strict=True)):.2f}"


def write(folder: Path, found: Found) -> None:
    """Write the page and its plot."""
    (folder / "results").mkdir(parents=True, exist_ok=True)
    names = list(next(iter(found.values())))
    plots.over_counts(
        folder / "results" / "fan-out.svg",
        f"Processor time of a server for each delivered frame of {len(frame(SAMPLES))} bytes",
        list(found),
        {name_of(name): [cost(rounds[name]) for rounds in found.values()] for name in names},
        "viewers",
    )
    (folder / "FAN_OUT.md").write_text("\n".join(page(found)), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.fan_out", description=__doc__)
    parser.add_argument("--viewers", type=int, nargs="+", default=VIEWERS, metavar="N", help="viewers of each server")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="number of rounds")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="names of the servers, such as bun")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, metavar="FOLDER")
    core.add_option(parser)
    arguments = parser.parse_args()
    core.check(parser, plain=arguments.plain)
    write(arguments.output, measure(arguments.viewers, arguments.rounds, arguments.only))


if __name__ == "__main__":
    main()
