"""Links that can only be awaited, as those of ASGI servers: frames are sent at once, and queue while one waits."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

from running import run
from server.memory_link import ALL, MemoryLink

from ecgframe import MessageType
from ecgframe.server import WebSocketBinaryHandler
from ecgframe.server.link import Link

STREAM = "ecg/1"


class AwaitedLink(Link):
    """Passes each message to a link in memory, as soon as ``may_send`` is set."""

    def __init__(self):
        self.memory = MemoryLink()
        self.request = self.memory.request
        self.may_send = asyncio.Event()
        self.may_send.set()
        self.fails = False

    async def send(self, message):
        await self.may_send.wait()
        if self.fails:
            raise ConnectionResetError
        self.memory.write(message)

    async def receive(self):
        return await self.memory.receive()

    async def close(self, code, reason):
        self.abort()

    def abort(self):
        self.memory.abort()


@asynccontextmanager
async def viewing(handler):
    link = AwaitedLink()
    serving = asyncio.create_task(handler.handle(link))
    link.memory.say(MessageType.PROTOCOL_NEGOTIATION, {"version": 3, "capabilities": ALL}, version=1)
    link.memory.say(MessageType.SUBSCRIBE, {"stream": STREAM})
    while not link.memory.messages(MessageType.SUBSCRIPTION_ACK):
        await asyncio.sleep(0)
    try:
        yield link, serving
    finally:
        link.abort()
        await serving


async def publish(handler, number):
    await handler.publish(STREAM, MessageType.ECG_DATA, {"signal": [[number]], "sampling_rate": 250})


def numbers(link):
    return [message.data["signal"][0][0] for message in link.memory.messages(MessageType.ECG_DATA)]


async def until_sent(link, count):
    while len(numbers(link)) < count:
        await asyncio.sleep(0)


def test_frames_arrive_in_order_and_are_counted_whether_they_wait_or_not():
    async def scenario():
        async with WebSocketBinaryHandler() as handler, viewing(handler) as (link, _):
            for number in range(3):
                await publish(handler, number)
            await until_sent(link, 3)
            link.may_send.clear()
            for number in range(3, 8):
                await publish(handler, number)
            assert handler.stats()["queues"]["frames"] == 4  # one is on its way
            link.may_send.set()
            await until_sent(link, 8)
            await publish(handler, 8)
            await until_sent(link, 9)
            assert numbers(link) == list(range(9))
            assert handler.stats()["messages"]["sent"]["ECG_DATA"] == 9
            assert handler.stats()["queues"]["frames"] == 0

    run(scenario())


def test_an_alert_overtakes_what_waits_behind_a_frame_that_is_being_sent():
    async def scenario():
        async with WebSocketBinaryHandler() as handler, viewing(handler) as (link, _):
            link.may_send.clear()
            for number in range(5):
                await publish(handler, number)
            await handler.publish(STREAM, MessageType.ANOMALY_ALERT, {"kind": "asystole", "timestamp": 1.5})
            link.may_send.set()
            await until_sent(link, 5)
            sent = [one.type for one in link.memory.messages(MessageType.ECG_DATA, MessageType.ANOMALY_ALERT)]
            assert sent.index(MessageType.ANOMALY_ALERT) == 1
            assert numbers(link) == list(range(5))

    run(scenario())


def test_a_link_that_fails_while_a_frame_is_sent_ends_the_connection():
    async def scenario():
        async with WebSocketBinaryHandler() as handler, viewing(handler) as (link, serving):
            link.fails = True
            await publish(handler, 0)
            await asyncio.wait_for(serving, 10)
            assert not handler.connections()

    run(scenario())
