"""Two servers that share a real Redis, which is killed, emptied, or cut off from one of them or both.

Commands and answers are JSON lines, as those of ``peer.py``. Arguments: by how many seconds the clock of each server is
wrong. Each server publishes on the one stream by itself: a message of this server's publisher has its name in ``who``.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "tests"))

import numpy as np
from client.servers import serving
from server.holding_proxy import HoldingProxy, holding_proxy
from server.redis_server import redis_server

from ecgframe import MessageType
from ecgframe.server import Limits, WebSocketBinaryHandler
from ecgframe.server.redis import RedisBackplane
from ecgframe.session import Settings

STREAM = "ecg/1"
PAUSE = 0.02
SIGNAL = np.arange(75, dtype="int16").reshape(3, 25)


class Fleet:
    """Does what it is told."""

    def __init__(self, stack: AsyncExitStack, clocks: list[float]) -> None:
        self._stack = stack
        self._clocks = clocks
        self._random = random.Random(7)
        self._proxies: list[HoldingProxy] = []
        self._handlers: list[WebSocketBinaryHandler] = []
        self._playing: list[asyncio.Task[None]] = []
        self._published = [0, 0]

    async def start(self, *, keeps):
        """Start Redis and the servers. ``keeps``: whether Redis has its data after it was killed."""
        directory = self._stack.enter_context(tempfile.TemporaryDirectory())
        self._redis = self._stack.enter_context(redis_server(Path(directory), keeps=keeps))
        ports = []
        for ahead in self._clocks:
            proxy = await self._stack.enter_async_context(holding_proxy(self._redis.port))
            self._proxies.append(proxy)

            def clock(ahead=ahead):
                return time.time_ns() // 1000 + round(ahead * 1e6)

            handler = WebSocketBinaryHandler(
                settings=Settings(versions=(1, 2, 3, 4)),
                limits=Limits(),
                backplane=RedisBackplane(proxy.url, version=4, patience=0.3, clock=clock),
                clock=clock,
            )
            self._handlers.append(handler)
            ports.append(await self._stack.enter_async_context(serving(handler)))
        return {"ports": ports}

    async def play(self):
        """Let both servers publish until ``stop``."""
        self._playing = [asyncio.create_task(self._play(who)) for who in range(2)]
        return {}

    async def stop(self):
        """Publish the last messages; returns the number of the last one of each."""
        for task in self._playing:
            task.cancel()
        await asyncio.gather(*self._playing, return_exceptions=True)
        for who in range(2):
            await self._publish(who)
        return {"published": self._published}

    async def kill(self):
        """Kill Redis."""
        self._redis.kill()
        return await self._until(up=[False, False])

    async def revive(self):
        """Start Redis anew."""
        await asyncio.to_thread(self._redis.start)
        return await self._until(up=[True, True])

    async def cut(self, *, which):
        """Let Redis' answers to some servers be lost."""
        for one in which:
            self._proxies[one].hold_answers()
        return await self._until(up=[one not in which for one in range(2)])

    async def join(self):
        """Let all servers reach Redis."""
        for proxy in self._proxies:
            await proxy.cut()
        return await self._until(up=[True, True])

    async def _until(self, *, up):
        async with asyncio.timeout(30):
            while [handler.stats()["backplane"]["up"] for handler in self._handlers] != up:
                await asyncio.sleep(0.01)
        return {}

    async def _play(self, who):
        while True:
            await asyncio.shield(self._publish(who))
            await asyncio.sleep(PAUSE * self._random.uniform(0.5, 1.5))

    async def _publish(self, who):
        self._published[who] += 1
        n = self._published[who]
        # Both say the same but for the name, so nothing else tells their messages apart.
        data = {"timestamp": n / 50, "who": who, "sequence": n}
        if self._random.random() < 0.05:
            await self._handlers[who].publish(STREAM, MessageType.ANOMALY_ALERT, {"kind": "a", **data})
        else:
            data |= {"signal": SIGNAL + n % 9, "sampling_rate": 500}
            await self._handlers[who].publish(STREAM, MessageType.ECG_DATA, data)


async def main() -> None:
    """Read commands until stdin ends."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with AsyncExitStack() as stack:
        fleet = Fleet(stack, [float(word) for word in sys.argv[1:]])
        while line := await reader.readline():
            command = json.loads(line)
            number, name = command.pop("id"), command.pop("do")
            try:
                answer = await getattr(fleet, name)(**command)
            except Exception as error:
                answer = {"failure": repr(error)}
            print(json.dumps({"id": number, **answer}), flush=True)


asyncio.run(main())
