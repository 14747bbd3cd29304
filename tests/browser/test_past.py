"""The past from the server's history: what was lost on the way, and what is older than the page."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest

from browser.lagging_proxy import lagging_proxy
from browser.monitor import Played
from browser.own_server import own_server
from ecgframe import MessageType
from ecgframe.records import shipped_ecg

ALL = (1, 2, 3, 4)
LEAD_II = Played(shipped_ecg().take(["II"]), is_whole=True)


def said(monitor):
    """What the page says of the past; empty if nothing."""
    return monitor.page.text_content("#past")


def wait_until_said(monitor, words, seconds=15):
    monitor.wait(f"document.getElementById('past').textContent.includes({words!r})", seconds)


def check_all(monitor):
    """Check that every sample that the page keeps is what was played."""
    state = monitor.state
    assert state["gaps"] == []
    LEAD_II.check(monitor.samples(state["start"], state["end"]))


@pytest.mark.parametrize("away", [18, pytest.param(60, marks=pytest.mark.thorough)])
@pytest.mark.alone
def test_out_of_a_tunnel_the_present_comes_first_and_the_past_fills_the_gap(open_monitor, away):
    with own_server(versions=ALL, ring_seconds=120) as server, lagging_proxy(server.port) as proxy:
        monitor = open_monitor(proxy.port)
        monitor.wait("s.end > 1500")
        proxy.cut()
        monitor.wait("s.lost")
        left = monitor.state["end"]
        time.sleep(away)
        alert = {"kind": "asystole", "severity": "critical", "message": "missed", "timestamp": time.time() - 0.9 * away}
        publish = server.handler.publish("ecg/1", MessageType.ANOMALY_ALERT, alert)
        asyncio.run_coroutine_threadsafe(publish, server._loop).result(5)
        proxy.mend()
        monitor.page.click("#reconnect")
        took = monitor.wait(f"s.end > {left} && Date.now() / 1000 - window.ecgframe.timeOf(s.end) < 0.5", 10)
        print(f"live after {took:.2f} s")
        assert took <= 1.0
        wait_until_said(monitor, "loaded")
        assert "missing" not in said(monitor)
        monitor.shot("past-of-a-tunnel")
        check_all(monitor)
        assert monitor.page.text_content("#status-gaps").startswith("0") or monitor.wait(
            "document.getElementById('status-gaps').textContent === '0'", 3
        )
        assert [alert["text"] for alert in monitor.page.evaluate("window.ecgframe.alerts")] == ["missed"]
        monitor.check_quiet(cut=True)


def test_what_the_server_no_longer_keeps_stays_a_reported_gap(open_monitor):
    with own_server(versions=ALL, ring_seconds=15) as server, lagging_proxy(server.port) as proxy:
        monitor = open_monitor(proxy.port)
        monitor.wait("s.end > 1500")
        proxy.cut()
        monitor.wait("s.lost")
        time.sleep(20)
        proxy.mend()
        monitor.page.click("#reconnect")
        wait_until_said(monitor, "missing: the server keeps no more")
        [gap] = monitor.state["gaps"]
        assert 1000 < gap["to"] - gap["from"] < 15_000
        assert np.isnan(monitor.samples(gap["from"], gap["to"])).all()
        after = monitor.state["end"]
        LEAD_II.check(monitor.samples(gap["to"], after))
        monitor.shot("past-partly-kept")
        monitor.check_quiet(cut=True)


def test_a_user_scrolls_back_beyond_the_page(open_monitor):
    with own_server(versions=ALL, ring_seconds=60) as server:
        time.sleep(20)  # of which the page gets twelve at first
        monitor = open_monitor(server.port)
        monitor.wait("s.end > 12000")
        assert monitor.state["start"] == 0
        monitor.page.click("#earlier")
        monitor.wait("s.frozen")
        wait_until_said(monitor, "loaded")
        state = monitor.state
        assert state["start"] < -5000
        monitor.page.keyboard.press("Home")
        monitor.page.wait_for_timeout(100)
        assert monitor.state["shown"]["from"] == state["start"]
        monitor.shot("past-beyond-the-page")
        check_all(monitor)
        before = monitor.state["end"]
        monitor.wait(f"s.end > {before + 500}")  # the live trace went on
        monitor.page.click("#earlier")
        wait_until_said(monitor, "No earlier samples: the server keeps no more")
        monitor.page.click("#live")
        monitor.wait("!s.frozen")
        check_all(monitor)
        monitor.check_quiet()


def test_the_button_says_why_there_is_nothing_earlier(open_monitor):
    with own_server() as server:
        monitor = open_monitor(server.port)
        monitor.wait("s.end > 500")
        monitor.page.click("#earlier")
        wait_until_said(monitor, "No earlier samples: that needs version 4 of the protocol")
        monitor.check_quiet()
