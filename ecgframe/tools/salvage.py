"""Reading the valid frames of a damaged file as a recording, with missing samples in place of broken frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..codec import Message
from ..errors import ProtocolError
from ..frame_file import FIRST_DATE, FrameFault, FrameFile, FrameFileError, Joining, pause
from ..messages.times import unix_seconds
from ..records import Record
from ..records.bounds import most_bytes
from ..records.mapped import Reading
from ..records.record import PORTION, marks_to_try, with_missing
from .frame_stream import FrameStream, Stretch

PROBLEMS_SHOWN: Final = 20
"""Broken places that are described one by one; the rest are counted."""


@dataclass(slots=True)
class Losses:
    """What is missing from the recording of a damaged file.

    Attributes:
        frames: number of broken frames, of stretches that are not frames, and of frames that do not belong to the
            recording.
        nbytes: bytes of all these.
        problems: descriptions of the first ones.
        missing: number of samples of each lead that are known to be missing.
        gaps: the first gaps, as pairs of start and duration in seconds.
        stretches: number of gaps.
        unplaced: number of broken places where the number of missing samples is unknown. The samples after such a
            place are too early in the recording.
        is_cut: whether the end of the file is broken, so that the number of samples after it is unknown.
        fill: the value of missing samples in the recording.
    """

    frames: int = 0
    nbytes: int = 0
    problems: list[str] = field(default_factory=list)
    missing: int = 0
    gaps: list[tuple[float, float]] = field(default_factory=list)
    stretches: int = 0
    unplaced: int = 0
    is_cut: bool = False
    fill: float = np.nan

    def __bool__(self) -> bool:
        return bool(self.frames or self.missing or self.unplaced or self.is_cut)

    def note(self, offset: int, nbytes: int, problem: str) -> None:
        """Count a broken place."""
        self.frames += 1
        self.nbytes += nbytes
        if len(self.problems) < PROBLEMS_SHOWN:
            self.problems.append(f"byte {offset:,}: {problem}")


@dataclass(frozen=True, eq=False, slots=True)
class Salvaged:
    """The recording of a damaged file.

    Attributes:
        found: the recording; ``found.record.is_missing()`` shows which samples are missing.
        losses: what could not be read.
    """

    found: FrameFile
    losses: Losses


def read_damaged(
    path: Path, watch: Callable[[Iterator[Stretch]], Iterable[Stretch]] = iter, *, max_bytes: int | None = None
) -> Salvaged:
    """Read the recording in a file of frames, some of which are broken or missing.

    Sequence numbers and timestamps show how many samples were in missing frames. These become missing samples: NaN for
    floats; for integers, the count that the frames declare as missing, or else one that no sample has
    (``Record.missing``).

    Args:
        path: the file.
        watch: wraps the iterator of frames, valid and broken, for progress.
        max_bytes: limit of the samples in bytes, missing ones included; see ``read_frames``.

    Raises:
        FrameFileError: the file has no valid frame.
        OSError: the file cannot be read.
    """
    salvage = _Salvage(Joining(path, max_bytes or most_bytes(path.stat().st_size)))
    with path.open("rb", buffering=0) as file:
        stream = FrameStream(file)
        for stretch in watch(stream.stretches()):
            salvage.take(stretch)
    return salvage.finish(stream)


class _Salvage:
    """Joins the frames of a damaged recording, each at its position."""

    def __init__(self, joining: Joining) -> None:
        self._joining = joining
        self._losses = Losses()
        self._missing: list[tuple[int, int]] = []
        self._is_broken_before = False
        self._next_sequence: int | None = None
        self._samples = 0  # samples of the previous frame
        self._ends: float | None = None  # end of the previous frame, by its timestamp

    def take(self, stretch: Stretch) -> None:
        """Take the next frame, or the bytes between two frames."""
        if stretch.header is None:
            self._lose(stretch, str(stretch.error))
            return
        try:
            message = self._joining.decode(stretch.octets, stretch.header)
            if not self._joining.note(message):
                self._place(message)
        except (ProtocolError, FrameFault) as error:
            self._lose(stretch, str(error))

    def finish(self, stream: FrameStream) -> Salvaged:
        """Return the recording at the end of the file."""
        losses = self._losses
        if self._joining.buffer is None:
            first = losses.problems[0] if losses.problems else "it is empty"
            raise FrameFileError(f"{self._joining.path}: no valid frame in it; {first}", frame=0, offset=0)
        losses.is_cut = self._is_broken_before or stream.gave_up
        found = self._joining.whole()
        record = self._marked(found.record)
        losses.fill = np.nan if record.missing is None else record.missing
        losses.stretches = len(self._missing)
        rate = record.sampling_rate
        if self._missing and self._missing[0][0] == 0:
            late = self._missing[0][1] / rate
            if record.start is not None:
                record = replace(record, start=record.start - timedelta(seconds=late))
            notes = tuple(note._replace(time=note.time + late) for note in record.annotations)
            record = replace(record, annotations=notes)
        losses.missing = sum(stop - start for start, stop in self._missing)
        losses.gaps = [(start / rate, (stop - start) / rate) for start, stop in self._missing[:PROBLEMS_SHOWN]]
        return Salvaged(replace(found, record=record), losses)

    def _marked(self, record: Record) -> Record:
        """Return the recording with its missing samples marked by a count that no sample has."""
        if not self._missing or not record.is_counts:
            return record
        signal = record.signal
        mark = record.missing  # no other sample has it
        if mark is None:
            mark = next((mark for mark in marks_to_try(None, signal.dtype) if not self._occurs(mark, signal)), None)
        if mark is None:  # all counts occur: use a wider dtype
            is_missing = np.zeros(signal.shape, np.bool_)
            for start, stop in self._missing:
                is_missing[:, start:stop] = True
            signal, wider = with_missing(signal, is_missing)
            return replace(record, signal=signal, missing=wider)
        for start, stop in self._missing:
            signal[:, start:stop] = mark
        return replace(record, missing=mark)

    def _occurs(self, mark: int, signal: npt.NDArray[Any]) -> bool:
        """Return True if a sample that is not missing has this count."""
        reading, begin = Reading(signal), 0
        for start, stop in (*self._missing, (signal.shape[1], 0)):
            for first in range(begin, start, PORTION):
                if (reading.samples(first, min(first + PORTION, start)) == mark).any():
                    return True
            begin = stop
        return False

    def _lose(self, stretch: Stretch, problem: str) -> None:
        self._losses.note(stretch.offset, stretch.nbytes, problem)
        self._is_broken_before = True

    def _place(self, message: Message) -> None:
        """Append the samples of a frame, after the samples that are missing before it."""
        signal = np.atleast_2d(message.data["signal"])
        samples, rate = signal.shape[-1], message.data["sampling_rate"]
        sequence, time = message.data.get("sequence"), unix_seconds(message.data.get("timestamp"))
        if sequence is not None and self._next_sequence is not None and sequence < self._next_sequence:
            raise FrameFault(f"its sequence number is {sequence}, where {self._next_sequence} comes next")
        missing = self._missing_before(sequence, time, samples, rate)
        if missing:
            self._check_room(missing, signal)
        is_first = self._joining.buffer is None
        if is_first and missing:  # this frame determines the leads and the dtype of the missing samples
            self._joining.begin(signal)
        start = self._joining.buffer.samples if self._joining.buffer else 0
        if not is_first or not missing:
            self._joining.check(message)
        if missing:
            assert self._joining.buffer is not None
            self._joining.buffer.add_missing(missing, _fill(self._joining.buffer.dtype))
            self._missing.append((start, start + missing))
        elif self._is_broken_before:
            self._losses.unplaced += 1
        self._joining.join(message)
        self._is_broken_before = False
        self._samples = samples
        self._next_sequence = None if sequence is None else sequence + 1
        self._ends = None if time is None else time + samples / rate

    def _missing_before(self, sequence: int | None, time: float | None, samples: int, rate: float) -> int:
        """Return the number of samples missing between the previous frame and this one; 0 if none, or unknown."""
        by_time = None if time is None or self._ends is None else round((time - self._ends) * rate)
        if self._joining.buffer is None:
            return self._missing_at_first(sequence or 0, time, samples, rate)
        if sequence is not None and self._next_sequence is not None:
            frames, each = sequence - self._next_sequence, self._samples
        else:
            is_gap = self._is_broken_before or (by_time or 0) > pause(samples, rate, is_numbered=False)
            return max(by_time or 0, 0) if is_gap else 0
        if not frames and by_time is not None and by_time > pause(samples, rate, is_numbered=True):
            return by_time
        if frames and by_time is not None and abs(by_time - frames * each) <= each:
            return by_time
        return frames * each

    def _missing_at_first(self, sequence: int, time: float | None, samples: int, rate: float) -> int:
        """Return the number of samples missing before the first valid frame; 0 for a stream that was joined later."""
        by_time = None if time is None or time >= FIRST_DATE else round(time * rate)
        if by_time is None:
            return sequence * samples if self._is_broken_before else 0
        return by_time if sequence and abs(by_time - sequence * samples) <= samples else 0

    def _check_room(self, missing: int, signal: Any) -> None:
        nbytes = missing * len(signal) * signal.dtype.itemsize
        held = self._joining.buffer.nbytes if self._joining.buffer else 0
        if held + nbytes + signal.nbytes > self._joining.max_bytes:
            raise FrameFault(f"by its number {missing:,} samples are missing before it, which is not believed")


def _fill(dtype: np.dtype[Any]) -> Any:
    """Return the provisional value of missing samples."""
    return np.nan if dtype.kind == "f" else 0
