"""Looking through a source, and showing what is wanted of it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from ...tools.frame_analysis import Examined, Examiner
from ...tools.observation import Delivery, Observation, Remark
from ...tools.sources import FrameSource, Source, SourceError, open_source
from ...tools.summary import Summary
from ..places import is_server
from ..stopping import stop_signals
from .views import FrameLines, FrameTexts, FrameView, print_summary

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which frames are shown.

    Attributes:
        types: message types; all where empty.
        streams: names of streams; all where empty.
        errors: only broken ones.
        count: so many; None for all.
    """

    types: frozenset[int] = frozenset()
    streams: frozenset[str] = frozenset()
    errors: bool = False
    count: int | None = None

    def wants(self, frame: Examined) -> bool:
        """Whether this one is to be shown."""
        if self.errors and frame.error is None:
            return False
        if self.types and frame.fields.get("type") not in self.types:
            return False
        return not self.streams or frame.stream in self.streams


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
    headers: list[tuple[str, str]],
) -> int:
    """Show a source; the arguments are those of the command. Gives how many frames are broken.

    Raises:
        SourceError: it is not there, or nothing that is understood.
        OSError: it cannot be read, or not be connected to.
        MissingLibrary: a library that reads it is not installed.
    """
    examiner = Examiner(max_payload=max_payload, validate=validate)
    looking = looking_for(wanted, shown=not summary, as_json=as_json, as_hex=as_hex, examiner=examiner)
    if is_server(text):
        asyncio.run(follow_live(text, wanted.streams, headers, seconds, looking.take))
    else:
        with open_source(text, sys.stdin.buffer, max_payload=max_payload) as source:
            if summary and not unpack and isinstance(source, FrameSource) and wanted == Wanted():
                _count(source, looking.summary)
            else:
                with _progress(source, shown=not summary) as observations:
                    looking.look(observations)
    if summary and as_json:
        typer.echo(orjson.dumps(looking.summary.as_dict()).decode())
    elif summary:
        console = Console(highlight=False)
        print_summary(console, looking.summary, unpacked=looking.has_examined)
        looking.print_remarks(console)
    elif not as_json:
        looking.print_if_nothing(Console(stderr=True, highlight=False))
    return looking.summary.errors.total()


def looking_for(
    wanted: Wanted, *, shown: bool, as_json: bool, as_hex: bool = False, examiner: Examiner | None = None
) -> Looking:
    """Who looks for that, and shows it on stdout, or only counts it."""
    view: FrameView | None = None
    if shown:
        view = FrameLines(as_hex) if as_json else FrameTexts(Console(highlight=False), as_hex)
    return Looking(examiner or Examiner(), wanted, view)


class Looking:
    """Takes observations apart, counts them, and shows those that are wanted."""

    def __init__(self, examiner: Examiner, wanted: Wanted, view: FrameView | None) -> None:
        self.summary = Summary()
        self._examiner = examiner
        self._wanted = wanted
        self._view = view
        self._seen = 0
        self._shown = 0
        self._remarks: list[Remark] = []

    @property
    def has_examined(self) -> bool:
        """Whether frames were taken apart."""
        return self._seen > 0

    @property
    def is_enough(self) -> bool:
        """Whether as much was shown as was wanted."""
        return self._wanted.count is not None and self._shown >= self._wanted.count

    def look(self, observations: Iterable[Observation]) -> None:
        """All of them, or as many as are wanted."""
        for observation in observations:
            if self.take(observation):
                return

    def take(self, observation: Observation) -> bool:
        """One of them. Tells whether it is enough."""
        if isinstance(observation, Remark):
            self._remark(observation)
            return self.is_enough
        for frame in self._examiner.examine(observation):
            self._seen += 1
            if self._wanted.wants(frame) and not self.is_enough:
                self._shown += 1
                self.summary.add_examined(frame)
                if self._view:
                    self._view.frame(frame)
        return self.is_enough

    def _remark(self, remark: Remark) -> None:
        if self._view is None:
            self._remarks.append(remark)
        elif remark.is_fault or not (self._wanted.errors or self._wanted.types or self._wanted.streams):
            self._view.remark(remark)

    def print_if_nothing(self, console: Console) -> None:
        """Say so, where nothing was shown: silence would look like a fault of the tool."""
        if not self._shown:
            what = "broken frame" if self._wanted.errors else "frame that was asked for"
            console.print(f"no {what} among {self._seen:,}", soft_wrap=True)

    def print_remarks(self, console: Console) -> None:
        """What was remarked while only totals were wanted."""
        for remark in self._remarks:
            if remark.is_fault:
                console.print(f"note     {remark.text}", markup=False, soft_wrap=True)


# --- a server ---


async def follow_live(
    url: str,
    streams: Iterable[str],
    headers: list[tuple[str, str]],
    seconds: float | None,
    take: Callable[[Observation], bool],
) -> None:
    """Hand on what a server and this side say, until that is enough (``take`` says True), the time is up, or a signal.

    Raises:
        SourceError: there is no connecting.
        MissingLibrary: websockets is not installed.
    """
    from ...tools.listening import listen  # noqa: PLC0415 - needs websockets

    async def follow() -> None:
        async with aclosing(listen(url, sorted(streams), headers)) as observations:
            async for observation in observations:
                if take(observation):
                    return

    with stop_signals() as stop:
        tasks = [asyncio.ensure_future(follow()), asyncio.ensure_future(stop.wait())]
        try:
            await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
    if not tasks[0].cancelled():
        raise_plainly(url, tasks[0].exception())


def raise_plainly(url: str, error: BaseException | None) -> None:
    """What went wrong with a connection, in a line."""
    from websockets.exceptions import InvalidURI, WebSocketException  # noqa: PLC0415 - an extra

    if isinstance(error, WebSocketException):
        raise SourceError(f"{url}: {error.msg if isinstance(error, InvalidURI) else error}") from error
    if isinstance(error, OSError):
        raise SourceError(f"{url}: {error.strerror or error}") from error
    if error is not None:
        raise error


# --- files ---


def _count(source: FrameSource, summary: Summary) -> None:
    """Headers and checksums only."""
    with byte_progress("counting", source.nbytes) as tell:
        for _ in summary.add_all(source.frames.headers()):
            tell(source.frames.position)


@contextmanager
def _progress(source: Source, *, shown: bool) -> Iterator[Iterable[Observation]]:
    """The observations; with a bar, where nothing else is shown meanwhile."""
    if shown:
        yield source.observations()
        return
    with byte_progress("reading", source.nbytes) as tell:
        yield told(source.observations(), tell)


def told(observations: Iterable[Observation], tell: Callable[[int], None]) -> Iterator[Observation]:
    """The same; now and then, ``tell`` is told how many bytes they had."""
    nbytes = 0
    for number, observation in enumerate(observations):
        yield observation
        nbytes = (
            (observation.offset or nbytes) + len(observation.octets) if isinstance(observation, Delivery) else nbytes
        )
        if not number % 256:
            tell(nbytes)


@contextmanager
def byte_progress(task: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar of bytes on stderr, where that is a terminal; gone when the work is done."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda nbytes: None
        return
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
