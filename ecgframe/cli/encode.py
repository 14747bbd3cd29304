"""``ecgframe encode``."""

# No ``from __future__ import annotations`` here: typer reads the annotations, as objects.

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..codec import Codec
from ..compression import Compression
from ..errors import MessageTooLarge
from ..frame_file import ecg_messages, samples_per_frame, write_frames
from ..protocol import LATEST_VERSION, VERSIONS
from ..records import RecordError, read_record
from .terminal import (
    Force,
    Leads,
    SamplingRate,
    describe,
    duration,
    left_out,
    names,
    plain_errors,
    positive,
    progress,
    refuse_to_overwrite,
    size,
    whole_file,
)


class NdarrayForm(StrEnum):
    """How arrays travel."""

    LIST = "list"
    BINARY = "binary"


def encode(
    record: Annotated[
        Path, typer.Argument(metavar="RECORD", help="The recording: WFDB, EDF, BDF, DICOM, CSV, NPY or NPZ.")
    ],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The file of frames to write.")],
    version: Annotated[
        int, typer.Option(min=VERSIONS[0], max=VERSIONS[-1], help="Protocol version of the frames.")
    ] = LATEST_VERSION,
    frame_seconds: Annotated[
        float, typer.Option(callback=positive, metavar="SECONDS", help="How much of the recording goes into one frame.")
    ] = 1.0,
    no_compression: Annotated[
        bool, typer.Option("--no-compression", help="Never deflate. Version 1 never does; 2 and 3 do above 1024 bytes.")
    ] = False,
    ndarray: Annotated[
        NdarrayForm,
        typer.Option(
            help="Samples as a list, which every reader takes, or as binary, which is faster where it is known."
        ),
    ] = NdarrayForm.LIST,
    validate: Annotated[
        bool, typer.Option("--validate", help="Check each message against what ECG_DATA requires before it is sent.")
    ] = False,
    sampling_rate: SamplingRate = None,
    leads: Leads = None,
    force: Force = False,
) -> None:
    """Write a recording as a file of frames, laid end to end.

    Each frame is an ECG_DATA message with the samples as they were recorded, their calibration, the frame's number
    (sequence) and the time of its first sample in seconds from the start (timestamp). **ecgframe decode** gives the
    recording back, equal to the last sample.
    """
    refuse_to_overwrite(output, force)
    codec = Codec(
        version=version,
        compression=None if no_compression else Compression(),
        ndarray=ndarray.value,
        validate=validate,
    )
    with plain_errors(), progress("encoding") as track:
        recording = read_record(record, sampling_rate, names(leads))
        samples = samples_per_frame(recording, frame_seconds)
        frames = -(-recording.samples // samples)
        with whole_file(output) as file:
            try:
                written = write_frames(file, codec, track(ecg_messages(recording, samples), frames))
            except MessageTooLarge as error:
                raise RecordError(f"{output}: {error}; shorter frames are smaller (--frame-seconds)") from error
    console = Console(highlight=False)
    console.print(f"{recording.source}: {describe(recording)}", markup=False, soft_wrap=True)
    for line in left_out(recording):
        console.print(line, markup=False, soft_wrap=True)
    frame = "1 frame" if frames == 1 else f"{frames:,} frames"
    share = written / recording.signal.nbytes
    console.print(
        f"{output}: {frame} of {duration(samples / recording.sampling_rate)}, version {version}, {size(written)} "
        f"({share:.0%} of the samples as bare {recording.signal.dtype})",
        markup=False,
        soft_wrap=True,
    )
