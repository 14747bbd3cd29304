"""Messages that the client sends: acknowledged, waiting, given up."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from client.cutting_proxy import cutting_proxy
from client.servers import STREAM, impatient, numbers, scripted, serving, stay, until, url_of
from running import run

from ecgframe import Flag, MessageTooLarge, MessageType, PermissionDenied
from ecgframe.client import ConnectionLost, NotAcknowledged, State
from ecgframe.server import WebSocketBinaryHandler
from ecgframe.session import Settings

ECG = MessageType.ECG_DATA
HASTY = Settings(acknowledgement_timeout=0.02, acknowledgement_attempts=3, negotiation_timeout=1.0)


def ecg(number):
    return {"signal": [number], "sampling_rate": 250}


class Taker:
    """An application of a server that keeps the messages it gets."""

    def __init__(self):
        self.messages = []
        self.may_take = asyncio.Event()
        self.may_take.set()

    async def __call__(self, connection, message):
        await self.may_take.wait()
        self.messages.append(message)


def test_a_message_arrives_as_it_was_sent():
    async def conversation():
        taker = Taker()
        async with serving(WebSocketBinaryHandler(on_message=taker)) as port, impatient(url_of(port)) as client:
            signal = np.arange(24, dtype="float32").reshape(2, 12)
            stamp = await client.send_message(ECG, {"signal": signal, "sampling_rate": 250}, Flag.PRIORITY)
            await until(lambda: taker.messages)
            (message,) = taker.messages
            np.testing.assert_array_equal(message.data["signal"], signal)
            assert message.timestamp == stamp
            assert message.flags == Flag.PRIORITY

    run(conversation())


def test_waiting_messages_are_sent_before_the_end():
    async def conversation():
        taker = Taker()
        async with serving(WebSocketBinaryHandler(on_message=taker)) as port:
            async with impatient(url_of(port)) as client:
                for number in range(200):
                    await client.send_message(ECG, ecg(number))
            await until(lambda: len(taker.messages) == 200)
            assert numbers(taker.messages) == list(range(200))

    run(conversation())


def test_acknowledged_means_that_the_application_has_it():
    async def conversation():
        taker = Taker()
        taker.may_take.clear()
        async with serving(WebSocketBinaryHandler(on_message=taker)) as port, impatient(url_of(port)) as client:
            sending = asyncio.create_task(client.send_message(ECG, ecg(1), acknowledged=True))
            await client.ping()
            assert not sending.done()
            taker.may_take.set()
            stamp = await sending
            assert [message.timestamp for message in taker.messages] == [stamp]

    run(conversation())


def test_an_acknowledged_message_survives_the_connection():
    async def deaf(talk):
        await talk.negotiate()
        heard.append(await talk.hear(ECG))
        talk.cut()

    async def polite(talk):
        await talk.negotiate()
        heard.append(await talk.hear(ECG))
        await talk.say(MessageType.PONG, {"ack": heard[-1].timestamp, "type": ECG})
        await stay(talk)

    heard = []

    async def conversation():
        async with scripted(deaf, polite) as url, impatient(url) as client:
            stamp = await client.send_message(ECG, ecg(1), acknowledged=True)
            assert [message.timestamp for message in heard] == [stamp, stamp]

    run(conversation())


def test_over_a_bad_network_every_acknowledged_message_arrives():
    async def conversation():
        taker = Taker()
        handler = WebSocketBinaryHandler(on_message=taker)
        settings = Settings(acknowledgement_attempts=100)
        async with (
            serving(handler) as port,
            cutting_proxy(port) as proxy,
            impatient(proxy.url, settings=settings) as client,
        ):

            async def send(numbers):
                for number in numbers:
                    await client.send_message(ECG, ecg(number), acknowledged=True)

            sending = asyncio.gather(*(send(range(first, 400, 4)) for first in range(4)))
            for _ in range(40):
                seen = len(taker.messages)
                await until(lambda seen=seen: len(taker.messages) >= seen + 3 or sending.done())
                await asyncio.sleep(proxy.random.uniform(0, 0.005))
                proxy.cut()
            await sending
            assert set(numbers(taker.messages)) == set(range(400))
            assert client.stats()["connections"] > 10

    run(conversation())


def test_without_a_connection_it_waits_for_the_next_one():
    async def conversation():
        taker = Taker()
        handler = WebSocketBinaryHandler(on_message=taker)
        async with serving(handler) as port, cutting_proxy(port) as proxy, impatient(proxy.url) as client:
            proxy.refuses = True
            proxy.cut()
            await until(lambda: client.state is State.RECONNECTING)
            sending = asyncio.create_task(client.send_message(ECG, ecg(1)))
            with pytest.raises(TimeoutError, match=r"no connection within 0.05 s"):
                await client.send_message(ECG, ecg(2), timeout=0.05)
            with pytest.raises(TimeoutError):
                await client.ping(timeout=0.05)  # no answer either
            proxy.refuses = False
            await sending
            await until(lambda: taker.messages)
            assert numbers(taker.messages) == [1]

    run(conversation())


def test_a_message_without_an_acknowledgement_is_given_up():
    async def deaf(talk):
        await talk.negotiate()
        for _ in range(HASTY.acknowledgement_attempts):
            stamps.add((await talk.hear(ECG)).timestamp)
        await talk.say(MessageType.ERROR, {"code": 0x203, "message": "not from you"})
        await stay(talk)

    stamps = set()

    async def conversation():
        async with scripted(deaf) as url, impatient(url, settings=HASTY) as client:
            with pytest.raises(NotAcknowledged) as given_up:
                await client.send_message(ECG, ecg(1), acknowledged=True)
            assert str(given_up.value) == "ECG_DATA was sent 3 times, and the server acknowledged none"
            assert (given_up.value.type, given_up.value.attempts) == (ECG, 3)
            assert stamps == {given_up.value.timestamp}
            assert isinstance(given_up.value.__cause__, PermissionDenied)
            assert client.stats()["resent"] == 2
            assert client.stats()["undelivered"] == 1

    run(conversation())


def test_a_message_that_ends_every_connection_is_given_up():
    async def poisoned(talk):
        await talk.negotiate()
        await talk.hear(ECG)
        talk.cut()

    async def conversation():
        async with scripted(*[poisoned] * 3, stay) as url, impatient(url, settings=HASTY) as client:
            with pytest.raises(NotAcknowledged, match="3 times"):
                await client.send_message(ECG, ecg(1), acknowledged=True)

    run(conversation())


def test_closing_ends_pending_calls():
    async def deaf(talk):
        await talk.negotiate()
        await stay(talk)

    async def conversation():
        async with scripted(deaf) as url, impatient(url) as client:
            sending = asyncio.create_task(client.send_message(ECG, ecg(1), acknowledged=True))
            await until(lambda: client.stats()["sent"].get("ECG_DATA"))
            await client.close()
            with pytest.raises(ConnectionLost, match="closed"):
                await sending

    run(conversation())


def test_a_server_that_does_not_read_makes_the_sender_wait():
    async def deaf(talk):
        await talk.negotiate()
        talk.websocket.transport.pause_reading()
        await release.wait()
        talk.websocket.transport.resume_reading()
        received = [await talk.hear(ECG) for _ in range(sent)]
        assert [int(message.data["sequence"]) for message in received] == list(range(sent))

    async def send_until_told_not_to(client):
        nonlocal sent
        signal = np.random.default_rng(7).random(10_000)
        while True:
            await client.send_message(ECG, {"signal": signal, "sampling_rate": 250, "sequence": sent}, timeout=0.1)
            sent += 1

    release = asyncio.Event()
    sent = 0

    async def conversation():
        settings = Settings(queue_frames=8, queue_bytes=1 << 20)
        async with scripted(deaf) as url, impatient(url, settings=settings, reconnect=False) as client:
            with pytest.raises(TimeoutError, match="no space in the send queue"):
                await send_until_told_not_to(client)
            assert client.stats()["dropped"] == 0
            release.set()
            with pytest.raises(ConnectionLost):
                await client.closed

    run(conversation())


@pytest.mark.slow
@pytest.mark.parametrize("urgent", ["alert", "priority", "acknowledged alert"])
def test_an_alert_waits_neither_for_space_nor_for_data(urgent):
    """The server reads nothing, the send queue is full, and many messages wait for room in it."""
    heard = []

    async def deaf(talk):
        await talk.negotiate()
        talk.websocket.transport.pause_reading()
        await release.wait()
        talk.websocket.transport.resume_reading()
        while len(heard) < count:
            message = await talk.hear(ECG, MessageType.ANOMALY_ALERT)
            heard.append(message)
            if message.flags & Flag.ACK_REQUIRED:
                await talk.say(MessageType.PONG, {"ack": message.timestamp, "type": int(message.type)})

    release = asyncio.Event()
    count, taken = 201, 0

    async def conversation():
        nonlocal taken
        settings = Settings(queue_frames=8)
        signal = np.random.default_rng(7).random(10_000)
        async with scripted(deaf) as url, impatient(url, settings=settings, reconnect=False) as client:
            sending = [
                asyncio.create_task(client.send_message(ECG, {"signal": signal, "sampling_rate": 250, "sequence": n}))
                for n in range(200)
            ]
            before = -1
            while taken != before:  # until the network takes no more
                await asyncio.sleep(0.2)
                before, taken = taken, sum(task.done() for task in sending)
            assert 0 < taken < 190
            if urgent == "priority":
                alerting = client.send_message(ECG, ecg(-1), Flag.PRIORITY)
            else:
                alert = {"kind": "x", "timestamp": 1.0}
                alerting = client.send_message(MessageType.ANOMALY_ALERT, alert, acknowledged="ack" in urgent)
            alerting = asyncio.create_task(alerting)
            if "ack" not in urgent:
                await asyncio.wait_for(alerting, 0.1)
            else:
                await asyncio.sleep(0)
            release.set()
            await asyncio.gather(alerting, *sending)
            await until(lambda: len(heard) == count)
            assert client.stats()["dropped"] == 0

    run(conversation())
    place = next(n for n, message in enumerate(heard) if message.type != ECG or message.data["signal"][0] == -1)
    numbers = [int(message.data["sequence"]) for message in heard if "sequence" in message.data]
    assert numbers == list(range(200))
    assert place <= taken  # behind what the network had taken, and before what waited


def test_closing_does_not_wait_for_a_server_that_does_not_read():
    async def deaf(talk):
        await talk.negotiate()
        talk.websocket.transport.pause_reading()
        await over.wait()
        talk.cut()

    over = asyncio.Event()
    sent = []

    async def conversation():
        async with scripted(deaf) as url, asyncio.timeout(10):
            async with impatient(url, close_timeout=0.1) as client:
                data = {"signal": np.random.default_rng(7).random(100_000), "sampling_rate": 250}
                while client.stats()["sent"].get("ECG_DATA", 0) == len(sent):  # the network takes it
                    sent.append(await client.send_message(ECG, data))
                    await asyncio.sleep(0.01)
            over.set()

    run(conversation())


def test_more_messages_than_may_wait_for_their_acknowledgement_wait_for_their_turn():
    async def conversation():
        taker = Taker()
        settings = Settings(max_unacknowledged=4)
        async with (
            serving(WebSocketBinaryHandler(on_message=taker)) as port,
            impatient(url_of(port), settings=settings) as client,
        ):
            taker.may_take.clear()
            async with asyncio.TaskGroup() as group:
                for number in range(20):
                    group.create_task(client.send_message(ECG, ecg(number), acknowledged=True))
                await until(lambda: client.stats()["sent"].get("ECG_DATA") == 4)
                await client.ping(timeout=5)
                assert client.stats()["sent"]["ECG_DATA"] == 4
                taker.may_take.set()
            assert sorted(numbers(taker.messages)) == list(range(20))
            assert client.stats()["connections"] == 1

    run(conversation())


def test_an_invalid_message_raises():
    async def conversation():
        settings = Settings(max_payload=10_000)
        async with serving(WebSocketBinaryHandler(settings=settings)) as port, impatient(url_of(port)) as client:
            with pytest.raises(TypeError, match=r'data\["signal"\]'):
                await client.send_message(ECG, {"signal": {1, 2}})
            with pytest.raises(MessageTooLarge):
                await client.send_message(ECG, {"signal": np.random.default_rng(7).random(5000)})
            with pytest.raises(ValueError, match="PING"):
                await client.send_message(MessageType.PING, None)
            await client.ping()

    run(conversation())


def test_before_v3_there_is_no_acknowledgement():
    async def conversation():
        async with serving() as port, impatient(url_of(port), settings=Settings(versions=(1, 2))) as client:
            with pytest.raises(ValueError, match=r"no acknowledgements \(it speaks V2\)"):
                await client.send_message(ECG, ecg(1), acknowledged=True)

    run(conversation())


@pytest.mark.slow
def test_published_by_one_client_it_comes_to_another():
    async def all_may(connection, action, stream):
        return True

    async def conversation():
        async with (
            serving(WebSocketBinaryHandler(authorize=all_may)) as port,
            impatient(url_of(port)) as sender,
            impatient(url_of(port)) as viewer,
            viewer.subscribe(STREAM) as subscription,
        ):
            await sender.send_message(ECG, ecg(1) | {"stream": STREAM}, acknowledged=True)
            assert numbers([await anext(subscription)]) == [1]

    run(conversation())
