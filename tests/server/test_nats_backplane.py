"""What is of the NATS backplane alone; what it shares with Redis is in test_redis_backplane.py."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack

import pytest
from client.cutting_proxy import cutting_proxy
from client.servers import serving, url_of
from client.servers import until as soon
from recordings import optional, uninstall
from running import run
from server.nats_server import nats_server
from server.test_redis_backplane import STREAM, node, nodes, now
from server.test_redis_servers import FRAME_MS, Monitor, watching

from ecgframe.libraries import MissingLibrary
from ecgframe.seal import Key, StoredKeys
from ecgframe.server import Sealing, WebSocketBinaryHandler
from ecgframe.session import Settings
from ecgframe.signing import SigningKey

nats = optional("nats")

from ecgframe.server.nats import NatsBackplane  # noqa: E402

V3 = Settings(versions=(1, 2, 3))
slow = pytest.mark.slow
NOWHERE = "nats://127.0.0.1:1"


@pytest.fixture
def server(tmp_path):
    with nats_server(tmp_path) as running:
        yield running


async def until(condition):
    """Wait longer than other tests: each message makes a way to NATS and back, and many processes share the machine."""
    await soon(condition, timeout=60)


async def put(server, name, data, **headers):
    """Store something in the stream of JetStream that no backplane has made."""
    client = await nats.connect(server.url)
    try:
        await client.jetstream().publish(f"ecgframe.kept.{name}", data, headers=headers or None)
    finally:
        await client.close()


def subject():
    return NatsBackplane(NOWHERE)._subject(STREAM).removeprefix("ecgframe.kept.")


@slow
def test_a_viewer_moves_between_servers_while_nats_is_killed(server):
    async def scenario():
        async with AsyncExitStack() as stack:
            handlers = [
                await stack.enter_async_context(
                    WebSocketBinaryHandler(settings=V3, backplane=NatsBackplane(server.url))
                )
                for _ in "abc"
            ]
            ports = [await stack.enter_async_context(serving(handler)) for handler in handlers]
            balancer = await stack.enter_async_context(cutting_proxy(ports[1]))
            balancer.targets.append(ports[2])
            here = await stack.enter_async_context(watching(url_of(ports[0])))
            there = await stack.enter_async_context(watching(url_of(ports[1])))
            moving = await stack.enter_async_context(watching(balancer.url))
            monitor = Monitor(handlers[0])
            playing = asyncio.create_task(monitor.run())
            await until(lambda: here.alerts and there.alerts and moving.alerts)
            for move in range(20):
                seen = len(moving.sequences) + balancer.random.randint(0, 5)
                await until(lambda seen=seen: len(moving.sequences) >= seen)
                await asyncio.sleep(balancer.random.uniform(0, FRAME_MS / 1000))
                await until(balancer.cut)
                if move == 10:
                    server.kill()
                    await until(lambda: not handlers[0].stats()["backplane"]["up"])
                    frames = monitor.frames
                    await until(lambda frames=frames: here.knows(frames + 50))
                    await asyncio.to_thread(server.start)
                    await until(lambda: there.knows(monitor.frames - 20))
            newcomer = await stack.enter_async_context(watching(url_of(ports[2])))
            await until(lambda: newcomer.alerts)
            monitor.end()
            await playing
            await monitor.publish()
            for watcher in (here, there, moving, newcomer):
                await watcher.check(monitor)
            stats = handlers[0].stats()["backplane"]
            assert (stats["lost_total"], stats["missed_total"], stats["reconnections_total"]) == (0, 0, 1)

    run(scenario(), timeout=200)


@slow
def test_what_else_is_in_the_stream_of_jetstream_is_refused(server):
    async def scenario():
        async with nodes(server, 2) as (a, b):
            await a.publish("before")
            of = subject()
            await put(server, of, b"nothing of ours")
            fields = {"Before": "0", "From": "x", "Numbers": "1 2", "Times": "5 6", "Sizes": "1 1"}
            wrong = [{"Times": "soon 6"}, {"Times": "-1 6"}, {"Times": f"5 {2**63}"}, {"Times": "6 5"}, {"Times": "5"}]
            wrong += [{"Sizes": "1 2"}, {"Sizes": "-1 3"}, {"Sizes": ""}, {"Numbers": "1"}, {"Before": "x"}]
            for changed in wrong:
                await put(server, of, b"ab", **{f"Ecgframe-{name}": text for name, text in (fields | changed).items()})
            await put(server, "not-of-a-stream", b"")
            await a.publish("after")
            for one in (a, b):
                await one.seen.until_count(2)
                assert one.seen.labels() == ["before", "after"]
                assert one.stats["refused_total"] == 11
                assert one.stats["up"]

    run(scenario())


@slow
def test_a_message_that_nats_does_not_take_stays_and_is_told(server, caplog):
    async def scenario():
        async with nodes(server, 2) as (a, b):
            await a.until_up()
            await a.publish("large " * 300_000)
            await a.publish("small")
            await b.seen.until_count(1)
            assert b.seen.labels() == ["small"]
            assert [len(label) for label in a.seen.labels()] == [1_800_000, 5]
            assert a.stats["lost_total"] == 1
            assert a.stats["outbox_bytes"] == a.stats["outbox_frames"] == 0

    run(scenario())
    assert [record for record in caplog.records if "max_payload of NATS is 1048576" in record.message]


@slow
def test_a_nats_that_has_lost_everything_goes_on(server, caplog):
    async def scenario():
        async with nodes(server, 2) as (a, b):
            for number in range(5):
                await a.publish(f"m{number}")
            await b.seen.until_count(5)
            server.kill()
            server.empty()
            await a.until_up(False)
            await a.publish("alone")
            await asyncio.to_thread(server.start)
            await b.seen.until_count(6)
            await b.until_up()
            await b.publish("after")
            await a.seen.until_count(7)
            assert a.seen.of() == b.seen.of()
            assert a.seen.labels() == [*(f"m{number}" for number in range(5)), "alone", "after"]

    run(scenario())
    assert [record for record in caplog.records if "NATS has lost what it kept" in record.message]


@slow
def test_a_stream_of_jetstream_for_something_else_is_left_alone(server, caplog):
    async def scenario():
        client = await nats.connect(server.url)
        await client.jetstream().add_stream(name="ecgframe", subjects=["other.>"])
        async with node(server) as a:
            await a.publish("m")
            assert not a.stats["up"]
            assert a.seen.labels() == ["m"]
        async with nodes(server, 2, name="mine", replicas=1, in_memory=True) as (b, c):
            await b.publish("n")
            await c.seen.until_count(1)
        info = await client.jetstream().stream_info("ecgframe")
        assert (info.config.subjects, info.state.messages) == (["other.>"], 0)
        await client.close()

    run(scenario())
    assert [record for record in caplog.records if "is for something else" in record.message]


@slow
def test_settings_with_which_another_server_has_made_the_stream_stay_and_are_told(server, caplog):
    async def scenario():
        async with node(server, seconds=20.0) as a, node(server, seconds=30.0, in_memory=True) as b:
            await a.until_up()
            await b.until_up()

    run(scenario())
    [said] = [record.message for record in caplog.records if "keeps the settings" in record.message]
    assert "max_age is 20.0, not 30.0; storage is file, not memory" in said


@slow
def test_closing_stores_what_waits_and_leaves_no_tasks(server):
    async def scenario():
        before = asyncio.all_tasks()
        async with node(server, patience=5.0) as b:
            async with node(server, patience=5.0) as a:
                publishing = [asyncio.create_task(a.publish(f"m{i}")) for i in range(200)]
                await asyncio.sleep(0)
            await asyncio.gather(*publishing)
            await b.seen.until_count(200)
            assert b.seen.of() == a.seen.of()
            await a.backplane.close()
            with pytest.raises(RuntimeError, match="not open"):
                await a.publish("too late")
            with pytest.raises(RuntimeError, match="make another one"):
                await a.backplane.open(a.seen)
        assert asyncio.all_tasks() == before

    run(scenario())


@slow
def test_messages_expire_and_what_is_missing_is_known(server):
    async def scenario():
        async with node(server, seconds=0.3) as a:
            first = await a.publish("first")
            await asyncio.sleep(0.5)
            second = await a.publish("second")
            async with node(server, join=None, seconds=0.3) as b:
                assert await b.backplane.join(STREAM, first - 1) == first, "nothing is missing after it"
                assert b.seen.of() == [(second, "second")]
                assert await b.backplane.catch_up(STREAM)
                assert not await b.backplane.catch_up("never joined")
                assert b.backplane.now() is None

    run(scenario())


def test_the_backplane_does_not_number_messages(caplog):
    with pytest.raises(ValueError, match=r"RedisBackplane\(version=4\)"):
        WebSocketBinaryHandler(settings=Settings(versions=(4,)), backplane=NatsBackplane(NOWHERE))
    assert WebSocketBinaryHandler(backplane=NatsBackplane(NOWHERE)).settings.versions == (1, 2, 3)
    caplog.clear()
    WebSocketBinaryHandler(backplane=NatsBackplane(NOWHERE), signer=SigningKey(bytes(32)))
    assert "the signing key signs nothing" in caplog.text
    sealing = Sealing(keyring=StoredKeys([Key(9, STREAM, bytes(32))]))
    with pytest.raises(ValueError, match="in plain"):
        WebSocketBinaryHandler(settings=V3, backplane=NatsBackplane(NOWHERE), sealing=sealing)


@pytest.mark.parametrize("name", ["", "a b", "a.b", "*", "µ"])
def test_names_that_are_none(name):
    with pytest.raises(ValueError, match="letters, digits"):
        NatsBackplane(NOWHERE, name=name)


@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
@pytest.mark.parametrize("name", ["seconds", "max_bytes", "outbox_bytes", "patience", "replicas"])
def test_bounds_are_positive_numbers(name, value):
    with pytest.raises(ValueError, match=name):
        NatsBackplane(NOWHERE, **{name: value})


def test_every_name_of_a_stream_has_a_subject_of_its_own():
    names = ["", "a", "ecg/bed-7", "ecg.*", ">", "µ", "\0commands", "a b", "x" * 256]
    subjects = [NatsBackplane(NOWHERE)._subject(name) for name in names]
    assert len(set(subjects)) == len(names)
    for text in subjects:
        assert text.startswith("ecgframe.kept.s")
        assert text.isascii()
        assert not set(text.removeprefix("ecgframe.kept.")) & set(" .*>\0")


def test_without_the_library_it_says_what_to_install(monkeypatch):
    uninstall(monkeypatch, "nats")
    for name in list(sys.modules):
        if name.startswith("ecgframe.server.nats"):
            monkeypatch.delitem(sys.modules, name)
    with pytest.raises(MissingLibrary, match=r"ecgframe\[nats\]"):
        __import__("ecgframe.server.nats")


def test_without_a_server_it_goes_on_alone():
    async def scenario():
        backplane = NatsBackplane(NOWHERE, patience=0.1)
        heard = []
        await backplane.open(lambda *arguments: heard.append(arguments))
        assert await backplane.join(STREAM, 7) == 7
        assert not await backplane.catch_up(STREAM)
        await backplane.close()
        assert now()

    run(scenario())
