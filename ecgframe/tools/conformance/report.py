"""The results of a suite as an HTML page: each case with its verdict and the bytes exchanged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Final

from ...foreign_text import printable
from ..frame_analysis import Examiner
from ..observation import Delivery
from ..value_summary import in_words
from .cases import Result, Verdict
from .transcript import Said

if TYPE_CHECKING:
    from ..frame_analysis import Examined

BYTES_SHOWN: Final = 512
"""Bytes of each message that are shown."""

_MARKS: Final = {Verdict.PASSED: "✓", Verdict.FAILED: "✗", Verdict.SKIPPED: "·"}

_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Conformance of {peer}</title>
<style>
:root {{ color-scheme: light dark; --ok: #18794e; --bad: #cd2b31; --dim: #6f7681; --line: #8884; }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.4rem; }} h2 {{ font-size: 1.05rem; margin: 2rem 0 .5rem; }}
summary {{ cursor: pointer; padding: .3rem 0; border-top: 1px solid var(--line); }}
.passed b {{ color: var(--ok); }} .failed b {{ color: var(--bad); }} .skipped, .skipped b {{ color: var(--dim); }}
.reason {{ margin: .2rem 0 .6rem 2rem; }} .failed .reason {{ color: var(--bad); }}
table {{ border-collapse: collapse; margin: 0 0 1rem 2rem; font: 12px/1.5 ui-monospace, monospace; }}
td {{ vertical-align: top; padding: .1rem .8rem .1rem 0; }} td.bytes {{ overflow-wrap: anywhere; max-width: 44rem; }}
td.time, td.bytes {{ color: var(--dim); }}
</style>
<h1>Conformance of {peer}</h1>
<p>{counts}. {when}, by ecgframe {version}. The numbers are those of the suite; the rules are in docs/protocol.md.</p>
{sections}
</html>
"""


def counted(results: Sequence[Result]) -> str:
    """Format the numbers of passed, failed and skipped cases."""
    counts = Counter(result.verdict for result in results)
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict]) or "no cases"


def html_report(results: Sequence[Result], peer: str, version: str) -> str:
    """Return the page.

    Args:
        results: results of the cases, in order.
        peer: name of the tested peer.
        version: version of this package.
    """
    sections: dict[str, list[Result]] = {}
    for result in results:
        sections.setdefault(result.case.section, []).append(result)
    return _PAGE.format(
        peer=_html(peer),
        counts=counted(results),
        when=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        version=escape(version),
        sections="\n".join(_section(name, found) for name, found in sections.items()),
    )


def _html(text: str) -> str:
    return escape(printable(text))


def _section(name: str, results: Sequence[Result]) -> str:
    return f"<h2>{escape(name)}</h2>\n" + "\n".join(map(_case, results))


def _case(result: Result) -> str:
    is_open = " open" if result.verdict is Verdict.FAILED else ""
    reason = f'<p class="reason">{_html(result.reason)}</p>' if result.reason else ""
    rows = "\n".join(map(_row, result.transcript))
    return (
        f'<details class="{result.verdict}" id="case-{result.case.number}"{is_open}><summary>'
        f"<b>{_MARKS[result.verdict]} {result.case.number}</b> {escape(result.case.title)}</summary>\n"
        f"{reason}<table>\n{rows}\n</table></details>"
    )


def _row(said: Said) -> str:
    who = "suite →" if said.ours else "← peer"
    shown = said.octets[:BYTES_SHOWN].hex(" ")
    more = f" … {len(said.octets) - BYTES_SHOWN:,} bytes more" if len(said.octets) > BYTES_SHOWN else ""
    return (
        f'<tr><td class="time">{said.seconds * 1000:.1f} ms</td><td>{who}</td><td>{_html(_words(said))}</td>'
        f'<td class="bytes">{shown}{more}</td></tr>'
    )


def _words(said: Said) -> str:
    if said.text:
        return said.text
    frames = list(Examiner().examine(Delivery(said.octets)))
    if len(frames) > 4:
        return f"{len(frames):,} frames, the first: {_frame(frames[0])}"
    return "; ".join(map(_frame, frames))


def _frame(frame: Examined) -> str:
    if frame.message is None:
        return f"{frame.type_name}, broken: {frame.error}"
    words = in_words(frame.message.data)
    return f"{frame.type_name} V{frame.message.version} {words if len(words) < 200 else words[:200] + '…'}"
