"""Which node of a Redis Cluster has which keys now."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ...libraries import library
from .commands import Refused, own_settings
from .packing import packing

if TYPE_CHECKING:
    import redis.asyncio as redis
    from redis import crc
else:
    redis, crc = (
        library(name, extra="redis", purpose="the Redis backplane") for name in ("redis.asyncio", "redis.crc")
    )

SLOTS: Final = 16_384
"""Slots of every Redis Cluster."""

FRESH: Final = 0.1
"""Seconds for which an answer about the cluster is used for all who ask."""

ASKING: Final = 1.0
"""Seconds that one node has to say who has which slots."""

MAX_NODES: Final = 1_000
"""Nodes that are remembered, the masters first."""


class Node(NamedTuple):
    """The address of a node."""

    host: str
    port: int


def tags(number: int) -> list[str]:
    """Return tags whose slots are spread evenly over all slots, one in the middle of each of ``number`` equal parts.

    Keys with the same tag in braces are in the same slot. The tags are the same on every server.
    """
    wanted = {(2 * part + 1) * SLOTS // (2 * number): part for part in range(number)}
    found = [""] * number
    candidate = 0
    while wanted:
        tag = str(candidate)
        part = wanted.pop(crc.key_slot(tag.encode()), None)
        if part is not None:
            found[part] = tag
        candidate += 1
    return found


class ClusterMap:
    """Asks the nodes of a cluster who is the master of a slot, and gives connections to it.

    Args:
        cluster: the URL of one node, the URLs of several, or a client. The other nodes are learned from these, and are
            reached with the same credentials.

    Raises:
        ValueError: redis-py cannot parse a URL, or there is none.
    """

    def __init__(self, cluster: str | Sequence[str] | redis.RedisCluster) -> None:
        kind: type[Any]
        if isinstance(cluster, redis.RedisCluster):
            known = list(cluster.nodes_manager.startup_nodes.values())
            self._first = [Node(one.host, int(one.port)) for one in known]
            settings, kind = known[0].connection_kwargs, known[0].connection_class
        else:
            urls = [cluster] if isinstance(cluster, str) else list(cluster)
            if not urls:
                raise ValueError("a cluster has at least one node")
            pools = [redis.ConnectionPool.from_url(url) for url in urls]
            self._first = [
                Node(one.connection_kwargs.get("host", "localhost"), one.connection_kwargs.get("port", 6379))
                for one in pools
            ]
            settings, kind = pools[0].connection_kwargs, pools[0].connection_class
        self._kind, self._settings = packing(kind), own_settings(settings)
        self._settings.pop("db", None)  # a cluster has only one
        self._nodes = list(self._first)
        self._ranges: list[tuple[int, int, Node]] = []
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    async def master_of(self, slot: int) -> redis.ConnectionPool:
        """Return new connections to the master of a slot.

        Raises:
            Refused: no node answers, or none has the slot.
        """
        async with self._asking:
            if time.monotonic() >= self._asked_at + FRESH:
                await self._ask()
                self._asked_at = time.monotonic()
        for first, last, node in self._ranges:
            if first <= slot <= last:
                return self._pool(node)
        raise Refused(f"no node of the cluster has slot {slot}")

    def _pool(self, node: Node) -> redis.ConnectionPool:
        return redis.ConnectionPool(
            connection_class=self._kind, **{**self._settings, "host": node.host, "port": node.port}
        )

    async def _ask(self) -> None:
        """Ask the nodes in turn, beginning with another one each time: one that is cut off has an old answer."""
        for node in list(dict.fromkeys([*self._nodes, *self._first])):
            if node in self._nodes:
                self._nodes.remove(node)
            self._nodes.append(node)
            answer: Any = None
            with suppress(Exception):  # the next one is asked
                async with asyncio.timeout(ASKING):
                    answer = await self._slots_by(node)
            if answer:
                self._take(node, answer)
                return
        raise Refused("no node of the cluster answers")

    async def _slots_by(self, node: Node) -> Any:
        pool = self._pool(node)
        client = redis.Redis(connection_pool=pool)
        try:
            return await client.execute_command("CLUSTER", "SLOTS")  # type: ignore[no-untyped-call]
        finally:
            await client.aclose()
            await pool.disconnect()

    def _take(self, asked: Node, answer: list[list[Any]]) -> None:
        self._ranges = []
        for first, last, *nodes in answer:
            found = [Node(one[0].decode() if one[0] else asked.host, int(one[1])) for one in nodes]
            self._ranges.append((int(first), int(last), found[0]))
            self._nodes += [node for node in found if node not in self._nodes]
        del self._nodes[MAX_NODES:]
