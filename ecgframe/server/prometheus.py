"""``handler.stats()`` as Prometheus metrics. Needs prometheus-client: ``pip install "ecgframe[metrics]"``.

The handler counts in plain integers, which are converted to metrics when Prometheus asks for them::

    from prometheus_client import REGISTRY

    REGISTRY.register(HandlerCollector(handler))

Streams and connections are summed and never named: names may identify patients, and there may be thousands of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from math import inf
from typing import Any, Final, Protocol

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from ..metrics import Snapshot
from ..protocol import ErrorCode

__all__ = ["HandlerCollector", "Exposition"]

PREFIX: Final = "ecgframe"

OTHER: Final = "other"
"""Label for error codes that the specification does not define; a peer could otherwise create any number of series."""

Stats = Mapping[str, Any]


class HasStats(Protocol):
    """The method of ``WebSocketBinaryHandler`` that is needed here."""

    def stats(self) -> Stats:
        """Plain numbers in plain dicts."""
        ...


class HandlerCollector(Collector):
    """Collects the metrics of one handler.

    Call ``collect`` on the thread of the handler's event loop.

    Args:
        handler: the handler.
    """

    def __init__(self, handler: HasStats) -> None:
        self._handler = handler

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics with their current values."""
        stats = self._handler.stats()
        for family in (
            _messages,
            _sizes,
            _compression,
            _sealing,
            _errors,
            _budgets,
            _latency,
            _queues,
            _connections,
            _streams,
            _disk_history,
            _backplane,
            _clock,
        ):
            yield from family(stats)


class Exposition:
    """The response of ``/metrics``: metrics of a handler, and memory, processor time and open files of the process.

    Args:
        handler: the handler.
        registry: the metrics to return instead, such as those of ``worker_metrics``.
    """

    def __init__(self, handler: HasStats, registry: CollectorRegistry | None = None) -> None:
        if registry is None:
            registry = CollectorRegistry()
            registry.register(HandlerCollector(handler))
            ProcessCollector(registry=registry)
        self._registry = registry

    def answer(self, accept: str) -> tuple[bytes, str]:
        """Return the body and its content type, in the format of the Accept header: Prometheus text or OpenMetrics."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


def _messages(stats: Stats) -> Iterator[Metric]:
    for direction, counts in stats["messages"].items():
        yield _by_label(f"messages_{direction}", f"Messages {direction}, by type.", "type", counts)
    for direction, nbytes in stats["bytes"].items():
        yield _counter(f"{direction}_bytes", f"Bytes {direction}, headers of frames included.", nbytes)
    yield _counter("frames_encoded", "Frames encoded from published messages, one for each encoding.", stats["encoded"])


def _sizes(stats: Stats) -> Iterator[Metric]:
    yield _histograms("message_size_bytes", "Size of a frame, header included.", "direction", stats["sizes"])


def _sealing(stats: Stats) -> Iterator[Metric]:
    sealing = stats["sealing"]
    yield _counter("frames_sealed", "Frames that this server has sealed, one for each encoding.", sealing["sealed"])
    yield _counter("keys_handed_out", "Keys of sealed streams that viewers were sent.", sealing["keys_handed_out"])
    yield _counter("attestations", "Attestations that this server has made.", sealing["attestations"])
    yield _counter("sealed_frames_passed", "Frames sealed by publishers that came here.", sealing["passed"])


def _compression(stats: Stats) -> Iterator[Metric]:
    compression = stats["compression"]
    before = {direction: sums["before"] for direction, sums in compression.items()}
    after = {direction: sums["after"] for direction, sums in compression.items()}
    yield _by_label("compressed_frames", "Compressed data frames sent, by algorithm.", "algorithm", stats["compressed"])
    yield _by_label("compression_input_bytes", "Bytes of payloads before compression.", "direction", before)
    yield _by_label("compression_output_bytes", "Bytes of payloads after compression.", "direction", after)
    ratios = {direction: after[direction] / before[direction] for direction in before if before[direction]}
    yield _by_label(
        "compression_ratio",
        "Size after compression divided by the size before, over all compressed payloads.",
        "direction",
        ratios,
        GaugeMetricFamily,
    )


def _errors(stats: Stats) -> Iterator[Metric]:
    for direction in ("sent", "received"):
        name = f"{PREFIX}_errors_{direction}"
        family = CounterMetricFamily(name, f"Errors {direction}, by code.", labels=("code", "name"))
        known = {f"0x{code:03x}": code.name for code in ErrorCode}
        counts = Counter[str]()
        for code, count in stats["errors"][direction].items():
            counts[code if code in known else OTHER] += count
        for code, count in counts.items():
            family.add_metric((code, known.get(code, OTHER)), count)
        yield family


def _budgets(stats: Stats) -> Iterator[Metric]:
    what = "Messages and frames refused because they exceed a rate limit, by resource."
    yield _by_label("over_budget", what, "resource", stats["over_budget"])
    what = "Bytes of memory of received messages that wait for the application."
    yield _gauge("inbox_bytes", what, stats["inboxes"]["bytes"])


def _latency(stats: Stats) -> Iterator[Metric]:
    what = "Time from receipt of a message until it is handled, or from publishing until it is queued."
    yield _histograms("processing_seconds", what, "stage", stats["latency"])


def _queues(stats: Stats) -> Iterator[Metric]:
    queues = stats["queues"]
    yield _gauge("queue_frames", "Frames that wait to be sent, over all connections.", queues["frames"])
    yield _gauge("queue_bytes", "Bytes that wait to be sent, over all connections.", queues["bytes"])
    what = "Frames that wait to be sent, by class of service."
    yield _by_label("queue_frames_by_class", what, "class", queues["by_class"], GaugeMetricFamily)
    yield _gauge("queue_longest_frames", "Frames in the longest queue of a connection.", queues["longest_frames"])
    yield _gauge("queue_longest_bytes", "Bytes in the largest queue of a connection.", queues["longest_bytes"])
    yield _gauge("on_their_way_bytes", "Bytes sent but not confirmed by a PONG.", queues["on_their_way_bytes"])
    yield _gauge("connections_held", "Connections whose data waits until they answer a PING.", queues["held"])
    yield _counter("frames_dropped", "Frames dropped because a viewer was too slow.", stats["dropped"])
    yield _counter("frames_expired", "Frames dropped because they waited for too long.", stats["expired"])
    what = "Seconds for which the oldest waveform that waits for a viewer has waited."
    yield _gauge("queue_longest_wait_seconds", what, queues["longest_wait_seconds"])
    what = "Subscriptions that name a place in the stream, by whether the server knows it; otherwise a gap is reported."
    yield _by_label("resumes", what, "place", stats["resumes"])
    yield _counter("histories", "Histories of streams that viewers were sent on request.", stats["histories"])
    what = "Fragments of messages, by direction."
    yield _by_label("fragments", what, "direction", stats["fragments"])
    yield _counter("messages_resent", "Messages sent again without an acknowledgement.", stats["resent"])
    yield _counter("messages_acknowledged", "Messages that peers acknowledged.", stats["acknowledged"])
    yield _counter("messages_undelivered", "Messages given up without an acknowledgement.", stats["undelivered"])


def _connections(stats: Stats) -> Iterator[Metric]:
    connections = stats["connections"]
    yield _gauge("connections", "Open connections.", connections["open"])
    by_version = connections["by_version"]
    yield _by_label(
        "connections_by_version", "Open connections, by protocol version.", "version", by_version, GaugeMetricFamily
    )
    yield _counter("connections_accepted", "Connections accepted.", connections["accepted"])
    yield _counter("connections_refused", "Connections refused.", connections["refused"])
    failed = connections["accepts_failed"]
    yield _counter("accepts_failed", "Failed attempts to accept a connection, without open files or memory.", failed)
    yield _by_label("connections_closed", "Connections closed, by close code.", "code", connections["closed"])
    what = "Requests by where the address of the peer comes from, if proxies are named."
    yield _by_label("peer_addresses", what, "origin", connections["by_origin"])


def _streams(stats: Stats) -> Iterator[Metric]:
    streams = stats["streams"].values()
    yield _gauge("streams", "Streams in memory.", len(streams))
    yield _gauge("subscriptions", "Subscriptions to streams.", sum(stream["viewers"] for stream in streams))
    yield _gauge("ring_frames", "Frames kept for viewers that resume.", sum(stream["frames"] for stream in streams))
    yield _gauge("ring_bytes", "Bytes kept for viewers that resume.", sum(stream["bytes"] for stream in streams))


def _disk_history(stats: Stats) -> Iterator[Metric]:
    disk = stats["disk_history"]
    if not disk:
        return
    yield _gauge("disk_history_bytes", "Bytes of the history on disk.", disk["bytes"])
    yield _counter("disk_history_written", "Messages written to the history on disk.", disk["written"])
    yield _counter("disk_history_dropped", "Messages not kept, as the disk was full or too slow.", disk["dropped"])
    yield _counter("disk_history_damaged", "Messages of the history on disk that cannot be read.", disk["damaged"])


def _backplane(stats: Stats) -> Iterator[Metric]:
    for name, value in stats["backplane"].items():
        what = f"Backplane: {name.replace('_', ' ')}."
        if name.endswith("_total"):
            yield _counter(f"backplane_{name.removesuffix('_total')}", what, value)
        else:
            yield _gauge(f"backplane_{name}", what, value)


def _clock(stats: Stats) -> Iterator[Metric]:
    clock = stats["clock"]
    yield _counter("clock_steps", "How often the machine's clock was set while the server ran.", clock["steps"])
    what = "Seconds by which timestamps are ahead of the clock after it was set back."
    yield _gauge("timestamps_ahead_seconds", what, clock["ahead_seconds"])


def _counter(name: str, what: str, value: float) -> Metric:
    return CounterMetricFamily(f"{PREFIX}_{name}", what, value=value)


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}_{name}", what, value=value)


def _by_label(
    name: str,
    what: str,
    label: str,
    values: Mapping[str, float],
    kind: Callable[..., CounterMetricFamily | GaugeMetricFamily] = CounterMetricFamily,
) -> Metric:
    family = kind(f"{PREFIX}_{name}", what, labels=(label,))
    for key, value in values.items():
        family.add_metric((key,), value)
    return family


def _histograms(name: str, what: str, label: str, snapshots: Mapping[str, Snapshot]) -> Metric:
    family = HistogramMetricFamily(f"{PREFIX}_{name}", what, labels=(label,))
    for key, snapshot in snapshots.items():
        buckets = [("+Inf" if bound == inf else repr(bound), count) for bound, count in snapshot["buckets"]]
        family.add_metric((key,), buckets, snapshot["sum"])
    return family
