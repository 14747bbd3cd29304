"""Methods of measurement: interleaved timing, peak memory, and two threads compared with one.

All candidates are timed in one process, in alternating slices (A B C, B C A, ...), so that noise affects all alike.
Both the fastest and the median slice are kept.
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
    """Seconds per call in the fastest slice and in the median one."""

    best: float
    middle: float


@dataclass(frozen=True)
class Effort:
    """Duration of a measurement: rounds over all candidates, and the shortest slice of one candidate in seconds.

    Many short slices are better than few long ones: on a busy machine, some of them are not interrupted.
    """

    rounds: int = 120
    slice: float = 0.0006

    def for_long_calls(self) -> "Effort":
        """Return the effort for calls of about a millisecond, with longer slices to warm up the caches."""
        return Effort(max(1, self.rounds // 4), 10 * self.slice)


@dataclass(frozen=True)
class Peak:
    """Memory of a call in bytes: that of its result, and that needed temporarily in addition."""

    kept: int
    on_top: int


@dataclass(frozen=True)
class Threads:
    """Calls per second by one thread, and by two concurrent threads."""

    one: float
    two: float


def time_together(calls: dict[str, Call], effort: Effort) -> dict[str, Timing]:
    """Measure the seconds per call of each candidate."""
    with _no_collection():
        counts = {name: _calls_in(call, effort.slice) for name, call in calls.items()}
        slices: dict[str, list[float]] = {name: [] for name in calls}
        names = list(calls)
        for i in range(effort.rounds):
            first = i % len(names)  # rotate the order, so that no candidate always follows the same one
            for name in names[first:] + names[:first]:
                slices[name].append(_seconds(calls[name], counts[name]) / counts[name])
    return {name: Timing(min(found), median(found)) for name, found in slices.items()}


def peak_of(call: Call, holds: Callable[[object], int]) -> Peak:
    """Measure the memory of one call, as far as tracemalloc sees it.

    Args:
        call: the call to measure; it is called once before, to fill caches.
        holds: returns the size of the result in bytes.
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
    """Measure each candidate alternately in one thread and in two, by the fastest slices."""
    best = {name: [float("inf"), float("inf")] for name in calls}
    with ThreadPoolExecutor(2) as pool, _no_collection():
        # long enough for the threads to pass the GIL to each other a few times
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
    """Return the number of calls that fill a slice, at least one."""
    call()
    count = 1
    # the best of three, so that an interruption does not count as a slow call
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
