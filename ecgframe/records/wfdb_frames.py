"""Signals of WFDB files read together, frame by frame as they are stored.

Read signal by signal, the samples of a long record would be transposed twice: from frames to signals, and back to the
order in which ``SampleBuffer`` keeps them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .channels import Block, Counts
from .record import PORTION
from .wfdb_blocks import Blocks, Decoded, SampleFile, SignalCounts, sums_of_frames
from .wfdb_segments import JoinedCounts


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Signals of one file, from its first frame on.

    Attributes:
        begin: position of the first frame in the record.
        frames: number of frames; the file may have more.
        file: the file.
        columns: for each signal, its place in a frame.
        skews: for each signal, how many frames later it is stored than it was measured.
        mark: count of missing samples.
    """

    begin: int
    frames: int
    file: SampleFile
    columns: tuple[int, ...]
    skews: tuple[int, ...]
    mark: int

    def blocks(self, kept: Blocks) -> Iterator[Block]:
        """Yield all frames; then keep the sums of the file."""
        sums = np.zeros(self.file.width, np.int64)
        for start in range(0, self.frames, self.file.block_frames):
            samples = min(self.file.block_frames, self.frames - start)
            stored = self.file.stored(start, start + samples + max(self.skews))
            sums += sums_of_frames(stored[:samples])
            yield Block(self._of_signals(stored, samples), self.mark)
        kept.keep_sums(self.file, sums)

    def _of_signals(self, stored: Decoded, samples: int) -> Decoded:
        """Return the samples of the signals, [samples, signals]. What a skew leaves over at the end is missing."""
        if not any(self.skews):
            is_whole = self.columns == tuple(range(self.file.width))
            return stored[:samples] if is_whole else stored[:samples, self.columns]
        moved = np.empty((samples, len(self.columns)), stored.dtype)
        for number, (column, skew) in enumerate(zip(self.columns, self.skews, strict=True)):
            there = stored[skew : skew + samples, column]
            moved[: len(there), number] = there
            moved[len(there) :, number] = self.mark
        return moved


@dataclass(frozen=True, slots=True)
class Frames:
    """Signals that are stored in the same files, with as many samples each.

    Attributes:
        stretches: the files, in the order of their times. Between them, and after the last one, samples are missing.
        signals: number of signals.
        samples: number of samples of each signal.
    """

    stretches: Sequence[_Stretch]
    signals: int
    samples: int

    def blocks(self, kept: Blocks) -> Iterator[Block]:
        """Yield all samples, from the first to the last.

        Raises:
            OSError: a file cannot be read.
        """
        end = 0
        for stretch in self.stretches:
            yield from self._gap(end, stretch.begin)
            yield from stretch.blocks(kept)
            end = stretch.begin + stretch.frames
        yield from self._gap(end, self.samples)

    def _gap(self, begin: int, end: int) -> Iterator[Block]:
        for start in range(begin, end, PORTION):
            yield Block(np.zeros((min(PORTION, end - start), self.signals), np.int16), 0)


def frames_of(counts: Sequence[Counts]) -> Frames | None:
    """Return signals as they are stored; None if they are not stored together, or not as counts of the record.

    Args:
        counts: the counts of each signal of the record.
    """
    joined = [one for one in counts if isinstance(one, JoinedCounts)]
    if not joined:
        stretch = _stretch(0, len(counts[0]), counts)
        return None if stretch is None else Frames([stretch], len(counts), stretch.frames)
    pieces = [one.pieces for one in joined]
    if len(joined) < len(counts) or len({(len(one), len(own)) for one, own in zip(joined, pieces, strict=True)}) > 1:
        return None
    stretches = []
    for together in zip(*pieces, strict=True):
        first = together[0]
        if any((one.begin, one.end, one.baseline, one.factor) != (first.begin, first.end, 0, 1) for one in together):
            return None
        stretch = _stretch(first.begin, first.end - first.begin, [one.counts for one in together])
        if stretch is None:
            return None
        stretches.append(stretch)
    return Frames(stretches, len(counts), len(joined[0]))


def _stretch(begin: int, frames: int, counts: Sequence[Counts]) -> _Stretch | None:
    signals = [one for one in counts if isinstance(one, SignalCounts)]
    if len(signals) < len(counts) or any(one.line.per_frame > 1 or len(one) != frames for one in signals):
        return None
    first = signals[0]
    columns, skews = tuple(one.column for one in signals), tuple(one.line.skew for one in signals)
    if any((one.file, one.mark) != (first.file, first.mark) for one in signals) or max(skews) > first.file.block_frames:
        return None
    return _Stretch(begin, frames, first.file, columns, skews, first.mark)
