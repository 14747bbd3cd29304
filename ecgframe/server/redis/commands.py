"""The commands that the backplane sends to Redis, through redis-py."""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from ...libraries import library
from ...protocol import LARGEST_SEQUENCE
from ..backplane import UNNUMBERED, Link
from .clock import RedisClock
from .outbox import Message
from .packing import packing
from .positions import Known, Position, Refusal, Standing, Written
from .script import DENIED, LEAVE, NOT_NEXT, NUMBERS, OPEN, OTHER_CLASS, STALE, WRITE

if TYPE_CHECKING:
    import redis.asyncio as redis
    from redis import backoff
    from redis.asyncio import retry, sentinel

    from .proofs import Proofs
else:
    redis, retry, sentinel, backoff = (
        library(name, extra="redis", purpose="the Redis backplane")
        for name in ("redis.asyncio", "redis.asyncio.retry", "redis.asyncio.sentinel", "redis.backoff")
    )

CONNECT: Final = 5.0
"""Seconds within which a connection to Redis must be established."""

NUMBERS_EXPIRY: Final = 3600.0
"""Seconds for which Redis keeps the numbers of a stream that nobody publishes on and no server follows."""

STREAMS_A_CALL: Final = 256
"""Most streams whose numbers are asked for at once, so that other clients of Redis do not wait long."""

Entries = list[tuple[bytes, dict[bytes, bytes]]]


_DERIVED: Final = ("maint_", "oss_", "orig_", "himport_", "event_dispatcher")
"""Prefixes of settings that redis-py computes for each pool, and that must not be passed to another pool."""


def own_pool(server: str | redis.Redis) -> redis.ConnectionPool:
    """Return a separate connection pool for a server; its connections never reconnect silently.

    Args:
        server: a URL, or a client whose settings are used.

    Raises:
        ValueError: redis-py cannot parse the URL.
    """
    pool = redis.ConnectionPool.from_url(server) if isinstance(server, str) else server.connection_pool
    settings = own_settings(pool.connection_kwargs)
    if isinstance(pool, sentinel.SentinelConnectionPool):
        del settings["connection_pool"]
        return sentinel.SentinelConnectionPool(  # type: ignore[no-untyped-call]
            pool.service_name, pool.sentinel_manager, connection_class=packing(pool.connection_class), **settings
        )
    return redis.ConnectionPool(connection_class=packing(pool.connection_class), **settings)


def own_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a pool for one of the backplane: nothing is decoded, and nothing reconnects silently."""
    return {name: value for name, value in settings.items() if not name.startswith(_DERIVED)} | {
        "protocol": 2,
        "decode_responses": False,
        "retry": retry.Retry(backoff.NoBackoff(), 0),
        "retry_on_error": [],
        "socket_timeout": None,  # the backplane has time limits of its own
        "health_check_interval": 0,
    }


def pauses(longest: float) -> backoff.AbstractBackoff:
    """Return the pauses between attempts to reach Redis, at most ``longest`` seconds each."""
    return backoff.EqualJitterBackoff(cap=longest, base=0.05)


def is_absence(error: BaseException) -> bool:
    """Return whether an error means that Redis is unreachable or cannot be used."""
    return isinstance(error, (redis.RedisError, OSError, TimeoutError, Refused))


class Refused(Exception):
    """Redis refuses all writes: it is a replica, or its memory or disk is full, ..."""


class WrongKind(Exception):
    """A key holds something other than a stream.

    Attributes:
        key: the key.
    """

    def __init__(self, key: bytes) -> None:
        super().__init__(key)
        self.key = key


class Keys:
    """The keys in Redis.

    Args:
        prefix: prefix of all keys.
        origin: id of this server.
    """

    def __init__(self, prefix: str, origin: bytes) -> None:
        self._prefix = prefix.encode()
        self._origin = origin
        self.wake = self._prefix + b"wake:" + origin

    def stream(self, name: str) -> bytes:
        """The key of a stream's messages."""
        return self._prefix + b"stream:" + name.encode()

    def numbers(self, name: str) -> bytes:
        """The key of a stream's epoch and numbers."""
        return self._prefix + b"numbers:" + name.encode()

    def templates(self, name: str, epoch: int | None = None) -> bytes:
        """The key of a stream's templates in an epoch, or what comes before the epoch in it."""
        shown = b"" if epoch is None else b"%d" % epoch
        return self._prefix + b"templates:" + name.encode() + b":" + shown

    def mark(self, name: str) -> bytes:
        """The key of the number of this server's last message in a stream."""
        return self._prefix + b"mark:" + self._origin + b":" + name.encode()


class Commands:
    """The commands to one Redis, over a connection for writing and another one for blocking reads.

    Args:
        writing: client with a connection of its own.
        reading: another client with a connection of its own.
        keys: keys in Redis.
        origin: id of this server.
        kept: microseconds for which a stream keeps messages.
        max_bytes: bytes that a stream keeps.
        clock: gets the time by Redis' clock.
        proofs: proves to servers with the same signing key what this one writes; None to prove nothing.
    """

    def __init__(
        self,
        writing: redis.Redis,
        reading: redis.Redis,
        *,
        keys: Keys,
        origin: bytes,
        kept: int,
        max_bytes: int,
        clock: RedisClock,
        proofs: Proofs | None = None,
    ) -> None:
        self._writing = writing
        self._reading = reading
        self._keys = keys
        self._kept = kept
        self._expiry = math.ceil(kept / 500)  # ms; twice ``kept``, so that a mark outlives the messages of its server
        self._numbers_expiry = max(self._expiry, math.ceil(NUMBERS_EXPIRY * 1000))
        self._limits = (origin, kept, max_bytes, self._expiry, self._numbers_expiry)
        self._script = writing.register_script(WRITE)
        self._numbers = writing.register_script(NUMBERS)
        self._open = writing.register_script(OPEN)
        self._leave = writing.register_script(LEAVE)
        self._clock = clock
        self._origin = origin
        self._proofs = proofs
        self._woken_by = b"0-0"

    async def ask_time(self) -> None:
        """Ask Redis for its time, and pass it to the clock."""
        asked_at = asyncio.get_running_loop().time()
        seconds, microseconds = await self._reading.time()
        self._clock.note(seconds * 1_000_000 + microseconds, asked_at)

    async def last_id(self, stream: str) -> bytes | None:
        """Return the id of the stream's latest entry; None if it has none."""
        entries: Any = await self._writing.xrevrange(self._keys.stream(stream), count=1)
        last: bytes | None = entries[0][0] if entries else None
        return last

    async def run_id(self) -> str | None:
        """Return the run id of Redis, which changes when it is restarted; None if it may not be read.

        Raises:
            Refused: the connections lead to two of them, as they may while a replica takes over.
        """
        run_ids = [await _run_id(client) for client in (self._writing, self._reading)]
        if run_ids[0] != run_ids[1]:
            raise Refused("one connection leads to another Redis than the other one")
        return run_ids[0]

    async def marks(self, streams: Iterable[str]) -> dict[str, int]:
        """Return the number of this server's last message in each stream; 0 if Redis has none."""
        names = list(streams)
        if not names:
            return {}
        values = await self._writing.mget([self._keys.mark(name) for name in names])
        return {name: int(value or 0) for name, value in zip(names, values, strict=True)}

    async def write(
        self, messages: Sequence[Message], times: Sequence[int], known: Sequence[Known]
    ) -> list[Written | None]:
        """Write the messages that were not written before.

        Args:
            messages: messages of this server, in order.
            times: for each message, the timestamp to write, in microseconds since 1970.
            known: for each message, what this server knows of the numbers of its stream.

        Returns:
            For each message, what was written; None if it cannot be written, because a key holds something else, or the
            stream has reached the latest timestamp.

        Raises:
            Refused: Redis refuses all writes.
            redis.RedisError, OSError: the connection failed; some messages may have been written.
        """
        keys: list[bytes] = []
        arguments: list[bytes | str | int] = [*self._limits, _fresh_epoch()]
        for message, wanted, found in zip(messages, times, known, strict=True):
            name = message.stream
            is_numbered = name not in UNNUMBERED
            key = self._keys.stream(name)
            keys += key, self._keys.mark(name)
            keys += self._keys.numbers(name) if is_numbered else key, self._keys.templates(name)
            arguments += message.number, wanted, message.frame, *found.position, message.made_for
            own = 0 if message.own is None else message.own.number
            arguments += found.token, found.state, own, message.class_sent
            arguments += self._proof_of(message) if is_numbered else b"", message.link, message.lost_before
        asked_at = asyncio.get_running_loop().time()
        redis_now, *answers = await self._script(keys=keys, args=arguments)
        self._clock.note(redis_now, asked_at)
        return [_written_or_none(answer) for answer in answers]

    def _proof_of(self, message: Message) -> bytes:
        if self._proofs is None:
            return b""
        return self._proofs.make(message.stream, self._origin, message.number, message.frame)

    async def last_attestation(self, stream: str, epoch: int, signer: bytes) -> Link | None:
        """Return the latest attestation of a signer in an epoch; None if there is none, or the epoch is not present."""
        field = b"signed:" + signer.hex().encode()
        found: Any = await self._writing.hmget(self._keys.numbers(stream), [b"epoch", field])
        present, latest = found
        if latest is None or present != b"%d" % epoch:
            return None
        number, own, position = latest.split()
        return Link(signer, int(number), bytes.fromhex(own.decode()), int(position))

    async def numbers(self, stream: str, known: Known | None = None) -> Standing:
        """Return the present epoch of a stream, the number of its last message, and who has opened it.

        Args:
            stream: name of the stream.
            known: what this server knows. If Redis knows only smaller numbers of that epoch, it begins another; if it
                does not know the publisher, it learns of it.

        Raises:
            WrongKind: the key of the numbers holds something else.
        """
        [found] = await self.all_numbers([(stream, known or Known())])
        if found is None:
            raise WrongKind(self._keys.numbers(stream))
        return found

    async def all_numbers(self, asked: Sequence[tuple[str, Known]]) -> list[Standing | None]:
        """Return the same for many streams, each with what is known of it; None where the key holds something else."""
        answers: list[Standing | None] = []
        for first in range(0, len(asked), STREAMS_A_CALL):
            found = await self._ask_numbers(asked[first : first + STREAMS_A_CALL])
            answers += [_standing(one) if isinstance(one, list) else None for one in found]
        return answers

    async def reserve_template(self, stream: str, known: Position) -> int | None:
        """Reserve the number of a template of the epoch ``known``.

        Returns:
            None if that is not the present epoch, its numbers of templates are used up, or the key of the numbers holds
            something else.
        """
        [answer] = await self._ask_numbers([(stream, Known(known))], takes_template=True)
        return (answer[2] or None) if isinstance(answer, list) else None

    async def _ask_numbers(
        self, asked: Iterable[tuple[str, Known]], *, takes_template: bool = False
    ) -> list[list[Any] | bytes]:
        keys: list[bytes] = []
        arguments: list[int | str | bytes] = [self._numbers_expiry, _fresh_epoch()]
        for stream, known in asked:
            keys += self._keys.numbers(stream), self._keys.templates(stream)
            arguments += *known.position, int(takes_template), known.token, known.state
        answers: list[list[Any] | bytes] = await self._numbers(keys=keys, args=arguments)
        return answers

    async def open_stream(self, stream: str, epoch: int) -> tuple[str, bytes]:
        """Open a stream for a publisher.

        Returns:
            The token of its messages, and how far it has got, empty if Redis does not know that. Empty values if the
            epoch has ended.

        Raises:
            WrongKind: the key of the numbers holds something else.
        """
        keys = [self._keys.numbers(stream), self._keys.templates(stream)]
        answer: list[bytes] | bytes = await self._open(
            keys=keys, args=[self._numbers_expiry, epoch, secrets.token_hex(8)]
        )
        if not isinstance(answer, list):
            raise WrongKind(keys[0])
        return answer[0].decode(), answer[1]

    async def leave_stream(self, stream: str, token: str) -> None:
        """Note that the connection of a publisher has ended."""
        await self._leave(keys=[self._keys.numbers(stream)], args=[token, self._kept])

    async def templates(self, stream: str, epoch: int) -> list[tuple[int, bytes]]:
        """Return the latest templates of an epoch: the number of each in the stream, and its frame."""
        found: Any = await self._writing.lrange(self._keys.templates(stream, epoch), 0, -1)
        divided = [entry.partition(b":") for entry in found]
        return [(int(number), frame) for number, _, frame in divided if number.isdigit()]

    async def wake_reader(self) -> None:
        """Make ``read`` return at once, since there are new streams to read."""
        await self._writing.xadd(self._keys.wake, {b"": b""}, maxlen=1, approximate=False)
        await self._writing.pexpire(self._keys.wake, self._expiry)

    async def read(self, positions: Mapping[bytes, bytes], count: int, block: float | None) -> dict[bytes, Entries]:
        """Return the entries of streams after the given ids, in order, by key.

        Args:
            positions: by the key of each stream, the id of the last entry read.
            count: most entries of one stream.
            block: seconds to wait if there are no entries; None to return at once.

        Raises:
            WrongKind: one of the keys holds something other than a stream.
        """
        asked: dict[Any, Any] = {**positions, self._keys.wake: self._woken_by}
        milliseconds = None if block is None else math.ceil(block * 1000)
        try:
            answer: Any = await self._reading.xread(asked, count=count, block=milliseconds)
        except redis.ResponseError as error:
            if not str(error).startswith("WRONGTYPE"):
                raise
            raise WrongKind(await self._other_than_stream(positions)) from error
        found: dict[bytes, Entries] = dict(answer)
        wakes = found.pop(self._keys.wake, None)
        if wakes:
            self._woken_by = wakes[-1][0]
        return found

    async def _other_than_stream(self, keys: Iterable[bytes]) -> bytes:
        for key in keys:
            if await self._reading.type(key) not in (b"stream", b"none"):
                return key
        raise Refused("there was a key that is not a stream")

    async def has(self, key: bytes, entry_id: bytes) -> bool:
        """Return whether an entry of a stream is still there."""
        return bool(await self._reading.xrange(key, entry_id, entry_id, count=1))

    async def reach(self, key: bytes, since: int) -> int:
        """Return the timestamp after which Redis has every message, in microseconds; it is not before ``since``.

        If Redis has no messages after ``since``, this is the timestamp of the last message, if that is known.

        Raises:
            WrongKind: the key holds something other than a stream.
        """
        within = max(since, self._clock.now() - self._kept)
        try:
            info: Any = await self._reading.xinfo_stream(key)
        except redis.ResponseError as error:
            if str(error).startswith("WRONGTYPE"):
                raise WrongKind(key) from error
            if "no such key" not in str(error):
                raise
            return within
        first, last = info["first-entry"], _time(info["last-generated-id"])
        before_first = _time(first[0]) - 1 if first else last
        trimmed = info.get("entries-added") != info["length"]  # Redis before 7.0 has no "entries-added"
        return min(last, max(since, before_first if trimmed else min(before_first, within)))


@asynccontextmanager
async def two_clients(pool: redis.ConnectionPool) -> AsyncIterator[tuple[redis.Redis, redis.Redis]]:
    """Open two clients with one connection each, and close them and the pool's connections at the end."""
    clients = [redis.Redis(connection_pool=pool, single_connection_client=True) for _ in range(2)]
    try:
        for client in clients:
            await client.initialize()
            await client.ping()
        yield clients[0], clients[1]
    finally:
        for client in clients:
            await client.aclose()
        await pool.disconnect()


async def _run_id(client: redis.Redis) -> str | None:
    try:
        info: Any = await client.info("server")
    except redis.ResponseError:
        return None  # INFO is not permitted
    run_id: str | None = info.get("run_id")
    return run_id


def _time(entry_id: bytes) -> int:
    return int(entry_id.partition(b"-")[0])


def _fresh_epoch() -> int:
    return 1 + secrets.randbelow(LARGEST_SEQUENCE)


_REFUSALS: Final = {
    STALE: Refusal.STALE,
    DENIED: Refusal.DENIED,
    OTHER_CLASS: Refusal.OTHER_CLASS,
    NOT_NEXT: Refusal.NOT_NEXT,
}


def _standing(answer: Sequence[Any]) -> Standing:
    epoch, last, _, token, state, bulk = answer
    return Standing(Position(epoch, last), token.decode(), state, None if bulk == b"" else bulk == b"1")


def _written_or_none(answer: int | bytes) -> Written | None:
    if isinstance(answer, int):
        return Written(0, refusal=_REFUSALS[answer]) if answer < 0 else Written(answer)
    if answer[:1].isdigit():
        time, epoch, number = answer.split()
        return Written(int(time), Position(int(epoch), int(number)))
    if answer.startswith((b"ERR", b"WRONGTYPE")):
        return None
    raise Refused(answer.decode(errors="replace"))
