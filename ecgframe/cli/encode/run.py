"""Encoding a recording as a file of frames, and saying what was written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ...codec import Codec, NdarrayForm
from ...compression import Compression
from ...errors import MessageTooLarge
from ...frame_file import annotation_messages, annotations_not_kept, ecg_messages, samples_per_frame, write_frames
from ...plural import counted
from ...records import Record, RecordError
from ...records.files import files_of
from ...records.read import CsvOptions
from ..console import Terminal
from ..formats import duration, size
from ..overwriting import refuse_to_overwrite
from ..progress import progress
from ..recordings import describe, recording_of, remarks_on
from ..redirection import output_file
from ..standard_streams import STDOUT, STREAM, name_of, refuse_a_terminal


def encode_recording(
    source: Path,
    output: Path,
    *,
    version: int,
    frame_seconds: float,
    compress: bool,
    ndarray: NdarrayForm,
    annotations: bool,
    validate: bool,
    stream: str | None,
    sampling_rate: float | None,
    leads: str | None,
    csv: CsvOptions,
    overwrite: bool,
) -> None:
    """Encode a recording. The arguments are those of the command, or what they name.

    Raises:
        typer.BadParameter: the output is a terminal, or a file that may not be written.
        RecordError, FrameFileError, ToolError: the recording cannot be read, or a frame would be too large.
        ProtocolError: a message has an invalid field.
        OSError: a file cannot be read or written.
    """
    if output == STREAM:
        refuse_a_terminal("frames", "name a file, or a program that takes them: -o - | ecgframe inspect -")
    else:
        refuse_to_overwrite(output, overwrite, files_of(source))
    written_to = name_of(output, STDOUT)
    codec = Codec(
        version=version,
        compression=Compression() if compress else None,
        ndarray=ndarray,
        validate=validate,
    )
    recording = recording_of(source, sampling_rate, leads, csv, stream)
    samples = samples_per_frame(recording, frame_seconds)
    frames = -(-recording.samples // samples)
    with progress("encoding") as track, output_file(output) as file:
        try:
            alerts = annotation_messages(recording) if annotations else ()
            written = write_frames(file, codec, track(ecg_messages(recording, samples), frames), alerts)
        except MessageTooLarge as error:
            raise RecordError(f"{written_to}: {error}; shorter frames are smaller (--frame-seconds)") from error
    console = Terminal(stderr=output == STREAM)
    console.say(f"{recording.source}: {describe(recording)}")
    for line in remarks_on(replace(recording, annotations=()) if annotations else recording):
        console.say(line)
    if recording.annotations and annotations:
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
