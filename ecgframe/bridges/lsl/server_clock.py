"""The server's clock, mapped to the clock of LSL and back.

LSL counts seconds of a monotonic clock of this machine (``pylsl.local_clock``). The client measures by round trips how
far the server's clock is ahead of this machine's system clock. Both together give the difference between the server's
clock and that of LSL. A measurement is kept as such a difference, so a step of the system clock does not change it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from ...client import Client, ConnectionLost, State

STEP: Final = 0.05
"""Change of the measured difference, in seconds, up to which the map follows it gradually."""

SLEW: Final = 0.001
"""Seconds per second by which the map follows a smaller change."""

INTERVAL: Final = 2.0
"""Seconds between two measurements. The client uses the fastest of the last eight, that is, of 16 s."""

FIRST: Final = 8
"""Number of measurements, one after the other, over each new connection, before any time is mapped; and after a step of
the system clock, so that no measurement before it counts."""


class ServerClock:
    """The difference between the server's clock and that of LSL, which changes without jumps.

    Attributes:
        steps: number of changes of more than ``STEP``, which the map followed at once.
    """

    def __init__(self) -> None:
        self.steps = 0
        self._target: float | None = None
        self._value = 0.0
        self._at = 0.0

    def measure(self, difference: float, now: float) -> None:
        """Note a measurement: the server's clock minus that of LSL, in seconds, at ``now`` by LSL's clock."""
        current = self.difference(now)
        if self._target is None or abs(difference - current) > STEP:
            self.steps += self._target is not None
            current = difference
        self._value, self._at, self._target = current, now, difference

    @property
    def is_measured(self) -> bool:
        """True if there is a measurement; there is none of a server before V3."""
        return self._target is not None

    def difference(self, now: float) -> float:
        """Return the server's clock minus that of LSL in seconds, at ``now`` by LSL's clock; 0 if not measured."""
        if self._target is None:
            return 0.0
        reach = SLEW * max(now - self._at, 0.0)
        return self._value + min(max(self._target - self._value, -reach), reach)


class ClockKeeper:
    """Measures the server's clock over a client's connections.

    Args:
        local_clock: ``pylsl.local_clock``.

    Attributes:
        clock: the measured clock.
    """

    def __init__(self, local_clock: Callable[[], float]) -> None:
        self.clock = ServerClock()
        self._local_clock = local_clock
        self._ready = asyncio.Event()
        self._changed = asyncio.Event()
        self._offset: float | None = None
        self._system_clock = self._read_system_clock()

    def on_state(self, state: State) -> None:
        """Note a new state of the client: a new connection may lead to a server with another clock."""
        if state is not State.CONNECTED:
            self._ready.clear()
            self._offset = None
        self._changed.set()

    async def ready(self) -> None:
        """Wait until the clock has been measured over the current connection, or cannot be measured."""
        await self._ready.wait()

    async def keep(self, client: Client) -> None:
        """Measure until this is cancelled, or the client is closed."""
        while True:
            self._changed.clear()
            try:
                for _ in range(1 if self._ready.is_set() and not self._was_set() else FIRST):
                    await client.ping()
                self._note(client.clock_offset)
            except TimeoutError:
                continue
            except ConnectionLost:
                return  # the subscriptions and the senders raise it
            if client.state is State.CONNECTED:
                self._ready.set()
            try:
                async with asyncio.timeout(INTERVAL):
                    await self._changed.wait()
            except TimeoutError:
                pass

    def _note(self, offset: float | None) -> None:
        self._system_clock = self._read_system_clock()
        if offset is not None and offset != self._offset:
            self._offset = offset
            self.clock.measure(offset + self._system_clock, self._local_clock())

    def _was_set(self) -> bool:
        """Return whether the system clock was set since the last measurement."""
        return abs(self._read_system_clock() - self._system_clock) > STEP

    def _read_system_clock(self) -> float:
        """Return the system clock minus that of LSL, in seconds."""
        return time.time() - self._local_clock()
