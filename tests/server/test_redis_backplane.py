"""The backplanes of Redis and NATS with real servers that are killed, stopped and started again."""

from __future__ import annotations

import asyncio
import logging
import random
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import count, pairwise

import pytest
from recordings import optional, uninstall
from running import run
from server.holding_proxy import holding_proxy
from server.nats_server import nats_server
from server.redis_server import redis_server

from ecgframe import Codec, MessageType
from ecgframe.codec import EncodedFrame
from ecgframe.libraries import MissingLibrary

pytestmark = pytest.mark.slow

redis = optional("redis.asyncio")

STREAM = "ecg/bed-7"
SECOND = 1_000_000

codec = Codec(ndarray="binary", compression=None)


ENGINES = {"redis": redis_server, "nats": nats_server}

each_engine = pytest.mark.parametrize("server", ENGINES, indirect=True)
"""What holds for every engine; the other tests are about Redis."""


@pytest.fixture
def server(request, tmp_path):
    engine = getattr(request, "param", "redis")
    if engine == "nats":
        optional("nats")
    with ENGINES[engine](tmp_path) as running:
        yield running


def now():
    return time.time_ns() // 1000


def frame(label):
    return codec.encode(MessageType.ECG_DATA, {"signal": [0.5], "sampling_rate": 250, "label": label})


class Seen:
    """The messages that a backplane delivers, with methods to wait for them."""

    def __init__(self) -> None:
        self.messages: dict[str, list[tuple[int, str]]] = {}
        self._changed = asyncio.Event()

    def __call__(self, stream: str, timestamp: int, canonical: EncodedFrame) -> None:
        self.messages.setdefault(stream, []).append((timestamp, codec.decode(bytes(canonical)).data["label"]))
        self._changed.set()

    def of(self, stream=STREAM):
        told = self.messages.get(stream, [])
        assert all(earlier[0] < later[0] for earlier, later in pairwise(told)), "timestamps increase"
        return told

    def labels(self, stream=STREAM):
        return [label for _, label in self.of(stream)]

    async def until(self, condition: Callable[[Seen], bool], seconds: float = 60) -> None:
        async with asyncio.timeout(seconds):
            while not condition(self):
                self._changed.clear()
                await self._changed.wait()

    async def until_count(self, count, stream=STREAM):
        await self.until(lambda seen: len(seen.messages.get(stream, [])) >= count)


class Node:
    """A backplane and the messages that it has delivered."""

    names = count()

    def __init__(self, backplane, seen):
        self.name = "abcdefghij"[next(self.names) % 10]
        self.backplane = backplane
        self.seen = seen

    async def publish(self, label, stream=STREAM, at=None):
        return await self.backplane.publish(stream, at or now(), codec.verify(frame(label)))

    @property
    def stats(self):
        return self.backplane.stats()

    async def until(self, condition):
        async with asyncio.timeout(10):
            while not condition(self.stats):
                await asyncio.sleep(0.005)

    async def until_up(self, up=True):
        await self.until(lambda stats: stats["up"] is up)


def backplane_of(server, **settings):
    if server.url.startswith("nats"):
        from ecgframe.server.nats import NatsBackplane

        return NatsBackplane(server.url, **settings)
    from ecgframe.server.redis import RedisBackplane

    return RedisBackplane(server.url, **settings)


def proxy_of(server):
    return holding_proxy(server.port, server.url.partition(":")[0])


@asynccontextmanager
async def node(server, join=STREAM, **settings) -> AsyncIterator[Node]:
    backplane = backplane_of(server, **settings)
    seen = Seen()
    await backplane.open(seen)
    try:
        if join is not None:
            await backplane.join(join, now() - 30 * SECOND)
        yield Node(backplane, seen)
    finally:
        await backplane.close()


@asynccontextmanager
async def nodes(server, number, **settings):
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(node(server, **settings)) for _ in range(number)]


# --- while Redis is reachable ---


@each_engine
def test_every_server_gets_a_message_of_one(server):
    async def scenario():
        async with nodes(server, 3) as (a, b, c):
            times = [await a.publish(f"m{i}") for i in range(50)]
            assert a.seen.of() == list(zip(times, [f"m{i}" for i in range(50)], strict=True))
            for other in (b, c):
                await other.seen.until_count(50)
                assert other.seen.of() == a.seen.of()

    run(scenario())


@each_engine
def test_a_message_is_delivered_before_publish_returns(server):
    async def scenario():
        async with node(server) as a:
            wanted = now()
            assert await a.publish("m", at=wanted) == wanted
            assert a.seen.of() == [(wanted, "m")]

    run(scenario())


@each_engine
def test_streams_are_separate(server):
    async def scenario():
        async with nodes(server, 2) as (a, b):
            await b.backplane.join("", now())
            await a.publish("for all", stream="")
            await a.publish("for one", stream="ecg/µ 1")
            await a.publish("known", stream=STREAM)
            await b.seen.until_count(1)
            await b.seen.until_count(1, stream="")
            assert b.seen.labels("") == ["for all"]
            assert "ecg/µ 1" not in b.seen.messages

    run(scenario())


@each_engine
@pytest.mark.parametrize("seed", range(3))
def test_all_servers_deliver_in_the_same_order(server, seed):
    chance = random.Random(seed)

    async def publish(one, name, count, skew):
        for i in range(count):
            await one.publish(f"{name}{i}", at=now() + skew)
            if chance.random() < 0.3:
                await asyncio.sleep(0)

    async def scenario():
        async with nodes(server, 3, patience=10) as members:
            async with asyncio.TaskGroup() as publishing:
                for name, one in zip("abc", members, strict=True):
                    skew = chance.randint(-SECOND, SECOND)
                    for part in "xy":
                        publishing.create_task(publish(one, name + part, 60, skew))
            for one in members:
                await one.seen.until_count(360)
            orders = [one.seen.of() for one in members]
            assert orders[0] == orders[1] == orders[2]
            assert len(set(orders[0])) == 360
            for publisher in ("ax", "ay", "bx", "by", "cx", "cy"):
                own = [label for label in members[0].seen.labels() if label.startswith(publisher)]
                assert own == [f"{publisher}{i}" for i in range(60)]

    run(scenario())


@each_engine
def test_a_message_of_the_past_gets_the_next_timestamp(server):
    async def scenario():
        async with nodes(server, 2) as (a, b):
            first = await a.publish("first")
            assert await b.publish("second", at=first - SECOND // 20) == first + 1
            await a.seen.until_count(2)
            assert a.seen.of() == [(first, "first"), (first + 1, "second")]

    run(scenario())


@pytest.mark.parametrize("seconds", [0.5, 3, 31, 60, 3600, 2 * 86400])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_wrong_clock_of_a_server_has_no_effect(server, caplog, seconds, sign):
    """One server's clock is wrong: every server still gets every message, with timestamps of Redis' clock."""
    wrong = round(sign * seconds * SECOND)

    def clock():
        return now() + wrong

    async def scenario():
        async with node(server) as right, node(server, clock=clock) as other:
            for number in range(10):
                await right.publish(f"right {number}")
                await other.publish(f"other {number}", at=clock())
            async with node(server, join=None, clock=clock) as late:
                await late.backplane.join(STREAM, late.backplane.now() - 30 * SECOND)
                expected = [f"{who} {number}" for number in range(10) for who in ("right", "other")]
                for one in (right, other, late):
                    await one.seen.until_count(20)
                    assert one.seen.labels() == expected
                    assert one.seen.of() == right.seen.of()
                    assert all(abs(timestamp - now()) < 5 * SECOND for timestamp, _ in one.seen.of())
            assert abs(other.stats["clock_skew_seconds"] - wrong / SECOND) < 0.1
            assert abs(right.stats["clock_skew_seconds"]) < 0.1
            assert 0 <= other.stats["lag_seconds"] < 1

    run(scenario())
    told = [record.getMessage() for record in caplog.records if "Redis', which gives" in record.getMessage()]
    assert len(told) == (2 if seconds > 1 else 0)  # logged once by each of the two servers with a wrong clock
    assert all(("ahead of" if sign > 0 else "behind") in text for text in told)


def test_a_server_that_began_without_redis_takes_over_its_clock(tmp_path):
    """It joins by its own clock, which is an hour off, before Redis is reachable."""

    def clock():
        return now() - 3600 * SECOND

    async def scenario(server):
        async with node(server, join=None, clock=clock) as early:
            await early.backplane.join(STREAM, clock() - 30 * SECOND)
            await asyncio.to_thread(server.start)
            await early.until_up()
            async with node(server) as other:
                await other.publish("there")
                await early.seen.until_count(1)
                await early.publish("here", at=clock())
                await other.seen.until_count(2)
                assert early.seen.of() == other.seen.of()

    with redis_server(tmp_path) as server:
        server.kill()
        run(scenario(server))


@each_engine
def test_past_messages_are_delivered_before_new_ones(server):
    async def scenario():
        async with node(server) as a:
            times = [await a.publish(f"m{i}") for i in range(600)]
            async with node(server, join=None) as b:
                reach = await b.backplane.join(STREAM, times[99])
                assert reach == times[99]
                assert b.seen.of() == a.seen.of()[100:]
                await a.publish("live")
                await b.seen.until_count(501)
                assert b.seen.of() == a.seen.of()[100:]

    run(scenario())


@each_engine
def test_joining_while_messages_come_leaves_no_gap(server):
    async def scenario():
        async with node(server) as a:
            done = asyncio.Event()

            async def publish():
                i = 0
                while not done.is_set():
                    await a.publish(f"m{i}")
                    i += 1

            publishing = asyncio.create_task(publish())
            await a.seen.until_count(20)
            for _ in range(10):
                async with node(server, join=None) as b:
                    since = a.seen.of()[-10][0]
                    await b.backplane.join(STREAM, since)
                    assert len(b.seen.of()) >= 9
                    await b.seen.until_count(30)
                    end = len(b.seen.of())
                    start = a.seen.of().index(b.seen.of()[0])
                    assert a.seen.of()[start - 1][0] == since
                    await a.seen.until_count(start + end)
                    assert b.seen.of()[:end] == a.seen.of()[start : start + end]
            done.set()
            await publishing

    run(scenario())


@pytest.mark.alone
def test_a_stream_is_joined_at_once_while_the_reader_waits(server):
    async def scenario():
        async with nodes(server, 2) as (a, b):
            slowest = 0.0
            for i in range(20):
                begun = time.perf_counter()
                await b.backplane.join(f"ecg/{i}", now())
                await a.publish("m", stream=f"ecg/{i}")
                await b.seen.until_count(1, stream=f"ecg/{i}")
                slowest = max(slowest, time.perf_counter() - begun)
            assert slowest < 0.9, "far below the second for which a read may wait in Redis"

    run(scenario())


# --- while Redis is unreachable ---


async def publish_steadily(one, name, stream, done, interval=0.005):
    """Publish until the event is set; return the timestamps and labels in order."""
    published = []
    while not done.is_set():
        label = f"{name}{len(published)}"
        published.append((await one.publish(label, stream=stream), label))
        await asyncio.sleep(interval)
    return published


@pytest.mark.parametrize(
    "start",
    [partial(redis_server, keeps=True), redis_server, nats_server],
    ids=["comes back full", "comes back empty", "nats"],
)
def test_a_killed_engine_loses_no_message(tmp_path, start):
    async def scenario(server):
        async with nodes(server, 2) as (a, b):
            for one in (a, b):
                for stream in ("a", "b", "both"):
                    await one.backplane.join(stream, now())
            done = asyncio.Event()
            async with asyncio.TaskGroup() as publishing:
                tasks = {
                    stream: publishing.create_task(publish_steadily(one, name, stream, done))
                    for stream, one, name in (("a", a, "a"), ("b", b, "b"))
                }
                shared = [publishing.create_task(publish_steadily(one, one.name, "both", done)) for one in (a, b)]
                for _ in range(2):
                    await a.seen.until_count(len(a.seen.of("b")) + 20, "b")
                    server.kill()
                    await a.until_up(False)
                    await b.until_up(False)
                    await a.seen.until_count(len(a.seen.of("a")) + 20, "a")
                    await b.seen.until_count(len(b.seen.of("b")) + 20, "b")
                    await asyncio.to_thread(server.start)
                    await a.until_up()
                    await b.until_up()
                done.set()
            for stream, publishing in tasks.items():
                published = publishing.result()
                for one in (a, b):
                    await one.seen.until_count(len(published), stream)
                    assert one.seen.of(stream) == published, "the same order and the same timestamps"
            together = [label for task in shared for _, label in task.result()]
            for one in (a, b):
                await one.seen.until_count(len(together), "both")
                assert sorted(one.seen.labels("both")) == sorted(together)
                assert one.stats["lost_total"] == 0

    if start is nats_server:
        optional("nats")
    with start(tmp_path) as server:
        run(scenario(server))


def test_an_empty_redis_gets_its_messages_again(server):
    async def scenario():
        async with node(server) as a:
            times = [await a.publish(f"m{i}") for i in range(300)]
            await a.until(lambda stats: not stats["outbox_frames"])
            server.kill()
            await a.until_up(False)
            await asyncio.to_thread(server.start)
            await a.until_up()
            assert a.stats["rewritten_total"] == 300
            async with node(server, join=None) as b:
                assert await b.backplane.join(STREAM, times[0]) == times[0]
                assert b.seen.of() == a.seen.of()[1:]

    run(scenario())


def test_messages_written_late_to_an_empty_redis_are_read(server):
    async def scenario():
        async with (
            holding_proxy(server.port) as proxy,
            node(server) as reader,
            node(proxy, patience=0.2) as late,
        ):
            proxy.hold_answers()
            await late.publish("kept for later")
            async with node(server) as a:
                await a.publish("read by all")
                await reader.seen.until_count(1)
            server.kill()
            await proxy.cut()
            await asyncio.to_thread(server.start)
            await reader.seen.until_count(2)
            assert reader.seen.labels() == ["read by all", "kept for later"]

    run(scenario())


@each_engine
def test_a_message_that_two_servers_deliver_in_different_orders(server):
    async def scenario():
        async with proxy_of(server) as proxy, node(proxy, patience=5) as a, node(server, patience=5) as b:
            proxy.hold_answers()
            await proxy.cut(release=False)
            alone = await a.publish("alone")
            later = await b.publish("later", at=now() + SECOND // 20)  # the servers' clocks agree less well than that
            proxy.release()
            await a.seen.until_count(2)
            await b.seen.until_count(2)
            assert a.seen.of() == [(alone, "alone"), (later, "later")]
            assert b.seen.of() == [(later, "later"), (later + 1, "alone")]
            await a.until(lambda stats: stats["restamped_total"] == 1)  # b reads the message before a gets its answer

    run(scenario())


def test_timestamps_continue_from_the_last_one_if_the_clock_is_late(server, monkeypatch):
    monkeypatch.setattr("ecgframe.server.redis.clock.TOLERANCE", 60 * SECOND)  # or the timestamps would be corrected

    async def scenario():
        async with node(server) as a:
            async with node(server) as b:
                ahead = await b.publish("ahead", at=now() + 20 * SECOND)
                await a.seen.until_count(1)
            server.kill()
            await a.until_up(False)
            await asyncio.to_thread(server.start)
            await a.until_up()
            assert await a.publish("now", at=ahead - SECOND) == ahead + 1
            async with node(server) as c:
                assert c.seen.of() == [(ahead + 1, "now")]

    run(scenario())


@pytest.mark.parametrize("start", [partial(redis_server, keeps=True), nats_server], ids=list(ENGINES))
def test_past_messages_are_not_delivered_after_newer_ones(tmp_path, start):
    async def scenario(server):
        async with node(server) as a:
            await a.publish("past")
        server.kill()
        async with node(server) as b:
            await b.publish("newer")
            await asyncio.to_thread(server.start)
            await b.until_up()
            async with node(server) as c:
                await c.publish("newest")
                await b.seen.until_count(2)
                assert b.seen.labels() == ["newer", "newest"]
                assert c.seen.labels() == ["past", "newer", "newest"]

    if start is nats_server:
        optional("nats")
    with start(tmp_path) as server:
        run(scenario(server))


@pytest.mark.parametrize("start", ENGINES.values(), ids=list(ENGINES))
def test_without_the_engine_from_the_start(tmp_path, start):
    async def scenario(server):
        async with nodes(server, 2) as (a, b):
            assert await a.backplane.join("other", 17) == 17
            published = [(await a.publish(f"m{i}"), f"m{i}") for i in range(20)]
            assert a.seen.of() == published
            assert a.stats["outbox_frames"] == 20
            assert not a.stats["up"]
            await asyncio.to_thread(server.start)
            await b.seen.until_count(20)
            assert b.seen.of() == published
            await a.until(lambda stats: stats["up"] and not stats["outbox_frames"])
            assert a.stats["outbox_bytes"] == a.stats["reconnections_total"] == 0
            assert a.seen.of() == published

    if start is nats_server:
        optional("nats")
    with start(tmp_path, started=False) as server:
        run(scenario(server))


@pytest.mark.alone
@each_engine
def test_a_hanging_redis_does_not_hold_up_local_viewers(server):
    async def scenario():
        async with nodes(server, 2, patience=0.3) as (a, b):
            await a.until_up()
            await b.until_up()
            await a.publish("before")
            await a.until_up()
            server.stop()
            begun = time.perf_counter()
            await a.publish("first")
            assert 0.2 < time.perf_counter() - begun < 2
            begun = time.perf_counter()
            for i in range(100):
                await a.publish(f"m{i}")
            assert time.perf_counter() - begun < 1
            await b.publish("from the other")
            server.go_on()
            for one in (a, b):
                await one.until_up()
                await one.seen.until_count(103)
            await a.publish("after")
            await b.seen.until_count(104)
            assert sorted(a.seen.labels()) == sorted(b.seen.labels())
            assert len(set(a.seen.labels())) == 104
            assert [m for m in b.seen.labels() if m.startswith("m")] == [f"m{i}" for i in range(100)]

    run(scenario())


@each_engine
def test_a_write_whose_answer_is_lost_is_written_once(server):
    async def scenario():
        async with proxy_of(server) as proxy, node(proxy) as a, node(server) as b:
            for i in range(5):
                await a.publish(f"before{i}")
                await a.until(lambda stats: not stats["outbox_frames"])
                proxy.hold_answers()
                publishing = asyncio.create_task(a.publish(f"m{i}"))
                await b.seen.until(lambda seen, label=f"m{i}": label in seen.labels())
                await proxy.cut()
                await publishing
                await a.until_up()
            expected = [f"{kind}{i}" for i in range(5) for kind in ("before", "m")]
            assert a.seen.labels() == b.seen.labels() == expected
            assert a.seen.of() == b.seen.of()
            async with node(server) as c:
                assert c.seen.of() == a.seen.of(), "each is kept once"

    run(scenario())


@pytest.mark.alone
@pytest.mark.parametrize("silent", [b"XREAD", b"EVALSHA"])
def test_one_silent_connection_makes_redis_unreachable(server, silent):
    async def scenario():
        async with holding_proxy(server.port) as proxy, node(proxy, patience=0.2) as a, node(server) as b:
            await a.publish("before")
            await a.until(lambda stats: not stats["outbox_frames"])
            proxy.hold_answers(to=silent)
            begun = time.perf_counter()
            await a.publish("alone")
            assert time.perf_counter() - begun < 0.9, "not the second for which a read may wait in Redis"
            await a.until_up(False)
            await proxy.cut()
            await a.until_up()
            await a.publish("after")
            await b.seen.until_count(3)
            assert a.seen.of() == b.seen.of()
            assert a.seen.labels() == ["before", "alone", "after"]

    run(scenario())


def test_connections_cut_at_random(server):
    chance = random.Random(5)

    async def scenario():
        async with nodes(server, 3) as members, redis.Redis.from_url(server.url) as direct:
            done = asyncio.Event()
            async with asyncio.TaskGroup() as publishing:
                tasks = [
                    publishing.create_task(publish_steadily(one, one.name, STREAM, done, 0.001)) for one in members
                ]
                for _ in range(15):
                    await asyncio.sleep(chance.random() * 0.1)
                    clients = [client["id"] for client in await direct.client_list() if client["cmd"] != "client|list"]
                    for client in chance.sample(clients, min(len(clients), 2)):
                        await direct.execute_command("CLIENT", "KILL", "ID", client)
                done.set()
            together = sorted(label for task in tasks for _, label in task.result())
            for one in members:
                await one.until_up()
                await one.seen.until_count(len(together))
                assert sorted(one.seen.labels()) == together
                for other in members:
                    own = [label for label in one.seen.labels() if label.startswith(other.name)]
                    assert own == [f"{other.name}{i}" for i in range(len(own))]

    run(scenario())


@each_engine
def test_messages_dropped_from_the_outbox_are_lost_to_other_servers_only(server, caplog):
    async def scenario():
        size = len(frame("m000"))
        async with nodes(server, 2, outbox_bytes=50 * size) as (a, b):
            server.kill()
            await a.until_up(False)
            for i in range(200):
                await a.publish(f"m{i:03}")
            assert len(a.seen.of()) == 200
            assert a.stats["outbox_frames"] == 50
            assert a.stats["outbox_bytes"] <= 50 * size
            assert a.stats["lost_total"] == 150
            await asyncio.to_thread(server.start)
            await b.seen.until_count(50)
            assert b.seen.of() == a.seen.of()[150:]

    run(scenario())
    told = " is full: its oldest messages will not reach other servers"
    assert len([record for record in caplog.records if record.message.endswith(told)]) == 1


@each_engine
def test_messages_that_are_too_old_are_lost_to_other_servers_only(server):
    async def scenario():
        async with nodes(server, 2, seconds=0.2) as (a, b):
            server.kill()
            await a.until_up(False)
            await a.publish("old")
            await asyncio.sleep(0.3)
            await a.publish("new")
            assert a.stats["lost_total"] == 1
            await asyncio.to_thread(server.start)
            await b.seen.until_count(1)
            assert b.seen.labels() == ["new"]

    run(scenario())


@pytest.mark.parametrize("setting", [("maxmemory", "1", "0"), ("min-replicas-to-write", "1", "0")])
def test_a_redis_that_refuses_all_writes_counts_as_unreachable(server, setting):
    name, refusing, taking = setting

    async def scenario():
        async with nodes(server, 2) as (a, b), redis.Redis.from_url(server.url) as direct:
            await a.publish("before")
            await direct.config_set(name, refusing)
            for i in range(20):
                await a.publish(f"m{i}")
            assert not a.stats["up"]
            await direct.config_set(name, taking)
            await b.seen.until_count(21)
            assert b.seen.of() == a.seen.of()
            assert a.stats["lost_total"] == 0

    run(scenario())


def test_messages_that_redis_drops_before_they_are_read_are_delivered(server):
    async def scenario():
        async with node(server, patience=0.2) as a, redis.Redis.from_url(server.url) as direct:
            done = asyncio.Event()
            async with asyncio.TaskGroup() as publishing:
                tasks = {
                    stream: publishing.create_task(publish_steadily(a, stream, stream, done, 0)) for stream in "abcdef"
                }
                for _ in range(300):
                    await direct.flushall()
                done.set()
            for stream, task in tasks.items():
                assert a.seen.of(stream) == task.result()

    run(scenario())


# --- what else is in Redis ---


def key(stream):
    return f"ecgframe:stream:{stream}"


BROKEN = {
    "nothing of ours": {"x": "y"},
    "no frame": {"o": "someone", "n": 1},
    "no number": {"o": "someone", "f": frame("x")},
    "an odd number": {"o": "someone", "n": "one", "f": frame("x")},
    "no origin": {"n": 1, "f": frame("x")},
    "a torn frame": {"o": "someone", "n": 1, "f": frame("x")[:-1]},
    "a damaged frame": {"o": "someone", "n": 1, "f": frame("x")[:-1] + b"?"},
    "an older frame": {"o": "someone", "n": 1, "f": Codec(version=2).encode(MessageType.PING, None)},
    "two frames": {"o": "someone", "n": 1, "f": frame("x") * 2},
    "an empty frame": {"o": "someone", "n": 1, "f": b""},
}


def test_foreign_entries_are_skipped(server, caplog):
    async def scenario():
        async with node(server) as a, redis.Redis.from_url(server.url) as direct:
            for i, fields in enumerate(BROKEN.values()):
                await a.publish(f"m{i}")
                await direct.xadd(key(STREAM), fields, id=f"{a.seen.of()[-1][0]}-7")
            await a.publish("last")
            async with node(server) as b:
                for one in (a, b):
                    assert one.seen.labels() == [*(f"m{i}" for i in range(len(BROKEN))), "last"]
                    assert one.stats["refused_total"] == len(BROKEN)
                    assert one.stats["up"]

    run(scenario())
    warnings = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 2, "one for each server"
    assert f"of stream {STREAM!r}: it has no field b'o'" in warnings[0]


def test_a_stream_with_the_latest_timestamp_stays_on_each_server(server, caplog):
    async def scenario():
        async with nodes(server, 2) as (a, b), redis.Redis.from_url(server.url) as direct:
            await direct.xadd(key(STREAM), {"o": "someone", "n": 1, "f": frame("x")}, id=f"{2**64 - 1}-{2**64 - 1}")
            for i in range(3):
                await a.publish(f"m{i}")
            assert a.seen.labels() == ["m0", "m1", "m2"]
            assert a.stats["lost_total"] == 3
            await a.publish("elsewhere", stream="other")
            await b.backplane.join("other", now() - SECOND)
            assert b.seen.labels("other") == ["elsewhere"]
            assert a.stats["up"]
            assert b.stats["up"]

    run(scenario())
    assert f"stream {STREAM!r}: its timestamp {2**64 - 1} is after the year 2255" in caplog.text


def test_a_key_of_another_type_does_not_affect_other_streams(server, caplog):
    async def scenario():
        async with nodes(server, 2) as (a, b), redis.Redis.from_url(server.url) as direct:
            await direct.set(key("taken"), "by something else")
            await a.backplane.join("taken", now())
            assert await a.publish("here", stream="taken")
            assert a.seen.labels("taken") == ["here"]
            await a.publish("m")
            await b.seen.until_count(1)
            assert a.stats["up"]
            await direct.delete(key(STREAM))
            await direct.set(key(STREAM), "by something else")
            await a.publish("here")
            assert a.seen.labels() == ["m", "here"]

    run(scenario())
    assert "its key in Redis holds something other than a stream" in caplog.text


def test_the_memory_in_redis_is_bounded(server):
    async def scenario():
        async with (
            node(server, seconds=60, max_bytes=40_000) as a,
            node(server, join=None) as b,
            redis.Redis.from_url(server.url) as direct,
        ):
            size = len(frame("m000"))
            begun = now()
            for i in range(1000):
                await a.publish(f"m{i:03}")
            node_bytes = 4096  # Redis drops whole nodes only, and preallocates memory in the current one
            assert await direct.memory_usage(key(STREAM)) < 40_000 + 2 * node_bytes
            kept = await direct.xlen(key(STREAM))
            assert 100 < kept < 50_000 / size
            reach = await b.backplane.join(STREAM, begun)
            assert b.seen.of() == a.seen.of()[-kept:]
            assert reach == b.seen.of()[0][0] - 1, "earlier messages are missing"
        async with (
            node(server, seconds=0.4, max_bytes=40_000) as a,
            redis.Redis.from_url(server.url) as direct,
        ):
            await direct.flushdb()
            for i in range(300):
                await a.publish(f"m{i:03}")
            await asyncio.sleep(0.5)
            await a.publish("now")
            assert await direct.xlen(key(STREAM)) < 100, "whole nodes of the stream are dropped"
            async with asyncio.timeout(10):
                while await direct.keys("*stream*") or await direct.keys("*mark*"):
                    await asyncio.sleep(0.05)

    run(scenario())


@each_engine
def test_how_far_redis_reaches_back(server):
    async def scenario():
        async with node(server, join=None) as a:
            begun = now()
            reach = await a.backplane.join("silent", begun - 100 * SECOND)
            assert begun - 30.1 * SECOND <= reach <= now() - 29 * SECOND
            assert await a.backplane.join("quiet", begun) == begun
            await a.publish("m", stream="quiet")
            async with node(server, join=None) as b:
                assert await b.backplane.join("quiet", begun) == begun
                assert b.seen.labels("quiet") == ["m"]

    run(scenario())


# --- joining, leaving, opening, closing ---


@each_engine
def test_a_stream_that_was_left_is_not_delivered(server):
    async def scenario():
        async with nodes(server, 2) as (a, b):
            await b.backplane.join("other", now())
            await a.publish("m0")
            await b.seen.until_count(1)
            b.backplane.leave(STREAM)
            b.backplane.leave("never joined")
            await a.publish("m1")
            await a.publish("mark", stream="other")
            await b.seen.until_count(1, "other")
            assert b.seen.labels() == ["m0"]
            await b.backplane.join(STREAM, b.seen.of()[-1][0])
            assert b.seen.labels() == ["m0", "m1"]
            assert b.stats["streams"] == 2

    run(scenario())


@each_engine
def test_leaving_while_publishing_loses_nothing(server):
    async def scenario():
        async with node(server) as a:
            for i in range(50):
                publishing = asyncio.create_task(a.publish(f"m{i}"))
                for _ in range(i % 5):
                    await asyncio.sleep(0)
                a.backplane.leave(STREAM)
                await publishing
            assert a.seen.labels() == [f"m{i}" for i in range(50)]
            a.backplane.leave(STREAM)
            assert a.stats["streams"] == 0

    run(scenario())


@each_engine
def test_joining_again_does_nothing(server):
    async def scenario():
        async with node(server) as a:
            await a.publish("m")
            await asyncio.gather(*(a.backplane.join(STREAM, 0) for _ in range(5)))
            assert a.seen.labels() == ["m"]

    run(scenario())


@each_engine
def test_a_cancelled_publish_is_still_a_publish(server):
    async def scenario():
        async with nodes(server, 2) as (a, b):
            publishing = asyncio.create_task(a.publish("m"))
            await asyncio.sleep(0)
            publishing.cancel()
            await asyncio.gather(publishing, return_exceptions=True)
            await b.seen.until_count(1)
            await a.seen.until_count(1)
            assert a.seen.of() == b.seen.of()

    run(scenario())


def test_closing_writes_waiting_messages_and_leaves_no_tasks(server):
    async def scenario():
        before = asyncio.all_tasks()
        async with node(server) as b, redis.Redis.from_url(server.url) as direct:
            own = len(await direct.client_list())
            async with node(server, patience=30) as a:
                assert len(await direct.client_list()) == own + 2
                publishing = [asyncio.create_task(a.publish(f"m{i}")) for i in range(500)]
                await asyncio.sleep(0)
            await asyncio.gather(*publishing)
            assert a.seen.labels() == [f"m{i}" for i in range(500)]
            await b.seen.until_count(500)
            assert b.seen.labels() == a.seen.labels()
            async with asyncio.timeout(5):
                while len(await direct.client_list()) != own:
                    await asyncio.sleep(0.01)
            await a.backplane.close()
            with pytest.raises(RuntimeError, match="not open"):
                await a.publish("too late")
            with pytest.raises(RuntimeError, match="make another one"):
                await a.backplane.open(a.seen)
        assert asyncio.all_tasks() == before

    run(scenario())


def test_an_idle_backplane_asks_once_a_second(server):
    async def scenario():
        async with node(server) as a, redis.Redis.from_url(server.url) as direct:
            await a.publish("m")
            await a.backplane.join("other", now())
            await direct.config_resetstat()
            await asyncio.sleep(1.5)
            calls = (await direct.info("commandstats"))["cmdstat_xread"]["calls"]
            assert calls <= 3

    run(scenario())


@each_engine
def test_closing_while_redis_hangs(server, caplog):
    async def scenario():
        before = asyncio.all_tasks()
        async with node(server, patience=0.2) as a:
            await a.publish("m")
            server.stop()
            publishing = asyncio.create_task(a.publish("n"))
            await asyncio.sleep(0)
        assert await publishing
        assert a.seen.labels() == ["m", "n"]
        assert asyncio.all_tasks() == before
        assert (a.stats["lost_total"], a.stats["outbox_frames"]) == (1, 0)
        assert "closed with 1 message that other servers will not get" in caplog.text
        server.go_on()

    run(scenario())


@each_engine
def test_messages_that_wait_for_redis_when_the_server_closes_are_reported(server, caplog):
    async def scenario():
        async with node(server) as a:
            await a.publish("for all")
            server.kill()
            await a.until_up(False)
            for i in range(3):
                await a.publish(f"m{i}")
            assert a.stats["lost_total"] == 0, "they would be written if it came back"
        assert (a.stats["lost_total"], a.stats["outbox_frames"], a.stats["outbox_bytes"]) == (3, 0, 0)
        assert "closed with 3 messages that other servers will not get" in caplog.text
        await a.backplane.close()
        assert a.stats["lost_total"] == 3

    run(scenario())


@pytest.mark.slow
@each_engine
def test_closing_takes_as_long_as_messages_are_written(server):
    number = 1_000 if server.url.startswith("redis") else 6  # JetStream takes one at a time

    async def scenario():
        async with proxy_of(server) as proxy, node(server) as b:
            async with node(proxy, patience=1) as a:
                await a.publish("first")
                proxy.delay = 0.3
                publishing = [asyncio.create_task(a.publish(f"m{i}")) for i in range(number)]
                await asyncio.sleep(0)
                closing = time.monotonic()
            assert time.monotonic() - closing > 1, "more than one answer took"
            await asyncio.gather(*publishing)
            await b.seen.until_count(1 + number)
            assert b.seen.labels() == a.seen.labels() == ["first", *(f"m{i}" for i in range(number))]
            assert a.stats["lost_total"] == 0

    run(scenario())


def test_a_client_can_be_passed_instead_of_a_url(server):
    async def scenario():
        from ecgframe.server.redis import RedisBackplane

        given = redis.Redis(port=server.port, protocol=3, decode_responses=True, db=3)
        async with given, AsyncExitStack() as stack:
            backplanes = [RedisBackplane(given, prefix="mine:") for _ in range(2)]
            heard = [Seen(), Seen()]
            for backplane, seen in zip(backplanes, heard, strict=True):
                await backplane.open(seen)
                stack.push_async_callback(backplane.close)
                await backplane.join(STREAM, now())
            await backplanes[0].publish(STREAM, now(), codec.verify(frame("m")))
            await heard[1].until_count(1)
            assert set(await given.keys("*")) >= {"mine:stream:" + STREAM}

    run(scenario())


@pytest.mark.parametrize("scheme", ["http://localhost", "localhost:6379", ""])
def test_an_invalid_url(scheme):
    from ecgframe.server.redis import RedisBackplane

    with pytest.raises(ValueError, match="redis://"):
        RedisBackplane(scheme)


@pytest.mark.parametrize("name", ["seconds", "max_bytes", "outbox_bytes", "patience"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_bounds_are_positive_numbers(name, value):
    from ecgframe.server.redis import RedisBackplane

    with pytest.raises(ValueError, match=f"{name} is a finite number above 0"):
        RedisBackplane("redis://localhost", **{name: value})


def test_without_redis_py(monkeypatch):
    for name in list(sys.modules):
        if name.startswith("ecgframe.server.redis"):
            monkeypatch.delitem(sys.modules, name)
    uninstall(monkeypatch, "redis")
    with pytest.raises(MissingLibrary, match=r'the Redis backplane needs redis.*pip install "ecgframe\[redis\]"'):
        import ecgframe.server.redis  # noqa: F401
