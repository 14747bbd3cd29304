"""Adapter for Starlette and FastAPI, on uvicorn or another ASGI server.

In an application::

    @app.websocket("/ws")
    async def live(websocket: WebSocket):
        await accept(handler, websocket)

ASGI gives no access to the socket and its buffers, so set them in the server's configuration:
``uvicorn.run(..., ws_per_message_deflate=False, ws_max_size=handler.max_message)``, and a socket from ``listen``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..link import Link, Request
from ..subprotocols import SUBPROTOCOLS, choose
from .address import address
from .listening import listen

__all__ = ["StarletteLink", "accept", "listen"]

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

    from ..handler import WebSocketBinaryHandler


async def accept(
    handler: WebSocketBinaryHandler,
    websocket: WebSocket,
    connection_id: str | None = None,
    *,
    subprotocols: Sequence[str] = SUBPROTOCOLS,
    identity: object = None,
) -> None:
    """Accept a WebSocket, and serve the connection until it ends.

    Args:
        handler: handler that serves the connection.
        websocket: WebSocket of the route, not accepted yet.
        connection_id: id of the connection, for ``handler.send_message``; None generates one.
        subprotocols: accepted subprotocols, the preferred one first. A client that offers none of them is served
            without one. See ``Request.bearer_token``.
        identity: who the peer is, if the application knows; None to ask ``authenticate``.
    """
    await websocket.accept(subprotocol=choose(websocket.scope.get("subprotocols", ()), subprotocols))
    await handler.handle(StarletteLink(websocket), connection_id=connection_id, identity=identity)


class StarletteLink(Link):
    """One connection of an ASGI server. It can only be awaited.

    Args:
        websocket: the accepted WebSocket.
    """

    def __init__(self, websocket: WebSocket) -> None:
        self.request = _request_of(websocket)
        self._websocket = websocket
        self._send = websocket.send
        self._close_code: int | None = None
        self._is_dropped = False
        self._receiving: asyncio.Task[Any] | None = None

    @property
    def ended_tls(self) -> bool:
        """True if the ASGI server says that it has ended the TLS itself, by the extension ``tls`` of ASGI.

        The scheme does not say it, since servers take it from the headers of a proxy. uvicorn does not say it.
        """
        return bool((self._websocket.scope.get("extensions") or {}).get("tls"))

    @property
    def close_code(self) -> int | None:
        """The code with which the connection was closed; None while it is open."""
        return self._close_code

    async def send(self, message: bytes) -> None:
        """Send a message; wait while the transport is full."""
        await self._send({"type": "websocket.send", "bytes": message})

    async def receive(self) -> bytes | str | None:
        """Wait for the next message; None once the connection is closed."""
        if self._is_dropped or self._close_code is not None:
            return None
        self._receiving = asyncio.current_task()
        try:
            event = await self._websocket.receive()
        except asyncio.CancelledError:
            if self._is_dropped and self._receiving and not self._receiving.uncancel():
                return None
            raise
        finally:
            self._receiving = None
        if event["type"] == "websocket.disconnect":
            self._close_code = event.get("code", 1005)
            return None
        message: bytes | None = event.get("bytes")
        return event["text"] if message is None else message

    async def close(self, code: int, reason: str) -> None:
        """Send a close frame. The ASGI server waits for the peer's."""
        if self._close_code is None and not self._is_dropped:
            await self._websocket.close(code, reason)

    def abort(self) -> None:
        """Stop using the connection. ASGI cannot drop a connection; the server has to end it."""
        if self._is_dropped:
            return
        self._is_dropped = True
        if self._receiving:
            self._receiving.cancel()


def _request_of(websocket: WebSocket) -> Request:
    scope = websocket.scope
    names = dict.fromkeys(name.lower() for name in websocket.headers)
    return Request(
        path=scope["raw_path"].decode("latin-1") if scope.get("raw_path") else quote(scope["path"]),
        query=scope["query_string"].decode("latin-1"),
        headers={name: ", ".join(websocket.headers.getlist(name)) for name in names},
        peer=address(scope.get("client")),
    )
