"""Marks of events, and two moments beside each other."""

from __future__ import annotations

import asyncio
import csv
import re
import time

import pytest

from browser.accessibility import check_accessible, with_axe
from browser.monitor import PHONE
from browser.own_server import own_server
from ecgframe import MessageType

ALL = (1, 2, 3, 4)


@pytest.fixture(scope="module")
def server():
    with own_server(versions=ALL, ring_seconds=600) as found:
        yield found


@pytest.fixture
def monitor(open_monitor, server):
    opened = open_monitor(server.port)
    opened.wait("s.end > 4000")
    yield opened
    opened.check_quiet()


def text_of(monitor, id):
    return monitor.page.text_content(f"#{id}")


def wait_for_text(monitor, id, words, seconds=15):
    monitor.wait(f"document.getElementById({id!r}).textContent.includes({words!r})", seconds)


def mark(monitor, text=""):
    """Mark what is in view by the keyboard, and return its time."""
    page = monitor.page
    page.keyboard.press("m")
    assert page.evaluate("document.activeElement.id") == "mark-text"
    page.keyboard.type(text)
    page.keyboard.press("Enter")
    assert page.is_hidden("#mark-entry")
    kept = page.evaluate("JSON.parse(localStorage.getItem('ecgframe.marks'))")
    ((_, marks),) = kept
    return max(marks, key=lambda one: one["made"])["at"]


def test_a_mark_is_on_the_trace_in_the_trend_and_in_the_list_and_stays_after_a_reload(open_monitor, monitor):
    page = monitor.page
    newest = page.evaluate("window.ecgframe.timeOf(window.ecgframe.state.head)")
    at = mark(monitor, "chest pain")
    assert -0.01 < at - newest < 2
    place = page.evaluate("t => document.querySelector('#scroller .flag').offsetLeft", None)
    assert place > 0
    assert page.text_content("#scroller .flag") == "chest pain"
    assert text_of(monitor, "mark-count") == "1"
    page.keyboard.press("k")
    assert "chest pain" in text_of(monitor, "mark-list")
    page.keyboard.press("r")
    monitor.wait("window.ecgframe.trend.steps.length > 0")
    page.focus("#trend-place")
    for _ in range(300):
        if "mark: chest pain" in text_of(monitor, "trend-said"):
            break
        page.keyboard.press("ArrowLeft")
    assert "mark: chest pain" in text_of(monitor, "trend-said")
    monitor.shot("mark-live")
    check_accessible(with_axe(page))
    page.reload()
    monitor.wait("s.end > 500")
    assert text_of(monitor, "mark-count") == "1"
    page.keyboard.press("k")
    page.get_by_role("button", name="chest pain").first.click()
    monitor.wait("s.frozen && document.querySelector('#scroller .flag') !== null")
    monitor.shot("mark-shown")
    flag, width = page.evaluate("[document.querySelector('#scroller .flag').offsetLeft, window.innerWidth]")
    assert 0 < flag < width


def test_a_mark_on_a_frozen_paper_is_in_its_middle_or_at_the_calipers(monitor):
    page = monitor.page
    page.keyboard.press(" ")
    monitor.wait("s.frozen")
    shown = monitor.state["shown"]
    middle = page.evaluate("n => window.ecgframe.timeOf(n)", (shown["from"] + shown["to"]) / 2)
    at = mark(monitor, "first")
    assert abs(at - middle) < 0.1
    page.keyboard.press("m")  # the same moment is the same mark
    assert page.input_value("#mark-text") == "first"
    page.keyboard.type(" again")
    page.keyboard.press("Escape")
    assert text_of(monitor, "mark-count") == "1"
    page.keyboard.press("c")
    corner = mark(monitor, "corner")
    assert abs(corner - at) > 0.1
    page.keyboard.press("k")
    assert text_of(monitor, "mark-count") == "2"
    items = page.locator("#mark-list li")
    assert [items.nth(n).text_content().count("first again") for n in range(2)] in ([0, 1], [1, 0])


@pytest.mark.parametrize("key", ["Escape", "Enter"])
def test_keys_right_after_a_text_act_at_once_and_are_not_typed_into_it(monitor, key):
    """Chromium takes the focus from what was hidden only with the next frame, which is late on a busy computer."""
    page = monitor.page
    page.keyboard.press(" ")
    monitor.wait("s.frozen")
    page.keyboard.press("m")
    typed = """key => {
        const press = key => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
        if (key === "Enter") document.activeElement.form.requestSubmit();  // as the browser does for the key
        else press(key);
        const focused = document.activeElement.id;
        press("c");
        return focused;
    }"""
    assert page.evaluate(typed, key) != "mark-text"
    monitor.wait("document.getElementById('calipers').getAttribute('aria-pressed') === 'true'")


def test_marks_and_alerts_are_saved_edited_and_removed(monitor, server, tmp_path):
    page = monitor.page
    mark(monitor, "=1+1")
    alert = {"kind": "lead_off", "severity": "warning", "message": "lead off: II", "start": time.time() - 2}
    asyncio.run_coroutine_threadsafe(
        server.handler.publish("ecg/1", MessageType.ANOMALY_ALERT, alert), server._loop
    ).result(10)
    page.keyboard.press("k")
    wait_for_text(monitor, "mark-list", "lead off")
    with page.expect_download() as saved:
        page.click("#save-marks")
    path = tmp_path / "saved.csv"
    saved.value.save_as(path)
    rows = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
    kinds = {row["kind"]: row for row in rows}
    assert kinds["mark"]["text"] == "'=1+1"
    assert kinds["mark"]["bed"] == "ecg/1"
    assert kinds["lead_off"]["priority"] == "warning"
    page.get_by_role("button", name="Edit: ").first.click()
    page.keyboard.type(" is two")
    page.keyboard.press("Enter")
    assert "=1+1 is two" in text_of(monitor, "mark-list")
    page.get_by_role("button", name="Remove: ").first.click()
    assert text_of(monitor, "mark-count") == "0"
    assert "Removed: " in text_of(monitor, "marks-said")
    page.reload()
    monitor.wait("s.end > 500")
    assert text_of(monitor, "mark-count") == "0"


def scales(monitor):
    """Widths and heights of the two papers, in CSS pixels, once they have the same height.

    Words above a paper may take a further line; the paper follows with the next frame.
    """
    height = "Math.round(document.getElementById('{}').getBoundingClientRect().height)"
    monitor.wait(f"{height.format('reference-paper')} === {height.format('paper')}")
    return monitor.page.evaluate(
        "['reference-paper', 'paper'].map(id => document.getElementById(id).getBoundingClientRect())"
        ".map(({width, height}) => [Math.round(width), Math.round(height)])"
    )


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_two_moments_are_beside_each_other_at_the_same_scale(open_monitor, server, theme):
    monitor = open_monitor(server.port, f"?theme={theme}")
    monitor.wait("s.end > 6000")
    page = monitor.page
    at = mark(monitor, "before")
    page.wait_for_timeout(4000)
    page.keyboard.press("k")
    page.get_by_role("button", name=re.compile("^Compare: .* before")).click()
    page.keyboard.press("k")
    monitor.wait("document.getElementById('reference-paper').width > 300")
    wait_for_text(monitor, "reference-said", "before")
    wait_for_text(monitor, "shown-said", "later")
    one, other = scales(monitor)
    assert abs(one[0] - other[0]) <= 1
    assert one[1] == other[1]
    assert time.strftime("%H:%M:%S", time.localtime(at)) in text_of(monitor, "reference-said")
    monitor.shot(f"compare-live-{theme}")
    page.keyboard.press(" ")
    monitor.wait("s.frozen")
    page.keyboard.press("ArrowLeft")
    monitor.shot(f"compare-frozen-{theme}")
    check_accessible(with_axe(page))
    page.keyboard.press("Escape")
    monitor.wait("!s.frozen")
    page.keyboard.press("Escape")
    assert page.is_hidden("#reference")
    assert page.is_hidden("#shown-said")
    monitor.check_quiet()


def test_a_key_keeps_what_is_in_view_as_reference(monitor):
    page = monitor.page
    page.keyboard.press("d")
    wait_for_text(monitor, "reference-said", "taken live")
    wait_for_text(monitor, "shown-said", "Live: ")
    page.keyboard.press("d")
    assert page.is_hidden("#reference")


def test_a_moment_before_the_page_comes_from_the_history(open_monitor, server):
    first = open_monitor(server.port)
    first.wait("s.end > 3000")
    at = mark(first, "old")
    kept = first.page.evaluate("localStorage.getItem('ecgframe.marks')")
    first.wait("s.end > 20000", 40)
    monitor = open_monitor(server.port)
    monitor.page.evaluate("text => localStorage.setItem('ecgframe.marks', text)", kept)
    monitor.page.reload()
    monitor.wait("s.end > 3000")
    page = monitor.page
    page.keyboard.press("k")
    page.get_by_role("button", name=re.compile("^Compare: .* old")).click()
    wait_for_text(monitor, "reference-said", "old")
    monitor.wait("!document.getElementById('reference-said').textContent.includes('loading')")
    assert time.strftime("%H:%M:%S", time.localtime(at)) in text_of(monitor, "reference-said")
    monitor.wait("document.querySelector('#reference .flag') !== null")
    monitor.shot("compare-history")
    first.check_quiet()
    monitor.check_quiet()


def test_a_phone_shows_both_moments_below_each_other(open_monitor, server):
    monitor = open_monitor(server.port, size=PHONE, device_scale_factor=2, has_touch=True, is_mobile=True)
    monitor.wait("s.end > 3000")
    page = monitor.page
    mark(monitor, "here")
    page.keyboard.press("d")
    monitor.wait("document.getElementById('reference-paper').width > 300")
    one, other = scales(monitor)
    assert one == other
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    monitor.shot("compare-phone")
    page.keyboard.press("m")
    monitor.shot("mark-phone")
    check_accessible(with_axe(page))
    monitor.check_quiet()
