"""Version 4 over a real Redis: numbers, templates and records on two servers, whatever happens to Redis."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager

import numpy as np
import pytest
from recordings import optional
from running import run
from server.numbered_viewer import ALL, numbered_viewer
from server.redis_server import redis_server

from ecgframe import MessageType
from ecgframe.server import WebSocketBinaryHandler
from ecgframe.session import Settings

pytestmark = pytest.mark.slow

redis = optional("redis.asyncio")

STREAM = "ecg/bed-7"
FIELDS = {"sampling_rate": 500, "leads": ["I", "II", "III"], "units": "mV", "gain": 200}
V3 = {"versions": (1, 2, 3)}


@pytest.fixture
def server(tmp_path):
    with redis_server(tmp_path) as running:
        yield running


@pytest.fixture
def lasting_server(tmp_path):
    with redis_server(tmp_path, keeps=True) as running:
        yield running


def ecg(n, **fields):
    """The nth message of a stream: 3 leads of 25 samples."""
    one = np.cumsum(np.random.default_rng(n).integers(-9, 10, 25)).astype("int16")
    two = np.cumsum(np.random.default_rng(-n % 99991).integers(-9, 10, 25)).astype("int16")
    return {
        "signal": np.stack([one, two, two - one]),
        "timestamp": 1705314645 + n / 20,
        "sequence": n,
        **FIELDS,
        **fields,
    }


def same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert np.array_equal(np.asarray(found[name]), np.asarray(value)), name


class Server:
    """A handler with a Redis backplane."""

    def __init__(self, handler, backplane):
        self.handler = handler
        self.backplane = backplane

    async def publish(self, n, **fields):
        return await self.handler.publish(STREAM, MessageType.ECG_DATA, ecg(n, **fields))

    async def until_up(self, up=True):
        async with asyncio.timeout(20):
            while self.backplane.stats()["up"] is not up:
                await asyncio.sleep(0.01)


async def everything(*_):
    """All may subscribe and publish."""
    return True


@asynccontextmanager
async def numbered(redis, *, version=4, versions=ALL, **settings):
    from ecgframe.server.redis import RedisBackplane

    backplane = RedisBackplane(redis.url, version=version, **{"patience": 10.0, **settings})
    handler = WebSocketBinaryHandler(settings=Settings(versions=versions), backplane=backplane, authorize=everything)
    async with handler:
        yield Server(handler, backplane)


@asynccontextmanager
async def two_servers(redis, **settings):
    async with numbered(redis, **settings) as one, numbered(redis, **settings) as other:
        yield one, other


async def until(condition, *viewers):
    async with asyncio.timeout(25):
        while True:
            for viewer in viewers:
                viewer.talk()
            if condition():
                return
            await asyncio.sleep(0.002)


def sequences(viewer):
    return [message.data.get("sequence") for message in viewer.received]


# --- two servers, one numbering ---


def test_viewers_on_two_servers_get_the_same_numbers(server):
    async def scenario():
        async with (
            two_servers(server) as (a, b),
            numbered_viewer(a.handler) as here,
            numbered_viewer(b.handler) as there,
            numbered_viewer(b.handler, **V3) as old,
        ):
            answers = [await viewer.subscribe(STREAM) for viewer in (here, there)]
            await old.subscribe(STREAM)
            for n in range(20):
                await (a, b)[n % 2].publish(n)
            everyone = here, there, old
            await until(lambda: all(len(viewer.received) == 20 for viewer in everyone), *everyone)
            assert answers[0].epoch == answers[1].epoch
            assert {answer.next for answer in answers} == {1}
            assert here.numbers == there.numbers == list(range(1, len(here.numbers) + 1))
            for viewer in everyone:
                for n, message in enumerate(viewer.received):
                    same(message.data, {**ecg(n), "stream": STREAM})
            assert sum(bool(message.form) for message in there.received) >= 15
            assert not any(viewer.errors for viewer in everyone)

    run(scenario())


def test_a_viewer_resumes_by_number_on_the_other_server(server):
    async def scenario():
        async with two_servers(server) as (a, b):
            async with numbered_viewer(a.handler) as viewer:
                answer = await viewer.subscribe(STREAM)
                for n in range(10):
                    await a.publish(n)
                await viewer.until(lambda: len(viewer.received) == 10)
                last = viewer.numbers[-1]
            for n in range(10, 20):
                await a.publish(n)
            async with numbered_viewer(b.handler) as viewer:
                again = await viewer.subscribe(STREAM, epoch=answer.epoch, after=last)
                assert (again.epoch, again.next) == (answer.epoch, last + 1)
                await until(lambda: len(viewer.received) == 10, viewer)
                assert sequences(viewer) == list(range(10, 20))
                assert viewer.numbers == list(range(last + 1, last + 11))
                assert not viewer.errors

    run(scenario())


def test_a_server_that_joins_later_has_the_templates_and_the_numbers(server):
    async def scenario():
        async with numbered(server) as a, numbered_viewer(a.handler) as viewer:
            answer = await viewer.subscribe(STREAM)
            for n in range(10):
                await a.publish(n)
            await viewer.until(lambda: len(viewer.received) == 10)
            await a.publish(10)
            await viewer.until(lambda: len(viewer.received) == 11)
            async with redis.from_url(server.url) as client:
                await client.xtrim(f"ecgframe:stream:{STREAM}", maxlen=1, approximate=False)  # the template is gone
            async with numbered(server) as b, numbered_viewer(b.handler) as there:
                found = await there.subscribe(STREAM)
                assert (found.epoch, found.next) == (answer.epoch, viewer.numbers[-1] + 1)
                await a.publish(11)
                await b.publish(12)
                await until(lambda: len(there.received) == 2, there, viewer)
                assert sequences(there) == [11, 12]
                assert all(message.form for message in there.received)
                assert viewer.numbers == list(range(1, found.next + 2))
                async with numbered_viewer(b.handler) as lacking:
                    again = await lacking.subscribe(STREAM, epoch=answer.epoch, after=3)
                    assert again.next == 12  # of twelve messages, the latest is left
                    await until(lambda: sequences(lacking)[-1:] == [12], lacking)
                    assert not lacking.errors

    run(scenario())


def test_templates_of_two_servers_have_numbers_of_their_own(server):
    async def scenario():
        async with two_servers(server) as (a, b), numbered_viewer(b.handler) as viewer:
            await viewer.subscribe(STREAM)
            for n in range(24):
                await asyncio.gather(a.publish(n, gain=1 + n % 3), b.publish(n, gain=11 + n % 3))
            await until(lambda: len(viewer.received) == 48, viewer)
            templates = [event.message.data for event in viewer.events if hasattr(event, "message")]
            names = [each["template"] for each in templates if "template" in each]
            assert sorted(names) == sorted(set(names))
            assert len(names) == 6
            for message in viewer.received:
                same(message.data, {**ecg(message.data["sequence"], gain=message.data["gain"]), "stream": STREAM})
            assert sum(bool(message.form) for message in viewer.received) >= 30
            assert not viewer.errors

    run(scenario())


def test_exact_samples_arrive_on_the_other_server(server):
    async def scenario():
        async with two_servers(server) as (a, b), AsyncExitStack() as stack:
            viewers = [await stack.enter_async_context(numbered_viewer(b.handler, **settings)) for settings in ({}, V3)]
            for viewer in viewers:
                await viewer.subscribe(STREAM)
            published = [ecg(n, signal=ecg(n)["signal"] * 4.88 / 1000) for n in range(8)]
            for data in published:
                await a.handler.publish(STREAM, MessageType.ECG_DATA, data, samples="exact")
            await until(lambda: all(len(viewer.received) == 8 for viewer in viewers), *viewers)
            for viewer in viewers:
                for message, data in zip(viewer.received, published, strict=True):
                    same(message.data, {**data, "stream": STREAM})
            assert sum(bool(message.form) for message in viewers[0].received) >= 6

    run(scenario())


def test_alerts_and_broadcasts_reach_the_viewers_of_both_servers(server):
    async def scenario():
        async with two_servers(server) as (a, b), numbered_viewer(b.handler) as viewer:
            await viewer.subscribe(STREAM)
            await a.handler.publish(STREAM, MessageType.ANOMALY_ALERT, {"kind": "pause", "timestamp": 1.5})
            await a.handler.broadcast(MessageType.FEATURE_DATA, {"features": {"hr": 60}})
            await until(lambda: len(viewer.received) == 2, viewer)
            by_type = {message.type: message for message in viewer.received}
            assert by_type[MessageType.ANOMALY_ALERT].sequence == 1
            assert not by_type[MessageType.FEATURE_DATA].sequence

    run(scenario())


# --- upgrading a fleet ---


def test_servers_that_only_read_version_4_number_what_they_write(server):
    async def scenario():
        async with (
            numbered(server, version=3) as first,
            numbered(server) as second,
            numbered_viewer(first.handler, **V3) as old,
            numbered_viewer(second.handler) as new,
        ):
            await old.subscribe(STREAM)
            answer = await new.subscribe(STREAM)
            for n in range(20):
                await (first, second)[n % 2].publish(n)
            await until(lambda: len(old.received) == len(new.received) == 20, old, new)
            for viewer in (old, new):
                for n, message in enumerate(viewer.received):
                    same(message.data, {**ecg(n), "stream": STREAM})
            assert new.numbers == list(range(1, len(new.numbers) + 1))
            assert [one.epoch for one in new.answers] == [answer.epoch]
            kinds = [bool(message.form & 4) for message in new.received]
            assert not any(kinds[::2])
            assert sum(kinds[1::2]) >= 7
            assert second.backplane.stats()["refused_total"] == first.backplane.stats()["refused_total"] == 0

    run(scenario())


def test_version_4_is_offered_from_the_second_step_on(server, caplog):
    from ecgframe.server.redis import RedisBackplane

    async def offered(**options):
        handler = WebSocketBinaryHandler(backplane=RedisBackplane(server.url, **options))
        async with handler, numbered_viewer(handler) as viewer:
            return viewer.session.version

    caplog.set_level("INFO", "ecgframe.server")
    assert run(offered()) == 3
    assert "RedisBackplane(version=4) does, once every server that shares Redis can read it" in caplog.text
    assert run(offered(version=4)) == 4
    with pytest.raises(ValueError, match=r"RedisBackplane\(version=4\)"):
        WebSocketBinaryHandler(settings=Settings(versions=(4,)), backplane=RedisBackplane(server.url))
    with pytest.raises(ValueError, match="version is 3 or 4, not 5"):
        RedisBackplane(server.url, version=5)


def test_messages_of_an_earlier_release_are_delivered_in_an_epoch_of_the_server(server):
    async def scenario():
        async with numbered(server) as a, numbered_viewer(a.handler) as viewer:
            first = await viewer.subscribe(STREAM)
            await a.publish(0)
            await viewer.until(lambda: len(viewer.received) == 1)
            async with redis.from_url(server.url) as client:
                [(_, fields)] = await client.xrevrange(f"ecgframe:stream:{STREAM}", count=1)
                from ecgframe import Codec

                frame = Codec(ndarray="binary").encode(MessageType.ECG_DATA, {**ecg(1), "stream": STREAM})
                await client.xadd(
                    f"ecgframe:stream:{STREAM}",
                    {"o": b"x" * 32, "n": 1, "f": frame},
                    id=f"{time.time_ns() // 1000 + 10}-0",
                )
                assert b"p" in fields
            await until(lambda: len(viewer.received) == 2, viewer)
            await a.publish(2)
            await until(lambda: len(viewer.received) == 3, viewer)
            assert sequences(viewer) == [0, 1, 2]
            epochs = [answer.epoch for answer in viewer.answers]
            assert epochs[0] == first.epoch
            assert len(set(epochs)) == len(epochs) >= 2
            assert not viewer.errors

    run(scenario())


@pytest.mark.parametrize("publisher", ["V1", "V3", "V4"])
def test_a_client_publishes_on_one_server_for_viewers_of_all_versions_on_the_other(server, publisher):
    kinds = {"V1": {"versions": (1,)}, "V3": V3, "V4": {}}

    async def scenario():
        async with AsyncExitStack() as stack:
            a, b = await stack.enter_async_context(two_servers(server))
            client = await stack.enter_async_context(numbered_viewer(a.handler, **kinds[publisher]))
            viewers = [
                await stack.enter_async_context(numbered_viewer(each.handler, **kind))
                for kind in kinds.values()
                for each in (a, b)
            ]
            for viewer in viewers:
                await viewer.subscribe(STREAM)
            for n in range(10):
                client.session.send(MessageType.ECG_DATA, {**ecg(n), "stream": STREAM})
                await until(lambda n=n: all(len(viewer.received) == n + 1 for viewer in viewers), client, *viewers)
            for viewer in viewers:
                for n, message in enumerate(viewer.received):
                    same(message.data, {**ecg(n), "stream": STREAM})
                assert not viewer.errors
            by_number = viewers[4:]
            assert len({tuple(viewer.numbers) for viewer in by_number}) == 1
            assert by_number[0].numbers == list(range(1, len(by_number[0].numbers) + 1))
            assert not client.errors

    run(scenario())


# --- when Redis fails ---


async def stopped_for_a_while(server, *servers):
    server.kill()
    for each in servers:
        await each.until_up(False)


async def all_come(viewer, last):
    await until(lambda: sequences(viewer)[-1:] == [last], viewer)


@pytest.mark.parametrize("publishes", [False, True])
def test_an_emptied_redis_begins_another_epoch(server, publishes):
    async def scenario():
        async with (
            two_servers(server, patience=2.0) as (a, b),
            numbered_viewer(a.handler) as here,
            numbered_viewer(b.handler) as there,
        ):
            first = await here.subscribe(STREAM)
            await there.subscribe(STREAM)
            for n in range(5):
                await a.publish(n)
            await until(lambda: len(here.received) == len(there.received) == 5, here, there)
            await stopped_for_a_while(server, a, b)
            if publishes:
                for n in range(5, 10):
                    await a.publish(n)
            await asyncio.to_thread(server.start)
            for each in (a, b):
                await each.until_up()
            for n in range(10, 15):
                await a.publish(n)
            await all_come(here, 14)
            await all_come(there, 14)
            expected = [*range(5), *(range(5, 10) if publishes else ()), *range(10, 15)]
            for viewer in (here, there):
                assert sequences(viewer) == expected
                assert len({answer.epoch for answer in viewer.answers}) == len(viewer.answers) >= 2
                assert not viewer.errors
            assert here.answers[-1].epoch == there.answers[-1].epoch != first.epoch
            assert a.backplane.stats()["epochs_total"] >= 1
            assert a.backplane.stats()["lost_total"] == 0

    run(scenario())


def test_a_redis_that_was_restored_from_an_older_state_uses_no_number_twice(tmp_path):
    async def scenario(server):
        async with numbered(server, patience=2.0) as a, numbered_viewer(a.handler) as viewer:
            first = await viewer.subscribe(STREAM)
            for n in range(5):
                await a.publish(n)
            async with redis.from_url(server.url) as client:
                old = {key: await client.dump(key) for key in await client.keys("ecgframe:*") if b"wake" not in key}
            for n in range(5, 10):
                await a.publish(n)
            await viewer.until(lambda: len(viewer.received) == 10)
            await stopped_for_a_while(server, a)
            await asyncio.to_thread(server.start)
            async with redis.from_url(server.url) as client:
                await client.flushall()
                for key, value in old.items():
                    await client.restore(key, 60_000, value, replace=True)
            await a.until_up()
            for n in range(10, 15):
                await a.publish(n)
            await all_come(viewer, 14)
            assert sequences(viewer) == list(range(15))
            assert viewer.answers[-1].epoch != first.epoch

    with redis_server(tmp_path) as server:
        run(scenario(server))


def test_a_counter_below_what_a_server_knows_begins_another_epoch(server):
    async def scenario():
        async with numbered(server) as a, numbered_viewer(a.handler) as viewer:
            first = await viewer.subscribe(STREAM)
            for n in range(5):
                await a.publish(n)
            async with redis.from_url(server.url) as client:  # as after a failover, without a new connection
                assert int(await client.hget(f"ecgframe:numbers:{STREAM}", "last")) >= 5
                await client.hset(f"ecgframe:numbers:{STREAM}", "last", 3)
            for n in range(5, 10):
                await a.publish(n)
            await all_come(viewer, 9)
            assert sequences(viewer) == list(range(10))
            epochs = {answer.epoch for answer in viewer.answers}
            assert first.epoch in epochs
            assert len(epochs) == 2, "Redis noticed it, before a server read a number twice"
            assert not viewer.errors

    run(scenario())


def test_a_server_that_reads_a_number_again_makes_redis_begin_another_epoch(server):
    async def scenario():
        async with numbered(server) as a, numbered(server) as b, numbered_viewer(b.handler) as viewer:
            await viewer.subscribe(STREAM)
            await a.publish(0)
            await a.publish(1)
            await until(lambda: len(viewer.received) == 2, viewer)
            async with redis.from_url(server.url) as client:
                epoch = (await client.hget(f"ecgframe:numbers:{STREAM}", "epoch")).decode()
                await client.hset(f"ecgframe:numbers:{STREAM}", "last", 0)
                async with numbered(server, version=3) as c:  # it knows no numbers
                    await c.publish(2)
                    await until(lambda: len(viewer.received) == 3, viewer)
                async with asyncio.timeout(20):
                    while (await client.hget(f"ecgframe:numbers:{STREAM}", "epoch")).decode() == epoch:
                        viewer.talk()
                        await asyncio.sleep(0.01)
            await a.publish(3)
            await until(lambda: len(viewer.received) == 4, viewer)
            assert sequences(viewer) == [0, 1, 2, 3]
            assert len({answer.epoch for answer in viewer.answers}) == len(viewer.answers) == 3
            assert not viewer.errors

    run(scenario())


def test_a_lasting_redis_that_restarts_loses_no_message(lasting_server):
    async def scenario():
        async with (
            two_servers(lasting_server, patience=2.0) as (a, b),
            numbered_viewer(b.handler) as viewer,
        ):
            await viewer.subscribe(STREAM)
            for n in range(5):
                await a.publish(n)
            await until(lambda: len(viewer.received) == 5, viewer)
            await stopped_for_a_while(lasting_server, a, b)
            await asyncio.to_thread(lasting_server.start)
            for each in (a, b):
                await each.until_up()
            for n in range(5, 10):
                await a.publish(n)
            await all_come(viewer, 9)
            assert sequences(viewer) == list(range(10))
            assert not viewer.errors

    run(scenario())


def test_a_key_that_holds_something_else_is_told_and_costs_no_message(server, caplog):
    async def scenario():
        async with redis.from_url(server.url) as client:
            await client.set(f"ecgframe:numbers:{STREAM}", "not numbers")
        async with numbered(server) as a, numbered_viewer(a.handler) as viewer:
            await viewer.subscribe(STREAM)
            await a.publish(0)
            await all_come(viewer, 0)
            assert a.backplane.stats()["lost_total"] == 1

    run(scenario())
    assert any("its key" in record.message for record in caplog.records)
