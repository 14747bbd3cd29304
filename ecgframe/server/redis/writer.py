"""The writing part of the Redis backplane: the messages of this server, in order."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from ...errors import PermissionDenied
from ..logs import logger
from .commands import Commands
from .outbox import BATCH_MESSAGES, Message, Outbox
from .positions import NOTHING, Known, Position, Refusal
from .stream import FollowedStream, FollowedStreams

TURNS: Final = 3
"""Turns of the event loop in which further messages join a batch: one from the reader to a publisher takes three."""

MOST_LOST_OF: Final = 4096
"""Streams of which lost messages are remembered until a later one tells of them."""


class Writer:
    """Writes messages to Redis, several at a time if they arrive faster than Redis answers.

    Args:
        streams: the followed streams.
        outbox: the messages to write.
        patience: seconds within which Redis has to answer.
        after_writing: called after each answer, with whether any of the messages has to be read back.

    Attributes:
        lost: messages that other servers will not get.
        restamped: messages that have another timestamp on other servers than on this one.
        denied: messages of publishers that Redis did not take, because another connection has opened the stream since.
    """

    def __init__(
        self, streams: FollowedStreams, outbox: Outbox, patience: float, after_writing: Callable[[bool], None]
    ) -> None:
        self._streams = streams
        self._outbox = outbox
        self._patience = patience
        self._after_writing = after_writing
        self._work = asyncio.Event()
        self._must_wake = False
        self._must_tell = False
        self._closing = False
        self._losing = False
        self._lost_of: OrderedDict[str, int] = OrderedDict()
        """By stream, messages that will never be written, and that no later one has told of."""
        self._unanswered: list[Message] = []
        """Messages that were sent to Redis, and may have been written."""
        self._doubtful: dict[str, list[tuple[int, int]]] = {}
        """By stream, those of them that were dropped: the number, and how many messages are lost if it is."""
        self.lost = 0
        self.restamped = 0
        self.denied = 0

    @property
    def is_nearly_done(self) -> bool:
        """True if a message that is added now would be in the next batch."""
        return self._outbox.waiting < BATCH_MESSAGES

    def add(self, message: Message) -> None:
        """Add a message to write."""
        self._outbox.add(message)
        self._work.set()

    def wake_reader(self) -> None:
        """Wake the reader, since there are new streams."""
        self._must_wake = True
        self._work.set()

    def tell_epochs(self) -> None:
        """Tell Redis which epochs have to end."""
        self._must_tell = True
        self._work.set()

    def finish(self) -> None:
        """Let ``run`` end once all messages are written."""
        self._closing = True
        self._work.set()

    def shrink(self) -> None:
        """Drop messages that the outbox cannot keep any longer, and count those that Redis does not have."""
        dropped = self._outbox.shrink(asyncio.get_running_loop().time())
        for message in dropped:
            followed = self._streams.get(message.stream)
            if followed is not None and followed.epochs is not None and message.own is None:
                followed.epochs.own_was_read(message.number)
            lost = self._note_lost(message)
            if message in self._unanswered:
                self._doubtful.setdefault(message.stream, []).append((message.number, lost))
            else:
                self.lost += 1
        if dropped and not self._losing:
            logger.warning("the outbox for Redis is full: its oldest messages will not reach other servers")
        self._losing = bool(dropped) or (self._losing and self._outbox.waiting > 0)

    def give_up(self) -> int:
        """Drop the messages that wait, and count those as lost that were not read from Redis either.

        Returns:
            How many other servers will not get.
        """
        before = self.lost
        self._settle(self._was_read)
        self.lost += sum(
            message.is_counted and not self._was_read(message.stream, message.number)
            for message in self._outbox.drop_waiting()
        )
        return self.lost - before

    def _was_read(self, stream: str, number: int) -> bool:
        """Return whether a message of this server was read from Redis: the reader may be ahead of the answer."""
        followed = self._streams.get(stream)
        return followed is not None and number <= followed.own_read

    @property
    def doubtful(self) -> Iterable[str]:
        """The streams of messages that were dropped, and that Redis may have."""
        return self._doubtful

    def settle(self, marks: Mapping[str, int]) -> None:
        """Decide about the doubtful messages once Redis has been reached again.

        Args:
            marks: by stream, the number of the last message of this server that Redis has.
        """
        self._settle(lambda stream, number: number <= marks.get(stream, 0))
        self._unanswered = []

    def _settle(self, is_written: Callable[[str, int], bool]) -> None:
        """Count those of the doubtful messages as lost that Redis does not have."""
        for stream, doubtful in self._doubtful.items():
            written = [lost for number, lost in doubtful if is_written(stream, number)]
            self.lost += len(doubtful) - len(written)
            left = self._lost_of.pop(stream, 0) - sum(written)
            if left > 0:
                self._lost_of[stream] = left
        self._doubtful.clear()

    async def run(self, commands: Commands) -> None:
        """Write until ``finish`` is called and all messages are written.

        Raises:
            Exception: Redis is unreachable.
        """
        while self._outbox.waiting or not self._closing:
            async with asyncio.timeout(self._patience):
                if self._must_wake:
                    self._must_wake = False
                    await commands.wake_reader()
                if self._must_tell:
                    self._must_tell = False
                    await self.tell(commands)
                if self._outbox.waiting:
                    await self._let_others_add()
                    await self._write_some(commands)
            await self._something_to_do()

    async def _let_others_add(self) -> None:
        """Let publishers that this answer of Redis concerns add their next messages, to be written together."""
        for _ in range(TURNS):
            if not self.is_nearly_done:
                return
            await asyncio.sleep(0)

    async def _something_to_do(self) -> None:
        self._work.clear()
        if not (self._outbox.waiting or self._must_wake or self._must_tell or self._closing):
            await self._work.wait()

    async def tell(self, commands: Commands, *, everything: bool = False) -> None:
        """Tell Redis which numbers this server knows: of epochs that have to end, or of all followed streams."""
        asked = [
            (followed, followed.epochs)
            for followed in self._streams
            if followed.epochs is not None
            and (followed.epochs.must_tell or (everything and followed.known.position != NOTHING))
        ]
        answers = await commands.all_numbers([(followed.name, followed.known) for followed, _ in asked])
        for (followed, _), answer in zip(asked, answers, strict=True):
            if answer is None:
                self._complain(followed)
            else:
                followed.tell(answer)

    async def _write_some(self, commands: Commands) -> None:
        batch = self._outbox.batch()
        for message in batch:
            if message.own is None:
                message.lost_before += self._lost_of.pop(message.stream, 0)
                followed = self._streams.get(message.stream)
                if followed is not None and message.lost_before:
                    followed.own_lost[message.number] = message.lost_before
        known = [self._known_of(message) for message in batch]
        self._unanswered = batch
        answers = await commands.write(batch, [self._time_to_ask_for(message) for message in batch], known)
        self._unanswered = []
        if self._doubtful:
            pairs = zip(batch, answers, strict=True)
            taken = {message.number for message, answer in pairs if answer is not None and answer.refusal is None}
            self._settle(lambda stream, number: number in taken)
        is_stale = [answer is not None and answer.refusal is Refusal.STALE for answer in answers]
        stale = is_stale.index(True) if True in is_stale else len(batch)
        self._outbox.confirm(batch[:stale], asyncio.get_running_loop().time())
        for message, written in zip(batch[:stale], answers, strict=False):
            if written is None:
                self._note_lost(message)
                self._keep_here(message)
                continue
            if written.refusal is not None:
                self._note_lost(message, is_lost=False)
                self._drop_refused(message, written.refusal)
                continue
            message.lost_before = 0
            if written.position is not None:
                self._note_position(message, written.position)
            if written.time and message.delivery.done():
                self.restamped += written.time != message.time
            elif written.time:
                message.time = written.time
        if stale < len(batch):
            for template in self._outbox.fit_other_epoch(batch[stale].stream, batch[stale].made_for):
                self._drop(template)
        self._after_writing(not all(message.delivery.done() for message in batch))

    def _known_of(self, message: Message) -> Known:
        if message.own is not None:
            return Known(Position(message.own.epoch, message.own.number), message.own.token, message.own.state)
        followed = self._streams.get(message.stream)
        return Known() if followed is None else followed.known

    def _note_position(self, message: Message, position: Position) -> None:
        message.position = position
        followed = self._streams.get(message.stream)
        if followed is not None and followed.epochs is not None and message.own is None and position.number:
            followed.epochs.tell(position)

    def _note_lost(self, message: Message, *, is_lost: bool = True) -> int:
        """Note what the next message of the stream has to tell: that this one, and those before it, are lost.

        Returns:
            How many these are.
        """
        if message.own is None and (lost := message.lost_before + (is_lost and message.is_counted)):
            self._lost_of[message.stream] = self._lost_of.pop(message.stream, 0) + lost
            if len(self._lost_of) > MOST_LOST_OF:
                self._lost_of.popitem(last=False)
            return lost
        return 0

    def _drop(self, message: Message, error: Exception | None = None) -> None:
        followed = self._streams.get(message.stream)
        if followed is not None:
            followed.pending.pop(message.number, None)
            self._streams.drop_if_left(followed)
        if message.delivery.done():
            return
        if error is None:
            message.delivery.set_result(0)
        else:
            message.delivery.set_exception(error)

    def _drop_refused(self, message: Message, refusal: Refusal) -> None:
        """Drop a message that was not written. Whoever publishes it is told, unless it was delivered here already."""
        self._outbox.forget(message)
        if refusal is Refusal.NOT_NEXT:
            self._drop(message)
        elif refusal is Refusal.DENIED:
            if message.delivery.done():
                self.denied += 1
            self._drop(message, PermissionDenied("another connection has opened the stream since"))
        else:
            self._drop(message, ValueError("the stream is of the other class: the first message of an epoch decides"))

    def _time_to_ask_for(self, message: Message) -> int:
        followed = self._streams.get(message.stream)
        if followed is None or message.delivery.done():
            return message.time
        return max(message.time, followed.next_time)

    def _keep_here(self, message: Message) -> None:
        self.lost += message.is_counted
        followed = self._streams.get(message.stream)
        if followed is not None:
            self._complain(followed)
            followed.deliver_pending(before=message.number + 1, will_be_read=False)
            self._streams.drop_if_left(followed)

    def _complain(self, followed: FollowedStream) -> None:
        if not followed.problem_logged:
            followed.problem_logged = True  # logged once
            logger.error(
                "Redis cannot store messages of stream %r: its key or that of its numbers holds something else, or it "
                "has the latest timestamp",
                followed.name,
            )
