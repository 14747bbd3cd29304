"""A client that yields every message that it sends and receives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from .._core import Clock
from ..libraries import library
from ..protocol import HEADER_SIZES, SESSION_VERSIONS
from ..session import ClientSession, Negotiated, Received, SealedStreams, Settings
from ..session.sealed_streams import can_open
from .connecting import open_websocket
from .observation import Delivery, Observation, Origin, Remark

if TYPE_CHECKING:
    from ssl import SSLContext

    from websockets.asyncio.client import ClientConnection
    from websockets.exceptions import ConnectionClosed

    from ..seal import Keyring
else:
    library("websockets", extra="client", purpose="connecting")
    from websockets.exceptions import ConnectionClosed

PATIENCE: Final = 60.0
"""Longest time, in seconds, to wait for a message before the session is ticked."""


async def listen(
    url: str,
    streams: Sequence[str],
    headers: Sequence[tuple[str, str]] = (),
    trusted: SSLContext | None = None,
    versions: tuple[int, ...] = SESSION_VERSIONS,
    *,
    keyring: Keyring | None = None,
    signatures: bool = False,
) -> AsyncGenerator[Observation]:
    """Connect, subscribe, and yield every message of either side until the connection ends.

    Args:
        url: URL of the server, ``ws://`` or ``wss://``.
        streams: names of streams to subscribe to after the negotiation.
        headers: HTTP headers of the opening request.
        trusted: TLS context, as ``connecting.trust`` returns it.
        versions: protocol versions to speak.
        keyring: keys of sealed streams. The server is asked for none: sealed frames are yielded as they come.
        signatures: whether to ask for signed messages.

    Raises:
        OSError, websockets.exceptions.WebSocketException: the connection could not be opened.
    """
    settings = Settings(versions=versions)
    if can_open():
        settings = settings.with_encryption
    if signatures:
        settings = settings.with_signing
    room = settings.max_payload + max(HEADER_SIZES.values()) + settings.batch_bytes
    async with open_websocket(url, headers=headers, max_size=room, trusted=trusted) as connection:
        conversation = _Conversation(connection, settings, streams, keyring)
        async for observation in conversation.observations():
            yield observation


class _Conversation:
    def __init__(
        self, websocket: ClientConnection, settings: Settings, streams: Sequence[str], keyring: Keyring | None
    ) -> None:
        self._websocket = websocket
        sealed = SealedStreams(keyring)
        for stream in streams:
            sealed.begin(stream)
        self._session = ClientSession(settings, Clock().next, sealed=sealed)
        self._streams = streams
        self._client = address(websocket.local_address)
        self._server = address(websocket.remote_address)
        self._now = asyncio.get_running_loop().time

    async def observations(self) -> AsyncIterator[Observation]:
        session = self._session
        session.start(self._now())
        try:
            while not session.closing:
                for octets in self._waiting():
                    await self._websocket.send(octets)
                    yield Delivery(octets, self._origin(from_server=False))
                message = await self._next()
                if message is not None:
                    yield self._take(message)
        except ConnectionClosed:
            pass
        else:
            assert session.closing is not None
            await self._websocket.close(session.closing.code, session.closing.reason)
        code, reason = self._websocket.close_code, self._websocket.close_reason
        ended = f"closed: {code} {reason or ''}".rstrip() if code else "the connection broke"
        yield Remark(ended, self._origin(from_server=True), is_fault=code not in (1000, 1001))

    def _waiting(self) -> Iterator[bytes]:
        """Yield the messages that the session has to send."""
        while (octets := self._session.next_message(self._now())) is not None:
            yield octets

    async def _next(self) -> bytes | str | None:
        """Return the next message; None if the session was ticked instead."""
        now = self._now()
        deadline = self._session.deadline()
        try:
            async with asyncio.timeout(PATIENCE if deadline is None else max(deadline - now, 0)):
                return await self._websocket.recv()
        except TimeoutError:
            for event in self._session.tick(self._now()):
                self._handle(event)
            return None

    def _take(self, message: bytes | str) -> Delivery:
        origin, now = self._origin(from_server=True), self._now()
        if isinstance(message, str):
            delivery = Delivery(message.encode(), origin, is_text=True)
            events = self._session.receive_text(now)
        else:
            delivery = Delivery(message, origin)
            events = self._session.receive(message, now)
        for event in events:
            self._handle(event)
        return delivery

    def _handle(self, event: object) -> None:
        if isinstance(event, Negotiated):
            for stream in self._streams:
                self._session.subscribe(stream, wants_keys=False)
        elif isinstance(event, Received):
            self._session.acknowledge(event.message)

    def _origin(self, *, from_server: bool) -> Origin:
        return Origin(time.time(), self._client, self._server, from_server)


def address(socket_address: tuple[object, ...] | str | None) -> str:
    """Format the address of a socket as ``host:port``."""
    if not isinstance(socket_address, tuple):
        return str(socket_address or "?")
    host, port = socket_address[:2]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
