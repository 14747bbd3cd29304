# ruff: noqa: SIM117 - long lists of contexts are harder to read
"""Streams that clients open on servers that share a real Redis: each message once, over whichever server it comes."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from itertools import cycle
from types import SimpleNamespace

import numpy as np
import pytest
from client.cutting_proxy import cutting_proxy
from recordings import optional
from running import run
from server.redis_server import redis_server
from server.test_opened_streams import publishing
from server.test_redis_numbers import until
from server.test_sealed_streams import client, take
from server.test_sealed_streams import serving as listening

from ecgframe import ErrorCode, MessageType, PermissionDenied
from ecgframe.server import WebSocketBinaryHandler
from ecgframe.server.opening import Opening
from ecgframe.server.publisher import Publisher, Verdict
from ecgframe.session import Settings

pytestmark = pytest.mark.slow

optional("redis.asyncio")

STREAM = "ecg/bed-7"
DATA, ALERT = MessageType.ECG_DATA, MessageType.ANOMALY_ALERT
V4 = (1, 2, 3, 4)


@pytest.fixture
def redis(tmp_path):
    with redis_server(tmp_path) as running:
        yield running


@pytest.fixture
def lasting_redis(tmp_path):
    with redis_server(tmp_path, keeps=True) as running:
        yield running


async def everybody(*_):
    return True


@asynccontextmanager
async def node(redis, *, patience=10.0, seconds=30.0, **options):
    """A server that shares a Redis: its handler and its address."""
    from ecgframe.server.redis import RedisBackplane

    backplane = RedisBackplane(redis.url, version=4, patience=patience, seconds=seconds)
    options = {"settings": Settings(versions=V4), "authorize": everybody, **options}
    handler = WebSocketBinaryHandler(backplane=backplane, **options)
    async with listening(handler) as url:
        handler.url = url
        yield handler


def connected(handler, **options):
    return client(handler.url, reconnect_delays=lambda: iter([0.01] * 999), **options)


def ecg(n=0, **fields):
    signal = np.arange(24, dtype="int16").reshape(2, 12) + n
    return {"signal": signal, "sampling_rate": 500, "timestamp": time.time(), **fields}


def first(message):
    return int(message.data["signal"][0, 0])


def drop(client):
    """Break the connection of a client; it comes back."""
    client._reconnecting.connection._websocket.transport.abort()


def test_viewers_on_both_servers_get_the_publishers_numbers(redis):
    async def main():
        async with node(redis) as one, node(redis) as two, connected(one) as source:
            async with connected(one) as here, connected(two) as there:
                async with here.subscribe(STREAM) as near, there.subscribe(STREAM) as far:
                    async with source.publisher(STREAM) as publisher:
                        for n in range(3):
                            await publisher.send(DATA, ecg(n))
                        await publisher.send(ALERT, {"kind": "pause", "timestamp": 1.0}, acknowledged=True)
                    for subscription in (near, far):
                        messages = await take(subscription, 4)
                        assert [first(one) for one in messages if one.type is DATA] == [0, 1, 2]
                        assert [one.form for one in messages if one.type is DATA] == [4] * 3  # records
                        assert sorted(one.sequence for one in messages) == [2, 3, 4, 5]  # and the template
                        assert subscription.stats()["gaps"] == 0

    run(main())


def port_of(handler):
    return int(handler.url.rstrip("/").rpartition(":")[2].partition("/")[0])


def test_a_publisher_goes_on_over_the_other_server(redis):
    async def main():
        async with node(redis) as one, node(redis) as two, connected(one) as here, connected(two) as there:
            async with here.subscribe(STREAM) as near, there.subscribe(STREAM) as far, cutting_proxy(0) as proxy:
                ports = cycle([port_of(one), port_of(two)])
                proxy.targets = [next(ports)]
                source = client(proxy.url, reconnect_delays=lambda: iter([0.01] * 999))
                async with source, source.publisher(STREAM) as publisher:
                    for n in range(60):
                        await publisher.send(DATA, ecg(n))
                        if n % 10 == 9:
                            proxy.targets = [next(ports)]
                            proxy.cut()
                            await asyncio.sleep(0.02)
                    await publisher.flush()
                    assert publisher.lost == 0
                for subscription in (near, far):
                    messages = await take(subscription, 60)
                    assert [first(one) for one in messages] == list(range(60))
                    assert [one.sequence for one in messages] == sorted({one.sequence for one in messages})
                    assert subscription.stats()["gaps"] == 0

    run(main())


def test_a_second_publisher_ends_the_epoch_of_the_first_wherever_it_is(redis):
    async def main():
        async with node(redis) as one, node(redis) as two, connected(one) as viewer:
            async with connected(one) as a, connected(two) as b, viewer.subscribe(STREAM) as subscription:
                former = a.publisher(STREAM)
                await former.send(DATA, ecg(1), acknowledged=True)
                latter = b.publisher(STREAM)
                await latter.send(DATA, ecg(2), acknowledged=True)
                with pytest.raises(PermissionDenied):
                    await former.send(DATA, ecg(3), acknowledged=True)
                await latter.send(DATA, ecg(4), acknowledged=True)
                assert [first(one) for one in await take(subscription, 3)] == [1, 2, 4]
                assert subscription.stats()["gaps"] == 0  # each epoch was told to its end

    run(main())


def test_servers_publish_on_an_opened_stream_without_a_number(redis):
    async def main():
        async with node(redis) as one, node(redis) as two, connected(two) as viewer, connected(one) as source:
            async with viewer.subscribe(STREAM) as subscription, source.publisher(STREAM) as publisher:
                await publisher.send(DATA, ecg(1), acknowledged=True)
                await two.publish(STREAM, DATA, ecg(2))
                await one.publish(STREAM, DATA, ecg(3))
                await publisher.send(DATA, ecg(4), acknowledged=True)
                messages = await take(subscription, 4)
                assert [first(one) for one in messages] == [1, 2, 3, 4]
                assert [one.sequence for one in messages] == [2, 0, 0, 3]
                assert subscription.stats()["gaps"] == 0

    run(main())


def test_a_server_that_comes_later_knows_how_far_a_publisher_has_got(lasting_redis):
    """And what is in the stream, its class and its templates, although both servers before it are gone."""

    async def main():
        async with cutting_proxy(0) as proxy:
            source = client(proxy.url, reconnect_delays=lambda: iter([0.01] * 999))
            async with node(lasting_redis) as one:
                proxy.targets = [port_of(one)]
                await source.__aenter__()
                publisher = source.publisher(STREAM)
                for n in range(3):
                    await publisher.send(DATA, ecg(n), acknowledged=True)
                proxy.refuses = True
                proxy.cut()
            async with node(lasting_redis) as two, connected(two) as viewer:
                proxy.targets, proxy.refuses = [port_of(two)], False
                async with viewer.subscribe(STREAM) as subscription:
                    await publisher.send(DATA, ecg(3), acknowledged=True)
                    [message] = await take(subscription)
                    assert (first(message), message.sequence, message.form) == (3, 5, 4)
                    assert two._streams.admission(STREAM).publisher.line == 5
                    assert publisher.lost == 0
            await source.__aexit__(None, None, None)

    run(main())


def test_without_redis_a_publisher_goes_on_and_the_others_get_it_later(lasting_redis):
    async def main():
        async with node(lasting_redis, patience=0.5) as one, node(lasting_redis, patience=0.5) as two:
            async with connected(one) as here, connected(two) as there, connected(one) as source:
                async with here.subscribe(STREAM) as near, there.subscribe(STREAM) as far:
                    async with source.publisher(STREAM) as publisher:
                        for n in range(3):
                            await publisher.send(DATA, ecg(n), acknowledged=True)
                        lasting_redis.kill()
                        for n in range(3, 8):
                            await publisher.send(DATA, ecg(n), acknowledged=True)
                        assert [first(one) for one in await take(near, 8)] == list(range(8))
                        lasting_redis.start()
                        assert [first(one) for one in await take(far, 8)] == list(range(8))
                        await publisher.send(DATA, ecg(8), acknowledged=True)
                        for subscription in (near, far):
                            [message] = await take(subscription)
                            assert (first(message), message.sequence) == (8, 10)
                            assert subscription.stats()["gaps"] == 0

    run(main())


def test_an_emptied_redis_learns_of_the_publisher_again(redis):
    async def main():
        async with node(redis, patience=0.5) as one, node(redis, patience=0.5) as two:
            async with connected(one) as here, connected(two) as there, connected(one) as source:
                async with here.subscribe(STREAM) as near, there.subscribe(STREAM) as far:
                    async with source.publisher(STREAM) as publisher:
                        for n in range(3):
                            await publisher.send(DATA, ecg(n), acknowledged=True)
                        redis.kill()
                        await publisher.send(DATA, ecg(3), acknowledged=True)
                        redis.start()
                        for n in range(4, 7):
                            await publisher.send(DATA, ecg(n), acknowledged=True)
                        for subscription in (near, far):
                            assert [first(one) for one in await take(subscription, 7)] == list(range(7))
                            assert subscription.stats()["gaps"] == 0

    run(main())


def test_a_publisher_that_moves_while_its_server_is_cut_off_publishes_each_message_once(redis):
    """The server that is cut off has delivered what Redis lacks; the publisher sends it again over the other one."""

    async def main():
        async with cutting_proxy(redis.port) as link, cutting_proxy(0) as proxy:
            cut_off = SimpleNamespace(url=f"redis://127.0.0.1:{link.port}/0")
            async with node(cut_off, patience=0.3) as one, node(redis, patience=0.3) as two:
                async with connected(one) as here, connected(two) as there:
                    async with here.subscribe(STREAM) as near, there.subscribe(STREAM) as far:
                        proxy.targets = [port_of(one)]
                        source = client(proxy.url, reconnect_delays=lambda: iter([0.01] * 999))
                        async with source, source.publisher(STREAM) as publisher:
                            for n in range(3):
                                await publisher.send(DATA, ecg(n), acknowledged=True)
                            link.hold()
                            for n in range(3, 6):
                                await publisher.send(DATA, ecg(n), acknowledged=True)
                            proxy.targets = [port_of(two)]
                            proxy.cut()
                            for n in range(6, 9):
                                await publisher.send(DATA, ecg(n), acknowledged=True)
                            assert [first(one) for one in await take(far, 9)] == list(range(9))
                            link.release()
                            assert [first(one) for one in await take(near, 9)] == list(range(9))
                            async with asyncio.timeout(10):
                                while one.stats()["backplane"]["denied_total"] != 3:
                                    await asyncio.sleep(0.01)
                            await publisher.send(DATA, ecg(9), acknowledged=True)
                            for subscription in (near, far):
                                assert [first(one) for one in await take(subscription)] == [9]
                                assert subscription.stats()["gaps"] == 0

    run(main())


def test_a_stream_whose_publisher_is_gone_goes_back_to_the_servers(redis):
    async def main():
        async with node(redis, seconds=1.0) as one, node(redis, seconds=1.0) as two, connected(two) as viewer:
            async with viewer.subscribe(STREAM) as subscription:
                async with connected(one) as source:
                    async with source.publisher(STREAM) as publisher:
                        await publisher.send(DATA, ecg(1), acknowledged=True)
                await two.publish(STREAM, DATA, ecg(2))
                assert [one.sequence for one in await take(subscription, 2)] == [2, 0]  # beside its numbers
                loop = asyncio.get_running_loop()
                end = loop.time() + 1.2
                n = 2
                while loop.time() < end:  # the connection ended as long ago as messages are kept
                    n += 1
                    await one.publish(STREAM, DATA, ecg(n))
                    await asyncio.sleep(0.05)
                messages = await take(subscription, n - 2)
                assert [first(one) for one in messages] == list(range(3, n + 1))
                numbered = [one.sequence for one in messages if one.sequence]
                assert numbered[-1] >= len(numbered) > 0
                assert subscription.stats()["gaps"] == 0

    run(main())


def test_an_epoch_that_has_ended_does_not_come_back_on_any_server(redis):
    async def main():
        async with node(redis) as one, node(redis) as two:
            async with publishing(one) as former, publishing(two) as latter, publishing(two) as late:
                assert await former.open(epoch=1) == 1
                former.features(1)
                await former.viewer.settle()
                assert await latter.open(epoch=2) == 1
                assert await late.open(epoch=1) == ErrorCode.PERMISSION_DENIED
                former.features(2)
                await until(lambda: former.viewer.errors, former.viewer)
                assert [error.code for error in former.viewer.errors] == [ErrorCode.PERMISSION_DENIED]

    run(main())


def test_without_redis_no_stream_is_opened(redis):
    async def main():
        async with node(redis, patience=0.3) as one, publishing(one) as peer:
            redis.kill()
            async with asyncio.timeout(10):
                while one.stats()["backplane"]["up"]:
                    await asyncio.sleep(0.01)
            assert await peer.open() == ErrorCode.RATE_LIMIT_EXCEEDED

    run(main())


@pytest.mark.parametrize(
    "state",
    [
        b"{",
        b"[]",
        b"7",
        b"[1,0,[],[],0,null]",
        b'["1",0,[],[],0,null,false]',
        b"[-1,0,[],[],0,null,false]",
        b"[1,0,[true],[],0,null,false]",
        b"[1,0,[],[[1]],0,null,false]",
        b"[1,0,[],[],0,2,false]",
        b"[1,0,[],[],0,null,null]",
        b"[9007199254740993,0,[],[],0,null,false]",
        b"[1,0," + b"[" * 9999,
        b"[1,0,[" + b"1," * 2000 + b"1],[],0,null,false]",
        b" " * 70_000 + b"[1,0,[],[],0,null,false]",
    ],
)
def test_a_state_that_no_server_has_written_is_refused(state):
    with pytest.raises(ValueError, match="the state of an opened stream"):
        Opening.unpack(4738, "1:x", state)


def test_a_state_is_read_as_it_was_written():
    publisher = Publisher(4738, None)
    for number in (1, 2, 5):
        publisher.take(number, overtakes=False)
    publisher.take(9, overtakes=True)
    publisher.latest_template = 3
    opening = Opening("17:x", publisher, is_bulk=True, is_sealed=True)
    read = Opening.unpack(4738, "17:x", opening.pack())
    assert read.publisher.state() == publisher.state() == (5, 2, [9], [(3, 5)], 3)
    assert (read.is_bulk, read.is_sealed, read.order, read.epoch) == (True, True, 17, 4738)
    assert [read.publisher.look(number) for number in (2, 3, 9, 6)] == [
        Verdict.RECEIVED,
        Verdict.LOST,
        Verdict.RECEIVED,
        Verdict.NEW,
    ]
    assert Opening.unpack(1, "nonsense", b"").order == 0
