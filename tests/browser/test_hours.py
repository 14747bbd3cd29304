"""Hours of the past, from a server that keeps them on disk and was started again."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from cli.live_server import live

from browser.accessibility import check_accessible, with_axe
from browser.test_trend import rates, wait_until
from ecgframe import Codec, MessageType
from ecgframe.records import shipped_ecg
from ecgframe.server.disk_history import DiskHistory

HOURS = 2


async def keep_hours(folder):
    """Keep hours of lead II, up to a minute ago, as a server would have kept them: a frame each second."""
    record = shipped_ecg().take(["II"])
    counts = np.tile(record.signal, 8)[:, ::4]  # 250 Hz
    codec = Codec()
    began = time.time() - 3600 * HOURS
    async with DiskHistory(folder) as disk:
        for second in range(3600 * HOURS - 60):
            place = 250 * second % (counts.shape[1] - 250)
            message = {
                "signal": counts[:, place : place + 250],
                "sampling_rate": 250,
                "leads": ["II"],
                "units": "mV",
                "gain": record.gain[0],
                "baseline": record.baseline[0],
                "sequence": second,
                "timestamp": began + second,
            }
            sent = round(1e6 * (began + second + 1))
            disk.add("ecg/1", sent, codec.encode_frame(MessageType.ECG_DATA, message).with_timestamp(sent).frame)


@pytest.mark.slow
def test_the_trend_has_hours_and_a_moment_of_them_is_shown_and_compared(open_monitor, tmp_path):
    with ThreadPoolExecutor() as thread:  # the browser's driver has the event loop of this one
        thread.submit(asyncio.run, keep_hours(tmp_path)).result()
    with live("--history", tmp_path, "--leads", "II") as server:
        monitor = open_monitor(server.port)
        monitor.wait("s.end > 5000")
        page = monitor.page
        page.keyboard.press("r")
        began = time.monotonic()
        monitor.wait("!document.getElementById('trend-said').textContent.includes('Loading')", 120)
        print(f"{HOURS} hours after {time.monotonic() - began:.1f} s")
        wait_until(monitor, "of rates")
        found = rates(monitor)
        assert len(found) > 0.95 * 720 * HOURS
        assert min(found) < time.time() - 3600 * HOURS + 60
        wanted = time.time() - 3600
        place = page.locator("#trend-place").bounding_box()
        page.mouse.click(place["x"] + place["width"] * (1 - 3600 / (4 * 3600)), place["y"] + 40)
        monitor.shot("hours-trend")
        monitor.wait("document.getElementById('past').textContent.includes('loaded')", 20)
        at = page.evaluate("document.getElementById('place').textContent")
        assert "back" in at
        assert " min back" in at, at
        page.keyboard.press("m")
        page.keyboard.type("an hour ago")
        page.keyboard.press("Enter")
        ((_, marks),) = page.evaluate("JSON.parse(localStorage.getItem('ecgframe.marks'))")
        assert abs(marks[0]["at"] - wanted) < 25  # a pixel of the trend is ten seconds
        page.keyboard.press("Escape")
        monitor.wait("!s.frozen")
        page.keyboard.press("k")
        page.get_by_role("button", name="Compare: ").last.click()
        monitor.wait("document.querySelector('#reference .flag') !== null", 20)
        words = page.text_content("#shown-said")
        assert "60 min later" in words, words
        assert time.strftime("%H:%M:%S", time.localtime(marks[0]["at"])) in page.text_content("#reference-said")
        monitor.shot("hours")
        check_accessible(with_axe(page))
        monitor.check_quiet()
