"""``Link``: the interface between the handler and a WebSocket library.

An adapter is a subclass of ``Link``, and a function that accepts a connection, builds a ``Request`` and calls
``handler.handle(link)``. There are two kinds of links:

- links that write at once (``websockets``, picows) implement ``can_write``, ``write`` and ``writable`` as well;
- links that can only be awaited (ASGI, aiohttp) implement ``send`` only; their ``can_write`` is always False.

An alert cannot overtake bytes that the transport has already taken. So an adapter keeps the transport's buffer empty
(``WRITE_LIMIT``), and calls ``keep_unsent_low`` if it has access to the socket.
"""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .subprotocols import HEADER, bearer_token, offered

if TYPE_CHECKING:
    from .._core import Recipient

WRITE_LIMIT: Final = 1
"""Bytes in the transport's buffer at which a link takes no more, unless the server is configured otherwise. Messages
that the kernel does not take at once wait in the handler's queue, where alerts overtake them. Not 0: asyncio's TLS
transport pauses its writer at this many bytes, and 0 would pause it forever."""

PLAIN_WRITE_LIMIT: Final = 0
"""The same for a transport without TLS whose socket is shared (``Link.share_descriptor``): the link takes no more while
the transport holds a single byte back."""

UNSENT_LIMIT: Final = 16 * 1024
"""Unsent bytes that the kernel buffers for a connection."""

READ_SIZE: Final = 8 * 1024
"""Bytes that are read from a connection at a time. The library parses all of them before other connections get their
turn, and the messages in them wait for the handler."""

_NOTSENT_LOWAT: Final[int | None] = getattr(socket, "TCP_NOTSENT_LOWAT", None)  # not every system has it


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The HTTP request that opened a WebSocket; the argument of ``authenticate``.

    Attributes:
        path: path of the URL without the query, such as "/ws".
        query: the part after the question mark, not decoded; "" if there is none.
        headers: values by lower-case name; the values of a repeated header are joined by ", ".
        peer: address of the peer as "host:port", for logs; "" if it is unknown. Behind a trusted proxy, it is what the
            proxy says, and may have no port. See ``forwarding``.
        proxy: address of the trusted proxy that has said so; "" if there is none.
    """

    path: str = "/"
    query: str = ""
    headers: Mapping[str, str]
    peer: str = ""
    proxy: str = ""

    @property
    def subprotocols(self) -> list[str]:
        """The subprotocols that the client offers, in order. One of them may hold a token, see ``bearer_token``."""
        return offered(self.headers.get(HEADER.lower(), ""))

    @property
    def bearer_token(self) -> str | None:
        """The token that authenticates the client; None if the request has none.

        It comes from ``Authorization: Bearer <token>``. A browser cannot send that header with a WebSocket, so the
        subprotocols ``["ecgframe", "bearer.<token>"]`` and ``["bearer", token]`` are read as well.
        """
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            return token.strip()
        return bearer_token(self.subprotocols)


class Link(ABC):
    """One open WebSocket connection, used by one handler on its event loop.

    Attributes:
        request: the request that opened the connection.
    """

    request: Request

    @property
    def can_write(self) -> bool:
        """True if ``write`` may be called now: the connection is open and its transport has room.

        Always False for a link that can only be awaited.
        """
        return False

    def write(self, message: bytes) -> None:
        """Write one binary message to the transport. Called only while ``can_write`` is True.

        The message may still be lost; ``receive`` reports a connection that is gone.
        """
        raise NotImplementedError(f"{type(self).__name__} can only be awaited")

    def share_descriptor(self, recipient: Recipient) -> None:  # noqa: B027 - most links have no socket of their own
        """Set ``recipient.descriptor`` to the socket's while WebSocket frames may be sent past the transport, else -1.

        They may while ``can_write`` is True, the transport holds no bytes back, and neither TLS nor an extension
        changes what is sent. It has to be -1 before the socket is closed. Does nothing for a link without such a
        socket.

        Args:
            recipient: of the connection.
        """

    def write_rest(self, rest: bytes) -> None:
        """Write the rest of a WebSocket frame to the transport, after ``share_descriptor``.

        Args:
            rest: what the socket has not taken of it.
        """
        raise NotImplementedError(f"{type(self).__name__} shares no descriptor")

    async def writable(self) -> None:  # noqa: B027 - a link that can only be awaited has nothing to do here
        """Wait until the transport has room, or the connection is closed.

        Returns at once for a link that can only be awaited.
        """

    @property
    def is_only_awaited(self) -> bool:
        """True if the link implements ``send`` only."""
        return type(self).write is Link.write

    @property
    def ended_tls(self) -> bool:
        """True if this server itself has ended the TLS of the connection; False if a proxy may have, or there is none.

        The keys of sealed streams are handed out only over such connections, unless the operator allows others.
        """
        return False

    @property
    def is_closing(self) -> bool:
        """True if the transport is closing, so that messages written from now on are lost; False if it is unknown."""
        return False

    @property
    def close_code(self) -> int | None:
        """The code with which the connection was closed; None while it is open, and if the code is unknown."""
        return None

    @abstractmethod
    async def send(self, message: bytes) -> None:
        """Send one binary message; wait while the transport is full.

        Raises:
            Exception: the connection is closed. Any exception of the library counts as this.
        """

    @abstractmethod
    async def receive(self) -> bytes | str | None:
        """Wait for the next message of the peer. Only one call runs at a time, and it may be cancelled.

        Returns:
            ``bytes`` for a binary message, ``str`` for a text message, None once the connection is closed.

        Raises:
            Exception: the connection is closed. Any exception of the library counts as this.
        """

    @abstractmethod
    async def close(self, code: int, reason: str) -> None:
        """Send a close frame after the messages that were written, and wait for the peer's, without a time limit.

        The handler cancels this after ``Limits.close_seconds`` and calls ``abort``. Does nothing if the connection is
        already closed.

        Args:
            code: close code.
            reason: at most 123 bytes in UTF-8.
        """

    @abstractmethod
    def abort(self) -> None:
        """Drop the connection at once and discard unsent messages; ``receive`` then returns None."""


def read_little(transport: object) -> None:
    """Limit the reads of a transport of asyncio to ``READ_SIZE`` bytes; other transports are left unchanged.

    Args:
        transport: transport of the connection.
    """
    if is_of_asyncio(transport):
        transport.max_size = READ_SIZE  # type: ignore[attr-defined]


def is_of_asyncio(transport: object) -> bool:
    """Return whether a transport is one of asyncio's own loops, not of uvloop, for example."""
    return isinstance(getattr(transport, "max_size", None), int)


def keep_unsent_low(sock: socket.socket | None) -> None:
    """Limit the unsent bytes that the kernel buffers to ``UNSENT_LIMIT``, on systems that support it.

    Args:
        sock: socket of the connection, or ``transport.get_extra_info("socket")``. None and sockets of other families
            than IPv4 and IPv6 are left unchanged.
    """
    if sock is None or _NOTSENT_LOWAT is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with suppress(OSError):  # an older kernel; the transport's own limit remains
        sock.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, UNSENT_LIMIT)
