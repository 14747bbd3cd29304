"""One direction of a TCP connection, put in order from segments as a capture has them: shuffled, doubled, missing."""

from __future__ import annotations

from typing import Final, NamedTuple

PATIENCE_BYTES: Final = 4 * 1024 * 1024
"""Bytes behind a hole that are kept, in the hope that a later segment fills it."""

PATIENCE_SECONDS: Final = 0.2
"""For how long a hole may be open once the other side has acknowledged what was in it: then the capture missed it."""

_ROUND: Final = 1 << 32


class Piece(NamedTuple):
    """Bytes in order.

    Attributes:
        octets: the bytes.
        time: when their segment was captured, in Unix seconds.
        missing: how many are missing in front of them.
    """

    octets: bytes
    time: float
    missing: int = 0


class _Early(NamedTuple):
    octets: bytes
    time: float


class TcpDirection:
    """What one side has sent. Sequence numbers are 32 bits and begin again at 0."""

    def __init__(self) -> None:
        self._expected: int | None = None
        self._early: dict[int, _Early] = {}
        self._early_bytes = 0

    def open(self, sequence: int) -> None:
        """The segment with SYN came: the first byte has the next number."""
        if self._expected is None:
            self._expected = (sequence + 1) % _ROUND

    def feed(self, sequence: int, octets: bytes, time: float) -> list[Piece]:
        """A segment came. Gives the bytes that are in order by now."""
        if not octets:
            return []
        if self._expected is None:  # the capture began in the middle
            self._expected = sequence
        ahead = _distance(self._expected, sequence)
        if ahead > 0:
            self._keep(sequence, _Early(octets, time))
            return self._give_up_waiting() if self._early_bytes > PATIENCE_BYTES else []
        fresh = octets[-ahead:]
        return [Piece(fresh, time), *self._follow(len(fresh))] if fresh else []

    def acknowledged(self, sequence: int, time: float) -> list[Piece]:
        """The other side has all bytes before that number. Gives those behind a hole that nothing will fill."""
        if not self._early or self._expected is None or _distance(self._expected, sequence) <= 0:
            return []
        since = min(early.time for early in self._early.values())
        return self._give_up_waiting() if time - since > PATIENCE_SECONDS else []

    def finish(self) -> list[Piece]:
        """The capture ends: what is behind holes, with how much is missing in front of each."""
        pieces: list[Piece] = []
        while self._early:
            pieces += self._give_up_waiting()
        return pieces

    def _keep(self, sequence: int, early: _Early) -> None:
        known = self._early.get(sequence)
        if known is None or len(early.octets) > len(known.octets):
            self._early[sequence] = early
            self._early_bytes += len(early.octets) - (len(known.octets) if known else 0)

    def _follow(self, nbytes: int) -> list[Piece]:
        """So many bytes came in order: what was early and follows them."""
        assert self._expected is not None
        self._expected = (self._expected + nbytes) % _ROUND
        pieces = []
        while self._early and (sequence := self._nearest()) is not None:
            early = self._take(sequence)
            fresh = early.octets[_distance(sequence, self._expected) :]
            if fresh:
                pieces.append(Piece(fresh, early.time))
                self._expected = (self._expected + len(fresh)) % _ROUND
        return pieces

    def _nearest(self) -> int | None:
        """An early segment that now begins where it is expected, or before."""
        assert self._expected is not None
        expected = self._expected
        if expected in self._early:
            return expected
        return next((sequence for sequence in self._early if _distance(expected, sequence) <= 0), None)

    def _give_up_waiting(self) -> list[Piece]:
        """Go on behind the hole."""
        assert self._expected is not None
        expected = self._expected
        sequence = min(self._early, key=lambda number: _distance(expected, number))
        early = self._take(sequence)
        self._expected = sequence
        return [Piece(early.octets, early.time, _distance(expected, sequence)), *self._follow(len(early.octets))]

    def _take(self, sequence: int) -> _Early:
        early = self._early.pop(sequence)
        self._early_bytes -= len(early.octets)
        return early


def _distance(start: int, stop: int) -> int:
    """How far stop is behind start; below 0 where it is before it."""
    return (stop - start + _ROUND // 2) % _ROUND - _ROUND // 2
