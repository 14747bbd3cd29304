"""Keys, pointer, phones and accessibility."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cli.live_server import live

from browser.accessibility import check_accessible, with_axe
from browser.monitor import DESK, PHONE

SETTLED = """(({ scrollHeight, clientHeight, scrollWidth, clientWidth, tabIndex }) =>
  tabIndex === 0 || (scrollHeight <= clientHeight && scrollWidth <= clientWidth)
)(document.getElementById("scroller"))"""
"""The paper was drawn anew after its room had changed."""


@pytest.fixture(scope="module")
def port():
    """The port of a server for all tests of this file."""
    with live("--streams", 2, "--speed", 4) as server:
        yield server.port


@pytest.fixture
def monitor(open_monitor, port):
    opened = open_monitor(port)
    opened.wait("s.shown.to > 800")
    yield opened
    opened.check_quiet()


def pressed(monitor, id):
    return monitor.page.get_attribute(f"#{id}", "aria-pressed")


def test_every_key_of_the_help_does_what_it_says(monitor):
    page = monitor.page
    press = page.keyboard.press
    checked = "document.querySelector('input[name={}]:checked').value"
    for key, name, values in (
        ("v", "view", ["sheet", "sweep"]),
        ("s", "speed", ["50", "12.5", "25"]),
        ("g", "gain", ["20", "5", "10"]),
    ):
        for value in values:
            press(key)
            assert page.evaluate(checked.format(name)) == value
    press("t")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    press("n")
    monitor.wait("s.stream === 'ecg/2' && s.end > 0")
    press("p")
    monitor.wait("s.stream === 'ecg/1' && s.shown.to > 500")
    for key, panel in (("f", "frames"), ("l", "alerts"), ("e", "print")):
        press(key)
        assert page.is_visible(f"#{panel}")
        press("Escape")
        page.wait_for_selector(f"#{panel}", state="hidden")
    press("b")
    assert page.inner_text("#bed") == "hidden" or page.is_hidden("#bed")
    press("b")
    press("?")
    page.wait_for_selector("#help")
    assert page.locator("#help-rows tr").count() == 25
    monitor.shot("help")
    press("Escape")
    assert page.is_hidden("#help")


def test_a_frozen_screen_can_be_scrolled_and_goes_on_live(monitor):
    page = monitor.page
    press = page.keyboard.press
    monitor.wait("s.shown.from > s.start + 400", 60)  # so that there is something to scroll back to
    press("Space")
    monitor.wait("s.frozen")
    page.evaluate("new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    newest = monitor.state["shown"]["from"]
    press("ArrowLeft")
    monitor.wait(f"s.shown.from === {newest - 200}")
    press("Home")
    monitor.wait("s.shown.from === s.start")
    press("End")
    monitor.wait(f"s.shown.from >= {newest}")
    page.wait_for_timeout(150)
    assert "s back" in page.text_content("#place")
    still = monitor.state["shown"]
    page.wait_for_timeout(200)
    assert monitor.state["shown"] == still
    press("Escape")
    monitor.wait("!s.frozen && s.shown.to > s.head - 100")


def test_calipers_measure_between_their_corners(monitor):
    page = monitor.page
    press = page.keyboard.press
    press("c")
    monitor.wait("s.frozen")
    assert monitor.state["reading"] == "800 ms · 75/min · +1.00 mV"
    press("ArrowRight")
    press("ArrowRight")
    press("ArrowUp")
    assert monitor.state["reading"] == "820 ms · 73/min · +1.02 mV"
    press("x")
    press("Shift+ArrowRight")
    press("Shift+ArrowDown")
    assert monitor.state["reading"] == "620 ms · 97/min · +1.52 mV"
    monitor.wait("document.getElementById('reading').textContent === s.reading")
    press("c")
    assert monitor.state["reading"] == ""
    press("Escape")
    monitor.wait("!s.frozen")
    box = page.locator("#overlay").bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 160)
    page.mouse.up()
    assert monitor.state["reading"] == "1000 ms · 60/min · +1.00 mV"  # 100 px are 25 mm, 40 px are 10 mm
    assert pressed(monitor, "freeze") == "true"
    assert pressed(monitor, "calipers") == "true"
    monitor.shot("calipers")


def test_everything_can_be_reached_by_tab_and_shows_where_it_is(monitor):
    page = monitor.page
    found = set()
    for _ in range(30):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            """() => {
              const at = document.activeElement;
              const drawn = at.matches("fieldset input") ? at.nextElementSibling : at;
              return [at.id || at.name, getComputedStyle(drawn).outlineStyle];
            }"""
        )
        if focused[0]:
            found.add(focused[0])
            assert focused[1] == "solid", focused
    wanted = {
        "stream",
        "view",
        "speed",
        "gain",
        "freeze",
        "calipers",
        "open-alerts",
        "open-frames",
        "open-print",
        "theme",
        "open-help",
    }
    assert wanted <= found


@pytest.mark.parametrize(
    ("query", "size"), [("?theme=dark", DESK), ("?theme=light&view=sheet", DESK), ("?theme=light", PHONE)]
)
def test_the_page_is_accessible(open_monitor, port, query, size):
    monitor = open_monitor(port, query, size=size)
    monitor.wait("s.shown.to > 300")
    page = with_axe(monitor.page)
    check_accessible(page)
    page.keyboard.press("f")
    page.keyboard.press("l")
    page.keyboard.press("c")
    monitor.wait("s.reading !== ''")
    monitor.wait(SETTLED)
    check_accessible(page)
    page.keyboard.press("?")
    check_accessible(page)


@pytest.mark.alone  # a finger that is dragged while the page is busy is not where it seems
def test_a_phone_shows_all_leads_and_nothing_overflows(open_monitor, port):
    monitor = open_monitor(port, size=PHONE, device_scale_factor=2, has_touch=True, is_mobile=True)
    monitor.wait("s.shown.to > 1500")
    page = monitor.page
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    page.tap("#freeze")
    monitor.wait("s.frozen && s.shown.to < s.head")
    last = monitor.state["shown"]["to"] - 50
    for lead in monitor.state["leads"]:
        point = page.evaluate("([lead, n]) => window.ecgframe.point(lead, n)", [lead, last])
        assert 0 < point["x"] / 2 < PHONE[0]
    assert page.is_visible("#review")
    monitor.shot("phone")
    page.tap("#calipers")
    assert monitor.state["reading"] == "800 ms · 75/min · +1.00 mV"
    first, later = (
        page.evaluate("n => window.ecgframe.point('II', n).x / 2", number) for number in (last - 1000, last)
    )
    millimetre = (later - first) / 25
    right, up = round(25 * millimetre), round(5 * millimetre)
    drag_finger(page, (150, 300), (150 + right, 300 - up))
    milliseconds, _, millivolts = monitor.state["reading"].split(" · ")
    assert abs(int(milliseconds.removesuffix(" ms")) - 1000) <= 20  # a finger's place is a whole pixel
    assert abs(float(millivolts.removesuffix(" mV")) - 0.5) <= 0.03
    page.tap("#live")
    monitor.wait("!s.frozen")
    monitor.check_quiet()


def drag_finger(page, start, end):
    """Put a finger on the page, move it, and let it rest a while: else it flings, and the next tap only stops that."""
    session = page.context.new_cdp_session(page)
    for type, points in (
        ("touchStart", [start]),
        ("touchMove", [((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)]),
        ("touchMove", [end]),
        ("touchEnd", []),
    ):
        touches = [{"x": x, "y": y} for x, y in points]
        session.send("Input.dispatchTouchEvent", {"type": type, "touchPoints": touches})
        page.wait_for_timeout(120)


def test_settings_are_kept(open_monitor, port):
    monitor = open_monitor(port)
    monitor.wait("s.shown.to > 100")
    monitor.page.check("input[name=speed][value='50']", force=True)
    monitor.page.keyboard.press("t")
    monitor.page.reload()
    monitor.wait("s.shown.to > 100")
    assert monitor.page.is_checked("input[name=speed][value='50']")
    assert monitor.page.evaluate("document.documentElement.dataset.theme") == "light"


def test_the_hook_is_what_the_docs_say(monitor):
    page = (Path(__file__).parents[2] / "docs" / "monitor.md").read_text()
    documented = re.findall(r"^\| `(\w+)", page.split("## For tests")[1], re.M)
    assert sorted(monitor.page.evaluate("Object.keys(window.ecgframe)")) == sorted(documented)
