"""What the application is told of a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..protocol import Capability
    from ..session import ServerSession
    from .link import Link, Request


class Served(Protocol):
    """What ``ConnectionInfo`` reads of a connection."""

    @property
    def id(self) -> str:
        """Its name."""

    @property
    def identity(self) -> object:
        """What ``authenticate`` returned."""

    @property
    def link(self) -> Link:
        """The way to its peer."""

    @property
    def session(self) -> ServerSession:
        """The protocol's side of it."""

    @property
    def connected_at(self) -> int:
        """Microseconds since 1970."""

    @property
    def subscriptions(self) -> Mapping[str, object]:
        """The streams that it watches, by name."""


class ConnectionInfo:
    """One connection, as hooks and ``WebSocketBinaryHandler.connections`` see it: always as it is now."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Served) -> None:
        self._connection = connection

    def __repr__(self) -> str:
        return f"ConnectionInfo(id={self.id!r}, peer={self.peer!r}, version={self.version})"

    @property
    def id(self) -> str:
        """The name under which ``send_message`` finds it."""
        return self._connection.id

    @property
    def identity(self) -> object:
        """What ``authenticate`` returned; None without that hook."""
        return self._connection.identity

    @property
    def request(self) -> Request:
        """The HTTP request that opened it."""
        return self._connection.link.request

    @property
    def peer(self) -> str:
        """Address of the other side."""
        return self._connection.link.request.peer

    @property
    def connected_at(self) -> int:
        """When it was opened, in microseconds since 1970."""
        return self._connection.connected_at

    @property
    def version(self) -> int:
        """Protocol version in which it is served."""
        return self._connection.session.version

    @property
    def negotiated(self) -> bool:
        """Whether the peer negotiated; False for one of old, and before it has said anything."""
        return self._connection.session.negotiated

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Those that both sides have."""
        return self._connection.session.capabilities

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the streams that it watches."""
        return tuple(self._connection.subscriptions)

    @property
    def queued_frames(self) -> int:
        """Frames that wait until the peer takes them."""
        return self._connection.session.queued_frames

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait until the peer takes them."""
        return self._connection.session.queued_bytes

    @property
    def dropped(self) -> int:
        """Frames that were dropped because the peer did not keep up."""
        return self._connection.session.counters.dropped

    @property
    def bytes_on_their_way(self) -> int:
        """Bytes that were sent and are not known to have arrived; 0 where the peer has never answered a PING."""
        return self._connection.session.on_its_way
