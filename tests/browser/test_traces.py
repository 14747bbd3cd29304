"""What is on the screen is what was recorded: every sample in the page's memory, and the ink where it belongs."""

from __future__ import annotations

import numpy as np
from cli.live_server import live

from browser.monitor import DESK, Played, fifteen_leads, saved
from ecgframe.records import shipped_ecg

LOOK = """lead => {
  const { state, samples, point } = window.ecgframe;
  const { from, to } = state.shown;
  const places = Array.from({ length: to - from }, (_, index) => point(lead, from + index));
  const shown = places.map(place => place !== null);
  const canvas = document.getElementById("traces");
  const ys = places.filter(place => place !== null).map(({ y }) => y);
  const top = Math.floor(Math.min(...ys)) - 12, bottom = Math.ceil(Math.max(...ys)) + 12;
  const { data, width } = canvas.getContext("2d").getImageData(0, top, canvas.width, bottom - top);
  const ink = Array.from({ length: width }, (_, x) => {
    const rows = [];
    for (let y = 0; y < bottom - top; y += 1) if (data[4 * (y * width + x) + 3] > 100) rows.push(top + y);
    return rows.length > 0 ? [rows[0], rows.at(-1)] : null;
  });
  return { from, to, shown, values: samples(lead, from, to), places: places.filter(place => place !== null), ink };
}"""
"""All at one moment: the samples of a lead that are shown, where they are, and of each column of pixels around the lead
the first and the last that have ink."""

PIXELS_A_SECOND = 50 * 4
PIXELS_A_MILLIVOLT = 10 * 4


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
        page = 1000 * (DESK[0] - 36) / PIXELS_A_SECOND
        monitor.wait(f"s.shown.to > {1.3 * page}")  # it has written over what it wrote before
        check_ink(monitor, leads, page, bar=30)
        monitor.shot("three-leads")
        monitor.page.keyboard.press("Space")
        monitor.wait("s.frozen && s.shown.to < s.head")
        check_ink(monitor, leads, page, bar=0)
        shown = monitor.state["shown"]
        Played(record).check(monitor.samples(shown["from"], shown["to"]))


def check_ink(monitor, leads, page, bar):
    """The ink of each lead follows its samples, column by column of pixels, and there is none where no sample is."""
    for lead in leads:
        look = monitor.page.evaluate(LOOK, lead)
        assert all(look["shown"])
        values = np.array(look["values"])
        x, y = (np.array([place[axis] for place in look["places"]]) for axis in "xy")
        assert len(values) > 0.8 * page
        np.testing.assert_allclose(y, y[0] - (values - values[0]) * PIXELS_A_MILLIVOLT, atol=1e-6)
        moved = (x - x[0] - np.arange(len(x)) * PIXELS_A_SECOND / 1000) % (page * PIXELS_A_SECOND / 1000)
        assert np.minimum(moved, page * PIXELS_A_SECOND / 1000 - moved).max() < 1e-6
        blank = 0
        for column, ink in enumerate(look["ink"]):
            near = y[(x >= column - 1.2) & (x <= column + 2.2)]
            inside = y[(x >= column + 0.3) & (x <= column + 0.7)]
            if len(near) == 0:
                assert ink is None, f"{lead}: ink in column {column}, where there is no sample"
                blank += 1
            elif len(inside) > 0 and np.ptp(x[(x >= column - 3) & (x <= column + 4)]) > 5:
                assert ink is not None, f"{lead}: no ink in column {column}"
                assert near.min() - 2 <= ink[0] <= inside.min() + 1, f"{lead}, column {column}"
                assert inside.max() - 2 <= ink[1] <= near.max() + 2, f"{lead}, column {column}"
        assert 30 + bar < blank < 45 + bar  # the paper's margin, and the bar before the head


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
