"""Annotations of a recording, published as alerts when their samples are played."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from math import floor
from typing import Final, NamedTuple

from ..records import Annotation, Record

NORMAL_BEATS: Final = frozenset({"N"})
"""Codes of WFDB that mark each normal beat: no news, and one a second."""


class Placed(NamedTuple):
    """An annotation, by the sample of the played stretch at which it stands."""

    sample: int
    annotation: Annotation


class Annotations:
    """The annotations of a stretch that is played round and round.

    Args:
        record: the recording.
        samples: which of its samples are played.

    Attributes:
        sent: how many become alerts, in each round.
        normal_beats: how many of the stretch mark normal beats, and do not.
        outside: how many stand outside the stretch, and do not.
    """

    def __init__(self, record: Record, samples: range) -> None:
        self._length = len(samples)
        rate = record.sampling_rate
        inside = []
        for annotation in record.annotations:
            sample = floor(annotation.time * rate + 1e-6) - samples.start
            if 0 <= sample < self._length:
                inside.append(Placed(sample, annotation))
        self._placed = sorted(
            (placed for placed in inside if placed.annotation.text not in NORMAL_BEATS),
            key=lambda placed: placed.sample,
        )
        self._places = [placed.sample for placed in self._placed]
        self.sent = len(self._placed)
        self.normal_beats = len(inside) - self.sent
        self.outside = len(record.annotations) - len(inside)

    def between(self, start: int, stop: int) -> Iterator[Placed]:
        """Those of the samples from start up to stop, counted on over as many rounds as it takes, in order."""
        if not self._placed:
            return
        at = start
        while at < stop:
            round_begins = at - at % self._length
            round_ends = min(stop, round_begins + self._length)
            first, last = (bisect_left(self._places, place - round_begins) for place in (at, round_ends))
            for placed in self._placed[first:last]:
                yield Placed(round_begins + placed.sample, placed.annotation)
            at = round_ends
