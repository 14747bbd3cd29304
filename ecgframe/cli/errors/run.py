"""Printing a summary of an error log."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from rich.text import Text

from ...foreign_text import printable
from ...plural import counted
from ...protocol import ErrorCode
from ...tools.error_report import Group, Report, read_error_log
from ..console import Terminal, print_json

PEERS_SHOWN: Final = 5
HEX: Final = re.compile("(?:[0-9a-f]{2})+")


def summarize_errors(file: Path, *, as_json: bool) -> int:
    """Print the summary of a log. Returns the number of errors in it.

    Raises:
        ToolError: it is not such a log.
        OSError: it cannot be read.
    """
    report = read_error_log(file)
    if as_json:
        print_json(_plain(report))
    else:
        _print(Terminal(), file, report)
    return report.count


def _plain(report: Report) -> dict[str, Any]:
    return {
        "errors": report.count,
        "strangers": report.strangers,
        "groups": [
            {
                "code": group.code,
                "name": _name(group.code),
                "count": group.count,
                "first": group.first,
                "last": group.last,
                "peers": dict(group.peers.most_common()),
                "checks": dict(group.checks.most_common()),
                "types": dict(group.types.most_common()),
                "fields": dict(group.fields.most_common()),
                "latest": group.latest,
                "advice": group.advice and group.advice._asdict(),
            }
            for group in report.groups
        ],
    }


def _name(code: int) -> str:
    return ErrorCode(code).name if code in set(map(int, ErrorCode)) else "not a code of the protocol"


def _print(console: Terminal, file: Path, report: Report) -> None:
    if not report.groups:
        console.say(f"{file}: no errors")
    for group in report.groups:
        for line in _lines_of(group):
            console.print(line, soft_wrap=True)
        console.print()
    if report.strangers:
        console.print(Text(f"{report.strangers:,} lines are not records of errors", "yellow"), soft_wrap=True)


def _lines_of(group: Group) -> list[Text]:
    lines = [
        Text.assemble((f"0x{group.code:03x} {_name(group.code)}", "bold red"), f"  {counted(group.count, 'time')}"),
        _line("when", f"{_time(group.first)} to {_time(group.last)}" if group.count > 1 else _time(group.last)),
        _line("peers", _listed(group.peers)),
    ]
    checks = {f"check {check}": count for check, count in group.checks.most_common() if check}
    for name, counts in (("checks", checks), ("types", dict(group.types)), ("fields", dict(group.fields))):
        if counts:
            lines.append(_line(name, _listed(counts)))
    if HEX.fullmatch(octets := str(group.latest.get("bytes"))):  # only hex digits may go into a command to copy
        lines.append(_line("latest", f"ecgframe inspect {octets} --hex"))
    if group.latest.get("message"):
        lines.append(_line("text", str(group.latest["message"])))
    if group.advice is not None:
        lines.append(_line("cause", group.advice.cause))
        lines.append(_line("command", group.advice.command, "cyan"))
        lines.append(_line("fix", group.advice.step, "green"))
    return lines


def _line(name: str, text: str, style: str = "") -> Text:
    return Text.assemble((f"  {name:8}", "dim"), (printable(text), style))


def _listed(counts: dict[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    shown = [name if count == 1 else f"{name} ({count:,})" for name, count in ordered[:PEERS_SHOWN]]
    more = len(ordered) - PEERS_SHOWN
    return ", ".join(shown) + (f" and {more:,} more" if more > 0 else "")


def _time(seconds: float) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return f"{seconds:.0f} s"
