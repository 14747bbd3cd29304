"""What was published on a stream of late: kept for viewers that come back, bounded in seconds and bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from .publication import Publication

if TYPE_CHECKING:
    from ..session import Encoding, Outgoing


class Room:
    """Bytes that all rings of a server share.

    Attributes:
        limit: how many there are.
        used: by all rings.
        rings: how many there are.
    """

    __slots__ = ("limit", "rings", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.rings = 0

    def is_short(self, nbytes: int) -> bool:
        """Tell whether a ring of that size is to become smaller: one that has no more than its share never is."""
        return self.used > self.limit and nbytes * self.rings > self.limit


class Ring:
    """The latest publications of one stream, numbered from 0 on.

    Args:
        seconds: after which a publication is let go.
        nbytes: that it keeps at most.
        room: that it shares with other rings.

    Attributes:
        floor: microseconds since 1970: all publications later than this are here.
        nbytes: of what is kept.
        first: number of the oldest publication that is kept.
        end: number that the next one gets.
    """

    __slots__ = ("_limit", "_publications", "_room", "_seconds", "_stripped", "end", "floor", "nbytes")

    def __init__(self, seconds: float, nbytes: int, room: Room) -> None:
        self.floor = 0
        self.nbytes = 0
        self.end = 0
        self._stripped = 0  # the publications before this number have no other frame than the canonical one
        self._seconds = seconds
        self._limit = nbytes
        self._room = room
        room.rings += 1
        self._publications: deque[Publication] = deque()

    def __len__(self) -> int:
        return len(self._publications)

    @property
    def first(self) -> int:
        """Number of the oldest publication that is kept; ``end`` where none is."""
        return self.end - len(self._publications)

    @property
    def oldest(self) -> int | None:
        """Timestamp of the oldest publication that is kept."""
        return self._publications[0].timestamp if self._publications else None

    @property
    def span(self) -> float:
        """Seconds from the oldest to the newest."""
        kept = self._publications
        return (kept[-1].timestamp - kept[0].timestamp) / 1_000_000 if kept else 0.0

    def append(self, publication: Publication, now: float) -> None:
        """Keep it. Call ``trim`` afterwards."""
        publication.number = self.end
        publication.arrived = now
        publication.kept = True
        self.end += 1
        self._publications.append(publication)
        self._grow(publication.nbytes)

    def frame(self, publication: Publication, encoding: Encoding) -> Outgoing:
        """The publication in that encoding, kept with it from now on."""
        before = publication.nbytes
        outgoing = publication.outgoing(encoding)
        self._note_growth(publication, before)
        return outgoing

    def keep(self, publication: Publication, encoding: Encoding, outgoing: Outgoing) -> None:
        """Keep with a publication what it was encoded to elsewhere."""
        before = publication.nbytes
        publication.keep(encoding, outgoing)
        self._note_growth(publication, before)

    def trim(self, now: float) -> None:
        """Let go what is too old; where there is too much, first what can be made again, then the oldest."""
        while self._publications and self._publications[0].arrived < now - self._seconds:
            self._drop()
        while self._publications and self._is_over():
            if self._stripped < self.end:
                self._strip_next()
            else:
                self._drop()

    def close(self) -> None:
        """Let all go, and the share of the room."""
        while self._publications:
            self._drop()
        self._room.rings -= 1

    def raise_floor(self, timestamp: int) -> None:
        """Note that publications up to that timestamp may be missing here."""
        self.floor = max(self.floor, timestamp)

    def knows(self, timestamp: int) -> bool:
        """Tell whether that is a place in this stream: of a message that is kept, or the last one before these."""
        if timestamp == self.floor:
            return True
        for publication in reversed(self._publications):
            if publication.timestamp <= timestamp:
                return publication.timestamp == timestamp
        return False

    @property
    def latest(self) -> int:
        """The latest place in this stream: of the newest message, or the last one before those that were kept."""
        return self._publications[-1].timestamp if self._publications else self.floor

    def number_after(self, timestamp: int) -> int:
        """Number of the first publication that is later than that; ``end`` if none is."""
        number = self.end
        for publication in reversed(self._publications):
            if publication.timestamp <= timestamp:
                break
            number = publication.number
        return number

    def start_from(self, number: int) -> Iterator[Publication]:
        """The publications from that number on."""
        return islice(self._publications, max(0, number - self.first), None)

    def _note_growth(self, publication: Publication, before: int) -> None:
        if publication.kept and publication.nbytes > before:
            self._grow(publication.nbytes - before)
            self._stripped = min(self._stripped, publication.number)

    def _is_over(self) -> bool:
        return self.nbytes > self._limit or self._room.is_short(self.nbytes)

    def _strip_next(self) -> None:
        number = max(self._stripped, self.first)
        self._grow(-self._publications[number - self.first].strip())
        self._stripped = number + 1

    def _drop(self) -> None:
        dropped = self._publications.popleft()
        dropped.kept = False
        self.raise_floor(dropped.timestamp)
        self._grow(-dropped.nbytes)

    def _grow(self, nbytes: int) -> None:
        self.nbytes += nbytes
        self._room.used += nbytes
