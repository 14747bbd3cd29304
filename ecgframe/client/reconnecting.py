"""Connections to one server, one after the other."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from websockets.asyncio.client import connect as open_websocket
from websockets.client import process_exception
from websockets.exceptions import InvalidStatus

from .._core import Clock
from ..foreign_text import gated_logger
from ..protocol import ErrorCode
from ..session import ClientSession, Counters, Settings
from .backoff import Backoff, given_up
from .connection import URGENT_RESERVE, Connection
from .errors import ConnectionLost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from websockets.asyncio.client import ClientConnection

    from ..errors import ProtocolError
    from ..session import SealedStreams, StreamEpoch
    from .access import Access
    from .connection import OnEvent

log = gated_logger("ecgframe.client")

OPEN_TIMEOUT: Final = 10.0
"""Seconds that opening a connection may take by default: its URL and credentials, and then the handshake."""

_UNAUTHORIZED: Final = 401
"""HTTP status of a server that refuses the credentials before the WebSocket is open."""


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
        access: the address and the credentials, asked for before each attempt.
        on_event: called with each event of each connection.
        options: options of ``websockets.asyncio.client.connect``, and ``reconnect_delays``.
        lost: called when a connection ends.
        was_refused: returns whether a refused, numbered message was refused over an earlier connection as well.
        sealed: the keys of the application, and the positions of sealed streams.
        entered: called with each new state.

    Attributes:
        wall_clock_us: returns strictly increasing microseconds since 1970.
        state: see ``State``.
        connections: number of connections that got through the negotiation.
        connection: the current connection; None without one.
        failure: the error that ended the client; None if ``close`` did.
    """

    def __init__(
        self,
        access: Access,
        settings: Settings,
        *,
        reconnect: bool,
        on_event: OnEvent,
        lost: Callable[[], None],
        was_refused: Callable[[StreamEpoch, int], bool],
        sealed: SealedStreams,
        entered: Callable[[State], None],
        options: dict[str, Any],
    ) -> None:
        if "compression" in options:
            raise TypeError("compression is not an option: payloads are compressed already, see Settings.compression")
        self.wall_clock_us = Clock().next
        self.state = State.NEW
        self.connections = 0
        self.connection: Connection | None = None
        self.failure: Exception | None = None
        self._access = access
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
            "open_timeout": OPEN_TIMEOUT,
            "close_timeout": 5.0,
            "max_size": settings.max_payload + settings.header_size + settings.batch_bytes,
            **options,
        }
        self._delays: Callable[[], Iterator[float]] = self._options.pop("reconnect_delays")
        self._has_asked_again = False
        self._counters = Counters()
        self._settled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._leaving = False

    @property
    def address(self) -> str:
        """The URL without user, password and query, for logs."""
        return self._access.address

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
        self._has_asked_again = False
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
        backoff = Backoff(self._delays)
        while True:
            async with await self._open() as websocket:
                connection = await self._converse(websocket)
            if self._leaving:
                return
            code, reason = connection.ending
            if lost := self._given_up(connection):
                raise lost
            pause = backoff.pause(connection.lasted, closed=code is not None)
            closed = "" if code is None else f"closed with {code}: "
            log.info("lost the connection to %s (%s%s); reconnecting in %.1f s", self.address, closed, reason, pause)
            self._enter(State.RECONNECTING if self.connections else State.CONNECTING)
            await asyncio.sleep(pause)

    async def _open(self) -> ClientConnection:
        """Open a WebSocket, in several attempts if that failed for a reason that may pass.

        Raises:
            Exception: further attempts are useless.
        """
        delays, pause = self._delays(), 0.0
        while True:
            try:
                url, headers = await self._access.ask(self._options["open_timeout"])
            except Exception as error:
                if not self.connections:
                    raise
                problem = f"no URL or credentials: {error!r}"
            else:
                try:
                    return await open_websocket(url, compression=None, additional_headers=headers, **self._options)
                except Exception as error:
                    if failure := self._judge(error):
                        raise failure from error
                    problem = str(error)
            pause = next(delays, pause)
            log.info("cannot connect to %s (%s); trying again in %.1f s", self.address, problem, pause)
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
        if isinstance(error, InvalidStatus) and error.response.status_code == _UNAUTHORIZED and self._may_ask_again():
            return None
        if not self.connections:
            return error
        if self._is_transient(error) is None:
            return None
        return ConnectionLost(f"cannot reconnect: {error}")

    def _given_up(self, connection: Connection) -> ConnectionLost | None:
        code, reason = connection.ending
        if _is_unauthenticated(connection.said) and self._reconnect and self._may_ask_again():
            return None
        if not (self._reconnect and self.connections):
            return ConnectionLost(reason, code=code, error=connection.said)
        return given_up(code, reason, connection.said)

    def _may_ask_again(self) -> bool:
        """Return True once after refused credentials, if the next attempt may have others."""
        if not self._access.is_asked or self._has_asked_again:
            return False
        self._has_asked_again = True
        return True

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


def _is_unauthenticated(said: ProtocolError | None) -> bool:
    return said is not None and said.code is ErrorCode.AUTHENTICATION_FAILED
