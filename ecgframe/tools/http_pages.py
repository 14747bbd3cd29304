"""Pages of a server that a proxy passes on: the monitor, and what it asks for over plain HTTP."""

from __future__ import annotations

from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin, urlsplit

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request, Response

ASKED: Final = ("Accept", "Accept-Encoding", "Authorization", "Cookie", "If-None-Match", "Origin", "User-Agent")
"""Headers of the client's request that the target gets."""

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
"""Headers of the target's answer that the client gets."""

SECONDS: Final = 10
LARGEST: Final = 16 << 20
"""Bytes of a page, at the most."""


def fetch_page(client: ServerConnection, target: str, request: Request) -> Response:
    """Ask the target for what the client asks for. Blocks.

    Args:
        client: whose request it is; it makes the answer.
        target: the server, ``ws://`` or ``wss://``; what the client asks for is next to the target's own path.

    Returns:
        The target's answer; 502 where there is none.
    """
    parts = urlsplit(urljoin(target, request.path.lstrip("/") or "."))
    made = HTTPSConnection if parts.scheme == "wss" else HTTPConnection
    connection = made(parts.hostname or "", parts.port, timeout=SECONDS)
    path = parts.path or "/"
    try:
        asked = {name: ", ".join(found) for name in ASKED if (found := request.headers.get_all(name))}
        connection.request("GET", f"{path}?{parts.query}" if parts.query else path, headers=asked)
        answer = connection.getresponse()
        body = answer.read(LARGEST + 1)
    except (OSError, HTTPException) as error:
        return client.respond(HTTPStatus.BAD_GATEWAY, f"{target} cannot be reached: {error}\n")
    finally:
        connection.close()
    if len(body) > LARGEST:
        return client.respond(HTTPStatus.BAD_GATEWAY, f"{target} sends more than {LARGEST:,} bytes\n")
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
