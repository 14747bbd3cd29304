"""How far the server's clock is ahead of ours, from round trips."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ..session import RoundTrip

KEPT: Final = 8
"""Round trips among which the quickest counts, as NTP has it: what a queue delays by, it makes uncertain."""


class ClockOffset:
    """The last round trips to one server."""

    __slots__ = ("_trips",)

    def __init__(self) -> None:
        self._trips: deque[RoundTrip] = deque(maxlen=KEPT)

    def add(self, trip: RoundTrip) -> None:
        """Count one more."""
        self._trips.append(trip)

    @property
    def round_trip(self) -> float | None:
        """Seconds that the last one took; None before the first."""
        return self._trips[-1].seconds if self._trips else None

    @property
    def seconds(self) -> float | None:
        """The server's clock minus ours, wrong by at most half the quickest round trip; None if it has not said."""
        told = [trip for trip in self._trips if trip.offset is not None]
        return min(told, key=lambda trip: trip.seconds).offset if told else None
