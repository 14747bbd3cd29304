"""The age of the signal: on no network does the page call old data "Live", or mark samples as missing that are not."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import numpy as np
import pytest
from cli.live_server import live
from cli.test_proxy import listening

from browser.lagging_proxy import lagging_proxy
from browser.own_server import own_server
from browser.test_connection import check_gap_is_blank

LIVE = 2.0
"""The largest age in seconds of a live signal, by docs/monitor.md."""

THROUGH = """(() => {
  const Direct = window.WebSocket;
  window.WebSocket = class extends Direct {
    constructor(url, ...rest) {
      const through = new URL(url);
      through.port = "%d";
      super(through.href, ...rest);
    }
  };
})()"""
"""Leads the page's connection through a proxy that serves no pages."""

RECORD = """() => {
  window.looks = [];
  const badge = document.getElementById("connection"), notice = document.getElementById("age");
  const overlay = document.getElementById("overlay"), pen = overlay.getContext("2d");
  const look = () => {
    requestAnimationFrame(look);
    const { state, timeOf } = window.ecgframe;
    const seen = Math.min(state.head, state.end);
    window.looks.push({
      at: performance.now() / 1000, badge: badge.textContent, state: badge.dataset.state,
      notice: notice.hidden ? "" : notice.textContent,
      age: Date.now() / 1000 - timeOf(seen), head: state.head, end: state.end,
    });
  };
  requestAnimationFrame(look);
}"""
"""Records the texts of the page with the true age of its samples, at each frame of the display."""

INKED = """() => {
  const canvas = document.getElementById("overlay");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return data.some(value => value !== 0);
}"""

HATCHED = """() => {
  const canvas = document.getElementById("traces");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let hatching = 0;
  for (let at = 0; at < data.length; at += 4) {
    if (data[at + 3] >= 100 && !(data[at + 1] > 150 && data[at] < 130)) hatching += 1;
  }
  return hatching;
}"""


@pytest.fixture
def open_through(open_monitor):
    """Opens the page of a server whose WebSocket goes through a proxy."""

    def opened(server_port, proxy_port, query="?view=sweep"):
        monitor = open_monitor(server_port, "icon.svg", bypass_csp=True)
        monitor.page.add_init_script(THROUGH % proxy_port)
        monitor.page.goto(monitor.origin + query)
        monitor.page.evaluate(RECORD)
        return monitor

    return opened


def port_of(proxy):
    return urlsplit(proxy.url).port


def badge(words):
    return f"document.getElementById('connection').textContent.startsWith({words!r})"


def looks_of(monitor):
    looks = monitor.page.evaluate("window.looks")
    shown = [look for look in looks if look["age"] is not None]
    assert all(look["head"] <= look["end"] for look in looks), "the head runs ahead of what has come"
    untrue = [look for look in shown if look["state"] == "live" and look["age"] > LIVE + 0.3]
    assert untrue == []
    return shown


def check_nothing_is_hatched(monitor):
    assert monitor.state["gaps"] == []
    assert not monitor.page.evaluate(INKED)
    assert monitor.page.evaluate(HATCHED) == 0


def test_a_slow_link_shows_its_delay(open_through):
    with live("--leads", "II") as server:
        url = f"ws://127.0.0.1:{server.port}"
        with listening("proxy", 0, url, "--throttle", 1500, "--quiet") as proxy:
            monitor = open_through(server.port, port_of(proxy))
            monitor.wait(f"{badge('Delayed')} && s.end > 2000", 40)
            monitor.wait("document.getElementById('connection').dataset.state === 'old'", 40)
            notice = monitor.page.text_content("#age")
            expected = r"What you see is (?:up to )?[\d.]+ s old\. It arrived late from the server: .*"
            assert re.fullmatch(expected, notice), notice
            monitor.shot("delayed")
            before = monitor.state["end"]
            monitor.wait(f"s.end > {before + 1000}", 30)
            late = [look for look in looks_of(monitor) if look["state"] in ("delayed", "old")]
            assert "Live" not in {look["badge"] for look in late}
            for look in late:
                said = float(re.fullmatch(r"Delayed (?:≤ )?([\d.]+) s", look["badge"])[1])
                # On a busy machine, the badge is a moment behind a trace that caught up.
                ages = [one["age"] for one in late if look["at"] - 1 <= one["at"] <= look["at"]]
                assert min(abs(said - age) for age in ages) < 1.5, look
            # What is hatched is what the server says it dropped, if anything.
            state = monitor.state
            known = np.isfinite(monitor.samples(state["start"], state["end"])[0])
            assert (~known).sum() == sum(gap["to"] - max(gap["from"], state["start"]) for gap in state["gaps"])
            assert not monitor.page.evaluate(INKED)
            if not state["gaps"]:
                check_nothing_is_hatched(monitor)


def test_a_lasting_change_of_the_latency_is_followed_once_and_reported(open_through):
    with live("--leads", "II") as server, lagging_proxy(server.port) as network:
        network.delay = 0.01
        monitor = open_through(server.port, network.port)
        monitor.wait(f"{badge('Live')} && s.end > 14000")
        monitor.page.wait_for_timeout(2500)  # of a steady stream, which is what a change is measured against
        began = monitor.page.evaluate("performance.now() / 1000")
        network.delay = 0.4
        # How soon, and by how much to the hundredth, is for the tests in virtual time: a busy machine adds to both.
        monitor.wait("/increased by 0\\.\\d/.test(document.getElementById('age').textContent)", 10)
        monitor.shot("latency-rose")
        monitor.page.wait_for_timeout(2500)
        check_nothing_is_hatched(monitor)
        risen = [look for look in looks_of(monitor) if look["at"] > began]
        assert {look["badge"] for look in risen} == {"Live"}
        followed = [look["age"] for look in risen if look["at"] > began + 2]
        assert 0.4 < np.median(followed) < 1.2  # with the room that a jittery machine gets
        network.delay = 0.01
        monitor.wait("/decreased by 0\\.\\d/.test(document.getElementById('age').textContent)", 10)
        monitor.page.wait_for_timeout(1000)
        assert looks_of(monitor)[-1]["age"] < 0.7
        check_nothing_is_hatched(monitor)


def test_a_resume_with_seconds_of_history_shows_no_false_state(open_through):
    with live("--leads", "II") as server, lagging_proxy(server.port) as network:
        monitor = open_through(server.port, network.port)
        monitor.wait(f"{badge('Live')} && s.end > 3000")
        network.cut()
        monitor.wait("s.lost")
        assert re.search(r"last sample \d+ s ago", monitor.page.text_content("#lost"))
        monitor.page.wait_for_timeout(5000)
        assert monitor.page.text_content("#connection") == "Lost"
        network.mend()
        monitor.wait(f"{badge('Live')}")
        monitor.page.wait_for_timeout(1000)
        told = [look["state"] for look in looks_of(monitor)]
        assert set(told) <= {"connecting", "live", "lost"}
        assert set(told[-20:]) == {"live"}
        check_nothing_is_hatched(monitor)


def test_a_wrong_clock_of_the_source_is_reported(open_monitor):
    with own_server(ahead=3.2) as server:
        monitor = open_monitor(server.port, "?view=sweep")
        monitor.wait(f"{badge('Clock error')}")
        notice = monitor.page.text_content("#age")
        assert re.match(r"Clock of the source 3\.2 s ahead: the age of the signal is unknown\.", notice), notice
        monitor.shot("clock-ahead")
        drawn = monitor.state["head"]
        server.source.ahead = -3600
        monitor.wait("document.getElementById('age').textContent.startsWith('Clock of the source set back by 60 min')")
        monitor.wait(f"s.head > {drawn} + 1000 && s.gaps.length === 0")
        server.source.ahead = 0.0
        monitor.wait(f"{badge('Live')}")
        server.source.losing = 1
        before = len(monitor.state["gaps"])
        monitor.wait(f"s.gaps.length > {before} && s.head > s.gaps.at(-1).to + 200")
        gap = monitor.state["gaps"][-1]
        rate = monitor.state["samplingRate"]
        assert gap["to"] - gap["from"] == 0.05 * rate
        monitor.page.keyboard.press("Space")
        monitor.wait("s.frozen")
        check_gap_is_blank(monitor, gap)
        monitor.page.keyboard.press("Escape")
        server.source.losing = 1  # what is behind a gap is taken at its word
        server.source.ahead = -40
        monitor.wait(f"{badge('Delayed 40 s')}")
        assert "the clock of the source is behind" in monitor.page.text_content("#age")
        server.source.ahead = None  # the server's timestamps tell then
        monitor.wait(f"{badge('Live')} && s.head < s.end")
        monitor.check_quiet()


def test_without_timestamps_the_age_is_unknown_and_the_page_says_so(open_monitor):
    with own_server(versions=(1, 2)) as server:
        monitor = open_monitor(server.port)
        monitor.wait(f"{badge('Age unknown')} && s.head > 1000")
        assert "version 2 of the protocol has no timestamps" in monitor.page.text_content("#age")
        monitor.wait("document.getElementById('age').textContent.includes('Round trip')")
        monitor.shot("age-unknown")
