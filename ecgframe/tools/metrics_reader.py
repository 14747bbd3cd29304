"""Reading the metrics of a server over HTTP, and the rates between two readings."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException, RemoteDisconnected
from itertools import pairwise
from math import inf, isfinite, isnan
from ssl import SSLContext, SSLError
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from ..libraries import library
from . import ToolError
from .connecting import USE_TLS, open_page, proxy_for, reason_of

PATH: Final = "/metrics"
PATIENCE: Final = 5.0
"""Seconds to wait for a response."""

LARGEST: Final = 16 * 1024 * 1024
"""Largest response that is read, in bytes."""

PREFIX: Final = "ecgframe_"
PERCENTS: Final = (50, 90, 99)

_QUEUES: Final = ("frames", "bytes", "longest_frames", "longest_bytes")
_HTTP: Final = {"ws": "http", "wss": "https", "http": "http", "https": "https"}

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """All metrics at one time.

    Attributes:
        time: seconds of a monotonic clock.
        samples: values by metric name and labels.
    """

    time: float
    samples: Mapping[tuple[str, Labels], float]

    def value(self, name: str, **labels: str) -> float:
        """Return one value; 0 if it is missing."""
        return self.samples.get((PREFIX + name, tuple(sorted(labels.items()))), 0.0)

    def by(self, label: str, name: str) -> dict[str, float]:
        """Return the values of a metric, summed by the values of one label."""
        found: dict[str, float] = {}
        for (sample, labels), value in self.samples.items():
            if sample == PREFIX + name:
                key = dict(labels).get(label, "")
                found[key] = found.get(key, 0.0) + value
        return found

    def buckets(self, name: str, **labels: str) -> list[tuple[float, float]]:
        """Return the cumulative buckets of a histogram, as pairs of upper bound and count."""
        wanted = set(labels.items())
        found = []
        for (sample, pairs), value in self.samples.items():
            if sample == f"{PREFIX}{name}_bucket" and wanted <= set(pairs):
                found.append((float(dict(pairs)["le"]), value))
        return sorted(found)


def metrics_url(text: str) -> str:
    """Return the URL of a server's metrics: ``/metrics`` on its host, unless an HTTP URL has another path.

    Raises:
        ToolError: the text is not the address of a server.
    """
    parts = urlsplit(text if "://" in text else f"http://{text}")
    if parts.scheme not in _HTTP or not parts.netloc:
        raise ToolError(f"{text}: not the address of a server (example: ws://127.0.0.1:8765/ws)")
    is_page = parts.scheme.startswith("http") and parts.path not in ("", "/")
    return urlunsplit((_HTTP[parts.scheme], parts.netloc, parts.path if is_page else PATH, "", ""))


def read_metrics(url: str, trusted: SSLContext | None = None, headers: Sequence[tuple[str, str]] = ()) -> Reading:
    """Fetch the current metrics.

    Args:
        url: URL of the metrics.
        trusted: TLS context; None to trust the system's certificate authorities.
        headers: HTTP headers for the server.

    Raises:
        ToolError: the server cannot be reached, or the page has no metrics of ecgframe.
        MissingLibrary: prometheus-client is not installed.
    """
    parser = library("prometheus_client.parser", extra="tools", purpose="reading metrics")
    text = _page(url, trusted, headers)
    now = time.monotonic()
    try:
        samples = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in parser.text_string_to_metric_families(text)
            for sample in family.samples
        }
    except Exception as error:  # ValueError, IndexError, ... depending on how the text is malformed
        raise ToolError(f"{url}: not metrics: {error}") from error
    if strange := [name for (name, labels), value in samples.items() if not _is_sound(name, labels, value)]:
        raise ToolError(f"{url}: not metrics of ecgframe: {strange[0]} has an invalid value or label")
    if not any(name.startswith(PREFIX) for name, _ in samples):
        raise ToolError(f"{url}: no metrics of ecgframe on this page")
    return Reading(now, samples)


def _is_sound(name: str, labels: Labels, value: float) -> bool:
    """Return whether a sample that is shown is finite, and a bucket has a bound. Other samples do not matter."""
    if not name.startswith((PREFIX, "process_")):
        return True
    if name.startswith(PREFIX) and name.endswith("_bucket"):
        try:
            return isfinite(value) and not isnan(float(dict(labels)["le"]))
        except (KeyError, ValueError):
            return False
    return isfinite(value)


def _page(url: str, trusted: SSLContext | None, headers: Sequence[tuple[str, str]]) -> str:
    try:
        asked = urllib.request.Request(url, headers=dict(headers))
        with open_page(asked, trusted, PATIENCE) as answer:
            body: bytes = answer.read(LARGEST)
    except urllib.error.HTTPError as error:
        with error:
            said = error.read(200).decode("utf-8", "replace").strip().partition("\n")[0]
        raise ToolError(f"{url}: {error.code} {error.reason}{f': {said}' if said else ''}") from error
    except urllib.error.URLError as error:
        raise ToolError(_why_not(url, error.reason)) from error
    except RemoteDisconnected as error:
        raise ToolError(f"{url}: {error}; {USE_TLS}" if url.startswith("http:") else f"{url}: {error}") from error
    except (OSError, HTTPException, ValueError) as error:
        raise ToolError(f"{url}: {error or type(error).__name__}") from error
    return body.decode("utf-8", "replace")


def _why_not(url: str, reason: object) -> str:
    why = reason_of(reason) if isinstance(reason, OSError) else reason
    proxy = proxy_for(url)
    return f"{url}: {why}" if proxy is None or isinstance(reason, SSLError) else f"{proxy}: {why} (connecting to {url})"


@dataclass(frozen=True, slots=True)
class Spread:
    """Distribution of values between two readings.

    Attributes:
        count: number of values.
        percentiles: percentiles, accurate to the width of a bucket; None if there are no values.
        buckets: pairs of upper bound and number of values in the bucket, without empty buckets.
    """

    count: int
    percentiles: dict[int, float | None]
    buckets: list[tuple[float, int]]


@dataclass(frozen=True, slots=True)
class Performance:
    """The load of a server between two readings. Rates are per second.

    Attributes:
        seconds: time between the readings.
        connections: number of open connections.
        by_version: open connections by protocol version.
        streams: number of streams.
        subscriptions: number of subscriptions of all connections.
        messages: rates of messages, by direction and type.
        nbytes: rates of bytes, by direction.
        encoded: rate at which published messages are encoded.
        queues: frames and bytes in the send queues: in all of them, and in the longest.
        queued_by_class: frames in the send queues, by class of service, as far as any wait.
        dropped: rate of dropped frames.
        expired: rate of those that had waited for too long.
        fragments: rates of fragments of messages, by direction.
        resent: rate of messages that were sent again for lack of an acknowledgement.
        undelivered: rate of messages that were never acknowledged.
        algorithms: rates of compressed data frames, by compression algorithm.
        compression: compressed size as a share of the uncompressed size, by direction, if anything was compressed.
        errors: number of errors since the server started, by direction and code.
        latency: processing times in seconds, by stage.
        sizes: sizes of messages in bytes, by direction.
        memory: resident memory of the process in bytes; None if unknown.
        processor: CPU seconds per second; None if unknown.
        totals: numbers since the server started: dropped frames, accepted and refused connections.
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
    expired: float = 0.0
    fragments: dict[str, float] = field(default_factory=dict)
    algorithms: dict[str, float] = field(default_factory=dict)
    queued_by_class: dict[str, int] = field(default_factory=dict)


def between(before: Reading, after: Reading) -> Performance:
    """Compute the load between two readings. A counter that has fallen was reset by a restart of the server."""
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
        queued_by_class=_counts(after.by("class", "queue_frames_by_class")),
        dropped=rate("frames_dropped_total"),
        resent=rate("messages_resent_total"),
        undelivered=rate("messages_undelivered_total"),
        expired=rate("frames_expired_total"),
        fragments={direction: rate("fragments_total", direction=direction) for direction in directions},
        compression=after.by("direction", "compression_ratio"),
        algorithms=rates_by("algorithm", "compressed_frames_total"),
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
    """Compute the distribution of the values between two readings from cumulative buckets."""
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
    """Interpolate linearly within the bucket of the percentile; in the last, unbounded one, return its lower bound."""
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
    """Return all attributes as plain values, for JSON."""
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
