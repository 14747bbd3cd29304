"""Connections that break, and the messages that arrive in the end."""

from __future__ import annotations

from itertools import islice, repeat

import pytest
from client.cutting_proxy import cutting_proxy
from client.servers import NEGOTIATION, STREAM, at_once, impatient, numbers, scripted, serving, stay, until, websockets
from running import run

from ecgframe import InvalidDataFormat, InvalidProtocolVersion, MessageType, PermissionDenied, RateLimitExceeded
from ecgframe.client import ConnectionLost, Gap, State
from ecgframe.client.backoff import STEADY, Backoff
from ecgframe.server import Limits, WebSocketBinaryHandler
from ecgframe.session import Settings, microseconds, seconds

ECG = MessageType.ECG_DATA


def ecg(number):
    return {"signal": [number], "sampling_rate": 250}


async def first(messages, count):
    return [await anext(messages) for _ in range(count)]


# --- where it goes on ---


@pytest.mark.usefixtures("each_version")
def test_missed_messages_come_first():
    async def conversation():
        handler = WebSocketBinaryHandler()
        async with (
            serving(handler) as port,
            cutting_proxy(port) as proxy,
            impatient(proxy.url) as client,
            client.subscribe(STREAM) as subscription,
        ):
            await handler.publish(STREAM, ECG, ecg(0))
            assert numbers(await first(subscription, 1)) == [0]
            proxy.refuses = True
            proxy.cut()
            await until(lambda: client.state is State.RECONNECTING)
            assert subscription.status == "asked"
            for number in range(1, 5):
                await handler.publish(STREAM, ECG, ecg(number))
            proxy.refuses = False
            assert numbers(await first(subscription, 4)) == [1, 2, 3, 4]
            assert subscription.gap_count == 0
            assert client.stats()["connections"] == 2

    run(conversation())


def test_cut_before_the_first_message_it_misses_none():
    async def conversation():
        handler = WebSocketBinaryHandler()
        async with (
            serving(handler) as port,
            cutting_proxy(port) as proxy,
            impatient(proxy.url) as client,
            client.subscribe(STREAM) as subscription,
        ):
            proxy.refuses = True
            proxy.cut()
            await until(lambda: not handler.connections())
            await handler.publish(STREAM, ECG, ecg(7))
            proxy.refuses = False
            assert numbers(await first(subscription, 1)) == [7]
            assert subscription.gap_count == 0

    run(conversation())


def test_messages_that_wait_survive_the_connection():
    async def conversation():
        handler = WebSocketBinaryHandler()
        async with (
            serving(handler) as port,
            cutting_proxy(port) as proxy,
            impatient(proxy.url) as client,
            client.subscribe(STREAM) as subscription,
        ):
            for number in range(3):
                await handler.publish(STREAM, ECG, ecg(number))
            await until(lambda: subscription.waiting == 3)
            proxy.cut()
            await handler.publish(STREAM, ECG, ecg(3))
            assert numbers(await first(subscription, 4)) == [0, 1, 2, 3]

    run(conversation())


def test_messages_that_left_the_history_are_a_gap(each_version):
    async def conversation():
        handler = WebSocketBinaryHandler(limits=Limits(ring_bytes=200))
        async with (
            serving(handler) as port,
            cutting_proxy(port) as proxy,
            impatient(proxy.url) as client,
            client.subscribe(STREAM) as subscription,
        ):
            last = await handler.publish(STREAM, ECG, ecg(0))
            await first(subscription, 1)
            proxy.refuses = True
            proxy.cut()
            await until(lambda: not handler.connections())
            for number in range(1, 10):
                await handler.publish(STREAM, ECG, ecg(number))
            proxy.refuses = False
            (message,) = await first(subscription, 1)
            lost = numbers([message])[0] - 1
            assert lost > 0
            (gap,) = subscription.gaps
            assert gap == Gap(STREAM, last, gap.stop, lost if each_version == 4 else None)
            assert last < gap.stop <= message.timestamp

    run(conversation())


@pytest.mark.usefixtures("each_version")
def test_another_server_without_the_history_is_a_gap():
    async def conversation():
        handler = WebSocketBinaryHandler()
        async with (
            serving() as first_port,
            serving(handler) as second_port,
            cutting_proxy(first_port) as proxy,
            impatient(proxy.url) as client,
            client.subscribe(STREAM) as subscription,
        ):
            before = subscription.cursor.until
            proxy.targets = [second_port]
            proxy.cut()
            await until(lambda: handler.connections() and handler.connections()[0].streams)
            stamp = await handler.publish(STREAM, ECG, ecg(1))
            assert numbers(await first(subscription, 1)) == [1]
            (gap,) = subscription.gaps
            assert before == gap.start < gap.stop < stamp

    run(conversation())


def test_the_client_resumes_after_the_last_message_in_order():
    asked = []

    async def before(talk):
        await talk.negotiate()
        asked.append(await talk.grant())
        await talk.send_ecg(1, timestamp=1_000_001)
        await talk.send_alert(2, timestamp=1_000_005)
        await until(lambda: held[0].received == 2)
        talk.cut()

    async def after(talk):
        await talk.negotiate()
        asked.append(await talk.grant())
        await talk.send_alert(2, timestamp=1_000_005)
        await talk.send_ecg(3, timestamp=1_000_004)
        await talk.send_ecg(6, timestamp=1_000_006)
        await stay(talk)

    held = []

    async def conversation():
        async with scripted(before, after) as url, impatient(url) as client:
            subscription = client.subscribe(STREAM)
            held.append(subscription)
            messages = await first(subscription, 4)
            assert [message.timestamp - 1_000_000 for message in messages] == [1, 5, 4, 6]
            assert "since" not in asked[0].data
            assert microseconds(asked[1].data["since"]) == 1_000_001
            assert subscription.duplicates == 1

    run(conversation())


@pytest.mark.parametrize("version", [1, 2])
def test_without_timestamps_it_goes_on_by_the_clock(version):
    async def conversation():
        handler = WebSocketBinaryHandler()
        settings = Settings(versions=(version,))
        async with (
            serving(handler) as port,
            cutting_proxy(port) as proxy,
            impatient(proxy.url, settings=settings) as client,
            client.subscribe(STREAM) as subscription,
        ):
            assert client.version == version
            await handler.publish(STREAM, ECG, ecg(0))
            await first(subscription, 1)
            proxy.cut()
            for number in range(1, 5):
                await handler.publish(STREAM, ECG, ecg(number))
            seen = {0}
            while 4 not in seen:
                seen.update(numbers(await first(subscription, 1)))
            assert seen == {0, 1, 2, 3, 4}  # some of them perhaps twice

    run(conversation())


# --- notices of what was dropped ---


def notice(start, stop, dropped, **more):
    details = {"stream": STREAM, "from": seconds(start), "to": seconds(stop), "dropped": dropped} | more
    return {"code": 0x204, "message": "too slow", "details": details}


def test_a_notice_is_a_gap_in_its_place():
    errors = []

    async def dropping(talk):
        await talk.negotiate()
        await talk.grant()
        await talk.send_ecg(1, timestamp=1_000_001)
        await talk.say(MessageType.ERROR, notice(1_000_002, 1_000_004, 3))
        await talk.send_ecg(5, timestamp=1_000_005)
        await talk.say(MessageType.ERROR, notice(1_000_006, 1_000_007, 2, stream="another"))
        await talk.say(MessageType.ERROR, notice(1_000_006, 1_000_007, "two"))
        await talk.say(MessageType.ERROR, notice(1_000_006, 1_000_007, 2))
        await talk.websocket.close(1000)

    async def conversation():
        async with scripted(dropping) as url, impatient(url, reconnect=False, on_error=errors.append) as client:
            subscription = client.subscribe(STREAM)
            assert numbers(await first(subscription, 1)) == [1]
            await until(lambda: subscription.status == "closed")
            assert subscription.gap_count == 0
            assert numbers(await first(subscription, 1)) == [5]
            assert list(subscription.gaps) == [Gap(STREAM, 1_000_002, 1_000_004, 3)]
            with pytest.raises(ConnectionLost):
                await anext(subscription)
            assert subscription.gap_count == 2  # the last one, which nothing came behind
            assert subscription.dropped == 5
        refused = [RateLimitExceeded, RateLimitExceeded, InvalidDataFormat, RateLimitExceeded]
        assert [type(error) for error in errors] == refused

    run(conversation())


def test_without_timestamps_a_notice_is_a_gap_at_once():
    async def dropping(talk):
        await talk.negotiate(versions=[1], preferred=1)
        await talk.grant()
        await talk.say(MessageType.ERROR, notice(2, 4, 3))
        await talk.send_ecg(1)
        await stay(talk)

    async def conversation():
        async with scripted(dropping) as url, impatient(url) as client:
            subscription = client.subscribe(STREAM)
            await first(subscription, 1)
            assert list(subscription.gaps) == [Gap(STREAM, 2, 4, 3)]

    run(conversation())


# --- whether, and when ---


async def closing(talk, code):
    await talk.negotiate()
    await talk.websocket.close(code, "so it is")


async def staying(talk):
    await talk.negotiate()
    await stay(talk)


def test_a_server_that_refuses_the_client_is_not_retried():
    async def unwelcome(talk):
        await talk.negotiate()
        await talk.hear(MessageType.SUBSCRIBE)
        await talk.say(MessageType.ERROR, {"code": 0x203, "message": "you again"})
        await talk.websocket.close(1008, "go away")

    async def conversation():
        async with scripted(unwelcome) as url, impatient(url) as client:
            subscription = client.subscribe(STREAM)
            with pytest.raises(ConnectionLost) as lost:
                await anext(subscription)
            assert str(lost.value) == "closed with 1008 (go away; 0x203: you again)"
            assert (lost.value.code, lost.value.reason) == (1008, "go away")
            assert isinstance(lost.value.error, PermissionDenied)
            for waiting in (client.ping(), client.closed, client.send_message(ECG, ecg(0))):
                with pytest.raises(ConnectionLost, match="go away"):
                    await waiting
            assert client.state is State.CLOSED

    run(conversation())


def test_a_server_without_a_common_version_is_not_retried():
    async def today(talk):
        await talk.negotiate()
        talk.cut()

    async def tomorrow(talk):
        await talk.say(MessageType.PROTOCOL_NEGOTIATION, NEGOTIATION | {"versions": [5], "preferred": 5})
        await talk.websocket.wait_closed()

    async def conversation():
        async with scripted(today, tomorrow) as url, impatient(url) as client:
            with pytest.raises(ConnectionLost) as lost:
                await client.closed
            assert isinstance(lost.value.error, InvalidProtocolVersion)

    run(conversation())


@pytest.mark.slow
@pytest.mark.parametrize("code", [1000, 1001, 1002, 1009, 1011, 1013])
def test_other_close_codes_reconnect(code):
    async def conversation():
        async with (
            scripted(lambda talk: closing(talk, code), staying) as url,
            impatient(url, reconnect_delays=lambda: repeat(0.001)) as client,
        ):
            await until(lambda: client.stats()["connections"] == 2)

    run(conversation())


def test_without_reconnecting_the_first_connection_is_the_only_one():
    async def conversation():
        async with (
            serving() as port,
            cutting_proxy(port) as proxy,
            impatient(proxy.url, reconnect=False) as client,
            client.subscribe(STREAM) as subscription,
        ):
            proxy.cut()
            with pytest.raises(ConnectionLost, match="broke off") as lost:
                await anext(subscription)
            assert lost.value.code is None

    run(conversation())


def test_a_server_that_answers_otherwise_later_is_the_end():
    async def conversation():
        refuses = False

        def process(connection, request):
            return connection.respond(403, "no more\n") if refuses else None

        async with (
            serving(process_request=process) as port,
            cutting_proxy(port) as proxy,
            impatient(proxy.url) as client,
            client.subscribe(STREAM) as subscription,
        ):
            refuses = True
            proxy.cut()
            with pytest.raises(ConnectionLost, match="403") as lost:
                await anext(subscription)
            assert isinstance(lost.value.__cause__, websockets.InvalidStatus)

    run(conversation())


async def well(talk):
    """A server that grants the subscription, then breaks the connection."""
    await talk.negotiate()
    await talk.grant()
    talk.cut()


def test_a_server_in_trouble_is_asked_again():
    async def ill(talk):
        await talk.negotiate()
        for _ in range(3):
            await talk.hear(MessageType.SUBSCRIBE)
            await talk.say(MessageType.SUBSCRIPTION_ACK, {"stream": STREAM, "status": "denied"})
        await talk.grant()
        await talk.send_ecg(1, timestamp=10)
        await stay(talk)

    async def conversation():
        async with scripted(well, ill) as url, impatient(url) as client:
            subscription = client.subscribe(STREAM)
            assert numbers(await first(subscription, 1)) == [1]

    run(conversation())


def test_a_denial_without_a_reason_is_one_at_first():
    async def ill(talk):
        await talk.negotiate()
        await talk.hear(MessageType.SUBSCRIBE)
        await talk.say(MessageType.SUBSCRIPTION_ACK, {"stream": STREAM, "status": "denied"})
        await stay(talk)

    async def conversation():
        async with scripted(ill) as url, impatient(url) as client:
            with pytest.raises(PermissionDenied):
                await anext(client.subscribe(STREAM))

    run(conversation())


def test_a_withdrawn_permission_ends_the_subscription():
    async def withdrawn(talk):
        await talk.negotiate()
        await talk.hear(MessageType.SUBSCRIBE)
        await talk.say(MessageType.SUBSCRIPTION_ACK, {"stream": STREAM, "status": "denied", "code": 0x203})
        await stay(talk)

    async def conversation():
        async with scripted(well, withdrawn) as url, impatient(url) as client:
            with pytest.raises(PermissionDenied):
                await anext(client.subscribe(STREAM))
            assert client.state is State.CONNECTED

    run(conversation())


def test_a_silent_server_is_given_up():
    async def conversation():
        settings = Settings(heartbeat_interval=0.05)
        handler = WebSocketBinaryHandler(settings=settings)
        async with (
            serving(handler) as port,
            cutting_proxy(port) as proxy,
            impatient(proxy.url, settings=settings) as client,
        ):
            connections = proxy.accepted
            proxy.hold()
            await until(lambda: client.state is State.RECONNECTING)
            proxy.cut()
            proxy.release()
            await until(lambda: client.state is State.CONNECTED)
            assert proxy.accepted > connections

    run(conversation())


# --- patience ---


def delays():
    return iter([1.0, 2.0, 3.0])


def test_a_connection_that_lasted_is_replaced_at_once():
    patience = Backoff(delays)
    assert [patience.pause(STEADY, closed=False) for _ in range(3)] == [0, 0, 0]


def test_repeated_failures_increase_the_delay():
    patience = Backoff(delays)
    assert [patience.pause(0.1, closed=False) for _ in range(6)] == [0, 1, 2, 3, 3, 3]
    assert patience.pause(STEADY, closed=False) == 0


def test_a_server_that_closes_is_given_time():
    patience = Backoff(delays)
    assert patience.pause(STEADY, closed=True) == 1
    assert patience.pause(0, closed=True) == 2
    assert patience.pause(STEADY, closed=True) == 1


def test_the_librarys_delays_rise_and_are_random():
    from websockets.client import backoff

    first_ones = {next(backoff()) for _ in range(10)}
    assert len(first_ones) == 10
    rising = list(islice(backoff(), 1, 6))
    assert rising == sorted(rising)
    assert next(at_once()) < 0.1
