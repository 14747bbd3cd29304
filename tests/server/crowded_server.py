"""A server in a process of its own that may have few open files.

``python -m server.crowded_server ENGINE FILES LOG [uvloop]``

It says its port and plays a frame each 50 ms, with the time and the count of failed accepts in it, until its standard
input ends. Every record of the log, of whatever logger, becomes a line of the file LOG, traceback included.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import resource
import sys
import time

from server.engines import ENGINES

from ecgframe import MessageType
from ecgframe.server import WebSocketBinaryHandler

STREAM = "ecg/bed-7"


async def serve(engine: str) -> None:
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    handler = WebSocketBinaryHandler()
    async with handler, ENGINES[engine](handler) as port:
        print(int(port), flush=True)
        number, began = 0, time.monotonic()
        while not ended.done():
            failed = handler.stats()["connections"].get("accepts_failed")
            data = {"features": {"sent": time.monotonic(), "failed": failed}, "number": number}
            await handler.publish(STREAM, MessageType.FEATURE_DATA, data)
            number += 1
            await asyncio.sleep(max(0, began + number * 0.05 - time.monotonic()))
        await handler.close()


if __name__ == "__main__":
    engine, files, log, *loop = sys.argv[1:]
    logging.basicConfig(filename=log, level=logging.WARNING, format="%(created)f %(name)s %(message)s")
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(files), int(files)))
    factory = importlib.import_module(loop[0]).new_event_loop if loop else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve(engine))
