"""HTTP pages on the port of the WebSockets: the monitor, health, metrics and the list of streams."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Protocol

from ..foreign_text import printable
from ..libraries import MissingLibrary, library
from .adapters.address import address
from .link import Request
from .logs import logger
from .monitor_files import MonitorFile, accepts_gzip, headers_for, monitor_files
from .origins import Origins

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request as WebsocketsRequest
    from websockets.http11 import Response

    from .page_access import PageAccess
    from .presence import Presence
    from .prometheus import Exposition
    from .worker_metrics import WorkerMetrics

WEBSOCKET: Final = "/ws"
HEALTH: Final = "/healthz"
METRICS: Final = "/metrics"
STREAMS: Final = "/streams"
WALL: Final = "/wall"
WATCHERS: Final = "/watchers"

TEXT: Final = "text/plain; charset=utf-8"
JSON: Final = "application/json"
_UNKNOWN: Final = HTTPStatus.UNAUTHORIZED
NOT_FOUND_TEXT: Final = f"Not found. There are {WEBSOCKET}, {HEALTH}, {METRICS}, {STREAMS}, {WALL} and /.\n".encode()
REFUSED_ORIGIN: Final = "Pages of {origin} may not connect here; ecgframe serve --allow-origin {origin} allows it.\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """The response to a request for a page.

    Attributes:
        status: of the response.
        body: of the response.
        content_type: value of the header Content-Type.
        headers: the other headers, besides Content-Length.
    """

    status: HTTPStatus
    body: bytes
    content_type: str = TEXT
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def all_headers(self) -> dict[str, str]:
        """The headers of the response. 304 has no Content-Length, which would be that of the whole file."""
        headers = {"Content-Type": self.content_type, "X-Content-Type-Options": "nosniff", **self.headers}
        if self.status is not HTTPStatus.NOT_MODIFIED:
            headers["Content-Length"] = str(len(self.body))
        return headers


class Shown(Protocol):
    """The methods of ``WebSocketBinaryHandler`` that are needed here."""

    def stats(self) -> dict[str, Any]:
        """Plain numbers in plain dicts."""
        ...

    @property
    def page_access(self) -> PageAccess:
        """Who may read the pages."""
        ...

    async def answer_watchers(self, request: Request) -> tuple[HTTPStatus, Presence | None]:
        """Answer a request for who watches a stream."""
        ...


class Pages:
    """The pages beside a WebSocket at ``/ws``; also the ``process_request`` of a ``websockets`` server.

    Args:
        handler: the handler whose numbers ``/metrics`` returns, which answers ``/watchers``, and whose hooks decide who
            may read these two and the list of streams.
        streams: names of the streams that ``/`` and ``/streams`` list; read again for each request.
        origins: origins of the web pages that may open WebSockets.
        secure: whether the server uses TLS, so that its addresses are ``https://`` and ``wss://``.
        metrics: those of all workers, which ``/metrics`` then returns.
        open_metrics: whether everybody may read ``/metrics``, also those whom ``authenticate`` of the handler refuses.
    """

    def __init__(
        self,
        handler: Shown,
        streams: Sequence[str],
        origins: Origins | None = None,
        *,
        secure: bool = False,
        metrics: WorkerMetrics | None = None,
        open_metrics: bool = False,
    ) -> None:
        self._handler = handler
        self._open_metrics = open_metrics
        self._streams = streams
        self._secure = secure
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

            self._exposition = Exposition(handler, None if metrics is None else metrics.registry)

    async def __call__(self, connection: ServerConnection, request: WebsocketsRequest) -> Response | None:
        """Answer an HTTP request of ``websockets``; None opens the WebSocket."""
        path, _, query = request.path.partition("?")
        headers = {name.lower(): ", ".join(request.headers.get_all(name)) for name in request.headers}
        peer = address(connection.remote_address)
        asked = Request(path=path, query=query, headers=headers, peer=peer)
        answer = await self.answer(asked, secure=self._secure)
        if answer is None:
            return None
        response = connection.respond(answer.status, "")
        response.body = answer.body
        for name in ("Content-Length", "Content-Type"):
            del response.headers[name]
        for name, value in answer.all_headers.items():
            response.headers[name] = value
        return response

    async def answer(self, request: Request, mount: str = "", *, secure: bool) -> Answer | None:
        """Return the answer to a request; None for a WebSocket at ``/ws`` that may be opened.

        Args:
            request: the request; its path is the part after ``mount``.
            mount: path at which the pages are, such as "/ecg".
            secure: whether it came over TLS.
        """
        if request.path == WATCHERS:
            return await self._watchers(request)
        if request.path != WEBSOCKET:
            return await self._page(request, mount, secure)
        origin = request.headers.get("origin", "")
        if self._origins.admits(origin, request.headers.get("host", "")):
            return None
        logger.warning("refused a WebSocket of a page from %s", origin, extra={"origin": origin})
        self._handler.page_access.refuse_origin(request)
        return Answer(HTTPStatus.FORBIDDEN, REFUSED_ORIGIN.format(origin=printable(origin)).encode())

    async def _page(self, request: Request, mount: str, secure: bool) -> Answer:
        path, headers = request.path, request.headers
        if path == HEALTH:
            return Answer(HTTPStatus.OK, b"ok\n")
        if path == METRICS:
            return await self._metrics(request)
        if path == STREAMS:
            return await self._list(request)
        if path == "/" and "text/html" not in headers.get("accept", ""):
            status, names, _ = await self._handler.page_access.streams(request, self._streams, is_part=True)
            listed = ["Streams:", *[f"  {printable(name)}" for name in names]]
            if status is not HTTPStatus.OK:
                listed = ["Streams: only with a token (Authorization: Bearer TOKEN)"]
            overview = self._overview(printable(headers.get("host", "")) + mount, secure, listed)
            return Answer(HTTPStatus.OK, overview.encode(), headers={"Vary": "Accept", "Cache-Control": "no-store"})
        if path in self._monitor:
            return _monitor(self._monitor[path], request)
        return Answer(HTTPStatus.NOT_FOUND, NOT_FOUND_TEXT)

    async def _watchers(self, request: Request) -> Answer:
        """Answer who watches a stream. No page of another origin can read it."""
        status, presence = await self._handler.answer_watchers(request)
        if presence is None:
            text = NOT_FOUND_TEXT if status is HTTPStatus.NOT_FOUND else f"{status.phrase}\n".encode()
            return Answer(status, text, headers={"WWW-Authenticate": "Bearer"} if status is _UNKNOWN else {})
        fields = presence._asdict() | {"watchers": [one._asdict() for one in presence.watchers]}
        return Answer(status, json.dumps(fields).encode(), JSON, {"Cache-Control": "no-store"})

    async def _list(self, request: Request) -> Answer:
        """Answer with the names of the streams that the sender of the request may see, and the name of its identity."""
        status, names, user = await self._handler.page_access.streams(request, self._streams)
        headers = {"Cache-Control": "no-store", **self._shared(request)}
        if status is not HTTPStatus.OK:
            return _refused(STREAMS, request, status, headers)
        fields = {"streams": names} if not user else {"streams": names, "user": user}
        return Answer(status, json.dumps(fields).encode(), JSON, headers)

    def _shared(self, request: Request) -> dict[str, str]:
        """CORS headers: pages of other origins that may connect can read the response."""
        origin = request.headers.get("origin", "")
        if not origin or not self._origins.admits(origin, request.headers.get("host", "")):
            return {"Vary": "Origin"}
        return {"Vary": "Origin", "Access-Control-Allow-Origin": origin}

    async def _metrics(self, request: Request) -> Answer:
        status = HTTPStatus.OK if self._open_metrics else await self._handler.page_access.metrics(request)
        if status is not HTTPStatus.OK:
            return _refused(METRICS, request, status, {})
        if self._exposition is None:
            return Answer(HTTPStatus.NOT_FOUND, self._no_exposition.encode())
        body, content_type = self._exposition.answer(request.headers.get("accept", ""))
        return Answer(HTTPStatus.OK, body, content_type)

    def _overview(self, host: str, secure: bool, listed: list[str]) -> str:
        """Text for those who are no browsers: the addresses, and the lines that list the streams."""
        http, ws = ("https", "wss") if secure else ("http", "ws")
        addresses = {
            f"{http}://{host}/": "the monitor, in a browser",
            f"{http}://{host}{WALL}": "all streams on one page",
            f"{ws}://{host}{WEBSOCKET}": "the streams, over WebSocket",
            f"{http}://{host}{STREAMS}": "the names of the streams, as JSON",
            f"{http}://{host}{HEALTH}": "whether the server is running",
            f"{http}://{host}{METRICS}": "metrics for Prometheus",
        }
        width = max(map(len, addresses))
        lines = ["ecgframe: live ECG streams", "", *[f"{url:{width}}  {what}" for url, what in addresses.items()]]
        return "\n".join([*lines, "", *listed, ""])


def _refused(page: str, request: Request, status: HTTPStatus, headers: dict[str, str]) -> Answer:
    """Answer that a page may not be read, which the log says as well."""
    logger.info("refused %s to %s: %d", page, request.peer or "a peer", status, extra={"peer": request.peer})
    if status is _UNKNOWN:
        text = b"This page needs a token that this server accepts: Authorization: Bearer TOKEN\n"
        return Answer(status, text, headers=headers | {"WWW-Authenticate": "Bearer"})
    return Answer(status, b"This page is not for this token.\n", headers=headers)


def _monitor(file: MonitorFile, request: Request) -> Answer:
    """Answer with a file of the monitor, or 304 if the browser has it already."""
    headers = {**headers_for(request.query), "ETag": file.tag, "Vary": "Accept, Accept-Encoding"}
    if file.is_known(request.headers.get("if-none-match", "")):
        return Answer(HTTPStatus.NOT_MODIFIED, b"", file.content_type, headers)
    if accepts_gzip(request.headers.get("accept-encoding", "")):
        return Answer(HTTPStatus.OK, file.packed, file.content_type, {**headers, "Content-Encoding": "gzip"})
    return Answer(HTTPStatus.OK, file.body, file.content_type, headers)
