"""A server within the test, whose streams and leads can change, and whose connections can be cut."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from itertools import count

import numpy as np

from ecgframe import MessageType
from ecgframe.server import WebSocketBinaryHandler
from ecgframe.server.adapters.websockets import serve as serve_handler
from ecgframe.server.pages import Pages

RATE = 250
FRAME = 25
"""Samples per second, and per frame."""


class OwnServer:
    """Runs on a thread, within ``with``; the browser's driver has this one's event loop.

    Args:
        streams: names of the streams that it lists and plays, and of the leads of each.

    Attributes:
        streams: the same; what a test adds is listed and played from then on.
        port: where it listens.
        silent: streams that it lists and does not play.
    """

    def __init__(self, streams: dict[str, Sequence[str]], *, silent: Sequence[str] = ()) -> None:
        self.streams = dict(streams)
        self.silent = silent
        self.port = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> OwnServer:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with (
            WebSocketBinaryHandler() as handler,
            serve_handler(handler, "127.0.0.1", 0, process_request=Pages(handler, _Names(self.streams))) as server,
        ):
            self.port = server.sockets[0].getsockname()[1]
            self._ready.set()
            await self._play(handler)

    async def _play(self, handler: WebSocketBinaryHandler) -> None:
        began = self._loop.time()
        start = time.time()
        for number in count():
            due = number * FRAME / RATE
            for stream, leads in list(self.streams.items()):
                if stream not in self.silent:
                    await handler.publish(stream, MessageType.ECG_DATA, _frame(leads, number, start + due))
            try:
                async with asyncio.timeout(max(0.0, began + due + FRAME / RATE - self._loop.time())):
                    await self._stop.wait()
                return
            except TimeoutError:
                continue


class _Names(Sequence[str]):
    """The current names of the streams."""

    def __init__(self, streams: dict[str, Sequence[str]]) -> None:
        self._streams = streams

    def __len__(self) -> int:
        return len(self._streams)

    def __getitem__(self, place):  # type: ignore[no-untyped-def]
        return list(self._streams)[place]


def _frame(leads: Sequence[str], number: int, timestamp: float) -> dict[str, object]:
    samples = np.arange(number * FRAME, (number + 1) * FRAME)
    beat = np.where(samples % RATE < 5, 200, 0).astype(np.int16)
    return {
        "signal": np.tile(beat, (len(leads), 1)),
        "sampling_rate": RATE,
        "timestamp": timestamp,
        "leads": list(leads),
        "units": "mV",
        "gain": [200.0] * len(leads),
        "baseline": [0] * len(leads),
        "sequence": number,
    }
