"""Recording a stream into memory instead of files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from ..records import Annotation, Record, RecordError
from ..records.record import mark_missing
from ..records.scaling import Range


@dataclass(slots=True)
class Room:
    """Bytes of samples that a recording may have.

    Attributes:
        left: how many more it may have.
        most: how many it may have in all, for the error.
    """

    left: int
    most: int

    def take(self, nbytes: int) -> None:
        """Count further samples.

        Raises:
            RecordError: they are too many.
        """
        self.left -= nbytes
        if self.left < 0:
            raise RecordError(
                f"with its gaps filled, the recording has more than {self.most:,} bytes of samples, "
                "which is more than a source of this size is believed to hold"
            )


class _Piece(NamedTuple):
    """Samples of a message, from the sample ``start`` of the part on."""

    start: int
    signal: npt.NDArray[Any]
    missing: int | None

    def part_of(self, whole: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the place of these samples in an array of the whole part, as a view."""
        return whole[:, self.start : self.start + self.signal.shape[1]]


class MemoryPart:
    """A part of a stream in memory, with the methods of the writers of files. Gaps take no memory until ``joined``.

    Args:
        record: the beginning of the part; the constructor keeps none of its samples.
        room: bytes that all parts may have together.
    """

    files: Final[tuple[Path, ...]] = ()

    def __init__(self, record: Record, room: Room) -> None:
        self.record = replace(record, signal=record.signal[:, :1].copy())
        self.samples = 0
        self.nbytes = 0
        self._room = room
        self._pieces: list[_Piece] = []
        self._annotations: list[Annotation] = []
        self._has_gaps = False

    def fits(self, reach: Range) -> bool:
        """Return True: samples of any range can be kept."""
        return True

    def append(self, record: Record) -> None:
        """Append samples of the same leads."""
        self._pieces.append(_Piece(self.samples, record.signal, record.missing))
        self._take(record.samples)

    def append_missing(self, samples: int) -> None:
        """Append this number of missing samples to each lead."""
        self._has_gaps = True
        self._take(samples)

    def annotate(self, annotations: Iterable[Annotation]) -> None:
        """Add annotations. Their times count in seconds from the first sample of the part."""
        self._annotations += annotations

    def flush(self) -> None:
        """Do nothing: there is no file."""

    def close(self) -> tuple[str, ...]:
        """Do nothing: there is no file."""
        return ()

    def joined(self) -> Record:
        """Return the part as a record; what is missing in it is marked as missing.

        Raises:
            RecordError: no dtype holds the integers of all its messages.
        """
        dtype = np.result_type(*{piece.signal.dtype for piece in self._pieces})
        is_counts = self.record.is_counts
        if is_counts and dtype.kind == "f":
            raise RecordError(f"{self.record.source}: its messages mix uint64 and signed integers")
        fill: Any = 0 if is_counts else np.nan
        signal: npt.NDArray[Any] = np.full((len(self.record.leads), self.samples), fill, dtype)
        for piece in self._pieces:
            piece.part_of(signal)[:] = piece.signal
        annotations = tuple(sorted(self._annotations, key=attrgetter("time")))
        record = replace(self.record, signal=signal, annotations=annotations)
        marks = {piece.missing for piece in self._pieces}
        if not is_counts or (not self._has_gaps and len(marks) == 1):
            return record
        is_missing = np.ones(signal.shape, np.bool_)
        for piece in self._pieces:
            piece.part_of(is_missing)[:] = False if piece.missing is None else piece.signal == piece.missing
        return mark_missing(record, is_missing)

    def _take(self, samples: int) -> None:
        nbytes = samples * len(self.record.leads) * self.record.signal.dtype.itemsize
        self._room.take(nbytes)
        self.nbytes += nbytes
        self.samples += samples


class MemoryParts:
    """Keeps a stream in memory: a new part begins where a file would.

    Args:
        max_bytes: bytes of samples that all parts may have together, missing samples included.

    Attributes:
        parts: the parts, in order.
    """

    form = "of arrays"
    part = "part"
    keeps_messages = False

    def __init__(self, max_bytes: int) -> None:
        self.parts: list[MemoryPart] = []
        self._room = Room(max_bytes, max_bytes)

    def open(self, record: Record, reach: Range) -> MemoryPart:
        """Begin the next part."""
        self.parts.append(MemoryPart(record, self._room))
        return self.parts[-1]
