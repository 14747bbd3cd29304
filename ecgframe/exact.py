"""Exact floats: recovers the ADC counts of float signals, so that records can contain integers.

Nearly all ECG signals in millivolts were computed from ADC counts. If a scale, a pair of numbers, reproduces every
float of a signal exactly as ``(count * mul) / div``, the record contains the counts, and its template the scale.
Otherwise the record contains the floats. Specification: ``docs/protocol.md``, "Exact floats".
"""

from __future__ import annotations

from collections import deque
from math import gcd
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from .messages import rules
from .messages.templates import Scale
from .protocol import LARGEST_EXACT_FLOAT, LARGEST_SCALE, SMALLEST_SCALE

__all__ = ["ExactCounts", "ExactSamples", "counts_by"]

Floats = npt.NDArray[np.float64]

KEPT_VALUES: Final = 4096
"""Maximum number of earlier values that a new scale should reproduce, too."""

_DIVISORS: Final = sorted(
    {
        *(float(factor * 10**power) for factor in (1, 2, 2.5, 4, 5, 8) for power in range(6)),
        *(float(2**power) for power in range(17)),
        *(204.8, 409.6, 819.2, 1e6),
    }
)
"""Divisors with which senders convert counts to millivolts, volts or microvolts."""

_DTYPES: Final = (np.dtype(np.int16), np.dtype(np.int32))
_NEGLIGIBLE: Final = 1e-9
"""Remainders smaller than this fraction of the largest value are rounding errors."""

_MOST_DIGITS: Final = 9
"""Maximum number of decimal digits of the numbers that are tried as a scale."""

_LONGEST_EUCLID: Final = 100
"""Maximum number of rounds of Euclid's algorithm. Counts need few."""

_GLANCE: Final = 16
"""Number of values that are checked before all others. Most scales fail for one of them."""


class ExactCounts(NamedTuple):
    """Integer counts of floats.

    Attributes:
        counts: int16 or int32, of the same shape as the signal.
        scale: each finite float is ``(count * scale.mul) / scale.div``.
    """

    counts: npt.NDArray[Any]
    scale: Scale

    @property
    def missing(self) -> int:
        """The count that stands for NaN: the smallest value of the dtype."""
        return int(np.iinfo(self.counts.dtype).min)


class ExactSamples:
    """Recovers the counts of one stream. Tries the scale of the signal before first.

    Attributes:
        scale: the latest scale, or None.
    """

    def __init__(self) -> None:
        self.scale: Scale | None = None
        self._kept: deque[Floats] = deque()
        self._number_kept = 0

    def take(self, signal: Any) -> ExactCounts | None:
        """Recover the counts of a signal.

        Args:
            signal: a float64 array, [samples] or [leads, samples], or nested lists of numbers of the same shapes.

        Returns:
            None if the signal is to be sent as it is: it has another form, contains infinities, booleans or integers
            beyond 2^53, or no known scale gives counts of 32 bits.
        """
        floats = _floats_of(signal)
        if floats is None:
            return None
        finite = floats[~np.isnan(floats)]
        if np.isinf(finite).any():
            return None
        found = None if self.scale is None else counts_by(self.scale, floats)
        if found is None:
            found = self._look(floats, finite)
        if found is not None:
            self.scale = found.scale
            self._keep(finite)
        return found

    def _look(self, floats: Floats, finite: Floats) -> ExactCounts | None:
        """Find a scale for these values and the earlier ones; or, if the gain has changed, for these values only."""
        scale = find_scale(np.concatenate([finite, *self._kept])) if self._kept else None
        found = None if scale is None else counts_by(scale, floats)
        if found is None:
            scale = find_scale(finite)
            found = None if scale is None else counts_by(scale, floats)
            if found is not None:
                self._kept.clear()
                self._number_kept = 0
        return found

    def _keep(self, finite: Floats) -> None:
        if len(finite):
            self._kept.append(finite[:KEPT_VALUES])
            self._number_kept += len(self._kept[-1])
            while self._number_kept > KEPT_VALUES:
                self._number_kept -= len(self._kept.popleft())


def counts_by(scale: Scale, floats: Floats) -> ExactCounts | None:
    """Return the counts of floats for a scale; None if it does not reproduce every float, or counts exceed 32 bits."""
    is_nan = np.isnan(floats)
    values = np.where(is_nan, 0.0, floats)
    counts = _exact_counts(scale, values)
    if counts is None:
        return None
    largest = _largest(counts)
    for dtype in _DTYPES:
        if largest <= np.iinfo(dtype).max:
            whole = counts.astype(dtype)
            whole[is_nan] = np.iinfo(dtype).min
            return ExactCounts(whole, scale)
    return None


def _largest(values: Floats) -> float:
    """Return the largest absolute value; 0 for no values."""
    return float(np.abs(values).max()) if values.size else 0.0


def _exact_counts(scale: Scale, finite: Floats) -> Floats | None:
    """Return the counts that reproduce the values exactly, as integral floats; None if there are none."""
    mul, div = scale
    with np.errstate(all="ignore"):  # value * div may be infinite, which is not exact
        counts: Floats = np.rint(finite * div / mul)
        given_back = counts * mul / div
    return counts if np.array_equal(given_back, finite) else None


def find_scale(finite: Floats) -> Scale | None:
    """Return the first scale that reproduces every value exactly; None if there is none.

    Tries the known divisors first; ``mul`` is then the greatest common divisor of the counts. Otherwise computes the
    common step of the values, and tries scales that correspond to it, rounded to 1 to 9 digits.
    """
    glance = finite[:: max(1, len(finite) // _GLANCE)]
    for div in _DIVISORS:
        plain = Scale(1.0, div)
        if _exact_counts(plain, glance) is None or (counts := _exact_counts(plain, finite)) is None:
            continue
        if _largest(counts) <= LARGEST_EXACT_FLOAT:
            scale = Scale(float(gcd(*map(int, counts.tolist())) or 1), div)
            if counts_by(scale, finite) is not None:
                return scale
    step = _common_step(finite)
    if step is None:
        return None
    for digits in range(1, _MOST_DIGITS + 1):
        for scale in _scales_of(step, digits):
            if not all(SMALLEST_SCALE <= number <= LARGEST_SCALE for number in scale):
                continue
            if _exact_counts(scale, glance) is not None and counts_by(scale, finite) is not None:
                return scale
    return None


def _scales_of(step: float, digits: int) -> list[Scale]:
    """Return scales by which a sender may have computed values with this step, from numbers with so many digits."""
    rounded, inverse = _rounded(step, digits), _rounded(1 / step, digits)
    return [
        Scale(rounded, 1.0),
        Scale(1.0, inverse),
        Scale(_rounded(1000 * step, digits), 1000.0),
        Scale(1.0, 1 / rounded),
        Scale(1 / inverse, 1.0),
    ]


def _rounded(number: float, digits: int) -> float:
    return float(f"{number:.{digits - 1}e}")


def _common_step(finite: Floats) -> float | None:
    """Return the largest step of which all values are multiples, except for rounding errors; None if there is none."""
    ordered = np.unique(finite)
    amounts = np.abs(ordered)
    negligible = _NEGLIGIBLE * _largest(ordered)
    if not SMALLEST_SCALE <= negligible <= LARGEST_SCALE:
        return None
    rest = np.concatenate([np.diff(ordered), amounts])
    for _ in range(_LONGEST_EUCLID):
        rest = np.unique(rest[rest >= negligible])
        if len(rest) == 1:
            return float(rest[0])
        least = rest[0]
        rest = np.append(np.fmod(rest[1:], least), least)
    return None


def _floats_of(signal: Any) -> Floats | None:
    """Convert a signal to a float64 array; None if it is not a signal, or has numbers that a float cannot hold."""
    if type(signal) is np.ndarray:
        is_float = signal.dtype == np.float64 and signal.dtype.isnative and signal.ndim in {1, 2}
        return signal if is_float else None
    if not isinstance(signal, (list, tuple)) or rules.SIGNAL.fault(signal) is not None:
        return None
    rows = signal if signal and isinstance(signal[0], (list, tuple)) else [signal]
    for row in rows:
        if {float}.issuperset(map(type, row)):
            continue
        if any(rules.is_integer(number) and abs(int(number)) > LARGEST_EXACT_FLOAT for number in row):
            return None
    return np.array(signal, np.float64)
