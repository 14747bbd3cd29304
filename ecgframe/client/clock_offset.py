"""The offset of the server's clock, measured by round trips."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ..session import RoundTrip

KEPT: Final = 8
"""Number of round trips of which the fastest is used, as in NTP: a delay in a queue makes an offset less certain."""


class ClockOffset:
    """The last round trips to one server."""

    __slots__ = ("_trips",)

    def __init__(self) -> None:
        self._trips: deque[RoundTrip] = deque(maxlen=KEPT)

    def add(self, trip: RoundTrip) -> None:
        """Add a round trip."""
        self._trips.append(trip)

    @property
    def round_trip(self) -> float | None:
        """The latest round trip time in seconds; None before the first."""
        return self._trips[-1].seconds if self._trips else None

    @property
    def seconds(self) -> float | None:
        """The server's clock minus the local one, accurate to half the fastest round trip; None before V3."""
        measured = [trip for trip in self._trips if trip.offset is not None]
        return min(measured, key=lambda trip: trip.seconds).offset if measured else None
