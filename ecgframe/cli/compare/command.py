"""Comparing the recording that a command line names, and printing or plotting the comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import typer

from ...private_files import whole_file
from ...records import Record
from ...records.files import files_of
from ...records.read import CsvOptions
from ..console import Terminal, print_json
from ..overwriting import refuse_to_overwrite
from ..progress import progress
from ..recordings import describe, recording_of, remarks_on
from . import plot as picture
from . import run as comparison
from . import views as table
from .report import report

WIDTH_OF_A_FILE: Final = 120
"""Columns of the output where it does not go to a terminal."""


def compare_recording(
    source: Path | None,
    *,
    everything: bool,
    as_json: bool,
    plot: Path | None,
    whole: bool,
    sequence: bool,
    budget: float,
    stream: str | None,
    sampling_rate: float | None,
    leads: str | None,
    csv: CsvOptions,
    overwrite: bool,
) -> None:
    """Compare a recording. The arguments are those of the command, or what they name.

    Raises:
        typer.BadParameter: the plot cannot be written to that file.
        RecordError, FrameFileError, ToolError: the recording cannot be read, or is too short.
        MissingLibrary: a plot is wanted, and matplotlib is not installed.
        OSError: a file cannot be read or written.
    """
    if plot is not None:
        if plot.suffix not in picture.FORMATS:
            raise typer.BadParameter(
                f"{plot}: the name must end in {' or '.join(picture.FORMATS)}", param_hint="--plot"
            )
        refuse_to_overwrite(plot, overwrite, files_of(source) if source is not None else ())
        picture.figures()  # fail before the measurement if matplotlib is missing
    recording = recording_of(source, sampling_rate, leads, csv, stream)
    with progress("measuring") as track:
        found = comparison.compare(recording, budget, track, whole=whole, sequence=sequence)
    if as_json:
        print_json(report(recording, found), indent=2)
    else:
        _print(recording, found, everything)
    if plot is not None:
        with whole_file(plot) as file:
            picture.draw(found, f"{recording.source}: {describe(recording)}", file, plot.suffix)


def _print(recording: Record, found: comparison.Comparison, everything: bool) -> None:
    console = Terminal()
    if not console.is_terminal:
        console.width = WIDTH_OF_A_FILE
    console.say(f"{recording.source}: {describe(recording)}")
    for note in remarks_on(recording) + found.notes:
        console.say(note)
    console.print()
    (table.print_all if everything else table.print_short)(console, found)
