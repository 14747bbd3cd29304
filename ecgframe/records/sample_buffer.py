"""A growing buffer of samples, in memory or, if they are many, in a temporary file."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Sequence
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt

from .mapped import Reading, is_large, mapped

_PORTION: Final = 1 << 16
"""Samples of each lead that are transposed at a time. The buffer is ordered by time, then by lead."""


class SampleBuffer:
    """Samples of a recording, appended in blocks.

    Many samples are kept in a temporary file that only this process can open. It is gone when nothing refers to the
    samples any more, or when the process ends.

    Args:
        leads: number of leads.
        dtype: dtype of the samples.
    """

    def __init__(self, leads: int, dtype: npt.DTypeLike) -> None:
        self.leads = leads
        self.dtype = np.dtype(dtype).newbyteorder("=")
        self.nbytes = 0
        """Size of the samples in bytes."""
        self._octets = bytearray()
        self._file: BinaryIO | None = None

    @property
    def samples(self) -> int:
        """Number of samples of each lead."""
        return self.nbytes // (self.leads * self.dtype.itemsize)

    def add(self, signal: npt.NDArray[Any]) -> None:
        """Append a copy of the samples, [leads, samples].

        Raises:
            OSError: there is no room for the temporary file.
        """
        for start in range(0, signal.shape[1], _PORTION):
            self._append(signal[:, start : start + _PORTION].T)

    def add_missing(self, samples: int, value: Any) -> None:
        """Append ``samples`` missing samples to each lead, with the given value. Raises the same as ``add``."""
        for start in range(0, samples, _PORTION):
            self._append(np.full((min(samples - start, _PORTION), self.leads), value, self.dtype))

    def signal(self) -> npt.NDArray[Any]:
        """Return all samples as a view, [leads, samples]. Nothing can be appended while the view exists."""
        if self._file is None:
            return np.frombuffer(self._octets, self.dtype).reshape(-1, self.leads).T
        return mapped(self._file, self.dtype, (self.samples, self.leads), is_writable=True).T

    def array(self) -> npt.NDArray[Any]:
        """Return all samples, [leads, samples]: contiguous in memory, or a view of the temporary file."""
        return self.signal() if self._file is not None else np.ascontiguousarray(self.signal())

    def _append(self, by_time: npt.NDArray[Any]) -> None:
        octets = np.ascontiguousarray(by_time, self.dtype).reshape(-1).data.cast("B")
        self.nbytes += len(octets)
        if self._file is None:
            self._octets += octets
            if is_large(self.nbytes):
                self._file = temporary_file()
                weakref.finalize(self, self._file.close)  # a view keeps the samples without it
                write(self._file, self._octets)
                self._octets = bytearray()
        else:
            write(self._file, octets)


def rows_of(signal: npt.NDArray[Any], rows: Sequence[int]) -> npt.NDArray[Any]:
    """Return a copy of these rows, in the byte order of this machine; in a temporary file if it is large.

    A large signal that needs no change is returned as it is.

    Args:
        signal: samples of shape [leads, samples], mapped or not.
        rows: the rows to copy, in that order.

    Raises:
        OSError: there is no room for the temporary file.
    """
    dtype, chosen = signal.dtype.newbyteorder("="), list(rows)
    if not is_large(len(chosen) * signal.shape[1] * dtype.itemsize):
        return np.ascontiguousarray(signal[chosen], dtype)
    if signal.dtype == dtype and chosen == list(range(len(signal))):
        return signal
    kept, reading = SampleBuffer(len(chosen), dtype), Reading(signal)
    for start in range(0, signal.shape[1], _PORTION):
        kept.add(reading.samples(start, start + _PORTION)[chosen])
    return kept.signal()


def temporary_file() -> BinaryIO:
    """Open a new file without a buffer and, where the system allows it, without a name.

    Raises:
        OSError: there is no folder for temporary files.
    """
    return tempfile.TemporaryFile(prefix="ecgframe-", buffering=0)


def write(file: BinaryIO, octets: bytes | bytearray | memoryview) -> None:
    """Write all bytes to a file of ``temporary_file``.

    Raises:
        OSError: there is no room. The message names the folder and the way out.
    """
    left = memoryview(octets)
    try:
        while left:
            left = left[file.write(left) :]
    except OSError as error:
        problem = f"{error.strerror}, in the folder {tempfile.gettempdir()} for temporary files (TMPDIR names another)"
        raise OSError(error.errno, problem) from error
