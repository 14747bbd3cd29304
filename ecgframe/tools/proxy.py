"""A proxy between clients and a server that reports every message and simulates a bad network."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit, urlunsplit

from ..libraries import library
from . import ToolError
from .connecting import reason_of
from .faults import Faults, FaultyDirection
from .http_pages import fetch_page
from .key_blanking import blank_all_keys
from .listening import address
from .observation import Delivery, Observation, Origin, Remark

if TYPE_CHECKING:
    from ssl import SSLContext

    from websockets.asyncio.client import ClientConnection
    from websockets.asyncio.client import connect as open_websocket
    from websockets.asyncio.server import Server, ServerConnection
    from websockets.asyncio.server import serve as serve_websockets
    from websockets.exceptions import ConnectionClosed, WebSocketException
    from websockets.http11 import Request, Response
    from websockets.typing import Subprotocol
else:
    library("websockets", extra="tools", purpose="a proxy")
    from websockets.asyncio.client import connect as open_websocket
    from websockets.asyncio.server import serve as serve_websockets
    from websockets.exceptions import ConnectionClosed, WebSocketException

LARGEST_MESSAGE: Final = 64 * 1024 * 1024
"""Largest message that is relayed, in bytes."""

WAITING: Final = 64
"""Messages of one direction that may be delayed at a time; beyond that, the sender has to wait."""

PASSED_ON: Final = ("Authorization", "Cookie", "Origin", "User-Agent")
"""Headers of the client's request that are relayed to the target."""

UNREACHABLE: Final = 1013
NO_CODE, LOST, NO_TLS = 1005, 1006, 1015
"""Close codes that may not be sent."""

See = Callable[[Observation], object]


class Proxy:
    """Relays WebSocket messages between clients and a target server.

    Args:
        target: URL of the server, ``ws://`` or ``wss://``; without a path, that of the client's request is used.
        see: called with every message as it is delivered, and with remarks on faults and closed connections.
        faults: the faults to simulate.
        trusted: TLS context for the target, as ``connecting.trust`` returns it.
    """

    def __init__(self, target: str, see: See, faults: Faults | None = None, trusted: SSLContext | None = None) -> None:
        self._target = target
        self._see = see
        self._faults = faults or Faults()
        self._trusted = trusted if urlsplit(target).scheme == "wss" else None
        self._options: dict[str, Any] = {} if self._trusted is None else {"ssl": self._trusted}

    async def listen(self, host: str, port: int) -> Server:
        """Accept connections until the returned server is closed.

        Raises:
            ToolError: the address cannot be listened on.
        """
        try:
            return await serve_websockets(
                self._relay,
                host,
                port,
                compression=None,
                ping_interval=None,
                max_size=LARGEST_MESSAGE,
                process_request=self._pages,
                select_subprotocol=_first,
                server_header=None,
            )
        except OSError as error:
            raise ToolError(f"cannot listen at {host}, port {port}: {error.strerror or error}") from error

    async def _pages(self, client: ServerConnection, request: Request) -> Response | None:
        """Relay plain HTTP requests: for the monitor and the list of streams. They are not reported."""
        if "websocket" in request.headers.get("Upgrade", "").lower():
            return None
        return await asyncio.to_thread(fetch_page, client, self._target, request, self._trusted)

    async def _relay(self, client: ServerConnection) -> None:
        url = _url(self._target, client)
        try:
            async with open_websocket(
                url,
                compression=None,
                ping_interval=None,
                max_size=LARGEST_MESSAGE,
                subprotocols=_offered(client) or None,
                additional_headers=_headers(client),
                user_agent_header=None,
                proxy=None,
                **self._options,
            ) as server:
                await self._converse(client, server)
        except (OSError, WebSocketException, TimeoutError) as error:
            self._see(Remark(f"{url} cannot be reached: {_reason(error)}", Origin(time.time()), is_fault=True))
            await client.close(UNREACHABLE, "the target cannot be reached")

    async def _converse(self, client: ServerConnection, server: ClientConnection) -> None:
        ends = address(client.remote_address), address(server.remote_address)
        ways = (
            _Way(client, server, ends, False, self._faults, self._see),
            _Way(server, client, ends, True, self._faults, self._see),
        )
        async with asyncio.TaskGroup() as tasks:
            for way in ways:
                tasks.create_task(way.run())


class _Way:
    """One direction of one connection."""

    def __init__(
        self,
        source: ClientConnection | ServerConnection,
        target: ClientConnection | ServerConnection,
        ends: tuple[str, str],
        from_server: bool,
        faults: Faults,
        see: See,
    ) -> None:
        self._source = source
        self._target = target
        self._ends = ends
        self._from_server = from_server
        self._faults = FaultyDirection(faults, int(from_server))
        self._see = see
        self._on_the_way: asyncio.Queue[tuple[float, bytes, bool] | None] = asyncio.Queue(WAITING)
        self._now = asyncio.get_running_loop().time

    async def run(self) -> None:
        """Relay until the source closes; then close the target."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._take())
            tasks.create_task(self._deliver())

    async def _take(self) -> None:
        try:
            async for message in self._source:
                is_text = isinstance(message, str)
                octets = message.encode() if isinstance(message, str) else message
                outcome = self._faults.send(octets, self._now())
                if outcome.fault:
                    self._see(Remark(f"{len(octets):,} bytes: {outcome.fault}", self._origin(), is_fault=True))
                if outcome.data is not None:
                    await self._on_the_way.put((outcome.due, outcome.data, is_text))
        except ConnectionClosed:
            pass
        await self._on_the_way.put(None)

    async def _deliver(self) -> None:
        try:
            while (item := await self._on_the_way.get()) is not None:
                due, octets, is_text = item
                await asyncio.sleep(max(due - self._now(), 0))
                await self._target.send(octets.decode("utf-8", "replace") if is_text else octets)
                self._see(Delivery(octets if is_text else blank_all_keys(octets), self._origin(), is_text=is_text))
        except ConnectionClosed:
            while await self._on_the_way.get() is not None:  # so that the other task is never stuck
                pass
            return
        await self._close()

    async def _close(self) -> None:
        code, reason = self._source.close_code, self._source.close_reason or ""
        if self._target.close_code is None:
            self._see(Remark(f"closes: {code} {reason}".rstrip(), self._origin()))
        if code in (LOST, NO_TLS):
            self._target.transport.abort()
        else:
            await self._target.close(1000 if code in (None, NO_CODE) else code, reason)

    def _origin(self) -> Origin:
        return Origin(time.time(), *self._ends, self._from_server)


def _reason(error: Exception) -> str:
    return reason_of(error) if isinstance(error, OSError) else str(error)


def _first(connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return offered[0] if offered else None


def _offered(client: ServerConnection) -> list[Subprotocol]:
    """Return all subprotocols that the client offers. One of them may be its token for the target."""
    if client.request is None:
        return []
    lines = client.request.headers.get_all("Sec-WebSocket-Protocol")
    return [cast("Subprotocol", name) for line in lines for part in line.split(",") if (name := part.strip())]


def _url(target: str, client: ServerConnection) -> str:
    """Return the URL of the target; without a path, with the path and query of the client's request."""
    parts = urlsplit(target)
    if parts.path not in ("", "/") or client.request is None:
        return target
    asked = urlsplit(client.request.path)
    return urlunsplit((parts.scheme, parts.netloc, asked.path, asked.query, ""))


def _headers(client: ServerConnection) -> list[tuple[str, str]]:
    if client.request is None:
        return []
    headers = client.request.headers
    return [(name, value) for name in PASSED_ON for value in headers.get_all(name)]
