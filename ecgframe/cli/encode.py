"""``ecgframe encode``."""

# No ``from __future__ import annotations`` here: typer reads the annotations, as objects.

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..codec import Codec
from ..compression import Compression
from ..errors import MessageTooLarge
from ..frame_file import annotation_messages, annotations_not_kept, ecg_messages, samples_per_frame, write_frames
from ..plural import counted
from ..protocol import LATEST_VERSION, SESSION_VERSIONS
from ..records import Record, RecordError
from ..records.files import files_of
from ..records.read import CsvOptions
from .console import Terminal
from .standard_streams import STDOUT, STREAM, name_of, output_file, refuse_a_terminal
from .terminal import (
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
    duration,
    plain_errors,
    positive,
    progress,
    recording_of,
    refuse_to_overwrite,
    remarks_on,
    size,
)


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
        int, typer.Option(min=SESSION_VERSIONS[0], max=SESSION_VERSIONS[-1], help="Protocol version of the frames.")
    ] = LATEST_VERSION,
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
    if output == STREAM:
        refuse_a_terminal("frames", "name a file, or a program that takes them: -o - | ecgframe inspect -")
    else:
        refuse_to_overwrite(output, force, files_of(record))
    written_to = name_of(output, STDOUT)
    codec = Codec(
        version=version,
        compression=None if no_compression else Compression(),
        ndarray=ndarray.value,
        validate=validate,
    )
    csv = CsvOptions(decimal=decimal, time_column=time_column, units=units, gain=gain, baseline=baseline)
    with plain_errors():
        recording = recording_of(record, sampling_rate, leads, csv, stream)
        samples = samples_per_frame(recording, frame_seconds)
        frames = -(-recording.samples // samples)
        with progress("encoding") as track, output_file(output) as file:
            try:
                alerts = () if no_annotations else annotation_messages(recording)
                written = write_frames(file, codec, track(ecg_messages(recording, samples), frames), alerts)
            except MessageTooLarge as error:
                raise RecordError(f"{written_to}: {error}; shorter frames are smaller (--frame-seconds)") from error
    console = Terminal(stderr=output == STREAM)
    console.say(f"{recording.source}: {describe(recording)}")
    for line in remarks_on(recording if no_annotations else replace(recording, annotations=())):
        console.say(line)
    if recording.annotations and not no_annotations:
        console.say(_annotations_written(recording))
    frame = counted(frames, "frame")
    share = written / recording.signal.nbytes
    console.say(
        f"{written_to}: {frame} of {duration(samples / recording.sampling_rate)}, version {version}, {size(written)} "
        f"({share:.0%} of the samples as bare {recording.signal.dtype})"
    )


def _annotations_written(record: Record) -> str:
    not_kept = "; ".join(annotations_not_kept(record))
    return f"Annotations: {len(record.annotations):,}, as alerts{f'; {not_kept}' if not_kept else ''}"
