"""Joins several servers through Redis Streams.

Each stream of messages is one stream in Redis with one entry for each message. The id of the entry is the message's
timestamp, taken from Redis' clock and not from the clock of a server. Every server delivers the messages that it reads
from Redis, its own included, so all servers agree on the order and the timestamps. While Redis is unreachable, a server
delivers its own messages itself, with its last estimate of Redis' clock, and keeps them for Redis.
"""

from __future__ import annotations

import asyncio
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Literal

from ...codec import Codec
from ...errors import PermissionDenied
from ...plural import counted
from ...protocol import LARGEST_LENGTH, Flag, Form, MessageType
from ...session import StreamPosition
from ..attesting import encode_attestation
from ..backplane import UNNUMBERED
from ..logs import logger
from ..opening import Opening
from ..placing import note_placed
from ..publisher import Publisher
from ..remote_backplane import RemoteBackplane
from ..tasks import begin
from ..timestamps import system_clock
from .clock import RedisClock
from .commands import (
    CONNECT,
    Commands,
    Keys,
    is_absence,
    own_pool,
    pauses,
    two_clients,
)
from .outbox import Message, Outbox
from .positions import OwnPlace, Position
from .proofs import Proofs
from .reader import Reader
from .stream import FollowedStream, FollowedStreams
from .writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.asyncio import ConnectionPool, Redis

    from ...codec import EncodedFrame
    from ...messages.templates import Template
    from ...signing import SigningKey
    from ..backplane import Link
    from ..envelope import Envelopes

MiB: Final = 1024 * 1024

_codec: Final = Codec(version=4, compression=None, max_payload=LARGEST_LENGTH)
_IN_REDIS: Final = 1
"""Stream and number in the headers of V4 frames in Redis: their entries tell the number, and each server has ids."""

LONGEST_PAUSE: Final = 1.0
"""Seconds between two attempts to reach Redis."""


class RedisBackplane(RemoteBackplane):
    """The backplane of servers that share one Redis (6.2 or newer).

    Redis keeps recent messages of each stream, so that viewers can resume on another server. If Redis loses messages,
    because it was killed, the servers write them again from memory, within ``seconds`` and ``outbox_bytes``.

    If Redis does not answer for ``patience`` seconds, each server continues alone: its messages reach its own viewers
    at once, and those of other servers when Redis is back. Each server still delivers every message once, with
    increasing timestamps. But if several servers publish on the same stream meanwhile, they deliver these messages in
    different orders and with different timestamps.

    Redis also numbers the messages of each stream, in an epoch, so that viewers of version 4 can resume on any server.
    If Redis is restarted, or a server delivers messages that Redis has not numbered, another epoch begins.

    It connects to one Redis, or to the master that Sentinel names (``Sentinel.master_for``); for a Redis Cluster, there
    is ``RedisClusterBackplane``.

    Args:
        redis: a URL (``redis://``, ``rediss://``, ``unix://``), or a client, whose server and credentials are used for
            separate connections.
        prefix: prefix of all keys in Redis.
        seconds: seconds for which messages are kept, by Redis and by this server for Redis.
        max_bytes: bytes that Redis keeps of one stream.
        outbox_bytes: bytes that this server keeps for Redis, of all streams together.
        patience: seconds without an answer after which Redis counts as unreachable.
        version: version of the frames that this server writes to Redis. Only with 4 does it offer version 4 to its
            peers. Servers of releases that know only 3 cannot read these frames: pass 4 once no such server is left.
        clock: returns microseconds since 1970 by this server's clock; the system's clock by default.

    Raises:
        MissingLibrary: redis-py is not installed.
        ValueError: redis-py cannot parse the URL, a number is not finite and above 0, or the version is not 3 or 4.
    """

    engine = "Redis"

    def __init__(
        self,
        redis: str | Redis,
        *,
        prefix: str = "ecgframe:",
        seconds: float = 30.0,
        max_bytes: int = 16 * MiB,
        outbox_bytes: int = 64 * MiB,
        patience: float = 0.5,
        version: Literal[3, 4] = 3,
        clock: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(seconds=seconds, max_bytes=max_bytes, outbox_bytes=outbox_bytes, patience=patience)
        if version not in {3, 4}:
            raise ValueError(f"version is 3 or 4, not {version}")
        self.version: int = version
        self._pool = own_pool(redis)
        self._origin = uuid.uuid4().hex.encode()
        self._keys = Keys(prefix, self._origin)
        self._kept = round(seconds * 1_000_000)
        self._max_bytes = max_bytes
        self._streams = FollowedStreams(self._make_stream)
        self._outbox = Outbox(seconds, outbox_bytes)
        self._clock = RedisClock(clock or system_clock)
        self._reader = Reader(self._streams, self._clock, patience, self._has_read)
        self._writer = Writer(self._streams, self._outbox, patience, self._has_written)
        self._envelopes: Envelopes | None = None
        self._proofs: Proofs | None = None
        self._news = asyncio.Event()
        self._commands: Commands | None = None
        self._connected = False
        self._run_id: str | None = None  # run id of the Redis that was read last
        self._last_number = 0
        self._missed = 0
        self._rewritten = 0
        self._epochs_ended = 0
        self._backoff = pauses(LONGEST_PAUSE)
        self._leaving: set[asyncio.Task[None]] = set()

    def seal_with(self, envelopes: Envelopes) -> None:
        """Seal the messages of sealed streams for the way through Redis. See ``NumberedBackplane.seal_with``.

        Raises:
            ValueError: ``version`` is not 4.
        """
        if self.version < 4:
            raise ValueError(
                "messages of sealed streams travel between servers in version 4: RedisBackplane(version=4)"
            )
        self._envelopes = envelopes

    def sign_with(self, signer: SigningKey) -> None:
        """Prove what this server publishes to those with the same key. See ``NumberedBackplane.sign_with``."""
        self._proofs = Proofs(signer)

    def _for_redis(self, stream: str, frame: EncodedFrame) -> bytes:
        """The bytes of a frame of version 4 in Redis."""
        return frame.frame if self._envelopes is None else self._envelopes.seal(stream, frame).frame

    async def join(self, stream: str, since: int) -> int:
        """Follow a stream. See ``Backplane.join``.

        While Redis is unreachable, this returns ``since`` at once, and past messages are delivered when Redis is back.
        If this server publishes on the stream before that, messages older than its first one are never delivered.
        """
        followed = self._follow(stream, since)
        if self._connected:
            await followed.settled.wait()
        return since if followed.reach is None else followed.reach

    async def catch_up(self, stream: str) -> bool:
        """Deliver here every message that Redis has of the stream. See ``Backplane.catch_up``."""
        followed = self._streams.get(stream)
        if followed is None or self._commands is None or not self._up:
            return False
        with suppress(Exception):  # Redis is unreachable: the reader and the writer notice it, and log it
            async with asyncio.timeout(self._patience):
                last = await self._commands.last_id(stream)
                while self._up and followed in self._streams:
                    if last is None or followed.has_read(last):
                        return True
                    self._news.clear()
                    await self._news.wait()
        return False

    def now(self) -> int:
        """The time by Redis' clock, in microseconds since 1970. See ``Backplane.now``.

        Until Redis has answered for the first time, it is the time by this server's clock.
        """
        return self._clock.now()

    def leave(self, stream: str) -> None:
        """Stop following a stream, once the messages that this server is publishing on it are delivered."""
        self._streams.leave(stream)

    async def publish(
        self,
        stream: str,
        timestamp: int,
        frame: EncodedFrame,
        epoch: int = 0,
        record: bytes | None = None,
        *,
        is_bulk: bool | None = None,
    ) -> int:
        """Write a message to Redis. It is delivered here when it is read back, or at once if Redis is unreachable.

        This also joins the stream if necessary. See ``NumberedBackplane.publish``.
        """
        plain = folded = None
        if self.version >= 4 and stream not in UNNUMBERED:
            plain = self._for_redis(stream, frame.in_version_4(_IN_REDIS, _IN_REDIS))
            if record is not None:
                flags = frame.flags & ~Flag.COMPRESSED
                folded = self._for_redis(stream, _in_redis(MessageType.ECG_DATA, record, flags, timestamp, Form.RECORD))
        made_for = 0 if folded is None else epoch
        message = self._message(stream, timestamp, frame, plain, folded, made_for, is_bulk=is_bulk)
        return await self._publish(stream, timestamp, message)

    async def publish_template(
        self,
        stream: str,
        timestamp: int,
        epoch: int,
        make: Callable[[int], Template],
        *,
        is_bulk: bool | None = None,
    ) -> bool:
        """Publish a template. See ``NumberedBackplane.publish_template``."""
        followed = self._streams.get(stream)
        if followed is None or followed.epochs is None or self._commands is None or not self._up:
            return False
        number = None
        with suppress(Exception):  # Redis is unreachable: the reader and the writer notice it, and log it
            async with asyncio.timeout(self._patience):
                number = await self._commands.reserve_template(stream, Position(epoch, 0))
        if number is None or not self._up:
            return False
        template = _in_redis(MessageType.STREAM_TEMPLATE, make(number).fields_on_the_wire(), 0, timestamp)
        frame = self._for_redis(stream, template)
        return (
            await self._publish(
                stream,
                timestamp,
                self._message(stream, timestamp, None, None, frame, epoch, is_bulk=is_bulk),
                after_adding=lambda: None,  # the message that needs it is still to come
            )
            > 0
        )

    async def publish_attestation(
        self, stream: str, timestamp: int, epoch: int, payload: bytes, link: Link, *, is_bulk: bool | None = None
    ) -> bool:
        """Publish an attestation. See ``NumberedBackplane.publish_attestation``."""
        followed = self._streams.get(stream)
        if followed is None or followed.epochs is None or self._commands is None or not self._up:
            return False
        plain = encode_attestation(payload, timestamp, StreamPosition(_IN_REDIS, _IN_REDIS))
        frame = self._for_redis(stream, plain)
        told = f"{link.signer.hex()} {link.number} {link.own.hex()}"
        message = self._message(stream, timestamp, None, None, frame, epoch, is_bulk=is_bulk, link=told)
        return await self._publish(stream, timestamp, message) > 0

    async def last_attestation(self, stream: str, epoch: int, signer: bytes) -> Link | None:
        """Return the latest attestation of a signer. See ``NumberedBackplane.last_attestation``."""
        if self._commands is None or not self._up:
            return None
        with suppress(Exception):  # Redis is unreachable: the reader and the writer notice it, and log it
            async with asyncio.timeout(self._patience):
                return await self._commands.last_attestation(stream, epoch, signer)
        return None

    async def open_stream(self, stream: str, epoch: int) -> Opening | None:
        """Open a stream for a client. See ``NumberedBackplane.open_stream``."""
        commands = self._commands
        if commands is None or not self._up:
            return None
        try:
            async with asyncio.timeout(self._patience):
                token, state = await commands.open_stream(stream, epoch)
        except Exception:
            return None  # Redis is unreachable: the reader and the writer notice it, and log it
        if not token:
            raise PermissionDenied("this epoch of the stream has ended; a new one has to be another number")
        try:
            return Opening.unpack(epoch, token, state)
        except ValueError as error:
            logger.error("stream %r: %s", stream, error)
            return Opening(token, Publisher(epoch, None))

    async def publish_opened(
        self,
        stream: str,
        timestamp: int,
        frame: EncodedFrame,
        opening: Opening,
        number: int,
        record: bytes | None = None,
        *,
        is_bulk: bool = False,
    ) -> int:
        """Publish a message of a stream that a client has opened. See ``NumberedBackplane.publish_opened``."""
        folded = None
        if frame.version < 4:
            plain = self._for_redis(stream, frame.in_version_4(_IN_REDIS, _IN_REDIS))
            if record is not None:
                flags = frame.flags & ~Flag.COMPRESSED
                folded = self._for_redis(stream, _in_redis(MessageType.ECG_DATA, record, flags, timestamp, Form.RECORD))
        elif frame.flags & Flag.ENCRYPTED:  # by its publisher
            plain = frame.frame
        else:
            plain = self._for_redis(stream, frame)
        own = OwnPlace(opening.epoch, number, opening.token, opening.pack(), is_bulk)
        canonical = frame if frame.version < 4 else None
        return await self._publish(
            stream, timestamp, self._message(stream, timestamp, canonical, plain, folded, 0, is_bulk=is_bulk, own=own)
        )

    def leave_opened(self, stream: str, opening: Opening) -> None:
        """Note that the connection of a publisher has ended. See ``NumberedBackplane.leave_opened``."""
        if self._commands is not None and self._up:
            task = begin(self._leave_opened(self._commands, stream, opening.token))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    async def _leave_opened(self, commands: Commands, stream: str, token: str) -> None:
        with suppress(Exception):  # Redis is unreachable: the stream stays its publisher's for longer
            async with asyncio.timeout(self._patience):
                await commands.leave_stream(stream, token)

    def opening(self, stream: str) -> Opening | None:
        """Return who has opened a stream. See ``NumberedBackplane.opening``."""
        followed = self._streams.get(stream)
        return None if followed is None else followed.opening

    def class_of(self, stream: str) -> bool | None:
        """Return the class of a stream. See ``NumberedBackplane.class_of``."""
        followed = self._streams.get(stream)
        return None if followed is None else followed.is_bulk

    def _message(
        self,
        stream: str,
        timestamp: int,
        frame: EncodedFrame | None,
        plain: bytes | None,
        folded: bytes | None,
        made_for: int,
        *,
        is_bulk: bool | None = None,
        own: OwnPlace | None = None,
        link: str = "",
    ) -> Callable[[], Message]:
        def make() -> Message:
            self._last_number += 1
            corrected = self._clock.corrected(timestamp)
            return Message(
                self._last_number,
                stream,
                corrected,
                frame,
                plain,
                folded,
                made_for,
                own=own,
                is_bulk=is_bulk,
                link=link,
            )

        return make

    async def _publish(
        self, stream: str, timestamp: int, make: Callable[[], Message], after_adding: Callable[[], None] = note_placed
    ) -> int:
        followed = self._follow(stream, timestamp - 1)
        while self._up and not followed.settled.is_set():
            await followed.settled.wait()
            followed = self._follow(stream, timestamp - 1)  # leave() may have been called meanwhile
        message = make()
        followed.pending[message.number] = message
        self._writer.add(message)
        after_adding()
        if not self._up:
            followed.deliver_pending()
        self._writer.shrink()
        return await asyncio.shield(message.delivery)

    def position(self, stream: str) -> tuple[int, int] | None:
        """Return epoch and number of the last message of a stream. See ``NumberedBackplane.position``."""
        followed = self._streams.get(stream)
        return None if followed is None or not self._connected else followed.take_up()

    def templates(self, stream: str, epoch: int) -> list[tuple[int, Template | EncodedFrame]]:
        """Return the latest templates of an epoch. See ``NumberedBackplane.templates``."""
        followed = self._streams.get(stream)
        return [] if followed is None else followed.templates.of(epoch)

    async def close(self) -> None:
        """Stop the backplane. Waiting messages are still written while Redis takes some of them within ``patience``.

        What it does not take is counted as lost, and logged.
        """
        running = self._running
        if running is None or self._closing:
            return
        self._closing = True
        self._writer.finish()
        await self._finish(lambda: self._outbox.waiting, lambda: [] if running.done() else [running])
        await self._stop()
        self._leave_redis()
        self._note_left_behind(self._writer.give_up())
        self._deliver = None

    def stats(self) -> dict[str, int | float | bool]:
        """Numbers for an operator.

        Returns:
            up: whether messages go through Redis. streams: number of followed streams. outbox_frames, outbox_bytes:
            messages that wait to be written to Redis. lag_seconds: seconds from the timestamp of the last message
            until it was read here. clock_skew_seconds: this server's clock minus Redis'. Counted since the start:
            lost_total: messages that other servers will not get. restamped_total: messages that were delivered here
            while Redis was unreachable, and have another timestamp on other servers. denied_total: messages of opened
            streams that were delivered here while Redis was unreachable, and that it did not take afterwards, because
            another connection had opened the stream: that one sends them again. unopened_total: messages of sealed
            streams that this server did not open, because they were plain, changed or repeated, or of an unknown key.
            missed_total: messages that this server will never get, because another one could not write them, or Redis
            dropped them before they were read.
            rewritten_total: messages written
            again because Redis had lost them. refused_total: entries in Redis that no backplane has written.
            reconnections_total: how often the connection to Redis was restored. epochs_total: how often the numbers of
            a stream began anew here.
        """
        return {
            "up": self._up,
            "streams": len(self._streams),
            "outbox_frames": self._outbox.waiting,
            "outbox_bytes": self._outbox.waiting_bytes,
            "lag_seconds": self._reader.lag,
            "lost_total": self._writer.lost,
            "clock_skew_seconds": self._clock.skew,
            "restamped_total": self._writer.restamped,
            "denied_total": self._writer.denied,
            "unopened_total": 0 if self._envelopes is None else self._envelopes.unopened,
            "missed_total": self._missed,
            "rewritten_total": self._rewritten,
            "refused_total": self._reader.refused,
            "reconnections_total": self._reconnections,
            "epochs_total": self._epochs_ended,
        }

    def _follow(self, stream: str, since: int) -> FollowedStream:
        self._opened()
        followed = self._streams.follow(stream, since)
        if followed.behind:
            self._writer.wake_reader()
        return followed

    def _make_stream(self, stream: str, since: int) -> FollowedStream:
        return FollowedStream(
            stream,
            self._keys.stream(stream),
            since,
            origin=self._origin,
            deliver=self._opened(),
            numbers_key=self._keys.numbers(stream),
            is_numbered=self.version >= 4 and stream not in UNNUMBERED,
            opener=None if self._envelopes is None or stream in UNNUMBERED else self._envelopes.opener(stream),
            note_epoch=self._note_epoch,
            proofs=self._proofs,
            note_missing=self._note_missing,
        )

    def _note_missing(self, stream: str, count: int) -> None:
        """Log and count messages of other servers that this one will never get."""
        self._missed += count
        logger.warning("%s of stream %r did not reach this server", counted(count, "message"), stream)

    def _note_epoch(self, stream: str, epoch: int | None) -> None:
        """Log and count that the numbers of a stream begin anew for viewers that have had others."""
        self._epochs_ended += 1
        if epoch is None:
            logger.warning("stream %r is numbered by this server alone, until Redis has begun another epoch", stream)
        else:
            logger.info("stream %r is numbered anew, in epoch %d", stream, epoch)

    # --- connecting to Redis ---

    def _pause(self, failures: int) -> float:
        return self._backoff.compute(failures)

    def _is_connected(self) -> bool:
        return self._connected

    def _is_absence(self, error: BaseException) -> bool:
        return is_absence(error)

    async def _converse(self) -> None:
        """Connect to Redis, then read and write until the backplane is closed.

        Raises:
            Exception: the connection failed.
        """
        async with asyncio.timeout(CONNECT) as connecting, two_clients(await self._find()) as (writing, reading):
            commands = Commands(
                writing,
                reading,
                keys=self._keys,
                origin=self._origin,
                kept=self._kept,
                max_bytes=self._max_bytes,
                clock=self._clock,
                proofs=self._proofs,
            )
            before = None if self._clock.is_known else self._clock.now()
            await commands.ask_time()
            run_id = await commands.run_id()
            marks = await commands.marks({*self._outbox.last_written(), *self._writer.doubtful})
            self._end_epochs(run_id)
            await self._writer.tell(commands, everything=True)
            connecting.reschedule(None)
            if before is not None:
                self._take_over_clock(self._clock.now() - before)
            self._synchronize(run_id, marks)
            self._commands = commands
            async with asyncio.TaskGroup() as both:
                reading_on = both.create_task(self._reader.run(commands))
                await self._writer.run(commands)
                reading_on.cancel()

    async def _find(self) -> ConnectionPool:
        """The connections of the Redis to use now."""
        return self._pool

    def _take_over_clock(self, ahead: int) -> None:
        """Convert positions from this server's clock to Redis', which is ``ahead`` microseconds ahead."""
        for followed in self._streams:
            followed.shift(ahead)

    def _synchronize(self, run_id: str | None, marks: dict[str, int]) -> None:
        self._connected = True
        self._writer.settle(marks)
        taken_back = self._outbox.take_back(marks)
        self._rewritten += sum(message.is_counted for message in taken_back)
        for message in taken_back:
            known = self._streams.get(message.stream)
            if message.own is None and message.delivery.done() and known is not None and known.epochs is not None:
                known.epochs.own_was_taken_back(message.number)
        restarted = self._is_another(run_id)
        for followed in self._streams:
            followed.catch_up(restarted=restarted)
        self._run_id = run_id
        self._up_if_even()

    def _is_another(self, run_id: str | None) -> bool:
        return run_id is None or run_id != self._run_id

    def _end_epochs(self, run_id: str | None) -> None:
        """End the epochs of a Redis that was restarted or replaced.

        It may have the numbers of an older state and, by messages of other servers, get past those that this server
        knows: then the same numbers would name other messages.
        """
        if self._is_another(run_id):
            for followed in self._streams:
                if followed.epochs is not None and followed.opening is None:
                    followed.epochs.end()

    def _has_read(self) -> None:
        self._news.set()
        if any(followed.epochs is not None and followed.epochs.must_tell for followed in self._streams):
            self._writer.tell_epochs()
        self._writer.shrink()
        self._up_if_even()

    def _has_written(self, some_are_to_be_read: bool) -> None:
        if some_are_to_be_read:
            self._reader.expect(asyncio.get_running_loop().time())
        self._up_if_even()

    def _up_if_even(self) -> None:
        """Publish through Redis again once it has the messages of this server, and all of its messages were read."""
        if self._up or not self._writer.is_nearly_done or any(followed.behind for followed in self._streams):
            return
        self._note_connected(self._writer.lost)

    def _continue_alone(self, error: BaseException) -> None:
        self._note_failure(error)
        self._leave_redis()

    def _leave_redis(self) -> None:
        """Deliver the messages of this server that were to be read from Redis."""
        self._up = self._connected = False
        self._commands = None
        self._news.set()
        for followed in self._streams:
            followed.settled.set()
            followed.deliver_pending()
            self._streams.drop_if_left(followed)


def _in_redis(type: MessageType, data: Any, flags: int, timestamp: int, form: int = 0) -> EncodedFrame:
    return _codec.encode_frame(
        type, data, flags=flags, timestamp=timestamp, stream_id=_IN_REDIS, sequence=_IN_REDIS, form=form
    )
