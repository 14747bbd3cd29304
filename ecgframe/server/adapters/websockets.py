"""websockets: a server of its own, or a connection of one that is there already.

async with WebSocketBinaryHandler() as handler, serve(handler, "0.0.0.0", 8000) as server:
    await server.serve_forever()
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from ...libraries import library
from ..link import WRITE_LIMIT, Link, Request, keep_unsent_low
from ..subprotocols import SUBPROTOCOLS, choose
from . import listening
from .address import address

if TYPE_CHECKING:
    import websockets
    from websockets import Frame, Opcode
    from websockets.asyncio.server import Server, ServerConnection

    from ..handler import WebSocketBinaryHandler
else:
    websockets = library("websockets", extra="server", purpose="serving with websockets")

    Frame, Opcode = websockets.Frame, websockets.Opcode

_OPEN = websockets.State.OPEN


def serve(
    handler: WebSocketBinaryHandler,
    host: str | None = None,
    port: int | None = None,
    *,
    backlog: int = listening.BACKLOG,
    start_serving: bool = True,
    subprotocols: Sequence[str] = SUBPROTOCOLS,
    **options: Any,
) -> Server:
    """A websockets server whose connections are all the handler's.

    Args:
        handler: whose connections they become. It is not closed with the server.
        host: to listen on.
        port: to listen on.
        backlog: connections that may wait to be accepted.
        start_serving: whether to accept connections from the beginning.
        subprotocols: to choose from where a client offers some, the preferred one first; a client that offers none of
            them is served without one. See ``Request.bearer_token``.
        options: for ``websockets.serve``: ``ssl``, ``process_request``, ``sock``... Compression is off unless asked
            for here: frames are compressed already.

    Returns:
        What ``websockets.serve`` returns, to be awaited or used as an async context manager.
    """

    async def serve_connection(websocket: ServerConnection) -> None:
        await accept(handler, websocket)

    def select(_: ServerConnection, names: Sequence[str]) -> str | None:
        return choose(names, subprotocols)

    defaults = {
        "compression": None,
        "select_subprotocol": select,
        "max_size": handler.max_message,
        "write_limit": WRITE_LIMIT,
        "ping_interval": None,  # the protocol's own heartbeats tell who is there
    }
    own = {"backlog": listening.ACCEPTS, "start_serving": False}
    server = websockets.serve(serve_connection, host, port, **{**defaults, **options, **own})
    create = server.create_server

    async def create_server() -> asyncio.Server:
        created = await (create() if callable(create) else create)
        return await listening.begin_serving(created, backlog, start=start_serving)

    # a function since websockets 17, what it returns until then
    server.create_server = create_server if callable(create) else create_server()
    return server


async def accept(
    handler: WebSocketBinaryHandler, websocket: ServerConnection, connection_id: str | None = None
) -> None:
    """Serve a connection of your own websockets server until it is over.

    Call ``websockets.serve`` with ``compression=None`` and ``max_size=handler.max_message``.

    Args:
        handler: whose connection it becomes.
        websocket: what websockets gives to its own handlers.
        connection_id: under which ``handler.send_message`` finds it; made up where None.
    """
    await handler.handle(WebsocketsLink(websocket), connection_id)


class WebsocketsLink(Link):
    """A connection of the websockets library."""

    def __init__(self, websocket: ServerConnection) -> None:
        self._websocket = websocket
        self._protocol = websocket.protocol
        self._transport = websocket.transport
        self._is_plain = not websocket.protocol.extensions
        self.request = _request_of(websocket)
        keep_unsent_low(websocket.transport.get_extra_info("socket"))

    @property
    def can_write(self) -> bool:
        """Whether the connection is open and its transport has room."""
        return not self._websocket.paused and self._protocol.state is _OPEN

    @property
    def is_closing(self) -> bool:
        """Whether the transport is going, after a write that failed, for one."""
        return self._transport.is_closing()

    def write(self, message: bytes) -> None:
        """Hand a message to the transport."""
        if self._is_plain:
            self._transport.write(_framed(message))
        else:
            self._protocol.send_binary(message)
            self._websocket.send_data()

    async def writable(self) -> None:
        """Wait until the transport has room."""
        await self._websocket.drain()

    async def send(self, message: bytes) -> None:
        """Send a message, waiting for room."""
        await self._websocket.send(message)

    def receive(self) -> Coroutine[Any, Any, bytes | str]:
        """The next message. Raises ``ConnectionClosed`` in the end."""
        return self._websocket.recv()

    async def close(self, code: int, reason: str) -> None:
        """Say goodbye, and wait for the peer to do so."""
        await self._websocket.close(code, reason)

    def abort(self) -> None:
        """Drop the connection."""
        self._websocket.transport.abort()

    @property
    def close_code(self) -> int | None:
        """The code with which the connection was closed, by whoever began."""
        protocol = self._protocol
        begun = protocol.close_rcvd if protocol.close_rcvd_then_sent else protocol.close_sent
        return begun.code if begun else None


class _Framer:
    """Makes WebSocket frames of messages. The viewers of a stream all get the same one, which is made only once."""

    __slots__ = ("_frame", "_message")

    def __init__(self) -> None:
        self._message = self._frame = b""

    def __call__(self, message: bytes) -> bytes:
        if message is not self._message:
            self._frame = Frame(Opcode.BINARY, message).serialize(mask=False)
            self._message = message
        return self._frame


_framed = _Framer()


def _request_of(websocket: ServerConnection) -> Request:
    request = websocket.request
    assert request is not None, "websockets calls its handlers after the handshake"
    path, _, query = request.path.partition("?")
    headers: dict[str, str] = {}
    for name, value in request.headers.raw_items():
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return Request(path=path, query=query, headers=headers, peer=address(websocket.remote_address))
