"""Old servers, without negotiation, resuming and acknowledgements."""

from __future__ import annotations

import asyncio

import pytest
from client.servers import STREAM, impatient, numbers, scripted, serving, stay, url_of
from running import run

from ecgframe import MessageType, PermissionDenied
from ecgframe.client import State
from ecgframe.server import WebSocketBinaryHandler
from ecgframe.session import Settings

pytestmark = pytest.mark.slow

ECG = MessageType.ECG_DATA
QUICK = Settings(negotiation_timeout=0.05)


async def first(messages, count):
    return [await anext(messages) for _ in range(count)]


def check_said(talk, version):
    """The client sent nothing that the version of the server does not define."""
    assert talk.received
    for message in talk.received:
        assert message.version == version
        assert not message.flags
        if message.type is MessageType.SUBSCRIBE:
            assert set(message.data) == {"stream"}
        assert message.type is not MessageType.PROTOCOL_NEGOTIATION


@pytest.mark.slow
@pytest.mark.parametrize("speaks_first", [True, False])
@pytest.mark.parametrize("answers", [True, False])
def test_a_v1_server_that_never_negotiates(speaks_first, answers):
    async def old(talk):
        if speaks_first:
            await talk.say(MessageType.HEARTBEAT, None)
        asked = await talk.hear(MessageType.SUBSCRIBE)
        if answers:
            await talk.say(MessageType.SUBSCRIPTION_ACK, {"stream": asked.data["stream"], "status": "subscribed"})
        for number in range(3):
            await talk.send_ecg(number)
        await talk.hear(MessageType.UNSUBSCRIBE)
        check_said(talk, 1)
        await stay(talk)

    async def conversation():
        async with scripted(old) as url, impatient(url, settings=QUICK) as client:
            assert client.version == 1
            async with client.subscribe(STREAM) as subscription:
                assert subscription.status == "subscribed"
                assert numbers(await first(subscription, 3)) == [0, 1, 2]
            assert await client.ping() > 0

    run(conversation())


def test_a_v2_server_that_never_negotiates():
    async def old(talk):
        talk.version = 2
        await talk.say(MessageType.HEARTBEAT, None)
        await talk.grant()
        await talk.send_ecg(0, note="x" * 5000)
        check_said(talk, 2)
        await stay(talk)

    async def conversation():
        async with scripted(old) as url, impatient(url) as client:
            assert client.version == 2
            (message,) = await first(client.subscribe(STREAM), 1)
            assert message.data["note"] == "x" * 5000

    run(conversation())


def test_messages_without_a_name_are_those_of_the_only_stream():
    async def old(talk):
        await talk.say(MessageType.HEARTBEAT, None)
        await talk.hear(MessageType.SUBSCRIBE)
        await talk.say(ECG, {"signal": [1], "sampling_rate": 250})
        await talk.hear(MessageType.SUBSCRIBE)
        await talk.say(ECG, {"signal": [2], "sampling_rate": 250})
        await stay(talk)

    async def conversation():
        async with scripted(old) as url, impatient(url) as client:
            subscription = client.subscribe(STREAM)
            assert numbers(await first(subscription, 1)) == [1]
            others = client.messages()
            async with client.subscribe("another"):
                assert numbers(await first(others, 1)) == [2]  # whose is it?

    run(conversation())


@pytest.mark.slow
@pytest.mark.parametrize("answers", [True, False])
def test_a_stream_can_be_left_and_followed_again(answers):
    async def old(talk):
        await talk.say(MessageType.HEARTBEAT, None)
        for number in range(3):
            await talk.hear(MessageType.SUBSCRIBE)
            if answers:
                await talk.say(MessageType.SUBSCRIPTION_ACK, {"stream": STREAM, "status": "subscribed"})
            await talk.send_ecg(number)
            await talk.hear(MessageType.UNSUBSCRIBE)
            if answers:
                await talk.say(MessageType.SUBSCRIPTION_ACK, {"stream": STREAM, "status": "unsubscribed"})
        await stay(talk)

    async def conversation():
        async with scripted(old) as url, impatient(url) as client:
            for number in range(3):
                subscription = client.subscribe(STREAM)
                assert numbers(await first(subscription, 1)) == [number]
                await client.unsubscribe(STREAM)

    run(conversation())


def test_an_old_server_can_deny():
    async def old(talk):
        await talk.say(MessageType.HEARTBEAT, None)
        await talk.hear(MessageType.SUBSCRIBE)
        await talk.say(MessageType.SUBSCRIPTION_ACK, {"stream": STREAM, "status": "denied", "code": 0x203})
        await stay(talk)

    async def conversation():
        async with scripted(old) as url, impatient(url) as client:
            with pytest.raises(PermissionDenied):
                await anext(client.subscribe(STREAM))

    run(conversation())


@pytest.mark.slow
def test_messages_sent_meanwhile_are_a_gap():
    async def old(talk):
        await talk.say(MessageType.HEARTBEAT, None)
        await talk.hear(MessageType.SUBSCRIBE)
        await talk.send_ecg(1)
        await got.wait()
        talk.cut()

    async def again(talk):
        await talk.say(MessageType.HEARTBEAT, None)
        await talk.hear(MessageType.SUBSCRIBE)
        await talk.send_ecg(5)
        check_said(talk, 1)
        await stay(talk)

    got = asyncio.Event()

    async def conversation():
        async with scripted(old, again) as url, impatient(url) as client:
            subscription = client.subscribe(STREAM)
            await first(subscription, 1)
            got.set()
            assert numbers(await first(subscription, 1)) == [5]
            (gap,) = subscription.gaps
            assert gap.frames is None
            assert gap.start < gap.stop

    run(conversation())


def test_one_that_negotiates_late_is_followed_in_its_new_version():
    async def slow(talk):
        await talk.hear(MessageType.SUBSCRIBE)
        await talk.negotiate()
        await talk.grant()
        await talk.send_ecg(1, timestamp=10)
        await stay(talk)

    states = []

    async def conversation():
        async with scripted(slow) as url, impatient(url, settings=QUICK, on_state=states.append) as client:
            subscription = client.subscribe(STREAM)
            (message,) = await first(subscription, 1)
            assert (message.version, client.version) == (3, 3)
            assert client.stats()["connections"] == 1

    run(conversation())
    assert states == [State.CONNECTING, State.CONNECTED, State.CLOSED]


@pytest.mark.slow
@pytest.mark.parametrize("version", [1, 2])
def test_an_old_client_of_todays_server(version):
    async def conversation():
        handler = WebSocketBinaryHandler()
        async with (
            serving(handler) as port,
            impatient(url_of(port), settings=Settings(versions=(version,))) as client,
            client.subscribe(STREAM) as subscription,
        ):
            await handler.publish(STREAM, ECG, {"signal": [7], "sampling_rate": 250, "note": "x" * 5000})
            (message,) = await first(subscription, 1)
            assert message.version == client.version == version
            assert message.timestamp is None

    run(conversation())
