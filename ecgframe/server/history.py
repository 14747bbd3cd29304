"""The history of a stream: its recent messages, kept for viewers that resume.

The history is a ring buffer, bounded in seconds and bytes, hence ``Ring`` and ``Limits.ring_seconds``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final

from ..protocol import DATA_TYPES
from .publication import Publication

if TYPE_CHECKING:
    from ..session import Encoding, Outgoing


KEPT_NUMBERS: Final = 4096
"""Templates of a stream of whose numbers in the ring the server knows that they were templates."""


class RingsLimit:
    """A limit on the bytes of all rings of a server together.

    Attributes:
        limit: bytes that the rings may keep.
        used: bytes that they keep.
        rings: number of rings.
    """

    __slots__ = ("limit", "rings", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.rings = 0

    def is_short(self, nbytes: int) -> bool:
        """Return whether a ring of ``nbytes`` has to shrink: the limit is exceeded, and the ring is above its share."""
        return self.used > self.limit and nbytes * self.rings > self.limit


class Ring:
    """The latest publications of one stream, numbered from 0.

    Args:
        seconds: age at which a publication is dropped.
        nbytes: bytes that the ring may keep.
        shared: the limit that it shares with other rings.

    Attributes:
        floor: in microseconds since 1970; every publication later than this is in the ring, templates aside: a viewer
            gets these with the answer to its SUBSCRIBE.
        nbytes: bytes of the publications in the ring.
        first: number of the oldest publication in the ring.
        end: number of the next publication.
    """

    __slots__ = ("_limit", "_publications", "_seconds", "_shared", "_stripped", "_templates", "end", "floor", "nbytes")

    def __init__(self, seconds: float, nbytes: int, shared: RingsLimit) -> None:
        self.floor = 0
        self.nbytes = 0
        self.end = 0
        self._stripped = 0  # publications before this number have only their canonical frame
        self._seconds = seconds
        self._limit = nbytes
        self._shared = shared
        shared.rings += 1
        self._publications: deque[Publication] = deque()
        self._templates: deque[int] = deque(maxlen=KEPT_NUMBERS)

    @property
    def seconds(self) -> float:
        """Age at which a publication is dropped."""
        return self._seconds

    def __len__(self) -> int:
        return len(self._publications)

    @property
    def first(self) -> int:
        """Number of the oldest publication in the ring; ``end`` if the ring is empty."""
        return self.end - len(self._publications)

    @property
    def oldest(self) -> int | None:
        """Timestamp of the oldest publication in the ring; None if the ring is empty."""
        return self._publications[0].timestamp if self._publications else None

    @property
    def span(self) -> float:
        """Seconds from the oldest to the newest publication."""
        kept = self._publications
        return (kept[-1].timestamp - kept[0].timestamp) / 1_000_000 if kept else 0.0

    def append(self, publication: Publication, now: float) -> None:
        """Add a publication. Call ``trim`` afterwards.

        Args:
            publication: later than all before it.
            now: in seconds of the loop's clock.
        """
        publication.number = self.end
        publication.arrived = now
        publication.kept = True
        self.end += 1
        self._publications.append(publication)
        if publication.type not in DATA_TYPES:
            self._templates.append(publication.number)
        self._grow(publication.nbytes)

    def templates_within(self, first: int, end: int) -> int:
        """Count what only viewers of version 4 get, from the number ``first`` to the one before ``end``."""
        numbers = list(self._templates)
        return bisect_left(numbers, end) - bisect_left(numbers, first)

    def frame(self, publication: Publication, encoding: Encoding) -> Outgoing | None:
        """Return the publication in an encoding, and keep that frame with it. See ``Publication.outgoing``."""
        before = publication.nbytes
        outgoing = publication.outgoing(encoding)
        self._note_growth(publication, before)
        return outgoing

    def keep(self, publication: Publication, encoding: Encoding, outgoing: Outgoing) -> None:
        """Keep a frame that was encoded elsewhere with its publication."""
        before = publication.nbytes
        publication.keep(encoding, outgoing)
        self._note_growth(publication, before)

    def trim(self, now: float) -> None:
        """Drop old publications; above the limits, also frames that can be encoded again, then the oldest publications.

        Args:
            now: in seconds of the loop's clock.
        """
        while self._publications and self._publications[0].arrived < now - self._seconds:
            self._drop()
        while self._publications and self._is_over():
            if self._stripped < self.end:
                self._strip_next()
            else:
                self._drop()

    def close(self) -> None:
        """Drop all publications, and give up the ring's share of the limit."""
        while self._publications:
            self._drop()
        self._shared.rings -= 1

    def raise_floor(self, timestamp: int) -> None:
        """Note that publications up to that timestamp may be missing from the ring."""
        self.floor = max(self.floor, timestamp)

    def knows(self, timestamp: int) -> bool:
        """Return whether the stream has a message with that timestamp: one in the ring, or the last one before it."""
        if timestamp == self.floor:
            return True
        for publication in reversed(self._publications):
            if publication.timestamp <= timestamp:
                return publication.timestamp == timestamp
        return False

    @property
    def latest(self) -> int:
        """Timestamp of the newest message, or ``floor`` if the ring is empty."""
        return self._publications[-1].timestamp if self._publications else self.floor

    def number_after(self, timestamp: int) -> int:
        """Number of the first publication later than a timestamp; ``end`` if there is none."""
        number = self.end
        for publication in reversed(self._publications):
            if publication.timestamp <= timestamp:
                break
            number = publication.number
        return number

    def start_from(self, number: int) -> Iterator[Publication]:
        """Iterate over the publications from a number on."""
        return islice(self._publications, max(0, number - self.first), None)

    def _note_growth(self, publication: Publication, before: int) -> None:
        if publication.kept and publication.nbytes > before:
            self._grow(publication.nbytes - before)
            self._stripped = min(self._stripped, publication.number)

    def _is_over(self) -> bool:
        return self.nbytes > self._limit or self._shared.is_short(self.nbytes)

    def _strip_next(self) -> None:
        number = max(self._stripped, self.first)
        self._grow(-self._publications[number - self.first].strip())
        self._stripped = number + 1

    def _drop(self) -> None:
        dropped = self._publications.popleft()
        dropped.kept = False
        if dropped.type in DATA_TYPES:
            self.raise_floor(dropped.timestamp)
        self._grow(-dropped.nbytes)

    def _grow(self, nbytes: int) -> None:
        self.nbytes += nbytes
        self._shared.used += nbytes
