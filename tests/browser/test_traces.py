"""The traces are what was recorded: every sample in the page's memory, and every pixel."""

from __future__ import annotations

import numpy as np
from cli.live_server import live

from browser.ink import PAGE, check_ink
from browser.monitor import Played, fifteen_leads, saved
from ecgframe.records import shipped_ecg


def test_all_leads_of_a_1000_hz_record_arrive_sample_for_sample(open_monitor, tmp_path):
    record = fifteen_leads()
    with live(saved(record, tmp_path)) as server:
        monitor = open_monitor(server.port)
        monitor.wait("s.end > 2500")
        state = monitor.state
        assert state["leads"] == list(record.leads)
        assert (state["samplingRate"], state["gaps"], state["lost"]) == (1000, [], False)
        Played(record).check(monitor.samples(state["start"], state["end"]))
        monitor.shot("fifteen-leads")
        monitor.check_quiet()


def test_the_ink_is_where_the_samples_belong_and_nowhere_else(open_monitor):
    leads = ["I", "II", "V2"]
    record = shipped_ecg().take(leads)
    with live("--leads", ",".join(leads), "--speed", 6) as server:
        monitor = open_monitor(server.port, "?view=sweep&speed=50&gain=10")
        monitor.wait(f"s.shown.to > {1.3 * PAGE}")  # it has written over what it wrote before
        check_ink(monitor, leads, bar=30, least=0.8 * PAGE)
        monitor.shot("three-leads")
        monitor.page.keyboard.press("Space")
        monitor.wait("s.frozen && s.shown.to < s.head")
        check_ink(monitor, leads, bar=0, least=0.8 * PAGE)
        shown = monitor.state["shown"]
        Played(record).check(monitor.samples(shown["from"], shown["to"]))


def test_a_sheet_has_every_lead_in_its_place_and_time(open_monitor):
    with live() as server:
        monitor = open_monitor(server.port, "?view=sheet&theme=light")
        monitor.wait("s.shown.to > 2000")
        monitor.page.keyboard.press("Space")
        monitor.wait("s.frozen")
        monitor.page.wait_for_timeout(100)
        shown = monitor.state["shown"]
        points = {
            lead: monitor.page.evaluate("([lead, n]) => window.ecgframe.point(lead, n)", [lead, shown["from"] + 200])
            for lead in ("I", "II", "aVR", "V6")
        }
        assert points["I"] is not None
        assert points["II"]["x"] == points["I"]["x"]
        assert points["II"]["y"] > points["I"]["y"] + 50
        assert points["aVR"] is None  # its turn on the sheet is two and a half seconds later
        monitor.shot("sheet")


def test_the_first_trace_is_there_within_a_second(open_monitor):
    with live() as server:
        first = min(first_trace(open_monitor(server.port)) for _ in range(3))
    assert first < 1000


def first_trace(monitor):
    """Milliseconds from the beginning of the page's load to the first ink."""
    look = """() => new Promise(done => {
      const look = () => window.ecgframe?.state.shown.to > 0 ? done(performance.now()) : requestAnimationFrame(look);
      look();
    })"""
    return monitor.page.evaluate(look)


def test_the_heart_rate_is_that_of_the_record(open_monitor):
    with live("--speed", 4) as server:
        monitor = open_monitor(server.port)
        monitor.wait("s.peaks.length > 8")
        monitor.wait("/^\\d+$/.test(document.getElementById('rate').textContent)")
        peaks = monitor.state["peaks"]
        expected = 60_000 / np.median(np.diff(peaks))
        assert abs(int(monitor.page.text_content("#rate")) - expected) < 3
        assert 55 < expected < 67
