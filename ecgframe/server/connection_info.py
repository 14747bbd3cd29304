"""``ConnectionInfo``: the application's view of a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..protocol import Capability
    from ..session import ServerSession
    from .link import Link, Request


class Served(Protocol):
    """The attributes of a connection that ``ConnectionInfo`` reads."""

    @property
    def id(self) -> str:
        """The connection's id."""

    @property
    def identity(self) -> object:
        """What ``authenticate`` returned."""

    @property
    def link(self) -> Link:
        """The link to the peer."""

    @property
    def session(self) -> ServerSession:
        """The session of this connection."""

    @property
    def connected_at(self) -> int:
        """When the connection was opened, in microseconds since 1970."""

    @property
    def subscriptions(self) -> Mapping[str, object]:
        """The streams that the connection watches, by name."""


class ConnectionInfo:
    """One connection, as hooks and ``WebSocketBinaryHandler.connections`` see it.

    Every attribute returns the current value.
    """

    __slots__ = ("_connection",)

    def __init__(self, connection: Served) -> None:
        self._connection = connection

    def __repr__(self) -> str:
        return f"ConnectionInfo(id={self.id!r}, peer={self.peer!r}, version={self.version})"

    @property
    def id(self) -> str:
        """The connection's id, which ``send_message`` takes."""
        return self._connection.id

    @property
    def identity(self) -> object:
        """What ``authenticate`` returned; None without that hook."""
        return self._connection.identity

    @property
    def request(self) -> Request:
        """The HTTP request that opened the connection."""
        return self._connection.link.request

    @property
    def peer(self) -> str:
        """Address of the peer, as ``"host:port"``; ``""`` if it is unknown. See ``Request.peer``."""
        return self._connection.link.request.peer

    @property
    def connected_at(self) -> int:
        """When the connection was opened, in microseconds since 1970."""
        return self._connection.connected_at

    @property
    def version(self) -> int:
        """Protocol version in which the server sends to this peer."""
        return self._connection.session.version

    @property
    def negotiated(self) -> bool:
        """True if the peer has negotiated; False for peers older than negotiation, and until the peer negotiates."""
        return self._connection.session.negotiated

    @property
    def capabilities(self) -> frozenset[Capability]:
        """The capabilities that both sides have."""
        return self._connection.session.capabilities

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the streams that the connection watches."""
        return tuple(self._connection.subscriptions)

    @property
    def queued_frames(self) -> int:
        """Frames that wait to be sent."""
        return self._connection.session.queued_frames

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait to be sent."""
        return self._connection.session.queued_bytes

    @property
    def dropped(self) -> int:
        """Frames that were dropped because the peer reads too slowly."""
        return self._connection.session.counters.dropped

    @property
    def bytes_on_their_way(self) -> int:
        """Bytes that were sent and not confirmed by the answer to a PING; 0 if the peer has never answered one."""
        return self._connection.session.on_its_way
