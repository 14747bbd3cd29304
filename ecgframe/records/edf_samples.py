"""Samples in the data records of EDF and BDF files, which are read when they are asked for.

A data record has all samples of the first signal, then those of the second, and so on. The edfio library reads all data
records of a BDF file at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .channels import Counts
from .edf_header import EdfHeader
from .mapped import Reading, mapped

_AT_ONCE: Final = 1 << 20
"""Bytes of data records whose annotations are read at a time."""


class DataRecords:
    """The data records of a file.

    Args:
        path: the file.
        header: its header.

    Raises:
        OSError: the file cannot be read.
    """

    def __init__(self, path: Path, header: EdfHeader) -> None:
        self.header = header
        begin, size = len(header.raw), header.records * header.record_bytes
        with path.open("rb") as file:
            octets = mapped(file, np.uint8, (header.records, header.record_bytes), begin)
            file.seek(begin + size)
            self.cut = file.read(header.left_over)
        self._reading = Reading(octets.T)
        ends = np.cumsum(header.samples).tolist()
        self._places = [
            slice((end - count) * header.width, end * header.width)
            for end, count in zip(ends, header.samples, strict=True)
        ]

    def octets(self, number: int, first: int, last: int) -> npt.NDArray[np.uint8]:
        """Return the bytes of a signal in complete data records ``first`` to ``last``, [records, bytes]."""
        octets: npt.NDArray[np.uint8] = self._reading.samples(first, last)[self._places[number]].T
        return octets

    def cut_octets(self, number: int) -> bytes:
        """Return the bytes of whole samples of a signal in the incomplete last data record."""
        octets = self.cut[self._places[number]]
        return octets[: len(octets) // self.header.width * self.header.width]

    def signals(self, numbers: Sequence[int]) -> Iterator[npt.NDArray[np.int16]]:
        """Yield the samples of neighbouring signals of EDF in blocks, [signals, samples]. All have the same rate.

        This takes a third of the time of reading one signal after the other.
        """
        each = self.header.samples[numbers[0]]
        place = slice(self._places[numbers[0]].start, self._places[numbers[-1]].stop)
        step = max(_AT_ONCE // self.header.record_bytes, 1)
        for first in range(0, self.header.records, step):
            octets = self._reading.samples(first, min(first + step, self.header.records)).T
            counts = octets.view("<i2")[:, place.start // 2 : place.stop // 2].reshape(-1, len(numbers), each)
            yield np.ascontiguousarray(counts.transpose(0, 2, 1), np.int16).reshape(-1, len(numbers)).T

    def annotations(self) -> Iterator[list[bytes]]:
        """Yield the bytes of each annotation signal, for each data record, an incomplete one included."""
        if not (numbers := self.header.annotations):
            return
        step = max(_AT_ONCE // self.header.record_bytes, 1)
        for first in range(0, self.header.records, step):
            blocks = [self.octets(number, first, min(first + step, self.header.records)) for number in numbers]
            for signals in zip(*blocks, strict=True):
                yield [octets.tobytes() for octets in signals]
        if self.cut:
            yield [self.cut[self._places[number]] for number in numbers]


class StoredCounts:
    """The counts of one signal, without gaps.

    Args:
        records: the data records.
        number: number of the signal.
    """

    def __init__(self, records: DataRecords, number: int) -> None:
        self._records = records
        self._number = number
        self._each = records.header.samples[number]
        self._whole = records.header.records
        self._cut = self._counts(np.frombuffer(records.cut_octets(number), np.uint8))

    def __len__(self) -> int:
        return self._whole * self._each + len(self._cut)

    def __getitem__(self, place: slice, /) -> npt.NDArray[Any]:
        start, stop, _ = place.indices(len(self))
        if start >= stop:
            return np.empty(0, np.int32)
        first, last = start // self._each, -(-stop // self._each)
        counts = self._counts(self._records.octets(self._number, first, min(last, self._whole)).reshape(-1))
        if last > self._whole:
            counts = np.concatenate([counts, self._cut])
        return counts[start - first * self._each : stop - first * self._each]

    def _counts(self, octets: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        if self._records.header.width == 2:
            return octets.view("<i2")
        low, middle, high = octets.reshape(-1, 3).T
        return low.astype(np.int32) | middle.astype(np.int32) << 8 | high.view(np.int8).astype(np.int32) << 16


class LaidOut:
    """Counts with gaps between data records.

    Args:
        counts: the counts of a signal, without gaps.
        places: the first sample of each data record in the recording.
        each: samples of a data record.
        fill: count in gaps.
    """

    def __init__(self, counts: Counts, places: npt.NDArray[np.int64], each: int, fill: Any) -> None:
        self._counts = counts
        self._places = places
        self._each = each
        self._fill = fill

    def __len__(self) -> int:
        return int(self._places[-1]) + self._each

    def __getitem__(self, place: slice, /) -> npt.NDArray[Any]:
        start, stop, _ = place.indices(len(self))
        first = max(int(np.searchsorted(self._places, start, "right")) - 1, 0)
        last = int(np.searchsorted(self._places, stop, "left"))
        counts = self._counts[first * self._each : last * self._each]
        laid = np.full(max(stop - start, 0), self._fill, counts.dtype)
        for number, begin in enumerate(self._places[first:last].tolist()):
            record = counts[number * self._each : (number + 1) * self._each]
            low, high = max(start, begin), min(stop, begin + len(record))
            if low < high:
                laid[low - start : high - start] = record[low - begin : high - begin]
        return laid


class Extended:
    """Counts and, after them, ``fill`` up to a length."""

    def __init__(self, counts: Counts, length: int, fill: Any) -> None:
        self._counts = counts
        self._length = length
        self._fill = fill

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, place: slice, /) -> npt.NDArray[Any]:
        start, stop, _ = place.indices(self._length)
        counts = self._counts[start:stop]
        more = np.full(max(stop - start, 0) - len(counts), self._fill, counts.dtype)
        return np.concatenate([counts, more]) if len(more) else counts
