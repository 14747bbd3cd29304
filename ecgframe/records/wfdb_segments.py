"""One signal across the segments of a WFDB record, read on demand."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .channels import Counts


@dataclass(frozen=True, eq=False, slots=True)
class Piece:
    """The samples of one segment.

    Attributes:
        begin: position of the first sample in the record.
        end: position after the last one.
        counts: the counts, at least ``end - begin``.
        is_missing: which of them are missing; None if none is.
        baseline: count of 0 units, which becomes 0; 0 to leave the counts as they are.
        factor: counts of the record for one count of the segment.
    """

    begin: int
    end: int
    counts: Counts
    is_missing: Counts | None
    baseline: int
    factor: int

    def scaled(self, part: slice) -> npt.NDArray[Any]:
        """Return some of the samples as counts of the record."""
        counts = self.counts[part]
        if self.factor == 1 and not self.baseline:
            return counts
        scaled: npt.NDArray[np.int64] = (counts.astype(np.int64) - self.baseline) * self.factor
        return scaled


class _Joined:
    """Pieces in the order of their times, and gaps between them.

    Args:
        pieces: the pieces.
        samples: number of samples, gaps included.
    """

    def __init__(self, pieces: Sequence[Piece], samples: int) -> None:
        self._pieces = pieces
        self._begins = [piece.begin for piece in pieces]
        self._samples = samples

    @property
    def pieces(self) -> Sequence[Piece]:
        """The pieces."""
        return self._pieces

    def __len__(self) -> int:
        return self._samples

    def _within(self, start: int, stop: int) -> Iterator[tuple[Piece, slice, slice]]:
        """Yield the pieces between two samples, each with its slice of that range, and the slice of its own samples."""
        for number in range(max(bisect_right(self._begins, start) - 1, 0), bisect_left(self._begins, stop)):
            piece = self._pieces[number]
            first, last = max(piece.begin, start), min(piece.end, stop)
            if first < last:
                yield piece, slice(first - start, last - start), slice(first - piece.begin, last - piece.begin)


class JoinedCounts(_Joined):
    """The counts of all pieces, and 0 in gaps."""

    def __getitem__(self, part: slice, /) -> npt.NDArray[Any]:
        start, stop, _ = part.indices(len(self))
        found = [(target, piece.scaled(source)) for piece, target, source in self._within(start, stop)]
        if len(found) == 1 and len(found[0][1]) == stop - start:
            return found[0][1]
        joined = np.zeros(max(stop - start, 0), np.int64)
        for target, counts in found:
            joined[target] = counts
        return joined


class JoinedMissing(_Joined):
    """Which samples are missing: those of gaps, and those that are missing in a piece."""

    def __getitem__(self, part: slice, /) -> npt.NDArray[np.bool_]:
        start, stop, _ = part.indices(len(self))
        joined = np.ones(max(stop - start, 0), np.bool_)
        for piece, target, source in self._within(start, stop):
            joined[target] = False if piece.is_missing is None else piece.is_missing[source]
        return joined
