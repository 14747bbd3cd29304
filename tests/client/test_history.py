"""Clients that were offline for a while: they get the present first, and the past on request beside it."""

from __future__ import annotations

import asyncio
import gc
from datetime import UTC, datetime

import numpy as np
import pytest
from client.cutting_proxy import cutting_proxy
from client.servers import STREAM, impatient, serving, until, url_of
from running import run

from ecgframe import MessageType
from ecgframe.client import Gap
from ecgframe.errors import InvalidProtocolVersion, PermissionDenied
from ecgframe.protocol import Form
from ecgframe.server import Limits, WebSocketBinaryHandler
from ecgframe.session import Settings

ALL = (1, 2, 3, 4)
ECG = MessageType.ECG_DATA
CLIENT = Settings(versions=ALL, negotiation_timeout=1.0)


def server(**options):
    return WebSocketBinaryHandler(settings=Settings(versions=ALL), limits=Limits(ring_seconds=600), **options)


def ecg(n):
    signal = np.cumsum(np.random.default_rng(n).integers(-9, 10, (12, 25)), axis=1).astype("int16")
    return {"signal": signal, "sampling_rate": 500, "timestamp": n / 20, "sequence": n}


async def publish(handler, first, last):
    return [await handler.publish(STREAM, ECG, ecg(n)) for n in range(first, last)]


def sequences(messages):
    return [message.data["sequence"] for message in messages]


def test_a_history_beside_a_subscription():
    async def course():
        handler = server()
        async with (
            serving(handler) as port,
            impatient(url_of(port), settings=CLIENT) as client,
            client.subscribe(STREAM) as subscription,
        ):
            times = await publish(handler, 0, 300)
            assert sequences([await anext(subscription) for _ in range(300)]) == list(range(300))
            async with client.history(STREAM, times[20], times[250]) as history:
                assert sequences([message async for message in history]) == list(range(20, 251))
            assert history.is_complete
            assert history.lost == 0
            await publish(handler, 300, 305)
            assert sequences([await anext(subscription) for _ in range(5)]) == list(range(300, 305))
            since = datetime.fromtimestamp(times[299] / 1e6, UTC)
            assert sequences([message async for message in client.history(STREAM, since)])[-5:] == list(range(300, 305))
            assert subscription.gap_count == 0

    run(course())


def test_more_than_the_application_takes_at_once():
    async def course():
        handler = server()
        async with serving(handler) as port, impatient(url_of(port), settings=CLIENT) as client:
            await publish(handler, 0, 500)
            found = []
            async for message in client.history(STREAM, 0, capacity=4):
                found.append(message)
                await asyncio.sleep(0)
            assert sequences(found) == list(range(500))

    run(course())


@pytest.mark.slow
def test_a_history_that_nobody_takes_holds_up_nothing():
    async def course():
        handler = server()
        async with (
            serving(handler) as port,
            impatient(url_of(port), settings=CLIENT) as client,
            client.subscribe(STREAM) as subscription,
        ):
            times = await publish(handler, 0, 900)
            assert sequences([await anext(subscription) for _ in range(900)]) == list(range(900))
            history = client.history(STREAM, times[0], capacity=50)
            await until(lambda: client.stats()["histories"] == {"open": 0, "paused": 1})
            assert 50 <= history.waiting < 600
            assert history.pauses == 1
            await publish(handler, 900, 1200)
            assert sequences([await anext(subscription) for _ in range(300)]) == list(range(900, 1200))
            found = sequences([message async for message in history])
            assert found == list(range(900))  # up to the time of the request, as ever
            assert (history.lost, history.is_complete) == (0, True)
            assert history.pauses > 1
            assert client.stats()["histories"] == {"open": 0, "paused": 0}

    run(course())


@pytest.mark.slow
def test_what_the_server_drops_while_nobody_takes_it_is_counted():
    async def course():
        handler = WebSocketBinaryHandler(settings=Settings(versions=ALL), limits=Limits(ring_bytes=200_000))
        async with serving(handler) as port, impatient(url_of(port), settings=CLIENT) as client:
            await publish(handler, 0, 200)
            history = client.history(STREAM, 0, capacity=10)
            await until(lambda: client.stats()["histories"] == {"open": 0, "paused": 1})
            await publish(handler, 200, 2000)
            found = sequences([message async for message in history])
            assert found == sorted(found)
            assert len(found) < 200
            assert len(found) + history.lost == 200

    run(course())


@pytest.mark.slow
def test_a_history_that_is_forgotten_is_not_sent_any_more():
    async def course():
        handler = server()
        async with serving(handler) as port, impatient(url_of(port), settings=CLIENT) as client:
            await publish(handler, 0, 500)
            for _ in range(6):  # more than a connection gets at once
                history = client.history(STREAM, 0, capacity=4)
                await anext(history)
                del history
                gc.collect()
                await until(lambda: client.stats()["histories"] == {"open": 0, "paused": 0})

    run(course())


@pytest.mark.slow
def test_an_alert_that_comes_ahead_hides_nothing_after_a_reconnection():
    """The rest is requested from the last message in line on, and the alert is not passed twice."""

    async def course():
        handler = server()
        async with serving(handler) as port, cutting_proxy(port) as proxy:
            proxy.rate = 50_000
            async with impatient(proxy.url, settings=CLIENT) as client:
                await publish(handler, 0, 150)
                await handler.publish(STREAM, MessageType.ANOMALY_ALERT, {"kind": "asystole", "timestamp": 1.0})
                await publish(handler, 150, 300)
                history = client.history(STREAM, 0)
                found = []
                while not found or found[-1].type is not MessageType.ANOMALY_ALERT:
                    found.append(await anext(history))
                proxy.cut()
                found += [message async for message in history]
                alerts = [message for message in found if message.type is MessageType.ANOMALY_ALERT]
                assert len(alerts) == 1
                assert sequences([message for message in found if message.type is ECG]) == list(range(300))
                assert history.lost == 0

    run(course(), 30)


def test_an_abandoned_history_is_no_longer_sent():
    async def course():
        handler = server()
        async with serving(handler) as port, impatient(url_of(port), settings=CLIENT) as client:
            await publish(handler, 0, 500)
            async with client.history(STREAM, 0) as history:
                await anext(history)
            assert not history.is_complete
            assert sequences([message async for message in client.history(STREAM, 0)]) == list(range(500))

    run(course())


def test_a_history_goes_on_over_the_next_connection():
    async def course():
        handler = server()
        async with serving(handler) as port, cutting_proxy(port) as proxy:
            proxy.rate = 100_000
            async with impatient(proxy.url, settings=CLIENT) as client:
                await publish(handler, 0, 1500)
                history = client.history(STREAM, 0)
                found = [await anext(history) for _ in range(100)]
                proxy.cut()
                found += [message async for message in history]
                assert sequences(found) == list(range(1500))
                assert client.stats()["connections"] >= 2

    run(course(), 30)


def test_a_denied_viewer_gets_no_history():
    async def may(info, action, stream):
        return False

    async def course():
        handler = server(authorize=may)
        async with serving(handler) as port, impatient(url_of(port), settings=CLIENT) as client:
            with pytest.raises(PermissionDenied):
                await anext(client.history(STREAM, 0))

    run(course())


def test_version_3_has_none():
    async def course():
        settings = Settings(versions=(1, 2, 3))
        async with serving(server()) as port, impatient(url_of(port), settings=settings) as client:
            with pytest.raises(InvalidProtocolVersion):
                await anext(client.history(STREAM, 0))

    run(course())


def test_ranges_are_checked():
    async def course():
        async with serving(server()) as port, impatient(url_of(port), settings=CLIENT) as client:
            for first, last in [(-1, None), (5, 4)]:
                with pytest.raises(ValueError, match="a history goes from"):
                    client.history(STREAM, first, last)
            with pytest.raises(TypeError):
                client.history(STREAM, None)
            with pytest.raises(ValueError, match="catch_up"):
                client.subscribe(STREAM, catch_up=0.0)

    run(course())


@pytest.mark.slow
@pytest.mark.alone
def test_out_of_a_tunnel_over_a_throttled_network():
    """1 Mbit/s, and nothing for four times as long as both sides wait for a sign of life."""

    async def course():
        loop = asyncio.get_running_loop()
        settings = Settings(versions=ALL, heartbeat_interval=0.5)
        handler = WebSocketBinaryHandler(settings=settings, limits=Limits(ring_seconds=600))
        late: list[tuple[float, float, int]] = []
        gaps: list[Gap] = []
        began = loop.time()
        sent: dict[int, float] = {}
        number = 0

        async def play():
            nonlocal number
            while True:
                sent[number] = loop.time()
                await handler.publish(STREAM, ECG, ecg(number))
                number += 1
                await asyncio.sleep(max(0.0, began + number / 20 - loop.time()))

        async def watch(client):
            async for message in client.subscribe(STREAM, on_gap=gaps.append, catch_up=0.5):
                n = message.data["sequence"]
                late.append((loop.time(), loop.time() - sent[n], n))

        async with serving(handler) as port, cutting_proxy(port) as proxy:
            await publish(handler, 0, 0)
            proxy.rate = 125_000
            async with impatient(proxy.url, settings=CLIENT) as client:
                tasks = [asyncio.create_task(play()), asyncio.create_task(watch(client))]
                await until(lambda: len(late) > 20)
                proxy.hold()
                await asyncio.sleep(6)
                before, out_at = len(late), loop.time()
                proxy.release()
                await until(lambda: len(late) > before and late[-1][1] < 0.5)
                took = late[-1][0] - out_at
                await until(lambda: gaps)
                [gap] = gaps
                assert gap.frames is not None
                assert gap.frames > 80
                mark = len(late)
                history = client.history(STREAM, gap.start, gap.stop)
                past = [message.data["sequence"] async for message in history]
                await asyncio.sleep(0.5)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        seen = [n for _, _, n in late]
        assert sorted({*seen, *past}) == list(range(min(seen), max(seen) + 1))
        waits = [wait for _, wait, _ in late[mark:]]
        print(f"present after {took:.2f} s; a gap of {gap.frames}; live at most {max(waits):.2f} s late meanwhile")
        assert took <= 1.0
        assert max(waits) <= 0.5

    run(course(), 60)


def test_clients_publish_in_bulk():
    async def may(info, action, stream):
        return True

    async def course():
        handler = server(authorize=may)
        async with serving(handler) as port, impatient(url_of(port), settings=CLIENT) as client:
            async with client.subscribe("history") as subscription, client.publisher("history", bulk=True) as publisher:
                for n in range(5):
                    await publisher.send(ECG, ecg(n))
                await publisher.send(MessageType.FEATURE_DATA, {"features": {"x": [1.0] * 40_000}})  # in a thread
                await publisher.send(MessageType.ANOMALY_ALERT, {"kind": "pause", "timestamp": 1.0})
                found = [await anext(subscription) for _ in range(7)]
            forms = {message.type: int(message.form) & Form.BULK for message in found}
            assert forms == {ECG: Form.BULK, MessageType.FEATURE_DATA: Form.BULK, MessageType.ANOMALY_ALERT: 0}
            assert sequences(message for message in found if message.type is ECG) == list(range(5))
            assert publisher.stats()["lost"] == 0
            assert client.stats()["errors"] == {}

    run(course())
