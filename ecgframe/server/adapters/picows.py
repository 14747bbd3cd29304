"""Adapter for picows, a WebSocket library in Cython: the fastest for many viewers.

    async with WebSocketBinaryHandler() as handler, serve(handler, "0.0.0.0", 8000) as server:
        await server.serve_forever()

picows serves WebSockets only: no routes and no pages. It does not support permessage-deflate.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from ...libraries import library
from ...protocol import CloseCode
from ..link import PLAIN_WRITE_LIMIT, READ_SIZE, WRITE_LIMIT, Link, Request, keep_unsent_low
from ..subprotocols import HEADER, SUBPROTOCOLS, choose, offered
from . import listening
from .address import address
from .arrivals import Arrivals

if TYPE_CHECKING:
    import picows

    from ..._core import Recipient
    from ..handler import WebSocketBinaryHandler
else:
    picows = library("picows", extra="picows", purpose="serving with picows")

_BINARY: Final = picows.WSMsgType.BINARY
_TEXT: Final = picows.WSMsgType.TEXT
_CONTINUATION: Final = picows.WSMsgType.CONTINUATION
_PING: Final = picows.WSMsgType.PING
_CLOSE: Final = picows.WSMsgType.CLOSE

CLOSING_TIME: Final = 5.0
"""Seconds that a connection has to close once the handler has finished with it."""

NO_STATUS: Final = 1005
"""The code by which RFC 6455 names a close frame without a code."""

READ_BUFFER: Final = 4 * 1024
"""Initial size of each connection's read buffer in bytes; it grows with the messages."""


class PicowsLink(picows.WSListener, Link):
    """One connection of picows.

    Args:
        max_message: bytes of the largest message, all fragments together.
        opened: called once the connection is open.
        sends_by_itself: whether picows sends frames that neither this link nor a received frame has caused.
    """

    can_write = False  # set by ``_set_can_write``

    def __init__(
        self, max_message: int, opened: Callable[[PicowsLink], object], *, sends_by_itself: bool = False
    ) -> None:
        self._max_message = max_message
        self._opened = opened
        self._sends_by_itself = sends_by_itself
        self._recipient: Recipient | None = None
        self._descriptor = -1
        self._transport: picows.WSTransport
        self._arrivals: Arrivals
        self._writable = asyncio.Event()
        self._fragments: bytearray | None = None
        self._fragments_are = _BINARY
        self._unanswered_ping: bytes | None = None

    # --- what the handler calls ---

    @property
    def close_code(self) -> int | None:
        """The code with which the connection was closed, from the first close frame; None without one."""
        handshake = self._transport.close_handshake
        if handshake is None:
            return None
        begun = handshake.recv if handshake.recv_then_sent else handshake.sent
        return int(begun.code.value) or NO_STATUS if begun else None

    @property
    def is_closing(self) -> bool:
        """True if the transport is closing, for example after a failed write."""
        closing: bool = self._transport.underlying_transport.is_closing()
        return closing

    def write(self, message: bytes) -> None:
        """Write a message to the transport."""
        self._transport.send(_BINARY, message)

    def share_descriptor(self, recipient: Recipient) -> None:
        """Keep the recipient's descriptor at that of the socket while it may be written to, unless it has TLS."""
        below = self._transport.underlying_transport
        if self._sends_by_itself or self._transport.is_secure or below.get_write_buffer_limits() != (0, 0):
            return
        self._recipient = recipient
        self._descriptor = below.get_extra_info("socket").fileno()
        self._set_can_write(self.can_write)

    def write_rest(self, rest: bytes) -> None:
        """Write the rest of a WebSocket frame to the transport."""
        self._transport.underlying_transport.write(rest)

    async def writable(self) -> None:
        """Wait until the transport has room, or the connection is closed."""
        await self._writable.wait()

    async def send(self, message: bytes) -> None:
        """Send a message; wait while the transport is full.

        Raises:
            ConnectionResetError: the connection is closed.
        """
        await self._writable.wait()
        while not self.can_write:
            if self._writable.is_set():
                raise ConnectionResetError("the connection is closed")
            await self._writable.wait()  # the answer to a ping has filled the transport again
        self._transport.send(_BINARY, message)

    async def receive(self) -> bytes | str | None:
        """Wait for the next message; None once the connection is closed."""
        return await self._arrivals.get()

    async def close(self, code: int, reason: str) -> None:
        """Send a close frame, and wait until the connection is closed."""
        self._arrivals.close(discard=True)
        self._send_close(code, reason)
        await self._transport.wait_disconnected()

    def abort(self) -> None:
        """Drop the connection."""
        self._transport.disconnect(graceful=False)
        self._stop()

    @property
    def ended_tls(self) -> bool:
        """True if the server was given an SSL context."""
        return self._transport.underlying_transport.get_extra_info("ssl_object") is not None

    # --- what picows calls ---

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        """Set up the connection after the handshake."""
        self._transport = transport
        below = transport.underlying_transport
        self.request = _request_of(transport.request, below.get_extra_info("peername"))
        keep_unsent_low(below.get_extra_info("socket"))
        below.set_protocol(_ReadingLittle(below.get_protocol(), self._note_close))
        self._arrivals = Arrivals(below.pause_reading, below.resume_reading)
        self._let_write()
        # Last, as this calls ``pause_writing`` if the transport holds bytes back.
        below.set_write_buffer_limits(high=WRITE_LIMIT if transport.is_secure else PLAIN_WRITE_LIMIT)
        self._opened(self)

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        """Take one WebSocket frame, whose memory is valid only during this call."""
        kind = frame.msg_type
        if kind == _BINARY and frame.fin and self._fragments is None:
            self._arrivals.put(frame.get_payload_as_bytes())
        elif kind == _PING:
            self._answer_ping(frame.get_payload_as_bytes())
        elif kind == _CLOSE:
            self._send_close(int(frame.get_close_code().value) or CloseCode.NORMAL, "")
            transport.disconnect()
        elif kind in (_BINARY, _TEXT, _CONTINUATION):
            self._take_fragment(frame)

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        """Stop: the connection is closed."""
        self._stop()

    def pause_writing(self) -> None:
        """Stop writing: the transport is full."""
        self._set_can_write(False)
        self._writable.clear()

    def resume_writing(self) -> None:
        """Resume writing: the transport has room again."""
        self._let_write()
        if self._unanswered_ping is not None and self.can_write:
            self._transport.send_pong(self._unanswered_ping)
            self._unanswered_ping = None

    # --- internals ---

    @property
    def _is_over(self) -> bool:
        return self._transport.is_close_frame_sent or self._transport.is_disconnected

    def _set_can_write(self, can_write: bool) -> None:
        self.can_write = can_write
        if self._recipient is not None:
            self._recipient.descriptor = self._descriptor if can_write else -1

    def _let_write(self) -> None:
        self._set_can_write(not self._is_over)
        self._writable.set()

    def _note_close(self) -> None:
        """Write nothing after a close frame that picows itself has sent, after a frame that it does not accept."""
        if self.can_write and self._transport.is_close_frame_sent:
            self._set_can_write(False)

    def _answer_ping(self, payload: bytes) -> None:
        """Answer at once, or while the transport is full, only the latest PING later, so that memory is bounded."""
        if self.can_write:
            self._transport.send_pong(payload)
        else:
            self._unanswered_ping = payload

    def _take_fragment(self, frame: picows.WSFrame) -> None:
        """Take a frame of a text message or of a fragmented message, and join the fragments: picows does not."""
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
            # The handler refuses every text message, so invalid UTF-8 in it does not matter.
            self._arrivals.put(message if self._fragments_are == _BINARY else message.decode(errors="replace"))
        return None

    def _fail(self, code: CloseCode, reason: str) -> None:
        self._fragments = None
        self._send_close(code, reason)
        self._transport.disconnect()

    def _send_close(self, code: int, reason: str) -> None:
        """Send a close frame after the messages that were written, unless one was sent, and stop."""
        if not self._is_over:
            self._transport.send_close(picows.WSCloseCode(code), reason)
        self._stop()

    def _stop(self) -> None:
        self._set_can_write(False)
        self._writable.set()
        self._arrivals.close()


class _ReadingLittle(asyncio.BufferedProtocol):
    """Passes everything to the protocol of picows, but lets the transport read at most ``READ_SIZE`` bytes at a time.

    picows offers its whole buffer to each read and doubles it when a read fills it, whatever the messages. So a peer
    that sends faster than it is read would grow the buffer to all bytes that the kernel holds for the connection.

    Args:
        protocol: the protocol of picows.
        taken: called after bytes were taken.
    """

    __slots__ = ("_protocol", "_taken")

    def __init__(self, protocol: Any, taken: Callable[[], object]) -> None:
        self._protocol = protocol
        self._taken = taken

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where to read to."""
        buffer: memoryview = self._protocol.get_buffer(sizehint)
        return buffer[:READ_SIZE]

    def buffer_updated(self, nbytes: int) -> None:
        """Take the bytes that were read."""
        self._protocol.buffer_updated(nbytes)
        self._taken()

    def pause_writing(self) -> None:
        """Note that the transport is full."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Note that the transport has room again."""
        self._protocol.resume_writing()

    def eof_received(self) -> bool | None:
        """Note that the peer sends no more."""
        closing: bool | None = self._protocol.eof_received()
        return closing

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection is gone."""
        self._protocol.connection_lost(exc)


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
    """Serve a handler until the block is left, then close its connections with 1001.

    Args:
        handler: handler that serves every connection, whatever its path. It is not closed with the server.
        host: name or address to listen on; all interfaces by default.
        port: port to listen on; 0 for any free one.
        backlog: connections that may wait to be accepted.
        connection_id: returns the id of the connection that a request opens, for ``handler.send_message``. Without it,
            and if it returns None, an id is generated.
        start_serving: whether to accept connections at once.
        subprotocols: accepted subprotocols, the preferred one first. A client that offers none of them is served
            without one. See ``Request.bearer_token``.
        options: for ``picows.ws_create_server`` and asyncio's ``create_server``, such as ``ssl`` or ``sock``.

    Raises:
        OSError: the port is in use.
    """
    links: dict[PicowsLink, asyncio.Task[None]] = {}

    def listener(request: picows.WSUpgradeRequest) -> PicowsLink | picows.WSUpgradeResponseWithListener:
        _accept_firefox(request)
        link = PicowsLink(handler.max_message, opened, sends_by_itself=bool(options.get("enable_auto_ping")))
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
        # aiofastnet 1.2 may hold back decrypted data after reading was paused, until the peer sends something else.
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
    """Close the connection, and drop it after ``CLOSING_TIME``: a peer that does not read would keep it open."""
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
    """Reduce Firefox's valid ``Connection: keep-alive, Upgrade`` to ``Upgrade``, the only value that picows accepts."""
    tokens = [token.strip().lower() for token in request.headers.get("Connection", "").split(",")]
    if "upgrade" in tokens:
        request.headers["Connection"] = "Upgrade"
