"""An application that takes its messages more slowly than they arrive."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from client.servers import STREAM, impatient, numbers, scripted, serving, stay, until, url_of
from running import run

from ecgframe import Flag, Message, MessageType
from ecgframe.client import connection as connection_module
from ecgframe.client.message_queue import MAX_BYTES, OVERDRAFT_BYTES, MessageQueue, Pressure, QueuedItem
from ecgframe.server import WebSocketBinaryHandler
from ecgframe.session import Settings

ECG = MessageType.ECG_DATA
NOISE = np.random.default_rng(7).bytes(800_000)
BLOCK = np.random.default_rng(7).random(2000)  # 16 kB, and no zlib makes less of it


def wave(number):
    return {"signal": BLOCK, "sampling_rate": 250, "sequence": number}


async def publish_until_dropped(handler, limit=20_000):
    for number in range(limit):
        await handler.publish(STREAM, ECG, wave(number))
        if handler.stats()["dropped"]:
            return number + 1
    raise AssertionError("nothing was ever dropped")


def test_a_client_with_a_full_queue_stops_reading_and_the_server_reports_its_drops():
    async def conversation():
        handler = WebSocketBinaryHandler(settings=Settings(queue_frames=64))
        async with (
            serving(handler) as port,
            impatient(url_of(port)) as client,
            client.subscribe(STREAM, capacity=8) as subscription,
        ):
            count = await publish_until_dropped(handler)
            for number in range(count, count + 300):
                await handler.publish(STREAM, ECG, wave(number))
            last = await handler.publish(STREAM, ECG, wave(count + 300))
            assert subscription.waiting < 100  # what did not fit is in the server's queue and on the way
            taken = []
            async for message in subscription:
                taken.append(message)
                if message.timestamp == last:
                    break
            sequence = [message.data["sequence"] for message in taken]
            assert sequence == sorted(set(sequence))
            missing = count + 301 - len(taken)
            assert missing > 0
            assert sum(gap.frames for gap in subscription.gaps) == subscription.dropped == missing
            for before, gap in zip(taken, subscription.gaps, strict=False):
                assert before.timestamp < gap.start <= gap.stop
            assert client.stats()["connections"] == 1

    run(conversation())


def signs_of_life(client):
    """Number of frames that it sent by itself: at most two in an interval."""
    sent = client.stats()["sent"]
    return sent.get("HEARTBEAT", 0) + sent.get("PING", 0)


@pytest.mark.slow
def test_a_client_that_does_not_read_neither_gives_up_nor_is_given_up():
    async def conversation():
        settings = Settings(heartbeat_interval=0.25)  # three of them are more than a busy machine takes from us
        handler = WebSocketBinaryHandler(settings=settings)
        async with (
            serving(handler) as port,
            impatient(url_of(port), settings=settings) as client,
            client.subscribe(STREAM, capacity=2) as subscription,
        ):
            await publish_until_dropped(handler)
            await until(lambda: subscription.pressure)
            (connection,) = handler.connections()
            sent = signs_of_life(client)
            await until(lambda: signs_of_life(client) >= sent + 8)
            assert handler.connections()[0].id == connection.id
            await anext(subscription)
            assert client.stats()["connections"] == 1
            while subscription.waiting:
                await anext(subscription)
            await client.ping()
            assert client.stats()["connections"] == 1

    run(conversation())


def test_an_answer_arrives_although_no_messages_are_taken():
    async def conversation():
        async def take(connection, message):
            pass

        handler = WebSocketBinaryHandler(on_message=take)
        async with (
            serving(handler) as port,
            impatient(url_of(port)) as client,
            client.subscribe(STREAM, capacity=4) as subscription,
            client.subscribe("another"),
        ):
            for number in range(12):
                await handler.publish(STREAM, ECG, {"signal": [number], "sampling_rate": 250})
            await until(lambda: subscription.pressure is Pressure.FULL)
            await client.send_message(ECG, {"signal": [1], "sampling_rate": 250}, acknowledged=True)
            await client.ping()
            await client.unsubscribe("another")
            assert subscription.waiting == 12

    run(conversation())


def test_reading_on_for_an_answer_is_bounded():
    async def conversation():
        async def flood(talk):
            await talk.negotiate()
            await talk.grant()
            for number in range(1, 1000):
                await talk.send_ecg(number, timestamp=number, block=NOISE)
            await stay(talk)

        async with (
            scripted(flood) as url,
            impatient(url) as client,
            client.subscribe(STREAM, capacity=4) as subscription,
        ):
            pinging = asyncio.create_task(client.ping())
            await until(lambda: subscription.pressure is Pressure.OVERFULL)
            waiting = subscription.waiting
            await asyncio.sleep(0.1)  # for nothing to happen
            assert subscription.waiting == waiting == (MAX_BYTES + OVERDRAFT_BYTES) // len(NOISE) + 1
            pinging.cancel()

    run(conversation())


@pytest.mark.parametrize("block", [NOISE, bytes(len(NOISE))], ids=["noise", "zeros, which travel as a thousandth"])
def test_bytes_are_bounded_too(block):
    async def conversation():
        async def flood(talk):
            await talk.negotiate()
            await talk.grant()
            for number in range(1, 30):
                await talk.send_ecg(number, timestamp=number, block=block)
            await stay(talk)

        async with scripted(flood) as url, impatient(url) as client, client.subscribe(STREAM) as subscription:
            await until(lambda: subscription.pressure is Pressure.FULL)
            assert subscription.waiting == MAX_BYTES // len(NOISE) + 1
            assert numbers([await anext(subscription) for _ in range(29)]) == list(range(1, 30))

    run(conversation())


def test_a_full_queue_stays_full_until_half_is_taken():
    class Owner:
        def __init__(self):
            self.pressures = []

        def pressure_changed(self, queue):
            self.pressures.append(queue.pressure)

        def leave(self, queue):
            pass

    async def conversation():
        owner = Owner()
        queue = MessageQueue(owner, capacity=8)
        for number in range(8):
            queue.put(QueuedItem(Message(ECG, number, 3, Flag(0), number), 10, None))
        for left in range(7, -1, -1):
            await anext(queue)
            assert queue.pressure is (Pressure.FULL if left > 4 else Pressure.ROOM)
        assert owner.pressures == [Pressure.FULL, Pressure.ROOM]

    run(conversation())


def test_a_pause_of_reading_is_logged(monkeypatch, caplog):
    monkeypatch.setattr(connection_module, "UNREAD_WARNING", 0.02)

    async def conversation():
        handler = WebSocketBinaryHandler()
        async with (
            serving(handler) as port,
            impatient(url_of(port)) as client,
            client.subscribe(STREAM, capacity=1) as subscription,
        ):
            for number in range(5):
                await handler.publish(STREAM, ECG, wave(number))
            await until(lambda: "reading is paused" in caplog.text)
            assert [(await anext(subscription)).data["sequence"] for _ in range(5)] == list(range(5))

    run(conversation())


def test_a_client_reconnects_while_no_messages_are_taken():
    async def conversation():
        handler = WebSocketBinaryHandler()
        async with (
            serving(handler) as port,
            impatient(url_of(port)) as client,
            client.subscribe(STREAM, capacity=2) as subscription,
        ):
            for number in range(8):
                await handler.publish(STREAM, ECG, {"signal": [number], "sampling_rate": 250})
            await until(lambda: subscription.pressure)
            client._reconnecting.connection._websocket.transport.abort()
            await client.send_message(ECG, {"signal": [1], "sampling_rate": 250}, Flag.PRIORITY)
            await until(lambda: client.stats()["connections"] == 2)
            assert numbers([await anext(subscription) for _ in range(8)]) == list(range(8))
            assert not subscription.gap_count

    run(conversation())
