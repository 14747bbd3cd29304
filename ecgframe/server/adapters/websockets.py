"""Adapter for websockets: a server, or single connections of an existing server.

async with WebSocketBinaryHandler() as handler, serve(handler, "0.0.0.0", 8000) as server:
    await server.serve_forever()
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...libraries import library
from ..link import PLAIN_WRITE_LIMIT, WRITE_LIMIT, Link, Request, is_of_asyncio, keep_unsent_low, read_little
from ..subprotocols import SUBPROTOCOLS, choose
from ..websocket_frame import binary_frame
from . import listening
from .address import address

if TYPE_CHECKING:
    import websockets
    from websockets.asyncio.server import Server, ServerConnection

    from ..._core import Recipient
    from ..handler import WebSocketBinaryHandler
else:
    websockets = library("websockets", extra="server", purpose="serving with websockets")

    from websockets.asyncio.server import ServerConnection


WAITING_MESSAGES = 1
"""Received messages that wait for the handler; above this number the connection is not read."""

LARGE = 4096
"""Bytes of a message after which no further one is read until the next one is taken. To stop and resume reading takes
as long as to read a small message."""

_OPEN = websockets.State.OPEN


def serve(
    handler: WebSocketBinaryHandler,
    host: str | None = None,
    port: int | None = None,
    *,
    backlog: int = listening.BACKLOG,
    start_serving: bool = True,
    subprotocols: Sequence[str] = SUBPROTOCOLS,
    sockets: Sequence[socket.socket] = (),
    **options: Any,
) -> Server:
    """Serve a handler with websockets.

    Args:
        handler: handler that serves every connection. It is not closed with the server.
        host: name or address to listen on; all interfaces by default.
        port: port to listen on; 0 for any free one.
        backlog: connections that may wait to be accepted.
        start_serving: whether to accept connections at once.
        subprotocols: accepted subprotocols, the preferred one first. A client that offers none of them is served
            without one. See ``Request.bearer_token``.
        sockets: bound sockets to listen on instead of ``host`` and ``port``, such as those that several processes
            share.
        options: for ``websockets.serve``, such as ``ssl``, ``process_request`` or ``sock``. Compression is off by
            default, since frames are compressed already.

    Returns:
        The result of ``websockets.serve``, to be awaited or used as an async context manager.
    """

    async def serve_connection(websocket: ServerConnection) -> None:
        await accept(handler, websocket)

    def select(_: ServerConnection, names: Sequence[str]) -> str | None:
        return choose(names, subprotocols)

    defaults = {
        "compression": None,
        "create_connection": SharingConnection,
        "select_subprotocol": select,
        "max_size": handler.max_message,
        "max_queue": WAITING_MESSAGES,
        "write_limit": WRITE_LIMIT,
        "ping_interval": None,  # the protocol has heartbeats of its own
    }
    own: dict[str, Any] = {"backlog": listening.ACCEPTS, "start_serving": False}
    if sockets:
        own["sock"] = sockets[0]
    server = websockets.serve(serve_connection, host, port, **{**defaults, **options, **own})
    create = server.create_server

    async def create_server() -> asyncio.Server:
        created = await (create() if callable(create) else create)
        return await listening.begin_serving(created, backlog, start=start_serving, more=sockets[1:])

    # websockets 17 and later have a function here, earlier ones its result
    server.create_server = create_server if callable(create) else create_server()
    return server


async def accept(
    handler: WebSocketBinaryHandler,
    websocket: ServerConnection,
    connection_id: str | None = None,
    *,
    identity: object = None,
) -> None:
    """Serve a connection of your own websockets server until it ends.

    Call ``websockets.serve`` with ``compression=None`` and ``max_size=handler.max_message``.

    Args:
        handler: handler that serves the connection.
        websocket: the connection that websockets passes to its own handlers.
        connection_id: id of the connection, for ``handler.send_message``; None generates one.
        identity: who the peer is, if the application knows; None to ask ``authenticate``.
    """
    await handler.handle(WebsocketsLink(websocket), connection_id, identity=identity)


class SharingConnection(ServerConnection):
    """A connection of websockets whose socket may be written to past its transport, once ``share`` was called.

    Whether it may now depends on the transport and on the phase of the protocol. Each of the methods below may change
    that, and nothing else does: what websockets sends leaves by ``send_data``, close frames included.
    """

    _recipient: Recipient | None = None
    _descriptor = -1

    def share(self, recipient: Recipient, descriptor: int) -> None:
        """Keep the recipient's descriptor at that of the socket while it may be written to, otherwise at -1."""
        self._recipient = recipient
        self._descriptor = descriptor
        self._tell()

    def _tell(self) -> None:
        if self._recipient is not None:
            may_write = not self.paused and self.protocol.state is _OPEN
            self._recipient.descriptor = self._descriptor if may_write else -1

    def send_data(self) -> None:
        """Send what the protocol has to send."""
        try:
            super().send_data()
        finally:
            self._tell()

    def pause_writing(self) -> None:
        """Note that the transport is full."""
        super().pause_writing()
        self._tell()

    def resume_writing(self) -> None:
        """Note that the transport has room again."""
        super().resume_writing()
        self._tell()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection is gone; its socket is closed after this."""
        self._descriptor = -1
        self._tell()
        super().connection_lost(exc)


class WebsocketsLink(Link):
    """One connection of websockets.

    Args:
        websocket: the open connection.
    """

    def __init__(self, websocket: ServerConnection) -> None:
        self._websocket = websocket
        self._protocol = websocket.protocol
        self._transport = websocket.transport
        self._write = websocket.transport.write
        self._is_plain = not websocket.protocol.extensions
        self._queue = websocket.recv_messages
        self._most_waiting = websocket.recv_messages.high
        self.request = _request_of(websocket)
        keep_unsent_low(websocket.transport.get_extra_info("socket"))
        read_little(websocket.transport)

    @property
    def can_write(self) -> bool:
        """True if the connection is open and its transport has room."""
        return not self._websocket.paused and self._protocol.state is _OPEN

    @property
    def ended_tls(self) -> bool:
        """True if the server was given an SSL context."""
        return self._transport.get_extra_info("ssl_object") is not None

    @property
    def is_closing(self) -> bool:
        """True if the transport is closing, for example after a failed write."""
        return self._transport.is_closing()

    def write(self, message: bytes) -> None:
        """Write a message to the transport."""
        if self._is_plain:
            if message is not _framed.message:
                _framed.make(message)
            self._write(_framed.frame)
        else:
            self._protocol.send_binary(message)
            self._websocket.send_data()

    def share_descriptor(self, recipient: Recipient) -> None:
        """Keep the recipient's descriptor at that of the socket while it may be written to.

        Only a connection of ``serve`` without TLS, extensions and a ``write_limit`` of its own, on a loop of asyncio.
        """
        websocket, transport = self._websocket, self._transport
        if (
            isinstance(websocket, SharingConnection)
            and self._is_plain
            and not self.ended_tls
            and is_of_asyncio(transport)
            and transport.get_write_buffer_limits()[1] == WRITE_LIMIT
        ):
            websocket.share(recipient, transport.get_extra_info("socket").fileno())
            transport.set_write_buffer_limits(high=PLAIN_WRITE_LIMIT)

    def write_rest(self, rest: bytes) -> None:
        """Write the rest of a WebSocket frame to the transport."""
        self._write(rest)

    async def writable(self) -> None:
        """Wait until the transport has room, or the connection is closed."""
        await self._websocket.drain()

    async def send(self, message: bytes) -> None:
        """Send a message; wait while the transport is full."""
        await self._websocket.send(message)

    async def receive(self) -> bytes | str:
        """Wait for the next message.

        Raises:
            websockets.ConnectionClosed: the connection is closed.
        """
        message = await self._websocket.recv()
        if self._most_waiting is not None:  # None: the application has turned this limit off
            self._queue.high = 0 if len(message) > LARGE else self._most_waiting
        return message

    async def close(self, code: int, reason: str) -> None:
        """Send a close frame, and wait for the peer's."""
        await self._websocket.close(code, reason)

    def abort(self) -> None:
        """Drop the connection."""
        self._websocket.transport.abort()

    @property
    def close_code(self) -> int | None:
        """The code with which the connection was closed, from the first close frame; None without one."""
        protocol = self._protocol
        begun = protocol.close_rcvd if protocol.close_rcvd_then_sent else protocol.close_sent
        return begun.code if begun else None


class _Framed:
    """The WebSocket frame of the last message, which is reused since all viewers of a stream get the same message."""

    __slots__ = ("frame", "message")

    def __init__(self) -> None:
        self.message = self.frame = b""

    def make(self, message: bytes) -> None:
        """Build the frame of another message."""
        self.frame = binary_frame(message)
        self.message = message


_framed = _Framed()


def _request_of(websocket: ServerConnection) -> Request:
    request = websocket.request
    assert request is not None, "websockets calls its handlers after the handshake"
    path, _, query = request.path.partition("?")
    headers: dict[str, str] = {}
    for name, value in request.headers.raw_items():
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return Request(path=path, query=query, headers=headers, peer=address(websocket.remote_address))
