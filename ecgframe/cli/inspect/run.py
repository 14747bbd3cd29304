"""Reading the frames of a source, and showing those that were selected."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ...protocol import DATA_TYPES
from ...tools.budget import WORK_PER_SHOWN
from ...tools.frame_analysis import Examined, Examiner
from ...tools.observation import Delivery, Observation, Remark
from ...tools.sources import FrameSource, Source, SourceError, open_source
from ...tools.summary import Summary
from ...value_count import count_values
from ..console import Terminal, print_json, say
from ..keys.run import read_keys
from ..places import is_server
from .views import FrameLines, FrameTexts, FrameView, print_summary

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from ssl import SSLContext


REMEMBERED: Final = 1000
"""Stream names that are remembered."""

MOST_TEXTS: Final = 5000
"""Frames of a file that are shown as text without ``--count``; the rest are counted."""

MOST_WITH_BYTES: Final = 1000
"""The same with ``--hex``, where a frame has up to 40 lines."""

MOST_LINES: Final = 100_000
"""Frames of a file that are shown as JSON lines without ``--count``; the rest are counted."""

MOST_REMARKS: Final = 1000
"""Remarks that are shown; the rest are counted."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Selects the frames to show.

    Attributes:
        types: numbers of message types; empty for all.
        streams: names of streams; empty for all.
        errors: whether only broken frames are shown.
        count: how many frames are shown; None for all.
    """

    types: frozenset[int] = frozenset()
    streams: frozenset[str] = frozenset()
    errors: bool = False
    count: int | None = None

    def wants(self, frame: Examined) -> bool:
        """Return whether the frame is selected, ``count`` aside."""
        if self.errors and frame.error is None:
            return False
        if self.types and frame.fields.get("type") not in self.types:
            return False
        is_of_any = frame.unread is not None and frame.stream is None  # sealed: its stream is unknown
        return not self.streams or is_of_any or frame.stream in self.streams


def inspect_source(
    text: str,
    wanted: Wanted,
    *,
    summary: bool,
    unpack: bool,
    as_json: bool,
    as_hex: bool,
    seconds: float | None,
    max_payload: int,
    validate: bool,
    versions: tuple[int, ...],
    headers: list[tuple[str, str]],
    trusted: SSLContext | None = None,
    keys: Path | None = None,
    signers: list[bytes] | None = None,
) -> int:
    """Show a source, and return the number of broken frames. The arguments are those of the command.

    Raises:
        SourceError: the source does not exist, or has an unknown format; or the server has no such stream.
        OSError: the source cannot be read, or the server cannot be reached.
        MissingLibrary: a library that is needed to read the source is not installed.
    """
    keyring = None if keys is None else read_keys(keys, "--keys")
    verifier = None
    if signers:
        from ...signing import Verifier  # noqa: PLC0415 - only with this option

        verifier = Verifier(signers)
    examiner = Examiner(max_payload=max_payload, validate=validate, keyring=keyring, verifier=verifier)
    reporter = frame_reporter(wanted, shown=not summary, as_json=as_json, as_hex=as_hex, examiner=examiner)
    if is_server(text):
        from .live import follow_live  # noqa: PLC0415 - needs websockets

        follow_live(
            text,
            wanted.streams,
            versions,
            headers,
            seconds,
            reporter.take,
            trusted,
            keyring=keyring,
            signatures=verifier is not None,
        )
    else:
        most_texts = MOST_WITH_BYTES if as_hex else MOST_TEXTS
        reporter.most_shown = wanted.count or (None if summary else MOST_LINES if as_json else most_texts)
        with open_source(text, sys.stdin.buffer, max_payload=max_payload) as source:
            examiner.budget = source.budget
            if summary and not unpack and isinstance(source, FrameSource) and wanted == Wanted():
                _count(source, reporter.summary)
            else:
                with _progress(source, shown=not summary) as observations:
                    reporter.look(observations)
    _show_totals(reporter, summary=summary, as_json=as_json)
    if wanted.streams and not reporter.is_enough:
        _check_streams(text, reporter, headers, trusted)
    return reporter.summary.errors.total()


def _check_streams(
    text: str, reporter: FrameReporter, headers: list[tuple[str, str]], trusted: SSLContext | None
) -> None:
    """Report the selected streams of which nothing was seen, and the streams that exist.

    Raises:
        SourceError: there is no such stream.
    """
    is_live = is_server(text)
    unseen = reporter.unseen(live=is_live)
    if not unseen:
        return
    from ...tools.connecting import no_such_stream, stream_names  # noqa: PLC0415 - loads asyncio

    known = stream_names(text, headers, trusted) if is_live else reporter.streams
    nowhere = unseen if known is None else [name for name in unseen if name not in known]
    if known is None:
        say(no_such_stream(nowhere, known, text), err=True)
    elif nowhere:
        raise SourceError(no_such_stream(nowhere, known, text))


def _show_totals(reporter: FrameReporter, *, summary: bool, as_json: bool) -> None:
    if summary and as_json:
        print_json(reporter.summary.as_dict() | {"notes": list(reporter.notes())})
    elif summary:
        console = Terminal()
        print_summary(console, reporter.summary, unpacked=reporter.has_examined)
        reporter.print_remarks(console)
    else:
        reporter.tell_hidden()
    if not (summary or as_json):
        reporter.print_if_nothing(Terminal(stderr=True))


def frame_reporter(
    wanted: Wanted, *, shown: bool, as_json: bool, as_hex: bool = False, examiner: Examiner | None = None
) -> FrameReporter:
    """Return a ``FrameReporter`` that shows the selected frames on stdout, or only counts them if not ``shown``."""
    view: FrameView | None = None
    if shown:
        view = FrameLines(as_hex) if as_json else FrameTexts(Terminal(), as_hex)
    return FrameReporter(examiner or Examiner(), wanted, view)


class FrameReporter:
    """Decodes the frames of observations, counts them, and shows those that were selected.

    Args:
        examiner: decodes the frames.
        wanted: selects the frames.
        view: shows them; None to count them only.

    Attributes:
        summary: totals of the selected frames.
        most_shown: how many frames are shown, the rest being counted; None for all.
    """

    def __init__(self, examiner: Examiner, wanted: Wanted, view: FrameView | None) -> None:
        self.summary = Summary()
        self.most_shown: int | None = None
        self._examiner = examiner
        self._wanted = wanted
        self._view = view
        self._seen = 0
        self._shown = 0
        self._hidden = 0
        self._remarks: list[Remark] = []
        self._streams: dict[str, bool] = {}
        self._remarked = 0

    @property
    def has_examined(self) -> bool:
        """True if any frame was decoded, not only its header read."""
        return self._seen > 0

    @property
    def is_enough(self) -> bool:
        """True if as many frames as ``wanted.count`` were shown."""
        return self._wanted.count is not None and self._shown >= self._wanted.count

    def look(self, observations: Iterable[Observation]) -> None:
        """Take observations until enough frames were shown."""
        for observation in observations:
            if self.take(observation):
                return

    def take(self, observation: Observation) -> bool:
        """Take one observation. Returns whether enough frames were shown."""
        if isinstance(observation, Remark):
            self._remark(observation)
            return self.is_enough
        for frame in self._examiner.examine(observation):
            self._seen += 1
            self._note_stream(frame)
            if self._wanted.wants(frame) and not self.is_enough:
                self.summary.add_examined(frame)
                if self.most_shown is not None and self._shown >= self.most_shown:
                    self._hidden += 1
                    continue
                self._shown += 1
                if self._view:
                    values = 0 if frame.message is None else count_values(frame.message.data)
                    self._examiner.budget.work += WORK_PER_SHOWN + values
                    self._view.frame(frame)
        return self.is_enough

    def _note_stream(self, frame: Examined) -> None:
        """Remember the stream of the frame, and whether any data of it was seen. The number of names is bounded."""
        name = frame.stream
        if name is not None and (
            name in self._streams or name in self._wanted.streams or len(self._streams) < REMEMBERED
        ):
            has_data = frame.message is not None and frame.message.type in DATA_TYPES
            self._streams[name] = has_data or self._streams.get(name, False)

    def unseen(self, *, live: bool) -> list[str]:
        """Return the selected streams that no frame named; for a live server, those without data."""
        return sorted(
            name for name in self._wanted.streams if not (self._streams.get(name) if live else name in self._streams)
        )

    @property
    def streams(self) -> list[str]:
        """Names of the streams that were seen, other than the selected ones."""
        return sorted(name for name in self._streams if name not in self._wanted.streams)

    def _remark(self, remark: Remark) -> None:
        if self._view is None and not remark.is_fault:
            return
        if not (remark.is_fault or not (self._wanted.errors or self._wanted.types or self._wanted.streams)):
            return
        self._remarked += 1
        if self._remarked > MOST_REMARKS and (self.most_shown is not None or self._view is None):
            return
        if self._view is None:
            self._remarks.append(remark)
        else:
            self._view.remark(remark)

    def tell_hidden(self) -> None:
        """Show how many frames and remarks were not shown, and how many payloads were not unpacked."""
        if self._view is None:
            return
        if self._hidden:
            text = f"{self._hidden:,} more frames are not shown; use --count N to show more, --summary to count them"
            self._view.remark(Remark(text, is_fault=True))
        if self._remarked > MOST_REMARKS and self.most_shown is not None:
            self._view.remark(Remark(f"{self._remarked - MOST_REMARKS:,} more remarks are not shown", is_fault=True))
        if self.summary.unread:
            text = f"the payloads of {self.summary.unread:,} frames were not unpacked, as noted at each"
            self._view.remark(Remark(text, is_fault=True))

    def print_if_nothing(self, console: Terminal) -> None:
        """Say so if no frame was shown, since no output at all would look like a failure."""
        if not self._shown:
            what = "broken frame" if self._wanted.errors else "matching frame"
            console.say(f"no {what} among {self._seen:,}")

    def print_remarks(self, console: Terminal) -> None:
        """Print the remarks below the totals."""
        for note in self.notes():
            console.say(f"note     {note}")

    def notes(self) -> Iterator[str]:
        """Yield what the totals do not include: remarks on faults, and how many payloads were not unpacked."""
        yield from (remark.text for remark in self._remarks if remark.is_fault)
        if self._remarked > len(self._remarks):
            yield f"{self._remarked - len(self._remarks):,} more"
        if self.summary.unread:
            sealed = self._examiner.sealed.unopened
            if sealed:
                yield f"{sealed:,} payloads are sealed; --keys opens them"
            if too_many := self.summary.unread - sealed:
                yield f"{too_many:,} payloads were not unpacked: too many values for a file of this size"


# --- files ---


def _count(source: FrameSource, summary: Summary) -> None:
    """Count frames by their headers and checksums, without unpacking their payloads."""
    with byte_progress("counting", source.nbytes) as report:
        for _ in summary.add_all(source.frames.headers()):
            report(source.frames.position)


@contextmanager
def _progress(source: Source, *, shown: bool) -> Iterator[Iterable[Observation]]:
    """Yield the observations; with a progress bar unless frames are shown meanwhile."""
    if shown:
        yield source.observations()
        return
    with byte_progress("reading", source.nbytes) as report:
        yield with_progress(source.observations(), report)


def with_progress(observations: Iterable[Observation], report: Callable[[int], None]) -> Iterator[Observation]:
    """Yield the observations, and call ``report`` with the number of bytes so far once in 256."""
    nbytes = 0
    for number, observation in enumerate(observations):
        yield observation
        nbytes = (
            (observation.offset or nbytes) + len(observation.octets) if isinstance(observation, Delivery) else nbytes
        )
        if not number % 256:
            report(nbytes)


@contextmanager
def byte_progress(task: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a progress bar in bytes on stderr, if that is a terminal; yields the function that updates it."""
    console = Terminal(stderr=True)
    if not console.is_terminal:
        yield lambda nbytes: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn  # noqa: PLC0415 - only in a terminal

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        number = bar.add_task(task, total=total)
        yield lambda nbytes: bar.update(number, completed=nbytes)
