"""``ecgframe audit``."""

# No ``from __future__ import annotations`` here: typer reads the annotations, as objects.

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from ..plain_errors import plain_errors

EPILOG = """\
**ecgframe serve --audit-log audit.jsonl** writes such a log; so does `AuditLog(path)` in your own server.

**ecgframe audit audit.jsonl --stream ecg/bed-7 --from 2026-11-30T08:00 --to 2026-11-30T10:00** shows who watched bed 7
in these two hours, and who published on its stream.

Exit code: 0 if somebody did, 3 if nobody did, 1 if the log cannot be read.
"""


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no time such as 2026-11-30T08:00") from error


def audit(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="The logs, of one server or of several.")],
    *,
    stream: Annotated[str | None, typer.Option(metavar="NAME", help="Only this stream.")] = None,
    person: Annotated[str | None, typer.Option(metavar="NAME", help="Only this person or device.")] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="From this time on: ISO 8601, local time without a zone."),
    ] = None,
    stop: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Until this time.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Show who watched a stream, and who published on it, from the audit log of a server.

    Where a server was killed, or still runs, the last time at which it was alive is given as "at least to".
    """
    begin, end = _seconds(start), _seconds(stop)
    with plain_errors():
        from .run import tell_who  # noqa: PLC0415 - loads the server

        count = tell_who(files, stream=stream, person=person, start=begin, stop=end, as_json=as_json)
    if not count:
        raise typer.Exit(3)
