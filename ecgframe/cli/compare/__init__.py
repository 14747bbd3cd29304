"""``ecgframe compare``."""

# No ``from __future__ import annotations`` here: typer reads the annotations, as objects.

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ...records import Record
from ..terminal import (
    Force,
    Leads,
    SamplingRate,
    describe,
    left_out,
    plain_errors,
    progress,
    recording_of,
    refuse_to_overwrite,
    whole_file,
)
from . import plot as picture
from . import run as comparison
from . import views as table
from .report import report

WIDTH_OF_A_FILE = 120
"""Columns where the output goes to no terminal, and nobody says how wide it is."""


def compare(
    record: Annotated[
        Path | None,
        typer.Argument(
            metavar="RECORD",
            help="The recording: WFDB, EDF, BDF, DICOM, CSV, NPY or NPZ. "
            "Without one, the 12-lead ECG that ships with ecgframe.",
        ),
    ] = None,
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Every measurement: all three versions, bytes and microseconds.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Every measurement as JSON on stdout, for programs.")] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.svg|png", help="Draw the comparison into a file (needs matplotlib).")
    ] = None,
    budget: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="How long to measure, roughly. Longer is steadier.")
    ] = 10.0,
    sampling_rate: SamplingRate = None,
    leads: Leads = None,
    force: Force = False,
) -> None:
    """Measure what a recording costs as frames, in bytes and time, against the same messages as JSON.

    Samples go as float64 mV, float32 mV and integer ADC counts, in frames of 0.1, 1 and 10 s, as lists and in binary
    form, with and without compression; the rivals are Python's own json and orjson.
    """
    if plot is not None:
        if plot.suffix not in picture.FORMATS:
            raise typer.BadParameter(
                f"{plot}: the name must end in {' or '.join(picture.FORMATS)}", param_hint="--plot"
            )
        refuse_to_overwrite(plot, force)
    with plain_errors():
        if plot is not None:
            picture.figures()  # missing, it had better be missed before the measuring
        recording = recording_of(record, sampling_rate, leads)
        with progress("measuring") as track:
            found = comparison.compare(recording, budget, track)
        if as_json:
            typer.echo(json.dumps(report(recording, found), indent=2))
        else:
            _print(recording, found, everything)
        if plot is not None:
            with whole_file(plot) as file:
                picture.draw(found, f"{recording.source}: {describe(recording)}", file, plot.suffix)


def _print(recording: Record, found: comparison.Comparison, everything: bool) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH_OF_A_FILE
    console.print(f"{recording.source}: {describe(recording)}", markup=False, soft_wrap=True)
    for note in left_out(recording) + found.notes:
        console.print(note, markup=False, soft_wrap=True)
    console.print()
    (table.print_all if everything else table.print_short)(console, found)
