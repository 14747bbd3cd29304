"""``ecgframe errors``."""

# No ``from __future__ import annotations`` here: typer reads the annotations, as objects.

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.text import Text

from ..protocol import ErrorCode
from ..tools.error_report import Group, Report, read_error_log
from .terminal import plain_errors

PEERS_SHOWN = 5

EPILOG = """\
**ecgframe serve --error-log errors.jsonl** writes the log; your own handler does with `on_error=ErrorLog(path)`.

**ecgframe errors errors.jsonl** tells what is in it.

It ends with 0 when there are no errors in it, with 3 when there are, with 1 when it cannot be read.
"""


def errors(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The log; the older files beside it are read as well.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object.")] = False,
) -> None:
    """Group the errors that peers were answered by code and peer, and say what to do about each."""
    with plain_errors():
        report = read_error_log(file)
    if as_json:
        typer.echo(orjson.dumps(_plain(report), option=orjson.OPT_NON_STR_KEYS).decode())
    else:
        _print(Console(highlight=False), file, report)
    if report.count:
        raise typer.Exit(3)


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
    return ErrorCode(code).name if code in set(map(int, ErrorCode)) else "not of this protocol"


def _print(console: Console, file: Path, report: Report) -> None:
    if not report.groups:
        console.print(f"{file}: no errors", markup=False, soft_wrap=True)
    for group in report.groups:
        for line in _lines_of(group):
            console.print(line, soft_wrap=True)
        console.print()
    if report.strangers:
        console.print(Text(f"{report.strangers:,} lines are no records of errors", "yellow"), soft_wrap=True)


def _lines_of(group: Group) -> list[Text]:
    times = "1 time" if group.count == 1 else f"{group.count:,} times"
    lines = [
        Text.assemble((f"0x{group.code:03x} {_name(group.code)}", "bold red"), f"  {times}"),
        _line("when", f"{_time(group.first)} to {_time(group.last)}" if group.count > 1 else _time(group.last)),
        _line("peers", _counted(group.peers)),
    ]
    checks = {f"check {check}": count for check, count in group.checks.most_common() if check}
    for name, counts in (("checks", checks), ("types", dict(group.types)), ("fields", dict(group.fields))):
        if counts:
            lines.append(_line(name, _counted(counts)))
    if group.latest.get("bytes"):
        lines.append(_line("latest", f"ecgframe inspect {group.latest['bytes']} --hex"))
    if group.latest.get("message"):
        lines.append(_line("said", str(group.latest["message"])))
    if group.advice is not None:
        lines.append(_line("mostly", group.advice.cause))
        lines.append(_line("look", group.advice.command, "cyan"))
        lines.append(_line("then", group.advice.step, "green"))
    return lines


def _line(name: str, text: str, style: str = "") -> Text:
    printable = text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
    return Text.assemble((f"  {name:8}", "dim"), (printable, style))


def _counted(counts: dict[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    shown = [name if count == 1 else f"{name} ({count:,})" for name, count in ordered[:PEERS_SHOWN]]
    more = len(ordered) - PEERS_SHOWN
    return ", ".join(shown) + (f" and {more:,} more" if more > 0 else "")


def _time(seconds: float) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return f"{seconds:.0f} s"
