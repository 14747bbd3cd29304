"""The few commands that the backplane gives Redis, through redis-py."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from ...libraries import library
from .clock import RedisClock
from .outbox import Message
from .script import WRITE

if TYPE_CHECKING:
    import redis.asyncio as redis
    from redis import backoff
    from redis.asyncio import retry
else:
    redis, retry, backoff = (
        library(name, extra="redis", purpose="the Redis backplane")
        for name in ("redis.asyncio", "redis.asyncio.retry", "redis.backoff")
    )

CONNECT: Final = 5.0
"""Seconds within which Redis must have accepted a connection."""

Entries = list[tuple[bytes, dict[bytes, bytes]]]

_DERIVED: Final = ("maint_", "oss_", "orig_", "himport_", "event_dispatcher")
"""Settings that a pool of redis-py makes up itself; those of one pool are of no use to another."""


def own_pool(server: str | redis.Redis) -> redis.ConnectionPool:
    """Connections to a server that nobody else uses, and that never reconnect in silence.

    Raises:
        ValueError: a URL that redis-py does not read.
    """
    pool = redis.ConnectionPool.from_url(server) if isinstance(server, str) else server.connection_pool
    settings = {name: value for name, value in pool.connection_kwargs.items() if not name.startswith(_DERIVED)}
    settings |= {
        "protocol": 2,
        "decode_responses": False,
        "retry": retry.Retry(backoff.NoBackoff(), 0),
        "retry_on_error": [],
        "socket_timeout": None,  # the backplane has its own limits
        "health_check_interval": 0,
    }
    return redis.ConnectionPool(connection_class=pool.connection_class, **settings)


def pauses(longest: float) -> backoff.AbstractBackoff:
    """How long to wait before one more attempt to reach Redis."""
    return backoff.EqualJitterBackoff(cap=longest, base=0.05)


def is_absence(error: BaseException) -> bool:
    """Whether the error says that Redis is not there, or of no use."""
    return isinstance(error, (redis.RedisError, OSError, TimeoutError, Refused))


class Refused(Exception):
    """Redis takes nothing at all now: it is a replica, its memory or its disk is full, ..."""


class WrongKind(Exception):
    """A key that holds something else than a stream.

    Attributes:
        key: which.
    """

    def __init__(self, key: bytes) -> None:
        super().__init__(key)
        self.key = key


class Keys:
    """Where things are in Redis.

    Args:
        prefix: of all keys.
        origin: names this server.
    """

    def __init__(self, prefix: str, origin: bytes) -> None:
        self._prefix = prefix.encode()
        self._origin = origin
        self.bell = self._prefix + b"bell:" + origin

    def stream(self, name: str) -> bytes:
        """The messages of a stream."""
        return self._prefix + b"stream:" + name.encode()

    def mark(self, name: str) -> bytes:
        """The number of this server's last message in a stream."""
        return self._prefix + b"mark:" + self._origin + b":" + name.encode()


class Commands:
    """One conversation with Redis: a connection to write, another one to wait for what comes.

    Args:
        writing: a client with its own connection.
        reading: another one.
        keys: where things are.
        origin: names this server.
        kept: microseconds that a stream keeps.
        max_bytes: that a stream keeps at most.
        clock: is told the time by Redis' clock.
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
    ) -> None:
        self._writing = writing
        self._reading = reading
        self._keys = keys
        self._kept = kept
        self._expiry = math.ceil(kept / 500)  # ms: twice as long, so that a mark outlives what a server keeps
        self._limits = (origin, kept, max_bytes, self._expiry)
        self._script = writing.register_script(WRITE)
        self._clock = clock
        self._rung = b"0-0"

    async def ask_time(self) -> None:
        """Have the clock told what time it is."""
        asked_at = asyncio.get_running_loop().time()
        seconds, microseconds = await self._reading.time()
        self._clock.note(seconds * 1_000_000 + microseconds, asked_at)

    async def last_id(self, stream: str) -> bytes | None:
        """The id of the stream's latest entry; None where there is none."""
        entries: Any = await self._writing.xrevrange(self._keys.stream(stream), count=1)
        last: bytes | None = entries[0][0] if entries else None
        return last

    async def life(self) -> str | None:
        """Names the server from its start to its end; None where it does not tell."""
        try:
            told: Any = await self._writing.info("server")
        except redis.ResponseError:
            return None  # not allowed to ask
        life: str | None = told.get("run_id")
        return life

    async def marks(self, streams: Iterable[str]) -> dict[str, int]:
        """The number of this server's last message in each stream; 0 where Redis knows of none."""
        names = list(streams)
        if not names:
            return {}
        values = await self._writing.mget([self._keys.mark(name) for name in names])
        return {name: int(value or 0) for name, value in zip(names, values, strict=True)}

    async def write(self, messages: Sequence[Message], times: Sequence[int]) -> list[int | None]:
        """Write the messages, each unless it was written before.

        Returns:
            For each message the timestamp that it has; 0 where it was written before; None where it cannot be
            written to its stream, which is something else than a stream, or at the end of all timestamps.

        Raises:
            Refused: Redis takes nothing now.
            redis.RedisError, OSError: it is not known what was written.
        """
        keys: list[bytes] = []
        arguments: list[bytes | int] = list(self._limits)
        for message, wanted in zip(messages, times, strict=True):
            keys += self._keys.stream(message.stream), self._keys.mark(message.stream)
            arguments += message.number, wanted, message.frame
        asked_at = asyncio.get_running_loop().time()
        redis_now, *answers = await self._script(keys=keys, args=arguments)
        self._clock.note(redis_now, asked_at)
        return [_time_or_none(answer) for answer in answers]

    async def ring(self) -> None:
        """Have ``read`` return at once: there are streams to read that it does not know of."""
        await self._writing.xadd(self._keys.bell, {b"": b""}, maxlen=1, approximate=False)
        await self._writing.pexpire(self._keys.bell, self._expiry)

    async def read(self, positions: Mapping[bytes, bytes], count: int, block: float | None) -> dict[bytes, Entries]:
        """What the streams hold behind those ids, in order.

        Args:
            positions: key of each stream, and the id of its last entry read.
            count: entries of one stream that come at once.
            block: seconds to wait where there is nothing; None for not at all.

        Raises:
            WrongKind: one of the keys holds something else than a stream.
        """
        asked: dict[Any, Any] = {**positions, self._keys.bell: self._rung}
        milliseconds = None if block is None else math.ceil(block * 1000)
        try:
            answer: Any = await self._reading.xread(asked, count=count, block=milliseconds)
        except redis.ResponseError as error:
            if not str(error).startswith("WRONGTYPE"):
                raise
            raise WrongKind(await self._other_than_stream(positions)) from error
        found: dict[bytes, Entries] = dict(answer)
        rings = found.pop(self._keys.bell, None)
        if rings:
            self._rung = rings[-1][0]
        return found

    async def _other_than_stream(self, keys: Iterable[bytes]) -> bytes:
        for key in keys:
            if await self._reading.type(key) not in (b"stream", b"none"):
                return key
        raise Refused("there was a key that is not a stream")

    async def reach(self, key: bytes, since: int) -> int:
        """The timestamp after which Redis has everything that is later than ``since``, in microseconds.

        Where it has nothing that is later, that is the timestamp of the latest message there was, if it is known.

        Raises:
            WrongKind: the key holds something else than a stream.
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
        trimmed = info.get("entries-added") != info["length"]  # Redis before 7.0 does not say
        return min(last, max(since, before_first if trimmed else min(before_first, within)))


@asynccontextmanager
async def two_clients(pool: redis.ConnectionPool) -> AsyncIterator[tuple[redis.Redis, redis.Redis]]:
    """Two clients with a connection each, open. Afterwards the pool has none."""
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


def _time(entry_id: bytes) -> int:
    return int(entry_id.partition(b"-")[0])


def _time_or_none(answer: int | bytes) -> int | None:
    if isinstance(answer, int):
        return answer
    if answer.startswith((b"ERR", b"WRONGTYPE")):
        return None
    raise Refused(answer.decode(errors="replace"))
