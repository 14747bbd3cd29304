"""HTTP pages that a proxy relays: the monitor, and what the monitor requests."""

from __future__ import annotations

from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin, urlsplit

from ..foreign_text import printable

if TYPE_CHECKING:
    from ssl import SSLContext

    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request, Response

ASKED: Final = ("Accept", "Accept-Encoding", "Authorization", "Cookie", "If-None-Match", "Origin", "User-Agent")
"""Headers of the request that are relayed to the target."""

ANSWERED: Final = (
    "Access-Control-Allow-Origin",
    "Cache-Control",
    "Content-Encoding",
    "Content-Security-Policy",
    "Content-Type",
    "ETag",
    "Location",
    "Referrer-Policy",
    "Set-Cookie",
    "Vary",
    "WWW-Authenticate",
    "X-Content-Type-Options",
)
"""Headers of the response that are relayed to the client."""

SECONDS: Final = 10
LARGEST: Final = 16 << 20
"""Largest page, in bytes."""


def fetch_page(client: ServerConnection, target: str, request: Request, trusted: SSLContext | None = None) -> Response:
    """Fetch from the target the page that the client requests. Blocks.

    Args:
        client: connection of the client, which creates the response.
        target: URL of the server, ``ws://`` or ``wss://``. The requested path is relative to its path.
        request: the request of the client.
        trusted: TLS context; None to trust the system's certificate authorities.

    Returns:
        The response of the target; 502 if there is none.
    """
    parts = urlsplit(urljoin(target, request.path.lstrip("/") or "."))
    host = parts.hostname or ""
    connection = (
        HTTPSConnection(host, parts.port, timeout=SECONDS, context=trusted)
        if parts.scheme == "wss"
        else HTTPConnection(host, parts.port, timeout=SECONDS)
    )
    path = parts.path or "/"
    try:
        asked = {name: ", ".join(found) for name in ASKED if (found := request.headers.get_all(name))}
        connection.request("GET", f"{path}?{parts.query}" if parts.query else path, headers=asked)
        with connection.getresponse() as answer:
            body = answer.read(LARGEST + 1)
    except (OSError, HTTPException) as error:
        return client.respond(HTTPStatus.BAD_GATEWAY, f"{target} cannot be reached: {printable(error)}\n")
    finally:
        connection.close()
    if len(body) > LARGEST:
        return client.respond(HTTPStatus.BAD_GATEWAY, f"{target} sent more than {LARGEST:,} bytes\n")
    response = client.respond(HTTPStatus.OK, "")
    response.status_code, response.reason_phrase = answer.status, answer.reason
    response.body = body
    del response.headers["Content-Length"], response.headers["Content-Type"]
    if answer.status != HTTPStatus.NOT_MODIFIED:
        response.headers["Content-Length"] = str(len(body))
    for name in ANSWERED:
        for value in answer.headers.get_all(name) or ():
            response.headers[name] = value
    return response
