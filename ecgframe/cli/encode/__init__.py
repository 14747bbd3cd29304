"""``ecgframe encode``."""

# No ``from __future__ import annotations`` here: typer reads the annotations, as objects.

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ...protocol import DEFAULT_VERSION, STANDALONE_VERSIONS
from ..options import Baseline, Decimal, Force, Gain, Leads, SamplingRate, Stream, TimeColumn, Units, positive
from ..plain_errors import plain_errors


class NdarrayForm(StrEnum):
    """The two forms in which arrays are sent."""

    LIST = "list"
    BINARY = "binary"


def encode(
    record: Annotated[
        Path,
        typer.Argument(
            metavar="RECORD",
            help="The recording: WFDB, EDF, BDF, DICOM, CSV, NPY, NPZ, a file of frames, or a capture (pcap, pcapng); "
            "**-** is standard input.",
        ),
    ],
    *,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE", help="Write the frames to this file; **-** is standard output."),
    ],
    version: Annotated[
        int,
        typer.Option(min=STANDALONE_VERSIONS[0], max=STANDALONE_VERSIONS[-1], help="Protocol version of the frames."),
    ] = DEFAULT_VERSION,
    frame_seconds: Annotated[
        float, typer.Option(callback=positive, metavar="SECONDS", help="Duration of the samples in one frame.")
    ] = 1.0,
    no_compression: Annotated[
        bool,
        typer.Option(
            "--no-compression",
            help="Do not compress. By default, versions 2 and 3 compress payloads above 1024 bytes; version 1 cannot.",
        ),
    ] = False,
    ndarray: Annotated[
        NdarrayForm,
        typer.Option(help="Encode samples as a list, which every receiver reads, or in binary form, which is faster."),
    ] = NdarrayForm.LIST,
    no_annotations: Annotated[
        bool,
        typer.Option("--no-annotations", help="Leave out the annotations, which are written as alerts by default."),
    ] = False,
    validate: Annotated[
        bool, typer.Option("--validate", help="Check the fields of each message before encoding it.")
    ] = False,
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
    """Encode a recording as a file of frames, one after the other.

    Each frame is an ECG_DATA message with the samples as recorded, their calibration, the number of the frame
    (sequence) and the time of its first sample (timestamp), in Unix seconds or, if the recording does not state when
    it began, from its start. Annotations are ANOMALY_ALERT messages of the kind "annotation", after the samples of
    their time. **ecgframe decode** restores the recording exactly.
    """
    with plain_errors():
        from ...records.read import CsvOptions  # noqa: PLC0415 - only for commands that read recordings
        from .run import encode_recording  # noqa: PLC0415 - as above

        encode_recording(
            record,
            output,
            version=version,
            frame_seconds=frame_seconds,
            compress=not no_compression,
            ndarray=ndarray.value,
            annotations=not no_annotations,
            validate=validate,
            stream=stream,
            sampling_rate=sampling_rate,
            leads=leads,
            csv=CsvOptions(decimal=decimal, time_column=time_column, units=units, gain=gain, baseline=baseline),
            overwrite=force,
        )
