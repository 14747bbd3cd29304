"""The audit log of a server as a file of JSON lines, and who watched or published on a stream, read from it.

with AuditLog("audit.jsonl"):
    serve()

New files have the mode 0600, and each record is written at once. Files are appended to and never shortened. A program
such as logrotate may move a file away; the next record goes to a new one.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from ..audit_events import Event
from ..foreign_text import json_text
from ..private_files import create
from . import ToolError

if TYPE_CHECKING:
    from io import TextIOWrapper
    from types import TracebackType
    from typing import Self

__all__ = ["AuditLog", "Span", "read_audit_log", "spans"]

LOGGER: Final = "ecgframe.audit"

Kind = Literal["watched", "published"]

_BEGINS: Final[dict[str, Kind]] = {Event.WATCHES: "watched", Event.PUBLISHES: "published"}
_ENDS: Final[dict[str, Kind]] = {Event.WATCHED: "watched", Event.PUBLISHED: "published"}
_LATEST: Final = datetime.max.replace(tzinfo=UTC).timestamp() - 1
_USUAL: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class AuditLog(WatchedFileHandler):
    """Writes the audit log to a file within a context.

    Args:
        path: the file, which is created or appended to.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(self, path: Path | str) -> None:
        super().__init__(path, encoding="utf-8")
        self._before: tuple[int, bool] = logging.NOTSET, True

    def __enter__(self) -> Self:
        """Begin to write the records."""
        logger = logging.getLogger(LOGGER)
        self._before = logger.level, logger.propagate
        logger.addHandler(self)
        logger.setLevel(logging.INFO)
        logger.propagate = False
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        logger = logging.getLogger(LOGGER)
        logger.removeHandler(self)
        logger.setLevel(self._before[0])
        logger.propagate = self._before[1]
        self.close()

    def format(self, record: logging.LogRecord) -> str:
        """Return the fields of a record as a JSON object."""
        return json_text({name: value for name, value in vars(record).items() if name not in _USUAL})

    def _open(self) -> TextIOWrapper:
        with suppress(FileExistsError):
            create(Path(self.baseFilename)).close()
        return super()._open()


@dataclass(frozen=True, slots=True)
class Span:
    """A time in which somebody watched a stream or published on it.

    Attributes:
        kind: "watched" or "published".
        stream: name of the stream.
        person: name of the identity; None if it had none.
        peer: address of the peer.
        connection: id of the connection.
        start: when it began, in seconds since 1970.
        stop: when it ended; if the log does not say so, the last time at which the server was alive.
        messages: number of messages; None if the log does not say so.
        is_complete: whether the log has the end. It does not if the server was killed, or still runs.
    """

    kind: Kind
    stream: str
    person: str | None
    peer: str
    connection: str
    start: float
    stop: float
    messages: int | None
    is_complete: bool


def read_audit_log(path: Path) -> Iterator[dict[str, Any]]:
    """Read the records of a file. A last line that is cut short, as after a power failure, is left out.

    Raises:
        OSError: the file cannot be read.
        ToolError: a line is no record of an audit log. The message names the line.
    """
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line)
                is_record = _is_record(record)
            except (ValueError, RecursionError):
                is_record = False
            if is_record:
                yield record
            elif line.endswith("\n"):
                raise ToolError(f"{path}: line {number} is no record of an audit log")


def _is_record(record: Any) -> bool:
    if not (isinstance(record, dict) and isinstance(record.get("event"), str) and isinstance(record.get("run"), str)):
        return False
    event = record["event"]
    if event not in _BEGINS and event not in _ENDS:
        return _is_time(record.get("at"))
    texts = (record.get(name) for name in ("stream", "peer", "connection"))
    person, messages = record.get("person"), record.get("messages")
    return (
        _is_time(record.get("at"))
        and all(isinstance(text, str) for text in texts)
        and (person is None or isinstance(person, str))
        and (event in _BEGINS or (_is_time(record.get("from")) and isinstance(messages, int)))
    )


def _is_time(seconds: object) -> bool:
    return isinstance(seconds, int | float) and 0 <= seconds <= _LATEST


def spans(records: Iterable[dict[str, Any]], *, stream: str | None = None) -> list[Span]:
    """Return who watched and published what, in the order in which it began.

    Args:
        records: those of a log, oldest first; several servers may have written them.
        stream: name of a stream; None for all.
    """
    found: list[Span] = []
    open_ones: dict[tuple[str, str, str, Kind], int] = {}
    alive: dict[str, float] = {}
    runs: list[str] = []
    for record in records:
        event, run, at = record["event"], record["run"], record["at"]
        alive[run] = max(at, alive.get(run, at))
        if event not in _BEGINS and event not in _ENDS:
            continue
        name: str = record["stream"]
        if stream not in (None, name):
            continue
        if kind := _BEGINS.get(event):
            open_ones[run, record["connection"], name, kind] = len(found)
            whose = (record["person"], record["peer"], record["connection"])
            found.append(Span(kind, name, *whose, start=at, stop=at, messages=None, is_complete=False))
            runs.append(run)
        elif kind := _ENDS.get(event):
            place = open_ones.pop((run, record["connection"], name, kind), None)
            if place is None:  # the log begins later
                whose = (record["person"], record["peer"], record["connection"])
                found.append(Span(kind, name, *whose, record["from"], at, record["messages"], is_complete=True))
                runs.append(run)
            else:
                found[place] = replace(found[place], stop=at, messages=record["messages"], is_complete=True)
    whole = [
        span if span.is_complete else replace(span, stop=max(span.start, alive[run]))
        for span, run in zip(found, runs, strict=True)
    ]
    return sorted(whole, key=lambda span: span.start)
