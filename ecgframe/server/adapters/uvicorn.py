"""Options for uvicorn, among them a time limit for HTTP requests, which uvicorn does not have itself.

``uvicorn.Config(app, **options_for(handler))`` sets them. Without the limit, uvicorn keeps a connection that sends
nothing, or half a request, forever. The adapter for the connections themselves is
``ecgframe.server.adapters.starlette``.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from ...libraries import library

if TYPE_CHECKING:
    from uvicorn.protocols.http import auto

    from ..handler import WebSocketBinaryHandler
else:
    auto = library("uvicorn.protocols.http.auto", extra="starlette", purpose="serving with uvicorn")

HANDSHAKE_SECONDS: Final = 10.0
"""Seconds that a client has to send the headers of its first request."""


def options_for(handler: WebSocketBinaryHandler) -> dict[str, Any]:
    """Return options of ``uvicorn.Config`` for a server with this handler.

    They allow messages as large as the handler accepts, disable WebSocket compression (frames are compressed already),
    drop a client that does not finish its request, and keep many TLS handshakes from blocking the event loop. If the
    handler has ``proxies``, uvicorn leaves the headers of proxies to it.
    """
    own_proxies = {"proxy_headers": False} if handler.resolves_proxies else {}
    return {
        **own_proxies,
        "ws_max_size": handler.max_message,
        "ws_per_message_deflate": False,
        "http": http_protocol(),
        "loop": "ecgframe.server.event_loop:new_event_loop",
    }


def http_protocol(seconds: float = HANDSHAKE_SECONDS) -> type[asyncio.Protocol]:
    """Return uvicorn's HTTP protocol with a time limit, for ``uvicorn.Config(http=...)``.

    Args:
        seconds: seconds from the connection to the end of the headers of its first request; then it is dropped.
    """

    class ImpatientProtocol(auto.AutoHTTPProtocol):  # type: ignore[misc, valid-type]
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            asyncio.get_running_loop().call_later(seconds, self._give_up, transport)

        def _give_up(self, transport: Any) -> None:
            # A WebSocket has replaced the protocol by now, and a request has set ``cycle``.
            if getattr(self, "cycle", None) is None and transport.get_protocol() is self:
                transport.abort()

    return ImpatientProtocol
