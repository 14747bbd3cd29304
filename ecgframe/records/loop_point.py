"""Finding the points at which a recording can be looped without a jump.

The end of a recording does not continue at its beginning: the baseline jumps, and a beat is cut in two. But a point
near the end usually resembles one near the beginning closely. Looping between these two changes no sample.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .record import Record

SEARCHED: Final = 2.0
"""Seconds at either end that are searched; at 30 beats per minute, they include a beat."""

COMPARED: Final = 0.4
"""Seconds on either side of two points that are compared; fewer could be flat and say nothing about the rhythm."""

COMPARED_FINELY: Final = 0.05
"""Seconds on either side that are compared in the second, fine search."""

COARSE_RATE: Final = 125.0
"""Sampling rate of the first, coarse search, in Hz."""

NEARLY_BEST: Final = 1.5
"""The longest loop is used whose difference is at most this multiple of the best one."""

SPREAD: Final = 60.0
"""Seconds at either end from which the standard deviation of a lead is determined, so that a recording of a day need
not be read."""

LARGEST_DIFFERENCE: Final = 0.5
"""Largest root mean square difference around the two points, in standard deviations of the lead. Random points differ
by 1.4."""


def seamless(record: Record) -> range | None:
    """Return the range of samples to loop; None if no two points are similar enough.

    Up to ``SEARCHED`` seconds at either end are left out. The result is None for recordings shorter than three seconds.
    """
    step = max(round(record.sampling_rate / COARSE_RATE), 1)
    around = round(COMPARED * record.sampling_rate / step)
    points = record.samples // step
    coarse = _coarse_ends(record, points, step)
    searched = min(round(SEARCHED * record.sampling_rate / step), points // 4)
    if record.duration < 3 or around < 1 or searched < 1:
        return None
    difference = _difference(_standardised(coarse), searched, around)
    if (best := float(np.min(difference))) > LARGEST_DIFFERENCE:
        return None
    starts, stops = np.nonzero(difference <= min(best * NEARLY_BEST, LARGEST_DIFFERENCE))
    longest = int(np.argmax(stops - starts))
    start = (around + int(starts[longest])) * step
    stop = (points - around - searched + int(stops[longest])) * step
    return _refined(record, start, stop, step)


def _coarse_ends(record: Record, points: int, step: int) -> npt.NDArray[np.float64]:
    """Average over ``step`` samples, to [leads, points]: the beginning and the end; all of a short recording."""
    kept = round(SPREAD * record.sampling_rate / step)
    if points <= 2 * kept:
        return _averaged(record.signal, step)
    first, last = record.signal[:, : kept * step], record.signal[:, (points - kept) * step : points * step]
    return np.concatenate([_averaged(first, step), _averaged(last, step)], axis=1)


def _averaged(signal: npt.NDArray[Any], step: int) -> npt.NDArray[np.float64]:
    """Average over ``step`` samples, to [leads, samples // step]. NaN becomes 0."""
    whole = signal[:, : signal.shape[1] // step * step]
    averaged: npt.NDArray[np.float64] = np.nan_to_num(whole.reshape(len(signal), -1, step).mean(axis=2, dtype=float))
    return averaged


def _standardised(signal: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Scale each lead to its standard deviation; a constant lead becomes 0."""
    spread = signal.std(axis=1, keepdims=True)
    standardised: npt.NDArray[np.float64] = signal / np.where(spread > 0, spread, np.inf)
    return standardised


def _difference(signal: npt.NDArray[np.float64], searched: int, around: int) -> npt.NDArray[np.float64]:
    """Return the differences around each pair of points, one near the beginning, one near the end.

    Of the result, [searched, searched], row i is for sample ``around + i``, and column j for the sample that is
    ``around + searched - j`` before the end.
    """
    width = searched + 2 * around
    first, last = signal[:, :width], signal[:, -width:]
    squares = np.zeros((width, width))
    for one, other in zip(first, last, strict=True):
        squares += np.subtract.outer(one, other) ** 2
    total = np.zeros((searched, searched))
    for offset in range(2 * around):  # the samples around (i, j) are on a diagonal
        total += squares[offset : offset + searched, offset : offset + searched]
    difference: npt.NDArray[np.float64] = np.sqrt(total / (2 * around * len(signal)))
    return difference


def _refined(record: Record, start: int, stop: int, step: int) -> range:
    """Return the best pair of points within ``step`` samples of these two, by the samples close to them."""
    around = max(round(COMPARED_FINELY * record.sampling_rate), 1)
    reach = around + step
    if start < reach or stop > record.samples - reach:
        return range(start, stop)
    places = np.concatenate(
        [record.signal[:, start - reach : start + reach], record.signal[:, stop - reach : stop + reach]], axis=1
    )
    standardised = _standardised(np.nan_to_num(places.astype(float)))
    difference = _difference(standardised, 2 * step, around)
    row, column = np.unravel_index(int(np.argmin(difference)), difference.shape)
    return range(start - step + int(row), stop - step + int(column))
