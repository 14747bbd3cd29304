"""Metrics of several worker processes that add up, whichever of them Prometheus asks. Needs prometheus-client.

Each worker writes its numbers to a file of its own in a common directory every second. The one that is asked adds those
of the others to its own. Counters of workers that have ended stay in the sum, so it never decreases; their gauges do
not.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from .logs import log_failure, logger
from .prometheus import HandlerCollector, HasStats

WRITE_EVERY: Final = 1.0
"""Seconds between two writes of a worker: the numbers of the others are at most that old."""

ENDED_AFTER: Final = 10.0
"""Seconds without a write after which a worker counts as ended."""

MAX_FILE: Final = 4 * 1024 * 1024
"""Bytes of the file of a worker; a larger one is not read."""

MAX_ENDED: Final = 1_000
"""Workers that have ended whose ids are remembered."""

_ENDED: Final = "ended.json"
_LOCK: Final = "lock"
_LARGEST: Final = frozenset(
    {
        "ecgframe_queue_longest_frames",
        "ecgframe_queue_longest_bytes",
        "ecgframe_queue_longest_wait_seconds",
        "ecgframe_backplane_lag_seconds",
        "ecgframe_backplane_clock_skew_seconds",
        "ecgframe_backplane_streams",
        "ecgframe_timestamps_ahead_seconds",
        "process_open_fds",
        "process_max_fds",
        "process_start_time_seconds",
    }
)
"""Gauges of which the largest counts, not the sum."""

_SMALLEST: Final = frozenset({"ecgframe_backplane_up", "ecgframe_backplane_lanes_up", "ecgframe_compression_ratio"})

Key = tuple[str, str, tuple[tuple[str, str], ...]]
"""Name of the family, name of the sample, labels."""

Samples = dict[Key, float]


class WorkerMetrics(Collector):
    """The metrics of all workers of a server. A context manager; within it, this worker writes its own.

    Args:
        handler: the handler of this worker.
        directory: the directory of the server, for its workers alone. It is created if necessary, readable by its owner
            only.

    Attributes:
        registry: the registry with these metrics.
    """

    def __init__(self, handler: HasStats, directory: Path | str) -> None:
        self._own = CollectorRegistry()
        self._own.register(HandlerCollector(handler))
        ProcessCollector(registry=self._own)
        self._directory = Path(directory)
        self._id = uuid.uuid4().hex
        self._before: Samples = {}  # what was counted under another id
        self._written: Samples = {}
        self._is_failing = False
        self._writing: asyncio.Task[None] | None = None
        self.registry = CollectorRegistry()
        self.registry.register(self)

    async def __aenter__(self) -> Self:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._writing = asyncio.create_task(self._write_on(), name="ecgframe worker metrics")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._writing is not None
        self._writing.cancel()
        await asyncio.wait({self._writing})
        self._write_and_log(is_over=True)

    def describe(self) -> Iterable[Metric]:
        """Return nothing: what there is depends on the libraries."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the sums over all workers."""
        families, own = self._own_samples()
        total, gauges = dict(own), {name for name, family in families.items() if _is_gauge(family.type)}
        for samples in self._others():
            for key, value in samples.items():
                if key[0] not in families:
                    continue  # of a worker with other libraries
                if key[0] not in gauges or key[0] not in _LARGEST | _SMALLEST:
                    total[key] = total.get(key, 0.0) + value
                else:
                    choose = max if key[0] in _LARGEST else min
                    total[key] = choose(total.get(key, value), value)
        found: dict[str, Metric] = {}
        for (name, sample, labels), value in total.items():
            family = families[name]
            metric = found.setdefault(name, Metric(name, family.documentation, family.type))
            metric.add_sample(sample, dict(labels), value)
        yield from found.values()
        workers = Metric("ecgframe_workers", "Worker processes whose numbers are added up.", "gauge")
        workers.add_sample("ecgframe_workers", {}, 1 + sum(1 for _ in self._living()))
        yield workers

    # --- this worker ---

    def _own_samples(self) -> tuple[dict[str, Metric], Samples]:
        families = {family.name: family for family in self._own.collect()}
        samples: Samples = {}
        for name, family in families.items():
            for sample in family.samples:
                key = (name, sample.name, tuple(sample.labels.items()))
                before = 0.0 if _is_gauge(family.type) else self._before.get(key, 0.0)
                samples[key] = sample.value - before
        return families, samples

    async def _write_on(self) -> None:
        while True:
            self._write_and_log()
            await asyncio.sleep(WRITE_EVERY)

    def _write_and_log(self, *, is_over: bool = False) -> None:
        try:
            self._write(is_over=is_over)
            self._take_in_ended()
        except OSError as error:
            if not self._is_failing:
                log_failure("writing the metrics of a worker", error)
            self._is_failing = True
        else:
            self._is_failing = False

    def _write(self, *, is_over: bool) -> None:
        file = self._directory / f"{self._id}.json"
        families, samples = self._own_samples()
        if self._written and not file.exists() and self._id in _ids_in(self._directory):
            # Another worker assumed that this one has ended, and has added its counters: start from zero.
            logger.warning("this worker did not run for more than %g s: its metrics begin anew", ENDED_AFTER)
            self._id = uuid.uuid4().hex
            file = self._directory / f"{self._id}.json"
            for key, value in self._written.items():
                self._before[key] = self._before.get(key, 0.0) + value
            families, samples = self._own_samples()
        counters = [(*key, value) for key, value in samples.items() if not _is_gauge(families[key[0]].type)]
        gauges = [(*key, value) for key, value in samples.items() if _is_gauge(families[key[0]].type)]
        _replace(file, {"at": 0.0 if is_over else time.time(), "counters": counters, "gauges": gauges})
        self._written = samples

    # --- the others ---

    def _living(self) -> Iterator[dict[str, Any]]:
        now = time.time()
        for file in self._files():
            if (found := _read(file)) is not None and found["at"] + ENDED_AFTER > now:
                yield found

    def _others(self) -> list[Samples]:
        now = time.time()
        ended = _read(self._directory / _ENDED)
        while True:
            found = [] if ended is None else [_samples(ended["counters"])]
            included = set() if ended is None else set(ended["ids"])
            for worker in [_read(file) for file in self._files() if file.stem not in included]:
                if worker is not None:
                    found.append(_samples(worker["counters"]))
                    if worker["at"] + ENDED_AFTER > now:
                        found.append(_samples(worker["gauges"]))
            before, ended = ended, _read(self._directory / _ENDED)
            if before == ended:  # otherwise a worker was taken in meanwhile, and may be missing
                return found

    def _files(self) -> list[Path]:
        with suppress(OSError):
            return [
                file for file in sorted(self._directory.glob("*.json")) if file.name != _ENDED and file.stem != self._id
            ]
        return []

    def _take_in_ended(self) -> None:
        """Add the counters of workers that have ended to one file, and remove theirs."""
        now = time.time()
        gone = [(file, found) for file in self._files() if (found := _read(file)) and found["at"] + ENDED_AFTER <= now]
        if not gone or not self._lock():
            return
        try:
            ended = _read(self._directory / _ENDED) or {"ids": [], "counters": []}
            total = _samples(ended["counters"])
            for file, found in gone:
                if file.stem not in ended["ids"] and file.exists():
                    for key, value in _samples(found["counters"]).items():
                        total[key] = total.get(key, 0.0) + value
            ids = list(dict.fromkeys([*ended["ids"], *(file.stem for file, _ in gone)]))[-MAX_ENDED:]
            counters = [(*key, value) for key, value in total.items()]
            _replace(self._directory / _ENDED, {"at": 0.0, "ids": ids, "counters": counters, "gauges": []})
            for file, _ in gone:
                file.unlink(missing_ok=True)
            for file in self._directory.glob("*.part"):  # of a worker that was killed while it wrote
                if file.stat().st_mtime + ENDED_AFTER < now:
                    file.unlink(missing_ok=True)
        finally:
            (self._directory / _LOCK).unlink(missing_ok=True)

    def _lock(self) -> bool:
        lock = self._directory / _LOCK
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            with suppress(OSError):
                if lock.stat().st_mtime + ENDED_AFTER < time.time():
                    lock.unlink()  # of a worker that was killed; the next one to come takes it
            return False
        return True


def _ids_in(directory: Path) -> list[str]:
    """The ids of workers that were taken for ended, the latest ones."""
    ended = _read(directory / _ENDED)
    return [] if ended is None else ended["ids"]


def _is_gauge(kind: str) -> bool:
    return kind in ("gauge", "unknown", "info", "stateset")


def _replace(file: Path, content: dict[str, Any]) -> None:
    temporary = file.with_name(f"{uuid.uuid4().hex}.part")
    with os.fdopen(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as opened:
        opened.write(json.dumps(content).encode())
    temporary.replace(file)


def _read(file: Path) -> dict[str, Any] | None:
    """Read a file; None if it is gone, damaged or too large."""
    try:
        if file.stat().st_size > MAX_FILE:
            return None
        found = {"ids": [], **json.loads(file.read_bytes())}
        is_valid = isinstance(found["at"], float) and all(isinstance(one, str) for one in found["ids"])
        for kind in ("counters", "gauges"):
            _samples(found[kind])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if is_valid else None


def _samples(rows: list[list[Any]]) -> Samples:
    return {
        (str(name), str(sample), tuple((str(label), str(text)) for label, text in labels)): float(value)
        for name, sample, labels, value in rows
    }
