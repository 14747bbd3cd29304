"""Large signals: arrays over the bytes of a file, of which only what is in use is in memory.

The operating system reads a mapped file page by page, and keeps pages until memory is short. To other programs, and to
limits on memory, they look like memory of this process. So code that reads a signal from its beginning to its end gives
back the pages on the way (``release``); they are read again if somebody needs them.
"""

from __future__ import annotations

import errno
import mmap
from math import prod
from typing import Any, BinaryIO, Final, Literal

import numpy as np
import numpy.typing as npt

LARGE: Final = 32 << 20
"""Bytes from which on a signal is mapped rather than kept in memory."""

HELD: Final = 32 << 20
"""Bytes that are read from a mapping before they are given back."""

_READ_AROUND: Final = 1 << 16
"""Bytes that Linux maps around a place that is read."""


class MappedFile(mmap.mmap):
    """A mapping that shares the pages of its file, so that giving them back loses nothing."""

    def release(self) -> None:
        """Give back the memory of what was read. Windows does so by itself."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self.madvise(mmap.MADV_DONTNEED)


def is_large(nbytes: int) -> bool:
    """Return whether a signal of this size is mapped rather than kept in memory."""
    return nbytes >= max(LARGE, 1)


def mapped(
    file: BinaryIO,
    dtype: npt.DTypeLike,
    shape: tuple[int, ...],
    offset: int = 0,
    *,
    order: Literal["C", "F"] = "C",
    is_writable: bool = False,
) -> npt.NDArray[Any]:
    """Return an array of what an open file holds. It stays valid when the file is closed.

    Args:
        file: the file.
        dtype: dtype of the array.
        shape: its shape.
        offset: bytes of the file before the first element.
        order: whether the last index ("C") or the first one ("F") varies fastest.
        is_writable: whether changes of the array change the file.

    Returns:
        The array. It is a copy in memory, and writable, below ``LARGE`` bytes or if the file cannot be mapped.

    Raises:
        ValueError: the file is too short.
        OSError: the file cannot be read or mapped.
    """
    kind = np.dtype(dtype)
    nbytes = prod(shape) * kind.itemsize
    if is_large(nbytes):
        access = mmap.ACCESS_WRITE if is_writable else mmap.ACCESS_READ
        try:
            mapping = MappedFile(file.fileno(), offset + nbytes, access=access)
        except OSError as error:
            if error.errno != errno.ENODEV:  # a file system on which files cannot be mapped
                raise
        else:
            return np.ndarray(shape, kind, mapping, offset, order=order)
    file.seek(offset)
    octets = bytearray(file.read(nbytes))
    if len(octets) < nbytes:
        raise ValueError(f"{len(octets):,} bytes where {nbytes:,} are announced")
    return np.ndarray(shape, kind, octets, order=order)


def release(array: npt.NDArray[Any]) -> None:
    """Give back the memory of what was read of a mapped array, and of all its views. Do nothing for other arrays."""
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, MappedFile):
        base.release()


class Reading:
    """Reads a signal in portions, and gives back the memory of what was read.

    Args:
        signal: samples of shape [leads, samples], mapped or not.
    """

    def __init__(self, signal: npt.NDArray[Any]) -> None:
        self.signal = signal
        self._read = 0

    def samples(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Return samples ``start`` to ``stop`` as a view, [leads, stop - start]. It stays valid."""
        part = self.signal[:, start:stop]
        is_by_time = abs(part.strides[0]) < abs(part.strides[1])
        pieces, each = (1, part.nbytes) if is_by_time else (len(part), part.nbytes // max(len(part), 1))
        self._read += pieces * (each + _READ_AROUND)
        if self._read > HELD:
            release(self.signal)
            self._read = 0
        return part
