"""NPY and NPZ, NumPy's own files.

An NPZ holds ``signal`` and, as far as known, ``sampling_rate``, ``leads``, ``units``, ``gain`` and ``baseline``, as
``write_record`` writes them. One array under any other name is taken for the signal.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from .record import COUNTS, Record, RecordError

Arrays = dict[str, npt.NDArray[Any]]


def read_numpy(path: Path, sampling_rate: float | None = None) -> Record:
    """The record in an NPY file, [samples] or [leads, samples], or in an NPZ file, see above.

    Raises:
        RecordError: the file is damaged, or no signal, or nobody gives the sampling rate.
    """
    arrays = _load(path)
    if "signal" not in arrays:
        arrays = _named_otherwise(path, arrays)
    return _record(path, arrays, sampling_rate)


def write_npz(record: Record, file: BinaryIO) -> None:
    """Everything the record holds but its ``source``; ``read_npz`` gives it back exactly."""
    arrays: dict[str, Any] = {
        "signal": record.signal,
        "sampling_rate": record.sampling_rate,
        "leads": record.leads,
        "units": record.units,
    }
    if record.gain is not None:
        arrays |= {"gain": record.gain, "baseline": record.baseline}
    np.savez_compressed(file, **arrays)


def _load(path: Path) -> Arrays:
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            return {"signal": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    except Exception as error:  # ValueError, EOFError, BadZipFile, ... by the way in which the file is broken
        raise RecordError(f"{path}: not readable by NumPy ({type(error).__name__}: {error})") from error


def _named_otherwise(path: Path, arrays: Arrays) -> Arrays:
    signals = [name for name, array in arrays.items() if array.dtype.kind in "iuf" and array.ndim in (1, 2)]
    if len(signals) != 1:
        raise RecordError(f'{path}: no array is named "signal"; it holds {", ".join(arrays)}')
    return {**arrays, "signal": arrays[signals[0]]}


def _record(path: Path, arrays: Arrays, sampling_rate: float | None) -> Record:
    signal = np.atleast_2d(arrays["signal"])
    leads = tuple(map(str, np.atleast_1d(arrays["leads"]))) if "leads" in arrays else None
    if leads is None and signal.ndim == 2 and len(signal) > signal.shape[1]:
        raise RecordError(
            f"{path}: {len(signal)} leads of {signal.shape[1]} samples; "
            "it looks transposed. Save it as [leads, samples], with array.T"
        )
    stated = _numbers(path, arrays, "sampling_rate")
    rate = stated[0] if stated else sampling_rate
    if rate is None:
        raise RecordError(f"{path}: the sampling rate is not in the file; give it in Hz (--sampling-rate)")
    return Record(
        signal=signal.astype(signal.dtype.newbyteorder("="), copy=False),
        sampling_rate=rate,
        leads=leads or tuple(f"ch{number}" for number in range(1, len(signal) + 1)),
        units=str(arrays["units"]) if "units" in arrays else COUNTS if signal.dtype.kind in "iu" else "mV",
        gain=_numbers(path, arrays, "gain"),
        baseline=_numbers(path, arrays, "baseline"),
        source=str(path),
    )


def _numbers(path: Path, arrays: Arrays, name: str) -> tuple[float, ...] | None:
    if name not in arrays:
        return None
    try:
        return tuple(arrays[name].astype(np.float64).ravel().tolist())
    except (TypeError, ValueError) as error:
        raise RecordError(f"{path}: its {name} is not made of numbers ({error})") from error
