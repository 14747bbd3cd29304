"""Printing who watched and published what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from ...plural import counted
from ...tools.audit_log import Span, read_audit_log, spans
from ..console import print_json, say


def tell_who(
    files: Sequence[Path],
    *,
    stream: str | None,
    person: str | None,
    start: float | None,
    stop: float | None,
    as_json: bool,
) -> int:
    """Print who watched and published between two times, in seconds since 1970. Returns the number of lines.

    Raises:
        ToolError: a file is no audit log.
        OSError: a file cannot be read.
    """
    records = sorted((record for file in files for record in read_audit_log(file)), key=lambda record: record["at"])
    found = [
        span
        for span in spans(records, stream=stream)
        if person in (None, span.person)
        and (start is None or span.stop >= start)
        and (stop is None or span.start <= stop)
    ]
    if as_json:
        print_json({"spans": [asdict(span) for span in found]})
    else:
        say(*(map(_line, found) if found else ["nobody"]))
    return len(found)


def _line(span: Span) -> str:
    who = "somebody without a name" if span.person is None else span.person
    until = "to" if span.is_complete else "at least to"
    count = "" if span.messages is None else f", {counted(span.messages, 'message')}"
    return f"{who} at {span.peer} {span.kind} {span.stream} from {_time(span.start)} {until} {_time(span.stop)}{count}"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
