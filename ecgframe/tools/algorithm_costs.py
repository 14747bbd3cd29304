"""Measures the compression algorithms on the messages of a source: size and time, and which frame arrives first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from time import perf_counter
from typing import Final

from ..compression import LINK_SPEED, compressed, zstd
from ..protocol import COMPRESSION_LEVEL, COMPRESSION_THRESHOLD, Algorithm

NAMES: Final = {Algorithm.ZLIB: "zlib", Algorithm.ZSTD: "zstd", Algorithm.LZ4: "LZ4"}

_ROUNDS: Final = 3  # of which the fastest counts


@dataclass(frozen=True, slots=True)
class AlgorithmCost:
    """The cost of one algorithm for the payloads of a message type.

    Attributes:
        algorithm: the algorithm.
        nbytes: mean bytes of a payload, compressed where that is smaller.
        seconds: mean seconds for compressing one.
    """

    algorithm: Algorithm
    nbytes: float
    seconds: float

    @property
    def name(self) -> str:
        """Its name, as it is written."""
        return NAMES[self.algorithm]

    @property
    def arrives_after(self) -> float:
        """Seconds until a payload is compressed and has passed a link of 100 Mbit/s."""
        return self.seconds + self.nbytes * 8 / LINK_SPEED


def algorithm_costs(payloads: Iterable[bytes]) -> list[AlgorithmCost]:
    """Measure all algorithms that are there on the payloads that are large enough to be compressed.

    Args:
        payloads: uncompressed payloads.

    Returns:
        One for each algorithm; empty if no payload is large enough.
    """
    large = [memoryview(payload) for payload in payloads if len(payload) > COMPRESSION_THRESHOLD]
    if not large:
        return []
    known = [each for each in Algorithm if each is not Algorithm.ZSTD or zstd.is_available()]
    return [_cost(each, large) for each in known]


def _cost(algorithm: Algorithm, payloads: list[memoryview]) -> AlgorithmCost:
    nbytes, fastest = 0, float("inf")
    for _ in range(_ROUNDS):
        begin = perf_counter()
        results = [compressed(payload, algorithm, COMPRESSION_LEVEL) for payload in payloads]
        fastest = min(fastest, perf_counter() - begin)
        sizes = zip(results, payloads, strict=True)
        nbytes = sum(payload.nbytes if result is None else len(result) for result, payload in sizes)
    return AlgorithmCost(algorithm, nbytes / len(payloads), fastest / len(payloads))


def first_to_arrive(costs: Iterable[AlgorithmCost]) -> AlgorithmCost:
    """The algorithm with which a frame arrives first, which is the one that a sender of version 4 takes."""
    return min(costs, key=lambda each: each.arrives_after)
