"""``handler.stats()`` as metrics of OpenTelemetry. Needs its API: ``pip install "ecgframe[opentelemetry]"``.

The instruments have the names of the metrics for Prometheus, and their labels as attributes::

    observe(handler)  # in the event loop of the handler, once in a process

Where they are sent, and how often, is up to the SDK of the application. Streams and connections are summed and never
named, as in ``prometheus``.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from importlib.metadata import version
from time import monotonic
from typing import TYPE_CHECKING, Final

from prometheus_client.core import Metric

from ..libraries import library
from .logs import logger
from .prometheus import HandlerCollector, HasStats

if TYPE_CHECKING:
    from opentelemetry import metrics
else:
    metrics = library("opentelemetry.metrics", extra="opentelemetry", purpose="OpenTelemetry")

__all__ = ["observe"]

FRESH: Final = 0.5
"""Seconds for which the numbers are used for all instruments, so that they are counted once for each collection."""

ANSWER: Final = 1.0
"""Seconds that the event loop has to report the numbers; after that, the previous ones are used."""

Values = dict[str, list[tuple[float, dict[str, str]]]]
"""Values and attributes by the name of the instrument."""


def observe(handler: HasStats, meter: metrics.Meter | None = None) -> None:
    """Create instruments that observe the numbers of a handler.

    Counters and gauges are those of ``HandlerCollector``. A histogram is three counters, as OpenTelemetry has none that
    is observed: ``..._count``, ``..._sum``, and ``..._bucket`` with the attribute ``le``.

    The SDK may ask in any thread; the numbers are read in that of the event loop. Instruments cannot be removed: they
    have no values any more once nothing else refers to the handler.

    Args:
        handler: the handler.
        meter: creates the instruments; by default, that of the global provider with the name ``ecgframe``.

    Raises:
        MissingLibrary: the API of OpenTelemetry is not installed.
        RuntimeError: no event loop runs in this thread.
    """
    source = _Source(handler, asyncio.get_running_loop())
    meter = meter or metrics.get_meter("ecgframe", version("ecgframe"))
    for family in HandlerCollector(handler).collect():
        create = meter.create_observable_gauge if family.type == "gauge" else meter.create_observable_counter
        for name in _instruments(family):
            create(name, callbacks=[partial(source.observations, name)], description=family.documentation)


class _Source:
    """The numbers of a handler for the threads of an SDK."""

    def __init__(self, handler: HasStats, loop: asyncio.AbstractEventLoop) -> None:
        self._handler = weakref.ref(handler)
        self._loop = loop
        self._thread = threading.get_ident()
        self._lock = threading.Lock()
        self._values: Values = {}
        self._read_at = float("-inf")

    def observations(self, name: str, options: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
        """Return the values of an instrument."""
        with self._lock:
            if monotonic() >= self._read_at + FRESH:
                self._values = self._read()
                self._read_at = monotonic()
            return [metrics.Observation(value, attributes) for value, attributes in self._values.get(name, ())]

    def _read(self) -> Values:
        handler = self._handler()
        if handler is None:
            return {}
        if threading.get_ident() == self._thread or not self._loop.is_running():
            return _values_of(handler)
        answer: Future[Values] = Future()
        try:
            self._loop.call_soon_threadsafe(_answer, handler, answer)
            return answer.result(ANSWER)
        except (RuntimeError, TimeoutError):  # the event loop was closed at this moment, or does not answer
            logger.warning(
                "OpenTelemetry gets the numbers of before: the event loop did not answer within %s s", ANSWER
            )
            return self._values


def _answer(handler: HasStats, answer: Future[Values]) -> None:
    try:
        answer.set_result(_values_of(handler))
    except Exception as error:  # the SDK logs it
        answer.set_exception(error)


def _values_of(handler: HasStats) -> Values:
    found: Values = {}
    for family in HandlerCollector(handler).collect():
        for sample in family.samples:
            name = family.name if family.type == "counter" else sample.name
            found.setdefault(name, []).append((sample.value, dict(sample.labels)))
    return found


def _instruments(family: Metric) -> Iterator[str]:
    """The names of the instruments of a metric for Prometheus."""
    if family.type != "histogram":
        yield family.name
        return
    for part in ("bucket", "count", "sum"):
        yield f"{family.name}_{part}"
