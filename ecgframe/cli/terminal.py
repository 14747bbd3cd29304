"""Options, error reporting, progress bars and number formats that the commands share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Final, Protocol, TypeVar

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from ..errors import ProtocolError
from ..foreign_text import printable
from ..frame_file import FrameFileError, is_frame_file, read_frames
from ..libraries import MissingLibrary, library
from ..plural import counted
from ..records import Record, RecordError, read_record, shipped_ecg
from ..records.read import CsvOptions, is_recording
from ..records.record import missing_samples
from ..tools import ToolError
from ..tools.capture.pcap_file import MAGIC
from .console import Terminal, say
from .standard_streams import STREAM, input_path, named

T = TypeVar("T")

TEXTS: Final = (".csv", ".tsv", ".txt")
"""Suffixes by which a file is taken for CSV; standard input has one of them."""


def positive(value: float | None) -> float | None:
    """Return the value of an option that must be above 0 and finite.

    Raises:
        typer.BadParameter: it is not.
    """
    if value is not None and not 0 < value < math.inf:
        raise typer.BadParameter(f"{value:g} is not above 0")
    return value


SamplingRate = Annotated[
    float | None,
    typer.Option(
        callback=positive, metavar="HZ", help="Sampling rate of a CSV, NPY or NPZ file that does not state it."
    ),
]
Leads = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES", help="Use these leads only, in this order: comma-separated names, such as **II,V5**."
    ),
]
CSV_PANEL = "CSV options, where the file does not state them"
Decimal = Annotated[
    str | None,
    typer.Option(metavar="SIGN", help="Decimal separator, **.** or **,**", rich_help_panel=CSV_PANEL),
]
TimeColumn = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Name of the time column.", rich_help_panel=CSV_PANEL),
]
Units = Annotated[
    str | None,
    typer.Option(
        metavar="UNIT",
        help="Unit of the samples that have none, such as **mV** or **uV**; of NPY and NPZ as well.",
        rich_help_panel=CSV_PANEL,
    ),
]
Gain = Annotated[
    float | None,
    typer.Option(
        callback=positive,
        metavar="COUNTS",
        help="ADC counts per unit: that of the file, else of **--units**, else mV.",
        rich_help_panel=CSV_PANEL,
    ),
]
Baseline = Annotated[
    float | None,
    typer.Option(metavar="COUNT", help="ADC count of 0 units.", rich_help_panel=CSV_PANEL),
]
Stream = Annotated[
    str | None,
    typer.Option("--stream", metavar="NAME", help="Stream to read, if the recording is a capture with several."),
]
Force = Annotated[bool, typer.Option("--force", "-f", help="Replace the file if it exists.")]
Headers = Annotated[
    list[str] | None,
    typer.Option("--header", metavar="NAME: VALUE", help="Send this HTTP header to the server. Repeatable."),
]


def names(leads: str | None) -> list[str] | None:
    """Split the value of ``--leads`` into names."""
    return None if leads is None else [name.strip() for name in leads.split(",")]


def http_headers(lines: list[str] | None) -> list[tuple[str, str]]:
    """Parse the values of ``--header`` to pairs of name and value.

    Raises:
        typer.BadParameter: one is not of the form ``NAME: VALUE``.
    """
    headers = []
    for line in lines or ():
        name, colon, value = line.partition(":")
        if not (colon and name.strip()):
            raise typer.BadParameter(f"{line!r} is not a header; the form is NAME: VALUE")
        headers.append((name.strip(), value.strip()))
    return headers


def moment(text: str | None) -> float | datetime | None:
    """Parse the value of ``--since``: a number of seconds ago, or a time.

    Raises:
        typer.BadParameter: it is neither.
    """
    if text is None:
        return None
    try:
        ago = float(text)
    except ValueError:
        pass
    else:
        if 0 <= ago < 1e9:
            return ago
        raise typer.BadParameter(f"{text} is not a number of seconds from 0 to 1e9")
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither a number of seconds nor a time") from None


def recording_of(
    path: Path | None,
    sampling_rate: float | None,
    leads: str | None,
    csv: CsvOptions | None = None,
    stream: str | None = None,
) -> Record:
    """Read the recording at the path, and print notes on what a capture lacks; without a path, the shipped one.

    Raises:
        RecordError, FrameFileError, ToolError: it cannot be read, or the options do not fit it.
        OSError: it cannot be read.
    """
    wanted = names(leads)
    if path is None:
        _refuse_stream(stream, "the ECG that ships with ecgframe")
        shipped = shipped_ecg()
        return shipped if wanted is None else shipped.take(wanted)
    with input_path(path, ".csv") as place:
        if place.is_file() and _is_capture(place):
            options = {**(csv or {}), "sampling_rate": sampling_rate}
            return named(_of_capture(place, stream, wanted, options), path)
        _refuse_stream(stream, f"{path}")
        if _is_frame_file(place):
            return named(_of_frames(place, sampling_rate, wanted, csv), path)
        return named(read_record(place, sampling_rate, wanted, **(csv or {})), path)


def _refuse_stream(stream: str | None, source: str) -> None:
    if stream is not None:
        raise RecordError(f"{source}: --stream is for captures (pcap, pcapng), and it is none")


def _is_capture(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4).startswith(MAGIC)


def _of_capture(path: Path, stream: str | None, leads: list[str] | None, options: Mapping[str, object]) -> Record:
    if given := [name.replace("_", "-") for name, value in options.items() if value is not None]:
        raise RecordError(f"{path}: a capture states what --{' and --'.join(given)} would; omit it")
    library("websockets", extra="tools", purpose="reading captures")
    from ..recording.captured import read_captured  # noqa: PLC0415 - needs websockets

    captured = read_captured(path, stream)
    say(*(f"note: {note}" for note in captured.notes), err=True)
    return captured.record if leads is None else captured.record.take(leads)


def _is_frame_file(path: Path) -> bool:
    """Return True if a file begins with a frame and has no other format. No text begins with a frame's first byte."""
    return path.is_file() and is_frame_file(path) and (path.suffix.lower() in TEXTS or not is_recording(path))


def _of_frames(path: Path, sampling_rate: float | None, leads: list[str] | None, csv: CsvOptions | None) -> Record:
    if given := [name.replace("_", "-") for name, value in (csv or {}).items() if value is not None]:
        raise RecordError(f"{path}: --{' and --'.join(given)} go with CSV files, and it is a file of frames")
    record = read_frames(path).record
    if sampling_rate is not None and record.sampling_rate != sampling_rate:
        raise RecordError(
            f"{path}: it says {record.sampling_rate:g} Hz, against the {sampling_rate:g} Hz given; leave the rate out"
        )
    return record if leads is None else record.take(leads)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Report errors in the user's data or environment as one line on stderr, and exit with code 1."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        _fail(f"{error.filename}: {reason}" if error.filename else reason)
    except MissingLibrary as error:
        _fail(str(error))
    except ImportError as error:
        if not error.name or error.name.startswith("ecgframe"):
            raise
        name = error.name.partition(".")[0]
        _fail(f'this needs {name}, which cannot be imported ({error}): pip install "ecgframe[all]"')
    except (RecordError, FrameFileError, ProtocolError, ToolError) as error:
        _fail(str(error))


def _fail(problem: str) -> None:
    Terminal(stderr=True).print(Text.assemble(("error: ", "bold red"), printable(problem)), soft_wrap=True)
    raise typer.Exit(1)


class Track(Protocol):
    """Passes an iterable through, and shows the progress."""

    def __call__(self, iterable: Iterable[T], total: int | None = None) -> Iterable[T]:
        """Yield the items of ``iterable``; ``total`` is their number, if known."""
        ...


@contextmanager
def progress(task: str) -> Iterator[Track]:
    """Show a progress bar on stderr, if that is a terminal, until the context is left."""
    console = Terminal(stderr=True)
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


def refuse_to_overwrite(path: Path, force: bool, sources: Iterable[Path] = ()) -> None:
    """Check, before the work begins, that the file may be written.

    Args:
        path: the file to write.
        force: whether an existing file may be replaced.
        sources: the input files, which are never replaced, even if ``path`` names one of them by a link.

    Raises:
        typer.BadParameter: the file exists and may not be replaced, or cannot be created.
    """
    if path == STREAM:
        raise typer.BadParameter("standard output is taken; name a file (./- is one that is called -)")
    if not path.parent.is_dir():
        raise typer.BadParameter(f"{path}: there is no folder {path.parent}")
    if path.exists() and not path.is_file():
        raise typer.BadParameter(f"{path} is not a regular file")
    for source in sources:
        if path.exists() and path.samefile(source):
            which = "is read" if path == source else f"is the same file as {source}, which is read"
            raise typer.BadParameter(f"{path} {which}, and would be lost; choose another name")
    if path.exists() and not force:
        raise typer.BadParameter(f"{path} is there already; --force replaces it")


def own_version() -> str:
    """Return the version of the installed package; "unknown" in a source tree that was only built in place."""
    try:
        return version("ecgframe")
    except PackageNotFoundError:
        return "unknown"


def describe(record: Record) -> str:
    """Describe a recording in one line."""
    leads = ", ".join(map(printable, record.leads))
    count = f"{counted(len(record.leads), 'lead')} ({leads})"
    return f"{count}, {record.samples:,} samples each at {record.sampling_rate:g} Hz = {duration(record.duration)}"


def remarks_on(record: Record) -> tuple[str, ...]:
    """Return notes on how the recording was read: what was left out, repaired or missing, and when it starts."""
    lines = [f"Left out: {', '.join(map(printable, record.left_out))}"] if record.left_out else []
    lines += [f"Repaired: {printable(what)}" for what in record.repaired]
    if missing := missing_samples(record):
        lines.append(f"Missing: {missing:,} of {record.signal.size:,} samples")
    if record.start is not None:
        lines.append(f"Start: {record.start.isoformat(' ')}{'' if record.start.tzinfo else ', taken for UTC'}")
    counts = {"annotation": len(record.annotations), "comment": len(record.comments)}
    others = [counted(count, what) for what, count in counts.items() if count]
    if record.device:
        others.append(f"the device ({printable(record.device)})")
    if others:
        lines.append(f"Not taken along: {', '.join(others)}")
    return tuple(lines)


def duration(seconds: float) -> str:
    """Format seconds, such as "10 s", "30 min 6 s" or "24 h"."""
    whole = round(seconds)
    if seconds < 60:
        return f"{seconds:.4g} s"
    parts = [(whole // 3600, "h"), (whole // 60 % 60, "min"), (whole % 60, "s")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number)


def size(count: float) -> str:
    """Format a number of bytes with a decimal unit, such as "1.5 kB"."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= 0.9995 * factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count:.0f} B"
