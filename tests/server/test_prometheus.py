"""The metrics of a handler in the formats of Prometheus, read by its own parsers."""

import sys

import pytest
from recordings import optional
from running import run

from ecgframe import ErrorCode, MessageType
from ecgframe.metrics import BYTES
from ecgframe.protocol import Algorithm
from ecgframe.server import WebSocketBinaryHandler
from ecgframe.server.backplane import LocalBackplane
from ecgframe.server.stats import ServerStats

client = optional("prometheus_client")
exposition = optional("ecgframe.server.prometheus")

PARSERS = {
    "text/plain": optional("prometheus_client.parser").text_string_to_metric_families,
    "application/openmetrics-text": optional("prometheus_client.openmetrics.parser").text_string_to_metric_families,
}


class StubHandler:
    """A substitute for a handler, with the numbers of some traffic."""

    def __init__(self) -> None:
        self.server_stats = server_stats = ServerStats()
        server_stats.accepted, server_stats.refused = 7, 1
        server_stats.failed_accepts -= 5  # those before the handler: five more have failed since
        server_stats.closed.update({"1000": 3, "1013": 1})
        server_stats.counters.sent.update({MessageType.ECG_DATA: 41, MessageType.HEARTBEAT: 2})
        server_stats.counters.received.update({MessageType.SUBSCRIBE: 3})
        server_stats.counters.sent_bytes, server_stats.counters.received_bytes = 50_000, 300
        server_stats.counters.errors.update({ErrorCode.CHECKSUM_MISMATCH: 2, 31337: 5, -8: 6})
        server_stats.errors.update({ErrorCode.PERMISSION_DENIED: 4})
        server_stats.counters.over_budget.update({"frames": 21, "unpacked": 22})
        server_stats.counters.dropped, server_stats.counters.resent, server_stats.counters.undelivered = 11, 12, 13
        server_stats.acknowledged, server_stats.encoded = 14, 20
        server_stats.keys_handed_out, server_stats.histories = 31, 33
        server_stats.compressed.update({Algorithm.ZLIB: 9, Algorithm.LZ4: 3})
        server_stats.counters.sealed.update({"passed": 32})
        server_stats.counters.expired, server_stats.counters.fragments_sent = 6, 640
        server_stats.before, server_stats.after, server_stats.deflated = 8000, 2000, 5
        for nbytes in (20, 700, 700, 1 << 25):
            server_stats.sent_sizes.observe(nbytes)
        server_stats.receive_seconds.observe(0.0003)
        self.streams = {
            "ecg/bed-7": {"viewers": 2, "frames": 600, "bytes": 500_000, "seconds": 30.0},
            "ecg/bed-8": {"viewers": 1, "frames": 10, "bytes": 9_000, "seconds": 0.5},
        }
        self.backplane = {"up": True, "lag_seconds": 0.002, "lost_total": 9}

    def stats(self):
        return self.server_stats.stats([], 0.0) | {
            "inboxes": {"bytes": 4096},
            "streams": self.streams,
            "disk_history": {"bytes": 5000, "written": 81, "dropped": 82, "damaged": 83},
            "backplane": self.backplane,
            "clock": {"steps": 2, "ahead_seconds": 1.5},
        }


def parsed(handler, accept="text/plain"):
    """Values by name and labels, read by the parser of prometheus-client."""
    body, content_type = exposition.Exposition(handler).answer(accept)
    assert content_type.startswith(accept)
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in PARSERS[accept](body.decode())
        for sample in family.samples
    }


@pytest.mark.parametrize("accept", PARSERS)
def test_both_formats_have_all_metrics(accept):
    found = parsed(StubHandler(), accept)
    assert {key: found[key] for key in found if key[0].startswith("ecgframe") and "_bucket" not in key[0]} == {
        ("ecgframe_messages_sent_total", "ECG_DATA"): 41,
        ("ecgframe_messages_sent_total", "HEARTBEAT"): 2,
        ("ecgframe_messages_received_total", "SUBSCRIBE"): 3,
        ("ecgframe_keys_handed_out_total",): 31,
        ("ecgframe_attestations_total",): 0,
        ("ecgframe_histories_total",): 33,
        ("ecgframe_sealed_frames_passed_total",): 32,
        ("ecgframe_frames_sealed_total",): 0,
        ("ecgframe_over_budget_total", "frames"): 21,
        ("ecgframe_over_budget_total", "unpacked"): 22,
        ("ecgframe_inbox_bytes",): 4096,
        ("ecgframe_sent_bytes_total",): 50_000,
        ("ecgframe_received_bytes_total",): 300,
        ("ecgframe_frames_encoded_total",): 20,
        ("ecgframe_message_size_bytes_count", "sent"): 4,
        ("ecgframe_message_size_bytes_sum", "sent"): 1420 + (1 << 25),
        ("ecgframe_message_size_bytes_count", "received"): 0,
        ("ecgframe_message_size_bytes_sum", "received"): 0,
        ("ecgframe_compressed_frames_total", "zlib"): 9,
        ("ecgframe_compressed_frames_total", "zstd"): 0,
        ("ecgframe_compressed_frames_total", "lz4"): 3,
        ("ecgframe_compression_input_bytes_total", "sent"): 8000,
        ("ecgframe_compression_output_bytes_total", "sent"): 2000,
        ("ecgframe_compression_ratio", "sent"): 0.25,
        ("ecgframe_errors_sent_total", "0x203", "PERMISSION_DENIED"): 4,
        ("ecgframe_errors_received_total", "0x101", "CHECKSUM_MISMATCH"): 2,
        ("ecgframe_errors_received_total", "other", "other"): 11,
        ("ecgframe_processing_seconds_count", "receive"): 1,
        ("ecgframe_processing_seconds_sum", "receive"): 0.0003,
        ("ecgframe_processing_seconds_count", "publish"): 0,
        ("ecgframe_processing_seconds_sum", "publish"): 0,
        ("ecgframe_queue_frames",): 0,
        ("ecgframe_queue_bytes",): 0,
        ("ecgframe_queue_frames_by_class", "alarm"): 0,
        ("ecgframe_queue_frames_by_class", "control"): 0,
        ("ecgframe_queue_frames_by_class", "live"): 0,
        ("ecgframe_queue_frames_by_class", "bulk"): 0,
        ("ecgframe_queue_longest_frames",): 0,
        ("ecgframe_queue_longest_bytes",): 0,
        ("ecgframe_queue_longest_wait_seconds",): 0,
        ("ecgframe_resumes_total", "known"): 0,
        ("ecgframe_resumes_total", "unknown"): 0,
        ("ecgframe_on_their_way_bytes",): 0,
        ("ecgframe_connections_held",): 0,
        ("ecgframe_frames_dropped_total",): 11,
        ("ecgframe_frames_expired_total",): 6,
        ("ecgframe_fragments_total", "sent"): 640,
        ("ecgframe_fragments_total", "received"): 0,
        ("ecgframe_messages_resent_total",): 12,
        ("ecgframe_messages_undelivered_total",): 13,
        ("ecgframe_messages_acknowledged_total",): 14,
        ("ecgframe_connections",): 0,
        ("ecgframe_connections_accepted_total",): 7,
        ("ecgframe_connections_refused_total",): 1,
        ("ecgframe_accepts_failed_total",): 5,
        ("ecgframe_connections_closed_total", "1000"): 3,
        ("ecgframe_connections_closed_total", "1013"): 1,
        ("ecgframe_streams",): 2,
        ("ecgframe_subscriptions",): 3,
        ("ecgframe_ring_frames",): 610,
        ("ecgframe_ring_bytes",): 509_000,
        ("ecgframe_disk_history_bytes",): 5000,
        ("ecgframe_disk_history_written_total",): 81,
        ("ecgframe_disk_history_dropped_total",): 82,
        ("ecgframe_disk_history_damaged_total",): 83,
        ("ecgframe_backplane_up",): 1,
        ("ecgframe_backplane_lag_seconds",): 0.002,
        ("ecgframe_backplane_lost_total",): 9,
        ("ecgframe_clock_steps_total",): 2,
        ("ecgframe_timestamps_ahead_seconds",): 1.5,
    }


@pytest.mark.parametrize("accept", PARSERS)
def test_a_histogram_has_the_buckets_of_the_handler(accept):
    found = parsed(StubHandler(), accept)
    name = "ecgframe_message_size_bytes_bucket", "sent"
    buckets = {key[2]: value for key, value in found.items() if key[:2] == name}
    assert len(buckets) == len(BYTES) + 1
    assert [buckets[bound] for bound in ("16.0", "32.0", "512.0", "1024.0", "16777216.0", "+Inf")] == [0, 1, 1, 3, 3, 4]


def test_a_new_handler_has_all_metrics():
    handler = StubHandler()
    handler.server_stats, handler.streams, handler.backplane = ServerStats(), {}, LocalBackplane().stats()
    found = parsed(handler)
    assert ("ecgframe_compression_ratio", "sent") not in found
    assert found["ecgframe_frames_dropped_total",] == 0
    assert found["ecgframe_backplane_published_total",] == 0


def test_names_of_streams_are_not_exported():
    body, _ = exposition.Exposition(StubHandler()).answer("")
    assert b"bed" not in body


@pytest.mark.skipif(sys.platform != "linux", reason="prometheus-client reads /proc")
def test_metrics_of_the_process_are_included():
    assert parsed(StubHandler())["process_open_fds",] > 0


def test_the_collector_works_in_a_registry_of_the_application():
    registry = client.CollectorRegistry(auto_describe=True)
    registry.register(exposition.HandlerCollector(StubHandler()))
    assert registry.get_sample_value("ecgframe_messages_sent_total", {"type": "ECG_DATA"}) == 41


def test_a_real_handler_has_all_metrics():
    async def serving():
        async with WebSocketBinaryHandler() as handler:
            await handler.publish("ecg/1", MessageType.ECG_DATA, {"signal": [1] * 2000, "sampling_rate": 250})
            return parsed(handler), handler.stats()

    found, stats = run(serving())
    assert found["ecgframe_ring_frames",] == 1
    assert found["ecgframe_ring_bytes",] == stats["streams"]["ecg/1"]["bytes"]
    assert found["ecgframe_processing_seconds_count", "publish"] == 1
    assert 0 < found["ecgframe_compression_ratio", "sent"] < 0.1
    assert found["ecgframe_backplane_published_total",] == 1
