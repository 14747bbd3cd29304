"""Several servers joined by Redis: viewers move between them without losing messages."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import numpy as np
import pytest
from cli.live_server import LiveServer, live
from client.cutting_proxy import cutting_proxy
from client.servers import impatient, serving, until, url_of
from recordings import optional
from running import run
from server.holding_proxy import holding_proxy
from server.redis_server import redis_server

from ecgframe import Flag, MessageType
from ecgframe.server import WebSocketBinaryHandler
from ecgframe.session import Settings

pytestmark = pytest.mark.slow

optional("redis.asyncio")

STREAM = "ecg/bed-7"
LEADS = 15
RATE = 1000
FRAME_MS = 10
MOVES = 100


@pytest.fixture
def redis(tmp_path):
    with redis_server(tmp_path) as running:
        yield running


def viewing_server(redis):
    """A server process that has viewers and publishes nothing."""
    return live("--streams", 0, "--redis", redis.url, "--log-level", "warning")


@asynccontextmanager
async def publishing_handler(redis) -> AsyncIterator[WebSocketBinaryHandler]:
    from ecgframe.server.redis import RedisBackplane

    async with WebSocketBinaryHandler(backplane=RedisBackplane(redis.url)) as handler:
        yield handler


class Monitor:
    """Publishes 15 leads of 1,000 Hz in real time, with consecutive numbers as samples, and some alerts."""

    def __init__(self, handler: WebSocketBinaryHandler, *, alerts: bool = True) -> None:
        self.frames = 0
        self.alerts = 0
        self.slowest = 0.0
        self._handler = handler
        self._sends_alerts = alerts
        self._ending = False

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while not self._ending:
            await asyncio.sleep(begun + self.frames * FRAME_MS / 1000 - loop.time())
            asked = loop.time()
            await self.publish()
            self.slowest = max(self.slowest, loop.time() - asked)

    def end(self) -> None:
        self._ending = True

    async def publish(self) -> None:
        first = self.frames * FRAME_MS * RATE // 1000
        samples = np.arange(first, first + FRAME_MS * RATE // 1000, dtype="int32")
        counts = samples + np.arange(LEADS, dtype="int32")[:, None] * 10**8
        data = {"signal": counts, "sampling_rate": RATE, "sequence": self.frames}
        self.frames += 1
        await self._handler.publish(STREAM, MessageType.ECG_DATA, data, Flag.ACK_REQUIRED if first % 70 == 0 else 0)
        if self._sends_alerts and self.frames % 50 == 0:
            self.alerts += 1
            alert = {"kind": "test", "timestamp": 0.0, "number": self.alerts}
            await self._handler.publish(STREAM, MessageType.ANOMALY_ALERT, alert)


class Watcher:
    """A viewer that keeps the messages that it gets."""

    def __init__(self, subscription) -> None:
        self.subscription = subscription
        self.sequences: list[int] = []
        self.signals: list[np.ndarray] = []
        self.alerts: list[int] = []
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async for message in self.subscription:
            if message.type is MessageType.ECG_DATA:
                self.sequences.append(message.data["sequence"])
                self.signals.append(message.data["signal"])
            else:
                self.alerts.append(message.data["number"])

    def knows(self, sequence: int) -> bool:
        return bool(self.sequences) and self.sequences[-1] >= sequence

    async def check(self, monitor: Monitor) -> None:
        """Wait for the last frame; check that all samples and all alerts arrived once and in order."""
        await until(lambda: self.knows(monitor.frames - 1) and self.alerts[-1:] == [monitor.alerts], timeout=15)
        first = self.sequences[0]
        assert self.sequences == list(range(first, monitor.frames))
        start = first * FRAME_MS * RATE // 1000
        expected = np.arange(start, monitor.frames * FRAME_MS * RATE // 1000) + np.arange(LEADS)[:, None] * 10**8
        np.testing.assert_array_equal(np.concatenate(self.signals, axis=1), expected)
        assert self.alerts == list(range(monitor.alerts - len(self.alerts) + 1, monitor.alerts + 1))
        assert self.subscription.gap_count == 0
        self._task.cancel()


@asynccontextmanager
async def watching(url):
    async with impatient(url) as client, client.subscribe(STREAM) as subscription:
        yield Watcher(subscription)


@pytest.mark.slow
def test_a_viewer_that_moves_a_hundred_times_while_a_server_dies(redis):
    async def scenario(staying: LiveServer, dying: LiveServer):
        async with publishing_handler(redis) as handler, cutting_proxy(staying.port) as balancer:
            balancer.targets.append(dying.port)
            async with watching(balancer.url) as watcher:
                monitor = Monitor(handler)
                playing = asyncio.create_task(monitor.run())
                await until(lambda: watcher.alerts)
                for move in range(MOVES):
                    if move == MOVES // 2:
                        dying.end(signal.SIGKILL)
                    seen = len(watcher.sequences) + balancer.random.randint(0, 5)
                    await until(lambda seen=seen: len(watcher.sequences) >= seen)
                    await asyncio.sleep(balancer.random.uniform(0, FRAME_MS / 1000))
                    await until(balancer.cut)
                monitor.end()
                await playing
                await monitor.publish()
                await watcher.check(monitor)
                assert balancer.accepted > MOVES
            assert handler.stats()["backplane"]["lost_total"] == 0

    dying = LiveServer("--streams", 0, "--redis", redis.url)
    try:
        with viewing_server(redis) as staying:
            run(scenario(staying, dying), timeout=50)
    finally:
        if dying.process.poll() is None:
            dying.end(signal.SIGKILL)


def test_a_viewer_resumes_on_another_server(redis):
    async def scenario(servers: list[LiveServer]):
        async with publishing_handler(redis) as handler:
            monitor = Monitor(handler, alerts=False)
            playing = asyncio.create_task(monitor.run())
            sequences: list[int] = []
            since = None
            for server in servers * 5:
                async with impatient(url_of(server.port)) as client, client.subscribe(STREAM, since) as subscription:
                    remaining = 7
                    async for message in subscription:
                        sequences.append(message.data["sequence"])
                        since = message.timestamp
                        remaining -= 1
                        if not remaining:
                            break
                    assert subscription.gap_count == 0
            monitor.end()
            await playing
            assert sequences == list(range(sequences[0], sequences[0] + 70))

    with viewing_server(redis) as one, viewing_server(redis) as other:
        run(scenario([one, other]), timeout=50)


def test_a_killed_redis_loses_no_message_of_a_viewer(redis):
    run(killed_redis(redis, seconds=1.0), timeout=50)


async def killed_redis(redis, seconds):
    """Redis is killed for a while. Viewers of the publishing server notice nothing; others catch up later."""
    async with AsyncExitStack() as stack:
        other = await asyncio.to_thread(stack.enter_context, viewing_server(redis))
        handler = await stack.enter_async_context(publishing_handler(redis))
        port = await stack.enter_async_context(serving(handler))
        balancer = await stack.enter_async_context(cutting_proxy(port))
        here = await stack.enter_async_context(watching(url_of(port)))
        there = await stack.enter_async_context(watching(url_of(other.port)))
        moving = await stack.enter_async_context(watching(balancer.url))
        monitor = Monitor(handler)
        playing = asyncio.create_task(monitor.run())
        await until(lambda: here.knows(50) and there.knows(50) and moving.knows(50))

        redis.kill()
        await until(lambda: not handler.stats()["backplane"]["up"])
        frames = monitor.frames
        balancer.targets[:] = [other.port]
        balancer.cut()  # it moves to the other server, which has no messages for it now
        await asyncio.sleep(seconds)
        assert here.knows(frames + round(seconds * 1000 / FRAME_MS * 0.8)), "live on the server that publishes"
        assert not there.knows(frames)
        await asyncio.to_thread(redis.start)

        await until(lambda: there.knows(monitor.frames - 5) and moving.knows(monitor.frames - 5))
        balancer.targets[:] = [port]
        balancer.cut()
        newcomer = await stack.enter_async_context(watching(url_of(other.port)))
        await until(lambda: newcomer.alerts)
        monitor.end()
        await playing
        await monitor.publish()
        for watcher in (here, there, moving, newcomer):
            await watcher.check(monitor)
        stats = handler.stats()["backplane"]
        assert stats["lost_total"] == 0
        assert stats["reconnections_total"] == 1
        return monitor, stats


@pytest.mark.parametrize("fails", [False, True])
def test_a_viewer_of_version_4_moves_between_servers(redis, fails):
    async def scenario():
        from ecgframe.server.redis import RedisBackplane

        versions = (1, 2, 3, 4)
        async with AsyncExitStack() as stack:
            handlers = []
            for _ in range(2):
                backplane = RedisBackplane(redis.url, version=4, patience=2.0)
                handler = WebSocketBinaryHandler(settings=Settings(versions=versions), backplane=backplane)
                handlers.append(await stack.enter_async_context(handler))
            ports = [await stack.enter_async_context(serving(handler)) for handler in handlers]
            balancer = await stack.enter_async_context(cutting_proxy(ports[0]))
            balancer.targets[:] = ports
            settings = Settings(versions=versions, negotiation_timeout=1.0)
            client = await stack.enter_async_context(impatient(balancer.url, settings=settings))
            subscription = await stack.enter_async_context(client.subscribe(STREAM))
            watcher = Watcher(subscription)
            monitor = Monitor(handlers[0])
            playing = asyncio.create_task(monitor.run())
            await until(lambda: watcher.alerts)
            for move in range(20):
                if fails and move == 10:
                    redis.kill()
                    await until(lambda: not any(handler.stats()["backplane"]["up"] for handler in handlers))
                    await asyncio.to_thread(redis.start)
                    await until(lambda: all(handler.stats()["backplane"]["up"] for handler in handlers))
                seen = len(watcher.sequences)
                await until(lambda seen=seen: len(watcher.sequences) > seen)
                await until(balancer.cut)
            monitor.end()
            await playing
            await monitor.publish()
            if not fails:
                await watcher.check(monitor)
                return
            await until(lambda: watcher.knows(monitor.frames - 1), timeout=15)
            assert watcher.sequences == sorted(set(watcher.sequences)), "each once, in order"
            assert subscription.gap_count >= 1, "the epoch changed"

    run(scenario(), timeout=50)


@pytest.mark.parametrize("is_opened", [False, True])
def test_messages_of_a_client_need_not_wait_for_redis_one_by_one(redis, is_opened):
    async def scenario():
        from ecgframe.server.redis import RedisBackplane

        versions = (1, 2, 3, 4)
        handed_over = []

        async def everything(*_):
            return True

        async def on_message(connection, message):
            handed_over.append(message.data["sequence"])

        async with AsyncExitStack() as stack:
            proxy = await stack.enter_async_context(holding_proxy(redis.port))
            handler = WebSocketBinaryHandler(
                settings=Settings(versions=versions),
                backplane=RedisBackplane(proxy.url, version=4, patience=20),
                authorize=everything,
                on_message=on_message,
            )
            await stack.enter_async_context(handler)
            port = await stack.enter_async_context(serving(handler))
            settings = Settings(versions=versions)
            viewer = await stack.enter_async_context(impatient(url_of(port), settings=settings))
            client = await stack.enter_async_context(impatient(url_of(port), settings=settings))
            subscription = await stack.enter_async_context(viewer.subscribe(STREAM))
            publisher = client.publisher(STREAM) if is_opened else None

            async def publish(sequence):
                data = {"signal": [sequence], "sampling_rate": 500, "sequence": sequence, "stream": STREAM}
                if publisher is not None:
                    await publisher.send(MessageType.ECG_DATA, data)
                else:
                    await client.send_message(MessageType.ECG_DATA, data)

            await publish(0)
            await until(lambda: handed_over == [0])
            proxy.hold_answers()
            for sequence in range(1, 31):
                await publish(sequence)
            await until(lambda: handler.stats()["backplane"]["outbox_frames"] == 30)
            assert handed_over == [0]
            proxy.release()
            sequences = []
            async for message in subscription:
                sequences.append(message.data["sequence"])
                if len(sequences) == 31:
                    break
            assert sequences == list(range(31))
            await until(lambda: handed_over == sequences)
            assert subscription.gap_count == 0

    run(scenario(), timeout=50)
