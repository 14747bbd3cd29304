"""Reading the recording that a command line names, and describing it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ..foreign_text import printable
from ..frame_file import is_frame_file, read_frames
from ..libraries import library
from ..plural import counted
from ..records import Record, RecordError, read_record
from ..records.read import CsvOptions, is_recording
from ..records.record import missing_samples
from ..tools.capture.pcap_file import MAGIC
from .console import say
from .formats import duration
from .options import names
from .redirection import input_path, named

TEXTS: Final = (".csv", ".tsv", ".txt")
"""Suffixes by which a file is taken for CSV; standard input has one of them."""


def recording_of(
    path: Path | None,
    sampling_rate: float | None,
    leads: str | None,
    csv: CsvOptions | None = None,
    stream: str | None = None,
    *,
    every_unit: bool = False,
) -> Record:
    """Read the recording at the path, and print notes on what a capture lacks; without a path, the shipped one.

    With ``every_unit``, signals of other units beside the ECG are read too; see ``read_record``.

    Raises:
        RecordError, FrameFileError, ToolError: it cannot be read, or the options do not fit it.
        OSError: it cannot be read.
    """
    wanted = names(leads)
    if path is None:
        _refuse_stream(stream, "the ECG that ships with ecgframe")
        from ..records import shipped_ecg  # noqa: PLC0415 - only without a path

        shipped = shipped_ecg()
        return shipped if wanted is None else shipped.take(wanted)
    with input_path(path, ".csv") as place:
        if place.is_file() and _is_capture(place):
            options = {**(csv or {}), "sampling_rate": sampling_rate}
            return named(_of_capture(place, stream, wanted, options), path)
        _refuse_stream(stream, f"{path}")
        if _is_frame_file(place):
            return named(_of_frames(place, sampling_rate, wanted, csv), path)
        return named(read_record(place, sampling_rate, wanted, every_unit=every_unit, **(csv or {})), path)


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


def describe(record: Record) -> str:
    """Describe a recording in one line."""
    pairs = ((lead, record.unit(number)) for number, lead in enumerate(record.leads))
    leads = ", ".join(printable(lead if unit == record.units else f"{lead} in {unit}") for lead, unit in pairs)
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
