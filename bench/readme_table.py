"""Measures the README's table of size and speed with ``ecgframe compare``: ``python -m bench.readme_table``.

Writes it between its marks in README.md.
"""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from ecgframe.cli.compare import views
from ecgframe.cli.compare.run import JSON, ORJSON, Case, Comparison, compare
from ecgframe.records import shipped_ecg

from . import core

README = Path(__file__).parents[1] / "README.md"
MARKS = re.compile(r"(<!-- size and speed -->\n).*?(<!-- end of size and speed -->)", re.DOTALL)
SHORT, LONG = 0.05, 1.0
"""Seconds of the frames."""
BUDGET = 60.0
"""Seconds for all measurements together."""


TITLES = views.TITLES | {"counts": "ADC counts (int16)"}
COLUMNS = (
    "samples, and how they are sent",
    "size, 50 ms",
    "size, 1 s",
    "encoding 1 s, against `json` / `orjson`",
    "decoding",
)


def lines(found: Comparison) -> Iterator[str]:
    """Return the table."""
    yield f"| {' | '.join(COLUMNS)} |"
    yield f"|{' --- |' * len(COLUMNS)}"
    for samples in found.samples:
        before = None
        for way in views.short(found, samples):
            small, large = (Case(samples, seconds, way) for seconds in (SHORT, LONG))
            if way.filter == "delta" and found.costs[small].size == found.costs[before].size:
                continue  # the filter is for integers
            before = small if way.filter and not way.compressed else before
            sizes = [f"{found.against(case, ORJSON)[0]:.0%}" for case in (small, large)]
            speeds = [found.against(large, rival)[1:] for rival in (JSON, ORJSON)]
            pairs = [_pair(*both) for both in zip(*speeds, strict=True)]
            cells = [f"{TITLES[samples]}, {views.form(way)}", *sizes, *pairs]
            yield f"| {' | '.join(cells)} |"


def _pair(one: float, other: float) -> str:
    return " / ".join(views.times(factor).removesuffix(views.TIMES) for factor in (one, other))


def main() -> None:
    """Measure, print the table, and write it."""
    parser = argparse.ArgumentParser(prog="python -m bench.readme_table", description=__doc__)
    parser.add_argument("--budget", type=float, default=BUDGET, metavar="SECONDS", help="for all measurements")
    parser.add_argument("--readme", type=Path, default=README, metavar="FILE", help="the page to write into")
    core.add_option(parser)
    arguments = parser.parse_args()
    core.check(parser, plain=arguments.plain)
    found = compare(shipped_ecg(), arguments.budget, whole=True, sequence=True)
    table = "\n".join(lines(found))
    print(table)
    text = arguments.readme.read_text(encoding="utf-8")
    if MARKS.search(text) is None:
        parser.error(f"{arguments.readme} has no marks around its table")
    arguments.readme.write_text(MARKS.sub(lambda marks: f"{marks[1]}{table}\n{marks[2]}", text), encoding="utf-8")


if __name__ == "__main__":
    main()
