"""What a server answers over plain HTTP, on the port of its WebSockets: the monitor, that it lives, what it has."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

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
NOTHING: Final = f"There is nothing here, but at {WEBSOCKET}, {HEALTH}, {METRICS}, {STREAMS} and /.\n".encode()
NOT_FROM_THERE: Final = "Pages of {origin} may not connect here; ecgframe serve --allow-origin {origin} lets them.\n"


@dataclass(frozen=True, slots=True)
class _Answer:
    status: HTTPStatus
    body: bytes
    content_type: str = TEXT
    headers: dict[str, str] = field(default_factory=dict)


class Pages:
    """The ``process_request`` of a ``websockets`` server: pages, and WebSockets at ``/ws`` alone.

    Args:
        handler: whose numbers ``/metrics`` gives.
        streams: names of the streams that ``/`` and ``/streams`` list.
        origins: of the web pages that may open WebSockets.
    """

    def __init__(self, handler: HasStats, streams: Sequence[str], origins: Origins | None = None) -> None:
        self._streams = streams
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
        """The page that is asked for; None lets the WebSocket be opened."""
        path = request.path.partition("?")[0]
        if path == WEBSOCKET:
            origin = _header(request, "Origin")
            if self._origins.admits(origin, _header(request, "Host")):
                return None
            logger.warning("refused a page of %s", origin, extra={"origin": origin})
            answer = _Answer(HTTPStatus.FORBIDDEN, NOT_FROM_THERE.format(origin=origin).encode())
        else:
            answer = self._answer(path, request)
        response = connection.respond(answer.status, "")
        response.body = answer.body
        headers = {"Content-Type": answer.content_type, "X-Content-Type-Options": "nosniff", **answer.headers}
        if answer.status is HTTPStatus.NOT_MODIFIED:
            del response.headers["Content-Length"]  # it would be that of the file
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
            return _Answer(HTTPStatus.OK, self._overview(_header(request, "Host")).encode(), headers={"Vary": "Accept"})
        if path in self._monitor:
            return _monitor(self._monitor[path], request)
        return _Answer(HTTPStatus.NOT_FOUND, NOTHING)

    def _shared(self, request: Request) -> dict[str, str]:
        """Let a page read this that comes from elsewhere and may connect here."""
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
        addresses = {
            f"http://{host}/": "the monitor, in a browser",
            f"ws://{host}{WEBSOCKET}": "the streams, over WebSocket",
            f"http://{host}{STREAMS}": "their names, as JSON",
            f"http://{host}{HEALTH}": "whether the server lives",
            f"http://{host}{METRICS}": "its numbers, for Prometheus",
        }
        width = max(map(len, addresses))
        lines = ["ecgframe: live ECG streams", "", *[f"{url:{width}}  {what}" for url, what in addresses.items()]]
        return "\n".join([*lines, "", "Streams:", *[f"  {name}" for name in self._streams], ""])


def _monitor(file: MonitorFile, request: Request) -> _Answer:
    """A file of the monitor; not again for whoever has it."""
    headers = {**headers_for(request.path.partition("?")[2]), "ETag": file.tag, "Vary": "Accept, Accept-Encoding"}
    if file.is_known(_header(request, "If-None-Match")):
        return _Answer(HTTPStatus.NOT_MODIFIED, b"", file.content_type, headers)
    if accepts_gzip(_header(request, "Accept-Encoding")):
        return _Answer(HTTPStatus.OK, file.packed, file.content_type, {**headers, "Content-Encoding": "gzip"})
    return _Answer(HTTPStatus.OK, file.body, file.content_type, headers)


def _header(request: Request, name: str) -> str:
    """What the request says there, however often it says it."""
    return ", ".join(request.headers.get_all(name))
