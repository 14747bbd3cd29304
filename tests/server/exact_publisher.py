"""A publisher that opens its stream, moves between servers, and sends again what they lack."""

from __future__ import annotations

import asyncio

from server.memory_link import MemoryLink

from ecgframe import ErrorCode, Flag, MessageType
from ecgframe.session import Acknowledged, ClientSession, ErrorReceived, Settings, StreamWriter
from ecgframe.session.outgoing import encoding_for

ALL = (1, 2, 3, 4)
STEP = 0.02
ASK_AGAIN = 0.5
"""Seconds after which it opens the stream again that a server could not open."""


class ExactPublisher:
    """The publisher of one stream.

    Attributes:
        writer: what it has published.
        errors: codes of the errors that it was sent, but those for which it asks again.
    """

    def __init__(self, stream, epoch=None, **settings):
        self.writer = StreamWriter(stream, 1, Settings(versions=ALL), epoch=epoch)
        self.errors = []
        self._settings = Settings(**{"versions": ALL, **settings})
        self._stamps = iter(range(10**6, 10**12)).__next__
        self._link = None

    async def connect(self, handler):
        """Connect to a server, and go on where the last connection ended."""
        self._link = MemoryLink()
        self._session = ClientSession(self._settings, self._stamps)
        self._heard = 0
        self._asks_at = 0.0
        self._serving = asyncio.create_task(handler.handle(self._link))
        self._session.start(asyncio.get_running_loop().time())
        self._talking = asyncio.create_task(self._talk_on())

    async def disconnect(self):
        """Lose the connection, and what is on its way."""
        self._talking.cancel()
        self._link.abort()
        self.writer.disconnected()
        await self._serving

    def publish(self, type, data):
        """Give a message its number; it is sent as soon as a server takes it."""
        flags = Flag.PRIORITY if type is MessageType.ANOMALY_ALERT else Flag(0)
        encoding = encoding_for(4, self._settings.capabilities)
        now = asyncio.get_running_loop().time()
        self.writer.write(encoding, type, data, wall_clock_us=self._stamps, now=now, flags=flags)

    async def _talk_on(self):
        while True:
            self._talk(asyncio.get_running_loop().time())
            await asyncio.sleep(STEP)

    def _talk(self, now):
        session = self._session
        while self._heard < len(self._link.sent):
            message = self._link.sent[self._heard]
            self._heard += 1
            for event in session.receive(message, now):
                self._note(event, now)
        if session.negotiated and self._asks_at is not None and now >= self._asks_at:
            self._asks_at = None
            session.enqueue(self.writer.opening(self._stamps()))
        while frames := self.writer.take():
            for outgoing in frames:
                session.enqueue(outgoing)
        while (message := session.next_message(now)) is not None:
            self._link._to_receive.put_nowait(message)

    def _note(self, event, now):
        match event:
            case Acknowledged(next=int(next), lost=lost):
                self.writer.opened(next, lost)
            case ErrorReceived(code=ErrorCode.RATE_LIMIT_EXCEEDED) if not self.writer.is_open:
                self._asks_at = now + ASK_AGAIN
            case ErrorReceived(code=code):
                self.errors.append(code)
