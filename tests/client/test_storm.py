"""A viewer over a network that breaks again and again: every sample once, in order."""

from __future__ import annotations

import asyncio
import random

import numpy as np
import pytest
from client.cutting_proxy import cutting_proxy
from client.servers import STREAM, impatient, serving, until
from running import run

from ecgframe import Flag, MessageType
from ecgframe.server import Limits, WebSocketBinaryHandler

CUTS = 100
LONG_MEMORY = Limits(ring_seconds=600, ring_bytes=1 << 28)
LEADS = 15
RATE = 1000
FRAME = 50  # samples: 50 ms, which a monitor takes 50 ms to measure, and this one 1 ms


class Monitor:
    """Publishes 15 leads with numbered samples; some frames have ACK_REQUIRED, and some are alerts."""

    def __init__(self, handler: WebSocketBinaryHandler, *, alerts_every: int | None = 17) -> None:
        self.frames = 0
        self.alerts = 0
        self.ended = False
        self.last = -1  # the frame after which nothing more comes, once it is known
        self._handler = handler
        self._alerts_every = alerts_every

    async def run(self) -> None:
        while not self.ended:
            await self.publish_frame()
            if self._alerts_every and self.frames % self._alerts_every == 0:
                await self.publish_alert()
            await asyncio.sleep(0.001)
        self.last = self.frames
        await self.publish_frame()  # after the last cut, so that a viewer knows that it has all

    async def publish_frame(self) -> None:
        first = self.frames * FRAME
        signal = np.arange(first, first + FRAME, dtype="int32") + np.arange(LEADS, dtype="int32")[:, None] * 10**8
        data = {"signal": signal, "sampling_rate": RATE, "sequence": self.frames}
        flags = Flag.ACK_REQUIRED if self.frames % 5 == 0 else Flag(0)
        self.frames += 1
        await self._handler.publish(STREAM, MessageType.ECG_DATA, data, flags)

    async def publish_alert(self) -> None:
        data = {"kind": "test", "timestamp": 0.0, "number": self.alerts}
        self.alerts += 1
        await self._handler.publish(STREAM, MessageType.ANOMALY_ALERT, data)

    def check(self, messages):
        """Every sample of every lead has come once and in order, and every alert once."""
        waves = [message for message in messages if message.type is MessageType.ECG_DATA]
        assert [message.data["sequence"] for message in waves] == list(range(self.frames))
        signal = np.concatenate([message.data["signal"] for message in waves], axis=1)
        expected = np.arange(self.frames * FRAME) + np.arange(LEADS)[:, None] * 10**8
        np.testing.assert_array_equal(signal, expected)
        alerts = [message.data["number"] for message in messages if message.type is MessageType.ANOMALY_ALERT]
        assert alerts == list(range(self.alerts))

    def is_last(self, message):
        return message.data.get("sequence") == self.last


async def take(messages, subscription, monitor, laziness=None):
    async for message in subscription:
        messages.append(message)
        if laziness and laziness.random() < 0.02:
            await asyncio.sleep(laziness.uniform(0, 0.02))
        if monitor.is_last(message):
            return


@pytest.mark.slow
def test_a_viewer_cut_off_a_hundred_times_gets_every_sample_once_and_in_order():
    async def storm():
        handler = WebSocketBinaryHandler(limits=LONG_MEMORY)
        messages = []
        async with serving(handler) as port, cutting_proxy(port) as proxy, impatient(proxy.url) as client:
            async with client.subscribe(STREAM, capacity=20) as subscription:
                monitor = Monitor(handler)
                playing = asyncio.create_task(monitor.run())
                taking = asyncio.create_task(take(messages, subscription, monitor, proxy.random))
                for _ in range(CUTS):
                    if proxy.random.random() < 0.8:  # in the middle of the stream
                        seen = len(messages) + proxy.random.randint(1, 20)
                        await until(lambda seen=seen: len(messages) >= seen)
                    else:  # anywhere, also before both sides could talk
                        await asyncio.sleep(proxy.random.uniform(0, 0.01))
                    await until(proxy.cut)
                monitor.ended = True
                await playing
                await taking
            stats = client.stats()
        monitor.check(messages)
        assert subscription.gap_count == 0
        assert stats["connections"] > CUTS / 2

    run(storm())


@pytest.mark.slow
def test_a_viewer_killed_and_restarted_a_hundred_times_has_every_sample_once_and_in_order():
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)

    async def live(messages, monitor, url):
        since = messages[-1].timestamp if messages else 0
        async with impatient(url) as client, client.subscribe(STREAM, since=since) as subscription:
            await take(messages, subscription, monitor)

    async def lives():
        handler = WebSocketBinaryHandler(limits=LONG_MEMORY)
        messages = []
        async with serving(handler) as port, cutting_proxy(port) as proxy:
            monitor = Monitor(handler, alerts_every=None)
            playing = asyncio.create_task(monitor.run())
            for _ in range(CUTS):
                living = asyncio.create_task(live(messages, monitor, proxy.url))
                await asyncio.sleep(chance.uniform(0.002, 0.03))
                living.cancel()
                await asyncio.wait({living})
            monitor.ended = True
            await playing
            await live(messages, monitor, proxy.url)
        monitor.check(messages)

    run(lives())


@pytest.mark.slow
def test_a_slow_network_that_breaks_loses_nothing_either():
    async def storm():
        handler = WebSocketBinaryHandler(limits=LONG_MEMORY)
        messages = []
        async with serving(handler) as port, cutting_proxy(port) as proxy, impatient(proxy.url) as client:
            proxy.delay, proxy.rate = 0.002, 2_000_000
            async with client.subscribe(STREAM) as subscription:
                monitor = Monitor(handler)
                playing = asyncio.create_task(monitor.run())
                taking = asyncio.create_task(take(messages, subscription, monitor))
                for _ in range(20):
                    await asyncio.sleep(proxy.random.uniform(0.01, 0.1))
                    proxy.hold()
                    await asyncio.sleep(proxy.random.uniform(0, 0.03))
                    proxy.cut()
                    proxy.release()
                monitor.ended = True
                await playing
                proxy.rate = None
                await taking
        monitor.check(messages)
        assert subscription.gap_count == 0

    run(storm())
