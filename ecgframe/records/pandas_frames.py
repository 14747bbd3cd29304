"""Records as DataFrames of pandas, and back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

import numpy as np
import numpy.typing as npt

from ..libraries import library
from .annotation import Annotation
from .channels import MILLIVOLTS
from .csv_times import time_column
from .record import COUNTS, Record, RecordError, check_one_unit

_TICKS: Final = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
"""Units of the times of pandas, per second."""
_YEARS_OF_NANOSECONDS: Final = range(1678, 2262)
"""Years that times in nanoseconds can represent."""


def to_pandas(record: Record) -> Any:
    """Convert a record to a ``pandas.DataFrame`` of float64, a column for each lead. It needs ``ecgframe[pandas]``.

    The values are ``record.physical()``; missing samples are NaN. The index "time" is a DatetimeIndex in nanoseconds
    (outside of the years 1678 to 2261, in microseconds) and in the time zone of the start, if the start is known, else
    seconds from the first sample. ``frame.attrs`` has ``units``, ``sampling_rate``, ``source`` and, if there are any,
    ``start`` (ISO 8601) and ``annotations`` (a list in JSON: time, text, lead, duration).

    Not kept: counts with their gain and baseline, ``left_out``, ``repaired``, ``device`` and ``comments``.

    Raises:
        RecordError: the leads have different units.
        MissingLibrary: pandas is not installed.
    """
    pandas = library("pandas", extra="pandas", purpose="converting to pandas")
    check_one_unit(record, "a frame of pandas")
    attrs: dict[str, Any] = {
        "units": record.units,
        "sampling_rate": record.sampling_rate,
        "source": record.source,
    }
    if record.start is None:
        index = pandas.Index(np.arange(record.samples) / record.sampling_rate, name="time")
    else:
        index = _dates(pandas, record.start, record)
        attrs["start"] = record.start.isoformat()
    if record.annotations:  # as text, since pandas makes a deep copy of all attributes in every step
        attrs["annotations"] = json.dumps(record.annotations)
    frame = pandas.DataFrame(record.physical().T, index=index, columns=list(record.leads))
    frame.attrs.update(attrs)
    return frame


def from_pandas(frame: Any, *, sampling_rate: float | None = None, units: str | None = None) -> Record:
    """Convert a ``pandas.DataFrame``, a row for each sample and a column for each lead. It needs ``ecgframe[pandas]``.

    Times are the index: dates, time differences, or seconds as floats. If it has whole numbers, these number the rows.
    The times say the sampling rate, which must not contradict ``sampling_rate``; a rate in ``frame.attrs`` that the
    times contradict is that of the frame before it was resampled. NaN and NA are missing samples. The start is the
    first date, to the microsecond; annotations in ``frame.attrs`` are moved with the first row of the frame.

    Columns of whole numbers without a unit are counts. All else is physical values: float32 if all columns are, else
    float64; volts and their fractions are converted to mV.

    Args:
        frame: the DataFrame, as of ``to_pandas`` or of any other source.
        sampling_rate: sampling rate in Hz, if the index has no times.
        units: unit of the samples; by default ``frame.attrs["units"]``, or else "mV", or "counts" for whole numbers.

    Raises:
        RecordError: a column is not made of numbers, the times are uneven, a row is missing, or the sampling rate is
            unknown or contradicts the times.
        TypeError: ``frame`` is not a DataFrame.
        MissingLibrary: pandas is not installed.
    """
    pandas = library("pandas", extra="pandas", purpose="converting from pandas")
    if not isinstance(frame, pandas.DataFrame):
        raise TypeError(
            f"a record is made of a pandas.DataFrame, not of {type(frame).__name__} (a Series has to_frame())"
        )
    attrs = frame.attrs
    source = str(attrs.get("source") or "DataFrame")
    if frame.empty:
        _fail(source, "it holds no samples")
    given = attrs.get("units") if units is None else units
    signal, unit = _signal(pandas, frame, source, None if given is None else str(given))
    rate, start, skipped = _times(pandas, frame, source, sampling_rate)
    return Record(
        signal=signal,
        sampling_rate=rate,
        leads=tuple(map(str, frame.columns)),
        units=unit,
        source=source,
        start=start,
        annotations=_annotations(attrs.get("annotations"), source, skipped),
    )


def _fail(source: str, problem: str) -> NoReturn:
    raise RecordError(f"{source}: {problem}")


def _dates(pandas: Any, start: datetime, record: Record) -> Any:
    """Return the time of each sample."""
    first = np.datetime64((start.astimezone(UTC) if start.tzinfo else start).replace(tzinfo=None), "us")
    last = first + np.timedelta64(round(record.duration * 1e6), "us")
    years = (int(moment.astype("datetime64[Y]").astype(np.int64)) + 1970 for moment in (first, last))
    unit = "ns" if all(year in _YEARS_OF_NANOSECONDS for year in years) else "us"
    ticks = np.round(np.arange(record.samples) * float(_TICKS[unit]) / record.sampling_rate).astype(np.int64)
    index = pandas.DatetimeIndex(
        first.astype(f"datetime64[{unit}]") + ticks.astype(f"timedelta64[{unit}]"), name="time"
    )
    return index.tz_localize("UTC").tz_convert(start.tzinfo) if start.tzinfo else index


def _signal(pandas: Any, frame: Any, source: str, units: str | None) -> tuple[npt.NDArray[Any], str]:
    """Return the samples, [leads, samples], and their unit."""
    for name, dtype in zip(frame.columns, frame.dtypes, strict=True):
        types = pandas.api.types
        if not types.is_numeric_dtype(dtype) or types.is_bool_dtype(dtype) or types.is_complex_dtype(dtype):
            _fail(
                source, f"column {name!r} is of {dtype}, and samples are numbers: leave it out, frame.drop(columns=...)"
            )
    kinds = {dtype for dtype in frame.dtypes if isinstance(dtype, np.dtype)}
    is_numpy = len(kinds) == len(set(frame.dtypes))
    if is_numpy and units in (None, COUNTS) and all(dtype.kind in "iu" for dtype in kinds):
        counts = np.ascontiguousarray(frame.to_numpy().T)
        if counts.dtype.kind in "iu":  # int64 beside uint64 become floats
            return counts, COUNTS
    dtype = np.float32 if kinds == {np.dtype(np.float32)} and is_numpy else np.float64
    signal = np.ascontiguousarray(frame.to_numpy(dtype=dtype, na_value=np.nan).T)
    unit = "mV" if units is None else units
    factor = MILLIVOLTS.get(unit.lower())
    if factor is None:
        return signal, unit
    return (signal if factor == 1 else signal * factor.numerator / factor.denominator), "mV"


def _times(pandas: Any, frame: Any, source: str, given: float | None) -> tuple[float, datetime | None, float]:
    """Return the sampling rate, the start, and the time in seconds from the origin of annotations to the first row."""
    index, noted = frame.index, _noted_rate(frame, source)
    if isinstance(index, pandas.MultiIndex):
        _fail(source, "its index has several levels, and must be times or row numbers")
    if index.hasnans:
        _fail(source, f"row {int(np.argmax(index.isna()))} has no time")
    if isinstance(index, pandas.DatetimeIndex):
        rate = _rate(source, *_passed(index), given, noted)
        start: datetime = index[0].round("us").to_pydatetime()
        return rate, start, _since_noted_start(pandas, frame, source)
    if isinstance(index, pandas.TimedeltaIndex):
        return _rate(source, *_passed(index), given, noted), None, float(index[0].total_seconds())
    if pandas.api.types.is_float_dtype(index.dtype):
        times = index.to_numpy(dtype=np.float64)
        if not np.isfinite(times).all():
            _fail(source, f"row {int(np.argmin(np.isfinite(times)))} has no finite time")
        exact = np.float32 if index.dtype == np.float32 else np.float64
        resolution = 4 * float(np.spacing(exact(np.abs(times).max())))
        return _rate(source, times - times[0], resolution, given, noted), None, float(times[0])
    if not pandas.api.types.is_integer_dtype(index.dtype):
        _fail(source, f"its index is of {index.dtype}, and must be times or row numbers")
    return _of_numbered_rows(frame, source, noted if given is None else given)


def _noted_rate(frame: Any, source: str) -> float | None:
    noted = frame.attrs.get("sampling_rate")
    if noted is not None and not (isinstance(noted, int | float | np.number) and np.isfinite(noted) and noted > 0):
        _fail(source, f'frame.attrs["sampling_rate"] must be a number above 0, and is {noted!r}')
    return None if noted is None else float(noted)


def _since_noted_start(pandas: Any, frame: Any, source: str) -> float:
    """Seconds from the start that the frame notes, from which its annotations count, to its first row."""
    noted, first = frame.attrs.get("start"), frame.index[0]
    if noted is None:
        return 0.0
    try:
        origin = pandas.Timestamp(datetime.fromisoformat(noted))
    except (ValueError, TypeError) as error:
        raise RecordError(f'{source}: frame.attrs["start"] is no date in ISO 8601 ({error})') from error
    if (first.tzinfo is None) != (origin.tzinfo is None):
        _fail(source, 'of its times and frame.attrs["start"], one has a time zone and the other has none: set it anew')
    return float((first - origin).total_seconds())


def _passed(index: Any) -> tuple[npt.NDArray[np.float64], float]:
    """Seconds from the first time, and the resolution of the times in seconds."""
    passed = (index - index[0]).to_numpy()
    ticks = _TICKS[np.datetime_data(passed.dtype)[0]]
    return passed.astype(np.int64) / ticks, 1 / ticks


def _of_numbered_rows(frame: Any, source: str, rate: float | None) -> tuple[float, datetime | None, float]:
    for name in frame.columns:
        if time_column(str(name)):
            _fail(source, f"column {name!r} looks like the times: make it the index, frame.set_index({name!r})")
    rows = frame.index.to_numpy(dtype=np.int64)
    if not (steps := np.diff(rows) == 1).all():
        row = int(np.argmin(steps))
        _fail(source, f"row number {rows[row]} is followed by {rows[row + 1]}: rows are missing or out of order")
    if rate is None:
        _fail(source, "its index has no times; give the sampling rate in Hz (sampling_rate)")
    return rate, None, int(rows[0]) / rate if rate > 0 else 0.0


def _rate(
    source: str, seconds: npt.NDArray[np.float64], resolution: float, given: float | None, noted: float | None
) -> float:
    """Return the given or noted sampling rate if it agrees with the times, otherwise the roundest that does.

    Args:
        source: what errors name.
        seconds: times from the first sample, in seconds.
        resolution: to how many seconds they are rounded.
        given: sampling rate that the caller states, in Hz.
        noted: sampling rate that the frame notes, in Hz.
    """
    if len(seconds) == 1:
        rate = noted if given is None else given
        if rate is None:
            _fail(source, "it has one row, which has no sampling rate; give it in Hz (sampling_rate)")
        return rate
    steps = np.diff(seconds)
    expected = float(np.median(steps))
    even = np.abs(steps - expected) < 0.6 * expected
    if not even.all():
        row = int(np.argmin(even))
        _fail(
            source,
            f"row {row + 1} comes {steps[row]:.6g} s after row {row}, where a step of {expected:.4g} s is expected; "
            "samples are missing or out of order. Put rows of NaN where they are missing, with frame.reindex(...)",
        )
    span = float(seconds[-1])
    rate = len(steps) / span
    tolerance = rate * (2 * resolution / span + 1e-9)
    if given is not None:
        if abs(given - rate) > tolerance:
            _fail(source, f"its times are those of {rate:.9g} Hz, and not of {given:g} Hz")
        return given
    if noted is not None and abs(noted - rate) <= tolerance:
        return noted
    return next((round(rate, digits) for digits in range(10) if abs(round(rate, digits) - rate) <= tolerance), rate)


def _annotations(noted: Any, source: str, skipped: float) -> tuple[Annotation, ...]:
    if noted is None:
        return ()
    try:
        notes = [Annotation(*note) for note in json.loads(noted)]
        return tuple(note._replace(time=note.time - skipped) if skipped else note for note in notes)
    except (ValueError, TypeError) as error:
        raise RecordError(f'{source}: frame.attrs["annotations"] is invalid ({error})') from error
