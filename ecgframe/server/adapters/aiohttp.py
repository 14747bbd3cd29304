"""Adapter for aiohttp: a WebSocket route, or an application with the monitor and the other pages.

async def live(request):
    return await accept(handler, request)

app.router.add_get("/ws", live)
app.on_shutdown.append(lambda app: handler.close())

Or ``app.add_subapp("/ecg", application(handler, ["ecg/bed-7"]))``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from ...libraries import library
from ..link import WRITE_LIMIT, Link, Request, keep_unsent_low, read_little
from ..origins import Origins
from ..pages import Pages
from ..subprotocols import HEADER, SUBPROTOCOLS, choose, offered
from .address import address
from .listening import listen

__all__ = ["WRITE_LIMIT", "AiohttpLink", "accept", "application", "listen"]

if TYPE_CHECKING:
    from aiohttp import web

    from ..handler import WebSocketBinaryHandler
    from ..worker_metrics import WorkerMetrics
else:
    web = library("aiohttp.web", extra="aiohttp", purpose="serving with aiohttp")


async def accept(
    handler: WebSocketBinaryHandler,
    request: web.Request,
    connection_id: str | None = None,
    *,
    subprotocols: Sequence[str] = SUBPROTOCOLS,
    identity: object = None,
) -> web.WebSocketResponse:
    """Accept a WebSocket request, and serve the connection until it ends.

    Args:
        handler: handler that serves the connection.
        request: request of the route.
        connection_id: id of the connection, for ``handler.send_message``; None generates one.
        subprotocols: accepted subprotocols, the preferred one first. A client that offers none of them is served
            without one. See ``Request.bearer_token``.
        identity: who the peer is, if the application knows; None to ask ``authenticate``.

    Returns:
        The response that the route has to return.

    Raises:
        web.HTTPBadRequest: the request is not a WebSocket handshake.
    """
    # aiohttp compresses by default, refuses messages that are as long as its limit (hence + 1), and checks whether
    # the transport is full only after ``writer_limit`` bytes.
    chosen = choose(offered(", ".join(request.headers.getall(HEADER, ()))), subprotocols)
    socket = web.WebSocketResponse(
        compress=False,
        max_msg_size=handler.max_message + 1,
        writer_limit=0,
        protocols=() if chosen is None else (chosen,),  # aiohttp itself prefers in the client's order
    )
    await socket.prepare(request)
    if request.transport is not None:
        request.transport.set_write_buffer_limits(high=WRITE_LIMIT)
        keep_unsent_low(request.transport.get_extra_info("socket"))
        read_little(request.transport)
    await handler.handle(AiohttpLink(request, socket), connection_id=connection_id, identity=identity)
    return socket


def application(
    handler: WebSocketBinaryHandler,
    streams: Sequence[str] = (),
    *,
    allow_origins: Collection[str] = (),
    metrics: WorkerMetrics | None = None,
    open_metrics: bool = False,
) -> web.Application:
    """Return an application with ``/ws``, the monitor at ``/``, ``/streams``, ``/healthz`` and ``/metrics``.

    It closes the handler when the server shuts down. The hooks of the handler decide who may watch what
    (``authenticate``, ``authorize``), which names of streams ``/streams`` lists (``visible_streams``), and who may read
    ``/metrics`` (``may_see_metrics``). Without ``authenticate``, all pages are open to everyone who reaches them: leave
    names of patients out of those of the streams, and see to ``/metrics`` in the proxy.

    Args:
        handler: the handler that serves the connections.
        streams: names of the streams that the monitor offers; read again for each request, so it may change.
        allow_origins: origins of web pages of other servers that may connect, such as
            ``https://monitor.example.org``; ``*`` allows any.
        metrics: those of all workers of this server, for ``/metrics``; see ``ecgframe.server.worker_metrics``.
        open_metrics: whether everybody may read ``/metrics``, also those whom ``authenticate`` refuses.
    """
    pages = Pages(handler, streams, Origins(allow_origins, host="0.0.0.0"), metrics=metrics, open_metrics=open_metrics)

    async def page(request: web.Request) -> web.StreamResponse:
        path = f"/{request.match_info['path']}"
        mount = request.rel_url.raw_path.removesuffix(path).rstrip("/")
        answer = await pages.answer(replace(_request_of(request), path=path), mount, secure=request.secure)
        if answer is None:
            return await accept(handler, request)
        response = web.Response(status=answer.status, body=answer.body)
        response.headers.update(answer.all_headers)
        return response

    async def close(_: web.Application) -> None:
        await handler.close()

    async def share_metrics(_: web.Application) -> AsyncIterator[None]:
        async with metrics or nullcontext():
            yield

    async def redirect(request: web.Request) -> web.StreamResponse:
        place = f"{request.rel_url.raw_path}/"
        query = request.rel_url.raw_query_string
        raise web.HTTPTemporaryRedirect(f"{place}?{query}" if query else place)

    running = web.Application()
    running.on_shutdown.append(close)
    if metrics is not None:
        running.cleanup_ctx.append(share_metrics)
    running.router.add_get("", redirect)
    running.router.add_get("/{path:.*}", page)
    return running


class AiohttpLink(Link):
    """One connection of aiohttp. It can only be awaited.

    Args:
        request: the request that opened it.
        socket: the prepared response.
    """

    def __init__(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        self.request = _request_of(request)
        self._transport = request.transport
        self._socket = socket
        self._close_code: int | None = None

    @property
    def ended_tls(self) -> bool:
        """True if the server was given an SSL context."""
        return self._transport is not None and self._transport.get_extra_info("ssl_object") is not None

    @property
    def close_code(self) -> int | None:
        """The code with which the peer or aiohttp closed the connection; None while it is open."""
        return self._close_code

    async def send(self, message: bytes) -> None:
        """Send a message; wait while the transport is full."""
        await self._socket.send_bytes(message)

    async def receive(self) -> bytes | str | None:
        """Wait for the next message; None once the connection is closed."""
        message = await self._socket.receive()
        if message.type in _MESSAGES:
            data: bytes | str = message.data
            return data
        if message.type is web.WSMsgType.CLOSE:
            self._close_code = message.data
        elif message.type is web.WSMsgType.ERROR:  # the peer's error, such as a message above the size limit
            self._close_code = getattr(message.data, "code", None)
        return None

    async def close(self, code: int, reason: str) -> None:
        """Send a close frame, and wait for the peer's."""
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
