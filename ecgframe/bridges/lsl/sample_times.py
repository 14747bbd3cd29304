"""The timestamps of the samples that are sent to LSL: evenly spaced, and close to the times that messages state."""

from __future__ import annotations

from typing import Final

CORRECTION: Final = 0.1
"""Share of the difference between stated and expected time that one message corrects."""

MOST_CORRECTION: Final = 0.005
"""Largest correction, in seconds per second of signal."""

JUMP: Final = 1.0
"""Difference in seconds from which the timestamps jump instead; ten messages, if those are longer."""

JUMP_FRAMES: Final = 10


class SampleTimes:
    """Timestamps of consecutive messages of one stream, by LSL's clock.

    Attributes:
        next: expected time of the next sample; None before the first one.
        jumps: number of times that the timestamps jumped because the stated times did.
    """

    def __init__(self) -> None:
        self.next: float | None = None
        self.jumps = 0

    def place(self, stated: float, samples: int, rate: float) -> float:
        """Return the time of the first sample of the next message.

        Args:
            stated: time of its first sample, as the message states it.
            samples: number of its samples.
            rate: sampling rate in Hz.
        """
        seconds = samples / rate
        first = stated
        if self.next is not None:
            late = stated - self.next
            if abs(late) < max(JUMP, JUMP_FRAMES * seconds):
                most = MOST_CORRECTION * seconds
                first = self.next + min(max(CORRECTION * late, -most), most)
            else:
                self.jumps += 1
        self.next = first + seconds
        return first

    def skip(self, samples: int, rate: float) -> float:
        """Return the time of the first of these missing samples, which follow the last message."""
        assert self.next is not None
        first = self.next
        self.next += samples / rate
        return first

    def restart(self) -> None:
        """Take the stated time of the next message as it is."""
        self.next = None
