"""Two servers with Redis in virtual time: every message arrives once, or inside a loss that is counted exactly.

Viewers move between servers whose clocks differ, while Redis is killed, emptied, restored from an older state, and cut
off from one server or both.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager

import numpy as np
import pytest
from recordings import optional
from server.exact_viewer import ALL, ExactViewer
from virtual_time import run_virtually

from ecgframe import MessageType
from ecgframe.client.cursor import Gap
from ecgframe.server import Limits, WebSocketBinaryHandler
from ecgframe.server.viewers import Viewers
from ecgframe.session import Settings

pytestmark = pytest.mark.slow

optional("redis.asyncio")

from server.redis_model import ModelRedis  # noqa: E402

from ecgframe.server.redis import RedisBackplane  # noqa: E402

STREAM = "ecg/bed-7"
START = 1_705_314_660_000_000
SECOND = 1_000_000
CLOCKS = {"the same": (0, 0), "10 s apart": (-10, 10), "1 h apart": (3600, -3600)}
SIGNAL = np.arange(75, dtype="int16").reshape(3, 25)


class Account:
    """What was published, and under which numbers the servers delivered it.

    Attributes:
        published: publisher and number of each message, in order.
        numbers: by epoch and number, the message, or "template".
    """

    def __init__(self):
        self.published = []
        self.numbers = {}

    def note(self, epoch, number, publication):
        """Note what a server delivers; every server has to deliver the same."""
        what = "template" if publication.type is MessageType.STREAM_TEMPLATE else name_of(publication)
        assert self.numbers.setdefault((epoch, number), what) == what

    def check(self, viewer):
        """Check that the viewer has each message once, or was told that it was lost, and how many were."""
        viewer.end()
        had = [name_of(message) for message in viewer.messages]
        twice = [name for name, times in Counter(had).items() if times > 1]
        assert not twice, f"no message comes twice: {[self._times_of(viewer, name) for name in twice[:5]]}"
        lost = [self.numbers[place] for place in viewer.numbers.lost]  # a number of no message would be a KeyError
        assert not set(lost) & set(had), "what is told to be lost does not come"
        counted = sum(gap.frames for gap in viewer.gaps if gap.frames is not None)
        assert counted == len(lost)
        unknown = self._in_gaps_of_unknown_size(viewer)
        missing = [name for name in self._since_the_first(had) if name not in set(had)]
        assert set(missing) <= set(lost) | unknown, "every message that does not come is told to be lost"

    def _times_of(self, viewer, name):
        return [(name, each.timestamp, each.sequence) for each in viewer.messages if name_of(each) == name]

    def _since_the_first(self, had):
        """The messages that a viewer has to get: those of each publisher from its first one on."""
        first = {}
        for who, n in had:
            first.setdefault(who, n)
        return [(who, n) for who, n in self.published if who in first and n > first[who]]

    def _in_gaps_of_unknown_size(self, viewer):
        """The messages that may be missing in gaps without a count: between those of a publisher around it."""
        found = set()
        latest, open_since = {}, {}
        for item in viewer.items:
            if isinstance(item, Gap):
                if item.frames is None:
                    open_since = {**latest, **open_since}
                continue
            who, n = name_of(item)
            if who in open_since:
                found |= {(who, each) for each in range(open_since.pop(who) + 1, n)}
            latest[who] = max(n, latest.get(who, n))
        for who, n in open_since.items():
            found |= {(who, each) for _, each in self.published if each > n}
        return found


def name_of(message):
    return message.data["who"], message.data.get("n", message.data.get("sequence"))


async def everything(*_):
    """All may subscribe and publish."""
    return True


class Server:
    def __init__(self, name, handler, backplane):
        self.name = name
        self.handler = handler
        self.backplane = backplane


class World:
    """Redis, two servers, publishers and viewers."""

    def __init__(self, monkeypatch, seed, clocks, **settings):
        self.model = ModelRedis(seed, START)
        self.random = random.Random(seed)
        self.account = Account()
        self._clocks = clocks
        self._settings = settings
        self._monkeypatch = monkeypatch
        self._counts = {}

    @asynccontextmanager
    async def servers(self):
        monkeypatch, account = self._monkeypatch, self.account
        monkeypatch.setattr("ecgframe.server.redis.backplane.two_clients", self.model.clients)
        send = Viewers.send

        def noting(viewers, publication, now):
            account.note(viewers._numbering.epoch, publication.position.number, publication)
            return send(viewers, publication, now)

        monkeypatch.setattr(Viewers, "send", noting)
        async with AsyncExitStack() as stack:
            servers = []
            for name, ahead in zip("ab", self._clocks, strict=True):
                clock = self._clock(ahead)
                backplane = RedisBackplane("redis://127.0.0.1:1", version=4, clock=clock, **self._settings)
                backplane._pool = name
                handler = WebSocketBinaryHandler(
                    settings=Settings(versions=ALL),
                    limits=Limits(),
                    backplane=backplane,
                    clock=clock,
                    authorize=everything,
                )
                await stack.enter_async_context(handler)
                servers.append(Server(name, handler, backplane))
            yield servers

    def _clock(self, ahead):
        loop = asyncio.get_running_loop()
        return lambda: START + ahead * SECOND + round(loop.time() * SECOND)

    async def publish(self, who, server, *, alert=False):
        """Publish the next message of a publisher."""
        n = self._counts[who] = self._counts.get(who, 0) + 1
        self.account.published.append((who, n))
        data = {"signal": SIGNAL + n, "timestamp": n / 20, "sampling_rate": 500, "who": who, "n": n}
        if alert:
            await server.handler.publish(STREAM, MessageType.ANOMALY_ALERT, {"kind": "a", "timestamp": 1.0, **data})
        else:
            data = {key: value for key, value in data.items() if key != "n"} | {"sequence": n}
            await server.handler.publish(STREAM, MessageType.ECG_DATA, data)

    async def play(self, who, server, seconds, pause=0.05):
        """Publish for some seconds."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            await self.publish(who, server, alert=self.random.random() < 0.05)
            await asyncio.sleep(pause * self.random.uniform(0.5, 1.5))


async def move(world, viewer, servers, seconds):
    """Let a viewer move from server to server for some seconds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        await viewer.connect(world.random.choice(servers).handler)
        await asyncio.sleep(world.random.uniform(0.05, 2.0))
        await viewer.disconnect()
        await asyncio.sleep(world.random.choice([0.0, 0.01, 0.3]))


async def nothing(world, servers):
    await asyncio.sleep(12)


async def redis_is_killed(world, servers):
    for _ in range(2):
        await asyncio.sleep(3)
        kept = world.model.snapshot()
        world.model.kill()
        await asyncio.sleep(world.random.uniform(0.1, 2.5))
        world.model.start(kept)
    await asyncio.sleep(3)


async def redis_is_emptied(world, servers):
    for _ in range(2):
        await asyncio.sleep(3)
        world.model.kill()
        await asyncio.sleep(world.random.uniform(0.0, 2.5))
        world.model.start()
    await asyncio.sleep(3)


async def redis_goes_back(world, servers):
    for _ in range(2):
        await asyncio.sleep(2)
        older = world.model.snapshot()
        await asyncio.sleep(world.random.uniform(0.1, 2))
        world.model.kill()
        await asyncio.sleep(world.random.uniform(0.0, 1.5))
        world.model.start(older)
    await asyncio.sleep(3)


async def one_server_is_cut_off(world, servers):
    for name in "ab":
        await asyncio.sleep(3)
        world.model.cut(name)
        await asyncio.sleep(world.random.uniform(0.3, 3))
        world.model.join(name)
    await asyncio.sleep(4)


async def both_are_cut_off(world, servers):
    await asyncio.sleep(3)
    for name in "ab":
        world.model.cut(name)
    await asyncio.sleep(world.random.uniform(0.3, 3))
    for name in world.random.sample("ab", 2):
        world.model.join(name)
        await asyncio.sleep(world.random.uniform(0, 1))
    await asyncio.sleep(6)


LOSES = (redis_is_killed, redis_is_emptied, redis_goes_back)
FAULTS = (nothing, redis_is_killed, redis_is_emptied, redis_goes_back, one_server_is_cut_off, both_are_cut_off)


async def course(world, fault, publishers):
    async with asyncio.timeout(120), world.servers() as servers:
        staying = [ExactViewer(STREAM) for _ in servers]
        moving = [ExactViewer(STREAM) for _ in range(3)]
        for viewer, server in zip(staying, servers, strict=True):
            await viewer.connect(server.handler)
        await asyncio.sleep(0.2)
        playing = [asyncio.create_task(world.play(f"p{i}", servers[i % 2], 12)) for i in range(publishers)]
        moves = [asyncio.create_task(move(world, viewer, servers, 13)) for viewer in moving]
        await fault(world, servers)
        await asyncio.gather(*playing, *moves)
        await asyncio.sleep(3)
        for viewer in moving:
            await viewer.connect(world.random.choice(servers).handler)
        for i in range(publishers):
            await world.publish(f"p{i}", servers[i % 2])
        await asyncio.sleep(3)
        for viewer in (*staying, *moving):
            await viewer.disconnect()
        return staying, moving


@pytest.mark.parametrize("clocks", CLOCKS)
@pytest.mark.parametrize("fault", FAULTS)
def test_every_message_arrives_once_or_is_counted_as_lost(monkeypatch, fault, clocks):
    world = World(monkeypatch, 1, CLOCKS[clocks])
    staying, moving = run_virtually(course(world, fault, publishers=1))
    assert len(world.account.published) > 200
    for viewer in (*staying, *moving):
        world.account.check(viewer)
    if fault is nothing:
        for viewer in (*staying, *moving):
            assert not viewer.gaps
            assert len(set(viewer.epochs)) == 1
    for viewer in staying:
        is_uncounted = [gap.frames is None for gap in viewer.gaps]
        assert any(is_uncounted) == (fault in LOSES), "only where nobody knows what Redis has lost"


@pytest.mark.parametrize("clocks", CLOCKS)
@pytest.mark.parametrize("fault", FAULTS)
def test_two_servers_may_publish_on_one_stream(monkeypatch, fault, clocks):
    world = World(monkeypatch, 2, CLOCKS[clocks])
    staying, moving = run_virtually(course(world, fault, publishers=2))
    assert len(world.account.published) > 400
    for viewer in (*staying, *moving):
        world.account.check(viewer)


def test_a_viewer_that_is_ahead_of_its_server_waits_for_what_it_lacks(monkeypatch):
    async def scenario(world):
        async with asyncio.timeout(60), world.servers() as (a, b):
            staying, moving = ExactViewer(STREAM), ExactViewer(STREAM)
            await staying.connect(b.handler)
            await moving.connect(a.handler)
            await asyncio.sleep(0.2)
            for _ in range(5):
                await world.publish("p", a)
            await asyncio.sleep(0.2)
            world.model.cut("b")
            for _ in range(5):
                await world.publish("p", a)
            await asyncio.sleep(0.2)
            await moving.disconnect()
            await moving.connect(b.handler)
            await asyncio.sleep(3)
            assert len(moving.messages) == 10
            assert len(staying.messages) == 5
            world.model.join("b")
            await asyncio.sleep(5)
            for _ in range(5):
                await world.publish("p", a)
            await asyncio.sleep(1)
            for viewer in (staying, moving):
                await viewer.disconnect()
                world.account.check(viewer)
                assert [name_of(message)[1] for message in viewer.messages] == list(range(1, 16))
                assert not viewer.gaps
                assert len(set(viewer.epochs)) == 1

    run_virtually(scenario(World(monkeypatch, 3, (0, 0))))


def test_a_viewer_resumes_in_an_epoch_that_has_ended(monkeypatch):
    async def scenario(world):
        async with asyncio.timeout(60), world.servers() as (a, b):
            viewer, other = ExactViewer(STREAM), ExactViewer(STREAM)
            await viewer.connect(a.handler)
            await other.connect(b.handler)
            await asyncio.sleep(0.2)
            for _ in range(5):
                await world.publish("p", a)
            await asyncio.sleep(0.2)
            await viewer.disconnect()
            for _ in range(5):
                await world.publish("p", a)
            world.model.kill()
            await asyncio.sleep(1)
            world.model.start()
            await asyncio.sleep(3)
            for _ in range(5):
                await world.publish("p", a)
            await asyncio.sleep(0.2)
            await viewer.connect(b.handler)
            await asyncio.sleep(1)
            for _ in range(5):
                await world.publish("p", a)
            await asyncio.sleep(1)
            for one in (viewer, other):
                await one.disconnect()
                world.account.check(one)
                assert [name_of(message)[1] for message in one.messages] == list(range(1, 21))
                assert [gap.frames for gap in one.gaps] == [None], "where the epoch changes"

    run_virtually(scenario(World(monkeypatch, 4, (10, -10))))


def test_records_go_on_when_the_epoch_has_changed(monkeypatch):
    async def scenario(world):
        async with asyncio.timeout(60), world.servers() as (a, b):
            viewers = [ExactViewer(STREAM) for _ in range(2)]
            for viewer, server in zip(viewers, (a, b), strict=True):
                await viewer.connect(server.handler)
            await asyncio.sleep(0.2)
            for fault in (world.model.kill, lambda: world.model.cut("a"), lambda: world.model.cut("b")):
                fault()
                await asyncio.sleep(1)
                for _ in range(5):
                    await world.publish("p", a)
                if not world.model.is_up:
                    world.model.start()
                for name in "ab":
                    world.model.join(name)
                await asyncio.sleep(5)
                for _ in range(10):
                    await world.publish("p", a)
                    await asyncio.sleep(0.05)
                await asyncio.sleep(1)
                for viewer in viewers:
                    assert all(message.form for message in viewer.messages[-8:])
            for viewer in viewers:
                await viewer.disconnect()
                world.account.check(viewer)
                assert [name_of(message)[1] for message in viewer.messages] == list(range(1, 46))
                assert not viewer.errors

    run_virtually(scenario(World(monkeypatch, 5, (0, 0))))


def test_a_stream_that_was_forgotten_goes_on_in_its_epoch(monkeypatch):
    async def scenario(world):
        async with asyncio.timeout(600), world.servers() as servers:
            viewer = ExactViewer(STREAM)
            await viewer.connect(servers[0].handler)
            await asyncio.sleep(0.2)
            for _ in range(5):
                await world.publish("p", servers[0])
            await asyncio.sleep(0.2)
            await viewer.disconnect()
            for _ in range(5):
                await world.publish("p", servers[0])
            await asyncio.sleep(200)
            assert not any(server.handler.stats()["streams"] for server in servers)
            for server in servers[::-1]:
                await viewer.connect(server.handler)
                await asyncio.sleep(0.2)
                await world.publish("p", servers[0])
                await asyncio.sleep(0.2)
                await viewer.disconnect()
            world.account.check(viewer)
            assert [name_of(message)[1] for message in viewer.messages] == [*range(1, 6), 11, 12]
            assert [gap.frames for gap in viewer.gaps] == [5]
            assert len(set(viewer.epochs)) == 1

    run_virtually(scenario(World(monkeypatch, 6, (0, 0))))


@pytest.mark.parametrize("is_alone", [False, True])
def test_what_a_server_could_not_write_is_counted_by_the_viewers_of_the_others(monkeypatch, is_alone):
    """``is_alone``: the other server is cut off as well, publishes, and loses nothing."""

    async def scenario(world):
        async with asyncio.timeout(120), world.servers() as (a, b):
            here, there = ExactViewer(STREAM), ExactViewer(STREAM)
            await here.connect(a.handler)
            await there.connect(b.handler)
            await asyncio.sleep(0.2)
            for _ in range(5):
                await world.publish("p", a)
            await asyncio.sleep(0.2)
            for name in "ab" if is_alone else "a":
                world.model.cut(name)
            await asyncio.sleep(2)
            for _ in range(40):
                await world.publish("p", a)
            for _ in range(is_alone):
                await world.publish("q", b)
            for name in "ab":
                world.model.join(name)
            await asyncio.sleep(5)
            for _ in range(5):
                await world.publish("p", a)
            await asyncio.sleep(1)
            assert a.backplane.stats()["lost_total"] > 0
            for viewer in (here, there):
                await viewer.disconnect()
                viewer.end()
            assert [n for who, n in map(name_of, here.messages) if who == "p"] == list(range(1, 51))
            lost = 50 - sum(name_of(message)[0] == "p" for message in there.messages)
            assert lost == a.backplane.stats()["lost_total"]
            assert [gap.frames for gap in there.gaps] == [None if is_alone else lost]

    run_virtually(scenario(World(monkeypatch, 8, (0, 0), outbox_bytes=4000)))
