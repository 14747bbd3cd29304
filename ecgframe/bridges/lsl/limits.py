"""Limits for both directions, which keep memory bounded whatever is received."""

from __future__ import annotations

from typing import Final

MOST_LEADS: Final = 4096
"""Maximum number of leads or channels of a stream."""

MOST_VALUES: Final = 1_000_000
"""Maximum number of values per second of a stream: liblsl allocates memory for five seconds in advance."""

RATES: Final = (1e-3, 1e5)
"""Lowest and highest sampling rate in Hz."""

LONGEST_FILL: Final = 60.0
"""Longest gap, in seconds, that is filled with missing samples."""


def rate_problem(rate: float, channels: int) -> str | None:
    """Say why a stream of this sampling rate and number of channels is not passed on; None if it is."""
    if not 1 <= channels <= MOST_LEADS:
        return f"it has {channels:,} channels; the bridge passes on 1 to {MOST_LEADS:,}"
    if not RATES[0] <= rate <= RATES[1]:
        return f"its sampling rate is {rate:g} Hz; the bridge passes on {RATES[0]:g} to {RATES[1]:,.0f} Hz"
    if rate * channels > MOST_VALUES:
        return (
            f"it has {channels:,} channels at {rate:g} Hz; the bridge passes on at most {MOST_VALUES:,} values a second"
        )
    return None


class FillBudget:
    """How many seconds of missing samples may be inserted.

    A real gap lasts as long as it takes. So the budget grows with the time that passes, and a sender whose times
    are wrong cannot make the bridge insert more than that.

    Args:
        now: seconds of a monotonic clock.
    """

    def __init__(self, now: float) -> None:
        self._seconds = LONGEST_FILL
        self._at = now

    def spend(self, seconds: float, now: float) -> bool:
        """Take these seconds from the budget; return False, and take nothing, if there are not so many left."""
        self._seconds = min(self._seconds + max(now - self._at, 0.0), LONGEST_FILL)
        self._at = now
        if seconds > self._seconds:
            return False
        self._seconds -= seconds
        return True
