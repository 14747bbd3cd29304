"""How things are measured: interleaved timing, peaks of memory, and two threads against one.

All candidates for a job are timed in one process, a slice of each in turn (A B C, B C A, ...), so that whatever else
the machine does hits them alike. Both the fastest and the middle slice are kept.
"""

import gc
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

Call = Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """Seconds a call: of the fastest slice, and of the middle one."""

    best: float
    middle: float


@dataclass(frozen=True)
class Effort:
    """How long to look: rounds over all candidates, and seconds that a slice of one candidate takes at least.

    Short slices and many of them: on a busy machine some pass between two interruptions, and long ones never do.
    """

    rounds: int = 120
    slice: float = 0.0006

    def for_long_calls(self) -> "Effort":
        """For calls of about a millisecond: a slice of one would find the caches as another candidate left them."""
        return Effort(max(1, self.rounds // 4), 10 * self.slice)


@dataclass(frozen=True)
class Peak:
    """Bytes that a call takes: what its result holds, and what it needed on top of that while it ran."""

    kept: int
    on_top: int


@dataclass(frozen=True)
class Threads:
    """Calls a second, by one thread and by two that run at once."""

    one: float
    two: float


def time_together(calls: dict[str, Call], effort: Effort) -> dict[str, Timing]:
    """Seconds a call of each candidate."""
    with _no_collection():
        counts = {name: _calls_in(call, effort.slice) for name, call in calls.items()}
        slices: dict[str, list[float]] = {name: [] for name in calls}
        names = list(calls)
        for i in range(effort.rounds):
            first = i % len(names)  # nobody always runs behind the same neighbour
            for name in names[first:] + names[:first]:
                slices[name].append(_seconds(calls[name], counts[name]) / counts[name])
    return {name: Timing(min(found), median(found)) for name, found in slices.items()}


def peak_of(call: Call, holds: Callable[[object], int]) -> Peak:
    """The memory of one call, as far as tracemalloc sees it.

    Args:
        call: what to measure; it runs once before, so that caches are full.
        holds: bytes that count as the result, of what the call returned.
    """
    call()
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        result = call()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    kept = holds(result)
    return Peak(kept, max(0, peak - before - kept))


def by_threads(calls: dict[str, Call], effort: Effort) -> dict[str, Threads]:
    """Each candidate in one thread and in two, in turn, by the fastest slice of either."""
    best = {name: [float("inf"), float("inf")] for name in calls}
    with ThreadPoolExecutor(2) as pool, _no_collection():
        # long enough for threads to hand the interpreter's lock to one another a few times
        counts = {name: _calls_in(call, 40 * effort.slice) for name, call in calls.items()}
        for _ in range(max(1, effort.rounds // 4)):
            for name, call in calls.items():
                for threads in (1, 2):
                    seconds = _seconds_in(pool, threads, call, counts[name])
                    best[name][threads - 1] = min(best[name][threads - 1], seconds / (threads * counts[name]))
    return {name: Threads(1 / one, 1 / two) for name, (one, two) in best.items()}


def _seconds_in(pool: ThreadPoolExecutor, threads: int, call: Call, count: int) -> float:
    start = time.perf_counter()
    for running in [pool.submit(_seconds, call, count) for _ in range(threads)]:
        running.result()
    return time.perf_counter() - start


def _seconds(call: Call, count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        call()
    return time.perf_counter() - start


def _calls_in(call: Call, seconds: float) -> int:
    """Calls that fill a slice, at least one."""
    call()
    count = 1
    # the best of three, lest an interruption pass for a slow call
    while (taken := min(_seconds(call, count) for _ in range(3))) < seconds / 4:
        count *= 2
    return max(1, round(seconds * count / taken))


@contextmanager
def _no_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
