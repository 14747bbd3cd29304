"""A server that restarts with another clock: the page shows a gap, and continues at once."""

from __future__ import annotations

import signal
import time

import pytest
from cli.live_server import LiveServer, live

from browser.other_clock import other_clock
from browser.test_connection import GREEN

TEXT = "document.getElementById('{}').textContent"


@pytest.mark.parametrize("offset", ["-3600s", "-3s", "+3600s"])
def test_a_server_that_is_back_with_another_clock_is_a_gap_and_drawn_at_once(open_monitor, free_port, offset):
    first = LiveServer("--leads", "II", "--port", free_port)
    monitor = open_monitor(free_port, "?view=sweep")
    monitor.wait("s.end > 1000 && s.rate > 0")
    first.end(signal.SIGKILL)
    gone = time.monotonic()
    before = monitor.state["end"]
    with other_clock(offset), live("--leads", "II", "--port", free_port):
        monitor.wait("s.reconnections === 1 && s.link === 'open'")
        monitor.wait(f"s.end > {before} && s.shown.to > s.gaps[0].to + 500 && s.head < s.end", 3)
        away = time.monotonic() - gone
        monitor.wait(f"!s.lost && {TEXT.format('connection')} === 'Live'", 1)
        [gap] = monitor.state["gaps"]
        assert gap["from"] == before
        assert 0 < gap["to"] - gap["from"] < 1000 * (away + 1)
        monitor.wait(f"{TEXT.format('status-gaps')}.startsWith('1 ')", 2)
        assert colours(monitor, gap["from"] + 10, gap["to"] - 10)["hatching"] > 100
        assert colours(monitor, gap["to"], gap["to"] + 500)["trace"] > 100
        monitor.wait("s.rate > 0 && s.peaks.at(-1) > s.gaps[0].to")
        assert len(monitor.state["gaps"]) == 1
        assert monitor.state["head"] < monitor.state["end"]
        monitor.check_quiet(cut=True)


def colours(monitor, first, last):
    """Return how many pixels between two samples are trace, and how many are hatching."""
    columns = [monitor.page.evaluate("n => window.ecgframe.point('II', n).x", sample) for sample in (first, last)]
    return monitor.page.evaluate(GREEN, [round(column) for column in columns])
