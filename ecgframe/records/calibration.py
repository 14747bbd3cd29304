"""Unit, gain and baseline of samples that the user states, for files that do not state them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ASSUMED: Final = "mV"
"""Unit of physical values that have none, which is said, and of counts whose gain the user gives without a unit."""

NO_UNIT: Final = f"no unit is given: taken as {ASSUMED}; --units says otherwise"


@dataclass(frozen=True, slots=True)
class Calibration:
    """The statements of the user.

    Attributes:
        units: unit of the samples, where the file states none.
        gain: ADC counts per unit, if the samples are counts.
        baseline: ADC count of 0 units; None for 0.
    """

    units: str | None = None
    gain: float | None = None
    baseline: float | None = None

    def check(self, *, is_whole: bool) -> None:
        """Check that the calibration fits samples that are counts, or are not.

        Raises:
            ValueError: it does not.
        """
        if self.baseline is not None and self.gain is None:
            raise ValueError("a baseline belongs to counts with a gain; give that as well (--gain)")
        if self.gain is not None and not is_whole:
            raise ValueError("a gain belongs to counts, which are whole numbers, and its samples are none")
