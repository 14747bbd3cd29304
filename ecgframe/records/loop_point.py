"""Playing a recording round and round without a jump: where to leave off, and where to go on.

A recording's end does not fit its beginning: the baseline jumps, a beat is cut in two. Somewhere near the end, though,
the heart does almost exactly what it did somewhere near the beginning. Going from the one place to the other leaves
every sample as it was recorded.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .record import Record

SEARCHED: Final = 2.0
"""Seconds at either end among which a place is sought; at a rate of 30 beats a minute there is one in them."""

COMPARED: Final = 0.4
"""Seconds on either side of two places that are compared: with less, a flat stretch says nothing of the rhythm."""

COMPARED_FINELY: Final = 0.05
"""Seconds, likewise, once the two places are known roughly."""

COARSE_RATE: Final = 125.0
"""Samples a second at which the places are sought first."""

NEARLY_BEST: Final = 1.5
"""The longest loop is taken whose ends differ by at most so many times as much as the best pair."""

LARGEST_DIFFERENCE: Final = 0.5
"""Root mean square difference around the two places, in standard deviations of the lead, above which they do not fit.
Places taken at random differ by 1.4."""


def seamless(record: Record) -> range | None:
    """The samples to play over and over, so that the last of them leads on to the first; None where none fit.

    Up to ``SEARCHED`` seconds at either end are left out. Recordings of less than three seconds are not searched.
    """
    step = max(round(record.sampling_rate / COARSE_RATE), 1)
    around = round(COMPARED * record.sampling_rate / step)
    coarse = _averaged(record.signal, step)
    searched = min(round(SEARCHED * record.sampling_rate / step), coarse.shape[1] // 4)
    if record.duration < 3 or around < 1 or searched < 1:
        return None
    difference = _difference(_standardised(coarse), searched, around)
    if (best := float(np.min(difference))) > LARGEST_DIFFERENCE:
        return None
    starts, stops = np.nonzero(difference <= min(best * NEARLY_BEST, LARGEST_DIFFERENCE))
    longest = int(np.argmax(stops - starts))
    start = (around + int(starts[longest])) * step
    stop = (coarse.shape[1] - around - searched + int(stops[longest])) * step
    return _refined(record, start, stop, step)


def _averaged(signal: npt.NDArray[Any], step: int) -> npt.NDArray[np.float64]:
    """[leads, samples // step]; missing samples, which floats may have, count as 0."""
    whole = signal[:, : signal.shape[1] // step * step]
    averaged: npt.NDArray[np.float64] = np.nan_to_num(whole.reshape(len(signal), -1, step).mean(axis=2, dtype=float))
    return averaged


def _standardised(signal: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Each lead in its own standard deviations; a flat one says nothing."""
    spread = signal.std(axis=1, keepdims=True)
    standardised: npt.NDArray[np.float64] = signal / np.where(spread > 0, spread, np.inf)
    return standardised


def _difference(signal: npt.NDArray[np.float64], searched: int, around: int) -> npt.NDArray[np.float64]:
    """[searched, searched]: how much the surroundings of each place of the beginning differ from each of the end.

    Row i is for sample ``around + i``, column j for the sample so many before the end as ``around + searched - j``.
    """
    width = searched + 2 * around
    first, last = signal[:, :width], signal[:, -width:]
    squares = np.zeros((width, width))
    for one, other in zip(first, last, strict=True):
        squares += np.subtract.outer(one, other) ** 2
    total = np.zeros((searched, searched))
    for offset in range(2 * around):  # the surroundings of (i, j) lie along a diagonal
        total += squares[offset : offset + searched, offset : offset + searched]
    difference: npt.NDArray[np.float64] = np.sqrt(total / (2 * around * len(signal)))
    return difference


def _refined(record: Record, start: int, stop: int, step: int) -> range:
    """The best of the pairs within ``step`` samples of these two, by what is close around them."""
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
