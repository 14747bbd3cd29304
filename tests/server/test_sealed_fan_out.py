"""What sealing costs where a stream has many viewers: each message is sealed once and shared."""

import asyncio
import time
from statistics import median

import numpy as np
import pytest
from running import run
from server.memory_link import MemoryLink

from ecgframe import MessageType
from ecgframe.protocol import Capability
from ecgframe.server import Limits, Sealing, WebSocketBinaryHandler
from ecgframe.session import Settings
from ecgframe.session.settings import EVERYTHING, OF_VERSION_4

pytest.importorskip("cryptography")

from ecgframe.seal import Key, StoredKeys

VIEWERS = 1500
MESSAGES = 300
NAMES = [str(one) for one in (*EVERYTHING, *OF_VERSION_4, Capability.ENCRYPTION)]


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.parametrize("version", [3, 4])
def test_a_sealed_stream_costs_about_as_much_as_a_plain_one(version):
    async def main():
        handler = WebSocketBinaryHandler(
            settings=Settings(versions=(1, 2, 3, 4), keys_without_tls=True),
            limits=Limits(ring_seconds=0.5),
            sealing=Sealing(keyring=StoredKeys([Key(9, "sealed", bytes(range(32)))])),
        )
        signal = np.random.default_rng(5).integers(-2000, 2000, (12, 25), "int16")
        async with handler:
            links, tasks = [], []
            for stream in ("plain", "sealed"):
                for _ in range(VIEWERS):
                    link = MemoryLink()
                    tasks.append(asyncio.create_task(handler.handle(link)))
                    link.say(MessageType.PROTOCOL_NEGOTIATION, {"version": version, "capabilities": NAMES}, version=1)
                    link.say(MessageType.SUBSCRIBE, {"stream": stream}, version=version)
                    links.append(link)
            async with asyncio.timeout(60):
                while any(len(link.sent) < 2 for link in links):
                    await asyncio.sleep(0.01)

            async def spend(stream):
                began = time.process_time()
                await handler.publish(
                    stream, MessageType.ECG_DATA, {"signal": signal, "sampling_rate": 500, "timestamp": time.time()}
                )
                spent = time.process_time() - began
                for link in links:
                    link.sent.clear()
                return spent

            spent = {"plain": [], "sealed": []}
            for _ in range(MESSAGES):  # one after the other, since other processes come and go
                for stream, times in spent.items():
                    times.append(await spend(stream))
            for link in links:
                link.abort()
            await asyncio.gather(*tasks)
        return median(spent["plain"][10:]) / median(spent["sealed"][10:])

    ratio = run(main())
    print(f"version {version}: a sealed stream reaches {ratio:.3f} of the throughput of a plain one")
    assert ratio >= 0.97
