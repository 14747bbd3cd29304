"""Plays a recording as live streams, as if monitors were recording it now."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Coroutine, Sequence
from fractions import Fraction
from itertools import count
from math import floor
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..frame_file import annotation_alert, constant_fields
from ..protocol import MessageType
from ..records import Record, RecordError
from ..records.mapped import Reading
from .annotation_alerts import Annotations

log = logging.getLogger(__name__)

Publish = Callable[[str, MessageType, dict[str, Any]], Coroutine[Any, Any, object]]
"""``WebSocketBinaryHandler.publish``, or a callable with the same arguments."""

WORTH_A_WARNING: Final = 1.0
"""Seconds by which the player may be late, and the wall clock may drift from the monotonic one, without a warning."""

BETWEEN_WARNINGS: Final = 10.0
"""Least number of seconds from one warning to the next."""


class Loop:
    """A part of a recording that is played in a loop.

    Args:
        record: the recording.
        samples: range of samples to play; all by default.

    Attributes:
        record: the recording.
        played: the samples that are played.
        length: samples of each lead in one round.
    """

    def __init__(self, record: Record, samples: range | None = None) -> None:
        played = range(record.samples) if samples is None else samples
        self.record = record
        self.played = played
        self.length = len(played)
        self._reading = Reading(record.signal[:, played.start : played.stop])

    def samples(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Return samples ``start`` to ``stop``, [leads, stop - start]; those past ``length`` are of the next round."""
        first, last = start % self.length, stop - start + start % self.length
        if last <= self.length:
            return self._reading.samples(first, last)
        return self._reading.signal[:, np.arange(first, last) % self.length]


class Frames:
    """The endless sequence of ECG_DATA messages of a loop.

    The average length of a frame is exactly ``seconds``: if that is not a whole number of samples, some frames have one
    sample more than others.

    Args:
        loop: the recording.
        seconds: length of a frame.

    Raises:
        RecordError: a frame would have no sample.
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
        """Number of the first sample of a frame; both are counted from 0."""
        return floor(number * self._each)

    def moment(self, number: int) -> float:
        """When the first sample of a frame is due, in seconds after sample 0."""
        return float(self.first(number) / self._rate)

    def message(self, number: int, offset: int, timestamp: float) -> dict[str, Any]:
        """Return the ECG_DATA payload of a frame.

        Args:
            number: number of the frame, which is also its ``sequence``.
            offset: sample of the loop at which frame 0 begins.
            timestamp: time of the frame's first sample, in Unix seconds.
        """
        return {
            "signal": self._loop.samples(offset + self.first(number), offset + self.first(number + 1)),
            **self._constant,
            "sequence": number,
            "timestamp": timestamp,
        }


class Player:
    """Publishes a loop on several streams at the same time, each beginning at another position of the recording.

    Frame k is published k frame lengths after the start: when a monitor would have measured the last of its samples. If
    a frame is late, the next ones follow sooner, so no sample is lost or repeated, and timing does not drift.

    Args:
        loop: the recording.
        streams: names of the streams.
        publish: takes a stream, a message type and the data.
        frame_seconds: length of a frame.
        speed: how many times faster than recorded to play. Timestamps say when a sample is played; ``sampling_rate`` is
            that of the recording.
        annotations: published as alerts, each after the frame with its sample.
        only: those of the streams that are published here, if other processes publish the rest; None for all.
        wall_clock: returns Unix seconds.

    Raises:
        RecordError: a frame would have no sample.
    """

    def __init__(
        self,
        loop: Loop,
        streams: Sequence[str],
        publish: Publish,
        *,
        frame_seconds: Fraction = Fraction(1, 20),
        speed: float = 1.0,
        annotations: Annotations | None = None,
        only: Collection[str] | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._annotations = annotations
        self._rate = loop.record.sampling_rate
        self._frames = Frames(loop, frame_seconds)
        self._offsets = {
            name: number * loop.length // len(streams)
            for number, name in enumerate(streams)
            if only is None or name in only
        }
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
            timestamp = round(self._wall_clock.at(moment), 6)
            await self._publish_frame(number, timestamp)
            if self._annotations is not None:
                await self._publish_annotations(self._annotations, number, timestamp)

    async def _publish_frame(self, number: int, timestamp: float) -> None:
        """Publish a frame on all streams at the same time, so that they wait for a backplane's network together.

        Each runs as a task, so that other tasks get their turn even if the player is late.
        """
        await asyncio.gather(
            *[
                self._publish(stream, MessageType.ECG_DATA, self._frames.message(number, offset, timestamp))
                for stream, offset in self._offsets.items()
            ]
        )

    async def _publish_annotations(self, annotations: Annotations, number: int, timestamp: float) -> None:
        first, last = self._frames.first(number), self._frames.first(number + 1)
        for stream, offset in self._offsets.items():
            for sample, annotation in annotations.between(offset + first, offset + last):
                moment = timestamp + (sample - offset - first) / self._rate / self._speed
                alert = annotation_alert(annotation, round(moment, 6), self._speed)
                await self._publish(stream, MessageType.ANOMALY_ALERT, alert)

    async def _wait_until(self, due: float) -> None:
        late = asyncio.get_running_loop().time() - due
        if late < 0:
            await asyncio.sleep(-late)
        if late > WORTH_A_WARNING and due - self._warned > BETWEEN_WARNINGS:
            self._warned = due
            log.warning("the player is %.1f s behind", late, extra={"late": round(late, 3)})


class _WallClock:
    """Converts the event loop's time to wall time, and follows the wall clock only when that was set."""

    def __init__(self, wall_clock: Callable[[], float]) -> None:
        self._read = wall_clock
        self._ahead: float | None = None

    def at(self, moment: float) -> float:
        """Return a time of the event loop's clock as Unix seconds."""
        ahead = self._read() - asyncio.get_running_loop().time()
        if self._ahead is None:
            self._ahead = ahead
        elif abs(ahead - self._ahead) > WORTH_A_WARNING:
            log.warning("the clock was set by %.3f s", ahead - self._ahead, extra={"seconds": ahead - self._ahead})
            self._ahead = ahead
        return moment + self._ahead
