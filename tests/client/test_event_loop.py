"""Large messages of the client: they do not block the event loop, and keep their order."""

import asyncio

import numpy as np
import pytest
from client.servers import STREAM, impatient, serving, until, url_of
from running import run
from ticker import holds_nobody_up

import ecgframe
from ecgframe import MessageTooLarge, MessageType
from ecgframe.server import WebSocketBinaryHandler
from ecgframe.session import RateLimit, Settings

accelerated = pytest.mark.skipif(not ecgframe.accelerated, reason="the plain core takes ten times as long to encode")

ECG, ALERT = MessageType.ECG_DATA, MessageType.ANOMALY_ALERT
MiB = 1024 * 1024
LARGEST = 16 * MiB - 1024
NOISE = np.random.default_rng(7).standard_normal(LARGEST // 8)
ROOMY = Settings(rate_limit=RateLimit(nbytes=1e9, nbytes_burst=10**9))
CLIENT = Settings(queue_bytes=64 * MiB)


class Taker:
    """An application of a server that keeps the messages it gets."""

    def __init__(self):
        self.numbers = []
        self.stamps = []

    async def __call__(self, connection, message):
        self.numbers.append(message.data["number"])
        self.stamps.append(message.timestamp)


def large(number, size=MiB // 8):
    return {"number": number, "signal": NOISE[:size]}


@pytest.mark.parametrize("form", ["array", "list"])
@accelerated
@pytest.mark.alone
def test_sending_and_receiving_a_large_message_holds_up_neither_side(form):
    """Of 4 MiB: masking 16 MiB and copying them between buffers takes the libraries below more than the bound."""
    part = NOISE[: MiB // 2]
    data = {"number": 0, "signal": part if form == "array" else part.tolist()}

    async def conversation():
        taker = Taker()
        handler = WebSocketBinaryHandler(on_message=taker, settings=ROOMY)
        async with serving(handler, write_limit=64 * 1024) as port, impatient(url_of(port), settings=CLIENT) as client:

            async def send():
                taker.numbers.clear()
                await client.send_message(ECG, data)
                await until(lambda: taker.numbers)

            await holds_nobody_up(send)

    run(conversation(), 60)


@accelerated
@pytest.mark.alone
def test_large_messages_are_decoded_in_a_thread_and_in_order():
    async def conversation():
        handler = WebSocketBinaryHandler(settings=ROOMY)
        async with serving(handler) as port, impatient(url_of(port)) as client, client.subscribe(STREAM) as messages:
            await until(lambda: handler.stats()["streams"])

            async def publish():
                await handler.publish(STREAM, ECG, {"number": 0, "signal": NOISE[: MiB // 2].tolist()})
                await handler.publish(STREAM, ECG, {"number": 1})
                assert [(await anext(messages)).data["number"] for _ in range(2)] == [0, 1]

            await holds_nobody_up(publish)

    run(conversation(), 60)


def test_messages_keep_their_order_but_an_alert_overtakes():
    async def conversation():
        taker = Taker()
        handler = WebSocketBinaryHandler(on_message=taker, settings=ROOMY)
        async with serving(handler) as port, impatient(url_of(port), settings=CLIENT) as client:
            sends = [client.send_message(ECG, data) for data in (large(0), {"number": 1}, large(2), {"number": 3})]
            sends.append(client.send_message(ALERT, {"number": 9}))
            stamps = await asyncio.gather(*sends)
            await until(lambda: len(taker.numbers) == 5)
            assert taker.numbers == [9, 0, 1, 2, 3]
            assert [taker.stamps[1:], taker.stamps[:1]] == [stamps[:4], stamps[4:]]

    run(conversation())


@pytest.mark.parametrize("which", [0, 1, 2])
@accelerated
@pytest.mark.alone
def test_a_cancelled_message_does_not_block_others(which):
    async def conversation():
        taker = Taker()
        handler = WebSocketBinaryHandler(on_message=taker, settings=ROOMY)
        async with serving(handler) as port, impatient(url_of(port), settings=CLIENT) as client:
            payloads = [large(0), {"number": 1}, large(2), {"number": 3}]
            tasks = [asyncio.create_task(client.send_message(ECG, data)) for data in payloads]
            await asyncio.sleep(0.003)
            tasks[which].cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            assert [isinstance(one, asyncio.CancelledError) for one in done] == [n == which for n in range(4)]
            await until(lambda: len(taker.numbers) == 3)
            assert taker.numbers == [number for number in range(4) if number != which]

    run(conversation())


def test_an_invalid_message_raises_in_its_call():
    async def conversation():
        taker = Taker()
        handler = WebSocketBinaryHandler(on_message=taker, settings=ROOMY)
        async with serving(handler) as port, impatient(url_of(port), settings=CLIENT) as client:
            payloads = [large(0), {"signal": [1.0] * MiB, "leads": [{"I"}]}, {"signal": bytes(17 * MiB)}, {"number": 1}]
            done = await asyncio.gather(*(client.send_message(ECG, data) for data in payloads), return_exceptions=True)
            assert [type(one) for one in done] == [int, TypeError, MessageTooLarge, int]
            await until(lambda: len(taker.numbers) == 2)
            assert taker.numbers == [0, 1]

    run(conversation())


def test_the_limit_of_the_server_counts():
    async def conversation():
        handler = WebSocketBinaryHandler(settings=Settings(max_payload=100_000))
        async with serving(handler) as port, impatient(url_of(port)) as client:
            with pytest.raises(MessageTooLarge, match="the limit of 100000 bytes"):
                await client.send_message(ECG, large(0))

    run(conversation())


def test_a_large_message_that_is_acknowledged_survives_a_broken_connection():
    async def conversation():
        taker = Taker()
        handler = WebSocketBinaryHandler(on_message=taker, settings=ROOMY)
        async with serving(handler) as port, impatient(url_of(port), settings=CLIENT) as client:
            sending = asyncio.create_task(client.send_message(ECG, large(0, MiB), acknowledged=True))
            await asyncio.sleep(0.01)
            client._reconnecting.connection._websocket.transport.abort()
            stamp = await sending
            assert taker.numbers[-1] == 0
            assert set(taker.stamps) == {stamp}

    run(conversation())
