"""For how long an event loop was held up: by a task that wants to run every 5 ms.

What counts is what this process does. Where the system tells how long threads have waited for a processor (Linux does),
that time is taken off: other processes take it.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

LONGEST = 0.020
"""Seconds for which nothing of ours may hold up a loop."""

ATTEMPTS = 20
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
            started, waited = time.perf_counter(), _waited_for_a_processor()
            await asyncio.sleep(_INTERVAL)
            late = time.perf_counter() - started - _INTERVAL
            if late > self.longest:
                self.longest = max(self.longest, late - (_waited_for_a_processor() - waited))


def _waited_for_a_processor() -> float:
    """Seconds, of all threads of this process together."""
    nanoseconds = 0
    for thread in Path("/proc/self/task").glob("*/schedstat"):
        try:
            nanoseconds += int(thread.read_text().split()[1])
        except OSError:  # the thread has ended
            continue
    return nanoseconds / 1e9


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
