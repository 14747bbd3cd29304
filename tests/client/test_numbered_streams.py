"""Clients of version 4 and a real server: records arrive as maps, numbers survive cuts, and losses are counted."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack

import numpy as np
import pytest
from client.cutting_proxy import cutting_proxy
from client.servers import NEGOTIATION, STREAM, impatient, scripted, serving, until, url_of
from running import run

from ecgframe import Codec, MessageType
from ecgframe.client import State
from ecgframe.messages.templates import Template
from ecgframe.protocol import Capability, Form
from ecgframe.server import Limits, WebSocketBinaryHandler
from ecgframe.session import Settings

ALL = (1, 2, 3, 4)
SERVER = Settings(versions=ALL)
CLIENT = Settings(versions=ALL, negotiation_timeout=1.0)
ECG = MessageType.ECG_DATA
ALERT = MessageType.ANOMALY_ALERT


def ecg(n, **fields):
    signal = np.cumsum(np.random.default_rng(n).integers(-9, 10, (2, 25)), axis=1).astype("int16")
    fixed = {"sampling_rate": 500, "leads": ["I", "II"], "gain": 200}
    return {"signal": signal, "timestamp": 1705314645 + n / 20, "sequence": n, **fixed, **fields}


def server(**limits):
    return WebSocketBinaryHandler(settings=SERVER, limits=Limits(**limits))


async def take(subscription, count):
    return [await anext(subscription) for _ in range(count)]


def sequences(messages):
    return [message.data["sequence"] for message in messages]


def test_a_record_is_the_map_that_was_published():
    async def conversation():
        handler = server()
        async with serving(handler) as port, AsyncExitStack() as stack:
            settings = [
                CLIENT,
                Settings(versions=ALL, capabilities=frozenset({Capability.TEMPLATES})),
                Settings(versions=ALL, capabilities=frozenset()),
                Settings(versions=(1, 2, 3)),
                Settings(versions=(1, 2)),
                Settings(versions=(1,)),
            ]
            clients = [await stack.enter_async_context(impatient(url_of(port), settings=one)) for one in settings]
            assert [client.version for client in clients] == [4, 4, 4, 3, 2, 1]
            subscriptions = [await stack.enter_async_context(client.subscribe(STREAM)) for client in clients]
            published = [ecg(n, gain=200 + n // 3) for n in range(6)]
            for data in published:
                await handler.publish(STREAM, ECG, data)
            for subscription in subscriptions:
                for message, data in zip(await take(subscription, 6), published, strict=True):
                    assert message.data.keys() == {*data, "stream"}
                    assert np.array_equal(message.data["signal"], data["signal"])
                    assert message.data["gain"] == data["gain"]
                assert subscription.gap_count == 0

    run(conversation())


def test_missed_messages_come_first_and_overtaken_ones_once():
    async def conversation():
        handler = server()
        async with (
            serving(handler) as port,
            cutting_proxy(port) as proxy,
            impatient(proxy.url, settings=CLIENT) as client,
            client.subscribe(STREAM) as subscription,
        ):
            await handler.publish(STREAM, ECG, ecg(0))
            await handler.publish(STREAM, ALERT, {"kind": "a", "timestamp": 1.0, "sequence": 1})
            assert sequences(await take(subscription, 2)) == [0, 1]
            proxy.refuses = True
            proxy.cut()
            await until(lambda: client.state is State.RECONNECTING)
            for n in range(2, 6):
                await handler.publish(STREAM, ECG, ecg(n, gain=n))
            proxy.refuses = False
            assert sequences(await take(subscription, 4)) == [2, 3, 4, 5]
            assert (subscription.gap_count, subscription.duplicates) == (0, 0)

    run(conversation())


def test_messages_that_the_server_no_longer_keeps_are_counted_exactly():
    async def conversation():
        handler = server(ring_bytes=3000)
        gaps = []
        async with (
            serving(handler) as port,
            cutting_proxy(port) as proxy,
            impatient(proxy.url, settings=CLIENT) as client,
            client.subscribe(STREAM, on_gap=gaps.append) as subscription,
        ):
            await handler.publish(STREAM, ECG, ecg(0))
            await take(subscription, 1)
            proxy.refuses = True
            proxy.cut()
            await until(lambda: client.state is State.RECONNECTING)
            for n in range(1, 60):
                await handler.publish(STREAM, ECG, ecg(n))
            proxy.refuses = False
            [message] = await take(subscription, 1)
            first = message.data["sequence"]
            assert first > 20
            assert [gap.frames for gap in gaps] == [first - 1]
            assert subscription.dropped == first - 1
            assert sequences(await take(subscription, 59 - first)) == list(range(first + 1, 60))
            assert client.stats()["refused"] == {}

    run(conversation())


def test_a_restarted_server_has_another_epoch_which_is_a_gap():
    async def conversation():
        gaps = []
        async with (
            serving(server()) as gone,
            cutting_proxy(gone) as proxy,
            impatient(proxy.url, settings=CLIENT) as client,
            client.subscribe(STREAM, on_gap=gaps.append) as subscription,
        ):
            handler = server()
            async with serving(handler) as port:
                proxy.targets = [port]
                proxy.cut()
                await until(lambda: handler.connections() and subscription.status == "subscribed")
                await handler.publish(STREAM, ECG, ecg(7))
                assert sequences(await take(subscription, 1)) == [7]
                assert [gap.frames for gap in gaps] == [None]
                assert not gaps[0].clock_went_back

    run(conversation())


@pytest.mark.parametrize("order", [(ALL, (1, 2, 3)), ((1, 2, 3), ALL)])
def test_a_client_moves_between_servers_with_and_without_numbers(order):
    async def conversation():
        first, second = (WebSocketBinaryHandler(settings=Settings(versions=versions)) for versions in order)
        async with (
            serving(first) as port,
            serving(second) as other,
            cutting_proxy(port) as proxy,
            impatient(proxy.url, settings=CLIENT) as client,
            client.subscribe(STREAM) as subscription,
        ):
            await first.publish(STREAM, ECG, ecg(0))
            await take(subscription, 1)
            for target, handler, n in ((other, second, 1), (port, first, 2)):
                connected = client.stats()["connections"]
                proxy.targets = [target]
                proxy.cut()
                await until(lambda: client.stats()["connections"] > connected and subscription.status == "subscribed")  # noqa: B023
                await handler.publish(STREAM, ECG, ecg(n))
                while (message := await anext(subscription)).data["sequence"] != n:
                    assert message.data["sequence"] < n

    run(conversation())


def test_messages_of_a_publishing_client_become_records():
    async def allow(connection, action, stream):
        return True

    async def conversation():
        handler = WebSocketBinaryHandler(settings=SERVER, authorize=allow)
        async with (
            serving(handler) as port,
            impatient(url_of(port), settings=CLIENT) as publisher,
            impatient(url_of(port), settings=CLIENT) as client,
            client.subscribe(STREAM) as subscription,
        ):
            for n in range(3):
                await publisher.send_message(ECG, {**ecg(n), "stream": STREAM}, acknowledged=True)
            messages = await take(subscription, 3)
            assert sequences(messages) == [0, 1, 2]
            assert [message.form for message in messages] == [Form.RECORD] * 3

    run(conversation())


def test_left_and_subscribed_again_nothing_comes_twice():
    async def conversation():
        handler = server()
        async with serving(handler) as port, impatient(url_of(port), settings=CLIENT) as client:
            for n in range(5):
                async with client.subscribe(STREAM) as subscription:
                    await handler.publish(STREAM, ECG, ecg(n))
                    await handler.publish(STREAM, ECG, ecg(n + 100))
                    assert sequences(await take(subscription, 1)) == [n]
                    assert subscription.gap_count == 0
            assert client.stats()["refused"] == {}

    run(conversation())


# --- messages that cannot be read ---

TEMPLATE = Template(1, STREAM, "int16", 1, {"sampling_rate": 500})
CODEC = Codec(version=4)


async def say(talk, type, data, **place):
    await talk.websocket.send(CODEC.encode(type, data, **place))


async def grant(talk, next, *, template=False):
    await talk.negotiate(versions=[4], preferred=4, capabilities=[*NEGOTIATION["capabilities"], "templates"])
    asked = await talk.hear(MessageType.SUBSCRIBE)
    frame = CODEC.encode(MessageType.STREAM_TEMPLATE, TEMPLATE.fields_on_the_wire(), stream_id=7, sequence=1)
    answer = {"stream": STREAM, "status": "subscribed", "id": 7, "epoch": 5, "next": next}
    await say(talk, MessageType.SUBSCRIPTION_ACK, answer | ({"templates": [frame]} if template else {}))
    return asked.data


async def send(talk, number, payload=None):
    payload = TEMPLATE.encode(np.full((1, 3), number, "int16"), number) if payload is None else payload
    await say(talk, ECG, payload, stream_id=7, sequence=number, form=Form.RECORD)


def test_records_without_their_template_reconnect_and_come_again():
    async def conversation():
        asked = []

        async def without_template(talk):
            asked.append(await grant(talk, 2))
            for number in range(2, 12):
                await send(talk, number)
            await talk.websocket.wait_closed()

        async def with_template(talk):
            asked.append(await grant(talk, 2, template=True))
            for number in range(2, 12):
                await send(talk, number)
            await talk.websocket.wait_closed()

        async with (
            scripted(without_template, with_template) as url,
            impatient(url, settings=CLIENT) as client,
            client.subscribe(STREAM) as subscription,
        ):
            messages = await take(subscription, 10)
            assert [message.sequence for message in messages] == list(range(2, 12))
            assert subscription.gap_count == 0
            assert "epoch" not in asked[0]
            assert {name: asked[1][name] for name in ("epoch", "after")} == {"epoch": 5, "after": 1}

    run(conversation())


def test_a_message_refused_twice_is_a_gap():
    broken = TEMPLATE.encode(np.zeros((1, 3), "int16"), 5)[:-1]

    async def conversation():
        gaps = []

        async def first(talk):
            await grant(talk, 2, template=True)
            for number in range(2, 7):
                await send(talk, number, broken)
            await talk.websocket.wait_closed()

        async def second(talk):
            asked = await grant(talk, 2, template=True)
            assert asked["after"] == 1
            for number in range(2, 7):
                await send(talk, number, broken)
            await send(talk, 7)
            await talk.websocket.wait_closed()

        async with (
            scripted(first, second) as url,
            impatient(url, settings=CLIENT) as client,
            client.subscribe(STREAM, on_gap=gaps.append) as subscription,
        ):
            [message] = await take(subscription, 1)
            assert message.sequence == 7
            assert [gap.frames for gap in gaps] == [5]
            assert client.stats()["connections"] == 2

    run(conversation())


def test_records_fill_a_queue_by_what_they_become():
    async def conversation():
        async def script(talk):
            await grant(talk, 2, template=True)
            for number in range(2, 5):
                flat = TEMPLATE.encode(np.zeros((1, 1_000_000), "int16"), number)
                assert len(flat) < 40_000
                await send(talk, number, flat)
            await talk.websocket.wait_closed()

        async with (
            scripted(script) as url,
            impatient(url, settings=CLIENT) as client,
            client.subscribe(STREAM) as subscription,
        ):
            await until(lambda: subscription.pressure)
            assert subscription.waiting == 3
            assert len(await take(subscription, 3)) == 3

    run(conversation())


# --- a storm ---


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_through_cuts_each_message_comes_once_or_in_a_counted_gap(seed):
    async def conversation():
        dice = random.Random(seed)
        handler = server(ring_bytes=6000)
        gaps = []
        async with (
            serving(handler) as port,
            cutting_proxy(port, seed=seed) as proxy,
            impatient(proxy.url, settings=CLIENT) as client,
            client.subscribe(STREAM, on_gap=gaps.append) as subscription,
        ):
            got = []

            async def watch():
                async for message in subscription:
                    got.append(message)  # noqa: PERF401 - ``got`` is looked at meanwhile

            watching = asyncio.create_task(watch())
            for n in range(300):
                await handler.publish(STREAM, ECG, ecg(n))
                if dice.random() < 0.1:
                    await handler.publish(STREAM, ALERT, {"kind": "a", "timestamp": 1.0, "sequence": -n})
                if dice.random() < 0.03:
                    proxy.cut()
                if dice.random() < 0.2:
                    await asyncio.sleep(0.005)
            await until(lambda: client.state is State.CONNECTED and subscription.status == "subscribed")
            await handler.publish(STREAM, ECG, ecg(300))
            await until(lambda: got and got[-1].data["sequence"] == 300)
            watching.cancel()
            arrived = [message.sequence for message in got]
            assert len(set(arrived)) == len(arrived)
            lost = arrived[-1] - len(arrived)
            assert sum(gap.frames for gap in gaps) in (lost, lost - 1)  # the template counts where it was lost
            in_line = [message.sequence for message in got if message.type is ECG]
            assert in_line == sorted(in_line)
            assert client.stats()["connections"] > 1

    run(conversation())
