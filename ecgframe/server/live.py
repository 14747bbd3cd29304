"""A server on its own: a recording played as live streams at ``/ws``, with its pages beside it."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from ..libraries import library
from ..protocol import CloseCode
from .adapters.websockets import serve
from .backplane import Backplane, LocalBackplane
from .demo_alerts import DemoAlerts
from .detection import HeartDetection
from .handler import WebSocketBinaryHandler
from .hooks import OnError
from .limits import Limits
from .logs import logger
from .origins import Origins
from .pages import Pages
from .player import Loop, Player

if TYPE_CHECKING:
    from websockets.asyncio.server import Server, ServerConnection
else:
    ServerConnection = library("websockets", extra="server", purpose="serving").ServerConnection

STOPPING: Final = "the server is stopping"

LAST_SECONDS: Final = 1.0
"""For connections that are none of the handler's, once its own are closed."""


class CannotListen(OSError):
    """The address cannot be had. The message says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveServer:
    """What is played, where, and to how many.

    Attributes:
        loop: what is played.
        streams: names of the streams; where there are none, viewers only get what other servers play.
        frame_seconds: the length of a frame.
        speed: how many times as fast as it was recorded.
        alert_seconds: from one alert for demonstration to the next; 0 is none.
        detect: whether heartbeats are sought in what is played, and published with alerts on the same streams.
        host: to listen on.
        port: to listen on; 0 is any that is free.
        allowed_origins: of web pages that may connect, besides the server's own and this machine's.
        limits: of the handler.
        backplane: to other servers; good for one run.
        on_error: the handler's hook.
    """

    loop: Loop
    streams: tuple[str, ...]
    frame_seconds: Fraction = Fraction(1, 20)
    speed: float = 1.0
    alert_seconds: float = 0.0
    detect: bool = False
    host: str = "127.0.0.1"
    port: int = 0
    allowed_origins: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    backplane: Backplane = field(default_factory=LocalBackplane)
    on_error: OnError | None = None

    async def run(self, stop: asyncio.Event, ready: Callable[[int], object]) -> None:
        """Serve until ``stop`` is set; then all viewers get a close frame (1001).

        Args:
            stop: ends it.
            ready: called with the port once viewers can come.

        Raises:
            CannotListen: the port is taken, or the address is none of this machine's.
            RecordError: a frame would hold no sample.
            Exception: whatever ended the playing.
        """
        async with WebSocketBinaryHandler(
            limits=self.limits, backplane=self.backplane, on_error=self.on_error
        ) as handler:
            playing = self._playing(handler)
            connections: WeakSet[ServerConnection] = WeakSet()
            server = await self._listen(handler, connections)
            port = server.sockets[0].getsockname()[1]
            logger.info("listening at %s, port %d", self.host, port, extra={"host": self.host, "port": port})
            try:
                ready(port)
                await (_play_until(stop, playing) if self.streams else stop.wait())
            finally:
                logger.info("stopping, %d viewers are told", len(handler.connections()))
                server.close(close_connections=False)
                await handler.close(CloseCode.GOING_AWAY, STOPPING)
                await _end(server, connections)

    def _playing(self, handler: WebSocketBinaryHandler) -> list[Player | DemoAlerts]:
        """What is to run as long as the server does."""
        publish = HeartDetection(handler.publish, on_refused=_warn).publish if self.detect else handler.publish
        player = Player(self.loop, self.streams, publish, frame_seconds=self.frame_seconds, speed=self.speed)
        if self.alert_seconds <= 0:
            return [player]
        return [player, DemoAlerts(self.streams, handler.publish, seconds=self.alert_seconds)]

    async def _listen(self, handler: WebSocketBinaryHandler, connections: WeakSet[ServerConnection]) -> Server:
        def create_connection(*args: Any, **options: Any) -> ServerConnection:
            connection = ServerConnection(*args, **options)
            connections.add(connection)
            return connection

        pages = Pages(handler, self.streams, Origins(self.allowed_origins, host=self.host))
        try:
            return await serve(
                handler, self.host, self.port, process_request=pages, create_connection=create_connection
            )
        except OSError as error:
            raise CannotListen(_why_not(error, self.host, self.port)) from error


def _warn(stream: str, why: str) -> None:
    logger.warning("no heartbeats are sought in %s: %s", stream, why, extra={"stream": stream})


async def _end(server: Server, connections: Iterable[ServerConnection]) -> None:
    """Let pages that are being sent arrive, and drop who connected and never said what for."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LAST_SECONDS):
            await server.wait_closed()
    for connection in list(connections):
        connection.transport.abort()
    await server.wait_closed()


def _why_not(error: OSError, host: str, port: int) -> str:
    place = f"cannot listen at {host}, port {port}"
    if error.errno == errno.EADDRINUSE:
        return f"{place}: another program does; choose another port, or 0 for any that is free (--port)"
    # asyncio gives no number where it could bind none of several addresses
    if isinstance(error, socket.gaierror) or error.errno in (errno.EADDRNOTAVAIL, None):
        return f"{place}: that is no address of this machine; 127.0.0.1 is, and 0.0.0.0 is all of them (--host)"
    return f"{place}: {os.strerror(error.errno)}"


async def _play_until(stop: asyncio.Event, playing: Iterable[Player | DemoAlerts]) -> None:
    """Play; what fails ends it as well, since there would be nothing to see any more."""
    tasks = [asyncio.create_task(one.run()) for one in playing]
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (*tasks, stopping):
            task.cancel()
        await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()
