"""Demonstration alerts at fixed intervals, which say that they are not based on the signal.

``detection.py`` finds real episodes in the signal.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, Final

from ..protocol import MessageType
from .player import Publish

SEVERITIES: Final = ("info", "warning", "critical")
"""Severities of the alerts, in turn."""


class DemoAlerts:
    """Publishes an ANOMALY_ALERT on every stream at fixed intervals.

    Args:
        streams: names of the streams.
        publish: takes a stream, a message type and the data.
        seconds: seconds from one alert to the next, and from the start to the first.
        wall_clock: returns Unix seconds.
    """

    def __init__(
        self, streams: Sequence[str], publish: Publish, *, seconds: float, wall_clock: Callable[[], float] = time.time
    ) -> None:
        self._streams = streams
        self._publish = publish
        self._seconds = seconds
        self._wall_clock = wall_clock

    async def run(self) -> None:
        """Publish until cancelled."""
        for number in count():
            await asyncio.sleep(self._seconds)
            alert = self._alert(number)
            await asyncio.gather(
                *[self._publish(stream, MessageType.ANOMALY_ALERT, {**alert}) for stream in self._streams]
            )

    def _alert(self, number: int) -> dict[str, Any]:
        return {
            "kind": "demonstration",
            "severity": SEVERITIES[number % len(SEVERITIES)],
            "message": f"demonstration {number + 1}, not based on the signal",
            "timestamp": self._wall_clock(),
        }
