"""``ecgframe compare``."""

# No ``from __future__ import annotations`` here: typer reads the annotations, as objects.

from pathlib import Path
from typing import Annotated

import typer

from ...private_files import whole_file
from ...records import Record
from ...records.files import files_of
from ...records.read import CsvOptions
from ..console import Terminal, print_json
from ..terminal import (
    Baseline,
    Decimal,
    Force,
    Gain,
    Leads,
    SamplingRate,
    Stream,
    TimeColumn,
    Units,
    describe,
    plain_errors,
    progress,
    recording_of,
    refuse_to_overwrite,
    remarks_on,
)
from . import plot as picture
from . import run as comparison
from . import views as table
from .report import report

WIDTH_OF_A_FILE = 120
"""Columns of the output where it does not go to a terminal."""


def compare(
    record: Annotated[
        Path | None,
        typer.Argument(
            metavar="RECORD",
            help="The recording: WFDB, EDF, BDF, DICOM, CSV, NPY, NPZ, a file of frames, or a capture. "
            "Without one, the 12-lead ECG that ships with ecgframe.",
        ),
    ] = None,
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Print every measurement: all versions, bytes and microseconds.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print every measurement as a JSON object.")] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.svg|png", help="Plot the comparison to a file (requires matplotlib).")
    ] = None,
    whole: Annotated[
        bool,
        typer.Option("--whole", help="Measure the sizes of all frames of a long recording, which takes longer."),
    ] = False,
    no_sequence: Annotated[
        bool, typer.Option("--no-sequence", help="Leave the optional field **sequence** out of the messages.")
    ] = False,
    budget: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0, help="Approximate duration of the measurement; longer is steadier."),
    ] = 10.0,
    stream: Stream = None,
    sampling_rate: SamplingRate = None,
    leads: Leads = None,
    decimal: Decimal = None,
    time_column: TimeColumn = None,
    units: Units = None,
    gain: Gain = None,
    baseline: Baseline = None,
    force: Force = False,
) -> None:
    """Compare the size and speed of frames with those of JSON, for the same messages of a recording.

    Samples are sent as float64 mV, float32 mV and integer ADC counts, in frames of 0.05 (as **serve** sends them), 1
    and 10 s, as lists and in binary form, with and without compression, and as records of version 4. The JSON libraries
    are Python's json and orjson.
    """
    if plot is not None:
        if plot.suffix not in picture.FORMATS:
            raise typer.BadParameter(
                f"{plot}: the name must end in {' or '.join(picture.FORMATS)}", param_hint="--plot"
            )
        refuse_to_overwrite(plot, force, files_of(record) if record is not None else ())
    csv = CsvOptions(decimal=decimal, time_column=time_column, units=units, gain=gain, baseline=baseline)
    with plain_errors():
        if plot is not None:
            picture.figures()  # fail before the measurement if matplotlib is missing
        recording = recording_of(record, sampling_rate, leads, csv, stream)
        with progress("measuring") as track:
            found = comparison.compare(recording, budget, track, whole=whole, sequence=not no_sequence)
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
