"""Plays a recording as live streams, as if monitors were measuring it now."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from fractions import Fraction
from itertools import count
from math import floor
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..frame_file import constant_fields
from ..protocol import MessageType
from ..records import Record, RecordError

log = logging.getLogger(__name__)

Publish = Callable[[str, MessageType, dict[str, Any]], Coroutine[Any, Any, object]]
"""``WebSocketBinaryHandler.publish``, or anything called like it."""

WORTH_A_WARNING: Final = 1.0
"""Seconds that the player is late before it says so, and seconds that the wall clock may differ from steady time."""

BETWEEN_WARNINGS: Final = 10.0
"""Seconds."""


class Loop:
    """A stretch of a recording, played round and round.

    Args:
        record: the recording.
        samples: which of its samples to play; all of them by default.

    Attributes:
        record: the recording.
        length: samples of each lead until it begins anew.
    """

    def __init__(self, record: Record, samples: range | None = None) -> None:
        played = range(record.samples) if samples is None else samples
        self.record = record
        self.length = len(played)
        self._signal = record.signal[:, played.start : played.stop]

    def samples(self, start: int, stop: int) -> npt.NDArray[Any]:
        """[leads, stop - start]: the samples of those numbers, counted on and on over as many rounds as it takes."""
        first, last = start % self.length, stop - start + start % self.length
        if last <= self.length:
            return self._signal[:, first:last]
        return self._signal[:, np.arange(first, last) % self.length]


class Frames:
    """The messages of a loop, frame after frame without end.

    A frame is ``seconds`` long to the last digit on average: where that is no whole number of samples, some have one
    sample more than others.

    Args:
        loop: what to play.
        seconds: the length of a frame, exactly.

    Raises:
        RecordError: a frame would hold no sample.
    """

    def __init__(self, loop: Loop, seconds: Fraction) -> None:
        record = loop.record
        self._loop = loop
        self._rate = Fraction(record.sampling_rate)
        self._each = seconds * self._rate
        self._constant = constant_fields(record, calibrated=record.is_counts)
        if self._each < 1:
            raise RecordError(
                f"{record.source}: a frame of {float(seconds) * 1000:g} ms holds no sample at "
                f"{record.sampling_rate:g} Hz; {float(1000 / self._rate):.3g} ms is the least"
            )

    def first(self, number: int) -> int:
        """The first sample of that frame; they are counted from 0, both of them."""
        return floor(number * self._each)

    def moment(self, number: int) -> float:
        """When that frame's first sample is due, in seconds after the very first one."""
        return float(self.first(number) / self._rate)

    def message(self, number: int, offset: int, timestamp: float) -> dict[str, Any]:
        """The payload of ECG_DATA for that frame.

        Args:
            number: of the frame; also its ``sequence``.
            offset: the sample of the loop with which frame 0 begins.
            timestamp: of its first sample, in Unix seconds.
        """
        return {
            "signal": self._loop.samples(offset + self.first(number), offset + self.first(number + 1)),
            **self._constant,
            "sequence": number,
            "timestamp": timestamp,
        }


class Player:
    """Publishes a loop on several streams, each from a place of its own in it, all by one clock.

    Frame k is published k frame lengths after the start: at the moment when a monitor would have measured the last of
    its samples. One that is late is made up for, so that no sample is lost or doubled and nothing drifts over hours.

    Args:
        loop: what to play.
        streams: names of the streams.
        publish: takes a stream, a message type and the data.
        frame_seconds: the length of a frame.
        speed: how many times as fast as it was recorded. Timestamps tell when a sample was played; ``sampling_rate``
            stays the recording's.
        wall_clock: Unix seconds.

    Raises:
        RecordError: a frame would hold no sample.
    """

    def __init__(
        self,
        loop: Loop,
        streams: Sequence[str],
        publish: Publish,
        *,
        frame_seconds: Fraction = Fraction(1, 20),
        speed: float = 1.0,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._frames = Frames(loop, frame_seconds)
        self._offsets = {name: number * loop.length // len(streams) for number, name in enumerate(streams)}
        self._publish = publish
        self._frame = float(frame_seconds)
        self._step = self._frame / speed
        self._speed = speed
        self._wall_clock = _WallClock(wall_clock)
        self._warned = -BETWEEN_WARNINGS

    async def run(self) -> None:
        """Play until cancelled."""
        start = asyncio.get_running_loop().time()
        for number in count():
            due = start + number * self._step
            await self._wait_until(due)
            moment = start + (self._frames.moment(number) - self._frame) / self._speed
            await self._publish_frame(number, round(self._wall_clock.at(moment), 6))

    async def _publish_frame(self, number: int, timestamp: float) -> None:
        """On all streams at once: what waits for a backplane's network then waits for it once.

        As tasks of their own, so that others on this event loop have their turn even when the player is late.
        """
        await asyncio.gather(
            *[
                self._publish(stream, MessageType.ECG_DATA, self._frames.message(number, offset, timestamp))
                for stream, offset in self._offsets.items()
            ]
        )

    async def _wait_until(self, due: float) -> None:
        late = asyncio.get_running_loop().time() - due
        if late < 0:
            await asyncio.sleep(-late)
        if late > WORTH_A_WARNING and due - self._warned > BETWEEN_WARNINGS:
            self._warned = due
            log.warning("the player is %.1f s behind", late, extra={"late": round(late, 3)})


class _WallClock:
    """Turns steady time into wall time, steadily: it follows the wall clock only when that was set."""

    def __init__(self, wall_clock: Callable[[], float]) -> None:
        self._read = wall_clock
        self._ahead: float | None = None

    def at(self, moment: float) -> float:
        """The Unix time of a moment of the event loop's clock, in seconds."""
        ahead = self._read() - asyncio.get_running_loop().time()
        if self._ahead is None:
            self._ahead = ahead
        elif abs(ahead - self._ahead) > WORTH_A_WARNING:
            log.warning("the clock was set by %.3f s", ahead - self._ahead, extra={"seconds": ahead - self._ahead})
            self._ahead = ahead
        return moment + self._ahead
