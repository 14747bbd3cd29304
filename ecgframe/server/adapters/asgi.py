"""An ASGI application with all that a browser needs: the WebSocket, the monitor, the streams, health and metrics.

It is mounted in an application of FastAPI, Starlette, Litestar, Django or another ASGI framework::

    handler = WebSocketBinaryHandler()
    app = FastAPI(lifespan=lifespan(handler))
    app.mount("/ecg", application(handler, ["ecg/bed-7"]))

The monitor is then at ``/ecg/``. Run by itself, by any ASGI server, it closes its handler at the end.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ...libraries import library
from ..link import Request
from ..origins import Origins
from ..pages import Answer, Pages
from .address import address
from .starlette import accept

__all__ = ["application", "lifespan"]

if TYPE_CHECKING:
    from ..handler import WebSocketBinaryHandler
    from ..worker_metrics import WorkerMetrics

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
"""An application of ASGI 3."""


def application(
    handler: WebSocketBinaryHandler,
    streams: Sequence[str] = (),
    *,
    allow_origins: Collection[str] = (),
    metrics: WorkerMetrics | None = None,
    open_metrics: bool = False,
) -> Application:
    """Return an application with ``/ws``, the monitor at ``/``, ``/streams``, ``/healthz`` and ``/metrics``.

    The hooks of the handler decide who may watch what (``authenticate``, ``authorize``), which names of streams
    ``/streams`` lists (``visible_streams``), and who may read ``/metrics`` (``may_see_metrics``). Without
    ``authenticate``, all pages are open to everyone who reaches them: leave names of patients out of those of the
    streams, and see to ``/metrics`` in the proxy.

    Args:
        handler: the handler that serves the connections.
        streams: names of the streams that the monitor offers; read again for each request, so it may change.
        allow_origins: origins of web pages of other servers that may connect, such as
            ``https://monitor.example.org``; ``*`` allows any.
        metrics: those of all workers of this server, for ``/metrics``; see ``ecgframe.server.worker_metrics``.
        open_metrics: whether everybody may read ``/metrics``, also those whom ``authenticate`` refuses.

    Raises:
        MissingLibrary: Starlette is not installed.
    """
    websockets = library("starlette.websockets", extra="starlette", purpose="the application for ASGI")
    pages = Pages(handler, streams, Origins(allow_origins, host="0.0.0.0"), metrics=metrics, open_metrics=open_metrics)

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(handler, metrics, receive, send)
            return
        request, mount = _request_of(scope)
        is_websocket = scope["type"] == "websocket"
        if not is_websocket and request.path == "/" and not _full_path(scope).endswith("/"):
            await _redirect(scope, send)
        elif not is_websocket and scope["method"] not in ("GET", "HEAD"):
            await _send(send, Answer(HTTPStatus.METHOD_NOT_ALLOWED, b"", headers={"Allow": "GET, HEAD"}))
        else:
            answer = await pages.answer(request, mount, secure=scope.get("scheme") in ("https", "wss"))
            if is_websocket and answer is None:
                await accept(handler, websockets.WebSocket(scope, receive, send))
            elif is_websocket:
                await send({"type": "websocket.close", "code": 1008, "reason": "not here"})  # answered with 403
            else:
                await _send(send, answer or _UPGRADE, has_body=scope["method"] == "GET")

    return run


def lifespan(
    handler: WebSocketBinaryHandler, metrics: WorkerMetrics | None = None
) -> Callable[[object], AbstractAsyncContextManager[None]]:
    """Return the ``lifespan`` of an application, which opens the handler, and closes it when the server shuts down.

    Args:
        handler: the handler.
        metrics: those of all workers, as for ``application``; they are opened and closed with it.
    """

    @asynccontextmanager
    async def open_handler(_: object) -> AsyncGenerator[None]:
        async with handler, metrics or nullcontext():
            yield

    return open_handler


_UPGRADE = Answer(
    HTTPStatus.UPGRADE_REQUIRED, b"Here is a WebSocket.\n", headers={"Upgrade": "websocket", "Connection": "Upgrade"}
)


def _request_of(scope: Scope) -> tuple[Request, str]:
    """The request, with the part of its path below where the application is mounted, and that place."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    path, root = scope["path"], scope.get("root_path", "").rstrip("/")
    if root and (path == root or path.startswith(f"{root}/")):
        path = path[len(root) :]
    path = path.rstrip("/") or "/"  # Litestar appends a slash
    mount = _full_path(scope).rstrip("/").removesuffix(path.rstrip("/"))
    query, peer = scope.get("query_string", b"").decode("latin-1"), address(scope.get("client"))
    return Request(path=path, query=query, headers=headers, peer=peer), mount


def _full_path(scope: Scope) -> str:
    """The path that the client asked for, quoted; frameworks remove that of the application in different ways."""
    raw: bytes | None = scope.get("raw_path")
    return quote(scope["path"]) if raw is None else raw.partition(b"?")[0].decode("latin-1")


async def _live(handler: WebSocketBinaryHandler, metrics: WorkerMetrics | None, receive: Receive, send: Send) -> None:
    """Run by itself, the application owns the handler."""
    await receive()
    async with handler, metrics or nullcontext():
        await send({"type": "lifespan.startup.complete"})
        await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def _redirect(scope: Scope, send: Send) -> None:
    """Redirect to the same place with a slash, which the relative addresses of the monitor need."""
    query = scope.get("query_string", b"").decode("latin-1")
    place = f"{_full_path(scope)}/{f'?{query}' if query else ''}"
    await _send(send, Answer(HTTPStatus.TEMPORARY_REDIRECT, b"", headers={"Location": place}))


async def _send(send: Send, answer: Answer, *, has_body: bool = True) -> None:
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in answer.all_headers.items()]
    await send({"type": "http.response.start", "status": int(answer.status), "headers": headers})
    await send({"type": "http.response.body", "body": answer.body if has_body else b""})
