"""Samples of WFDB records that the wfdb library reads, block by block."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .wfdb_header import Header

FORMATS: Final = frozenset({"16", "24", "32", "80", "212"})
"""Formats that the library reads from any sample on."""

_AT_ONCE: Final = 1 << 21
"""Samples of all signals that are read at a time."""


class Blocks:
    """The samples of a record without segments, of which the last two blocks are kept.

    Args:
        wfdb: the library.
        name: path of the record, without suffix.
        header: its header, which states the number of frames.
    """

    def __init__(self, wfdb: Any, name: Path, header: Header) -> None:
        self.header = header
        self._wfdb = wfdb
        self._name = name
        self._each = max(_AT_ONCE // sum(signal.per_frame for signal in header.signals), 1)
        self._kept: dict[int, list[npt.NDArray[Any]]] = {}

    def counts(self, signal: int, start: int, stop: int) -> npt.NDArray[Any]:
        """Return samples ``start`` to ``stop`` of a signal.

        Raises:
            Exception: the file is damaged or too short.
        """
        each = self._each * self.header.signals[signal].per_frame
        parts = []
        while start < stop:
            block, begin = start // each, start // each * each
            parts.append(self._block(block)[signal][start - begin : stop - begin])
            start = begin + each
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def _block(self, number: int) -> list[npt.NDArray[Any]]:
        if number not in self._kept:
            first = number * self._each
            last = min(first + self._each, self.header.frames or 0)
            # smooth_frames would average a signal with several samples per frame
            read = self._wfdb.rdrecord(
                str(self._name), sampfrom=first, sampto=last, physical=False, smooth_frames=False
            ).e_d_signal
            for counts, signal in zip(read, self.header.signals, strict=True):
                if len(counts) != (last - first) * signal.per_frame:
                    raise ValueError(f"{signal.file} holds fewer than {last} frames; is it cut short?")
            self._kept = {**dict(list(self._kept.items())[-1:]), number: read}
        return self._kept[number]


class BlockCounts:
    """The counts of one signal, read when they are asked for."""

    def __init__(self, blocks: Blocks, signal: int) -> None:
        self._blocks = blocks
        self._signal = signal

    def __len__(self) -> int:
        return (self._blocks.header.frames or 0) * self._blocks.header.signals[self._signal].per_frame

    def __getitem__(self, place: slice, /) -> npt.NDArray[Any]:
        start, stop, _ = place.indices(len(self))
        return self._blocks.counts(self._signal, start, stop)
