"""Alerts for a demonstration, by the clock: to see what a viewer does with one. They say so themselves.

What is in the signal is for ``detection.py`` to tell.
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
"""One after the other."""


class DemoAlerts:
    """Publishes an alert on every stream now and then.

    Args:
        streams: names of the streams.
        publish: takes a stream, a message type and the data.
        seconds: from one alert to the next, and until the first.
        wall_clock: Unix seconds.
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
            "message": f"number {number + 1}, sent by the clock, not found in the signal",
            "timestamp": self._wall_clock(),
        }
