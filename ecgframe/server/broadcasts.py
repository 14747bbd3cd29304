"""Broadcasts: messages for all connections of all servers, except the connection that has sent them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..protocol import HEADER_SIZES
from .backplane import EVERYONE
from .publication import CANONICAL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..codec import EncodedFrame
    from .backplane import Backplane
    from .connection import Connection
    from .fan_out import FanOut
    from .publication import Publication


class Broadcasts:
    """Publishes broadcasts, and sends those that the backplane delivers.

    Args:
        backplane: passes them to all servers.
        connections: those of this server, by id.
        fan_out: sends them.
    """

    def __init__(self, backplane: Backplane, connections: Mapping[str, Connection], fan_out: FanOut) -> None:
        self._backplane = backplane
        self._connections = connections
        self._fan_out = fan_out
        self._senders: dict[bytes, Connection] = {}  # by the headers of their frames

    async def publish(self, encoded: EncodedFrame, timestamp: int, sender: Connection | None) -> int:
        """Publish a broadcast.

        Args:
            encoded: its frame.
            timestamp: in microseconds since 1970.
            sender: the connection that does not get it; None if all do.

        Returns:
            The timestamp that it has.
        """
        key = _header_of(encoded.frame)
        if sender is not None:
            self._senders[key] = sender
        try:
            return await self._backplane.publish(EVERYONE, timestamp, encoded)
        finally:
            self._senders.pop(key, None)

    def deliver(self, publication: Publication, frame: bytes, now: float) -> None:
        """Send a broadcast to the connections of this server.

        Args:
            publication: the message.
            frame: its frame, as it came from the backplane.
            now: in seconds of the loop's clock.
        """
        sender = self._senders.get(_header_of(frame))
        viewers = [
            connection.writer
            for connection in self._connections.values()
            if connection.is_open and connection is not sender
        ]
        self._fan_out.send(publication, viewers, now)


def _header_of(frame: bytes) -> bytes:
    """The bytes that identify a frame; hashing a whole large frame would take long."""
    return frame[: HEADER_SIZES[CANONICAL.version]]
