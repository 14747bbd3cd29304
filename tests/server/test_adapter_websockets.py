"""The websockets adapter only: how many messages wait in the library for the handler."""

import asyncio

import pytest
from running import run
from server.engines import until, websockets

from ecgframe.server.adapters.websockets import LARGE, WAITING_MESSAGES, WebsocketsLink
from ecgframe.server.link import READ_SIZE


def received(size, max_queue, count=6):
    """Receive ``count`` messages, each once reading has stopped; return how many waited in the library then."""

    async def talk():
        links, over = asyncio.Queue(), asyncio.Event()

        async def serve(websocket):
            links.put_nowait((websocket, WebsocketsLink(websocket)))
            await over.wait()

        async with websockets.serve(serve, "127.0.0.1", 0, compression=None, max_queue=max_queue) as server:
            port = server.sockets[0].getsockname()[1]
            async with websockets.connect(f"ws://127.0.0.1:{port}", compression=None) as peer:
                websocket, link = await links.get()
                sent = [bytes([number]) * size for number in range(count + WAITING_MESSAGES + 1)]
                sending = asyncio.create_task(send(peer, sent))
                waited = []
                for message in sent[:count]:
                    assert await link.receive() == message
                    await until(lambda: not websocket.transport.is_reading())
                    waited.append(len(websocket.recv_messages.frames))
                for message in sent[count:]:
                    assert await link.receive() == message
                await sending
                over.set()
                return waited

    async def send(peer, messages):
        for message in messages:
            await peer.send(message)

    return run(talk())


@pytest.mark.parametrize("size", [READ_SIZE + 1, 100_000])
def test_one_large_message_waits(size):
    assert received(size, WAITING_MESSAGES) == [1] * 6


def test_a_small_message_that_waits_does_not_stop_reading():
    assert received(LARGE, WAITING_MESSAGES, count=1) == [2]


@pytest.mark.parametrize("size", [10, LARGE + 1])
def test_an_application_may_turn_the_limit_off(size):
    async def talk():
        links, over = asyncio.Queue(), asyncio.Event()

        async def serve(websocket):
            links.put_nowait((websocket, WebsocketsLink(websocket)))
            await over.wait()

        async with websockets.serve(serve, "127.0.0.1", 0, compression=None, max_queue=None) as server:
            port = server.sockets[0].getsockname()[1]
            async with websockets.connect(f"ws://127.0.0.1:{port}", compression=None) as peer:
                websocket, link = await links.get()
                for _ in range(40):
                    await peer.send(bytes(size))
                await link.receive()
                await until(lambda: len(websocket.recv_messages.frames) == 39)
                over.set()

    run(talk())
