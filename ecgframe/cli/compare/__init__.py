"""``ecgframe compare``."""

# No ``from __future__ import annotations`` here: typer reads the annotations, as objects.

from pathlib import Path
from typing import Annotated

import typer

from ...libraries import library
from ..options import Baseline, Decimal, Force, Gain, Leads, SamplingRate, Stream, TimeColumn, Units
from ..plain_errors import plain_errors


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
    with plain_errors():
        library("orjson", extra="cli", purpose="comparing with JSON")
        from ...records.read import CsvOptions  # noqa: PLC0415 - only for commands that read recordings
        from .command import compare_recording  # noqa: PLC0415 - needs orjson

        compare_recording(
            record,
            everything=everything,
            as_json=as_json,
            plot=plot,
            whole=whole,
            sequence=not no_sequence,
            budget=budget,
            stream=stream,
            sampling_rate=sampling_rate,
            leads=leads,
            csv=CsvOptions(decimal=decimal, time_column=time_column, units=units, gain=gain, baseline=baseline),
            overwrite=force,
        )
