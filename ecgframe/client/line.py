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
from ..session import ClientSession, Settings, Tally
from .conversation import Conversation
from .errors import ConnectionLost
from .reconnection import Patience, given_up

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from websockets.asyncio.client import ClientConnection

    from .conversation import Heed

log = logging.getLogger("ecgframe.client")


class State(StrEnum):
    """What has become of a client."""

    NEW = "new"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    CLOSED = "closed"


class Line:
    """The task that holds one conversation after the other. See ``connect`` for the arguments.

    Args:
        heed: called with every event of every conversation.
        options: of ``websockets.asyncio.client.connect``, ``reconnect_delays`` among them.
        lost: called when a conversation is over.
        entered: called with each new state.

    Attributes:
        place: the URL as it may stand in a log.
        wall: gives microseconds since 1970, each time more than the last.
        state: see ``State``.
        connections: how many have stood so far.
        conversation: the one that is held; None between two.
        failure: what ended it, other than ``close``.
    """

    def __init__(
        self,
        url: str,
        settings: Settings,
        *,
        reconnect: bool,
        heed: Heed,
        lost: Callable[[], None],
        entered: Callable[[State], None],
        options: dict[str, Any],
    ) -> None:
        if "compression" in options:
            raise TypeError("there is no option compression: frames are compressed already, see Settings.compression")
        self.place = _without_secrets(url)
        self.wall = Clock().next
        self.state = State.NEW
        self.connections = 0
        self.conversation: Conversation | None = None
        self.failure: Exception | None = None
        self._url = url
        # Room beyond that at which a sender waits: for the message it then adds, and for the client's own.
        self._settings = replace(
            settings, queue_frames=2 * settings.queue_frames, queue_bytes=settings.queue_bytes + settings.max_payload
        )
        self._reconnect = reconnect
        self._heed = heed
        self._lost = lost
        self._entered = entered
        self._is_transient = options.pop("process_exception", process_exception)
        self._options: dict[str, Any] = {
            "ping_interval": None,
            "close_timeout": 5.0,
            "max_size": settings.max_payload + HEADER_SIZES[LATEST_VERSION] + settings.batch_bytes,
            **options,
        }
        self._tally = Tally()
        self._settled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._leaving = False

    @property
    def tally(self) -> Tally:
        """What has passed, over all connections."""
        total = Tally()
        total.add(self._tally)
        if self.conversation:
            total.add(self.conversation.session.tally)
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
        """Both sides can talk over the conversation that is held."""
        if self.state is not State.CONNECTED:  # a server may negotiate after it was taken for an old one
            self.connections += 1
            self._enter(State.CONNECTED)

    async def ready(self, timeout: float, *, room: bool) -> Conversation:
        """The conversation, once there is one; one with room for another message, if ``room`` is asked for.

        Raises:
            TimeoutError: there is none for that long.
            ConnectionLost: there will be none.
        """
        try:
            async with asyncio.timeout(timeout):
                while True:
                    await self._settled.wait()
                    self.check_open()
                    if self.conversation is None:
                        continue  # it went just now
                    if self.conversation.has_room if room else not self.conversation.session.closing:
                        return self.conversation
                    await self.conversation.progress()
        except TimeoutError:
            what = "room to send" if self._settled.is_set() else "connection"
            raise TimeoutError(f"no {what} within {timeout:g} s") from None

    def check_open(self) -> None:
        """Raise what ended it, if it is ended."""
        if self.state is State.CLOSED:
            raise self.failure or ConnectionLost("the client is closed")

    async def close(self) -> None:
        """End the conversation, behind what waits to be sent, and the task."""
        self._leaving = True
        if self._task is None:
            self._finish(None)
        elif self.conversation is None:
            await self._stop()
        else:
            try:
                await self.conversation.end()
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
        patience = Patience(self._options["reconnect_delays"])
        connector = open_websocket(self._url, compression=None, process_exception=self._judge, **self._options)
        # An async generator, which is to be closed.
        websockets = cast("AsyncGenerator[ClientConnection]", aiter(connector))
        async with aclosing(websockets):
            async for websocket in websockets:
                conversation = await self._converse(websocket)
                if self._leaving:
                    return
                code, reason = conversation.ending
                if lost := self._given_up(conversation):
                    raise lost
                pause = patience.pause(conversation.lasted, closed=code is not None)
                closed = "" if code is None else f"closed with {code}: "
                log.info("%s is gone (%s%s); connecting again in %.1f s", self.place, closed, reason, pause)
                self._enter(State.RECONNECTING)
                await asyncio.sleep(pause)

    async def _converse(self, websocket: ClientConnection) -> Conversation:
        """Talk over a connection until it is gone."""
        session = ClientSession(self._settings, self.wall)
        conversation = Conversation(websocket, session, self._heed, close_timeout=self._options["close_timeout"])
        self.conversation = conversation
        try:
            await conversation.hold()
        finally:
            self.conversation = None
            self._settled.clear()
            self._tally.add(session.tally)
            self._lost()
        return conversation

    def _judge(self, error: Exception) -> Exception | None:
        """Whether an attempt to connect may be repeated: None if so, else what to raise."""
        if not self.connections:
            return error
        if self._is_transient(error) is None:
            return None
        return ConnectionLost(f"there is no connecting again: {error}")

    def _given_up(self, conversation: Conversation) -> ConnectionLost | None:
        code, reason = conversation.ending
        if not (self._reconnect and self.connections):
            return ConnectionLost(reason, code=code, error=conversation.said)
        return given_up(code, reason, conversation.said)

    def _finish(self, failure: Exception | None) -> None:
        if self.state is not State.CLOSED:
            if failure:
                log.info("%s is given up: %s", self.place, failure)
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
