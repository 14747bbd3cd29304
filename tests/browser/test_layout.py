"""The layout in all sizes: nothing covers a trace or a control, nothing is cut, and every control is reachable."""

from __future__ import annotations

import signal

import numpy as np
import pytest
from cli.live_server import LiveServer, live

from browser.changing_server import OwnServer
from browser.geometry import THREE_FRAMES, check_controls, check_page
from browser.monitor import DESK, fifteen_leads, saved
from browser.publishing import publishing
from browser.test_age import INKED

SIZES = ((1920, 1080), (1366, 768), (820, 1180), (390, 844), (683, 384))
"""Two desks, a tablet, a phone, and the smaller desk with its page enlarged to 200 %."""

LOOKS = (("dark", "sweep"), ("light", "sheet"))


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """Of fifteen leads with alerts, and of one lead."""
    record = saved(fifteen_leads(), tmp_path_factory.mktemp("record"))
    with live(record, "--alerts", 3) as many, live("--leads", "II") as one:
        yield {15: many, 1: one}


@pytest.mark.parametrize("leads", [15, 1])
def test_no_element_overlaps_another_or_is_cut(open_monitor, servers, leads):
    for theme, view in LOOKS:
        monitor = open_monitor(servers[leads].port, f"?theme={theme}&view={view}")
        page = monitor.page
        monitor.wait("s.shown.to > 300")
        if leads == 15:
            monitor.wait("alerts.length > 0")
        for size in SIZES:
            where = f"{leads} leads, {size}, {theme}, {view}"
            page.set_viewport_size({"width": size[0], "height": size[1]})
            wait_for_paper(monitor)
            live_look = check_page(page, f"live, {where}")
            check_controls(page, where)
            monitor.shot(f"{leads}-leads-{size[0]}x{size[1]}-{theme}-{view}-live")
            page.keyboard.press("c")
            monitor.wait("s.frozen && s.reading !== ''")
            monitor.wait("document.getElementById('reading').textContent === s.reading")
            wait_for_paper(monitor)
            frozen = check_page(page, f"frozen, {where}")
            assert page.is_visible("#live"), where
            assert frozen["bottom"] == live_look["bottom"], where  # the bar below the paper takes no more room
            monitor.shot(f"{leads}-leads-{size[0]}x{size[1]}-{theme}-{view}-frozen")
            page.keyboard.press("Escape")
            page.keyboard.press("Escape")
            monitor.wait("!s.frozen")
        monitor.check_quiet()
        monitor.page.close()


def wait_for_paper(monitor):
    """Wait until the paper is drawn in its new size."""
    monitor.page.evaluate(THREE_FRAMES)


def test_the_help_can_be_read_on_a_phone(open_monitor, servers):
    monitor = open_monitor(servers[1].port, size=(390, 844))
    monitor.page.keyboard.press("?")
    monitor.page.wait_for_selector("#help[open]")
    widths = "(() => { const { scrollWidth, clientWidth } = document.getElementById('help');"
    assert monitor.page.evaluate(f"{widths} return scrollWidth - clientWidth; }})()") == 0
    monitor.shot("help-390x844")


def test_one_lead_fills_the_page(open_monitor, servers):
    """More than half of the page's height has ink of the trace within it: from the first line to the last."""
    monitor = open_monitor(servers[1].port, "?view=sheet")
    for width, height in SIZES:
        monitor.page.set_viewport_size({"width": width, "height": height})
        for view in ("sheet", "sweep"):
            monitor.page.evaluate("view => document.querySelector(`input[name=view][value=${view}]`).click()", view)
            monitor.wait("s.end > 0 && s.shown.to > 0")
            wait_for_paper(monitor)
            seen = check_page(monitor.page, f"{width} x {height}, {view}")
            assert not seen["scrolls"]
            assert seen["paper"][1] > 0.9 * seen["stage"][1]
            pulses = monitor.page.evaluate(PULSES)
            assert len(pulses) > 1, f"{width} x {height}, {view}: {pulses}"


PULSES = """() => {
  const canvas = document.getElementById("labels");
  const { data, width, height } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const found = [];
  let run = 0;
  for (let y = 0; y <= height; y += 1) {
    let ink = 0;
    for (let x = 0; y < height && x < Math.min(width / 4, 200); x += 1)
      if (data[4 * (y * width + x) + 3] > 60) ink += 1;
    if (ink > 0) run += 1;
    else { if (run > 20) found.push(run); run = 0; }
  }
  return found;
}"""
"""The heights of what stands one below the other at the left: calibration pulses."""


def test_names_and_pulses_lie_above_what_marks_a_gap_and_are_never_cleared(open_monitor, servers):
    monitor = open_monitor(servers[1].port)
    monitor.wait("s.shown.to > 300")
    order = monitor.page.evaluate("[...document.querySelectorAll('#scroller canvas')].map(canvas => canvas.id)")
    assert order == ["paper", "traces", "overlay", "labels"]  # the overlay marks where nothing comes
    before = monitor.page.evaluate(PULSES)
    monitor.wait("s.shown.to > 3000")
    assert monitor.page.evaluate(PULSES) == before != []


def test_another_ratio_of_pixels_is_taken_at_once(open_monitor, servers):
    monitor = open_monitor(servers[1].port)
    monitor.wait("s.shown.to > 300")
    session = monitor.page.context.new_cdp_session(monitor.page)
    for ratio in (2, 3, 1):
        session.send(
            "Emulation.setDeviceMetricsOverride",
            {"width": 1440, "height": 900, "deviceScaleFactor": ratio, "mobile": False},
        )
        wait_for_paper(monitor)
        assert monitor.page.evaluate("devicePixelRatio") == ratio
        sizes = monitor.page.evaluate(
            "[...document.querySelectorAll('#scroller canvas')].map(one => [one.width, one.clientWidth])"
        )
        wide = monitor.page.evaluate("document.getElementById('stage').clientWidth")
        assert wide > 1400
        assert sizes == [[wide * ratio, wide]] * 4


def test_a_live_sheet_is_a_whole_page_of_ten_seconds(open_monitor):
    with live("--speed", 4, "--leads", "I,II,III,V1") as server:
        monitor = open_monitor(server.port, "?view=sheet")
        monitor.wait("s.shown.to - s.shown.from >= 9999")
        first = monitor.state["shown"]
        for _ in range(5):
            shown = monitor.state["shown"]
            assert shown["to"] - shown["from"] == 10_000
            monitor.page.wait_for_timeout(60)
        assert "next page in" in monitor.page.text_content("#place")
        monitor.wait(f"s.shown.from > {first['from']}")
        assert monitor.state["shown"] == {"from": first["from"] + 10_000, "to": first["to"] + 10_000}
        monitor.page.keyboard.press("Space")
        monitor.wait("s.frozen")
        wait_for_paper(monitor)
        assert monitor.state["shown"] == {"from": first["from"] + 10_000, "to": first["to"] + 10_000}


def test_a_frozen_strip_stays_readable_and_a_reconnection_can_be_forced(open_monitor, free_port):
    server = LiveServer("--leads", "II", "--port", free_port)
    monitor = open_monitor(free_port)
    page = monitor.page
    monitor.wait("s.shown.to > 2000")
    page.keyboard.press("c")
    monitor.wait("s.frozen")
    wait_for_paper(monitor)
    shown, reading = monitor.state["shown"], monitor.state["reading"]
    server.end(signal.SIGKILL)
    monitor.wait("s.lost")
    wait_for_paper(monitor)
    for size in SIZES:
        page.set_viewport_size({"width": size[0], "height": size[1]})
        wait_for_paper(monitor)
        check_page(page, f"lost, frozen, {size}")
        monitor.shot(f"lost-{size[0]}x{size[1]}-frozen")
        assert page.is_visible("#reconnect")
    assert page.evaluate("getComputedStyle(document.getElementById('traces')).opacity") == "1"
    frame = page.evaluate(
        """() => { const stage = document.getElementById("stage");
          const { borderTopWidth, borderTopColor } = getComputedStyle(stage);
          const [outer, inner] = [stage, document.getElementById("scroller")].map(one => one.getBoundingClientRect());
          return [borderTopWidth, borderTopColor, inner.left - outer.left, inner.top - outer.top]; }"""
    )
    alarm = page.evaluate("getComputedStyle(document.getElementById('lost')).backgroundColor")
    assert frame == ["4px", alarm, 4, 4]  # around the paper: it covers nothing, and nothing covers it
    monitor.wait("/Next attempt in [1-9]\\d* s/.test(document.getElementById('lost-next').textContent)", 30)
    with live("--leads", "I,II", "--port", free_port):
        attempts = monitor.state["reconnections"]
        page.click("#reconnect")
        monitor.wait(f"!s.lost && s.reconnections > {attempts}", 5)
        assert page.is_hidden("#lost")
        monitor.wait("s.leads.length === 2")  # another signal, and what was frozen stands
        assert monitor.state["frozen"]
        wait_for_paper(monitor)
        assert (monitor.state["shown"], monitor.state["reading"]) == (shown, reading)
        page.keyboard.press("Escape")
        page.keyboard.press("Escape")
        monitor.wait("!s.frozen && s.shown.to > 300")


def test_calipers_stay_in_sight_when_the_form_of_the_page_changes(open_monitor, servers):
    monitor = open_monitor(servers[15].port, "?view=sweep")
    page = monitor.page
    monitor.wait("s.shown.to > 5000", 30)
    page.keyboard.press("c")
    monitor.wait("s.frozen && s.reading !== ''")
    wait_for_paper(monitor)
    first, reading = monitor.state["shown"], monitor.state["reading"]
    for size in (*SIZES[::-1], *SIZES):
        page.set_viewport_size({"width": size[0], "height": size[1]})
        wait_for_paper(monitor)
        assert page.evaluate(INKED), size
        assert monitor.state["reading"] == reading
    page.set_viewport_size({"width": DESK[0], "height": DESK[1]})
    wait_for_paper(monitor)
    assert monitor.state["shown"] == first


def test_an_alarm_and_what_the_sender_states_fit_in_all_sizes(open_monitor):
    rng = np.random.default_rng(1)

    def message(number):
        return {
            "signal": rng.normal(0, 0.01, (3, 125)),
            "sampling_rate": 250,
            "leads": ["I", "II", "V1"],
            "units": "mV",
            "filter": "0.05-150 Hz, notch 50 Hz",
            "pacing": True,
            "lead_status": ["ok", "ok", "off"],
            "sequence": number,
        }

    with publishing(message, 0.5) as port:
        monitor = open_monitor(port)
        page = monitor.page
        monitor.wait("document.getElementById('vital').dataset.state === 'alarm'", 30)
        monitor.wait("document.getElementById('lead-faults').textContent === 'Lead off: V1'", 30)
        for size in SIZES:
            page.set_viewport_size({"width": size[0], "height": size[1]})
            wait_for_paper(monitor)
            check_page(page, f"asystole, {size}")
            assert page.inner_text("#sender-says") == "Filter: 0.05-150 Hz, notch 50 Hz · Pacing: on", size
            monitor.shot(f"asystole-{size[0]}x{size[1]}")
        monitor.check_quiet()


def test_names_of_any_length_stay_within_their_place(open_monitor):
    stream, lead = "ward/" + "bed-" * 60, "electrode of a very long name, " * 8
    with OwnServer({stream: [f"{lead}{place}" for place in ("left", "right")], "short": ["II"]}) as server:
        monitor = open_monitor(server.port)
        page = monitor.page
        monitor.wait("s.shown.to > 50")
        for size in SIZES:
            page.set_viewport_size({"width": size[0], "height": size[1]})
            wait_for_paper(monitor)
            check_page(page, f"long names, {size}")
            monitor.shot(f"long-names-{size[0]}x{size[1]}")
        assert page.get_attribute("#stream", "title") == stream
        box = page.locator("#overlay").bounding_box()
        page.mouse.move(box["x"] + 100, box["y"] + 8)
        assert page.get_attribute("#overlay", "title") == f"{lead}left"
        assert f"{lead}right" in page.get_attribute("#overlay", "aria-label")
