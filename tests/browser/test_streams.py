"""The choice of the stream and of the server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import contextmanager

from cli.live_server import ENVIRONMENT, live

from browser.changing_server import OwnServer


def test_the_page_opens_on_the_first_stream_that_the_server_names(open_monitor):
    with OwnServer({"ecg/bed-7": ["II"], "ecg/bed-8": ["I", "II"]}) as server:
        monitor = open_monitor(server.port)
        monitor.wait("s.stream === 'ecg/bed-7' && s.shown.to > 20")
        assert monitor.page.url == monitor.origin  # the first is not a choice
        monitor.page.select_option("#stream", "ecg/bed-8")
        monitor.wait("s.stream === 'ecg/bed-8' && s.shown.to > 20")
        assert monitor.page.url.endswith("?stream=ecg%2Fbed-8")
        monitor.page.reload()
        monitor.wait("s.stream === 'ecg/bed-8' && s.leads.length === 2")


def test_new_streams_appear_without_a_reload(open_monitor):
    with OwnServer({"first": ["II"]}) as server:
        monitor = open_monitor(server.port)
        monitor.wait("s.shown.to > 20")
        server.streams["second"] = ["I"]
        monitor.wait("document.querySelector('#stream option[value=second]') !== null", 10)
        monitor.page.keyboard.press("n")
        monitor.wait("s.stream === 'second' && s.shown.to > 20")
        del server.streams["first"]
        monitor.wait("document.querySelector('#stream option[value=first]').text === 'first (unavailable)'", 10)


def test_a_server_that_names_its_first_stream_later(open_monitor):
    with OwnServer({}) as server:
        monitor = open_monitor(server.port)
        monitor.wait("s.lost && document.getElementById('lost-stream').textContent.includes('lists no streams')")
        assert monitor.page.is_visible("#lost-stream")
        server.streams["late"] = ["II"]
        monitor.wait("s.stream === 'late' && s.shown.to > 20")


def test_a_missing_stream_is_reported(open_monitor):
    with OwnServer({"ecg/1": ["II"], "ecg/2": ["II"]}, silent=["ecg/2"]) as server:
        monitor = open_monitor(server.port, "?stream=ecg/9")
        monitor.wait("s.lost")
        monitor.wait("document.getElementById('lost-stream').textContent !== ''")
        assert monitor.page.text_content("#lost-stream") == "The server has no stream “ecg/9”. It has ecg/1, ecg/2."
        assert monitor.page.is_visible("#lost-stream")
        monitor.page.select_option("#stream", "ecg/2")  # it is there, and says nothing
        monitor.wait("s.lost && document.getElementById('lost-stream').textContent === ''")


def test_a_choice_on_the_page_is_not_contradicted_by_its_address(open_monitor):
    with OwnServer({"ecg/1": ["II"]}) as server:
        monitor = open_monitor(server.port, "?view=sheet&speed=50")
        monitor.page.keyboard.press("v")
        assert "view=sweep" in monitor.page.url
        assert "gain" not in monitor.page.url
        monitor.page.reload()
        monitor.wait("s.shown.to > 20")
        assert monitor.page.is_checked("input[name=view][value=sweep]")


@contextmanager
def proxy(target):
    """``ecgframe proxy`` to a port; gives its own."""
    command = [sys.executable, "-P", "-m", "ecgframe", "proxy", "0", f"ws://127.0.0.1:{target}", "--quiet"]
    with subprocess.Popen(command, env=os.environ | ENVIRONMENT, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            found = re.match(r"Listening at ws://127.0.0.1:(\d+)", process.stderr.readline())
            assert found is not None
            yield int(found[1])
        finally:
            process.terminate()


def test_another_server_is_shown_directly_and_through_the_proxy(open_monitor):
    with (
        live("--leads", "II") as here,
        OwnServer({"there/1": ["V1", "V2"], "there/2": ["V3"]}) as there,
        proxy(there.port) as between,
    ):
        for port in (there.port, between):
            monitor = open_monitor(here.port, f"?server=ws://127.0.0.1:{port}")
            monitor.wait("s.stream === 'there/1' && s.leads.join() === 'V1,V2' && s.shown.to > 20")
            assert monitor.page.text_content("#server") == f"127.0.0.1:{port}"
            assert monitor.page.is_visible("#server")
            assert monitor.page.locator("#stream option").all_text_contents() == ["there/1", "there/2"]
            assert monitor.said == []
        monitor = open_monitor(between)  # the page itself, through the proxy
        monitor.wait("s.stream === 'there/1' && s.shown.to > 20")
        monitor.check_quiet()


def test_an_invalid_server_address_is_reported(open_monitor):
    with live() as here:
        monitor = open_monitor(here.port, "?server=ftp://somewhere")
        monitor.wait("s.lost")
        assert "is not a valid address" in monitor.page.text_content("#lost")
