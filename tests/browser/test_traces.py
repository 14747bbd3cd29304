"""What is on the screen is what was recorded: every sample in the page's memory, and the ink where it belongs."""

from __future__ import annotations

import numpy as np
from cli.live_server import live

from browser.monitor import DESK, Played, fifteen_leads, saved
from ecgframe.records import shipped_ecg

INK = """([left, right, top, bottom]) => {
  const canvas = document.getElementById("traces");
  const { data, width } = canvas.getContext("2d").getImageData(left, top, right - left, bottom - top);
  return Array.from({ length: width }, (_, x) => {
    const rows = [];
    for (let y = 0; y < bottom - top; y += 1) if (data[4 * (y * width + x) + 3] > 100) rows.push(top + y);
    return rows.length > 0 ? [rows[0], rows.at(-1)] : null;
  });
}"""
"""Of each column of pixels in a box of the canvas, the first and the last that have ink."""

PIXELS_A_SECOND = 25 * 4
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


def test_the_ink_is_where_the_samples_belong(open_monitor):
    leads = ["I", "II", "V2"]
    with live("--leads", ",".join(leads), "--speed", 2) as server:
        monitor = open_monitor(server.port, "?view=sweep&speed=25&gain=10")
        monitor.wait("s.shown.to > 5000")
        monitor.page.keyboard.press("Space")
        monitor.wait("s.frozen")
        monitor.page.wait_for_timeout(100)
        shown = monitor.state["shown"]
        first, last = shown["from"], shown["to"]
        Played(shipped_ecg().take(leads)).check(monitor.samples(first, last))
        values = monitor.samples(first, last)
        for lead, row in zip(leads, values, strict=True):
            start = monitor.page.evaluate("([lead, n]) => window.ecgframe.point(lead, n)", [lead, first])
            check_ink(monitor, row, start)
        monitor.shot("three-leads-frozen")


def check_ink(monitor, row, start):
    """The ink of a lead follows its samples, column by column of pixels, from the first one's place."""
    x = start["x"] + np.arange(len(row)) * PIXELS_A_SECOND / 1000
    y = start["y"] - (row - row[0]) * PIXELS_A_MILLIVOLT
    left, right = int(x[0]) + 3, min(int(x[-1]) - 3, DESK[0] - 3)
    top, bottom = int(y.min()) - 12, int(y.max()) + 12
    columns = monitor.page.evaluate(INK, [left, right, top, bottom])
    assert len(columns) > 400
    for column, ink in enumerate(columns, left):
        assert ink is not None, f"no ink in column {column}"
        near = y[(x >= column - 1.2) & (x <= column + 2.2)]
        inside = y[(x >= column + 0.3) & (x <= column + 0.7)]
        assert near.min() - 2 <= ink[0] <= inside.min() + 1, f"column {column}"
        assert inside.max() - 2 <= ink[1] <= near.max() + 2, f"column {column}"


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
