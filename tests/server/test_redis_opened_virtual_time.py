"""A publisher with numbers of its own moves between two servers, while Redis fails in every way: no message is lost."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from recordings import optional
from server.exact_publisher import ExactPublisher
from server.exact_viewer import ExactViewer
from server.test_redis_virtual_time import FAULTS, SIGNAL, STREAM, World, move
from virtual_time import run_virtually

from ecgframe import MessageType

pytestmark = pytest.mark.slow

optional("redis.asyncio")

SECONDS = 12


async def play(world, publisher, seconds=SECONDS):
    """Publish for some seconds. Returns how many messages that were."""
    loop = asyncio.get_running_loop()
    end, n = loop.time() + seconds, 0
    while loop.time() < end:
        n += 1
        data = {"signal": SIGNAL + n, "timestamp": n / 20, "sampling_rate": 500, "who": "p"}
        if world.random.random() < 0.05:
            publisher.publish(MessageType.ANOMALY_ALERT, {"kind": "a", "timestamp": 1.0, "who": "p", "n": n})
        else:
            publisher.publish(MessageType.ECG_DATA, {**data, "sequence": n})
        await asyncio.sleep(0.05 * world.random.uniform(0.5, 1.5))
    return n


async def move_publisher(world, publisher, servers, seconds):
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        await publisher.connect(world.random.choice(servers).handler)
        await asyncio.sleep(world.random.uniform(0.1, 2.5))
        await publisher.disconnect()
        await asyncio.sleep(world.random.choice([0.0, 0.01, 0.3]))


async def course(world, fault):
    async with asyncio.timeout(120), world.servers() as servers:
        staying = [ExactViewer(STREAM) for _ in servers]
        moving = [ExactViewer(STREAM) for _ in range(3)]
        for viewer, server in zip(staying, servers, strict=True):
            await viewer.connect(server.handler)
        await asyncio.sleep(0.2)
        publisher = ExactPublisher(STREAM)
        await publisher.connect(servers[0].handler)  # so that the viewers know the epoch from its beginning
        publisher.publish(MessageType.FEATURE_DATA, {"features": {}, "who": "p", "n": 0})
        await asyncio.sleep(0.5)
        await publisher.disconnect()
        playing = asyncio.create_task(play(world, publisher))
        moves = [asyncio.create_task(move(world, viewer, servers, 13)) for viewer in moving]
        moves.append(asyncio.create_task(move_publisher(world, publisher, servers, 13)))
        await fault(world, servers)
        published = await playing
        await asyncio.gather(*moves)
        await asyncio.sleep(1)
        await publisher.connect(servers[1].handler)
        for viewer in moving:
            await viewer.connect(world.random.choice(servers).handler)
        await asyncio.sleep(6)
        for viewer in (*staying, *moving):
            await viewer.disconnect()
        assert publisher.errors == []
        assert publisher.writer.lost == 0
        return published, staying, moving, publisher


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_moving_publisher_loses_no_message_and_doubles_none(monkeypatch, fault, seed):
    world = World(monkeypatch, seed, (-10, 10))
    published, staying, moving, publisher = run_virtually(course(world, fault))
    assert published > 150
    for viewer in (*staying, *moving):
        viewer.end()
        had = Counter(message.data.get("n", message.data.get("sequence")) for message in viewer.messages)
        assert [n for n, times in had.items() if times > 1] == []
        assert not viewer.gaps
        first = 0 if viewer in staying else min(had)
        assert sorted(had) == list(range(first, published + 1))
        in_line = [one.data["sequence"] for one in viewer.messages if one.type is MessageType.ECG_DATA]
        assert in_line == sorted(in_line)
    assert {epoch for viewer in moving for epoch in viewer.epochs} == {publisher.writer.epoch}
