"""Identifies a message of a stream by its content, whatever its number, its timestamp and its encoding.

Servers that are cut off from each other deliver a message with numbers and timestamps of their own, and with others
once they are connected again. The content stays the same.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from .._core import pack_payload
from ..errors import ProtocolError
from ..protocol import LARGEST_LENGTH

if TYPE_CHECKING:
    from ..codec import Message
    from ..protocol import MessageType

ROUNDED: Final = 1e-5
"""Seconds by which the times of one message may differ in its encodings: records round them to the microsecond."""

_BUCKETS: Final = 1000
"""Intervals of a second by which ``MessageMark.keys`` looks up times."""

_SEPARATE_FIELDS: Final = frozenset({"signal", "timestamp", "sequence", "stream"})
"""Fields that ``_content_of`` leaves out, or hashes separately."""


class MessageMark(NamedTuple):
    """A summary of the content of a message.

    Attributes:
        type: of the message.
        time: time of its first sample, or of the event that it reports, in seconds; None if it has none.
        sequence: its publisher's count; None if it has none.
        content: hash of the rest of its map; None if it is not a map.
    """

    type: MessageType
    time: float | None
    sequence: int | None
    content: int | None

    def differs(self, other: MessageMark) -> bool:
        """Return whether the marks belong to different messages."""
        if self.type is not other.type or self.content != other.content:
            return True
        if self.sequence is not None and other.sequence is not None and self.sequence != other.sequence:
            return True
        return self.time is not None and other.time is not None and abs(self.time - other.time) > ROUNDED

    @property
    def keys(self) -> tuple[tuple[int, int], ...]:
        """Keys under which the same message may be stored; it is stored under the first one. Empty without a time."""
        if self.time is None or self.content is None:
            return ()
        content = self.content
        near = (self.time, self.time - ROUNDED, self.time + ROUNDED)
        return tuple((content, each) for each in dict.fromkeys(math.floor(time * _BUCKETS) for time in near))


def mark_of(message: Message) -> MessageMark:
    """Return the mark of a message."""
    data = message.data
    if not isinstance(data, dict):
        return MessageMark(message.type, None, None, None)
    sequence = data.get("sequence")
    count = sequence if isinstance(sequence, int) else None
    return MessageMark(message.type, _seconds_of(data.get("timestamp")), count, _content_of(data))


def _seconds_of(time: Any) -> float | None:
    if isinstance(time, datetime):
        return time.timestamp()
    return float(time) if isinstance(time, (int, float)) and math.isfinite(time) else None


def _content_of(data: dict[str, Any]) -> int | None:
    """Return a hash of the map, which is the same for a record as for its message in MessagePack.

    Their keys may be in a different order, and samples that stand for counts are floats in a record.
    """
    try:
        rest = {key: data[key] for key in sorted(data) if key not in _SEPARATE_FIELDS}
        packed = pack_payload(rest, LARGEST_LENGTH, True)
        if "signal" not in data:
            return hash(packed)
        signal = np.asarray(data["signal"])
        samples = signal.astype(np.float64)
        if signal.dtype.kind == "f":
            samples += 0.0  # records have no negative zero, and one NaN
            samples[np.isnan(samples)] = np.nan
        return hash((packed, samples.shape, samples.tobytes()))
    except (ProtocolError, TypeError, ValueError, OverflowError):
        return None
