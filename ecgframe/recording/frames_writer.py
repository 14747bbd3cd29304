"""Writing a file of frames piece by piece, with the same methods as the writers of WFDB and EDF+."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from ..codec import Codec, Message
from ..frame_file import FIRST_DATE, annotation_alert, constant_fields
from ..messages.times import unix_seconds
from ..protocol import MessageType
from ..records import Annotation, Record
from ..records.new_files import NewFile
from ..records.scaling import Range

_CODEC: Final = Codec(ndarray="binary")
_MISSING_SECONDS: Final = 1.0
"""Duration of each frame that fills a gap, in seconds."""


class FramesWriter:
    """Writes a file of frames: one frame of ECG_DATA per piece, and the other messages as received.

    Args:
        path: the path, where nothing may exist.
        record: the beginning of the recording; the constructor writes none of it.
        reach: the range of its samples.

    Raises:
        OSError: the path exists, or the file cannot be created.
    """

    suffix: Final = ".frames"

    def __init__(self, path: Path, record: Record, reach: Range) -> None:
        self.samples = 0
        self._begin = 0.0 if record.start is None else unix_seconds(record.start) or 0.0
        self._dtype, mark = _dtype_and_mark(record, reach)
        self.record = replace(record, signal=record.signal.astype(self._dtype, copy=False), missing=mark)
        self._constant = constant_fields(self.record, calibrated=self.record.is_counts)
        self._sequence = 0
        self._file = NewFile(path)

    @property
    def files(self) -> tuple[Path, ...]:
        """The path of the file."""
        return (self._file.path,)

    @property
    def nbytes(self) -> int:
        """Size of the file in bytes."""
        return self._file.nbytes

    @property
    def is_full(self) -> bool:
        """False: a file of any size can be read."""
        return False

    def fits(self, reach: Range) -> bool:
        """Return True if the dtype of the file can hold samples of this range, none equal to the missing mark."""
        mark, ends = self.record.missing, [end for end in (*reach.low, *reach.high) if end is not None]
        if self._dtype.kind == "f":
            return True
        limits = np.iinfo(self._dtype)
        return mark not in ends and all(limits.min <= end <= limits.max for end in ends)

    def append(self, record: Record) -> None:
        """Append samples of the same leads. The caller has checked ``fits``."""
        signal = record.signal.astype(self._dtype, copy=False)
        if self.record.missing != record.missing and record.missing is not None:
            signal = np.where(record.is_missing(), self._dtype.type(self.record.missing), signal)
        self._append(signal)

    def append_missing(self, samples: int) -> None:
        """Append this number of missing samples to each lead."""
        most = max(round(_MISSING_SECONDS * self.record.sampling_rate), 1)
        fill = np.nan if self.record.missing is None else self.record.missing
        for start in range(0, samples, most):
            count = min(samples - start, most)
            self._append(np.full((len(self.record.leads), count), fill, self._dtype))

    def annotate(self, annotations: Iterable[Annotation]) -> None:
        """Append annotations, as alerts. Their times count in seconds from the first sample of the file."""
        for note in annotations:
            self.write_alert(note, annotation_alert(note, self._begin + note.time))

    def write_alert(self, note: Annotation, alert: Mapping[str, Any]) -> None:
        """Append an alert with all its fields. Its times are moved so that it stands at its place in the signal."""
        at = self._begin + note.time
        moved = {name: unix_seconds(alert.get(name)) for name in ("timestamp", "start", "end")}
        begins = moved["timestamp"] if moved["start"] is None else moved["start"]
        late = at - (begins or 0.0)
        times = {name: time + late for name, time in moved.items() if time is not None}
        frame = _CODEC.encode(MessageType.ANOMALY_ALERT, {**alert, **times}, timestamp=_microseconds(at))
        self._file.append(frame)

    def write_message(self, message: Message) -> None:
        """Append a message as it was received."""
        self._file.append(_CODEC.encode(message.type, message.data, timestamp=message.timestamp))

    def flush(self) -> None:
        """Do nothing: each frame is written when it is appended."""

    def close(self) -> tuple[str, ...]:
        """Close the file. Returns no remarks, as frames store everything exactly."""
        self._file.close()
        return ()

    def _append(self, signal: np.ndarray[Any, Any]) -> None:
        at = self._begin + self.samples / self.record.sampling_rate
        message = {"signal": signal, **self._constant, "sequence": self._sequence, "timestamp": at}
        self._file.append(_CODEC.encode(MessageType.ECG_DATA, message, timestamp=_microseconds(at)))
        self._sequence += 1
        self.samples += signal.shape[1]


def _microseconds(at: float) -> int | None:
    return round(at * 1e6) if at >= FIRST_DATE else None


def _dtype_and_mark(record: Record, reach: Range) -> tuple[np.dtype[Any], int | None]:
    """Choose the dtype of the file, and the count that marks missing samples; they are the same in all frames."""
    if not record.is_counts:
        return record.signal.dtype, None
    taken = {*reach.low, *reach.high}
    for dtype in (record.signal.dtype, np.dtype(np.int32), np.dtype(np.int64)):
        limits = np.iinfo(dtype)
        given = [] if record.missing is None else [record.missing]
        for mark in (*given, int(limits.max) if dtype.kind == "u" else int(limits.min)):
            if mark not in taken:
                return dtype, mark
    return record.signal.dtype, record.missing
