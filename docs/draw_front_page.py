"""Draws the sizes on the front page and writes its figures, from measurements.

python docs/draw_front_page.py            writes sizes.svg, and the figures in README.md and index.md
python docs/draw_front_page.py --check    exits with 1 where one of them differs from what would be written

Sizes are measured now, over the ECG in the package; the speed is that of bench/RESULTS.md.
"""

from __future__ import annotations

import argparse
import re
import sys
from html import escape
from pathlib import Path
from typing import Final

from ecgframe.cli.compare.run import ORJSON, Case, Comparison, Samples, Way, compare
from ecgframe.records import shipped_ecg

DOCS: Final = Path(__file__).parent
README: Final = DOCS.parent / "README.md"
PICTURE: Final = DOCS / "sizes.svg"
RESULTS: Final = DOCS.parent / "bench" / "RESULTS.md"
MARKS: Final = re.compile(r"(<!-- figures -->\n).*(<!-- end of figures -->)", re.DOTALL)

SECONDS: Final = 0.05
RECORD: Final = Way("ecgframe", 4, None, False, "delta")
BARS: Final[tuple[tuple[str, Samples, Way], ...]] = (
    ("MessagePack, float64 millivolts", "float64", Way("ecgframe", 1, "list", False)),
    ("JSON, millivolts", "float64", ORJSON),
    ("JSON, ADC counts", "counts", ORJSON),
    ("version 3, ADC counts", "counts", Way("ecgframe", 3, "list", False)),
    ("version 3, compressed by zlib", "counts", Way("ecgframe", 3, "binary", True)),
    ("version 4, millivolts or counts", "float64", RECORD),
)
"""What each bar shows; those of the protocol's versions are coloured."""

SPEED: Final = re.compile(r"^\| (ecgframe, binary form|orjson \+ np\.array) \|(.*)\|$", re.M)
UNITS: Final = {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3}
COLUMN: Final = "12\u00d750"
LARGE_MESSAGE: Final = 10 << 20
LINK: Final = 1_000_000
"""Bits a second."""

TITLE: Final = "Bytes of 50 ms of ECG: 12 leads at 1,000 Hz, header included"
WIDTH, LEFT, TOP, ROW, BAR = 760, 250, 44, 30, 20
STYLE: Final = """\
<style>
  text { font: 14px sans-serif; fill: #1f2328 }
  .title { font-weight: bold }
  .name { text-anchor: end }
  rect { fill: #8c959f }
  .ours { fill: #1f883d }
  @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } rect { fill: #6e7681 } .ours { fill: #3fb950 } }
</style>
"""


def main() -> None:
    """Write or check the picture and the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where a file differs")
    check = parser.parse_args().check
    for path, text in written(compare(shipped_ecg(), 0)).items():
        if not check:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            sys.exit(f"{path.name} is not up to date; run python docs/{Path(__file__).name}")


def written(comparison: Comparison) -> dict[Path, str]:
    """Return what the files hold that have figures of a comparison."""
    sizes = {name: comparison.costs[Case(samples, SECONDS, way)].size for name, samples, way in BARS}
    readme = README.read_text(encoding="utf-8")
    return {PICTURE: picture(sizes), README: MARKS.sub(lambda marks: marks[1] + figures(sizes) + marks[2], readme)}


def figures(sizes: dict[str, float]) -> str:
    """Return the three figures as a list."""
    record, json = sizes[BARS[-1][0]], sizes["JSON, millivolts"]
    seconds = LARGE_MESSAGE * 8 / LINK
    lines = (
        f"**{record / json:.0%} of JSON.** 50 ms of 12 leads at 1,000 Hz take {record:.0f} bytes in version 4, "
        f"{json:,.0f} as JSON. No sample is rounded.",
        f"**{times_as_fast():.0f} times as fast** as `orjson` and NumPy: from the bytes of 50 ms to an array, in the "
        "binary form.",
        f"**0.4 s instead of {seconds:.0f} s** for an alert behind a message of 10 MiB, over 1 Mbit/s, in version 4.",
    )
    return "".join(f"- {line}\n" for line in lines)


def times_as_fast() -> float:
    """Return how much faster than by orjson and NumPy a live frame in binary form is decoded, by bench/RESULTS.md."""
    section = RESULTS.read_text(encoding="utf-8").partition("## Decode")[2]
    header = next(line for line in section.splitlines() if COLUMN in line)
    column = [cell.strip() for cell in header.strip("|").split("|")].index(COLUMN) - 1
    found = {name: cells.split("|")[column].split() for name, cells in SPEED.findall(section)[:2]}
    ours, theirs = (
        float(found[name][0]) * UNITS[found[name][1]] for name in ("ecgframe, binary form", "orjson + np.array")
    )
    return theirs / ours


def picture(sizes: dict[str, float]) -> str:
    """Return the bars as SVG."""
    height = TOP + ROW * len(sizes) + 8
    scale = (WIDTH - LEFT - 90) / max(sizes.values())
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">',
        f'<title>{TITLE}</title>\n{STYLE}<text class="title" x="12" y="24">{TITLE}</text>',
    ]
    for number, (name, nbytes) in enumerate(sizes.items()):
        top = TOP + ROW * number
        kind = ' class="ours"' if name.startswith("version") else ""
        lines += [
            f'<text class="name" x="{LEFT - 10}" y="{top + 15}">{escape(name)}</text>',
            f'<rect{kind} x="{LEFT}" y="{top}" width="{nbytes * scale:.1f}" height="{BAR}" rx="2"/>',
            f'<text x="{LEFT + nbytes * scale + 8:.1f}" y="{top + 15}">{nbytes:,.0f}</text>',
        ]
    return "\n".join([*lines, "</svg>\n"])


if __name__ == "__main__":
    main()
