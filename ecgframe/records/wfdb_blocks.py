"""Samples of WFDB files, as signal(5) of the WFDB Applications Guide describes them, read block by block.

The wfdb library reads records with segments or skew as a whole, and does not know format 61.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from .wfdb_header import SignalLine

_AT_ONCE: Final = 1 << 18
"""Samples of all signals of a file that are read at a time."""

_KEPT: Final = 24 << 20
"""Bytes of samples that are kept, of all files."""

Octets = npt.NDArray[np.uint8]
Decoded = npt.NDArray[np.signedinteger[Any]]


def _of_dtype(dtype: str, zero: int = 0) -> Callable[[Octets], Decoded]:
    """Return a function that reads whole numbers, of which ``zero`` stands for 0."""

    def decode(octets: Octets) -> Decoded:
        counts = octets.view(dtype)
        return counts.astype(np.int32) - zero if zero else counts

    return decode


def _decode_24(octets: Octets) -> Decoded:
    low, middle, high = octets.reshape(-1, 3).T
    return low.astype(np.int32) | middle.astype(np.int32) << 8 | high.view(np.int8).astype(np.int32) << 16


def _decode_212(octets: Octets) -> Decoded:
    """Two samples of 12 bits in three bytes; the byte in the middle has the upper bits of both."""
    first, middle, second = octets.reshape(-1, 3).T.astype(np.int16)
    return _signed(np.stack([first | (middle & 0x0F) << 8, second | (middle & 0xF0) << 4], axis=1), 12)


def _decode_310(octets: Octets) -> Decoded:
    """Three samples of 10 bits in two words of 16 bits, whose upper five bits make the third sample."""
    first, second = octets.view("<u2").reshape(-1, 2).T.astype(np.int32)
    return _signed(np.stack([first >> 1, second >> 1, (first >> 11) | (second >> 11) << 5], axis=1), 10)


def _decode_311(octets: Octets) -> Decoded:
    """Three samples of 10 bits in a word of 32 bits, from the lowest bits on."""
    word = octets.view("<u4").astype(np.int64)
    return _signed(np.stack([word, word >> 10, word >> 20], axis=1), 10)


def _signed(counts: npt.NDArray[Any], bits: int) -> Decoded:
    """Return the lowest bits of each number as a signed number."""
    sign, mask = 1 << (bits - 1), (1 << bits) - 1
    signed: Decoded = ((counts & mask).astype(np.int16) ^ sign) - sign
    return signed.reshape(-1)


class Format(NamedTuple):
    """How a format stores samples.

    Attributes:
        nbytes: bytes of a group of samples.
        samples: samples of a group.
        partial: samples in the first bytes of a group, by the number of bytes.
        decode: returns the samples of whole groups.
    """

    nbytes: int
    samples: int
    partial: Sequence[int]
    decode: Callable[[Octets], Decoded]


FORMATS: Final[Mapping[str, Format]] = {
    "16": Format(2, 1, (0, 0), _of_dtype("<i2")),
    "24": Format(3, 1, (0, 0, 0), _decode_24),
    "32": Format(4, 1, (0, 0, 0, 0), _of_dtype("<i4")),
    "61": Format(2, 1, (0, 0), _of_dtype(">i2")),
    "80": Format(1, 1, (0,), _of_dtype("u1", 1 << 7)),
    "160": Format(2, 1, (0, 0), _of_dtype("<u2", 1 << 15)),
    "212": Format(3, 2, (0, 0, 1), _decode_212),
    "310": Format(4, 3, (0, 0, 1, 1), _decode_310),
    "311": Format(4, 3, (0, 0, 1, 2), _decode_311),
}
"""Formats that are read here; the wfdb library reads the others."""


class Blocks:
    """The blocks of files that were read last, as [samples of a frame, frames], and the sums of all that were read.

    Attributes:
        totals: sums of signals that are not read in blocks, by the path of the header and the number of the signal.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[SampleFile, int], Decoded] = OrderedDict()
        self._nbytes = 0
        self.totals: dict[tuple[Path, int], int] = {}
        self._sums: dict[SampleFile, npt.NDArray[np.int64]] = {}
        self._seen: dict[SampleFile, set[int]] = {}
        self._whole: dict[SampleFile, npt.NDArray[np.int64]] = {}

    def block(self, file: SampleFile, number: int) -> Decoded:
        """Return a block of a file.

        Raises:
            OSError: the file cannot be read.
        """
        key = file, number
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        found = file.read(number * file.block_frames, (number + 1) * file.block_frames)
        self._add(file, number, found)
        self._nbytes += found.nbytes
        while self._kept and self._nbytes > _KEPT:
            self._nbytes -= self._kept.popitem(last=False)[1].nbytes
        self._kept[key] = found
        return found

    def _add(self, file: SampleFile, number: int, block: Decoded) -> None:
        """Add the samples of a block to the sums of their file."""
        seen = self._seen.setdefault(file, set())
        if number not in seen:
            seen.add(number)
            announced = max(file.announced - number * file.block_frames, 0)
            sums = self._sums.setdefault(file, np.zeros(file.width, np.int64))
            sums += block[:, :announced].sum(axis=1, dtype=np.int64)

    def keep_sums(self, file: SampleFile, sums: npt.NDArray[np.int64]) -> None:
        """Keep the sums of the announced samples of a file that is not read in blocks."""
        self._whole[file] = sums

    def sums(self, file: SampleFile) -> npt.NDArray[np.int64] | None:
        """Return the sums of the announced samples modulo 2**16, one for each of a frame; None if not all were read."""
        if file in self._whole:
            return self._whole[file]
        blocks = -(-file.announced // file.block_frames)
        return self._sums[file] if len(self._seen.get(file, ())) >= blocks > 0 else None


@dataclass(frozen=True, slots=True)
class SampleFile:
    """A file with the samples of one or several signals.

    Attributes:
        path: the file.
        form: its format.
        width: samples of all signals in a frame.
        offset: bytes before the first sample.
        frames: complete frames in the file.
        announced: frames that the header announces.
    """

    path: Path
    form: Format
    width: int
    offset: int
    frames: int
    announced: int

    @property
    def block_frames(self) -> int:
        """Frames of a block."""
        return max(_AT_ONCE // self.width, 1)

    def read(self, start: int, stop: int) -> Decoded:
        """Return frames ``start`` to ``stop``, as far as the file has them, as [samples of a frame, frames].

        Raises:
            OSError: the file cannot be read.
        """
        return np.ascontiguousarray(self.stored(start, stop).T)

    def stored(self, start: int, stop: int) -> Decoded:
        """Return the same in the order in which it is stored, [frames, samples of a frame], contiguous."""
        stop = min(stop, self.frames)
        first, last = start * self.width // self.form.samples, -(-stop * self.width // self.form.samples)
        nbytes = (last - first) * self.form.nbytes
        with self.path.open("rb") as file:
            file.seek(self.offset + first * self.form.nbytes)
            octets = np.frombuffer(file.read(nbytes).ljust(nbytes, b"\0"), np.uint8)
        begin = start * self.width - first * self.form.samples
        counts = self.form.decode(octets)[begin : begin + (stop - start) * self.width]
        return np.ascontiguousarray(counts.reshape(-1, self.width), counts.dtype.newbyteorder("="))


def sample_file(folder: Path, signals: Sequence[SignalLine], announced: int | None) -> SampleFile:
    """Open the file of these signals, which are all that it has.

    Args:
        folder: the folder of the header.
        signals: the signals.
        announced: frames that the header announces; None for all of the file.

    Raises:
        ValueError: they have different formats.
        OSError: the file is not there.
    """
    name, form = signals[0].file, FORMATS[signals[0].format]
    if any(signal.format != signals[0].format for signal in signals):
        raise ValueError(f"{name} is said to hold samples of several formats")
    path, offset, width = folder / name, signals[0].offset, sum(signal.per_frame for signal in signals)
    groups, rest = divmod(max(path.stat().st_size - offset, 0), form.nbytes)
    frames = (groups * form.samples + form.partial[rest]) // width
    return SampleFile(path, form, width, offset, frames, frames if announced is None else announced)


def sums_of_frames(stored: Decoded) -> npt.NDArray[np.int64]:
    """Return the sum of the samples in each place of a frame, modulo 2**16, as checksums are.

    Args:
        stored: samples [frames, places], contiguous.
    """
    size = stored.dtype.itemsize
    unsigned, native = stored.view(f"{stored.dtype.byteorder}u{size}"), np.dtype(f"u{size}")
    frames, width = unsigned.shape
    together = max(frames // 64, 1)  # many short rows are added more slowly than few long ones
    whole = frames // together * together
    rows = unsigned[:whole].reshape(-1, together * width).sum(axis=0, dtype=native)
    sums: npt.NDArray[Any] = rows.reshape(-1, width).sum(axis=0, dtype=native)
    sums += unsigned[whole:].sum(axis=0, dtype=native)
    modulo: npt.NDArray[np.int64] = sums.astype(np.int64) & 0xFFFF
    return modulo


class SignalCounts:
    """The counts of one signal, read when they are asked for. What a skew leaves over at the end is missing.

    Args:
        blocks: the blocks that were read last.
        file: the file of the signal.
        column: the samples of a frame before those of this signal.
        line: its line of the header.
        frames: number of frames.
        mark: count of missing samples, the least that the format has.
    """

    def __init__(self, blocks: Blocks, file: SampleFile, column: int, line: SignalLine, frames: int, mark: int) -> None:
        self._blocks = blocks
        self.file = file
        self.column = column
        self.line = line
        self._frames = frames
        self.mark = mark
        self._last: tuple[int, int, npt.NDArray[Any]] | None = (
            None  # asked for twice: the counts, and which are missing
        )

    def __len__(self) -> int:
        return self._frames * self.line.per_frame

    def __getitem__(self, place: slice, /) -> npt.NDArray[Any]:
        start, stop, _ = place.indices(len(self))
        if self._last is None or self._last[:2] != (start, stop):
            self._last = start, stop, self._read(start, stop)
        return self._last[2]

    def _read(self, start: int, stop: int) -> npt.NDArray[Any]:
        each, late = self.line.per_frame, self.line.skew
        first, last = start // each + late, -(-stop // each) + late
        size = self.file.block_frames
        parts = []
        for number in range(first // size, -(-min(last, self.file.frames) // size)):
            block = self._blocks.block(self.file, number)[self.column : self.column + each]
            parts.append(block[:, max(first - number * size, 0) : last - number * size].T.reshape(-1))
        counts = np.concatenate(parts) if len(parts) > 1 else parts[0] if parts else np.empty(0, np.int32)
        lacking = max((last - first) * each - len(counts), 0)
        if lacking:
            counts = np.append(counts, np.full(lacking, self.mark, counts.dtype))
        begin = start - start // each * each
        return counts[begin : begin + max(stop - start, 0)]
