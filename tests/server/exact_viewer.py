"""A viewer that moves between servers and keeps account of what it has and what it was told to have lost."""

from __future__ import annotations

import asyncio

from server.memory_link import MemoryLink

from ecgframe.client.cursor import Gap, StreamCursor
from ecgframe.client.numbered_cursor import NumberedCursor
from ecgframe.session import ClientSession, ErrorReceived, Numbered, Received, Settings, SubscriptionAnswered

ALL = (1, 2, 3, 4)
STEP = 0.02
"""Seconds after which the viewer looks for what has arrived."""


class ExactCursor(NumberedCursor):
    """Notes which numbers are lost.

    Attributes:
        lost: epoch and number of each message in a gap that was counted.
    """

    __slots__ = ("lost",)

    def __init__(self, stream, times):
        super().__init__(stream, times)
        self.lost = set()

    def _gap(self, line, timestamp, lost):
        number = line.after
        for _ in range(lost):
            number += 1
            while number in line.ahead:
                number += 1
            self.lost.add((line.epoch, number))
        return super()._gap(line, timestamp, lost)


class ExactViewer:
    """A viewer of one stream.

    Attributes:
        items: what it has, in order: messages and gaps.
        errors: ERROR messages.
    """

    def __init__(self, stream, **settings):
        self.stream = stream
        self.items = []
        self.errors = []
        self.epochs = []
        self._settings = Settings(**{"versions": ALL, **settings})
        self.times = StreamCursor(stream)
        self.numbers = ExactCursor(stream, self.times)
        self._link = None

    async def connect(self, handler):
        """Connect to a server, and subscribe where the last connection ended."""
        loop = asyncio.get_running_loop()
        self._link = MemoryLink()
        times = iter(range(1, 10**9))
        self._session = ClientSession(self._settings, times.__next__, was_refused=self._was_refused)
        self._heard = 0
        self._asked = False
        self._serving = asyncio.create_task(handler.handle(self._link))
        self._session.start(loop.time())
        self._talking = asyncio.create_task(self._talk_on())

    async def disconnect(self):
        """Lose the connection, and what is on its way."""
        if self._link is None:
            return
        self._talking.cancel()
        self._link.abort()
        self._link = None
        await self._serving
        self.numbers.connection_lost()

    @property
    def messages(self):
        return [item for item in self.items if not isinstance(item, Gap)]

    @property
    def gaps(self):
        return [item for item in self.items if isinstance(item, Gap)]

    def end(self):
        """Note what is still to be told."""
        self.items += [*self.numbers.ended(), *self.times.ended()]

    def _was_refused(self, numbered, number):
        return self.numbers.was_refused(numbered.epoch, number)

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
                self._note(event)
        if session.negotiated and self._asked is False:
            self._asked = True
            epoch, after = self.numbers.position or (None, None)
            session.subscribe(self.stream, self.times.asks_since(), epoch=epoch, after=after)
        while (message := session.next_message(now)) is not None:
            self._link._to_receive.put_nowait(message)

    def _note(self, event):
        match event:
            case SubscriptionAnswered(status="subscribed") if self._asked is True:
                self._asked = None  # what comes behind it was not asked for
                self.epochs.append(event.epoch)
                self.items += self.numbers.answered(event.epoch, event.next, event.start, event.timestamp, event.ended)
            case SubscriptionAnswered(status="subscribed"):
                self.epochs.append(event.epoch)
                self.numbers.changed(event.epoch, event.next, event.timestamp, event.ended)
            case Received(message=message, stream=stream):
                self.items += self.numbers.take(message, stream.epoch)
            case Numbered(message=message, stream=stream):
                self.items += self.numbers.pass_template(message, stream.epoch)
            case ErrorReceived(of_stream=stream) if stream is not None:
                self.items += self.numbers.refused(stream.epoch, event.number)
            case ErrorReceived():
                self.errors.append(event)
