"""``ecgframe decode``."""

# No ``from __future__ import annotations`` here: typer reads the annotations, as objects.

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from rich.console import Console

from ..frame_file import FrameFile, read_frames
from ..records import write_record
from ..records.write import FORMATS
from .terminal import Force, describe, duration, plain_errors, progress, refuse_to_overwrite, size, whole_file


def decode(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file of frames, as **ecgframe encode** writes it.")],
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE.npz|csv", help="Write the recording there. Without it, a summary."
        ),
    ] = None,
    force: Force = False,
) -> None:
    """Read a file of frames: check every frame, and write the recording or a summary of it.

    NPZ is for NumPy: `np.load(file)["signal"]` is [leads, samples]. CSV is for everyone: a row a sample, with a column
    of time and one for each lead. Both hold the samples exactly, and **encode** and **compare** read both.
    """
    if output is not None:
        if output.suffix not in FORMATS:
            raise typer.BadParameter(f"{output}: the name must end in {' or '.join(FORMATS)}", param_hint="--output")
        refuse_to_overwrite(output, force)
    with plain_errors():
        with progress("decoding") as track:
            found = read_frames(file, lambda messages: track(messages, None))
        if output is None:
            _print_summary(file, found)
        else:
            with whole_file(output) as target:
                write_record(found.record, target, output.suffix)
            Console(highlight=False).print(f"{output}: {describe(found.record)}", markup=False, soft_wrap=True)


def _print_summary(file: Path, found: FrameFile) -> None:
    record = found.record
    versions = " and ".join(map(str, found.versions))
    lines = {
        "file": f"{file}, {size(file.stat().st_size)}",
        "frames": f"{found.frames:,} of version {versions}, {found.compressed:,} compressed; all whole, none missing",
        "leads": f"{len(record.leads)}: {', '.join(record.leads)}",
        "rate": f"{record.sampling_rate:g} Hz",
        "length": f"{duration(record.duration)} = {record.samples:,} samples of each lead",
        "samples": f"{record.signal.dtype}, {_range(record.signal)}",
    }
    if record.gain is not None:
        lines["range"] = f"{_range(record.physical())} {record.units}"
    console = Console(highlight=False)
    for name, value in lines.items():
        console.print(f"{name:8}{value}", markup=False, soft_wrap=True)


def _range(samples: npt.NDArray[Any]) -> str:
    finite = samples[np.isfinite(samples)]
    text = f"{finite.min():g} to {finite.max():g}" if finite.size else "none of them a number"
    missing = samples.size - finite.size
    return f"{text}, {missing:,} missing" if missing else text
