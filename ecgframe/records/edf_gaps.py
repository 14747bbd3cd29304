"""Finding the stretches of a recording in which all leads are missing, for the annotations of EDF+."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

MOST_GAPS: Final = 10_000
"""Stretches that are annotated. A recording of random samples may have as many as samples, and each takes a hundred
bytes or more in the file and in memory."""


class Gaps:
    """Finds the stretches, of samples that come in portions.

    Attributes:
        left_out: stretches after the first ``MOST_GAPS``, which were only counted.
    """

    def __init__(self) -> None:
        self.left_out = 0
        self._found = 0
        self._samples = 0
        self._since: int | None = None

    def take(self, is_missing: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
        """Take the next samples: whether all leads are missing, of shape [samples].

        Returns:
            The stretches that have ended: the first sample of each, and the sample after its last.
        """
        is_within = self._since is not None
        if not is_within and not is_missing.any():
            self._samples += is_missing.size
            return []
        edges = self._samples + np.flatnonzero(np.diff(is_missing, prepend=is_within))
        if self._since is not None:
            edges = np.concatenate(([self._since], edges))
        self._samples += is_missing.size
        self._since = int(edges[-1]) if edges.size % 2 else None
        return self._kept(edges[: edges.size - edges.size % 2].reshape(-1, 2))

    def finish(self) -> list[tuple[int, int]]:
        """Return the stretch that lasts to the end, if there is one."""
        if self._since is None:
            return []
        last, self._since = np.array([[self._since, self._samples]]), None
        return self._kept(last)

    def _kept(self, stretches: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
        kept = stretches[: MOST_GAPS - self._found]
        self._found += len(kept)
        self.left_out += len(stretches) - len(kept)
        return [(start, stop) for start, stop in kept.tolist()]
