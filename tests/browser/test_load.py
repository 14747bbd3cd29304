"""Fifteen leads at 1,000 Hz for an hour: at the frame rate of the display, without growing memory."""

from __future__ import annotations

import numpy as np
import pytest
from cli.live_server import live

from browser.monitor import Played, fifteen_leads, saved

HOUR = 3_600_000
"""Samples of each lead."""


@pytest.mark.alone
def test_drawing_keeps_the_frame_rate_of_the_display(open_monitor, tmp_path):
    with live(saved(fifteen_leads(), tmp_path)) as server:
        monitor = open_monitor(server.port)
        monitor.wait("s.end > 5000")
        pace = monitor.page.evaluate("window.ecgframe.pace")
    drawing, between = np.array(pace["drawing"]), np.array(pace["between"])
    assert len(drawing) > 100
    print(f"drawing: median {np.median(drawing):.2f} ms, p95 {np.percentile(drawing, 95):.2f} ms")
    print(f"between: median {np.median(between):.2f} ms, p95 {np.percentile(between, 95):.2f} ms")
    assert np.median(drawing) < 2
    assert np.percentile(drawing, 95) < 8
    assert np.median(between) < 17.5


@pytest.mark.alone
def test_an_hour_of_signal_does_not_grow_the_memory(open_monitor, tmp_path):
    record = fifteen_leads()
    with live(saved(record, tmp_path), "--speed", 100, "--frame-ms", 1000, "--ring-seconds", 1) as server:
        monitor = open_monitor(server.port)
        monitor.wait("s.end > 400000", 60)  # the rings are full, and everything has happened once
        monitor.page.keyboard.press("Space")  # without a GPU, a hundred seconds of traces cannot be painted in one
        session = monitor.page.context.new_cdp_session(monitor.page)
        first, begun = memory(session, monitor), monitor.state["end"]
        monitor.wait(f"s.end > {HOUR}", 90)
        assert monitor.state["gaps"] == []  # before memory is cleared, which may take longer than the server waits
        last, state = memory(session, monitor), monitor.state
        Played(record).check(monitor.last_samples(20_000))
        monitor.check_quiet()
    print(f"{(state['end'] - begun) / 1e6:.1f} million samples a lead: {first / 1e6:.2f} MB, then {last / 1e6:.2f} MB")
    assert last - first < 2_000_000  # frames in transit; all samples since then would take 190 MB


def memory(session, monitor):
    """Return the bytes of memory that the page uses after a garbage collection, with array buffers.

    This is the minimum of several measurements, as frames in transit are in memory as well.
    """
    return min(measure_memory(session, monitor) for _ in range(12))


def measure_memory(session, monitor):
    monitor.page.wait_for_timeout(120)
    for _ in range(2):
        session.send("HeapProfiler.collectGarbage")
    usage = session.send("Runtime.getHeapUsage")
    return usage["usedSize"] + usage.get("backingStorageSize", 0) + usage.get("embedderHeapUsedSize", 0)
