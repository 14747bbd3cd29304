"""Joins several servers through a Redis Cluster, over whose nodes the streams are spread.

Streams are divided into lanes by their names. All keys of a lane have the same hash tag, so one node has them, and a
script can use them together. Each lane is a ``RedisBackplane`` that looks for the master of its slot whenever it
connects: what holds for a Redis that is killed and started again, or that loses what it wrote last, holds for a node
that a replica replaces.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from ...libraries import library
from .backplane import MiB, RedisBackplane
from .cluster_map import ClusterMap, tags

if TYPE_CHECKING:
    from redis import crc
    from redis.asyncio import ConnectionPool, RedisCluster

    from ...codec import EncodedFrame
    from ...messages.templates import Template
    from ...signing import SigningKey
    from ..backplane import Deliver, Link
    from ..envelope import Envelopes
    from ..opening import Opening
else:
    crc = library("redis.crc", extra="redis", purpose="the Redis backplane")

LANES: Final = 12
"""Lanes of a cluster by default: 3, 4, 6 or 12 masters get the same number of them."""

MAX_LANES: Final = 256


class RedisClusterBackplane:
    """The backplane of servers that share a Redis Cluster (6.2 or newer).

    Everything that ``RedisBackplane`` guarantees holds for each stream. If a node is lost, the streams of its lanes go
    on within each server, as without Redis, until a replica or another node has its slots; the others do not notice.

    The clocks of the nodes have to agree within a tenth of a second. ``cluster-require-full-coverage`` should be "no":
    otherwise the loss of one node stops all others.

    Args:
        cluster: the URL of one node (``redis://``, ``rediss://``), the URLs of several, or a client of redis-py, whose
            nodes and credentials are used for separate connections.
        lanes: number of lanes, 1 to 256, the same on all servers. Each server keeps two connections for each of them.
        prefix: prefix of all keys, without braces.
        seconds: see ``RedisBackplane``.
        max_bytes: see ``RedisBackplane``.
        outbox_bytes: bytes that this server keeps for the cluster, of all streams together.
        patience: see ``RedisBackplane``.
        version: see ``RedisBackplane``.
        clock: see ``RedisBackplane``.

    Raises:
        MissingLibrary: redis-py is not installed.
        ValueError: redis-py cannot parse a URL, a number is out of range, or there is a brace in the prefix.
    """

    def __init__(
        self,
        cluster: str | Sequence[str] | RedisCluster,
        *,
        lanes: int = LANES,
        prefix: str = "ecgframe:",
        seconds: float = 30.0,
        max_bytes: int = 16 * MiB,
        outbox_bytes: int = 64 * MiB,
        patience: float = 0.5,
        version: Literal[3, 4] = 3,
        clock: Callable[[], int] | None = None,
    ) -> None:
        if not 1 <= lanes <= MAX_LANES:
            raise ValueError(f"lanes is a number from 1 to {MAX_LANES}, not {lanes}")
        if "{" in prefix or "}" in prefix:
            raise ValueError(f"the prefix has no braces, which divide the keys among the nodes: {prefix!r}")
        self.version: int = version
        self._map = ClusterMap(cluster)
        self._lanes = [
            _Lane(
                self._map,
                crc.key_slot(tag.encode()),
                prefix=f"{prefix}{{{tag}}}:",
                seconds=seconds,
                max_bytes=max_bytes,
                outbox_bytes=max(1, outbox_bytes // lanes),
                patience=patience,
                version=version,
                clock=clock,
            )
            for tag in tags(lanes)
        ]

    def _lane(self, stream: str) -> RedisBackplane:
        return self._lanes[zlib.crc32(stream.encode()) % len(self._lanes)]

    async def open(self, deliver: Deliver) -> None:
        """Start the backplane. If a node does not answer within ``patience``, return anyway and keep trying.

        Raises:
            RuntimeError: another handler has opened it.
        """
        await asyncio.gather(*(lane.open(deliver) for lane in self._lanes))

    def seal_with(self, envelopes: Envelopes) -> None:
        """Seal the messages of sealed streams. See ``NumberedBackplane.seal_with``.

        Raises:
            ValueError: ``version`` is not 4.
        """
        for lane in self._lanes:
            lane.seal_with(envelopes)

    def sign_with(self, signer: SigningKey) -> None:
        """Prove what this server publishes to those with the same key. See ``NumberedBackplane.sign_with``."""
        for lane in self._lanes:
            lane.sign_with(signer)

    async def join(self, stream: str, since: int) -> int:
        """Follow a stream. See ``Backplane.join``."""
        return await self._lane(stream).join(stream, since)

    async def catch_up(self, stream: str) -> bool:
        """Deliver here every message that the cluster has of the stream. See ``Backplane.catch_up``."""
        return await self._lane(stream).catch_up(stream)

    def now(self) -> int:
        """The time by the clock of the node that is ahead of the others, in microseconds since 1970."""
        return max(lane.now() for lane in self._lanes)

    def leave(self, stream: str) -> None:
        """Stop following a stream. See ``Backplane.leave``."""
        self._lane(stream).leave(stream)

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
        """Write a message to the cluster. See ``NumberedBackplane.publish``."""
        return await self._lane(stream).publish(stream, timestamp, frame, epoch, record, is_bulk=is_bulk)

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
        return await self._lane(stream).publish_template(stream, timestamp, epoch, make, is_bulk=is_bulk)

    async def open_stream(self, stream: str, epoch: int) -> Opening | None:
        """Open a stream for a client. See ``NumberedBackplane.open_stream``."""
        return await self._lane(stream).open_stream(stream, epoch)

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
        lane = self._lane(stream)
        return await lane.publish_opened(stream, timestamp, frame, opening, number, record, is_bulk=is_bulk)

    async def publish_attestation(
        self, stream: str, timestamp: int, epoch: int, payload: bytes, link: Link, *, is_bulk: bool | None = None
    ) -> bool:
        """Publish an attestation. See ``NumberedBackplane.publish_attestation``."""
        return await self._lane(stream).publish_attestation(stream, timestamp, epoch, payload, link, is_bulk=is_bulk)

    async def last_attestation(self, stream: str, epoch: int, signer: bytes) -> Link | None:
        """Return the latest attestation of a signer. See ``NumberedBackplane.last_attestation``."""
        return await self._lane(stream).last_attestation(stream, epoch, signer)

    def leave_opened(self, stream: str, opening: Opening) -> None:
        """Note that the connection of a publisher has ended. See ``NumberedBackplane.leave_opened``."""
        self._lane(stream).leave_opened(stream, opening)

    def opening(self, stream: str) -> Opening | None:
        """Return who has opened a stream. See ``NumberedBackplane.opening``."""
        return self._lane(stream).opening(stream)

    def class_of(self, stream: str) -> bool | None:
        """Return the class of a stream. See ``NumberedBackplane.class_of``."""
        return self._lane(stream).class_of(stream)

    def position(self, stream: str) -> tuple[int, int] | None:
        """Return epoch and number of the last message of a stream. See ``NumberedBackplane.position``."""
        return self._lane(stream).position(stream)

    def templates(self, stream: str, epoch: int) -> list[tuple[int, Template | EncodedFrame]]:
        """Return the latest templates of an epoch. See ``NumberedBackplane.templates``."""
        return self._lane(stream).templates(stream, epoch)

    async def close(self) -> None:
        """Stop the backplane. Waiting messages are still written: see ``RedisBackplane.close``."""
        await asyncio.gather(*(lane.close() for lane in self._lanes))

    def stats(self) -> dict[str, int | float | bool]:
        """Numbers for an operator, of all lanes together: see ``RedisBackplane.stats``.

        Returns:
            Sums, but of lag_seconds the largest and of clock_skew_seconds the one farthest from 0; up: whether all
            lanes are. lanes, lanes_up: the number of lanes, and of those whose messages go through the cluster.
        """
        each = [lane.stats() for lane in self._lanes]
        total: dict[str, Any] = {name: sum(one[name] for one in each) for name in each[0]}
        return total | {
            "up": all(one["up"] for one in each),
            "lag_seconds": max(one["lag_seconds"] for one in each),
            "clock_skew_seconds": max((one["clock_skew_seconds"] for one in each), key=abs),
            "lanes": len(each),
            "lanes_up": sum(bool(one["up"]) for one in each),
        }


class _Lane(RedisBackplane):
    """Some of the streams, all keys of which are in one slot."""

    def __init__(self, nodes: ClusterMap, slot: int, **options: Any) -> None:
        super().__init__("redis://", **options)
        self._nodes = nodes
        self._slot = slot

    async def _find(self) -> ConnectionPool:
        return await self._nodes.master_of(self._slot)
