"""A server in a separate process, for hostile peers: it publishes a live stream and measures itself.

``python -m server.flooded_server ENGINE OPTIONS``, where OPTIONS is JSON: ``takes`` (whether data is taken, as by a
handler with ``on_message``), ``slow`` (seconds that it takes), ``may`` (the answer of ``may_publish``).

It prints its port and publishes a frame with the time every 50 ms. For each line of its standard input it prints
as JSON: its memory in MiB, the maximum since the last line, its processor time in seconds, and its stats.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from server.engines import ENGINES

from ecgframe import MessageType
from ecgframe.server import WebSocketBinaryHandler

STREAM = "ecg/bed-7"
INTERVAL = 0.05
_PAGE = 4096


def memory() -> float:
    """Memory of this process in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE / 2**20


class Peak(threading.Thread):
    """The maximum of this process' memory, sampled every 5 ms."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = memory()

    def run(self) -> None:
        while True:
            self.most = max(self.most, memory())
            time.sleep(0.005)


async def serve(engine: str, options: dict[str, Any]) -> None:
    async def take(connection: Any, message: Any) -> None:
        await asyncio.sleep(options.get("slow", 0))

    hooks: dict[str, Any] = {}
    if options.get("takes"):
        hooks["on_message"] = take
    if "may" in options:
        hooks["may_publish"] = lambda connection, type: options["may"]
    handler = WebSocketBinaryHandler(**hooks)
    peak = Peak()
    loop = asyncio.get_running_loop()
    async with handler, ENGINES[engine](handler) as port:
        playing = asyncio.create_task(play(handler))
        print(int(port), flush=True)
        peak.start()
        while await loop.run_in_executor(None, sys.stdin.readline):
            stats = handler.stats()
            told = {"memory": memory(), "most": peak.most, "time": time.process_time(), "stats": stats}
            peak.most = memory()
            print(json.dumps(told), flush=True)
        playing.cancel()
        await handler.close()


async def play(handler: WebSocketBinaryHandler) -> None:
    number, began = 0, time.monotonic()
    signal = np.random.default_rng(1).normal(size=280)
    while True:
        data = {"signal": signal, "sampling_rate": 500, "sequence": number, "sent": time.monotonic()}
        await handler.publish(STREAM, MessageType.ECG_DATA, data)
        number += 1
        await asyncio.sleep(max(0, began + number * INTERVAL - time.monotonic()))


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], json.loads(sys.argv[2])))
