"""What the commands share: options, errors in one line, progress, files that are whole or not there."""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, BinaryIO, Protocol, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from ..errors import ProtocolError
from ..frame_file import FrameFileError
from ..libraries import MissingLibrary
from ..records import Record, RecordError, read_record, shipped_ecg
from ..tools import ToolError

T = TypeVar("T")


def positive(value: float | None) -> float | None:
    """The value of an option that must be above 0; a usage error if it is not."""
    if value is not None and not 0 < value < math.inf:
        raise typer.BadParameter(f"{value:g} is not above 0")
    return value


SamplingRate = Annotated[
    float | None,
    typer.Option(callback=positive, metavar="HZ", help="Samples a second, for CSV, NPY and NPZ files that do not say."),
]
Leads = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES", help="Take these leads only, in this order: names with commas between, as **II,V5**."
    ),
]
Force = Annotated[bool, typer.Option("--force", "-f", help="Replace the file if it is there already.")]


def names(leads: str | None) -> list[str] | None:
    """The names in a ``--leads`` option."""
    return None if leads is None else [name.strip() for name in leads.split(",")]


def http_headers(lines: list[str] | None) -> list[tuple[str, str]]:
    """The headers in ``--header`` options."""
    headers = []
    for line in lines or ():
        name, colon, value = line.partition(":")
        if not (colon and name.strip()):
            raise typer.BadParameter(f"{line!r} is no header: NAME: VALUE")
        headers.append((name.strip(), value.strip()))
    return headers


def recording_of(path: Path | None, sampling_rate: float | None, leads: str | None) -> Record:
    """What the options name: the recording at that path, or the shipped one.

    Raises:
        RecordError: as ``read_record`` does.
    """
    if path is not None:
        return read_record(path, sampling_rate, names(leads))
    shipped, wanted = shipped_ecg(), names(leads)
    return shipped if wanted is None else shipped.take(wanted)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn what is wrong with the user's data into one message on stderr and exit code 1."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        _fail(f"{error.filename}: {reason}" if error.filename else reason)
    except (RecordError, FrameFileError, ProtocolError, MissingLibrary, ToolError) as error:
        _fail(str(error))


def _fail(problem: str) -> None:
    console = Console(stderr=True)
    console.print("[bold red]error:[/]", end=" ")
    console.print(problem, markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(1)


class Track(Protocol):
    """Gives an iterable back, and shows how far it has come."""

    def __call__(self, iterable: Iterable[T], total: int | None = None) -> Iterable[T]:
        """The same, one by one; ``total`` is how many there will be, if that is known."""
        ...


@contextmanager
def progress(task: str) -> Iterator[Track]:
    """A bar on stderr, where that is a terminal; gone when the work is done."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda iterable, total=None: iterable
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:

        def track(iterable: Iterable[T], total: int | None = None) -> Iterable[T]:
            return bar.track(iterable, total=total, description=task)

        yield track


def refuse_to_overwrite(path: Path, force: bool) -> None:
    """Stop before the work, not after it.

    Raises:
        typer.BadParameter: the file is there and may not be replaced, or can never be.
    """
    if not path.parent.is_dir():
        raise typer.BadParameter(f"{path}: there is no folder {path.parent}")
    if path.exists() and not path.is_file():
        raise typer.BadParameter(f"{path} is not a regular file")
    if path.exists() and not force:
        raise typer.BadParameter(f"{path} is there already; --force replaces it")


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file that takes its name only once it is written to the end: a failed run leaves what was there before."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            part.unlink()
        raise


def own_version() -> str:
    """The version of the installed package; "unknown" in a source tree that was only built in place."""
    try:
        return version("ecgframe")
    except PackageNotFoundError:
        return "unknown"


def describe(record: Record) -> str:
    """One line about a recording."""
    leads = ", ".join(record.leads)
    count = f"{len(record.leads)} {'lead' if len(record.leads) == 1 else 'leads'} ({leads})"
    return f"{count}, {record.samples:,} samples each at {record.sampling_rate:g} Hz = {duration(record.duration)}"


def left_out(record: Record) -> tuple[str, ...]:
    """A line about the signals that stood in the file and were not taken, if there were any."""
    return (f"Left out: {', '.join(record.left_out)}",) if record.left_out else ()


def duration(seconds: float) -> str:
    """Seconds as a person says them: "10 s", "30 min 6 s", "24 h"."""
    whole = round(seconds)
    if seconds < 60:
        return f"{seconds:.4g} s"
    parts = [(whole // 3600, "h"), (whole // 60 % 60, "min"), (whole % 60, "s")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number)


def size(count: float) -> str:
    """Bytes as a person says them."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= 0.9995 * factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count:.0f} B"
