"""A sealed stream on the monitor: a lock while it is, and an unmistakable bar when something else comes."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import contextmanager, suppress

import numpy as np
import pytest
from recordings import optional

from browser.geometry import check_page, resize
from ecgframe import MessageType
from ecgframe.server import Sealing, WebSocketBinaryHandler
from ecgframe.server.adapters.websockets import serve
from ecgframe.server.pages import Pages
from ecgframe.session import Settings

optional("cryptography", extra="seal")

STREAM = "ecg/1"
SIZES = ((1920, 1080), (1366, 768), (820, 1180), (390, 844), (683, 384))


class SealedServer:
    """A server that publishes on a sealed stream, and can send a plain message to its viewers."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.ending = asyncio.Event()
        self.port = 0
        self.handler: WebSocketBinaryHandler | None = None

    async def run(self) -> None:
        from ecgframe.seal import Key, StoredKeys

        settings = Settings(versions=(1, 2, 3, 4), keys_without_tls=True)
        sealing = Sealing(keyring=StoredKeys([Key(9, STREAM, bytes(range(32)))]))
        async with WebSocketBinaryHandler(settings=settings, sealing=sealing) as self.handler:
            server = await serve(self.handler, "127.0.0.1", 0, process_request=Pages(self.handler, [STREAM]))
            self.port = server.sockets[0].getsockname()[1]
            self.ready.set()
            publishing = asyncio.create_task(self.publish())
            await self.ending.wait()
            publishing.cancel()
            with suppress(asyncio.CancelledError):
                await publishing
            server.close()

    async def publish(self) -> None:
        assert self.handler is not None
        number = 0
        while True:
            samples = (200 * np.sin((np.arange(25) + 25 * number) / 30)).astype("int16")
            data = {"signal": samples[None], "sampling_rate": 500, "leads": ["II"], "gain": 200.0, "units": "mV"}
            await self.handler.publish(STREAM, MessageType.ECG_DATA, {**data, "timestamp": time.time()})
            number += 1
            await asyncio.sleep(0.05)

    def inject(self) -> None:
        """Send a plain message of the stream to all viewers, as somebody on the way might."""
        data = {"signal": np.zeros((1, 25), "int16"), "sampling_rate": 500, "stream": STREAM}

        async def send() -> None:
            assert self.handler is not None
            for connection in self.handler.connections():
                await self.handler.send_message(connection.id, MessageType.ECG_DATA, data)

        asyncio.run_coroutine_threadsafe(send(), self.loop).result(10)


@contextmanager
def sealed():
    server = SealedServer()
    thread = threading.Thread(target=lambda: server.loop.run_until_complete(server.run()))
    thread.start()
    try:
        assert server.ready.wait(20)
        yield server
    finally:
        server.loop.call_soon_threadsafe(server.ending.set)
        thread.join()
        server.loop.close()


def test_a_lock_shows_that_the_stream_is_sealed(open_monitor):
    with sealed() as server:
        monitor = open_monitor(server.port)
        monitor.wait("s.end > 500")
        page = monitor.page
        assert page.inner_text("#seal-words") == "Sealed"
        assert page.is_visible("#seal svg")
        assert "encrypted" in page.get_attribute("#seal", "title")
        assert not page.is_visible("#refused")


def test_an_unsealed_message_is_refused_and_reported_until_acknowledged(open_monitor):
    with sealed() as server:
        monitor = open_monitor(server.port)
        monitor.wait("s.end > 100")
        page = monitor.page
        server.inject()
        page.wait_for_selector("#refused", state="visible")
        text = "Data that is not sealed came on this sealed stream. It is not shown."
        assert page.inner_text("#refused-text") == text
        server.inject()
        monitor.wait("document.getElementById('refused-text').textContent.includes('2 times')")
        for theme in ("dark", "light"):
            if theme == "light":
                page.keyboard.press("t")
            for width, height in SIZES:
                resize(page, width, height)
                check_page(page, f"not authentic, {theme}, {width} x {height}")
                assert page.is_visible("#refused"), (width, height)
                assert page.is_visible("#refused-seen"), (width, height)
                assert page.is_visible("#seal"), (width, height)
                monitor.shot(f"sealed-{theme}-{width}x{height}")
        page.click("#refused-seen")
        assert not page.is_visible("#refused")
        monitor.wait(f"s.end > {monitor.state['end']}")  # what is sealed goes on


@pytest.mark.parametrize("query", ["?signer=12", "?signer=" + "zz" * 32])
def test_a_signer_that_is_no_key_is_said(open_monitor, query):
    with sealed() as server:
        page = open_monitor(server.port, query).page
        page.wait_for_selector("#refused", state="visible")
        assert "64 hexadecimal digits" in page.inner_text("#refused-text")


@pytest.mark.slow
def test_a_user_scrolls_back_on_a_sealed_stream(open_monitor):
    with sealed() as server:
        time.sleep(18)  # of which the page gets twelve at first
        monitor = open_monitor(server.port, "?stream=ecg/1")
        monitor.wait("s.end > 5000 && s.link === 'open'")
        monitor.page.click("#earlier")
        monitor.wait("s.frozen")
        monitor.wait("document.getElementById('past').textContent.includes('loaded')", 15)
        state = monitor.state
        assert state["start"] < -1000
        # This source plays by its clock, and leaves gaps when the machine is busy.
        assert np.isfinite(monitor.samples(state["start"], 0)).mean() > 0.8
        before = state["end"]
        monitor.wait(f"s.end > {before + 500}")  # the live trace went on
        monitor.shot("past-of-a-sealed-stream")
        monitor.check_quiet()
