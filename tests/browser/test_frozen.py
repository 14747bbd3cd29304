"""A page that does not run for a while, as a frozen tab: it costs the server little, and then shows the present."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest

import ecgframe
from browser.loop_thread import LoopThread
from ecgframe import MessageType
from ecgframe.records import shipped_ecg
from ecgframe.server import WebSocketBinaryHandler
from ecgframe.server.adapters.websockets import serve
from ecgframe.server.origins import Origins
from ecgframe.server.pages import Pages
from ecgframe.server.player import Loop, Player
from ecgframe.session import Settings

STREAM = "ecg/1"
MOST = 256 * 1024
"""Bytes of memory that a frozen page may cost."""

PER_FRAME = 256
"""Bytes of memory of the objects for each waiting frame."""


class WatchedServer(LoopThread):
    """Plays twelve leads, and notes what its connections cost, and when a viewer of its own gets its frames."""

    def __init__(self, versions, heartbeat_interval):
        super().__init__()
        self._settings = Settings(versions=versions, heartbeat_interval=heartbeat_interval)
        self.costs = []
        self.arrived = []
        self.closed = {}

    async def _run(self):
        async with WebSocketBinaryHandler(settings=self._settings) as handler:
            pages = Pages(handler, (STREAM,), Origins((), host="127.0.0.1"))
            async with serve(handler, "127.0.0.1", 0, process_request=pages) as server:
                self.port = server.sockets[0].getsockname()[1]
                tasks = [
                    asyncio.create_task(Player(Loop(shipped_ecg(), None), (STREAM,), handler.publish).run()),
                    asyncio.create_task(self._watch(handler)),
                    asyncio.create_task(self._view()),
                ]
                await self._listen_until_end()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, handler):
        while True:
            costs = [each.queued_bytes + PER_FRAME * each.queued_frames for each in handler.connections()]
            self.costs.append(max(costs, default=0))
            self.closed = dict(handler.stats()["connections"]["closed"])
            await asyncio.sleep(0.05)

    async def _view(self):
        async with ecgframe.connect(f"ws://127.0.0.1:{self.port}/ws") as client:
            async for message in client.subscribe(STREAM):
                if message.type is MessageType.ECG_DATA:
                    self.arrived.append(time.monotonic())


@pytest.mark.alone
@pytest.mark.parametrize(
    ("versions", "heartbeat_interval", "seconds", "is_closed"),
    [
        ((1, 2, 3), 15.0, 12, False),
        ((1, 2, 3, 4), 15.0, 12, False),
        ((1, 2, 3, 4), 1.0, 8, True),
    ],
)
def test_a_frozen_page_takes_little_and_is_live_within_a_second(
    open_monitor, versions, heartbeat_interval, seconds, is_closed
):
    with WatchedServer(versions, heartbeat_interval).running() as server:
        monitor = open_monitor(server.port, "?stream=ecg/1")
        monitor.wait("s.end > 3000")
        session = monitor.page.context.new_cdp_session(monitor.page)
        server.costs.clear()
        began = time.monotonic()
        # Nothing runs meanwhile: no timer, no message, no frame. Chromium without a display freezes no visible tab.
        stopped = f"(() => {{ const end = Date.now() + {1000 * seconds}; while (Date.now() < end); }})()"
        session.send("Runtime.evaluate", {"expression": stopped})
        assert time.monotonic() - began >= seconds
        assert max(server.costs) <= MOST
        pauses = [after - before for before, after in pairwise(server.arrived)]
        since = [pause for pause, at in zip(pauses, server.arrived[1:], strict=False) if at > began]
        assert len(since) >= 15 * seconds
        assert max(since) < 0.5  # other viewers notice nothing
        assert bool(server.closed.get("1011")) is is_closed
        took = monitor.wait("s.link === 'open' && Date.now() / 1000 - window.ecgframe.timeOf(s.end) < 0.5", 10)
        print(f"live after {took:.2f} s; at most {max(server.costs) / 1024:.0f} KiB")
        assert took <= 1.0
        before = monitor.state["end"]
        monitor.wait(f"s.end > {before + 1000}")
        monitor.check_quiet()
