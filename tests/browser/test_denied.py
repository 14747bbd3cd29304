"""A stream that the server denies: the page says so, in any size, and shows nothing else."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager

from browser.geometry import check_page, resize
from ecgframe.server import WebSocketBinaryHandler
from ecgframe.server.adapters.websockets import serve
from ecgframe.server.pages import Pages

SIZES = ((1920, 1080), (1366, 768), (820, 1180), (390, 844), (683, 384))


@contextmanager
def denying():
    """The port of a server that denies all streams."""
    loop, ready, ports = asyncio.new_event_loop(), threading.Event(), []
    ending = asyncio.Event()

    async def authorize(connection, action, stream):
        return False

    async def run():
        async with WebSocketBinaryHandler(authorize=authorize) as handler:
            server = await serve(handler, "127.0.0.1", 0, process_request=Pages(handler, ["ecg/bed-7"]))
            ports.append(server.sockets[0].getsockname()[1])
            ready.set()
            await ending.wait()
            server.close()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    try:
        assert ready.wait(20)
        yield ports[0]
    finally:
        loop.call_soon_threadsafe(ending.set)
        thread.join()
        loop.close()


def test_a_denied_stream_is_reported(open_monitor):
    with denying() as port:
        monitor = open_monitor(port)
        monitor.wait("s.lost")
        monitor.wait("document.getElementById('lost-text').textContent.includes('denied')")
        page = monitor.page
        assert page.inner_text("#lost-title") == "Refused"
        assert "ecg/bed-7" in page.inner_text("#lost-text")
        assert page.inner_text("#connection") == "No signal"
        assert not page.inner_text("#rate").isdigit()
        for theme in ("dark", "light"):
            for width, height in SIZES:
                resize(page, width, height)
                check_page(page, f"denied, {theme}, {width} x {height}")
                assert page.is_visible("#lost"), (width, height)
                monitor.shot(f"denied-{theme}-{width}x{height}")
            page.keyboard.press("t")
        monitor.check_quiet()
