"""Reassembles one direction of a TCP connection from captured segments.

Segments may be out of order, duplicated or missing.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Final, NamedTuple

MAX_GAP_BYTES: Final = 4 * 1024 * 1024
"""Maximum number of bytes buffered after a gap, while the missing segment may still come."""

MAX_GAP_SEGMENTS: Final = 4096
"""Maximum number of segments buffered after a gap. At usual segment sizes, MAX_GAP_BYTES is reached first."""

MAX_GAP_SECONDS: Final = 0.2
"""Seconds to wait for a missing segment after the receiver has acknowledged it. Then the capture has missed it."""

SEQUENCE_MODULUS: Final = 1 << 32


class Piece(NamedTuple):
    """Bytes in order.

    Attributes:
        octets: the bytes.
        time: time at which the segment was captured, in Unix seconds.
        missing: number of bytes that are missing before these.
    """

    octets: bytes
    time: float
    missing: int = 0


class BufferedSegment(NamedTuple):
    """A segment after a gap, ordered by position, then by arrival."""

    start: int
    number: int
    octets: bytes
    time: float


class TcpDirection:
    """Reassembles the bytes that one side has sent.

    TCP sequence numbers wrap around at 2**32; this class extends them to unbounded integers.
    """

    def __init__(self) -> None:
        self._expected: int | None = None
        self._buffered: list[BufferedSegment] = []  # a heap, ordered by start
        self._longest_at_start: dict[int, int] = {}
        self._buffered_bytes = 0
        self._number = 0
        self._gap_since = 0.0

    def open(self, sequence: int) -> None:
        """Take the segment with SYN. The first byte of data has the next sequence number."""
        if self._expected is None:
            self._expected = (sequence + 1) % SEQUENCE_MODULUS

    def feed(self, sequence: int, octets: bytes, time: float) -> list[Piece]:
        """Take a segment, and return the bytes that are now in order."""
        if not octets:
            return []
        if self._expected is None:  # the capture began within the connection
            self._expected = sequence
        ahead = _distance(self._expected, sequence)
        if ahead > 0:
            self._keep(self._expected + ahead, octets, time)
            too_much = self._buffered_bytes > MAX_GAP_BYTES or len(self._buffered) > MAX_GAP_SEGMENTS
            return self._skip_gap() if too_much else []
        fresh = octets[-ahead:]
        return [Piece(fresh, time), *self._follow(len(fresh))] if fresh else []

    def acknowledged(self, sequence: int, time: float) -> list[Piece]:
        """Note that the receiver has acknowledged all bytes before ``sequence``.

        Returns:
            The buffered bytes after a gap that the capture has missed.
        """
        if not self._buffered or self._expected is None or _distance(self._expected, sequence) <= 0:
            return []
        return self._skip_gap() if time - self._gap_since > MAX_GAP_SECONDS else []

    def finish(self) -> list[Piece]:
        """Return the bytes after all remaining gaps, at the end of the capture."""
        pieces: list[Piece] = []
        while self._buffered:
            pieces += self._skip_gap()
        return pieces

    def _keep(self, start: int, octets: bytes, time: float) -> None:
        if len(octets) <= self._longest_at_start.get(start, 0):
            return
        self._longest_at_start[start] = len(octets)
        self._gap_since = min(self._gap_since, time) if self._buffered else time
        self._number += 1
        heappush(self._buffered, BufferedSegment(start, self._number, octets, time))
        self._buffered_bytes += len(octets)

    def _follow(self, nbytes: int) -> list[Piece]:
        """Advance by ``nbytes``; return the buffered segments that are now contiguous."""
        assert self._expected is not None
        self._expected += nbytes
        pieces = []
        while self._buffered and self._buffered[0].start <= self._expected:
            segment = self._take()
            fresh = segment.octets[self._expected - segment.start :]
            if fresh:
                pieces.append(Piece(fresh, segment.time))
                self._expected += len(fresh)
        if self._buffered:  # after another gap
            self._gap_since = self._buffered[0].time
        return pieces

    def _skip_gap(self) -> list[Piece]:
        """Return the buffered bytes after the gap, up to the next one, and stop waiting for what is missing."""
        assert self._expected is not None
        segment = self._take()
        missing = segment.start - self._expected
        self._expected = segment.start
        return [Piece(segment.octets, segment.time, missing), *self._follow(len(segment.octets))]

    def _take(self) -> BufferedSegment:
        segment = heappop(self._buffered)
        self._buffered_bytes -= len(segment.octets)
        self._longest_at_start.pop(segment.start, None)
        return segment


def _distance(start: int, stop: int) -> int:
    """Return how far ``stop`` is after ``start``, modulo 2**32; negative if before.

    Either may have wrapped around any number of times.
    """
    return (stop - start + SEQUENCE_MODULUS // 2) % SEQUENCE_MODULUS - SEQUENCE_MODULUS // 2
