"""A server in a separate process with a low limit on open files.

``python -m server.crowded_server ENGINE FILES LOG LOOP [REDIS]``

It prints its port and publishes a frame every 50 ms, with the time and the count of failed accepts, until its standard
input ends. All log records, with tracebacks, are written to the file LOG.
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
from ecgframe.server import Backplane, LocalBackplane, WebSocketBinaryHandler

STREAM = "ecg/bed-7"


async def serve(engine: str, *redis: str) -> None:
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    handler = WebSocketBinaryHandler(backplane=_backplane(*redis))
    async with handler, ENGINES[engine](handler) as port:
        print(int(port), flush=True)
        number, began = 0, time.monotonic()
        while not ended.done():
            stats = handler.stats()
            failed, up = stats["connections"]["accepts_failed"], stats["backplane"].get("up")
            data = {"features": {"sent": time.monotonic(), "failed": failed, "up": up}, "number": number}
            await handler.publish(STREAM, MessageType.FEATURE_DATA, data)
            number += 1
            await asyncio.sleep(max(0, began + number * 0.05 - time.monotonic()))
        await handler.close()


def _backplane(*redis: str) -> Backplane:
    if not redis:
        return LocalBackplane()
    from ecgframe.server.redis import RedisBackplane

    return RedisBackplane(*redis)


if __name__ == "__main__":
    engine, files, log, loop, *redis = sys.argv[1:]
    logging.basicConfig(filename=log, level=logging.WARNING, format="%(created)f %(name)s %(message)s")
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(files), int(files)))
    with asyncio.Runner(loop_factory=importlib.import_module(loop).new_event_loop) as runner:
        runner.run(serve(engine, *redis))
