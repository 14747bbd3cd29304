"""The samples of a live stream with their times, and what is missing between them. Uses no network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from ...errors import ProtocolError
from ...protocol import MessageType
from ...recording.stream_recorder import MOST_LEADS, RATES
from ...recording.timeline import Break, Moment, Timeline, moment_of
from ...samples import physical
from ...signal_fields import SignalFormat, format_of

if TYPE_CHECKING:
    from ...client import Gap
    from ...codec import Message

PAUSE: Final = 1.0
"""Seconds by which the publication of a message without a time of measurement may differ from what is expected."""

Value = float | None
"""A sample in physical units; None if it is missing."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The samples of a message.

    Attributes:
        times: time of each sample: in Unix seconds, or in seconds from the start if the stream has no other times.
        values: for each of them, the values of all leads.
    """

    times: list[float]
    values: list[list[Value]]


@dataclass(frozen=True, slots=True)
class Missing:
    """Samples that are missing between two messages.

    Attributes:
        start: when the first one was due; before the first message, when the first lost message was published.
        stop: time of the sample after the last one; None if no message followed.
        samples: number of missing samples per lead; None if unknown.
        frames: number of messages that the server dropped, as it reports them; None if unknown.
        why: why the number is unknown; empty if it is known.
    """

    start: float
    stop: float | None
    samples: int | None
    frames: int | None
    why: str


class LiveSamples:
    """Turns the messages of one stream into formats, rows and gaps.

    Attributes:
        refused: number of ECG_DATA messages that cannot be shown.
        repeated: number of messages that were received twice.
        left_out: number of messages that have no samples, by type.
    """

    def __init__(self) -> None:
        self.refused = 0
        self.repeated = 0
        self.left_out: dict[str, int] = {}
        self._format: SignalFormat | None = None
        self._timeline = Timeline()
        self._next: float | None = None
        self._position = 0
        self._told: Gap | None = None

    def take_gap(self, gap: Gap) -> None:
        """Note that the client lost messages. The next message shows how many samples are missing."""
        self._told = gap if self._told is None else self._told.joined(gap)

    def take(self, message: Message) -> Iterator[SignalFormat | Missing | Rows]:
        """Take the next message. Yields its format if that is new, what is missing before it, and its samples.

        Raises:
            ValueError: the message cannot be shown.
        """
        if message.type is not MessageType.ECG_DATA:
            self.left_out[message.type.name] = self.left_out.get(message.type.name, 0) + 1
            return
        try:
            values = physical(message)
            signal_format = format_of(message.data, len(values))
            if len(values) > MOST_LEADS or not RATES[0] <= signal_format.rate <= RATES[1]:
                raise ValueError(f"{len(values):,} leads at {signal_format.rate:g} Hz are not shown")
        except (ProtocolError, KeyError, TypeError, ValueError) as error:
            self.refused += 1
            raise ValueError(str(error)) from error
        samples, rate = values.shape[1], signal_format.rate
        if not samples:
            return
        moment = moment_of(message, samples, rate)
        missing = self._timeline.missing_before(moment, is_told=self._told is not None)
        if missing is Break.REPEATED:
            self.repeated += 1
            return
        begin = self._begin(moment, missing, rate)
        start, is_first = self._due(), self._next is None
        dropped = None if self._told is None else self._told.frames
        is_told, self._told = self._told is not None, None
        if isinstance(missing, Break):
            self._timeline = Timeline()
            yield Missing(start, begin, None, dropped, missing.value)
        elif is_told and is_first:
            yield Missing(start, begin, None, dropped, "no message came before them")
        elif missing or is_told:
            yield Missing(start, begin, missing, dropped, "")
        self._timeline.add(moment, self._position)
        self._position += samples
        self._next = begin + samples / rate
        if signal_format != self._format:
            self._format = signal_format
            yield signal_format
        yield Rows(np.round(begin + np.arange(samples) / rate, 6).tolist(), _values(message, values))

    def rest(self) -> Iterator[Missing]:
        """Yield what is missing after the last message, as far as the server has reported it."""
        if self._told is not None:
            yield Missing(self._due(), None, None, self._told.frames, "no message followed")
            self._told = None

    def _due(self) -> float:
        """Return when the next sample was due; before the first one, when the first lost message was published."""
        if self._next is not None:
            return self._next
        return 0.0 if self._told is None else self._told.start / 1e6

    def _begin(self, moment: Moment, missing: int | Break, rate: float) -> float:
        """Return the time of the first sample. Without a time of measurement, it follows from those before it."""
        if moment.measured is not None:
            return moment.measured
        published = None if moment.sent is None else moment.sent - moment.samples / rate
        if self._next is None:
            return published or 0.0
        expected = self._next if isinstance(missing, Break) else self._next + missing / rate
        is_late = published is not None and (isinstance(missing, Break) or abs(published - expected) > PAUSE)
        return published if published is not None and is_late else expected


def _values(message: Message, values: npt.NDArray[np.float64]) -> list[list[Value]]:
    """Return the values of each sample. Counts without a calibration stay integers."""
    is_missing = np.isnan(values)
    signal = np.atleast_2d(np.asarray(message.data["signal"]))
    is_counts = signal.dtype.kind in "iu" and message.data.get("gain") is None and message.data.get("baseline") is None
    shown: npt.NDArray[Any] = signal if is_counts else values
    rows: list[list[Value]] = shown.T.tolist()
    for sample, lead in np.argwhere(is_missing.T).tolist():
        rows[sample][lead] = None
    return rows
