"""What a server answers over plain HTTP, on the port of its WebSockets: that it lives, its numbers, what it has."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from ..libraries import MissingLibrary, library

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request, Response

    from .prometheus import Exposition, HasStats

WEBSOCKET: Final = "/ws"
HEALTH: Final = "/healthz"
METRICS: Final = "/metrics"

TEXT: Final = "text/plain; charset=utf-8"
NOTHING: Final = f"There is nothing here, but at {WEBSOCKET}, {HEALTH}, {METRICS} and /.\n".encode()


class Pages:
    """The ``process_request`` of a ``websockets`` server: pages, and WebSockets at ``/ws`` alone.

    Args:
        handler: whose numbers ``/metrics`` gives.
        streams: names of the streams that ``/`` lists.
    """

    def __init__(self, handler: HasStats, streams: Sequence[str]) -> None:
        self._streams = streams
        self._exposition: Exposition | None = None
        self._no_exposition = ""
        try:
            library("prometheus_client", extra="metrics", purpose=METRICS)
        except MissingLibrary as missing:
            self._no_exposition = f"{missing}\n"
        else:
            from .prometheus import Exposition  # noqa: PLC0415 - needs the library

            self._exposition = Exposition(handler)

    def __call__(self, connection: ServerConnection, request: Request) -> Response | None:
        """The page that is asked for; None lets the WebSocket be opened."""
        path = request.path.partition("?")[0]
        if path == WEBSOCKET:
            return None
        status, body, content_type = self._page(path, request)
        response = connection.respond(status, "")
        response.body = body
        for name, value in (("Content-Type", content_type), ("Content-Length", str(len(body)))):
            del response.headers[name]
            response.headers[name] = value
        return response

    def _page(self, path: str, request: Request) -> tuple[HTTPStatus, bytes, str]:
        if path == HEALTH:
            return HTTPStatus.OK, b"ok\n", TEXT
        if path == METRICS:
            return self._metrics(_header(request, "Accept"))
        if path == "/":
            return HTTPStatus.OK, self._overview(_header(request, "Host")).encode(), TEXT
        return HTTPStatus.NOT_FOUND, NOTHING, TEXT

    def _metrics(self, accept: str) -> tuple[HTTPStatus, bytes, str]:
        if self._exposition is None:
            return HTTPStatus.NOT_FOUND, self._no_exposition.encode(), TEXT
        body, content_type = self._exposition.answer(accept)
        return HTTPStatus.OK, body, content_type

    def _overview(self, host: str) -> str:
        addresses = {
            f"ws://{host}{WEBSOCKET}": "the streams, over WebSocket",
            f"http://{host}{HEALTH}": "whether the server lives",
            f"http://{host}{METRICS}": "its numbers, for Prometheus",
        }
        width = max(map(len, addresses))
        lines = ["ecgframe: live ECG streams", "", *[f"{url:{width}}  {what}" for url, what in addresses.items()]]
        return "\n".join([*lines, "", "Streams:", *[f"  {name}" for name in self._streams], ""])


def _header(request: Request, name: str) -> str:
    """What the request says there, however often it says it."""
    return ", ".join(request.headers.get_all(name))
