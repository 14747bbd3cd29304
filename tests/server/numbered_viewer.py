"""A viewer over a link without a network: a client's session that hears what the handler sends."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

from server.memory_link import MemoryLink

from ecgframe.session import ClientSession, ErrorReceived, Numbered, Received, RoundTrip, Settings, SubscriptionAnswered

ALL = (1, 2, 3, 4)


class Viewer:
    """One connection of a handler, and what arrived over it.

    Attributes:
        answers: the answers to its subscriptions.
        received: data messages, with their streams.
        numbers: numbers of all messages of streams, templates included, in the order of arrival.
        frames: each frame that was sent, as bytes.
    """

    def __init__(self, link=None, **settings):
        self.link = MemoryLink() if link is None else link
        self.session = ClientSession(Settings(**{"versions": ALL, **settings}), iter(range(1, 10**9)).__next__)
        self.answers, self.received, self.numbers, self.errors, self.events = [], [], [], [], []
        self.frames = []
        self._heard = 0

    def talk(self):
        """Say and hear all that waits."""
        while (message := self.session.next_message(0.0)) is not None:
            self.link._to_receive.put_nowait(message)
        while self._heard < len(self.link.sent):
            message = self.link.sent[self._heard]
            self._heard += 1
            self.frames.append(message)
            for event in self.session.receive(message, 0.0):
                self._note(event)

    def _note(self, event):
        self.events.append(event)
        match event:
            case SubscriptionAnswered():
                self.answers.append(event)
            case Received():
                self.received.append(event.message)
                self.numbers.append(event.message.sequence)
            case Numbered():
                self.numbers.append(event.message.sequence)
            case ErrorReceived():
                self.errors.append(event)

    async def until(self, condition):
        async with asyncio.timeout(25):
            while True:
                self.talk()
                if condition():
                    return
                await asyncio.sleep(0)

    async def subscribe(self, stream, since=None, **place):
        """Subscribe, and wait for the answer."""
        before = len(self.answers)
        self.session.subscribe(stream, since, **place)
        await self.until(lambda: len(self.answers) > before)
        return self.answers[-1]

    async def settle(self):
        """Hear all that was sent up to now.

        A PING is answered while messages of this and other connections wait for their application. So it is sent again
        once their tasks had many turns, which takes no time.
        """
        for _ in range(2):
            for _ in range(100):
                await asyncio.sleep(0)
            self.session.ping(0.0)
            count = len(self.events)
            await self.until(lambda: any(isinstance(event, RoundTrip) for event in self.events[count:]))  # noqa: B023


@asynccontextmanager
async def numbered_viewer(handler, link=None, **settings):
    """Open a connection of a handler that has negotiated; by default, its link writes at once."""
    viewer = Viewer(link, **settings)
    serving = asyncio.create_task(handler.handle(viewer.link))
    viewer.session.start(0.0)
    await viewer.until(lambda: viewer.session.negotiated)
    await viewer.settle()
    try:
        yield viewer
    finally:
        viewer.link.abort()
        await serving
