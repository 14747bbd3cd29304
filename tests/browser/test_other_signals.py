"""Respiration, plethysmograms and pressures: drawn to their own scales, and never taken for an ECG."""

from __future__ import annotations

import numpy as np
import pytest

from browser.accessibility import check_accessible, with_axe
from browser.mixed import LEADS, RATE, SAMPLES, mixed, numbers, physical
from browser.publishing import publishing


@pytest.fixture(scope="module")
def port():
    with publishing(mixed, SAMPLES / RATE, numbers) as port:
        yield port


PIXELS_PER_MILLIVOLT = 40.0
"""At 10 mm/mV and 4 pixels a millimetre."""


def heights(monitor, lead, values, first):
    """The heights of samples on the canvas, and their values."""
    ask = "([lead, first, count]) => Array.from({length: count}, (_, at) => window.ecgframe.point(lead, first + at)?.y)"
    found = monitor.page.evaluate(ask, [lead, first, len(values)])
    return np.array(found, np.float64)


@pytest.mark.parametrize("view", ["sweep", "sheet"])
def test_each_signal_is_kept_in_its_unit_and_drawn_to_its_own_scale(open_monitor, port, view):
    monitor = open_monitor(port, f"?view={view}&gain=10")
    monitor.wait("s.shown.to - s.shown.from > 1200 && s.rate > 0")
    monitor.page.keyboard.press("Space")
    monitor.wait("s.frozen")
    monitor.page.wait_for_timeout(100)
    state = monitor.state
    assert state["leads"] == list(LEADS)
    first, count = state["shown"]["from"] + 10, 150
    values = monitor.samples(first, first + count)
    span = np.ptp(values, axis=1)
    expected = np.ptp(physical(np.arange(4 * RATE) / RATE), axis=1)
    if view == "sweep":
        assert abs(span[3] - expected[3]) < 0.05
    box = monitor.page.locator("#traces").bounding_box()
    tops = []
    for lead, row in zip(LEADS[2:], values[2:], strict=True):
        drawn = heights(monitor, lead, row, first)
        tops.append(np.nanmin(drawn))
        assert np.nanmax(drawn) < box["height"]
        # A straight line from value to height; its slope is not that of millivolts.
        slope, offset = np.polyfit(row, drawn, 1)
        np.testing.assert_allclose(drawn, slope * row + offset, atol=0.6)
        assert slope < 0
        assert abs(slope + PIXELS_PER_MILLIVOLT) > 1
    assert tops == sorted(tops)
    monitor.shot(f"other-signals-{view}")


def test_the_heart_rate_is_that_of_the_ecg(open_monitor, port):
    monitor = open_monitor(port)
    monitor.wait("s.rate > 0")
    assert abs(monitor.state["rate"] - 75) < 2
    assert monitor.state["heart"]["lead"] == "II"
    assert monitor.state["quality"] == ["ok"] * len(LEADS)
    monitor.check_quiet()


def test_calipers_read_the_unit_of_the_lead_on_which_they_are(open_monitor, port):
    monitor = open_monitor(port)
    monitor.wait("s.shown.to - s.shown.from > 1000")
    monitor.page.keyboard.press("Space")
    monitor.wait("s.frozen")
    monitor.page.wait_for_timeout(100)
    canvas = monitor.page.locator("#overlay").bounding_box()
    first = monitor.state["shown"]["from"] + 300
    samples = monitor.samples(first, first + 200)

    def place(lead, sample):
        found = monitor.page.evaluate("([lead, n]) => window.ecgframe.point(lead, n)", [lead, sample])
        return canvas["x"] + found["x"], canvas["y"] + found["y"]

    low, high = int(np.argmin(samples[4])), int(np.argmax(samples[4]))
    monitor.page.mouse.move(*place("ABP", first + low))
    monitor.page.mouse.down()
    monitor.page.mouse.move(*place("ABP", first + high))
    monitor.page.mouse.up()
    reading = monitor.state["reading"]
    assert reading.endswith(" mmHg"), reading
    found = float(reading.split(" · ")[-1].removesuffix(" mmHg").replace("\N{MINUS SIGN}", "-"))
    assert abs(abs(found) - np.ptp(samples[4])) < 1.5
    monitor.shot("other-signals-calipers")
    before = reading
    monitor.page.locator("#overlay").focus()
    monitor.page.keyboard.press("ArrowUp")
    assert monitor.state["reading"] != before


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_numbers_have_their_names_and_units(open_monitor, port, theme):
    monitor = open_monitor(port, f"?theme={theme}")
    monitor.page.locator("#numerics .numeric").first.wait_for()
    monitor.wait("s.shown.to - s.shown.from > 1500")
    shown = [
        (box.locator("abbr").inner_text(), box.locator("output").inner_text(), box.locator(".unit").inner_text())
        for box in monitor.page.locator("#numerics .numeric").all()
    ]
    assert shown == [("SpO₂", "97", "%"), ("RR", "15", "/min"), ("PR", "75", "/min"), ("ABP mean", "93.4", "mmHg")]
    check_accessible(with_axe(monitor.page))
    monitor.shot(f"other-signals-numbers-{theme}")
    monitor.check_quiet()


def test_a_number_that_is_old_is_not_shown_any_more(open_monitor):
    sent = []

    def once():
        sent.append(0)
        return numbers() if len(sent) == 1 else {**numbers(), "features": {"MDC_RESP_RATE": 15}}

    with publishing(mixed, SAMPLES / RATE, once) as port:
        monitor = open_monitor(port)
        box = monitor.page.locator("#numerics .numeric", has_text="SpO₂").locator("output")
        box.get_by_text("97").wait_for()
        box.get_by_text(2 * "\N{EN DASH}").wait_for(timeout=15_000)
        assert monitor.page.locator("#numerics .numeric", has_text="RR").locator("output").inner_text() == "15"


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_a_tile_of_the_wall_has_other_signals_and_numbers(open_wall, port, theme):
    wall = open_wall(port, f"?theme={theme}&lead=II,PLETH", size=(900, 600))
    wall.wait_for_live(1)
    wall.wait("s.beds[0].rate === 75 && s.beds[0].shown.join() === 'II,PLETH'")
    tile = wall.tile("ecg/1")
    tile.locator(".numbers", has_text="SpO₂ 97 %").wait_for()
    assert tile.locator(".numbers").inner_text().split("\n") == ["SpO₂ 97 %", "RR 15", "PR 75", "ABP mean 93.4"]
    assert "Oxygen saturation 97 %" in tile.locator(".open").get_attribute("aria-label")
    shown = (
        "tile => { tile.dataset.alarm = 'critical'; return getComputedStyle(tile.querySelector('.numbers')).display; }"
    )
    assert tile.evaluate(shown) == "flex"  # an alarm hides no numbers
    wall.page.wait_for_timeout(4000)
    wall.shot(f"wall-other-signals-{theme}")
    check_accessible(with_axe(wall.page))
    wall.check_quiet()


def test_a_tile_prefers_the_ecg(open_wall, port):
    wall = open_wall(port)
    wall.wait_for_live(1)
    wall.wait("s.beds[0].shown.join() === 'II,V1'")
