"""The trend of the heart rate: from what the page received, and from the server's history; a click shows a time."""

from __future__ import annotations

import time

import pytest

from browser.accessibility import check_accessible, with_axe
from browser.own_server import own_server

ALL = (1, 2, 3, 4)


def rates(monitor):
    """The mean rate of each step, by its time in Unix seconds."""
    steps = monitor.page.evaluate("window.ecgframe.trend.steps")
    return {step["from"]: step["sum"] / step["count"] for step in steps}


def wait_until(monitor, words, seconds=20):
    monitor.wait(f"document.getElementById('trend-said').textContent.includes({words!r})", seconds)


@pytest.mark.slow
def test_the_trend_begins_before_the_page_and_a_click_goes_there(open_monitor):
    with own_server(versions=ALL, ring_seconds=120) as server:
        time.sleep(30)
        opened_at = time.time()
        monitor = open_monitor(server.port)
        monitor.wait("s.end > 12000")
        page = monitor.page
        page.keyboard.press("r")
        monitor.wait("window.ecgframe.trend.steps.length > 4")
        wait_until(monitor, "of rates")
        monitor.wait("!document.getElementById('trend-said').textContent.includes('Loading')")
        found = rates(monitor)
        assert min(found) < opened_at - 18
        live = monitor.state["rate"]
        assert all(abs(rate - live) < 12 for rate in found.values()), found
        monitor.shot("trend")
        check_accessible(with_axe(page))
        # A click on a time that the page does not keep loads it from the history.
        place = page.locator("#trend-place").bounding_box()
        back = time.time() - min(found) - 5
        page.mouse.click(place["x"] + place["width"] * (1 - back / 120), place["y"] + 40)
        monitor.wait("s.frozen && s.start < 0", 15)
        wanted = min(found) + 5
        monitor.wait(f"Math.abs(window.ecgframe.timeOf(s.shown.from) - {wanted}) < 12")
        wait_until(monitor, "beats a minute")
        monitor.shot("trend-past")
        page.keyboard.press("Escape")
        monitor.wait("!s.frozen")
        page.keyboard.press("Escape")
        assert page.is_hidden("#trend")
        monitor.check_quiet()


def test_the_keyboard_alone_goes_to_a_time(open_monitor):
    with own_server(versions=ALL, ring_seconds=60) as server:
        monitor = open_monitor(server.port)
        monitor.wait("s.end > 9000")
        page = monitor.page
        page.keyboard.press("r")
        wait_until(monitor, "beats a minute")
        page.focus("#trend-place")
        for _ in range(20):
            page.keyboard.press("ArrowLeft")
        assert page.input_value("#trend-place") == "980"
        assert not monitor.state["frozen"]
        assert "beats a minute" in page.get_attribute("#trend-place", "aria-valuetext")
        page.keyboard.press("Enter")
        monitor.wait("s.frozen")
        monitor.check_quiet()


def test_old_versions_have_what_the_page_received(open_monitor):
    with own_server() as server:
        monitor = open_monitor(server.port)
        monitor.wait("s.end > 5000")
        monitor.page.click("#open-trend")
        wait_until(monitor, "earlier rates need version 4")
        assert rates(monitor)
        monitor.check_quiet()
