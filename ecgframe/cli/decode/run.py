"""Reading a file of frames, and writing its recording or a summary."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import typer

from ...foreign_text import printable
from ...frame_file import FrameFile, read_frames
from ...plural import counted
from ...records import Record, save_record, write_record
from ...records.bounds import check_csv
from ...records.record import portions
from ...records.write import SUFFIXES, files_to_save
from ...tools.salvage import Losses, read_damaged
from ..console import Terminal, say
from ..formats import duration, size
from ..overwriting import refuse_to_overwrite
from ..progress import progress
from ..recordings import describe
from ..redirection import input_path, output_file
from ..standard_streams import STDIN, STDOUT, STREAM, name_of, refuse_a_terminal


def decode_frames(
    file: Path, output: Path | None, *, form: str, skip_broken: bool, max_bytes: int | None, overwrite: bool
) -> bool:
    """Read a file of frames. The arguments are those of the command; ``form`` is "csv" or "npz".

    Returns:
        whether nothing is lost: False if broken frames were skipped.

    Raises:
        typer.BadParameter: the output is a terminal, or a file that may not be written.
        FrameFileError, RecordError: the file cannot be read, or the recording cannot be written in that format.
        OSError: a file cannot be read or written.
    """
    if output == STREAM:
        if form == "npz":
            refuse_a_terminal("NPZ", "name a file, or take --format csv")
    elif output is not None:
        if output.suffix not in SUFFIXES:
            endings = f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
            raise typer.BadParameter(f"{output}: the name must end in {endings}", param_hint="--output")
        for target in files_to_save(output):
            refuse_to_overwrite(target, overwrite, [file])
    with progress("decoding") as track, input_path(file) as place:
        losses: Losses | None = None
        if skip_broken:
            salvaged = read_damaged(place, lambda frames: track(frames, None), max_bytes=max_bytes)
            found, losses = salvaged.found, salvaged.losses
        else:
            found = read_frames(place, lambda messages: track(messages, None), max_bytes=max_bytes)
        nbytes = place.stat().st_size
    is_csv = form == "csv" if output == STREAM else output is not None and output.suffix == ".csv"
    if is_csv and max_bytes is None:
        check_csv(name_of(file, STDIN), found.record, nbytes)
    if output is None:
        verdict = "others broken or missing" if losses else "all whole, none missing"
        _print_summary(name_of(file, STDIN), nbytes, found, verdict)
    else:
        _write(found.record, output, form, overwrite=overwrite)
    if losses:
        say(*_lines_of(losses, found), err=True)
    return not losses


def _write(record: Record, output: Path, form: str, *, overwrite: bool) -> None:
    """Write the recording, and say what it is and what of it could not be kept."""
    console = Terminal(stderr=output == STREAM)
    remarks: tuple[str, ...] = ()
    if output == STREAM:
        with output_file(output) as stream:
            write_record(record, stream, f".{form}")
    else:
        remarks = save_record(record, output, overwrite=overwrite).remarks
    console.say(f"{name_of(output, STDOUT)}: {describe(record)}")
    if record.left_out:
        console.say(f"Left out: {', '.join(map(printable, record.left_out))}")
    for remark in remarks:
        console.say(f"Note: {remark}")


def _lines_of(losses: Losses, found: FrameFile) -> Iterator[str]:
    """Describe what is missing from the recording, one line each."""
    record = found.record
    if losses.frames:
        places = "place is" if losses.frames == 1 else "places are"
        yield f"broken: {losses.frames:,} {places} left out, {size(losses.nbytes)}"
        yield from (f"  {problem}" for problem in losses.problems)
        if losses.frames > len(losses.problems):
            yield f"  and {losses.frames - len(losses.problems):,} more"
    if losses.missing:
        gaps = losses.stretches
        yield (
            f"missing: {losses.missing:,} samples of each lead, {duration(losses.missing / record.sampling_rate)}, "
            f"in {counted(gaps, 'gap')}; {losses.fill:g} stands in their place"
        )
        yield from (f"  {duration(length)} from {start:.3f} s on" for start, length in losses.gaps)
        if gaps > len(losses.gaps):
            yield f"  and {gaps - len(losses.gaps):,} more"
    if losses.unplaced:
        yield f"unknown: how much is missing at {losses.unplaced:,} broken places; no time is left for it"
    if losses.is_cut:
        yield "cut: the end of the file is broken; how much is missing there is unknown"


def _print_summary(source: str, nbytes: int, found: FrameFile, verdict: str) -> None:
    record = found.record
    versions = " and ".join(map(str, found.versions))
    lines = {
        "file": f"{source}, {size(nbytes)}",
        "frames": f"{found.frames:,} of version {versions}, {found.compressed:,} compressed; {verdict}",
        "leads": f"{len(record.leads)}: {', '.join(map(printable, record.leads))}",
        "rate": f"{record.sampling_rate:g} Hz",
        "length": f"{duration(record.duration)} = {record.samples:,} samples of each lead",
        "samples": f"{record.signal.dtype}, {_range(record)}",
    }
    if record.gain is not None:
        lines["range"] = f"{_range(record, record.units)}"
    if record.annotations:
        lines["notes"] = f"{len(record.annotations):,} annotations, from alerts"
    if record.left_out:
        lines["left out"] = ", ".join(map(printable, record.left_out))
    console = Terminal()
    for name, value in lines.items():
        console.say(f"{name:7} {value}")


def _range(record: Record, units: str = "") -> str:
    """Format the smallest and the largest sample, stored or in ``units``."""
    ends: list[float] = []
    missing = 0
    for part in portions(record):
        is_gone = part.is_missing()
        finite = (part.physical() if units else part.signal)[~is_gone]
        finite = finite[np.isfinite(finite)]
        missing += part.signal.size - finite.size
        ends += [float(np.min(finite)), float(np.max(finite))] if finite.size else []
    text = f"{min(ends):g} to {max(ends):g} {units}".rstrip() if ends else "none of them a number"
    return f"{text}, {missing:,} missing" if missing else text
