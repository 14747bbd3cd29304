"""Chooses between compression algorithms by measuring them. Specification: ``docs/protocol.md``, "Choosing"."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import Final

FIRST: Final = 3
"""Number of the first messages of a kind on which all algorithms are measured."""

INTERVAL: Final = 1024
"""After those, all algorithms are measured on every so many-th message of the kind."""

LARGEST: Final = 1 << 16
"""Bytes of a message on which algorithms are measured; of a larger one, its beginning."""

REMEMBERED: Final = 4
"""Number of the latest measurements of a kind that count."""

Compress = Callable[[memoryview, int], bytes | bytearray | None]
"""Compresses a payload with the algorithm of that number; None if that does not make it smaller."""


class _Kind:
    """What was measured for a kind of message.

    Attributes:
        algorithm: the one that is used.
        left: messages until the next measurement.
        measured: the latest measurements of each algorithm: seconds per byte of the payload, and size as a share of it.
    """

    __slots__ = ("algorithm", "left", "measured", "times")

    def __init__(self, algorithms: tuple[int, ...]) -> None:
        self.algorithm = algorithms[0]
        self.left = 0
        self.times = 0
        self.measured: dict[int, deque[tuple[float, float]]] = {each: deque(maxlen=REMEMBERED) for each in algorithms}


class AlgorithmChoice:
    """Chooses for each kind of message the algorithm with which a frame arrives first.

    A message takes the seconds in which it is compressed, and those that its compressed bytes take over a link of a
    given speed. Both are measured for all algorithms on the first 3 messages of a kind and on every 1,024th after them,
    on at most 64 KiB of each. Of the latest 4 measurements, the shortest time counts, and the mean size. A kind is the
    type of the message, whether it is a record, and the size to a power of two, so there are at most some hundreds.

    Threads can share it: what one of them measures may be lost.

    Args:
        algorithms: numbers of the algorithms, at least one; the first is used until something was measured.
        link_speed: bits per second.
        compress: compresses with one of them.
        clock: seconds, for measuring.
    """

    __slots__ = ("_algorithms", "_clock", "_compress", "_kinds", "_seconds_per_byte")

    def __init__(
        self,
        algorithms: tuple[int, ...],
        link_speed: float,
        compress: Compress,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._algorithms = algorithms
        self._seconds_per_byte = 8 / link_speed
        self._compress = compress
        self._clock = clock
        self._kinds: dict[tuple[int, bool, int], _Kind] = {}

    def compress(self, type: int, is_record: bool, payload: memoryview) -> tuple[int, bytes | bytearray | None]:
        """Compress a payload with the algorithm for its kind.

        Returns:
            The number of the algorithm, and the compressed payload; None if the algorithm does not make it smaller.
        """
        if len(self._algorithms) == 1:
            return self._algorithms[0], self._compress(payload, self._algorithms[0])
        key = type, is_record, payload.nbytes.bit_length()
        kind = self._kinds.get(key)
        if kind is None:
            kind = self._kinds.setdefault(key, _Kind(self._algorithms))
        if kind.left > 0:
            kind.left -= 1
            return kind.algorithm, self._compress(payload, kind.algorithm)
        results = self._measure(kind, payload[:LARGEST])
        kind.times += 1
        kind.left = 0 if kind.times < FIRST else INTERVAL - 1
        kind.algorithm = min(self._algorithms, key=lambda each: self._cost(kind.measured[each]))
        if payload.nbytes <= LARGEST:
            return kind.algorithm, results[kind.algorithm]
        return kind.algorithm, self._compress(payload, kind.algorithm)

    def _measure(self, kind: _Kind, sample: memoryview) -> dict[int, bytes | bytearray | None]:
        results = {}
        for algorithm in self._algorithms:
            begin = self._clock()
            result = self._compress(sample, algorithm)
            seconds = self._clock() - begin
            results[algorithm] = result
            share = 1.0 if result is None else len(result) / sample.nbytes
            kind.measured[algorithm].append((seconds / sample.nbytes, share))
        return results

    def _cost(self, measured: deque[tuple[float, float]]) -> float:
        """Seconds per byte of the payload until its frame has arrived."""
        shares = [share for _, share in list(measured)]
        return min(seconds for seconds, _ in list(measured)) + sum(shares) / len(shares) * self._seconds_per_byte
