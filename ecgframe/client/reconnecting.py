"""Connections to one server, one after the other."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from websockets.asyncio.client import connect as open_websocket
from websockets.client import process_exception

from .._core import Clock
from ..foreign_text import gated_logger
from ..session import ClientSession, Counters, Settings
from .backoff import Backoff, given_up
from .connection import URGENT_RESERVE, Connection
from .errors import ConnectionLost

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from websockets.asyncio.client import ClientConnection

    from ..session import SealedStreams, StreamOf
    from .connection import OnEvent

log = gated_logger("ecgframe.client")


class State(StrEnum):
    """The state of a client."""

    NEW = "new"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    CLOSED = "closed"


class ReconnectingConnection:
    """The task that opens connections, one after the other. See ``connect`` for the other arguments.

    Args:
        on_event: called with each event of each connection.
        options: options of ``websockets.asyncio.client.connect``, and ``reconnect_delays``.
        lost: called when a connection ends.
        was_refused: returns whether a refused, numbered message was refused over an earlier connection as well.
        sealed: the keys of the application, and the positions of sealed streams.
        entered: called with each new state.

    Attributes:
        address: the URL without user, password and query, for logs.
        wall_clock_us: returns strictly increasing microseconds since 1970.
        state: see ``State``.
        connections: number of connections that got through the negotiation.
        connection: the current connection; None without one.
        failure: the error that ended the client; None if ``close`` did.
    """

    def __init__(
        self,
        url: str,
        settings: Settings,
        *,
        reconnect: bool,
        on_event: OnEvent,
        lost: Callable[[], None],
        was_refused: Callable[[StreamOf, int], bool],
        sealed: SealedStreams,
        entered: Callable[[State], None],
        options: dict[str, Any],
    ) -> None:
        if "compression" in options:
            raise TypeError("compression is not an option: payloads are compressed already, see Settings.compression")
        self.address = _without_secrets(url)
        self.wall_clock_us = Clock().next
        self.state = State.NEW
        self.connections = 0
        self.connection: Connection | None = None
        self.failure: Exception | None = None
        self._url = url
        # More than the limit at which senders wait: for the message then added, and for urgent and control messages.
        self._settings = replace(
            settings,
            queue_frames=2 * settings.queue_frames,
            queue_bytes=settings.queue_bytes + settings.max_payload + URGENT_RESERVE,
        )
        self._reconnect = reconnect
        self._on_event = on_event
        self._lost = lost
        self._was_refused = was_refused
        self._sealed = sealed
        self._entered = entered
        self._is_transient = options.pop("process_exception", process_exception)
        self._options: dict[str, Any] = {
            "ping_interval": None,
            "close_timeout": 5.0,
            "max_size": settings.max_payload + settings.header_size + settings.batch_bytes,
            **options,
        }
        self._counters = Counters()
        self._settled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._leaving = False

    @property
    def counters(self) -> Counters:
        """The counters of all connections together."""
        total = Counters()
        total.add(self._counters)
        if self.connection:
            total.add(self.connection.session.counters)
        return total

    async def open(self) -> None:
        """Connect, and wait until the negotiation is complete."""
        if self._task:
            raise RuntimeError("a client can be opened once; connect() creates another one")
        self._enter(State.CONNECTING)
        self._task = asyncio.create_task(self._run(), name="ecgframe client")
        try:
            await self._settled.wait()
        except BaseException:
            await self._stop()
            raise
        self.check_open()

    def established(self) -> None:
        """Note that the negotiation over the current connection is complete."""
        if self.state is not State.CONNECTED:  # not after a late negotiation with an assumed version
            self.connections += 1
            self._enter(State.CONNECTED)

    async def ready(self, timeout: float, is_ready: Callable[[Connection], bool]) -> Connection:
        """Wait for a connection for which ``is_ready`` is true.

        Raises:
            TimeoutError: there was none for ``timeout`` seconds.
            ConnectionLost: the client is closed, or does not reconnect any more.
        """
        try:
            async with asyncio.timeout(timeout):
                while True:
                    await self._settled.wait()
                    self.check_open()
                    if self.connection is None:
                        continue  # it was lost just now
                    if is_ready(self.connection):
                        return self.connection
                    await self.connection.progress()
        except TimeoutError:
            what = "space in the send queue" if self._settled.is_set() else "connection"
            raise TimeoutError(f"no {what} within {timeout:g} s") from None

    def check_open(self) -> None:
        """Raise the error that ended the client, if it is closed."""
        if self.state is State.CLOSED:
            raise self.failure or ConnectionLost("the client is closed")

    async def close(self) -> None:
        """Send what waits, close the connection, and end the task."""
        self._leaving = True
        if self._task is None:
            self._finish(None)
        elif self.connection is None:
            await self._stop()
        else:
            try:
                await self.connection.end()
                await asyncio.wait({self._task})
            finally:
                await self._stop()

    async def closed(self) -> None:
        """Wait until the client is closed; raise the error that ended it, if any."""
        if self._task is None and self.state is not State.CLOSED:
            raise RuntimeError("the client was never opened")
        if self._task:
            await asyncio.wait({self._task})
        if self.failure:
            raise self.failure

    async def _stop(self) -> None:
        assert self._task
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task})

    # --- the task ---

    async def _run(self) -> None:
        """Stay connected, and pass the error that ends this to all that wait."""
        failure: Exception | None = None
        try:
            await self._stay_connected()
        except Exception as error:
            failure = error
        finally:
            self._finish(failure)

    async def _stay_connected(self) -> None:
        backoff = Backoff(self._options["reconnect_delays"])
        connector = open_websocket(self._url, compression=None, process_exception=self._judge, **self._options)
        # Its iterator is an async generator, which has to be closed.
        websockets = cast("AsyncGenerator[ClientConnection]", aiter(connector))
        async with aclosing(websockets):
            async for websocket in websockets:
                connection = await self._converse(websocket)
                if self._leaving:
                    return
                code, reason = connection.ending
                if lost := self._given_up(connection):
                    raise lost
                pause = backoff.pause(connection.lasted, closed=code is not None)
                closed = "" if code is None else f"closed with {code}: "
                log.info(
                    "lost the connection to %s (%s%s); reconnecting in %.1f s", self.address, closed, reason, pause
                )
                self._enter(State.RECONNECTING)
                await asyncio.sleep(pause)

    async def _converse(self, websocket: ClientConnection) -> Connection:
        """Use a connection until it ends."""
        session = ClientSession(self._settings, self.wall_clock_us, was_refused=self._was_refused, sealed=self._sealed)
        connection = Connection(websocket, session, self._on_event, close_timeout=self._options["close_timeout"])
        self.connection = connection
        try:
            await connection.hold()
        finally:
            self.connection = None
            self._settled.clear()
            self._counters.add(session.counters)
            self._lost()
        return connection

    def _judge(self, error: Exception) -> Exception | None:
        """Return None if an attempt to connect may be repeated, else the error to raise."""
        if not self.connections:
            return error
        if self._is_transient(error) is None:
            return None
        return ConnectionLost(f"cannot reconnect: {error}")

    def _given_up(self, connection: Connection) -> ConnectionLost | None:
        code, reason = connection.ending
        if not (self._reconnect and self.connections):
            return ConnectionLost(reason, code=code, error=connection.said)
        return given_up(code, reason, connection.said)

    def _finish(self, failure: Exception | None) -> None:
        if self.state is not State.CLOSED:
            if failure:
                log.info("giving up %s: %s", self.address, failure)
            self.failure = failure
            self._enter(State.CLOSED)

    def _enter(self, state: State) -> None:
        self.state = state
        if state in (State.CONNECTED, State.CLOSED):
            self._settled.set()
        else:
            self._settled.clear()
        self._entered(state)


def _without_secrets(url: str) -> str:
    """The URL without user, password and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
