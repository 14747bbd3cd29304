"""A server listened to: a client of its own that shows every message of both sides as it passes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from .._core import Clock
from ..libraries import library
from ..protocol import HEADER_SIZES, LATEST_VERSION
from ..session import ClientSession, Negotiated, Received, Settings
from .observation import Delivery, Observation, Origin, Remark

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection
    from websockets.asyncio.client import connect as open_websocket
    from websockets.exceptions import ConnectionClosed
else:
    library("websockets", extra="client", purpose="connecting")
    from websockets.asyncio.client import connect as open_websocket
    from websockets.exceptions import ConnectionClosed

PATIENCE: Final = 60.0
"""Seconds until it looks after the session although nothing came."""


async def listen(
    url: str, streams: Sequence[str], headers: Sequence[tuple[str, str]] = ()
) -> AsyncGenerator[Observation]:
    """Connect, subscribe, and give every message of either side until the connection is over.

    Args:
        url: of the server, ``ws://`` or ``wss://``.
        streams: to subscribe to, once both sides have negotiated.
        headers: for the opening request.

    Raises:
        OSError, websockets.exceptions.WebSocketException: the connection could not be made.
    """
    settings = Settings()
    room = settings.max_payload + HEADER_SIZES[LATEST_VERSION] + settings.batch_bytes
    async with open_websocket(
        url, compression=None, ping_interval=None, max_size=room, additional_headers=list(headers)
    ) as websocket:
        conversation = _Conversation(websocket, settings, streams)
        async for observation in conversation.observations():
            yield observation


class _Conversation:
    def __init__(self, websocket: ClientConnection, settings: Settings, streams: Sequence[str]) -> None:
        self._websocket = websocket
        self._session = ClientSession(settings, Clock().next)
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
        """What the session wants to say."""
        while (octets := self._session.next_message(self._now())) is not None:
            yield octets

    async def _next(self) -> bytes | str | None:
        """The next message; None when the session is to be looked after."""
        now = self._now()
        deadline = self._session.deadline()
        try:
            async with asyncio.timeout(PATIENCE if deadline is None else max(deadline - now, 0)):
                return await self._websocket.recv()
        except TimeoutError:
            for event in self._session.tick(self._now()):
                self._heed(event)
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
            self._heed(event)
        return delivery

    def _heed(self, event: object) -> None:
        if isinstance(event, Negotiated):
            for stream in self._streams:
                self._session.subscribe(stream)
        elif isinstance(event, Received):
            self._session.acknowledge(event.message)

    def _origin(self, *, from_server: bool) -> Origin:
        return Origin(time.time(), self._client, self._server, from_server)


def address(socket_address: tuple[object, ...] | str | None) -> str:
    """The address of a socket as one text."""
    if not isinstance(socket_address, tuple):
        return str(socket_address or "?")
    host, port = socket_address[:2]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
