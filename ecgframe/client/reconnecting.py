"""The connection to one server, made anew when it breaks."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from websockets.asyncio.client import connect as open_websocket
from websockets.client import process_exception

from .._core import Clock
from ..protocol import HEADER_SIZES, LATEST_VERSION
from ..session import ClientSession, Counters, Settings
from .backoff import Backoff, given_up
from .connection import Connection
from .errors import ConnectionLost

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from websockets.asyncio.client import ClientConnection

    from .connection import OnEvent

log = logging.getLogger("ecgframe.client")


class State(StrEnum):
    """What has become of a client."""

    NEW = "new"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    CLOSED = "closed"


class ReconnectingConnection:
    """The task that holds one connection after the other. See ``connect`` for the arguments.

    Args:
        on_event: called with every event of every connection.
        options: of ``websockets.asyncio.client.connect``, ``reconnect_delays`` among them.
        lost: called when a connection is over.
        entered: called with each new state.

    Attributes:
        address: the URL as it may stand in a log.
        wall_clock_us: gives microseconds since 1970, each time more than the last.
        state: see ``State``.
        connections: how many have stood so far.
        connection: the one that is held; None between two.
        failure: what ended it, other than ``close``.
    """

    def __init__(
        self,
        url: str,
        settings: Settings,
        *,
        reconnect: bool,
        on_event: OnEvent,
        lost: Callable[[], None],
        entered: Callable[[State], None],
        options: dict[str, Any],
    ) -> None:
        if "compression" in options:
            raise TypeError("there is no option compression: frames are compressed already, see Settings.compression")
        self.address = _without_secrets(url)
        self.wall_clock_us = Clock().next
        self.state = State.NEW
        self.connections = 0
        self.connection: Connection | None = None
        self.failure: Exception | None = None
        self._url = url
        # Room beyond that at which a sender waits: for the message it then adds, and for the client's own.
        self._settings = replace(
            settings, queue_frames=2 * settings.queue_frames, queue_bytes=settings.queue_bytes + settings.max_payload
        )
        self._reconnect = reconnect
        self._on_event = on_event
        self._lost = lost
        self._entered = entered
        self._is_transient = options.pop("process_exception", process_exception)
        self._options: dict[str, Any] = {
            "ping_interval": None,
            "close_timeout": 5.0,
            "max_size": settings.max_payload + HEADER_SIZES[LATEST_VERSION] + settings.batch_bytes,
            **options,
        }
        self._counters = Counters()
        self._settled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._leaving = False

    @property
    def counters(self) -> Counters:
        """What has passed, over all connections."""
        total = Counters()
        total.add(self._counters)
        if self.connection:
            total.add(self.connection.session.counters)
        return total

    async def open(self) -> None:
        """Connect, and wait until both sides can talk."""
        if self._task:
            raise RuntimeError("a client is opened once; connect() makes another")
        self._enter(State.CONNECTING)
        self._task = asyncio.create_task(self._run(), name="ecgframe client")
        try:
            await self._settled.wait()
        except BaseException:
            await self._stop()
            raise
        self.check_open()

    def established(self) -> None:
        """Both sides can talk over the connection that is held."""
        if self.state is not State.CONNECTED:  # a server may negotiate after it was taken for an old one
            self.connections += 1
            self._enter(State.CONNECTED)

    async def ready(self, timeout: float, *, room: bool) -> Connection:
        """The connection, once there is one; one with room for another message, if ``room`` is asked for.

        Raises:
            TimeoutError: there is none for that long.
            ConnectionLost: there will be none.
        """
        try:
            async with asyncio.timeout(timeout):
                while True:
                    await self._settled.wait()
                    self.check_open()
                    if self.connection is None:
                        continue  # it went just now
                    if self.connection.has_room if room else not self.connection.session.closing:
                        return self.connection
                    await self.connection.progress()
        except TimeoutError:
            what = "room to send" if self._settled.is_set() else "connection"
            raise TimeoutError(f"no {what} within {timeout:g} s") from None

    def check_open(self) -> None:
        """Raise what ended it, if it is ended."""
        if self.state is State.CLOSED:
            raise self.failure or ConnectionLost("the client is closed")

    async def close(self) -> None:
        """End the connection, behind what waits to be sent, and the task."""
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
        """Wait until there is nothing more to come; raise what ended it, other than ``close``."""
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
        """Stay connected until there is a reason not to, which goes to whoever waits for something."""
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
        # An async generator, which is to be closed.
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
                log.info("%s is gone (%s%s); connecting again in %.1f s", self.address, closed, reason, pause)
                self._enter(State.RECONNECTING)
                await asyncio.sleep(pause)

    async def _converse(self, websocket: ClientConnection) -> Connection:
        """Talk over a connection until it is gone."""
        session = ClientSession(self._settings, self.wall_clock_us)
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
        """Whether an attempt to connect may be repeated: None if so, else what to raise."""
        if not self.connections:
            return error
        if self._is_transient(error) is None:
            return None
        return ConnectionLost(f"there is no connecting again: {error}")

    def _given_up(self, connection: Connection) -> ConnectionLost | None:
        code, reason = connection.ending
        if not (self._reconnect and self.connections):
            return ConnectionLost(reason, code=code, error=connection.said)
        return given_up(code, reason, connection.said)

    def _finish(self, failure: Exception | None) -> None:
        if self.state is not State.CLOSED:
            if failure:
                log.info("%s is given up: %s", self.address, failure)
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
