"""Subscriptions: granted, denied, unsubscribed, forgotten."""

from __future__ import annotations

import asyncio
import gc
import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from client.servers import STREAM, impatient, numbers, scripted, serving, stay, until, url_of
from running import run

from ecgframe import Flag, MessageType, PermissionDenied, RateLimitExceeded, encode
from ecgframe.client import Gap
from ecgframe.server import Limits, WebSocketBinaryHandler
from ecgframe.session import Settings, seconds

ECG = MessageType.ECG_DATA


def ecg(number):
    return {"signal": np.array([number]), "sampling_rate": 250}


def talk_with(conversation, *, client=None, **options):
    """Run ``await conversation(handler, client)`` with a real server between them."""

    async def talk():
        handler = WebSocketBinaryHandler(**options)
        async with serving(handler) as port, impatient(url_of(port), **(client or {})) as connected:
            await conversation(handler, connected)

    run(talk())


async def first(messages, count):
    return [message async for message, _ in _counted(messages, count)]


async def _counted(messages, count):
    for number in range(count):
        yield await anext(messages), number


def subscriptions(handler):
    return sorted(stream for info in handler.connections() for stream in info.streams)


# --- messages ---


@pytest.mark.parametrize("versions", [(1, 2, 3), (1, 2, 3, 4)])
@pytest.mark.parametrize("copy", [False, True])
def test_arrays_are_writable_if_copies_are_asked_for(versions, copy):
    async def conversation(handler, client):
        async with client.subscribe(STREAM) as subscription:
            await handler.publish(STREAM, ECG, {"signal": np.arange(8, dtype=np.int16), "sampling_rate": 250})
            signal = (await anext(subscription)).data["signal"]
            assert signal.flags.writeable is copy
            assert signal.tolist() == list(range(8))

    settings = Settings(versions=versions, copy=copy)
    talk_with(conversation, client={"settings": settings}, settings=Settings(versions=versions))


def test_messages_come_in_order():
    async def conversation(handler, client):
        async with client.subscribe(STREAM) as subscription:
            assert subscription.status == "subscribed"
            for number in range(5):
                await handler.publish(STREAM, ECG, ecg(number))
            messages = await first(subscription, 5)
            assert numbers(messages) == [0, 1, 2, 3, 4]
            assert messages[0].data["stream"] == STREAM
            assert subscription.received == 5

    talk_with(conversation)


def test_without_a_context_manager():
    async def conversation(handler, client):
        async def play():
            await until(lambda: subscriptions(handler))
            for number in range(3):
                await handler.publish(STREAM, ECG, ecg(number))

        async with asyncio.TaskGroup() as group:
            group.create_task(play())
            async for message in client.subscribe(STREAM):
                if numbers([message]) == [2]:
                    break

    talk_with(conversation)


def test_each_stream_gets_its_own():
    async def conversation(handler, client):
        async with client.subscribe("a") as a, client.subscribe("b") as b:
            for number in range(4):
                await handler.publish("ab"[number % 2], ECG, ecg(number))
            assert numbers(await first(b, 2)) == [1, 3]
            assert numbers(await first(a, 2)) == [0, 2]

    talk_with(conversation)


@pytest.mark.parametrize("as_datetime", [False, True])
def test_since_brings_what_came_after(as_datetime):
    async def conversation(handler, client):
        stamps = [await handler.publish(STREAM, ECG, ecg(number)) for number in range(5)]
        since = stamps[2]
        if as_datetime:
            since = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=since)
        async with client.subscribe(STREAM, since=since) as subscription:
            assert numbers(await first(subscription, 2)) == [3, 4]
            assert not subscription.gaps

    talk_with(conversation)


def test_since_before_the_kept_messages_is_reported_as_a_gap_before_them():
    told = []

    async def conversation(handler, client):
        large = {"signal": np.random.default_rng(7).random(1500), "sampling_rate": 250}
        before = await handler.publish(STREAM, ECG, large)
        await handler.publish(STREAM, ECG, large)  # that pushes the first one out
        await handler.publish(STREAM, ECG, ecg(2))
        async with client.subscribe(STREAM, since=before - 1, on_gap=told.append) as subscription:
            assert not told  # the iterator has not come there
            assert numbers((await first(subscription, 2))[1:]) == [2]
            assert list(subscription.gaps) == told == [Gap(STREAM, before - 1, before + 1, None)]
            assert subscription.gap_count == 1

    talk_with(conversation, limits=Limits(ring_bytes=20_000))


@pytest.mark.parametrize("raised", [LookupError, asyncio.CancelledError])
def test_an_exception_of_on_gap_goes_to_the_event_loop_and_the_iterator_continues(raised):
    told = []

    def fail(gap):
        raise raised(gap.stream)

    async def gappy(talk):
        await talk.negotiate()
        await talk.grant(**{"from": seconds(2_000_000)})
        await talk.send_ecg(1, timestamp=2_000_000)
        await stay(talk)

    async def conversation():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
        async with scripted(gappy) as url, impatient(url) as client:
            subscription = client.subscribe(STREAM, since=1_000_000, on_gap=fail)
            assert numbers([await anext(subscription)]) == [1]
            assert subscription.gap_count == 1

    run(conversation())
    assert [str(error) for error in told] == [STREAM]


NOTICE = {"stream": STREAM, "from": 2.0, "to": 3.0, "dropped": 1}


@pytest.mark.parametrize(
    "field",
    [
        {"from": math.nan},
        {"to": math.nan},
        {"from": math.inf},
        {"to": -math.inf},
        {"from": -1.0},
        {"dropped": -3},
    ],
)
def test_a_notice_of_dropped_frames_with_a_wrong_number_stops_nothing(field):
    async def sly(talk):
        await talk.negotiate()
        await talk.grant()
        notice = {"code": 0x204, "message": "x", "details": NOTICE | field}
        data = {"signal": [1], "sampling_rate": 250, "stream": STREAM}
        frames = encode(MessageType.ERROR, notice) + encode(ECG, data)
        await talk.websocket.send(frames)  # in one message
        await stay(talk)

    async def conversation():
        async with scripted(sly) as url, impatient(url) as client:
            subscription = client.subscribe(STREAM)
            assert numbers([await anext(subscription)]) == [1]
            assert (subscription.gap_count, subscription.dropped) == (0, 0)

    run(conversation())


def test_a_server_in_trouble_is_asked_again_though_the_delays_have_come_to_an_end():
    async def troubled(talk):
        await talk.negotiate()
        await talk.grant()
        talk.cut()

    async def still_troubled(talk):
        await talk.negotiate()
        for _ in range(4):
            await talk.hear(MessageType.SUBSCRIBE)
            await talk.say(MessageType.SUBSCRIPTION_ACK, {"stream": STREAM, "status": "denied"})
        await talk.grant()
        await talk.send_ecg(7)
        await stay(talk)

    async def conversation():
        async with (
            scripted(troubled, still_troubled) as url,
            impatient(url, reconnect_delays=lambda: iter([0.01, 0.01])) as client,
        ):
            assert numbers([await anext(client.subscribe(STREAM))]) == [7]

    run(conversation())


# --- refusals ---


def test_a_denied_subscription_raises():
    async def authorize(connection, action, stream):
        return stream != "secret"

    async def conversation(handler, client):
        with pytest.raises(PermissionDenied, match="'secret'"):
            async with client.subscribe("secret"):
                pass
        subscription = client.subscribe("secret")
        for _ in range(2):
            with pytest.raises(PermissionDenied):
                await anext(subscription)
        assert subscription.status == "denied"
        async with client.subscribe("open") as allowed:
            assert allowed.status == "subscribed"

    talk_with(conversation, authorize=authorize)


def test_too_many_streams_are_denied():
    async def conversation(handler, client):
        async with client.subscribe("a"):
            with pytest.raises(RateLimitExceeded):
                await anext(client.subscribe("b"))

    talk_with(conversation, limits=Limits(streams_per_connection=1))


def test_invalid_arguments_raise():
    async def conversation(handler, client):
        subscription = client.subscribe(STREAM)
        with pytest.raises(ValueError, match="already"):
            client.subscribe(STREAM)
        for name in ("", "x" * 1000):
            with pytest.raises(ValueError, match="1 to 256 characters"):
                client.subscribe(name)
        with pytest.raises(TypeError, match="microseconds"):
            client.subscribe("x", since=1.5)
        with pytest.raises(ValueError, match="at least 1"):
            client.subscribe("x", capacity=0)
        with pytest.raises(ValueError, match="no subscription of 'x'"):
            await client.unsubscribe("x")
        assert repr(subscription).startswith(f"<Subscription '{STREAM}'")

    talk_with(conversation)


# --- leaving ---


def test_leaving_the_block_unsubscribes():
    async def conversation(handler, client):
        async with client.subscribe(STREAM) as subscription:
            await handler.publish(STREAM, ECG, ecg(0))
            async for _ in subscription:
                break
            assert subscriptions(handler) == [STREAM]
        await until(lambda: not subscriptions(handler))
        assert subscription.status == "unsubscribed"

    talk_with(conversation)


def test_unsubscribing_is_confirmed_and_ends_the_iterator_after_the_received_messages():
    async def conversation(handler, client):
        subscription = client.subscribe(STREAM)
        async with subscription:
            for number in range(3):
                await handler.publish(STREAM, ECG, ecg(number))
            await until(lambda: subscription.waiting == 3)
            await client.unsubscribe(STREAM)
            assert subscriptions(handler) == []
            assert numbers([message async for message in subscription]) == [0, 1, 2]

    talk_with(conversation)


def test_unsubscribing_takes_no_longer_than_the_connection():
    async def conversation():
        async def silent(talk):
            await talk.negotiate()
            await talk.grant()
            await talk.hear(MessageType.UNSUBSCRIBE)
            talk.cut()

        async with scripted(silent, stay) as url, impatient(url) as client, client.subscribe(STREAM):
            await client.unsubscribe(STREAM)

    run(conversation())


def test_a_forgotten_subscription_does_not_prevent_a_new_one():
    async def conversation(handler, client):
        client.subscribe(STREAM)
        async with client.subscribe(STREAM) as subscription:
            await client.ping()
            await handler.publish(STREAM, ECG, ecg(1))
            assert numbers(await first(subscription, 1)) == [1]

    talk_with(conversation)


def test_a_stream_that_was_left_can_be_followed_again_at_once():
    async def conversation(handler, client):
        leaving = []
        for number in range(20):
            subscription = client.subscribe(STREAM)
            if number % 2:
                async with subscription:
                    pass
            else:
                leaving.append(asyncio.create_task(client.unsubscribe(STREAM)))
                await asyncio.sleep(0)
        async with client.subscribe(STREAM) as subscription:
            await asyncio.gather(*leaving)
            await client.ping()
            await handler.publish(STREAM, ECG, ecg(7))
            assert numbers(await first(subscription, 1)) == [7]

    talk_with(conversation)


def test_a_forgotten_subscription_is_unsubscribed():
    async def conversation(handler, client):
        client.subscribe("dropped")
        async with client.subscribe(STREAM):
            await until(lambda: subscriptions(handler) == [STREAM])
        kept = client.subscribe("kept")
        ring = [kept]
        ring.append(ring)  # found by the collector only
        await until(lambda: subscriptions(handler) == ["kept"])
        del kept, ring
        gc.collect()
        await until(lambda: not subscriptions(handler))

    talk_with(conversation)


def test_a_full_forgotten_subscription_does_not_stop_others():
    async def conversation(handler, client):
        async with client.subscribe(STREAM) as subscription:
            for number in range(6):
                full = client.messages(capacity=1) if number % 2 else client.subscribe("full", capacity=1)
                await client.ping()
                for _ in range(10):
                    await handler.publish("full", ECG, ecg(0))
                    await handler.broadcast(ECG, ecg(0))
                await until(lambda: full.waiting)  # noqa: B023
                full = None
                await handler.publish(STREAM, ECG, ecg(number))
                assert numbers(await first(subscription, 1)) == [number]

    talk_with(conversation)


def test_a_cancelled_wait_for_the_answer_unsubscribes():
    async def conversation():
        async def silent(talk):
            await talk.negotiate()
            await talk.hear(MessageType.SUBSCRIBE)
            assert (await talk.hear(MessageType.UNSUBSCRIBE)).data == {"stream": STREAM}
            heard.set()
            await stay(talk)

        heard = asyncio.Event()
        async with scripted(silent) as url, impatient(url) as client:
            subscription = client.subscribe(STREAM)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05), subscription:
                    pass
            await heard.wait()

    run(conversation())


def test_messages_in_transit_when_unsubscribing_are_dropped():
    async def slow(talk):
        await talk.negotiate()
        await talk.grant()
        await talk.hear(MessageType.UNSUBSCRIBE)
        await talk.send_ecg(1, timestamp=1)
        await talk.say(MessageType.SUBSCRIPTION_ACK, {"stream": STREAM, "status": "unsubscribed"})
        await talk.send_ecg(2, timestamp=2)
        await stay(talk)

    async def conversation():
        async with scripted(slow) as url, impatient(url) as client, client.messages() as others:
            client.subscribe(STREAM)
            assert numbers(await first(others, 1)) == [2]

    run(conversation())


def test_late_answers_do_not_count_for_a_new_subscription():
    async def slow(talk):
        await talk.negotiate()
        for type in (MessageType.SUBSCRIBE, MessageType.UNSUBSCRIBE, MessageType.SUBSCRIBE):
            await talk.hear(type)
        await talk.say(MessageType.SUBSCRIPTION_ACK, {"stream": STREAM, "status": "denied", "code": 0x203})
        await talk.send_ecg(1, timestamp=1)  # of the first subscription, as if it had been granted
        await talk.say(MessageType.SUBSCRIPTION_ACK, {"stream": STREAM, "status": "unsubscribed"})
        await talk.say(MessageType.SUBSCRIPTION_ACK, {"stream": STREAM, "status": "subscribed"})
        await talk.send_ecg(2, timestamp=2)
        await stay(talk)

    async def conversation():
        async with scripted(slow) as url, impatient(url) as client:
            first_one = client.subscribe(STREAM)
            leaving = asyncio.create_task(client.unsubscribe(STREAM))
            await asyncio.sleep(0)
            second = client.subscribe(STREAM)
            await leaving
            assert numbers([await anext(second)]) == [2]
            assert [message async for message in first_one] == []

    run(conversation())


# --- beside the streams ---


def test_messages_of_no_subscription_have_a_queue():
    async def conversation(handler, client):
        (connection,) = handler.connections()
        await handler.send_message(connection.id, ECG, ecg(0))
        await client.ping()
        assert client.stats()["unclaimed"] == 1
        async with client.messages() as queue:
            with pytest.raises(ValueError, match="already"):
                client.messages()
            await handler.send_message(connection.id, ECG, ecg(1))
            await handler.broadcast(ECG, ecg(2))
            await handler.broadcast(ECG, ecg(3) | {"stream": "not followed"})
            assert numbers(await first(queue, 3)) == [1, 2, 3]
        await handler.send_message(connection.id, ECG, ecg(4))
        await client.ping()
        assert client.stats()["unclaimed"] == 2
        async with client.messages() as again:
            assert again.waiting == 0

    talk_with(conversation)


def test_a_broadcast_about_a_followed_stream_comes_there_and_does_not_move_the_place():
    async def conversation(handler, client):
        async with client.subscribe(STREAM) as subscription:
            await handler.publish(STREAM, ECG, ecg(0))
            place = subscription.cursor.since
            await handler.broadcast(ECG, ecg(1) | {"stream": STREAM})
            assert numbers(await first(subscription, 2)) == [0, 1]
            before = place()
            stamp = await handler.publish(STREAM, ECG, ecg(2))
            await first(subscription, 1)
            assert before < place() == stamp

    talk_with(conversation)


# --- acknowledging ---


def test_a_message_is_acknowledged_when_it_is_taken():
    given_up = []

    async def on_undelivered(connection, *details):
        given_up.append(details)

    async def conversation(handler, client):
        async with client.subscribe(STREAM) as subscription:
            await handler.publish(STREAM, ECG, ecg(0), flags=Flag.ACK_REQUIRED)
            await until(lambda: subscription.waiting)
            await client.ping()
            assert client.stats()["sent"].get("PONG", 0) == 0
            await first(subscription, 1)
            await until(lambda: client.stats()["sent"].get("PONG", 0) == 1)

    talk_with(conversation)


def test_a_duplicate_is_acknowledged_and_not_returned_twice():
    async def again(talk):
        await talk.negotiate()
        await talk.grant()
        for _ in range(2):
            await talk.send_ecg(1, timestamp=10, flags=Flag.ACK_REQUIRED)
            pong = await talk.hear(MessageType.PONG)
            assert pong.data == {"ack": 10, "type": ECG}
        await talk.send_ecg(2, timestamp=11)
        await stay(talk)

    async def conversation():
        async with scripted(again) as url, impatient(url) as client:
            subscription = client.subscribe(STREAM)
            assert numbers(await first(subscription, 2)) == [1, 2]

    run(conversation())


@pytest.mark.parametrize("taken_before_the_cut", [True, False])
def test_a_duplicate_over_another_connection_is_acknowledged_there(taken_before_the_cut):
    acknowledged = asyncio.Event()

    async def before(talk):
        await talk.negotiate()
        await talk.grant()
        await talk.send_alert(1, timestamp=10, flags=Flag.PRIORITY | Flag.ACK_REQUIRED)
        if taken_before_the_cut:
            await talk.hear(MessageType.PONG)
        else:
            await until(lambda: subscriptions_of[0].waiting)
        talk.cut()

    async def after(talk):
        await talk.negotiate()
        await talk.grant()
        await talk.send_alert(1, timestamp=10, flags=Flag.PRIORITY | Flag.ACK_REQUIRED)
        if not taken_before_the_cut:
            await talk.send_ecg(2, timestamp=11)
        pong = await talk.hear(MessageType.PONG)
        assert pong.data == {"ack": 10, "type": MessageType.ANOMALY_ALERT}
        acknowledged.set()
        await stay(talk)

    subscriptions_of = []

    async def conversation():
        async with scripted(before, after) as url, impatient(url) as client:
            subscription = client.subscribe(STREAM)
            subscriptions_of.append(subscription)
            if not taken_before_the_cut:
                await until(lambda: subscription.waiting == 2)
            assert (await anext(subscription)).data["number"] == 1
            await acknowledged.wait()
            assert subscription.duplicates == 1

    run(conversation())
