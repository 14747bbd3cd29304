"""aiohttp: a WebSocket route beside the pages of an aiohttp application.

async def live(request):
    return await accept(handler, request)

app.router.add_get("/ws", live)
app.on_shutdown.append(lambda app: handler.close())
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...libraries import library
from ..link import WRITE_LIMIT, Link, Request, keep_unsent_low
from ..subprotocols import HEADER, SUBPROTOCOLS, choose, offered
from .address import address
from .listening import listen

__all__ = ["WRITE_LIMIT", "AiohttpLink", "accept", "listen"]

if TYPE_CHECKING:
    from aiohttp import web

    from ..handler import WebSocketBinaryHandler
else:
    web = library("aiohttp.web", extra="aiohttp", purpose="serving with aiohttp")


async def accept(
    handler: WebSocketBinaryHandler,
    request: web.Request,
    connection_id: str | None = None,
    *,
    subprotocols: Sequence[str] = SUBPROTOCOLS,
) -> web.WebSocketResponse:
    """Turn a request into a connection of the handler, and serve it until it is over.

    Args:
        handler: whose connection it becomes.
        request: of the route. What does not ask for a WebSocket gets ``web.HTTPBadRequest``.
        connection_id: by which ``handler.send_message`` finds it; made up where None.
        subprotocols: to choose from where the client offers some, the preferred one first; a client that offers none of
            them is served without one. See ``Request.bearer_token``.

    Returns:
        The response that aiohttp wants of a route.
    """
    # aiohttp compresses where it is not told, refuses what is as long as its limit, and counts up to a limit of
    # its own before it looks whether the transport is full
    chosen = choose(offered(", ".join(request.headers.getall(HEADER, ()))), subprotocols)
    socket = web.WebSocketResponse(
        compress=False,
        max_msg_size=handler.max_message + 1,
        writer_limit=0,
        protocols=() if chosen is None else (chosen,),  # aiohttp itself takes the client's order
    )
    await socket.prepare(request)
    if request.transport is not None:
        request.transport.set_write_buffer_limits(high=WRITE_LIMIT)
        keep_unsent_low(request.transport.get_extra_info("socket"))
    await handler.handle(AiohttpLink(request, socket), connection_id=connection_id)
    return socket


class AiohttpLink(Link):
    """One connection that aiohttp serves. It can only be awaited.

    Args:
        request: what opened it.
        socket: the connection, prepared.
    """

    def __init__(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        self.request = _request_of(request)
        self._transport = request.transport
        self._socket = socket
        self._close_code: int | None = None

    @property
    def close_code(self) -> int | None:
        """With which the connection was closed, by the peer or by aiohttp."""
        return self._close_code

    async def send(self, message: bytes) -> None:
        """Send a message, waiting for room."""
        await self._socket.send_bytes(message)

    async def receive(self) -> bytes | str | None:
        """The next message, or None in the end."""
        message = await self._socket.receive()
        if message.type in _MESSAGES:
            data: bytes | str = message.data
            return data
        if message.type is web.WSMsgType.CLOSE:
            self._close_code = message.data
        elif message.type is web.WSMsgType.ERROR:  # of the peer, such as a message beyond the limit
            self._close_code = getattr(message.data, "code", None)
        return None

    async def close(self, code: int, reason: str) -> None:
        """Say goodbye, and wait for the peer to do so."""
        await self._socket.close(code=code, message=reason.encode())

    def abort(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()


_MESSAGES = (web.WSMsgType.BINARY, web.WSMsgType.TEXT)


def _request_of(request: web.Request) -> Request:
    return Request(
        path=request.rel_url.raw_path,
        query=request.rel_url.raw_query_string,
        headers={name.lower(): ", ".join(request.headers.getall(name)) for name in request.headers},
        peer=address(request.transport and request.transport.get_extra_info("peername")),
    )
