"""Draws a session's phases for docs/protocol.md, from the table of ``ecgframe/session/state.py``.

python docs/draw_phases.py            writes phases.svg, and the tables of the section "Phases"
python docs/draw_phases.py --check    exits with 1 where either differs from what would be written
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from enum import IntEnum
from inspect import cleandoc
from pathlib import Path
from typing import Final

from ecgframe.session.state import TRANSITIONS, Action, Phase, Trigger

DOCS: Final = Path(__file__).parent
PAGE: Final = DOCS / "protocol.md"
PICTURE: Final = DOCS / "phases.svg"
MARKS: Final = re.compile(r"(<!-- phases -->\n).*(<!-- end of phases -->)", re.DOTALL)

WIDTH, HEIGHT = 120, 40
CENTERS: Final = {
    Phase.OPENING: (100, 80),
    Phase.ASSUMED: (330, 80),
    Phase.NEGOTIATED: (560, 80),
    Phase.CLOSING: (215, 220),
    Phase.CLOSED: (445, 220),
}
OPEN: Final = frozenset({Phase.OPENING, Phase.ASSUMED, Phase.NEGOTIATED})
"""The phases that stand in one frame, so that what they have in common is drawn once."""

STYLE: Final = """\
<style>
  rect { fill: #ffffff; stroke: #333333; stroke-width: 1.5 }
  .background { stroke: none }
  .frame { fill: #f4f6f8; stroke: #999999; stroke-dasharray: 4 3 }
  path { fill: none; stroke: #333333; stroke-width: 1.5; marker-end: url(#arrow) }
  text { font: 14px sans-serif; fill: #111111; text-anchor: middle }
  .label { font-size: 12px; fill: #444444 }
</style>
<defs><marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">
  <polygon points="0,0 10,5 0,10" fill="#333333"/></marker></defs>
"""


def main() -> None:
    """Write or check the picture and the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where a file differs")
    check = parser.parse_args().check
    page = PAGE.read_text(encoding="utf-8")
    for path, text in {PICTURE: picture(), PAGE: MARKS.sub(lambda marks: marks[1] + tables() + marks[2], page)}.items():
        if not check:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            sys.exit(f"{path.name} differs from ecgframe/session/state.py; run python docs/{Path(__file__).name}")


# --- the tables ---


def tables() -> str:
    """What follows each trigger in each phase, and what triggers and actions are."""
    columns = [name(phase) for phase in Phase]
    rows = [[name(trigger), *(cell(phase, trigger) for phase in Phase)] for trigger in Trigger]
    return "\n".join(
        (
            *table(["on", *columns], rows),
            "",
            *table(["trigger", "meaning"], meanings(Trigger)),
            "",
            *table(["action", "meaning"], meanings(Action)),
            "",
        )
    )


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """The lines of a table."""
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def cell(phase: Phase, trigger: Trigger) -> str:
    """The action, and the next phase where it is another one."""
    if trigger not in TRANSITIONS[phase]:
        return "-"
    after = TRANSITIONS[phase][trigger]
    return name(after.action) if after.phase is phase else f"{name(after.action)}, then {name(after.phase)}"


def meanings(enum: type[IntEnum]) -> list[list[str]]:
    """Each member and what the docstring says of it."""
    text = re.sub(r"\n {8,}", " ", cleandoc(enum.__doc__ or "").partition("Attributes:\n")[2])
    said = dict(re.findall(r"^ +([A-Z_]+): (.+)$", text, re.MULTILINE))
    return [[name(member), said[member.name].rstrip(".").replace("``", "`")] for member in enum]


def name(member: IntEnum) -> str:
    """As it is written on the page."""
    return member.name.lower().replace("_", " ")


# --- the picture ---


def picture() -> str:
    """The phases and the transitions between them as SVG."""
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 660 270" role="img" aria-label="Session phases">',
        STYLE.rstrip(),
        '<rect class="background" width="660" height="270"/>',
        '<rect class="frame" x="20" y="10" width="620" height="120" rx="10"/>',
        '<path d="M 8 80 H 38"/>',
    ]
    for (start, end), triggers in transitions().items():
        parts.append(arrow(start, end, ", ".join(map(name, triggers))))
    for phase, (x, y) in CENTERS.items():
        parts.append(f'<rect x="{x - WIDTH // 2}" y="{y - HEIGHT // 2}" width="{WIDTH}" height="{HEIGHT}" rx="8"/>')
        parts.append(f'<text x="{x}" y="{y + 5}">{name(phase)}</text>')
    return "\n".join((*parts, "</svg>", ""))


def transitions() -> dict[tuple[Phase | None, Phase], list[Trigger]]:
    """The triggers that lead from one phase to another; from None, those that lead there from all open phases."""
    starts: dict[tuple[Phase, Trigger], set[Phase]] = defaultdict(set)
    for phase, row in TRANSITIONS.items():
        for trigger, after in row.items():
            if after.phase is not phase:
                starts[after.phase, trigger].add(phase)
    found: dict[tuple[Phase | None, Phase], list[Trigger]] = defaultdict(list)
    for (end, trigger), phases in starts.items():
        common = phases >= OPEN
        for start in sorted(phases - OPEN if common else phases):
            found[start, end].append(trigger)
        if common:
            found[None, end].append(trigger)
    return dict(found)


def arrow(start: Phase | None, end: Phase, label: str) -> str:
    """An arrow between two boxes, or from the frame around the open phases."""
    x2, y2 = CENTERS[end]
    if start is None:
        return _line(x2, 130, x2, y2 - HEIGHT // 2, x2 + 8, 170, label, "start")
    x1, y1 = CENTERS[start]
    if y1 == y2 and abs(x2 - x1) > 2 * WIDTH:  # another box stands between the two
        top = y1 - HEIGHT // 2
        return f'<path d="M {x1} {top} C {x1} 26, {x2} 26, {x2} {top}"/>' + _label((x1 + x2) // 2, 29, label)
    return _line(x1 + WIDTH // 2, y1, x2 - WIDTH // 2, y2, (x1 + x2) // 2, y1 - 8, label)


def _line(x1: int, y1: int, x2: int, y2: int, x: int, y: int, label: str, anchor: str = "middle") -> str:
    return f'<path d="M {x1} {y1} L {x2} {y2}"/>' + _label(x, y, label, anchor)


def _label(x: int, y: int, label: str, anchor: str = "middle") -> str:
    return f'<text class="label" x="{x}" y="{y}" style="text-anchor: {anchor}">{label}</text>'


if __name__ == "__main__":
    main()
