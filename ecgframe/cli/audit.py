"""``ecgframe audit``."""

# No ``from __future__ import annotations`` here: typer reads the annotations, as objects.

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from ..foreign_text import printable
from ..plural import counted
from .console import Terminal, print_json
from .terminal import plain_errors

EPILOG = """\
**ecgframe serve --audit-log audit.jsonl** writes such a log; so does the logger `ecgframe.audit`.

**ecgframe audit audit.jsonl --stream ecg/bed-7 --from 2026-11-30T08:00 --to 2026-11-30T10:00** tells who watched bed 7 in
these two hours, and who published.

Exit code: 0 if somebody did, 3 if nobody did, 1 if the log cannot be read.
"""


def audit(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="The logs, of one server or of several.")],
    *,
    stream: Annotated[str | None, typer.Option(metavar="NAME", help="Only this stream.")] = None,
    person: Annotated[str | None, typer.Option(metavar="NAME", help="Only this person or device.")] = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="From this time on (ISO 8601; local time without a zone).")
    ] = None,
    stop: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Until this time.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Tell who watched a stream, and who published on it, from the audit log of a server.

    If a server was killed, the end is the last time at which it was alive, and is marked as such.
    """
    from ..tools.audit_log import read_audit_log, spans  # noqa: PLC0415 - loads the server

    begin, end = _seconds(start, "--from"), _seconds(stop, "--to")
    with plain_errors():
        records = sorted((record for file in files for record in read_audit_log(file)), key=lambda each: each["at"])
        found = [
            span
            for span in spans(records, stream=stream)
            if person in (None, span.person)
            and (begin is None or span.stop >= begin)
            and (end is None or span.start <= end)
        ]
    if as_json:
        print_json({"spans": [asdict(span) for span in found]})
    else:
        console = Terminal()
        for span in found:
            who = printable(span.person or "unknown")
            count = "" if span.messages is None else f", {counted(span.messages, 'message')}"
            until = "to" if span.is_complete else "at least to"
            console.say(
                f"{who} at {printable(span.peer)} {span.kind} {printable(span.stream)} from {_time(span.start)} {until} "
                f"{_time(span.stop)}{count}"
            )
        if not found:
            console.say("nobody")
    if not found:
        raise typer.Exit(3)


def _seconds(text: str | None, option: str) -> float | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no time such as 2026-11-30T08:00", param_hint=option) from error


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
