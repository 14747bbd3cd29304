"""Messages that do not reach a server: viewers of versions 1 to 3, whose messages have no numbers, are told as well."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import numpy as np
import pytest
from recordings import optional
from running import run
from server.holding_proxy import holding_proxy
from server.nats_server import nats_server
from server.numbered_viewer import numbered_viewer
from server.redis_server import redis_server
from server.test_opened_streams import publishing, server, template

from ecgframe import MessageType
from ecgframe.server import WebSocketBinaryHandler
from ecgframe.session import Settings

STREAM = "ecg/bed-7"
OLD = {"versions": (1, 2, 3)}


def losses(viewer):
    """What the server has reported as lost, and between which messages."""
    return [
        (error.details["dropped"], error.details["from"] <= error.details["to"])
        for error in viewer.errors
        if error.details["stream"] == STREAM
    ]


async def until_received(viewer, last):
    await viewer.until(lambda: viewer.received and viewer.received[-1].data["n"] == last)
    await viewer.settle()


def received(viewer):
    return [message.data["n"] for message in viewer.received]


# --- what a publisher does not send any more ---


@pytest.mark.parametrize("version", [1, 2, 3])
def test_viewers_are_told_what_a_publisher_has_lost(version):
    async def scenario():
        async with (
            server() as handler,
            numbered_viewer(handler, versions=(version,)) as old,
            numbered_viewer(handler) as new,
            publishing(handler) as peer,
        ):
            for viewer in (old, new):
                await viewer.subscribe(STREAM)
            await peer.open()
            peer.features(1)
            peer.features(5)
            peer.alert(9)
            peer.features(6)
            await peer.codes()
            await old.settle()
            assert losses(old) == [(3, True)]
            peer.features(12)
            await peer.codes()
            for viewer in (old, new):
                await viewer.settle()
            assert losses(old) == [(3, True), (4, True)], "7, 8, 10 and 11; 9 had overtaken"
            assert not new.errors, "its messages have numbers"
            assert [message.sequence for message in new.received] == [1, 5, 9, 6, 12]

    run(scenario())


def test_a_viewer_that_was_away_is_told_what_a_publisher_has_lost_meanwhile():
    async def scenario():
        async with server() as handler, publishing(handler) as peer:
            await peer.open()
            async with numbered_viewer(handler, **OLD) as before:
                await before.subscribe(STREAM)
                peer.template(template(), 1)
                peer.features(2)
                await peer.codes()
                await before.settle()
                [known] = before.received
            peer.features(5)
            peer.features(6)
            await peer.codes()
            async with numbered_viewer(handler, **OLD) as after, numbered_viewer(handler, **OLD) as other:
                await after.subscribe(STREAM, known.timestamp)
                await after.settle()
                assert losses(after) == [(2, True)]
                assert len(after.received) == 2
                await other.subscribe(STREAM)
                peer.features(7)
                await peer.codes()
                await other.settle()
                assert not other.errors, "it did not watch before"

    run(scenario())


def test_what_is_missing_before_a_message_that_takes_long_to_encode_is_reported_once():
    large = {"signal": np.arange(600_000, dtype="int16").reshape(2, -1), "sampling_rate": 500, "n": 5}

    async def scenario():
        async with server() as handler, publishing(handler) as peer:
            await peer.open()
            async with numbered_viewer(handler, versions=(1,)) as before:
                await before.subscribe(STREAM)
                peer.features(1)
                await peer.codes()
                await before.settle()
                [known] = before.received
            peer.say(MessageType.ECG_DATA, large, 5)
            await peer.codes()
            async with numbered_viewer(handler, versions=(1,)) as after:
                await after.subscribe(STREAM, known.timestamp or 1)
                await after.until(lambda: any(message.data.get("n") == 5 for message in after.received))
                assert losses(after) == [(3, True)]

    run(scenario())


# --- what an engine drops before a server has read it, or never gets ---


ENGINES = [
    pytest.param(("redis", 3), id="redis"),
    pytest.param(("redis", 4), id="redis of version 4"),
    pytest.param(("nats", 3), id="nats"),
]


@pytest.fixture(params=ENGINES)
def engine(request, tmp_path):
    name, version = request.param
    if name == "redis":
        optional("redis.asyncio")
        with redis_server(tmp_path) as running:
            running.scheme, running.version = name, version
            yield running
    else:
        optional("nats")
        with nats_server(tmp_path) as running:
            running.scheme, running.version = name, version
            yield running


@asynccontextmanager
async def node(engine, port=None, **options):
    """A server of a fleet, and its backplane."""
    port = engine.port if port is None else port
    options = {"patience": 5.0, **options}
    if engine.scheme == "redis":
        from ecgframe.server.redis import RedisBackplane

        backplane = RedisBackplane(f"redis://127.0.0.1:{port}", version=engine.version, **options)
    else:
        from ecgframe.server.nats import NatsBackplane

        backplane = NatsBackplane(f"nats://127.0.0.1:{port}", **options)
    versions = tuple(range(1, engine.version + 1))
    async with WebSocketBinaryHandler(settings=Settings(versions=versions), backplane=backplane) as handler:
        handler.fleet = backplane
        yield handler


async def publish(handler, n):
    await handler.publish(STREAM, MessageType.FEATURE_DATA, {"features": {}, "n": n})


async def until(condition):
    async with asyncio.timeout(25):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.slow
def test_viewers_are_told_what_was_dropped_before_their_server_had_read_it(engine):
    async def scenario():
        async with AsyncExitStack() as stack:
            proxy = await stack.enter_async_context(holding_proxy(engine.port, engine.scheme))
            a = await stack.enter_async_context(node(engine, max_bytes=20_000))
            b = await stack.enter_async_context(node(engine, proxy.port, max_bytes=20_000))
            here, there = [await stack.enter_async_context(numbered_viewer(each, **OLD)) for each in (a, b)]
            for viewer in (here, there):
                await viewer.subscribe(STREAM)
            await publish(a, 0)
            await until_received(there, 0)
            proxy.hold_answers()
            await proxy.cut(release=False)
            for n in range(1, 302):
                await publish(a, n)
            proxy.release()
            await until_received(there, 301)
            got = received(there)
            assert got == sorted(set(got))
            assert len(got) < 302, "otherwise this shows nothing"
            assert sum(count for count, _ in losses(there)) == 302 - len(got)
            await until_received(here, 301)
            assert received(here) == list(range(302))
            assert not here.errors
            assert b.fleet.stats()["missed_total"] == 302 - len(got)

    run(scenario())


@pytest.mark.slow
def test_viewers_are_told_what_another_server_could_not_hand_over(engine):
    async def scenario():
        async with AsyncExitStack() as stack:
            proxy = await stack.enter_async_context(holding_proxy(engine.port, engine.scheme))
            a = await stack.enter_async_context(node(engine, proxy.port, seconds=60.0, outbox_bytes=2_000))
            b = await stack.enter_async_context(node(engine, seconds=60.0))
            here, there = [await stack.enter_async_context(numbered_viewer(each, **OLD)) for each in (a, b)]
            for viewer in (here, there):
                await viewer.subscribe(STREAM)
            await publish(a, 0)
            await until_received(there, 0)
            proxy.hold_answers()
            publishing = asyncio.create_task(publish(a, 1))
            await until_received(there, 1)
            await proxy.cut(release=False)  # 1 was handed over, and the answer is lost
            await until(lambda: not a.fleet.stats()["up"])
            for n in range(2, 100):
                await publish(a, n)
            await publishing
            proxy.release()
            await until(lambda: a.fleet.stats()["up"])
            await publish(a, 100)
            await until_received(there, 100)
            lost = a.fleet.stats()["lost_total"]
            assert 0 < lost < 99
            missed = b.fleet.stats()["missed_total"]
            assert len(received(there)) == 101 - missed
            assert sum(count for count, _ in losses(there)) == missed
            assert lost == missed or (engine.scheme == "nats" and lost > missed)
            await until_received(here, 100)
            assert received(here) == list(range(101))
            assert not here.errors

    run(scenario())
