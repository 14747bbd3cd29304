"""Publishers and a real server: each message once at each viewer, or in a loss that both ends count alike."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack

import numpy as np
import pytest
from client.cutting_proxy import cutting_proxy
from client.servers import STREAM, impatient, serving, until, url_of
from running import run

from ecgframe import ErrorCode, Flag, MessageType
from ecgframe.client import ConnectionLost, State
from ecgframe.errors import PermissionDenied
from ecgframe.protocol import Capability, Form
from ecgframe.server import Limits, WebSocketBinaryHandler
from ecgframe.session import Settings

ALL = (1, 2, 3, 4)
CLIENT = Settings(versions=ALL, negotiation_timeout=1.0)
ECG = MessageType.ECG_DATA
ALERT = MessageType.ANOMALY_ALERT
KINDS = {
    "V1": Settings(versions=(1,)),
    "V3": Settings(),
    "V4 MessagePack": Settings(versions=ALL, capabilities=frozenset({Capability.PRIORITY})),
    "V4": CLIENT,
}


async def anyone(connection, action, stream):
    return True


def server(authorize=anyone, **limits):
    return WebSocketBinaryHandler(
        settings=Settings(versions=ALL), limits=Limits(**{"rate_limit": None, **limits}), authorize=authorize
    )


def ecg(n, **fields):
    signal = np.cumsum(np.random.default_rng(n).integers(-9, 10, (2, 25)), axis=1).astype("int16")
    fixed = {"sampling_rate": 500, "leads": ["I", "II"], "gain": 200}
    return {"signal": signal, "timestamp": 1705314645 + n / 20, "sequence": n, **fixed, **fields}


def alert(n):
    return {"kind": "pause", "timestamp": 1705314645.0, "sequence": n}


async def take(subscription, count):
    return [await anext(subscription) for _ in range(count)]


def sequences(messages):
    return [message.data["sequence"] for message in messages]


def test_every_viewer_gets_what_a_client_publishes_in_its_own_form():
    async def conversation():
        handler = server()
        async with serving(handler) as port, AsyncExitStack() as stack:
            viewers = {}
            for name, settings in KINDS.items():
                client = await stack.enter_async_context(impatient(url_of(port), settings=settings))
                viewers[name] = await stack.enter_async_context(client.subscribe(STREAM))
            await until(lambda: all(viewer.status == "subscribed" for viewer in viewers.values()))
            published = [ecg(n, gain=200 + n // 4) for n in range(8)]
            async with (
                impatient(url_of(port), settings=CLIENT) as client,
                client.publisher(STREAM) as publisher,
            ):
                for data in published:
                    await publisher.send(ECG, data)
                await publisher.send(ALERT, alert(8), acknowledged=True)
            assert publisher.lost == 0
            for name, viewer in viewers.items():
                messages = sorted(await take(viewer, 9), key=lambda message: message.data["sequence"])
                for message, data in zip(messages, published, strict=False):
                    assert message.data.keys() == {*data, "stream"}
                    assert np.array_equal(np.asarray(message.data["signal"]), data["signal"])
                    assert message.data["gain"] == data["gain"]
                assert viewer.gap_count == 0, name
                if name == "V4":
                    # 1 and 6 are templates; the numbers are the publisher's
                    assert [message.sequence for message in messages] == [2, 3, 4, 5, 7, 8, 9, 10, 11]
                    assert all(message.form for message in messages[:8])

    run(conversation())


def test_after_a_cut_the_client_sends_what_the_server_lacks():
    async def conversation():
        handler = server()
        async with (
            serving(handler) as port,
            cutting_proxy(port) as proxy,
            impatient(url_of(port), settings=CLIENT) as viewer,
            viewer.subscribe(STREAM) as subscription,
            impatient(proxy.url, settings=CLIENT) as client,
            client.publisher(STREAM) as publisher,
        ):
            await publisher.send(ECG, ecg(0))
            await publisher.flush()
            proxy.hold()
            for n in range(1, 4):  # sent, but lost in the network
                await publisher.send(ECG, ecg(n))
            await until(lambda: not publisher.stats()["unsent"])
            proxy.refuses = True
            proxy.cut()
            proxy.release()
            await until(lambda: client.state is State.RECONNECTING)
            await publisher.send(ECG, ecg(4, gain=100))  # without a connection, it waits
            proxy.refuses = False
            await publisher.flush()
            assert sequences(await take(subscription, 5)) == [0, 1, 2, 3, 4]
            assert (subscription.gap_count, subscription.duplicates, publisher.lost) == (0, 0, 0)

    run(conversation())


def test_messages_that_left_the_memory_are_a_loss_that_both_ends_count_alike():
    async def conversation():
        handler, lost, gaps = server(), [], []
        async with (
            serving(handler) as port,
            cutting_proxy(port) as proxy,
            impatient(url_of(port), settings=CLIENT) as viewer,
            viewer.subscribe(STREAM, on_gap=gaps.append) as subscription,
            impatient(proxy.url, settings=CLIENT) as client,
            client.publisher(STREAM, memory_frames=10, on_lost=lost.append) as publisher,
        ):
            await publisher.send(ECG, ecg(0))
            await publisher.flush()
            await take(subscription, 1)
            proxy.refuses = True
            proxy.cut()
            await until(lambda: client.state is State.RECONNECTING)
            for n in range(1, 31):
                await publisher.send(ECG, ecg(n))
            proxy.refuses = False
            await publisher.flush()
            assert sequences(await take(subscription, 10)) == list(range(21, 31))
            assert [gap.frames for gap in gaps] == [20]
            assert [(one.stream, one.messages) for one in lost] == [(STREAM, 20)]
            assert publisher.lost == publisher.stats()["lost"] == 20

    run(conversation())


def test_another_publisher_ends_the_first_and_its_epoch_never_comes_back():
    async def conversation():
        handler = server()
        async with (
            serving(handler) as port,
            impatient(url_of(port), settings=CLIENT) as viewer,
            viewer.subscribe(STREAM) as subscription,
            impatient(url_of(port), settings=CLIENT) as one,
            impatient(url_of(port), settings=CLIENT) as other,
        ):
            first = one.publisher(STREAM)
            await first.send(ECG, ecg(0), acknowledged=True)
            second = other.publisher(STREAM)
            await second.send(ECG, ecg(1), acknowledged=True)
            with pytest.raises(PermissionDenied):
                await first.send(ECG, ecg(2), acknowledged=True)
            with pytest.raises(PermissionDenied):
                await first.send(ECG, ecg(3))
            await second.send(ECG, ecg(4), acknowledged=True)
            assert sequences(await take(subscription, 3)) == [0, 1, 4]
            assert subscription.dropped == 0
            assert first.status == "over"
            await second.close()
            with pytest.raises(ConnectionLost):
                await second.send(ECG, ecg(5))

    run(conversation())


def test_a_client_without_permission_gets_one_error():
    async def conversation():
        async def nobody(connection, action, stream):
            asked.append(action)
            return False

        asked = []
        async with serving(server(nobody)) as port, impatient(url_of(port), settings=CLIENT) as client:
            publisher = client.publisher(STREAM)
            with pytest.raises(PermissionDenied):
                await publisher.send(ECG, ecg(0), acknowledged=True)
            await client.ping()
            assert asked == ["publish"]
            assert client.stats()["errors"] == {ErrorCode.PERMISSION_DENIED: 1}
            assert client.stats()["publishers"] == {}

    run(conversation())


def test_to_an_older_server_a_publisher_sends_as_send_message_does():
    async def conversation():
        handler = WebSocketBinaryHandler(authorize=anyone)
        async with (
            serving(handler) as port,
            impatient(url_of(port), settings=CLIENT) as client,
            client.subscribe(STREAM) as subscription,
        ):
            publisher = client.publisher(STREAM)
            await until(lambda: subscription.status == "subscribed")
            await publisher.send(ECG, ecg(0))
            assert sequences(await take(subscription, 1)) == [0]

    run(conversation())


def test_a_publisher_refuses_what_belongs_to_no_stream_or_another():
    async def conversation():
        async with serving(server()) as port, impatient(url_of(port), settings=CLIENT) as client:
            publisher = client.publisher(STREAM)
            for type, data, flags in [
                (MessageType.PING, {}, 0),
                (ECG, {**ecg(0), "stream": "ecg/other"}, 0),
                (ECG, ecg(0), Flag.BROADCAST),
            ]:
                with pytest.raises(ValueError, match=r"data message|other|no flag"):
                    await publisher.send(type, data, flags)
            with pytest.raises(ValueError, match="already"):
                client.publisher(STREAM)
            with pytest.raises(ValueError, match="samples"):
                client.publisher("ecg/2", samples="rounded")

    run(conversation())


def test_floats_that_are_counts_travel_as_these_and_arrive_bit_for_bit():
    async def conversation():
        async with (
            serving(server()) as port,
            impatient(url_of(port), settings=CLIENT) as viewer,
            viewer.subscribe(STREAM) as subscription,
            impatient(url_of(port), settings=CLIENT) as client,
            client.publisher(STREAM, samples="exact") as publisher,
        ):
            signal = np.array([[100, 104, -3], [7, 8, 9]]) * 4.88 / 1000
            await publisher.send(ECG, ecg(0, signal=signal))
            [message] = await take(subscription, 1)
            assert np.array_equal(message.data["signal"], signal)
            assert message.form

    run(conversation())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_cuts_of_every_connection_at_any_time(seed):
    async def conversation():
        at_random = random.Random(seed)
        handler = server()
        async with AsyncExitStack() as stack:
            port = await stack.enter_async_context(serving(handler))
            to_publisher = await stack.enter_async_context(cutting_proxy(port))
            to_viewers = await stack.enter_async_context(cutting_proxy(port))
            subscriptions = {}
            for name in ("V3", "V4 MessagePack", "V4"):
                client = await stack.enter_async_context(impatient(to_viewers.url, settings=KINDS[name]))
                subscriptions[name] = await stack.enter_async_context(client.subscribe(STREAM))
            await until(lambda: all(each.status == "subscribed" for each in subscriptions.values()))
            client = await stack.enter_async_context(impatient(to_publisher.url, settings=CLIENT))
            publisher = client.publisher(STREAM)
            count = 120
            for n in range(count):
                if n % 9 == 5:
                    await publisher.send(ALERT, alert(n))
                else:
                    await publisher.send(ECG, ecg(n, gain=100 + n // 30))
                if at_random.random() < 0.06:
                    to_publisher.cut()
                if at_random.random() < 0.06:
                    to_viewers.cut()
                await asyncio.sleep(at_random.choice((0, 0, 0.001, 0.004)))
            await publisher.close()
            for name, subscription in subscriptions.items():
                messages = await take(subscription, count)
                assert sorted(sequences(messages)) == list(range(count)), name
                assert subscription.dropped == 0, name
            assert publisher.lost == 0

    run(conversation())


def test_a_server_that_has_forgotten_the_epoch_gets_it_again():
    async def conversation():
        gaps = []
        async with AsyncExitStack() as stack:
            first = await stack.enter_async_context(serving(server()))
            proxy = await stack.enter_async_context(cutting_proxy(first))
            viewer = await stack.enter_async_context(impatient(proxy.url, settings=CLIENT))
            subscription = await stack.enter_async_context(viewer.subscribe(STREAM, on_gap=gaps.append))
            await until(lambda: subscription.status == "subscribed")
            client = await stack.enter_async_context(impatient(proxy.url, settings=CLIENT))
            publisher = client.publisher(STREAM, memory_frames=20)
            for n in range(30):
                await publisher.send(ECG, ecg(n))
            await publisher.flush()
            assert sequences(await take(subscription, 30)) == list(range(30))
            handler = server()
            proxy.targets = [await stack.enter_async_context(serving(handler))]
            proxy.cut()
            for n in range(30, 36):
                await publisher.send(ECG, ecg(n))
            await publisher.flush()
            assert sequences(await take(subscription, 6)) == list(range(30, 36))
            # Until the publisher came back, the viewer could not know what it misses.
            assert all(gap.frames is None for gap in gaps)
            # The second server never had what memory did not hold any more; only the template is kept apart.
            assert publisher.lost > 0
            assert handler.stats()["streams"][STREAM]["frames"] == publisher.stats()["written"] - publisher.lost

    run(conversation())


def test_a_large_message_is_encoded_in_a_thread_and_keeps_its_place():
    async def conversation():
        async with (
            serving(server()) as port,
            impatient(url_of(port), settings=CLIENT) as viewer,
            viewer.subscribe(STREAM) as subscription,
            impatient(url_of(port), settings=CLIENT) as client,
            client.publisher(STREAM) as publisher,
        ):
            large = ecg(1, signal=np.zeros((2, 20_000), "int16"))
            await asyncio.gather(*(publisher.send(ECG, data) for data in (ecg(0), large, ecg(2))))
            messages = await take(subscription, 3)
            assert sequences(messages) == [0, 1, 2]
            assert [bool(message.form & Form.RECORD) for message in messages] == [True, False, True]

    run(conversation())


@pytest.mark.slow
def test_a_publisher_that_is_behind_makes_its_application_wait():
    async def conversation():
        async with (
            serving(server()) as port,
            cutting_proxy(port) as proxy,
            impatient(proxy.url, settings=CLIENT) as client,
        ):
            publisher = client.publisher(STREAM, memory_bytes=1 << 26)
            await publisher.send(ECG, ecg(0), acknowledged=True)
            proxy.hold()

            async def send_on():
                noise = np.random.default_rng(1).random((2, 3000))
                for n in range(1, 2000):
                    await publisher.send(ECG, ecg(n, signal=noise), timeout=0.2)

            with pytest.raises(TimeoutError):
                await send_on()
            await publisher.send(ALERT, alert(1), timeout=0.2)  # overtakes what waits
            proxy.release()
            await publisher.flush()
            assert publisher.lost == 0

    run(conversation())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_a_small_memory_and_cuts_lose_what_both_ends_count_alike(seed):
    async def conversation():
        at_random = random.Random(seed)
        async with AsyncExitStack() as stack:
            port = await stack.enter_async_context(serving(server()))
            to_publisher = await stack.enter_async_context(cutting_proxy(port))
            to_viewer = await stack.enter_async_context(cutting_proxy(port))
            viewer = await stack.enter_async_context(impatient(to_viewer.url, settings=CLIENT))
            subscription = await stack.enter_async_context(viewer.subscribe(STREAM))
            await until(lambda: subscription.status == "subscribed")
            client = await stack.enter_async_context(impatient(to_publisher.url, settings=CLIENT))
            publisher = client.publisher(STREAM, memory_frames=4)
            for n in range(150):
                type, data = (ALERT, alert(n)) if n % 7 == 3 else (ECG, ecg(n, gain=100 + n // 20))
                await publisher.send(type, data)
                if at_random.random() < 0.08:
                    to_publisher.cut()
                if at_random.random() < 0.08:
                    to_viewer.cut()
                await asyncio.sleep(at_random.choice((0, 0, 0.001, 0.004)))
            await publisher.flush()
            last = ecg(150)
            await publisher.send(ECG, last)
            await publisher.close()
            seen = [await anext(subscription)]
            while seen[-1].data["sequence"] != 150:
                seen.append(await anext(subscription))
            assert len(set(sequences(seen))) == len(seen)
            assert publisher.lost == subscription.dropped
            # Each number is a message that arrived, one that is lost, or a template, of which the fields make eight.
            written = publisher.stats()["written"]
            assert 1 <= written - len(seen) - publisher.lost <= 9

    run(conversation())
