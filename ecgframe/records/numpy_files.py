"""NPY and NPZ files.

An NPZ file has the array ``signal`` and optionally ``sampling_rate``, ``leads``, ``units``, ``gain``, ``baseline``,
``missing`` (a count), ``start`` (a date in ISO 8601), ``annotations`` (a list in JSON), ``device`` and ``comments`` (a
list in JSON), as ``write_record`` writes them. A single array under any other name is read as the signal.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, TypeVar

import numpy as np
import numpy.typing as npt
from numpy.lib.format import header_data_from_array_1_0, write_array, write_array_header_1_0

from .annotation import Annotation
from .bounds import MOST_LEADS, check_annotations
from .calibration import ASSUMED, NO_UNIT, Calibration
from .mapped import Reading
from .numpy_arrays import LEFT_OUT, SIGNAL, Arrays, load_arrays
from .record import COUNTS, PORTION, UNKNOWN, Record, RecordError
from .sample_buffer import rows_of

NAMES: Final = (
    "signal",
    "sampling_rate",
    "leads",
    "units",
    "gain",
    "baseline",
    "missing",
    "start",
    "annotations",
    "device",
    "comments",
)
"""The arrays of an NPZ file that are read."""


def read_numpy(
    path: Path,
    sampling_rate: float | None = None,
    *,
    units: str | None = None,
    gain: float | None = None,
    baseline: float | None = None,
) -> Record:
    """Read an NPY file, [samples] or [leads, samples], or an NPZ file, as described above.

    Args:
        path: the file.
        sampling_rate: sampling rate in Hz, if the file does not state it.
        units: unit of the samples, if the file does not state it.
        gain: ADC counts per unit, if the samples are counts and the file does not state it.
        baseline: ADC count of 0 units; None for 0.

    Raises:
        RecordError: the file is damaged, has no signal, or holds more than a file of its size may; the sampling rate is
            unknown; or the file states another unit or calibration.
    """
    arrays = load_arrays(path, NAMES)
    return _record(path, arrays, sampling_rate, _calibration(path, arrays, Calibration(units, gain, baseline)))


def write_npz(record: Record, file: BinaryIO) -> None:
    """Write a record, except its ``source``. ``read_numpy`` restores it exactly."""
    arrays: dict[str, Any] = {
        "signal": record.signal,
        "sampling_rate": record.sampling_rate,
        "leads": record.leads,
        "units": record.units,
    }
    if record.gain is not None:
        arrays |= {"gain": record.gain, "baseline": record.baseline}
    if record.missing is not None:
        arrays["missing"] = record.missing
    if record.start is not None:
        arrays["start"] = record.start.isoformat()
    if record.annotations:
        arrays["annotations"] = json.dumps(record.annotations)
    if record.device:
        arrays["device"] = record.device
    if record.comments:
        arrays["comments"] = json.dumps(record.comments)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                _write_array(member, np.asanyarray(value))


def _write_array(file: IO[bytes], array: npt.NDArray[Any]) -> None:
    """Write an array as NPY; a signal in portions, so that a mapped one is never in memory as a whole."""
    if array.ndim != 2:
        write_array(file, array, allow_pickle=False)
        return
    write_array_header_1_0(file, header_data_from_array_1_0(array))
    is_by_time = array.flags.f_contiguous and not array.flags.c_contiguous
    for rows in [array] if is_by_time else np.split(array, len(array)):
        reading = Reading(rows)
        for start in range(0, array.shape[1], PORTION):
            file.write(reading.samples(start, start + PORTION).tobytes("F" if is_by_time else "C"))


def _calibration(path: Path, arrays: Arrays, given: Calibration) -> dict[str, Any]:
    """Return units, gain and baseline: as the file states them, else as the user does; and what was assumed."""
    try:
        given.check(is_whole=arrays[SIGNAL].dtype.kind in "iu")
    except ValueError as error:
        raise RecordError(f"{path}: {error}") from error
    stated = str(arrays["units"]) if "units" in arrays else ""
    if not stated.strip():
        stated = ""
    units = stated or given.units
    if stated == COUNTS and given.gain is not None and "gain" not in arrays:
        units = given.units
    elif given.units is not None and stated not in ("", given.units):
        raise RecordError(f"{path}: it says that the unit is {stated}, not the given {given.units}; omit it (--units)")
    numbers = {}
    for name, number in (("gain", given.gain), ("baseline", given.baseline)):
        found = _numbers(path, arrays, name)
        if found is not None and number is not None and set(found) != {number}:
            raise RecordError(f"{path}: it says another {name} than the given {number:g}; omit it (--{name})")
        if found is None and given.gain is not None:
            found = (number or 0,) * len(np.atleast_2d(arrays[SIGNAL]))
        numbers[name] = found
    repaired: tuple[str, ...] = ()
    if not units and given.gain is None and arrays[SIGNAL].dtype.kind in "iu":
        units = COUNTS if numbers["gain"] is None else UNKNOWN
    elif not units:
        units = ASSUMED
        repaired = (NO_UNIT,) if given.gain is None else ()
    return {"units": units, "repaired": repaired, **numbers}


def _record(path: Path, arrays: Arrays, sampling_rate: float | None, calibration: dict[str, Any]) -> Record:
    signal = np.atleast_2d(arrays["signal"])
    leads = tuple(map(str, np.atleast_1d(_few(path, arrays, "leads")))) if "leads" in arrays else None
    if leads is None and signal.ndim == 2 and len(signal) > signal.shape[1]:
        raise RecordError(
            f"{path}: {len(signal)} leads of {signal.shape[1]} samples; "
            "it looks transposed. Save it as [leads, samples], with array.T"
        )
    if len(signal) > MOST_LEADS:
        raise RecordError(f"{path}: {len(signal):,} leads; more than {MOST_LEADS:,} are not believed")
    stated = _numbers(path, arrays, "sampling_rate")
    rate = stated[0] if stated else sampling_rate
    if rate is None:
        raise RecordError(f"{path}: the sampling rate is not in the file; give it in Hz (--sampling-rate)")
    return Record(
        signal=rows_of(signal, range(len(signal))) if signal.ndim == 2 else signal,
        sampling_rate=rate,
        leads=leads or tuple(f"ch{number}" for number in range(1, len(signal) + 1)),
        source=str(path),
        left_out=tuple(arrays[LEFT_OUT].tolist()) if LEFT_OUT in arrays else (),
        missing=_parsed(path, arrays, "missing", int),
        start=_parsed(path, arrays, "start", datetime.fromisoformat),
        annotations=_parsed(path, arrays, "annotations", partial(_annotations, path)) or (),
        device=str(arrays["device"]) if "device" in arrays else "",
        comments=_parsed(path, arrays, "comments", _texts) or (),
        **calibration,
    )


_Parsed = TypeVar("_Parsed")


def _parsed(path: Path, arrays: Arrays, name: str, parse: Callable[[str], _Parsed]) -> _Parsed | None:
    if name not in arrays:
        return None
    try:
        return parse(str(arrays[name]))
    except RecordError:
        raise
    except (ValueError, TypeError, RecursionError) as error:
        raise RecordError(f"{path}: its {name} is invalid ({error})") from error


def _annotations(path: Path, text: str) -> tuple[Annotation, ...]:
    check_annotations(path, text.count("[") - 1, path.stat().st_size)
    return tuple(Annotation(*note) for note in json.loads(text))


def _texts(text: str) -> tuple[str, ...]:
    return tuple(map(str, json.loads(text)))


def _numbers(path: Path, arrays: Arrays, name: str) -> tuple[float, ...] | None:
    if name not in arrays:
        return None
    try:
        return tuple(_few(path, arrays, name).astype(np.float64).ravel().tolist())
    except RecordError:
        raise
    except (TypeError, ValueError) as error:
        raise RecordError(f"{path}: its {name} is not made of numbers ({error})") from error


def _few(path: Path, arrays: Arrays, name: str) -> npt.NDArray[Any]:
    """Return an array that has an element for each lead, before each becomes a Python object."""
    if arrays[name].size > MOST_LEADS:
        raise RecordError(
            f"{path}: its {name} has {arrays[name].size:,} elements, and no recording {MOST_LEADS:,} leads"
        )
    return arrays[name]
