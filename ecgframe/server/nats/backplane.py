"""Joins several servers through NATS JetStream.

JetStream keeps the messages of all streams for some seconds, each stream under a subject of its own, and publishes once
more what it has stored, for the servers that follow the stream. Every server delivers what JetStream has stored, its
own messages included, so all servers agree on the order and the timestamps.

The timestamp of a message is that of the server that publishes it, or one more than that of the message before it. A
message is stored only if its publisher knows the one before it (``Nats-Expected-Last-Subject-Sequence``); otherwise it
reads what came first, and tries again.
"""

from __future__ import annotations

import asyncio
import base64
import math
import uuid
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, Final

from ...libraries import library
from ...plural import counted
from ...protocol import LARGEST_TIMESTAMP
from ..backplane import PublishedBy
from ..logs import logger
from ..remote_backplane import RemoteBackplane
from ..tasks import begin
from ..timestamps import system_clock

if TYPE_CHECKING:
    import nats
    from nats.aio import client as aio
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription
    from nats.js import JetStreamContext, api
    from nats.js import errors as js_errors

    from ...codec import EncodedFrame
else:
    nats, aio, api, js_errors = (
        library(name, extra="nats", purpose="the NATS backplane")
        for name in ("nats", "nats.aio.client", "nats.js.api", "nats.js.errors")
    )

MiB: Final = 1024 * 1024

CLOCKS: Final = 1.0
"""Seconds by which the clocks of the servers may differ."""

AHEAD: Final = 86_400_000_000
"""Microseconds by which a timestamp in JetStream may be ahead of this server's clock."""

AGAIN: Final = 0.25
"""Seconds between two attempts to reach JetStream."""

ATTEMPTS: Final = 1_000
"""Attempts to store one message while other servers publish on the same stream."""

BATCH: Final = 256
"""Messages of the past that are asked for at once."""

AT_ONCE: Final = 16
"""Streams that are read and stored at once when JetStream is back."""

ROUNDS: Final = 3
FEW: Final = 8
"""When JetStream is back, what waits is stored while new messages are delivered here alone, until so few are left, or
for so many rounds; new messages wait for the rest."""

TOGETHER: Final = 64
"""Messages of one stream that are stored at once, if they have waited."""

MOST_COUNTED: Final = 4_096
"""Streams in which this server counts its messages, and servers whose messages it counts in a stream: the latest."""

HEADERS: Final = 4096
"""Bytes that the headers of a message of JetStream have at most."""

MOST_AHEAD: Final = 1_000
"""Messages of a stream that are kept while those before them are read; more are read afterwards."""

_WRONG_LAST: Final = 10071
_OTHER_CONFIG: Final = 10058
_TIMES: Final = "Ecgframe-Times"
_BEFORE: Final = "Ecgframe-Before"
_FROM: Final = "Ecgframe-From"
_NUMBERS: Final = "Ecgframe-Numbers"
_SIZES: Final = "Ecgframe-Sizes"
_COUNTS: Final = "Ecgframe-Counts"


class _Unusable(Exception):
    """JetStream answers, but cannot be used as it is."""


@dataclass(slots=True, eq=False)
class _Message:
    """A message of this server that JetStream does not have yet.

    Attributes:
        count: how many messages this server has published on the stream, with this one.
    """

    number: int
    stream: str
    timestamp: int
    frame: EncodedFrame
    count: int
    is_delivered: bool = False
    added: float = 0.0

    @property
    def nbytes(self) -> int:
        return len(self.frame.frame)


@dataclass(slots=True, eq=False)
class _Followed:
    """A stream that this server follows.

    Attributes:
        name: name of the stream.
        last: sequence of the last message that was read.
        expected: sequence of the last message that JetStream has of the stream, as far as is known; 0 if it has none.
        heard: largest sequence that JetStream has told of.
        stored: timestamp of the last message that was read; no message is missing between it and the next one.
        delivered: timestamp of the last message that was delivered here.
        since: timestamps up to this one are not delivered.
        reach: timestamp after which no message is missing; None until the past is read.
        publishing: messages of this server that are being published.
        is_left: whether it is dropped once nothing of it waits.
        is_level: whether everything of it was read and stored, so that new messages go through JetStream.
        ahead: messages that JetStream has told of while the ones before were being read: sequence, sequence before it,
            headers and data.
        subscription: tells of new messages.
        waiting: messages of this server that JetStream does not have yet, by number.
        counts: by the id of another server, how many messages it has published on the stream.
        missing: messages that this server will never get, and that are reported with the next one.
    """

    name: str
    since: int
    last: int = 0
    expected: int = 0
    heard: int = 0
    stored: int = 0
    delivered: int = 0
    reach: int | None = None
    publishing: int = 0
    is_left: bool = False
    is_level: bool = False
    ahead: list[tuple[int, int, Mapping[str, str], bytes]] = field(default_factory=list)
    subscription: Subscription | None = None
    waiting: dict[int, _Message] = field(default_factory=dict)
    counts: OrderedDict[str, int] = field(default_factory=OrderedDict)
    missing: int = 0
    beginning: asyncio.Lock = field(default_factory=asyncio.Lock)
    order: asyncio.Lock = field(default_factory=asyncio.Lock)
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)


class NatsBackplane(RemoteBackplane):
    """The backplane of servers that share NATS with JetStream (2.9 or newer), for versions 1 to 3 of the protocol.

    JetStream keeps recent messages of each stream, so that viewers can resume on another server. Messages are ordered
    by the clocks of the servers, which have to agree within a second. If JetStream does not answer for ``patience``
    seconds, each server continues alone: its messages reach its own viewers at once, and those of other servers when
    JetStream is back, within ``seconds`` and ``outbox_bytes``. If several servers publish on the same stream meanwhile,
    they deliver these messages in different orders and with different timestamps.

    It does not number messages: version 4 of the protocol, sealed streams and signing servers need ``RedisBackplane``.

    Args:
        servers: a URL (``nats://``, ``tls://``), or several of one cluster.
        name: name of the stream of JetStream, and prefix of all subjects: letters, digits, ``-`` and ``_``. It is
            created if it is not there.
        seconds: seconds for which messages are kept, by JetStream and by this server for it.
        max_bytes: bytes that JetStream keeps of all streams together.
        outbox_bytes: bytes that this server keeps for JetStream.
        patience: seconds without an answer after which JetStream counts as unreachable.
        replicas: servers of the cluster that keep each message.
        in_memory: whether JetStream keeps messages in memory only.
        options: further ones of ``nats.connect``, such as ``user_credentials`` and ``tls``.
        clock: returns microseconds since 1970 by this server's clock; the system's clock by default.

    Raises:
        MissingLibrary: nats-py is not installed.
        ValueError: the name has other characters, or a number is not finite and above 0.
    """

    engine = "NATS"

    def __init__(
        self,
        servers: str | Sequence[str],
        *,
        name: str = "ecgframe",
        seconds: float = 30.0,
        max_bytes: int = 256 * MiB,
        outbox_bytes: int = 64 * MiB,
        patience: float = 0.5,
        replicas: int = 1,
        in_memory: bool = False,
        options: Mapping[str, Any] | None = None,
        clock: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(
            seconds=seconds, max_bytes=max_bytes, outbox_bytes=outbox_bytes, patience=patience, replicas=replicas
        )
        if not name or not all(each.isascii() and (each.isalnum() or each in "-_") for each in name):
            raise ValueError(f"the name of a stream of JetStream has letters, digits, - and _: {name!r}")
        self._servers = [servers] if isinstance(servers, str) else list(servers)
        self._name = name
        self._seconds = seconds
        self._outbox_bytes = outbox_bytes
        self._options = dict(options or {})
        self._config = api.StreamConfig(
            name=name,
            subjects=[f"{name}.kept.>"],
            max_age=seconds,
            max_bytes=max_bytes,
            storage=api.StorageType.MEMORY if in_memory else api.StorageType.FILE,
            num_replicas=replicas,
            duplicate_window=min(seconds, 120.0),
            republish=api.RePublish(src=f"{name}.kept.>", dest=f"{name}.live.>"),
            allow_direct=True,
        )
        self._clock = clock or system_clock
        self._origin = uuid.uuid4().hex
        self._last_number = 0
        self._client: Client | None = None
        self._stream: JetStreamContext | None = None
        self._created: Any = None
        self._streams: dict[str, _Followed] = {}
        self._counts: OrderedDict[str, int] = OrderedDict()  # of the messages of this server, by stream
        self._outbox: OrderedDict[int, _Message] = OrderedDict()  # by number
        self._waiting_bytes = 0
        self._down = asyncio.Event()
        self._told_full = False
        self._lag = 0.0
        self._lost = self._restamped = self._refused = self._missed = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    async def join(self, stream: str, since: int) -> int:
        """Follow a stream. See ``Backplane.join``.

        While JetStream is unreachable, this returns ``since`` at once, and past messages are delivered when it is back.
        """
        followed = self._follow(stream, since)
        if self._up and not followed.is_level:
            try:
                await self._begin(followed)
            except Exception as error:
                self._continue_alone(error)
            else:
                followed.is_level = self._up
        return since if followed.reach is None else max(since, followed.reach)

    async def catch_up(self, stream: str) -> bool:
        """Deliver here every message that JetStream has of the stream. See ``Backplane.catch_up``."""
        followed = self._streams.get(stream)
        if followed is None or not self._up or self._stream is None:
            return False
        try:
            await self._read(followed)
        except Exception as error:
            self._continue_alone(error)
            return False
        return True

    def now(self) -> None:
        """Return None: messages are ordered by the clocks of the servers that publish them."""

    def leave(self, stream: str) -> None:
        """Stop following a stream, once the messages that this server is publishing on it are delivered."""
        followed = self._streams.get(stream)
        if followed is not None:
            followed.is_left = True
            self._drop_if_left(followed)

    async def publish(self, stream: str, timestamp: int, frame: EncodedFrame) -> int:
        """Store a message. It is delivered here when it is read back, or at once if JetStream is unreachable."""
        followed = self._follow(stream, timestamp - 1)
        followed.publishing += 1
        task = asyncio.create_task(self._publish(followed, timestamp, frame))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Stop the backplane. Waiting messages are still stored while JetStream takes some of them within ``patience``.

        What it does not take is counted as lost, and logged.
        """
        if self._running is None or self._closing:
            return
        self._closing = True
        await self._finish(lambda: sum(each.publishing for each in self._streams.values()), lambda: self._tasks)
        await self._stop()
        self._up = False
        await self._disconnect()
        self._lost += len(self._outbox)
        self._note_left_behind(len(self._outbox))
        self._outbox.clear()
        self._waiting_bytes = 0
        self._deliver = None

    def stats(self) -> dict[str, int | float | bool]:
        """Numbers for an operator.

        Returns:
            up: whether messages go through JetStream. streams: number of followed streams. outbox_frames, outbox_bytes:
            messages that wait for JetStream. lag_seconds: seconds from the timestamp of the last message of another
            server until it was read here, by this server's clock. Counted since the start: lost_total: messages that
            were dropped here before JetStream had confirmed them. restamped_total: messages that were delivered here
            while JetStream was unreachable, and have another timestamp on other servers. missed_total: messages that
            this server will never get, because another one could not store them, or JetStream dropped them before they
            were read. refused_total: messages of JetStream that no backplane has written. reconnections_total: how
            often the connection to JetStream was restored.
        """
        return {
            "up": self._up,
            "streams": len(self._streams),
            "outbox_frames": len(self._outbox),
            "outbox_bytes": self._waiting_bytes,
            "lag_seconds": self._lag,
            "lost_total": self._lost,
            "restamped_total": self._restamped,
            "missed_total": self._missed,
            "refused_total": self._refused,
            "reconnections_total": self._reconnections,
        }

    # --- publishing ---

    async def _publish(self, followed: _Followed, timestamp: int, frame: EncodedFrame) -> int:
        try:
            async with followed.order:
                self._last_number += 1
                message = _Message(self._last_number, followed.name, timestamp, frame, self._count(followed.name))
                self._outbox[message.number] = followed.waiting[message.number] = message
                self._waiting_bytes += message.nbytes
                message.added = asyncio.get_running_loop().time()
                if self._up or followed.is_level:
                    try:
                        if not followed.is_level:
                            await self._begin(followed)
                            followed.is_level = self._up
                        async with asyncio.timeout(self._patience):
                            await self._store(followed, [message])
                    except Exception as error:
                        self._continue_alone(error)
                if not message.is_delivered:
                    self._deliver_here(followed, message)
                return message.timestamp
        finally:
            followed.publishing -= 1
            self._drop_if_left(followed)

    def _count(self, stream: str) -> int:
        """Count another message of this server on a stream, so that other servers see which they do not get."""
        count = self._counts.pop(stream, 0) + 1
        self._counts[stream] = count
        if len(self._counts) > MOST_COUNTED:
            self._counts.popitem(last=False)
        return count

    async def _store(self, followed: _Followed, messages: Sequence[_Message]) -> None:
        """Store messages as the next ones of their stream, in one message of JetStream.

        Raises:
            Exception: JetStream is unreachable, or does not take them.
        """
        client, stream = self._reached()
        messages = [message for message in messages if self._fits(followed, message, client.max_payload)]
        for _ in range(ATTEMPTS):
            messages = [message for message in messages if message.number in self._outbox]
            if not messages:
                return  # they were stored before, and have been read now
            times: list[int] = []
            last = followed.stored
            for message in messages:
                last = max(message.timestamp, last + 1, 0 if message.is_delivered else followed.delivered + 1)
                times.append(last)
            if last > LARGEST_TIMESTAMP:
                raise _Unusable("the stream has the latest timestamp")
            headers = {
                "Nats-Expected-Last-Subject-Sequence": str(followed.expected),
                _TIMES: " ".join(map(str, times)),
                _NUMBERS: " ".join(str(message.number) for message in messages),
                _SIZES: " ".join(str(message.nbytes) for message in messages),
                _COUNTS: " ".join(str(message.count) for message in messages),
                _BEFORE: str(max(followed.stored, followed.reach or 0)),
                _FROM: self._origin,
            }
            data = b"".join(message.frame.frame for message in messages)
            try:
                stored = await stream.publish(
                    self._subject(followed.name), data, timeout=self._patience, headers=headers
                )
            except js_errors.APIError as error:
                if error.err_code != _WRONG_LAST:
                    raise
                followed.expected = int(str(error.description).rpartition(":")[2])
                if followed.expected > followed.last:
                    await self._read(followed)
                continue
            # Nothing came between it and what was read before, so it need not be read back.
            self._restamped += sum(
                message.is_delivered and message.timestamp != time
                for message, time in zip(messages, times, strict=True)
            )
            self._take(followed, stored.seq, headers, data)
            return
        raise _Unusable(f"other servers were first {ATTEMPTS} times")

    def _fits(self, followed: _Followed, message: _Message, max_payload: int) -> bool:
        """Return whether JetStream takes a message of this size; otherwise it stays on this server."""
        if message.nbytes + HEADERS <= max_payload:
            return True
        text = "stream %r: a message of %d bytes stays on this server: max_payload of NATS is %d"
        logger.error(text, message.stream, message.nbytes, max_payload)
        self._forget(message)
        self._lost += 1
        if not message.is_delivered:
            self._deliver_here(followed, message)
        return False

    def _deliver_here(self, followed: _Followed, message: _Message) -> None:
        """Deliver a message of this server that JetStream does not have."""
        assert self._deliver is not None
        message.timestamp = max(message.timestamp, followed.delivered + 1)
        message.is_delivered = True
        if followed.reach is None:  # what is older than this is not delivered after it
            followed.since = max(followed.since, message.timestamp)
        followed.delivered = message.timestamp
        self._deliver(followed.name, message.timestamp, message.frame)
        self._shrink()

    def _forget(self, message: _Message) -> None:
        if self._outbox.pop(message.number, None) is None:
            return
        self._waiting_bytes -= message.nbytes
        followed = self._streams[message.stream]
        del followed.waiting[message.number]
        self._drop_if_left(followed)

    def _shrink(self) -> None:
        """Drop what waits for JetStream for too long, or is too much."""
        now = asyncio.get_running_loop().time()
        while self._outbox:
            oldest = next(iter(self._outbox.values()))
            if not oldest.is_delivered:
                return
            is_full = self._waiting_bytes > self._outbox_bytes
            if oldest.added + self._seconds > now and not is_full:
                return
            if is_full and not self._told_full:
                self._told_full = True
                logger.warning("the outbox for NATS is full: its oldest messages will not reach other servers")
            self._forget(oldest)
            self._lost += 1

    # --- reading ---

    def _follow(self, stream: str, since: int) -> _Followed:
        self._opened()
        followed = self._streams.get(stream)
        if followed is None:
            followed = self._streams[stream] = _Followed(stream, since)
        followed.is_left = False
        return followed

    def _drop_if_left(self, followed: _Followed) -> None:
        is_needed = not followed.is_left or followed.publishing or followed.waiting
        if is_needed or self._streams.get(followed.name) is not followed:
            return
        del self._streams[followed.name]
        if followed.subscription is not None:
            task = begin(self._unsubscribe(followed.subscription))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _unsubscribe(self, subscription: Subscription) -> None:
        with suppress(Exception):  # the connection is gone, and the subscription with it
            await subscription.unsubscribe()

    async def _begin(self, followed: _Followed) -> None:
        """Subscribe to a stream, and read its past."""
        client, _ = self._reached()

        async def heard(message: Msg) -> None:
            await self._heard(followed, message)

        async with followed.beginning:
            if followed.subscription is None:
                followed.subscription = await client.subscribe(self._subject(followed.name, kind="live"), cb=heard)
            await client.flush(timeout=max(1, math.ceil(self._patience)))
        await self._read(followed)

    async def _heard(self, followed: _Followed, message: Msg) -> None:
        """Take a message that JetStream has just stored."""
        headers = message.headers or {}
        sequence, before = int(headers.get("Nats-Sequence", 0)), int(headers.get("Nats-Last-Sequence", 0))
        followed.heard = max(followed.heard, sequence)
        if sequence <= followed.last:
            return
        if followed.reading.locked() or followed.reach is None:
            if len(followed.ahead) < MOST_AHEAD:  # whoever reads goes on with these
                followed.ahead.append((sequence, before, headers, message.data))
            return
        if before in (followed.last, 0):
            self._take(followed, sequence, headers, message.data)
            return
        try:
            await self._read(followed)
        except Exception as error:
            self._continue_alone(error)

    async def _read(self, followed: _Followed) -> None:
        """Read all that JetStream has of a stream, in order."""
        async with followed.reading:
            while True:
                await self._fetch(followed)
                if followed.reach is None:
                    kept = self._clock() - round(max(0.0, self._seconds - CLOCKS) * 1_000_000)
                    followed.reach = max(followed.since, kept)
                ahead, followed.ahead = followed.ahead, []
                for sequence, before, headers, data in ahead:
                    if sequence > followed.last and before in (followed.last, 0):
                        self._take(followed, sequence, headers, data)
                if followed.heard <= followed.last:
                    return
                if not await self._has(followed, followed.heard):  # JetStream has dropped it before it was read
                    followed.last = followed.heard

    async def _has(self, followed: _Followed, sequence: int) -> bool:
        """Return whether JetStream has a message of this sequence or a later one of a stream."""
        _, stream = self._reached()
        try:
            last = await stream.get_last_msg(self._name, self._subject(followed.name))
        except js_errors.NotFoundError:
            return False
        return (last.seq or 0) >= sequence

    async def _fetch(self, followed: _Followed) -> None:
        """Deliver all messages of a stream after the last one that was read."""
        _, stream = self._reached()
        config = api.ConsumerConfig(
            deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=followed.last + 1,
            ack_policy=api.AckPolicy.NONE,
            inactive_threshold=10.0,
            mem_storage=True,
        )
        subject = self._subject(followed.name)
        reader = await stream.pull_subscribe(subject, stream=self._name, config=config)
        try:
            pending = (await reader.consumer_info()).num_pending or 0
            while pending:
                for message in await reader.fetch(min(BATCH, pending), timeout=self._patience):
                    position = message.metadata
                    self._take(followed, position.sequence.stream, message.headers or {}, message.data)
                    pending = position.num_pending
        finally:
            with suppress(Exception):  # it ends by itself
                info = await stream.consumer_info(self._name, reader._consumer)
                await stream.delete_consumer(self._name, info.name)
            await self._unsubscribe(reader._sub)

    def _take(self, followed: _Followed, sequence: int, headers: Mapping[str, str], data: bytes) -> None:
        """Deliver a message that JetStream has stored."""
        assert self._deliver is not None
        if sequence <= followed.last:
            return
        is_first = followed.last == 0
        followed.last = followed.expected = sequence
        found = _read_headers(headers, data)
        if found is None or found[1][0][0] <= 0 or found[1][-1][0] >= self._clock() + AHEAD:
            self._refused += 1
            return
        before, messages, counts = found
        if is_first and followed.reach is None:
            followed.reach = max(followed.since, before)
        is_own = headers[_FROM] == self._origin
        for (timestamp, number, frame), count in zip(messages, counts, strict=True):
            if not is_own and count:
                self._count_missing(followed, headers[_FROM], count)
            followed.stored = max(followed.stored, timestamp)
            message = self._outbox.get(number) if is_own else None
            if message is not None:
                self._forget(message)
                if not message.is_delivered:
                    message.timestamp = timestamp
                    self._deliver_here(followed, message)
            elif not is_own and timestamp > followed.since:  # otherwise delivered here before, or not asked for
                self._lag = max(0.0, (self._clock() - timestamp) / 1e6)
                followed.delivered = max(timestamp, followed.delivered + 1)
                missing, followed.missing = followed.missing, 0
                if missing:
                    self._deliver(followed.name, followed.delivered, frame, None, PublishedBy.HERE, missing)
                else:
                    self._deliver(followed.name, followed.delivered, frame)

    def _count_missing(self, followed: _Followed, origin: str, count: int) -> None:
        """Count the messages of another server before one that were never stored, or dropped before they were read."""
        before = followed.counts.pop(origin, None)
        followed.counts[origin] = count
        if len(followed.counts) > MOST_COUNTED:
            followed.counts.popitem(last=False)
        if before is not None and count > before + 1:
            missing = count - before - 1
            followed.missing += missing
            self._missed += missing
            logger.warning("%s of stream %r did not reach this server", counted(missing, "message"), followed.name)

    def _subject(self, stream: str, *, kind: str = "kept") -> str:
        """The subject of a stream: a name may have any characters, a subject may not."""
        return f"{self._name}.{kind}.s{base64.urlsafe_b64encode(stream.encode()).decode().rstrip('=')}"

    # --- the connection ---

    async def _converse(self) -> None:
        self._down.clear()
        if self._client is None:
            await self._connect()
        await self._agree()
        await self._down.wait()

    def _pause(self, failures: int) -> float:
        return AGAIN

    def _is_connected(self) -> bool:
        return self._up

    def _is_absence(self, error: BaseException) -> bool:
        return isinstance(error, (OSError, TimeoutError, nats.errors.Error, _Unusable))

    async def _connect(self) -> None:
        async def ignore(*arguments: Any) -> None:
            """Errors of the connection are told by what fails."""

        async def lost(*arguments: Any) -> None:
            self._continue_alone(ConnectionError("the connection is lost"))

        settings = {
            "connect_timeout": self._patience,
            "allow_reconnect": False,
            "ping_interval": max(1, math.ceil(self._patience)),
            "max_outstanding_pings": 2,
            **self._options,
            "error_cb": ignore,
            "disconnected_cb": lost,
            "closed_cb": ignore,
        }
        is_secure = "tls" in settings or any(url.startswith("tls://") for url in self._servers)
        client = _EncryptedClient() if is_secure else aio.Client()
        try:
            await client.connect(self._servers, **settings)
        except BaseException:
            await self._close(client)
            raise
        self._client = client
        self._stream = client.jetstream(timeout=max(self._patience, CLOCKS))
        for followed in self._streams.values():
            followed.subscription = None

    async def _agree(self) -> None:
        """Read what other servers have published meanwhile, and store what this one has."""
        _, stream = self._reached()
        try:
            info = await stream.add_stream(self._config)
        except js_errors.ServiceUnavailableError:
            raise _Unusable("JetStream does not answer; is it enabled (nats-server -js)?") from None
        except js_errors.APIError as error:
            if error.err_code != _OTHER_CONFIG:
                raise
            info = await stream.stream_info(self._name)
            found = info.config
            if found.subjects != self._config.subjects or found.republish != self._config.republish:
                raise _Unusable(f"the stream {self._name!r} of JetStream is for something else") from None
            if info.created != self._created:
                self._warn_of_settings(found)
        if self._created not in (None, info.created):
            logger.warning("NATS has lost what it kept: other servers may not have read the last messages")
            for followed in self._streams.values():  # JetStream has lost all, and counts anew
                followed.last = followed.expected = followed.heard = 0
        self._created = info.created
        at_once = asyncio.Semaphore(AT_ONCE)
        while behind := [followed for followed in self._streams.values() if not followed.is_level]:
            async with asyncio.TaskGroup() as levelling:
                for followed in behind:
                    levelling.create_task(self._level(followed, at_once))
        self._told_full = False
        self._note_connected(self._lost)

    def _warn_of_settings(self, found: api.StreamConfig) -> None:
        """Log which settings of the stream of JetStream, which another server has made, are not those of this one."""
        differing = [
            f"{name} is {there}, not {here}"
            for name in ("max_age", "max_bytes", "num_replicas", "storage")
            if (there := _setting(found, name)) != (here := _setting(self._config, name))
        ]
        if differing:
            text = "the stream %r of JetStream keeps the settings with which it was made: %s"
            logger.warning(text, self._name, "; ".join(differing))

    async def _level(self, followed: _Followed, at_once: asyncio.Semaphore) -> None:
        """Read what JetStream has of a stream, and store what waits for it."""
        async with at_once:
            await self._begin(followed)
            for _ in range(ROUNDS):
                if len(followed.waiting) <= FEW:
                    break
                await self._store_waiting(followed)
            async with followed.order:  # new messages wait for the last ones, not for all
                await self._store_waiting(followed)
                followed.is_level = True

    async def _store_waiting(self, followed: _Followed) -> None:
        client, _ = self._reached()
        waiting = [message for message in followed.waiting.values() if message.is_delivered]
        while waiting:
            nbytes = list(accumulate(message.nbytes for message in waiting[:TOGETHER]))
            count = max(1, bisect_right(nbytes, client.max_payload - HEADERS))
            await self._store(followed, waiting[:count])
            del waiting[:count]

    def _reached(self) -> tuple[Client, JetStreamContext]:
        if self._client is None or self._stream is None:
            raise ConnectionError("there is no connection")
        return self._client, self._stream

    def _continue_alone(self, error: BaseException) -> None:
        was_up = self._up
        error = self._note_failure(error)
        for followed in self._streams.values():
            followed.is_level = False
        if was_up or not isinstance(error, _Unusable):
            client, self._client, self._stream = self._client, None, None
            if client is not None:
                task = begin(self._close(client))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        self._down.set()

    async def _disconnect(self) -> None:
        client, self._client, self._stream = self._client, None, None
        if client is not None:
            await self._close(client)
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _close(self, client: Client) -> None:
        with suppress(Exception):  # it is closed in any case
            async with asyncio.timeout(1):
                await client.close()


def _setting(config: api.StreamConfig, name: str) -> object:
    value = getattr(config, name)
    return value.value if isinstance(value, Enum) else value


class _EncryptedClient(aio.Client):
    """A client for TLS only: nats-py sends the password, and all else, in plain to a server that asks for no TLS."""

    def _connect_command(self) -> bytes:
        if not self._server_info.get("tls_required"):
            raise nats.errors.Error("the server does not ask for TLS, which tls:// requires")
        return super()._connect_command()


def _read_headers(
    headers: Mapping[str, str], data: bytes
) -> tuple[int, list[tuple[int, int, bytes]], list[int]] | None:
    """Read a message of JetStream.

    Returns:
        The timestamp before it; of each of its messages the timestamp, the number and the frame; and how many messages
        their server had published on the stream with each, 0 if it does not say so. None if no backplane has made it.
    """
    try:
        times, numbers, sizes = ([int(each) for each in headers[name].split()] for name in (_TIMES, _NUMBERS, _SIZES))
        counts = [int(each) for each in headers.get(_COUNTS, "").split()] or [0] * len(times)
        before, _ = int(headers[_BEFORE]), headers[_FROM]
    except (KeyError, ValueError):
        return None
    is_whole = 0 < len(times) == len(numbers) == len(sizes) == len(counts) <= TOGETHER
    is_whole = is_whole and min(sizes) > 0 and sum(sizes) == len(data)
    if not is_whole or any(later <= earlier for earlier, later in pairwise(times)):
        return None
    ends = list(accumulate(sizes))
    frames = [data[end - size : end] for end, size in zip(ends, sizes, strict=True)]
    return before, list(zip(times, numbers, frames, strict=True)), counts
