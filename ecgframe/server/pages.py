"""HTTP pages on the port of the WebSockets: the monitor, health, metrics and the list of streams."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from ..foreign_text import printable
from ..libraries import MissingLibrary, library
from .logs import logger
from .monitor_files import MonitorFile, accepts_gzip, headers_for, monitor_files
from .origins import Origins

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request, Response

    from .prometheus import Exposition, HasStats

WEBSOCKET: Final = "/ws"
HEALTH: Final = "/healthz"
METRICS: Final = "/metrics"
STREAMS: Final = "/streams"

TEXT: Final = "text/plain; charset=utf-8"
JSON: Final = "application/json"
NOT_FOUND_TEXT: Final = f"Not found. There are {WEBSOCKET}, {HEALTH}, {METRICS}, {STREAMS} and /.\n".encode()
REFUSED_ORIGIN: Final = "Pages of {origin} may not connect here; ecgframe serve --allow-origin {origin} allows it.\n"


@dataclass(frozen=True, slots=True)
class _Answer:
    status: HTTPStatus
    body: bytes
    content_type: str = TEXT
    headers: dict[str, str] = field(default_factory=dict)


class Pages:
    """The ``process_request`` of a ``websockets`` server: pages over HTTP, and WebSockets at ``/ws`` only.

    Args:
        handler: the handler whose numbers ``/metrics`` returns.
        streams: names of the streams that ``/`` and ``/streams`` list.
        origins: origins of the web pages that may open WebSockets.
        secure: whether the server uses TLS, so that its addresses are ``https://`` and ``wss://``.
    """

    def __init__(
        self, handler: HasStats, streams: Sequence[str], origins: Origins | None = None, *, secure: bool = False
    ) -> None:
        self._streams = streams
        self._schemes = ("https", "wss") if secure else ("http", "ws")
        self._origins = origins or Origins()
        self._monitor = monitor_files()
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
        """Answer an HTTP request; None opens the WebSocket."""
        path = request.path.partition("?")[0]
        if path == WEBSOCKET:
            origin = _header(request, "Origin")
            if self._origins.admits(origin, _header(request, "Host")):
                return None
            logger.warning("refused a WebSocket of a page from %s", origin, extra={"origin": origin})
            answer = _Answer(HTTPStatus.FORBIDDEN, REFUSED_ORIGIN.format(origin=printable(origin)).encode())
        else:
            answer = self._answer(path, request)
        response = connection.respond(answer.status, "")
        response.body = answer.body
        headers = {"Content-Type": answer.content_type, "X-Content-Type-Options": "nosniff", **answer.headers}
        if answer.status is HTTPStatus.NOT_MODIFIED:
            del response.headers["Content-Length"]  # a 304 would give that of the whole file
        else:
            headers["Content-Length"] = str(len(answer.body))
        for name, value in headers.items():
            if name in response.headers:
                del response.headers[name]
            response.headers[name] = value
        return response

    def _answer(self, path: str, request: Request) -> _Answer:
        if path == HEALTH:
            return _Answer(HTTPStatus.OK, b"ok\n")
        if path == METRICS:
            return self._metrics(_header(request, "Accept"))
        if path == STREAMS:
            body = json.dumps({"streams": list(self._streams)}).encode()
            return _Answer(HTTPStatus.OK, body, JSON, {"Cache-Control": "no-store", **self._shared(request)})
        if path == "/" and "text/html" not in _header(request, "Accept"):
            return _Answer(
                HTTPStatus.OK, self._overview(printable(_header(request, "Host"))).encode(), headers={"Vary": "Accept"}
            )
        if path in self._monitor:
            return _monitor(self._monitor[path], request)
        return _Answer(HTTPStatus.NOT_FOUND, NOT_FOUND_TEXT)

    def _shared(self, request: Request) -> dict[str, str]:
        """CORS headers: pages of other origins that may connect can read the response."""
        origin = _header(request, "Origin")
        if not origin or not self._origins.admits(origin, _header(request, "Host")):
            return {"Vary": "Origin"}
        return {"Vary": "Origin", "Access-Control-Allow-Origin": origin}

    def _metrics(self, accept: str) -> _Answer:
        if self._exposition is None:
            return _Answer(HTTPStatus.NOT_FOUND, self._no_exposition.encode())
        body, content_type = self._exposition.answer(accept)
        return _Answer(HTTPStatus.OK, body, content_type)

    def _overview(self, host: str) -> str:
        http, ws = self._schemes
        addresses = {
            f"{http}://{host}/": "the monitor, in a browser",
            f"{ws}://{host}{WEBSOCKET}": "the streams, over WebSocket",
            f"{http}://{host}{STREAMS}": "the names of the streams, as JSON",
            f"{http}://{host}{HEALTH}": "whether the server is running",
            f"{http}://{host}{METRICS}": "metrics for Prometheus",
        }
        width = max(map(len, addresses))
        lines = ["ecgframe: live ECG streams", "", *[f"{url:{width}}  {what}" for url, what in addresses.items()]]
        return "\n".join([*lines, "", "Streams:", *[f"  {printable(name)}" for name in self._streams], ""])


def _monitor(file: MonitorFile, request: Request) -> _Answer:
    """Answer with a file of the monitor, or 304 if the browser has it already."""
    headers = {**headers_for(request.path.partition("?")[2]), "ETag": file.tag, "Vary": "Accept, Accept-Encoding"}
    if file.is_known(_header(request, "If-None-Match")):
        return _Answer(HTTPStatus.NOT_MODIFIED, b"", file.content_type, headers)
    if accepts_gzip(_header(request, "Accept-Encoding")):
        return _Answer(HTTPStatus.OK, file.packed, file.content_type, {**headers, "Content-Encoding": "gzip"})
    return _Answer(HTTPStatus.OK, file.body, file.content_type, headers)


def _header(request: Request, name: str) -> str:
    """The values of a header, joined by commas if it is repeated; ``""`` without one."""
    return ", ".join(request.headers.get_all(name))
