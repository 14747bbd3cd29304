"""Lost connections: shown at once; missed samples are filled in, or are a gap."""

from __future__ import annotations

import signal
import time

import numpy as np
from cli.live_server import LiveServer, live
from recordings import optional
from server.redis_server import redis_server

from browser.damaging_proxy import DamagingProxy
from browser.ink import check_ink
from browser.monitor import Played, fifteen_leads, saved
from ecgframe.records import shipped_ecg

GREEN = """([left, right]) => {
  const canvas = document.getElementById("traces");
  const { data } = canvas.getContext("2d").getImageData(left, 0, right - left, canvas.height);
  let trace = 0, hatching = 0;
  for (let at = 0; at < data.length; at += 4) {
    if (data[at + 3] < 100) continue;
    if (data[at + 1] > 150 && data[at] < 130) trace += 1;
    else hatching += 1;
  }
  return { trace, hatching };
}"""
"""How many pixels between two columns have the colour of the trace, and how many another one."""


def test_all_leads_outlive_the_restart_of_a_server(open_monitor, tmp_path, free_port):
    optional("redis")
    record = fifteen_leads()
    with redis_server(tmp_path) as redis, live(saved(record, tmp_path), "--redis", redis.url):
        server = LiveServer("--streams", 0, "--redis", redis.url, "--port", free_port)
        monitor = open_monitor(free_port)
        monitor.wait("s.end > 1500")
        server.end(signal.SIGKILL)
        assert monitor.wait("s.lost") < 3
        assert monitor.page.is_visible("text=Connection lost")
        assert monitor.page.get_attribute("#connection", "data-state") == "lost"
        time.sleep(1)  # what is missed meanwhile is to be filled in
        monitor.shot("connection-lost")
        missed_from = monitor.state["end"]
        with live("--streams", 0, "--redis", redis.url, "--port", free_port):
            monitor.wait("!s.lost")
            monitor.wait(f"s.end > {missed_from + 4000}")
            state = monitor.state
        assert (state["gaps"], state["reconnections"]) == ([], 1)
        Played(record).check(monitor.samples(state["start"], state["end"]))
        monitor.check_quiet(cut=True)


def test_lost_samples_are_a_gap_of_their_length_without_a_line(open_monitor, tmp_path, free_port):
    first = LiveServer("--leads", "I,II", "--port", free_port)
    monitor = open_monitor(free_port, "?view=sweep&speed=12.5")  # so that a page is longer than a slow restart
    monitor.wait("s.end > 1000")
    gone = time.monotonic()
    first.end(signal.SIGKILL)
    monitor.wait("s.link === 'reconnecting'")  # what was on its way has arrived
    before = monitor.state["end"]
    with live("--leads", "I,II", "--port", free_port):
        monitor.wait(f"s.end > {before} && !s.lost")
        away = time.monotonic() - gone
        monitor.wait("s.gaps.length > 0 && s.shown.to > s.gaps[0].to + 300")
        monitor.page.keyboard.press("Space")
        monitor.wait("s.frozen")
        monitor.page.wait_for_timeout(100)
        [gap] = monitor.state["gaps"]
        assert gap["from"] == before
        assert 0 < gap["to"] - gap["from"] < 1000 * (away + 1)
        assert np.isnan(monitor.samples(gap["from"], gap["to"])).all()
        assert np.isfinite(monitor.samples(gap["from"] - 1, gap["from"])).all()
        assert np.isfinite(monitor.samples(gap["to"], gap["to"] + 1)).all()
        check_gap_is_blank(monitor, gap)
        monitor.wait("document.getElementById('status-gaps').textContent.startsWith('1 ')")
        monitor.shot("gap")
        monitor.check_quiet(cut=True)


def check_gap_is_blank(monitor, gap):
    """Between the last sample before the gap and the first after it there is hatching and no trace."""
    left, right = (
        monitor.page.evaluate("n => window.ecgframe.point('II', n).x", sample)
        for sample in (gap["from"] - 1, gap["to"])
    )
    assert right - left > 5
    colours = monitor.page.evaluate(GREEN, [int(left) + 3, int(right) - 2])
    assert colours["trace"] == 0
    assert colours["hatching"] > 100


def test_a_server_that_hangs_is_noticed_and_what_was_missed_is_filled_in(open_monitor):
    leads = ["I", "II", "V2"]
    with live("--leads", ",".join(leads)) as server:
        monitor = open_monitor(server.port, "?view=sweep&speed=50&gain=10")
        monitor.wait("s.end > 500 && !s.lost")
        server.process.send_signal(signal.SIGSTOP)
        try:
            assert monitor.wait("s.lost", 5) < 3
            assert monitor.page.is_visible("text=No signal")
            assert not monitor.page.text_content("#rate").isdigit()
            assert "No signal" in monitor.page.title()
        finally:
            server.process.send_signal(signal.SIGCONT)
        monitor.wait("!s.lost")
        monitor.wait("s.head < s.end && s.shown.to > 3000")
        assert monitor.state["gaps"] == []
        check_ink(monitor, leads, least=3000)
        monitor.check_quiet()


DAMAGED_ROW = """() => {  // found and read in one step: a moment later the page has drawn its rows anew
  const rows = [...document.querySelectorAll("#frame-rows tr.in.error")];
  const row = rows.find(row => row.textContent.includes("CRC-32"));
  return row && [row.textContent, getComputedStyle(row.cells[0]).color];
}"""


def test_a_frame_that_was_damaged_is_shown_in_red_and_missing(open_monitor):
    """Over version 4, the page asks the server for it."""
    with live("--protocol", 3) as server, DamagingProxy(server.port) as proxy:
        monitor = open_monitor(proxy.port)
        monitor.page.keyboard.press("f")
        monitor.wait("s.end > 500")
        proxy.damage()
        monitor.wait("s.gaps.length > 0")
        [gap] = monitor.state["gaps"]
        assert gap["to"] - gap["from"] == 50
        text, colour = monitor.page.wait_for_function(DAMAGED_ROW).json_value()
        assert "ECG_DATA" in text
        assert colour == "rgb(255, 123, 114)"
        monitor.shot("frames-with-an-error")
        assert monitor.state["link"] == "open"


def test_the_page_says_that_a_stream_is_missing(open_monitor):
    with live() as server:
        monitor = open_monitor(server.port, "?stream=ecg/9")
        assert monitor.wait("s.lost", 5) < 3
        assert monitor.page.is_visible("text=No signal")
        monitor.page.select_option("#stream", "ecg/1")
        monitor.wait("!s.lost && s.end > 500")
        assert monitor.page.is_hidden("#lost")
        assert colours_of(monitor)["trace"] > 0
        monitor.page.select_option("#stream", "ecg/9")
        assert colours_of(monitor) == {"trace": 0, "hatching": 0}  # nothing of a stream under another's name
        assert not monitor.page.text_content("#rate").isdigit()
        monitor.check_quiet()


def colours_of(monitor):
    width = monitor.page.evaluate("document.getElementById('traces').width")
    return monitor.page.evaluate(GREEN, [0, width])


def test_a_server_that_is_full_is_asked_again(open_monitor):
    with live("--max-connections", 1) as server:
        first = open_monitor(server.port)
        first.wait("s.end > 0")
        second = open_monitor(server.port)
        second.wait("s.lost && document.getElementById('lost').textContent.includes('too many connections')")
        first.page.close()
        second.wait("!s.lost && s.end > 0")
        assert second.page.is_hidden("#lost")


def test_version_4_shows_the_same_signal(open_monitor):
    with live("--protocol", 4) as server:
        monitor = open_monitor(server.port)
        monitor.wait("s.end > 2000")
        assert monitor.page.text_content("#status-version") == "V4"
        state = monitor.state
        assert (state["gaps"], state["leads"][:3]) == ([], ["I", "II", "III"])
        Played(shipped_ecg()).check(monitor.samples(state["start"], state["end"]))
        monitor.check_quiet()


def test_a_server_of_version_4_restarts(open_monitor, free_port):
    first = LiveServer("--leads", "I,II", "--protocol", 4, "--port", free_port)
    monitor = open_monitor(free_port)
    monitor.wait("s.end > 1000")
    first.end(signal.SIGKILL)
    monitor.wait("s.link === 'reconnecting'")
    with live("--leads", "I,II", "--protocol", 4, "--port", free_port):
        monitor.wait("!s.lost", 30)
        monitor.wait("s.gaps.length === 1 && s.reconnections === 1", 30)
        monitor.wait(f"s.end > {monitor.state['end'] + 500}")
        monitor.check_quiet(cut=True)


def test_a_frame_that_was_damaged_is_asked_for_over_version_4(open_monitor):
    with live() as server, DamagingProxy(server.port) as proxy:
        monitor = open_monitor(proxy.port)
        monitor.page.keyboard.press("f")
        monitor.wait("s.end > 500")
        proxy.damage()
        text, _ = monitor.page.wait_for_function(DAMAGED_ROW).json_value()
        assert "ECG_DATA" in text
        monitor.wait(f"s.end > {monitor.state['end'] + 500} && s.gaps.length === 0")
        assert monitor.state["link"] == "open"
        Played(shipped_ecg()).check(monitor.samples(monitor.state["start"], monitor.state["end"]))
