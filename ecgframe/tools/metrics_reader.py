"""A server's metrics, read over HTTP, and what two readings say of the time between them."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf, isfinite
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from ..libraries import library
from . import ToolError

PATH: Final = "/metrics"
PATIENCE: Final = 5.0
"""Seconds for an answer."""

LARGEST: Final = 16 * 1024 * 1024
"""Bytes of an answer that is still read."""

PREFIX: Final = "ecgframe_"
PERCENTS: Final = (50, 90, 99)

_QUEUES: Final = ("frames", "bytes", "longest_frames", "longest_bytes")
_HTTP: Final = {"ws": "http", "wss": "https", "http": "http", "https": "https"}

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """All metrics at one moment.

    Attributes:
        time: of a steady clock, in seconds.
        samples: values by name and labels.
    """

    time: float
    samples: Mapping[tuple[str, Labels], float]

    def value(self, name: str, **labels: str) -> float:
        """One value; 0 where there is none."""
        return self.samples.get((PREFIX + name, tuple(sorted(labels.items()))), 0.0)

    def by(self, label: str, name: str) -> dict[str, float]:
        """The values of a metric by a label."""
        found: dict[str, float] = {}
        for (sample, labels), value in self.samples.items():
            if sample == PREFIX + name:
                key = dict(labels).get(label, "")
                found[key] = found.get(key, 0.0) + value
        return found

    def buckets(self, name: str, **labels: str) -> list[tuple[float, float]]:
        """A histogram: values that are at most each bound."""
        wanted = set(labels.items())
        found = []
        for (sample, pairs), value in self.samples.items():
            if sample == f"{PREFIX}{name}_bucket" and wanted <= set(pairs):
                found.append((float(dict(pairs)["le"]), value))
        return sorted(found)


def metrics_url(text: str) -> str:
    """Where the metrics of a server are: beside its WebSocket, unless a path is given for HTTP.

    Raises:
        ToolError: the text is no address.
    """
    parts = urlsplit(text if "://" in text else f"http://{text}")
    if parts.scheme not in _HTTP or not parts.netloc:
        raise ToolError(f"{text}: no address of a server; ws://127.0.0.1:8765/ws is one")
    is_page = parts.scheme.startswith("http") and parts.path not in ("", "/")
    return urlunsplit((_HTTP[parts.scheme], parts.netloc, parts.path if is_page else PATH, "", ""))


def read_metrics(url: str) -> Reading:
    """The metrics as they are now.

    Raises:
        ToolError: the server cannot be reached, or has no metrics of this package there.
        MissingLibrary: prometheus-client is not installed.
    """
    parser = library("prometheus_client.parser", extra="tools", purpose="reading metrics")
    text = _page(url)
    now = time.monotonic()
    try:
        samples = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in parser.text_string_to_metric_families(text)
            for sample in family.samples
        }
    except ValueError as error:
        raise ToolError(f"{url}: no metrics: {error}") from error
    if not any(name.startswith(PREFIX) for name, _ in samples):
        raise ToolError(f"{url}: no metrics of ecgframe there")
    return Reading(now, samples)


def _page(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:  # only http and https come here
            body: bytes = answer.read(LARGEST)
    except urllib.error.HTTPError as error:
        said = error.read(200).decode("utf-8", "replace").strip().partition("\n")[0]
        raise ToolError(f"{url}: {error.code} {error.reason}{f': {said}' if said else ''}") from error
    except urllib.error.URLError as error:
        raise ToolError(f"{url}: {getattr(error.reason, 'strerror', None) or error.reason}") from error
    except (OSError, ValueError) as error:
        raise ToolError(f"{url}: {error}") from error
    return body.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Spread:
    """How values are spread.

    Attributes:
        count: of values.
        percentiles: by percent, the value that so many do not pass; within the width of a bucket.
        buckets: values in each bucket, by its upper bound; those without any are left out.
    """

    count: int
    percentiles: dict[int, float | None]
    buckets: list[tuple[float, int]]


@dataclass(frozen=True, slots=True)
class Performance:
    """What went on between two readings; rates are a second.

    Attributes:
        seconds: between them.
        connections: open ones.
        by_version: of those, by protocol version.
        streams: known.
        subscriptions: of all connections.
        messages: rates by direction and type.
        nbytes: rates by direction.
        encoded: rate of encodings of published frames.
        queues: frames and bytes that wait, of all connections and in the longest queue.
        dropped: frames a second.
        resent: messages a second.
        undelivered: messages a second.
        compression: size after it as a share of that before, by direction; only where there was any.
        errors: how many by code and direction, since the server began.
        latency: by stage, in seconds.
        sizes: by direction, in bytes.
        memory: of the process, in bytes; None where it does not tell.
        processor: seconds a second; None where it does not tell.
    """

    seconds: float
    connections: int
    by_version: dict[str, int]
    streams: int
    subscriptions: int
    messages: dict[str, dict[str, float]]
    nbytes: dict[str, float]
    encoded: float
    queues: dict[str, int]
    dropped: float
    resent: float
    undelivered: float
    compression: dict[str, float]
    errors: dict[str, dict[str, int]]
    latency: dict[str, Spread]
    sizes: dict[str, Spread]
    memory: int | None = None
    processor: float | None = None
    totals: dict[str, int] = field(default_factory=dict)


def between(before: Reading, after: Reading) -> Performance:
    """What two readings of one server say. A counter that fell began anew with the server."""
    seconds = max(after.time - before.time, 1e-9)

    def rate(name: str, **labels: str) -> float:
        return _grown(before.value(name, **labels), after.value(name, **labels)) / seconds

    def rates_by(label: str, name: str) -> dict[str, float]:
        earlier = before.by(label, name)
        return {key: _grown(earlier.get(key, 0.0), value) / seconds for key, value in after.by(label, name).items()}

    directions = ("sent", "received")
    process = ("process_resident_memory_bytes", ())
    processor = ("process_cpu_seconds_total", ())
    return Performance(
        seconds=seconds,
        connections=int(after.value("connections")),
        by_version=_counts(after.by("version", "connections_by_version")),
        streams=int(after.value("streams")),
        subscriptions=int(after.value("subscriptions")),
        messages={direction: rates_by("type", f"messages_{direction}_total") for direction in directions},
        nbytes={direction: rate(f"{direction}_bytes_total") for direction in directions},
        encoded=rate("frames_encoded_total"),
        queues={name: int(after.value(f"queue_{name}")) for name in _QUEUES},
        dropped=rate("frames_dropped_total"),
        resent=rate("messages_resent_total"),
        undelivered=rate("messages_undelivered_total"),
        compression=after.by("direction", "compression_ratio"),
        errors={direction: _counts(after.by("code", f"errors_{direction}_total")) for direction in directions},
        latency=dict(_spreads(before, after, "processing_seconds", "stage")),
        sizes=dict(_spreads(before, after, "message_size_bytes", "direction")),
        memory=int(after.samples[process]) if process in after.samples else None,
        processor=_grown(before.samples.get(processor, 0.0), after.samples[processor]) / seconds
        if processor in after.samples
        else None,
        totals={
            "dropped": int(after.value("frames_dropped_total")),
            "accepted": int(after.value("connections_accepted_total")),
            "refused": int(after.value("connections_refused_total")),
        },
    )


def _grown(before: float, after: float) -> float:
    return after - before if after >= before else after


def _counts(values: Mapping[str, float]) -> dict[str, int]:
    return {key: int(value) for key, value in values.items() if value}


def _spreads(before: Reading, after: Reading, name: str, label: str) -> Iterator[tuple[str, Spread]]:
    for key in after.by(label, f"{name}_count"):
        yield key, _spread(before.buckets(name, **{label: key}), after.buckets(name, **{label: key}))


def _spread(before: list[tuple[float, float]], after: list[tuple[float, float]]) -> Spread:
    """Of the values between two readings, from cumulative buckets."""
    earlier = dict(before)
    grown = [(bound, _grown(earlier.get(bound, 0.0), count)) for bound, count in after]
    within = [(bound, count - lower) for (_, lower), (bound, count) in pairwise([(0.0, 0.0), *grown])]
    count = int(grown[-1][1]) if grown else 0
    return Spread(
        count,
        {percent: _percentile(within, count, percent) for percent in PERCENTS},
        [(bound, int(number)) for bound, number in within if number > 0],
    )


def _percentile(within: list[tuple[float, float]], count: int, percent: float) -> float | None:
    """Linearly through the bucket into which it falls; above the last bound, that bound."""
    rank, below, low = count * percent / 100, 0.0, 0.0
    if not count:
        return None
    for bound, number in within:
        if number and below + number >= rank:
            return low + (bound - low) * (rank - below) / number if isfinite(bound) else low
        below += number
        low = bound if bound != inf else low
    return low


def plain(performance: Performance) -> dict[str, Any]:
    """Everything as plain values, for JSON."""
    return {
        name: {key: _plain_spread(value) for key, value in entry.items()} if name in ("latency", "sizes") else entry
        for name, entry in ((name, getattr(performance, name)) for name in Performance.__slots__)
    }


def _plain_spread(spread: Spread) -> dict[str, Any]:
    return {
        "count": spread.count,
        "percentiles": {str(percent): value for percent, value in spread.percentiles.items()},
        "buckets": [[bound if isfinite(bound) else None, count] for bound, count in spread.buckets],
    }
