"""For how long an event loop was held up: by a task that wants to run every 5 ms."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable

LONGEST = 0.020
"""Seconds for which nothing of ours may hold up a loop."""

ATTEMPTS = 6
"""A machine that does something else holds up a loop as well, but not each time."""

_INTERVAL = 0.005


class Ticker:
    """Runs within ``async with``.

    Attributes:
        longest: seconds by which the task was late at most.
    """

    def __init__(self) -> None:
        self.longest = 0.0

    async def __aenter__(self) -> Ticker:
        self._task = asyncio.create_task(self._tick())
        await asyncio.sleep(_INTERVAL)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(2 * _INTERVAL)  # what was held up last is seen now
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _tick(self) -> None:
        while True:
            started = time.perf_counter()
            await asyncio.sleep(_INTERVAL)
            self.longest = max(self.longest, time.perf_counter() - started - _INTERVAL)


async def holds_nobody_up(work: Callable[[], Awaitable[object]]) -> None:
    """Do the work until the loop was not held up by it; fail if it is each time."""
    lateness = []
    gc.collect()
    gc.freeze()  # the millions of objects of a test are not what a collection is to look through while it measures
    try:
        for _ in range(ATTEMPTS):
            async with Ticker() as ticker:
                await work()
            lateness.append(ticker.longest)
            if ticker.longest <= LONGEST:
                return
    finally:
        gc.unfreeze()
    raise AssertionError(f"the event loop was held up for {', '.join(f'{1000 * s:.0f}' for s in lateness)} ms")
