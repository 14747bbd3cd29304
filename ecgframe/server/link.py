"""What the handler needs of a WebSocket connection, whichever library carries it.

An adapter is a subclass of ``Link`` and the few lines that accept a connection, build a ``Request`` and call
``handler.handle(link)``. There are two kinds:

- links that write at once (``websockets``, picows): ``can_write``, ``write`` and ``writable`` are theirs as well;
- links that can only be awaited (ASGI, aiohttp): they leave ``can_write`` at False and give ``send`` alone.

Bytes that the transport has taken cannot be overtaken any more. So that an alert overtakes the waveforms that wait,
an adapter lets nothing wait in the transport (``WRITE_LIMIT``) and calls ``keep_unsent_low`` where it has the socket.
"""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from .subprotocols import HEADER, bearer_token, offered

WRITE_LIMIT: Final = 1
"""Bytes in the transport's buffer from which a link takes no more, unless the server is configured otherwise: what the
kernel does not take at once waits in the handler's queue, where alerts overtake it. Not 0: asyncio's TLS transport
pauses its writer from this many bytes on, so that 0 would pause it for good."""

UNSENT_LIMIT: Final = 16 * 1024
"""Bytes that the kernel takes beyond those on their way to the peer."""

_NOTSENT_LOWAT: Final[int | None] = getattr(socket, "TCP_NOTSENT_LOWAT", None)  # not every system has it


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The HTTP request that opened a WebSocket: what ``authenticate`` decides by.

    Attributes:
        path: without the query, such as "/ws".
        query: what follows the question mark, as it came; "" where nothing does.
        headers: by lower-case name; where a header came several times, the values are joined by ", ".
        peer: address of the other side as "host:port", for logs; "" where it is not known.
    """

    path: str = "/"
    query: str = ""
    headers: Mapping[str, str]
    peer: str = ""

    @property
    def subprotocols(self) -> list[str]:
        """The subprotocols that the client offers, in order. One may be a token, see ``bearer_token``."""
        return offered(self.headers.get(HEADER.lower(), ""))

    @property
    def bearer_token(self) -> str | None:
        """The token by which the client says who it is; None where it sends none.

        That of ``Authorization: Bearer <token>``; or, since a browser cannot send that header with a WebSocket, of the
        subprotocols ``["ecgframe", "bearer.<token>"]`` or ``["bearer", token]``.
        """
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            return token.strip()
        return bearer_token(self.subprotocols)


class Link(ABC):
    """One WebSocket connection, accepted and open. Used from one event loop only, by one handler.

    Attributes:
        request: the request that opened it.
    """

    request: Request

    @property
    def can_write(self) -> bool:
        """Whether ``write`` may be called now: the connection is open and its transport has room.

        Always False for a link that can only be awaited.
        """
        return False

    def write(self, message: bytes) -> None:
        """Hand one binary message to the transport, now. Called only while ``can_write``.

        Whether it arrives is not known; a connection that turns out to be gone is told by ``receive``.
        """
        raise NotImplementedError(f"{type(self).__name__} can only be awaited")

    async def writable(self) -> None:  # noqa: B027 - a link that can only be awaited has nothing to do here
        """Wait until the transport has room, or the connection is gone. Returns at once where only ``send`` waits."""

    @property
    def is_closing(self) -> bool:
        """Whether the transport is going: what is written from now on does not arrive. False where it cannot tell."""
        return False

    @property
    def close_code(self) -> int | None:
        """The code with which the connection was closed, once it is; None where that is not known."""
        return None

    @abstractmethod
    async def send(self, message: bytes) -> None:
        """Send one binary message, waiting while the transport is full.

        Raises:
            Exception: whatever the library raises where the connection is gone; the handler takes it for that.
        """

    @abstractmethod
    async def receive(self) -> bytes | str | None:
        """The next message of the peer: bytes of a binary, str of a text message; None once the connection is gone.

        Any exception is taken for a connection that is gone. Only one call runs at a time, and it may be cancelled.
        """

    @abstractmethod
    async def close(self, code: int, reason: str) -> None:
        """Send a close frame behind what was written, and wait for the peer's, however long it takes.

        The handler cancels this after its time to close and calls ``abort``. ``reason`` has at most 123 bytes.
        Nothing happens where the connection is closed already.
        """

    @abstractmethod
    def abort(self) -> None:
        """Drop the connection now, whatever still waits to be sent; ``receive`` then returns None."""


def keep_unsent_low(sock: socket.socket | None) -> None:
    """Have the kernel take at most ``UNSENT_LIMIT`` bytes beyond those under way, where it can.

    Args:
        sock: of the connection, or what asyncio has in its place (``transport.get_extra_info("socket")``); None and
            sockets of other families than TCP are left alone.
    """
    if sock is None or _NOTSENT_LOWAT is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with suppress(OSError):  # an older kernel; the transport's own limit remains
        sock.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, UNSENT_LIMIT)
