from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from recordings import optional

from ecgframe.tools import ToolError
from ecgframe.tools.metrics_reader import Reading, between, metrics_url, plain, read_metrics

optional("prometheus_client")

PAGE = """\
# TYPE ecgframe_connections gauge
ecgframe_connections {connections}
# TYPE ecgframe_connections_by_version gauge
ecgframe_connections_by_version{{version="3"}} {connections}
# TYPE ecgframe_messages_sent_total counter
ecgframe_messages_sent_total{{type="ECG_DATA"}} {sent}
# TYPE ecgframe_sent_bytes_total counter
ecgframe_sent_bytes_total {nbytes}
# TYPE ecgframe_frames_dropped_total counter
ecgframe_frames_dropped_total {dropped}
# TYPE ecgframe_errors_sent_total counter
ecgframe_errors_sent_total{{code="0x101",name="CHECKSUM_MISMATCH"}} 2
# TYPE ecgframe_processing_seconds histogram
ecgframe_processing_seconds_bucket{{stage="publish",le="0.001"}} {fast}
ecgframe_processing_seconds_bucket{{stage="publish",le="0.01"}} {slow}
ecgframe_processing_seconds_bucket{{stage="publish",le="+Inf"}} {all}
ecgframe_processing_seconds_count{{stage="publish"}} {all}
ecgframe_processing_seconds_sum{{stage="publish"}} 1
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes 5e7
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total {cpu}
"""
FIRST = {"connections": 2, "sent": 100, "nbytes": 1000, "dropped": 5, "fast": 10, "slow": 10, "all": 10, "cpu": 1}
SECOND = {"connections": 3, "sent": 150, "nbytes": 3000, "dropped": 5, "fast": 14, "slow": 18, "all": 20, "cpu": 1.5}


@pytest.fixture
def server():
    """Serve a page of metrics; ``status`` and ``body`` are the next response."""

    class Handler(BaseHTTPRequestHandler):
        status, body = 200, b""

        def do_GET(self):
            self.send_response(self.status)
            self.end_headers()
            self.wfile.write(self.body)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        Handler.url = f"http://127.0.0.1:{http.server_port}/metrics"
        yield Handler
        http.shutdown()
        thread.join()


def readings(server, *numbers):
    for values in numbers:
        server.body = PAGE.format(**values).encode()
        yield read_metrics(server.url)


def after(reading, seconds, before):
    return Reading(before.time + seconds, reading.samples)


def test_the_difference_of_two_readings_is_computed(server):
    first, second = readings(server, FIRST, SECOND)
    found = between(first, after(second, 2, first))
    assert (found.seconds, found.connections, found.by_version) == (2, 3, {"3": 3})
    assert found.messages == {"sent": {"ECG_DATA": 25.0}, "received": {}}
    assert found.nbytes == {"sent": 1000.0, "received": 0.0}
    assert (found.dropped, found.totals["dropped"]) == (0.0, 5)
    assert found.errors == {"sent": {"0x101": 2}, "received": {}}
    assert (found.memory, found.processor) == (50_000_000, 0.25)
    spread = found.latency["publish"]
    assert spread.count == 10
    assert spread.buckets == [(0.001, 4), (0.01, 4), (float("inf"), 2)]
    assert spread.percentiles == {50: pytest.approx(0.001 + 0.009 / 4), 90: 0.01, 99: 0.01}
    assert found.sizes == {}


def test_a_server_that_began_anew_counts_from_nothing(server):
    second, first = readings(server, SECOND, FIRST)
    found = between(second, after(first, 1, second))
    assert found.messages["sent"] == {"ECG_DATA": 100.0}
    assert found.latency["publish"].count == 10


def test_two_equal_readings_have_no_percentiles(server):
    first, second = readings(server, FIRST, FIRST)
    found = between(first, after(second, 1, first))
    assert found.latency["publish"].percentiles == {50: None, 90: None, 99: None}
    assert plain(found)["latency"]["publish"] == {
        "count": 0,
        "percentiles": {"50": None, "90": None, "99": None},
        "buckets": [],
    }


def test_infinite_values_are_null_in_json(server):
    first, second = readings(server, FIRST, SECOND)
    assert plain(between(first, second))["latency"]["publish"]["buckets"][-1] == [None, 2]


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("ws://h:8765/ws", "http://h:8765/metrics"),
        ("wss://h/ws", "https://h/metrics"),
        ("h:8765", "http://h:8765/metrics"),
        ("http://h:9090", "http://h:9090/metrics"),
        ("http://h:9090/other/metrics", "http://h:9090/other/metrics"),
    ],
)
def test_the_address_of_the_metrics_is_derived(text, url):
    assert metrics_url(text) == url


@pytest.mark.parametrize("text", ["ftp://h", "ws://", "http:///metrics"])
def test_invalid_addresses_are_refused(text):
    with pytest.raises(ToolError, match="not the address of a server"):
        metrics_url(text)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (404, b"metrics need prometheus_client\nmore", "404 Not Found: metrics need prometheus_client"),
        (500, b"", "500 Internal Server Error"),
        (200, b"<html>", "not metrics"),
        (200, b"other_metric 1\n", "no metrics of ecgframe on this page"),
    ],
)
def test_other_pages_are_refused(server, status, body, words):
    server.status, server.body = status, body
    with pytest.raises(ToolError, match=words):
        read_metrics(server.url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/metrics", "http://127.0.0.1:99999/metrics"])
def test_an_unreachable_server_is_reported(url):
    with pytest.raises(ToolError, match=url):
        read_metrics(url)
