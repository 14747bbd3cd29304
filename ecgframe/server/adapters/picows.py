"""picows: the engine for fan-out. A WebSocket library in Cython that calls back and writes at once.

    async with WebSocketBinaryHandler() as handler, serve(handler, "0.0.0.0", 8000) as server:
        await server.serve_forever()

It speaks WebSocket and nothing else: no routes, no pages. It has no permessage-deflate to switch off.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from ...libraries import library
from ...protocol import CloseCode
from ..link import WRITE_LIMIT, Link, Request, keep_unsent_low
from ..subprotocols import HEADER, SUBPROTOCOLS, choose, offered
from . import listening
from .address import address
from .arrivals import Arrivals

if TYPE_CHECKING:
    import picows

    from ..handler import WebSocketBinaryHandler
else:
    picows = library("picows", extra="picows", purpose="serving with picows")

_BINARY: Final = picows.WSMsgType.BINARY
_TEXT: Final = picows.WSMsgType.TEXT
_CONTINUATION: Final = picows.WSMsgType.CONTINUATION
_PING: Final = picows.WSMsgType.PING
_CLOSE: Final = picows.WSMsgType.CLOSE

CLOSING_TIME: Final = 5.0
"""Seconds that a connection gets to end once nobody listens to it any more."""

NO_STATUS: Final = 1005
"""What RFC 6455 says for a close frame without a code."""

READ_BUFFER: Final = 4 * 1024
"""Bytes that each connection has for reading at first; the buffer grows with what comes."""


class PicowsLink(picows.WSListener, Link):
    """One connection that picows serves.

    Args:
        max_message: bytes of the largest message, in however many fragments.
        opened: called once the connection is open.
    """

    can_write = False  # until it is open; then whether the transport has room

    def __init__(self, max_message: int, opened: Callable[[PicowsLink], object]) -> None:
        self._max_message = max_message
        self._opened = opened
        self._transport: picows.WSTransport
        self._arrivals: Arrivals
        self._writable = asyncio.Event()
        self._fragments: bytearray | None = None
        self._fragments_are = _BINARY
        self._unanswered_ping: bytes | None = None

    # --- what the handler calls ---

    @property
    def close_code(self) -> int | None:
        """With which the connection was closed, by whoever began."""
        handshake = self._transport.close_handshake
        if handshake is None:
            return None
        begun = handshake.recv if handshake.recv_then_sent else handshake.sent
        return int(begun.code.value) or NO_STATUS if begun else None

    @property
    def is_closing(self) -> bool:
        """Whether the transport is going, after a write that failed, for one."""
        closing: bool = self._transport.underlying_transport.is_closing()
        return closing

    def write(self, message: bytes) -> None:
        """Hand a message to the transport."""
        self._transport.send(_BINARY, message)

    async def writable(self) -> None:
        """Wait for room, or for the end."""
        await self._writable.wait()

    async def send(self, message: bytes) -> None:
        """Send a message, waiting for room."""
        await self._writable.wait()
        if not self.can_write:
            raise ConnectionResetError("the connection is closed")
        self._transport.send(_BINARY, message)

    async def receive(self) -> bytes | str | None:
        """The next message, or None in the end."""
        return await self._arrivals.get()

    async def close(self, code: int, reason: str) -> None:
        """Say goodbye, and wait for the peer to do so."""
        self._arrivals.close(discard=True)
        self._say_goodbye(code, reason)
        await self._transport.wait_disconnected()

    def abort(self) -> None:
        """Drop the connection."""
        self._transport.disconnect(graceful=False)
        self._stop()

    # --- what picows calls ---

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        """The handshake is done: take over."""
        self._transport = transport
        below = transport.underlying_transport
        self.request = _request_of(transport.request, below.get_extra_info("peername"))
        below.set_write_buffer_limits(high=WRITE_LIMIT)
        keep_unsent_low(below.get_extra_info("socket"))
        self._arrivals = Arrivals(below.pause_reading, below.resume_reading)
        self._let_write()
        self._opened(self)

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        """One frame, which lives no longer than this call."""
        kind = frame.msg_type
        if kind == _BINARY and frame.fin and self._fragments is None:
            self._arrivals.put(frame.get_payload_as_bytes())
        elif kind == _PING:
            self._answer_ping(frame.get_payload_as_bytes())
        elif kind == _CLOSE:
            self._say_goodbye(int(frame.get_close_code().value) or CloseCode.NORMAL, "")
            transport.disconnect()
        elif kind in (_BINARY, _TEXT, _CONTINUATION):
            self._take_fragment(frame)

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        """The connection is gone."""
        self._stop()

    def pause_writing(self) -> None:
        """The transport is full."""
        self.can_write = False
        self._writable.clear()

    def resume_writing(self) -> None:
        """The transport has room again."""
        self._let_write()
        if self._unanswered_ping is not None and self.can_write:
            self._transport.send_pong(self._unanswered_ping)
            self._unanswered_ping = None

    # --- and how ---

    @property
    def _is_over(self) -> bool:
        return self._transport.is_close_frame_sent or self._transport.is_disconnected

    def _let_write(self) -> None:
        self.can_write = not self._is_over
        self._writable.set()

    def _answer_ping(self, payload: bytes) -> None:
        """Answer now, or later the latest of all: a peer that pings and does not read shall not fill our memory."""
        if self.can_write:
            self._transport.send_pong(payload)
        else:
            self._unanswered_ping = payload

    def _take_fragment(self, frame: picows.WSFrame) -> None:
        """Text, and binary messages in more than one frame. picows leaves it to its user to put them together."""
        if self._is_over:
            return None
        if (self._fragments is None) == (frame.msg_type == _CONTINUATION):
            return self._fail(CloseCode.PROTOCOL_ERROR, "a fragment out of order")
        if self._fragments is None:
            self._fragments, self._fragments_are = bytearray(), frame.msg_type
        if len(self._fragments) + frame.payload_size > self._max_message:
            return self._fail(CloseCode.TOO_LARGE, f"more than {self._max_message} bytes")
        self._fragments += frame.get_payload_as_memoryview()
        if frame.fin:
            message, self._fragments = bytes(self._fragments), None
            # what a text says does not matter, only that it is one: the handler refuses it
            self._arrivals.put(message if self._fragments_are == _BINARY else message.decode(errors="replace"))
        return None

    def _fail(self, code: CloseCode, reason: str) -> None:
        self._fragments = None
        self._say_goodbye(code, reason)
        self._transport.disconnect()

    def _say_goodbye(self, code: int, reason: str) -> None:
        """Our close frame: behind what was written, and the last that we write."""
        if not self._is_over:
            self._transport.send_close(picows.WSCloseCode(code), reason)
        self._stop()

    def _stop(self) -> None:
        self.can_write = False
        self._writable.set()
        self._arrivals.close()


@asynccontextmanager
async def serve(
    handler: WebSocketBinaryHandler,
    host: str | None = None,
    port: int | None = None,
    *,
    backlog: int = listening.BACKLOG,
    connection_id: Callable[[Request], str | None] | None = None,
    start_serving: bool = True,
    subprotocols: Sequence[str] = SUBPROTOCOLS,
    **options: Any,
) -> AsyncIterator[asyncio.Server]:
    """Serve a handler until the block is left; then its connections are closed with 1001.

    Args:
        handler: of every connection, whatever its path; it stays open.
        host: to listen on, all interfaces by default.
        port: to listen on, 0 for any that is free.
        backlog: connections that may wait to be accepted.
        connection_id: gives the id by which ``handler.send_message`` finds the connection that a request opens; without
            it, and where it gives None, one is made up.
        start_serving: whether to accept connections from the beginning.
        subprotocols: to choose from where a client offers some, the preferred one first; a client that offers none of
            them is served without one. See ``Request.bearer_token``.
        options: for ``picows.ws_create_server`` and asyncio's ``create_server``, such as ``ssl`` or ``sock``.

    Raises:
        OSError: the port is taken.
    """
    links: dict[PicowsLink, asyncio.Task[None]] = {}

    def listener(request: picows.WSUpgradeRequest) -> PicowsLink | picows.WSUpgradeResponseWithListener:
        _accept_firefox(request)
        link = PicowsLink(handler.max_message, opened)
        names = offered(", ".join(request.headers.getall(HEADER, ())))
        if (chosen := choose(names, subprotocols)) is None:
            return link
        return picows.WSUpgradeResponseWithListener(
            picows.WSUpgradeResponse.create_101_response({HEADER: chosen}), link
        )

    def opened(link: PicowsLink) -> None:
        links[link] = asyncio.create_task(_attend(handler, link, connection_id and connection_id(link.request)))
        links[link].add_done_callback(lambda _: links.pop(link))

    own: dict[str, Any] = {
        "max_frame_size": handler.max_message,
        "enable_auto_pong": False,
        "read_buffer_init_size": READ_BUFFER,
    }
    if options.get("ssl"):
        # aiofastnet 1.2 may keep what it has decrypted after reading was paused, until the peer sends something else.
        own["use_aiofastnet"] = False
    begins_later = {"backlog": listening.ACCEPTS, "start_serving": False}
    server = await picows.ws_create_server(listener, host, port, **(own | options | begins_later))
    try:
        await listening.begin_serving(server, backlog, start=start_serving)
        yield server
    finally:
        server.close()
        await asyncio.gather(*[_dismiss(link) for link in links], *links.values())
        await server.wait_closed()


async def _attend(handler: WebSocketBinaryHandler, link: PicowsLink, connection_id: str | None) -> None:
    await handler.handle(link, connection_id)
    await _end(link)


async def _dismiss(link: PicowsLink) -> None:
    await _end(link, CloseCode.GOING_AWAY, "the server is stopping")


async def _end(link: PicowsLink, code: CloseCode = CloseCode.NORMAL, reason: str = "") -> None:
    """See to it that the connection is gone: a peer that does not read would keep it for good."""
    try:
        async with asyncio.timeout(CLOSING_TIME):
            await link.close(code, reason)
    except TimeoutError:
        link.abort()


def _request_of(request: picows.WSUpgradeRequest, peername: Any) -> Request:
    path, _, query = request.path.decode("latin-1").partition("?")
    headers = {name.lower(): ", ".join(request.headers.getall(name)) for name in request.headers}
    return Request(path=path, query=query, headers=headers, peer=address(peername))


def _accept_firefox(request: picows.WSUpgradeRequest) -> None:
    """Firefox sends ``Connection: keep-alive, Upgrade``, which is right, and which picows does not take."""
    tokens = [token.strip().lower() for token in request.headers.get("Connection", "").split(",")]
    if "upgrade" in tokens:
        request.headers["Connection"] = "Upgrade"
