"""Samples of an LSL stream with their timestamps, cut into frames of equal length, with gaps filled.

The timestamps of LSL are those of the sender. They jitter: many senders stamp samples when they arrive from a device.
So samples are counted, and the count follows the timestamps slowly. Only a timestamp that is later than the jitter of
the last seconds explains is a gap.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from .limits import LONGEST_FILL, FillBudget

LEARNING: Final = 2.0
"""Seconds of signal at the start during which the jitter is not known yet."""

UNKNOWN_JITTER: Final = 0.25
"""Lateness in seconds that is no gap during this time."""

LARGEST_JITTER: Final = 0.5
"""Lateness in seconds that is a gap, whatever the jitter was."""

SAFETY: Final = 3.0
"""A gap is later than this multiple of the recent jitter."""

HALF_LIFE: Final = 10.0
"""Seconds of signal after which a jitter that did not occur again counts half."""

SMALLEST_GAP: Final = 0.75
"""Lateness in samples that is a gap where there is no jitter."""

PORTION: Final = 0.1
"""Seconds of signal after which the jitter and the count are updated, however many samples come at once."""

BACK: Final = 1.0
"""Seconds by which timestamps may go back, by jitter; if they go back further, the sender's clock was set back."""

CORRECTION: Final = 0.1
"""Share of the average lateness of a chunk by which the count follows the timestamps."""

MOST_CORRECTION: Final = 0.005
"""Largest correction in seconds per second of signal, so the count follows any real sampling rate this close."""


class Frame(NamedTuple):
    """Samples of one message.

    Attributes:
        begin: time of the first sample, by the clock of the LSL sender, in seconds.
        values: [channels, samples], NaN where a sample is missing.
    """

    begin: float
    values: npt.NDArray[Any]


class Framing:
    """Cuts one stream into frames.

    Args:
        rate: nominal sampling rate in Hz.
        channels: number of channels.
        samples: samples in each frame; fewer in the last one before times jump.
        dtype: of the samples, a float type.
        now: seconds of a monotonic clock, see ``FillBudget``.

    Attributes:
        gaps: number of gaps that were filled.
        missing: number of samples of each channel that were inserted for gaps.
        breaks: number of times that the timestamps jumped, back or by more than is filled, so the frames do too.
    """

    def __init__(self, rate: float, channels: int, samples: int, dtype: npt.DTypeLike, now: float) -> None:
        self.gaps = 0
        self.missing = 0
        self.breaks = 0
        self._step = 1 / rate
        self._samples = samples
        self._portion = max(round(PORTION * rate), 1)
        self._buffer = np.empty((channels, samples), dtype)
        self._held = 0
        self._begin = 0.0
        self._next: float | None = None
        self._jitter = 0.0
        self._learned = 0.0
        self._budget = FillBudget(now)

    def add(self, values: npt.NDArray[Any], times: npt.NDArray[np.float64], now: float) -> Iterator[Frame]:
        """Add samples, and yield the frames that are complete.

        Args:
            values: [samples, channels], as LSL gives them.
            times: timestamps, [samples].
            now: seconds of the monotonic clock.
        """
        done = 0
        while done < len(times):
            if self._next is None:
                self._next = float(times[done])
            some = times[done : done + self._portion]
            late = some - (self._next + self._step * np.arange(len(some)))
            far = (late > self._threshold()) | (late < -BACK)
            count = int(np.argmax(far)) if far.any() else len(late)
            if count:
                yield from self._append(values[done : done + count].T)
                self._follow(late[:count])
                done += count
            else:
                yield from self._pass_over(float(late[0]), now)

    def rest(self) -> Iterator[Frame]:
        """Yield the samples of the last, incomplete frame."""
        if self._held:
            yield Frame(self._begin, self._buffer[:, : self._held].copy())
            self._held = 0

    def _threshold(self) -> float:
        """Lateness in seconds from which samples are missing."""
        if self._learned < LEARNING:
            return max(SMALLEST_GAP * self._step, UNKNOWN_JITTER)
        return max(SMALLEST_GAP * self._step, min(SAFETY * self._jitter, LARGEST_JITTER))

    def _follow(self, late: npt.NDArray[np.float64]) -> None:
        """Advance the count by these samples, and bring it closer to their timestamps."""
        assert self._next is not None
        seconds = len(late) * self._step
        most = MOST_CORRECTION * seconds
        self._next += seconds + min(max(CORRECTION * float(np.mean(late)), -most), most)
        self._jitter = max(self._jitter * 0.5 ** (seconds / HALF_LIFE), float(np.max(np.abs(late))))
        self._learned += seconds

    def _pass_over(self, late: float, now: float) -> Iterator[Frame]:
        """Fill a gap before the next sample; or begin anew at its time, if it is too long or times went back."""
        assert self._next is not None
        missing = round(late / self._step)
        if 0 < late <= LONGEST_FILL and missing and self._budget.spend(late, now):
            self.gaps += 1
            self.missing += missing
            yield from self._append_missing(missing)
            self._next += missing * self._step
            return
        self.breaks += 1
        yield from self.rest()
        self._next = None

    def _append_missing(self, count: int) -> Iterator[Frame]:
        hole = np.full((len(self._buffer), min(count, self._samples)), np.nan, self._buffer.dtype)
        at = self._next
        assert at is not None
        while count:
            piece = min(count, self._samples)
            yield from self._append(hole[:, :piece], at)
            at += piece * self._step
            count -= piece

    def _append(self, values: npt.NDArray[Any], begin: float | None = None) -> Iterator[Frame]:
        """Append samples, [channels, samples], of which the first is at ``begin``, by default the next time."""
        at = self._next if begin is None else begin
        assert at is not None
        done = 0
        while done < values.shape[1]:
            if not self._held:
                self._begin = at + done * self._step
            count = min(values.shape[1] - done, self._samples - self._held)
            self._buffer[:, self._held : self._held + count] = values[:, done : done + count]
            self._held += count
            done += count
            if self._held == self._samples:
                yield Frame(self._begin, self._buffer.copy())
                self._held = 0
