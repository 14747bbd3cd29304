"""A server whose received and sent messages and closing can be changed by hooks."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
from recordings import optional

from ecgframe import Codec, ErrorCode, Flag, MessageType
from ecgframe._core import Clock
from ecgframe.session import Received, ServerSession, Settings, SubscribeRequested, UnsubscribeRequested
from ecgframe.session.outgoing import Encoding, encode_outgoing

websockets = optional("websockets")
from websockets.asyncio.server import serve  # noqa: E402 - after the skip

STREAM = "ecg/1"
KEPT_SINCE = 100
"""The timestamp of the first message of each stream."""
SETTINGS = Settings(heartbeat_interval=0.1, max_payload=1 << 20)  # a larger bomb would hold up the one loop
CODEC = Codec(compression=None)


def same(octets):
    return octets


@dataclass
class Spoilt:
    """Hooks that break a server.

    Attributes:
        incoming: turns what comes into what the server takes; None swallows it.
        outgoing: turns what the server says into what it really says, from the message and its bytes; None is nothing.
        closing: turns a close code into another; None leaves the connection open.
        settings: of the server.
        publish: makes the frames of a stream.
    """

    incoming: object = same
    outgoing: object = field(default=lambda message, octets: octets)
    closing: object = same
    settings: Settings = SETTINGS
    publish: object = None


@asynccontextmanager
async def serving(spoilt):
    """Run the server; yield its URL."""

    async def live(websocket):
        await _Conversation(websocket, spoilt).hold()

    async with serve(live, "127.0.0.1", 0, compression=None, max_size=None, ping_interval=None) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


class _Conversation:
    def __init__(self, websocket, spoilt):
        self.websocket, self.spoilt = websocket, spoilt
        self.session = ServerSession(spoilt.settings, Clock().next)
        self.now = asyncio.get_running_loop().time

    async def hold(self):
        self.session.start(self.now())
        while True:
            await self.say_what_waits()
            if self.session.closing and await self.close():
                return
            try:
                async with asyncio.timeout(self.patience()):
                    message = await self.websocket.recv()
            except TimeoutError:
                self.session.tick(self.now())
                continue
            except websockets.ConnectionClosed:
                return
            await self.take(message)

    def patience(self):
        deadline = self.session.deadline()
        return None if deadline is None else max(deadline - self.now(), 0.001)

    async def close(self):
        code = self.spoilt.closing(int(self.session.closing.code))
        if code is None:
            await self.websocket.wait_closed()
        else:
            await self.websocket.close(code)
        return True

    async def take(self, message):
        if isinstance(message, str):
            self.session.receive_text(self.now())
            return
        message = self.spoilt.incoming(message)
        if message is None:
            return
        for event in self.session.receive(message, self.now()):
            if isinstance(event, SubscribeRequested):
                await self.subscribe(event.stream, event.since)
            elif isinstance(event, UnsubscribeRequested):
                self.session.answer_subscription(event.stream, "unsubscribed")
            elif isinstance(event, Received):
                self.session.refuse(ErrorCode.PERMISSION_DENIED, "this server publishes by itself")

    async def subscribe(self, stream, since):
        if not 0 < len(stream) <= 256:
            self.session.answer_subscription(stream, "denied", code=0x200)
            return
        start = KEPT_SINCE if since is not None and since < KEPT_SINCE - 1 else None
        self.session.answer_subscription(stream, "subscribed", start=start)
        await self.say_what_waits()
        encoding = self.session.encoding
        for octets in (self.spoilt.publish or published)(encoding, stream):
            if since is None or CODEC.decode(octets).timestamp > since:
                await self.say(octets)

    async def say_what_waits(self):
        while (octets := self.session.next_message(self.now())) is not None:
            await self.say(octets)

    async def say(self, octets):
        try:
            message = CODEC.decode(octets)
        except ValueError:  # spoiled on purpose, or a batch
            message = None
        octets = self.spoilt.outgoing(message, octets)
        if octets is not None:
            try:
                await self.websocket.send(octets)
            except websockets.ConnectionClosed:
                return


def published(encoding, stream, *, timestamps=range(KEPT_SINCE, KEPT_SINCE + 4), name=None, **changes):
    """Return a few frames of a stream; ``changes`` replace parts of the encoding."""
    encoding = Encoding(*encoding)._replace(**changes)
    for timestamp in timestamps:
        data = {"signal": np.zeros(600), "sampling_rate": 250, "stream": name or stream}
        yield encode_outgoing(encoding, MessageType.ECG_DATA, data, timestamp=timestamp, settings=SETTINGS).frame


def changed(message, **changes):
    """Return the message with another header or payload."""
    version = changes.pop("version", message.version)
    return CODEC.encode(
        changes.pop("type", message.type),
        changes.pop("data", message.data),
        version=version,
        flags=0 if version < 3 else changes.pop("flags", message.flags & ~Flag.COMPRESSED),
        timestamp=(message.timestamp or 1) if version == 3 else None,
    )
