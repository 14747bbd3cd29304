"""The part of the Redis backplane that writes: what this server publishes, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..logs import logger
from .commands import Commands
from .outbox import BATCH_MESSAGES, Message, Outbox
from .stream import FollowedStreams


class Writer:
    """Writes messages as they come, several at once where they come faster than Redis answers.

    Args:
        streams: that are followed.
        outbox: what it writes.
        patience: seconds within which Redis answers.
        after_writing: is called after each answer, with whether one of the messages has yet to be read here.

    Attributes:
        lost: messages that other servers will not get.
        restamped: messages that other servers get under another timestamp than they were delivered with here.
    """

    def __init__(
        self, streams: FollowedStreams, outbox: Outbox, patience: float, after_writing: Callable[[bool], None]
    ) -> None:
        self._streams = streams
        self._outbox = outbox
        self._patience = patience
        self._after_writing = after_writing
        self._work = asyncio.Event()
        self._ringing = False
        self._closing = False
        self._losing = False
        self.lost = 0
        self.restamped = 0

    @property
    def is_nearly_done(self) -> bool:
        """Whether what is added now is among the next that are written."""
        return self._outbox.waiting < BATCH_MESSAGES

    def add(self, message: Message) -> None:
        """Write the message as soon as that is possible."""
        self._outbox.add(message)
        self._work.set()

    def ring(self) -> None:
        """Have the reader notice new streams, wherever it waits."""
        self._ringing = True
        self._work.set()

    def finish(self) -> None:
        """Have ``run`` end when all is written."""
        self._closing = True
        self._work.set()

    def shrink(self) -> None:
        """Let go what the outbox cannot keep any longer."""
        lost = self._outbox.shrink(asyncio.get_running_loop().time())
        if lost and not self._losing:
            logger.warning("the outbox for Redis is full: its oldest messages will not reach other servers")
        self._losing = bool(lost) or (self._losing and self._outbox.waiting > 0)
        self.lost += lost

    async def run(self, commands: Commands) -> None:
        """Write until ``finish`` is called.

        Raises:
            Exception: Redis is away.
        """
        while self._outbox.waiting or not self._closing:
            async with asyncio.timeout(self._patience):
                if self._ringing:
                    self._ringing = False
                    await commands.ring()
                if self._outbox.waiting:
                    await self._write_some(commands)
            await self._something_to_do()

    async def _something_to_do(self) -> None:
        self._work.clear()
        if not (self._outbox.waiting or self._ringing or self._closing):
            await self._work.wait()

    async def _write_some(self, commands: Commands) -> None:
        batch = self._outbox.batch()
        times = await commands.write(batch, [self._time_to_ask_for(message) for message in batch])
        self._outbox.confirm(batch, asyncio.get_running_loop().time())
        for message, written in zip(batch, times, strict=True):
            if written is None:
                self._keep_here(message)
            elif written and message.delivery.done():
                self.restamped += written != message.time
            elif written:
                message.time = written
        self._after_writing(not all(message.delivery.done() for message in batch))

    def _time_to_ask_for(self, message: Message) -> int:
        followed = self._streams.get(message.stream)
        if followed is None or message.delivery.done():
            return message.time
        return max(message.time, followed.next_time)

    def _keep_here(self, message: Message) -> None:
        self.lost += 1
        followed = self._streams.get(message.stream)
        if followed is not None:
            if not followed.distrusted:
                followed.distrusted = True  # said once
                logger.error("Redis takes no message of stream %r: its key is no stream, or at its end", message.stream)
            followed.deliver_pending(before=message.number + 1)
            self._streams.drop_if_left(followed)
