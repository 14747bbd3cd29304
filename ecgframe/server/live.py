"""A complete server: a recording played as live streams at ``/ws``, and pages over HTTP."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from ssl import SSLContext
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from ..codec import Message
from ..libraries import library
from ..protocol import SESSION_VERSIONS, CloseCode, MessageType
from ..session import RateLimit, Settings
from ..signing import SigningKey
from .adapters.websockets import serve
from .alarm_file import AlarmFile
from .alarms import Alarms
from .annotation_alerts import Annotations
from .backplane import Backplane, LocalBackplane
from .client_streams import ClientStreams
from .connection_info import ConnectionInfo
from .demo_alerts import DemoAlerts
from .disk_history import DiskHistory
from .forwarding import Proxies
from .handler import WebSocketBinaryHandler
from .hooks import Action, OnError
from .key_file import KeyFile
from .limits import Limits
from .logs import logger
from .origins import Origins
from .pages import Pages
from .player import Loop, Player
from .sealing import Sealing
from .token_file import TokenFile

if TYPE_CHECKING:
    from websockets.asyncio.server import Server, ServerConnection

    from .detection import HeartDetection
    from .player import Publish
    from .vitals import DemoVitals, Vitals
    from .worker_metrics import WorkerMetrics
else:
    ServerConnection = library("websockets", extra="server", purpose="serving").ServerConnection

STOPPING: Final = "the server is stopping"

ALARM_TYPES: Final = (MessageType.ANOMALY_ALERT, MessageType.FEATURE_DATA)
"""Types of the messages with which pages acknowledge alarms and set limits."""

LAST_SECONDS: Final = 1.0
"""Seconds that HTTP connections have to end, once the WebSocket connections are closed."""


class CannotListen(OSError):
    """The server cannot listen at the address. The message says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveServer:
    """Configuration of a server that plays a recording.

    Attributes:
        loop: the recording.
        streams: names of the streams to play; without any, viewers get only the streams of other servers.
        also: further recordings, each with the name of the stream on which it is played.
        frame_seconds: length of a frame.
        speed: how many times faster than recorded to play.
        alert_seconds: seconds from one demonstration alert to the next; 0 for none.
        annotations: annotations of the recording to publish as alerts; None for none.
        vitals: numbers to publish beside the signals, once a second, for demonstration; None for none.
        detect: whether to detect heartbeats in all streams, those of clients included, and publish them with alerts.
        publish: whether clients may publish on streams that are not the server's own.
        host: address to listen on.
        port: port to listen on; 0 for any free one.
        ssl: TLS context, for ``wss://`` and ``https://``; None to serve without TLS.
        allowed_origins: origins of web pages that may connect, besides this server's and this machine's.
        limits: limits of the handler.
        backplane: joins this server with others; usable for one run.
        versions: protocol versions to speak; without 4 if the backplane does not number messages.
        key_file: keys of the streams to seal; None to seal none.
        keys_without_tls: whether keys are handed out without TLS of this server.
        signer: signs alerts and predictions; None to sign nothing.
        alarm_file: keeps who has acknowledged which alarm, and the limits of the beds; None to take neither.
        disk_history: keeps the messages on disk, and is closed at the end; None to keep none.
        on_error: hook of the handler.
        proxies: proxies that are trusted to say from where peers come; None for none.
        token_file: who may connect, watch and publish; None to let everybody.
        open_metrics: whether everybody may read the metrics, also without a token of the file.
        plays: the streams that this process plays, if others that share its port play the rest; None for all.
        sockets: bound sockets to listen on instead of ``host`` and ``port``; see ``bind``.
        shown: the list of streams, if others add to it; None to make one.
        metrics: directory in which the processes that share the port add up their metrics; None for one process.
    """

    loop: Loop
    streams: tuple[str, ...]
    also: tuple[tuple[str, Loop], ...] = ()
    frame_seconds: Fraction = Fraction(1, 20)
    speed: float = 1.0
    alert_seconds: float = 0.0
    annotations: Annotations | None = None
    vitals: Vitals | None = None
    detect: bool = False
    publish: bool = False
    host: str = "127.0.0.1"
    port: int = 0
    ssl: SSLContext | None = None
    allowed_origins: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    backplane: Backplane = field(default_factory=LocalBackplane)
    versions: tuple[int, ...] = SESSION_VERSIONS
    key_file: KeyFile | None = None
    keys_without_tls: bool = False
    signer: SigningKey | None = None
    alarm_file: AlarmFile | None = None
    disk_history: DiskHistory | None = None
    on_error: OnError | None = None
    proxies: Proxies | None = None
    token_file: TokenFile | None = None
    open_metrics: bool = False
    plays: frozenset[str] | None = None
    sockets: tuple[socket.socket, ...] = ()
    shown: ClientStreams | None = None
    metrics: Path | None = None

    @property
    def played(self) -> tuple[str, ...]:
        """Names of all streams that are played, by this process or others that share its port."""
        return (*self.streams, *(stream for stream, _ in self.also))

    async def run(self, stop: asyncio.Event, ready: Callable[[int], object]) -> None:
        """Serve until ``stop`` is set, then close all connections with 1001.

        Args:
            stop: stops the server when it is set.
            ready: called with the port once the server accepts connections.

        Raises:
            CannotListen: the port is in use, or the address is not one of this machine.
            RecordError: a frame would have no sample.
            Exception: the error that ended the playback.
        """
        shown = ClientStreams(self.played) if self.shown is None else self.shown
        alarms = self._alarms(shown)
        detection = _detection(alarms.publish) if self.detect else None

        async def on_message(connection: ConnectionInfo, message: Message) -> None:
            await alarms.on_message(connection, message)
            if self.publish and detection is not None:
                await detection.on_message(connection, message)

        handler = WebSocketBinaryHandler(
            settings=Settings(versions=self.versions, rate_limit=RateLimit(), keys_without_tls=self.keys_without_tls),
            sealing=None if self.key_file is None else Sealing(keyring=self.key_file),
            signer=self.signer,
            takes_sealed=self.versions[-1] >= 4 and (self.publish or not isinstance(self.backplane, LocalBackplane)),
            limits=self.limits,
            backplane=self.backplane,
            on_error=self.on_error,
            proxies=self.proxies,
            disk_history=self.disk_history,
            **self._who_may(alarms),
            on_message=on_message,
        )
        async with self.disk_history or nullcontext(), handler, _added_up(handler, self.metrics) as metrics:
            alarms.attach(handler)
            playing = self._playing(alarms, alarms.publish if detection is None else detection.publish)
            connections: WeakSet[ServerConnection] = WeakSet()
            server = await self._listen(handler, shown, connections, metrics)
            port = server.sockets[0].getsockname()[1]
            logger.info("listening at %s, port %d", self.host, port, extra={"host": self.host, "port": port})
            following = [] if self.key_file is None else [asyncio.create_task(self.key_file.follow())]
            if self.token_file is not None:
                following.append(asyncio.create_task(self.token_file.follow(handler)))
            try:
                ready(port)
                await (_play_until(stop, playing) if playing else stop.wait())
            finally:
                for task in following:
                    task.cancel()
                logger.info("stopping, closing %d connections", len(handler.connections()))
                server.close(close_connections=False)
                await handler.close(CloseCode.GOING_AWAY, STOPPING)
                await alarms.close()
                await _end(server, connections)

    def _alarms(self, shown: ClientStreams) -> Alarms:
        async def who_watches(connection: ConnectionInfo, stream: str) -> bool:
            return self.token_file is None or await self.token_file.authorize(connection, "subscribe", stream)

        authorize = shown.authorize if self.publish else None
        if self.token_file is not None:
            self.token_file.also = authorize or _only_subscribe
            authorize = self.token_file.authorize
        return Alarms(
            authorize=authorize,
            may_acknowledge=None if self.alarm_file is None else who_watches,
            hides=self._is_sealed,  # their alerts would travel in plain
            file=self.alarm_file,
        )

    def _is_sealed(self, stream: str) -> bool:
        return self.key_file is not None and any(key.stream == stream for key in self.key_file)

    def _may_publish(self, connection: ConnectionInfo, message_type: MessageType) -> bool:
        """Return whether a client may send messages of a type, judged by its header."""
        if self.alarm_file is not None and message_type in ALARM_TYPES:
            return True
        return self.publish and (self.token_file is None or self.token_file.may_publish(connection, message_type))

    def _who_may(self, alarms: Alarms) -> dict[str, Any]:
        """The hooks of the handler that decide who may do what."""
        if self.token_file is None:
            return {"authorize": alarms.authorize, "may_publish": self._may_publish}
        return {
            "authenticate": self.token_file.authenticate,
            "authorize": alarms.authorize,
            "may_publish": self._may_publish,
            "may_see_watchers": self.token_file.may_see_watchers,
            "visible_streams": self.token_file.visible_streams,
            "may_see_metrics": self.token_file.may_see_metrics,
        }

    def _playing(self, alarms: Alarms, publish: Publish) -> list[Player | DemoAlerts | DemoVitals]:
        """The players that run while the server does."""
        own = frozenset(self.played) if self.plays is None else self.plays
        parts: list[tuple[Loop, tuple[str, ...], Annotations | None]] = [
            (loop, (one,), None) for one, loop in self.also if one in own
        ]
        streams = tuple(stream for stream in self.streams if stream in own)
        if streams:
            parts.insert(0, (self.loop, self.streams, self.annotations))  # each at its place among all
        playing: list[Player | DemoAlerts | DemoVitals] = [
            Player(
                loop,
                streams,
                publish,
                frame_seconds=self.frame_seconds,
                speed=self.speed,
                annotations=annotations,
                only=own,
            )
            for loop, streams, annotations in parts
        ]
        if self.alert_seconds > 0 and streams:
            playing.append(DemoAlerts(streams, alarms.publish, seconds=self.alert_seconds))
        if self.vitals is not None and streams:
            from .vitals import DemoVitals  # noqa: PLC0415 - finds heartbeats

            playing.append(DemoVitals(streams, alarms.publish, self.vitals))
        return playing

    async def _listen(
        self,
        handler: WebSocketBinaryHandler,
        shown: ClientStreams,
        connections: WeakSet[ServerConnection],
        metrics: WorkerMetrics | None,
    ) -> Server:
        def create_connection(*args: Any, **options: Any) -> ServerConnection:
            connection = ServerConnection(*args, **options)
            connections.add(connection)
            return connection

        origins = Origins(self.allowed_origins, host=self.host)
        pages = Pages(
            handler,
            shown,
            origins,
            secure=self.ssl is not None,
            metrics=metrics,
            open_metrics=self.open_metrics,
        )
        host, port = (None, None) if self.sockets else (self.host, self.port)
        try:
            return await serve(
                handler,
                host,
                port,
                sockets=self.sockets,
                ssl=self.ssl,
                process_request=pages,
                create_connection=create_connection,
            )
        except OSError as error:
            raise CannotListen(_why_not(error, self.host, self.port)) from error


async def bind(host: str, port: int) -> tuple[socket.socket, ...]:
    """Return bound sockets for processes that share a port. They refuse connections until one of these listens.

    Args:
        host: name or address to listen on.
        port: port to listen on; 0 for any free one.

    Raises:
        CannotListen: the port is in use, or the address is not one of this machine.
    """
    loop = asyncio.get_running_loop()
    try:
        server = await loop.create_server(asyncio.Protocol, host, port, start_serving=False)
    except OSError as error:
        raise CannotListen(_why_not(error, host, port)) from error
    sockets = tuple(sock.dup() for sock in server.sockets)
    server.close()
    return sockets


def _added_up(
    handler: WebSocketBinaryHandler, directory: Path | None
) -> AbstractAsyncContextManager[WorkerMetrics | None]:
    """The metrics of all processes that use the directory; None without one, and without prometheus-client."""
    if directory is None or find_spec("prometheus_client") is None:
        return nullcontext()
    from .worker_metrics import WorkerMetrics  # noqa: PLC0415 - only with several processes

    return WorkerMetrics(handler, directory)


async def _only_subscribe(_: ConnectionInfo, action: Action, __: str | None) -> bool:
    return action == "subscribe"


def _detection(publish: Publish) -> HeartDetection:
    from .detection import HeartDetection  # noqa: PLC0415 - only where heartbeats are detected

    return HeartDetection(publish, on_refused=_warn)


def _warn(stream: str, why: str) -> None:
    logger.warning("no heartbeats are detected in %s: %s", stream, why, extra={"stream": stream})


async def _end(server: Server, connections: Iterable[ServerConnection]) -> None:
    """Finish HTTP responses that are being sent, then drop connections that are still open."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LAST_SECONDS):
            await server.wait_closed()
    for connection in list(connections):
        if hasattr(connection, "transport"):  # it has none before its TLS handshake is complete
            connection.transport.abort()
    if hasattr(server.server, "abort_clients"):  # drops incomplete handshakes; before Python 3.13 they run into a limit
        server.server.abort_clients()
    await server.wait_closed()


def _why_not(error: OSError, host: str, port: int) -> str:
    place = f"cannot listen at {host}, port {port}"
    if error.errno == errno.EADDRINUSE:
        return f"{place}: another program does; choose another port, or 0 for any that is free (--port)"
    # asyncio sets no errno if it could bind none of several addresses
    if isinstance(error, socket.gaierror) or error.errno in (errno.EADDRNOTAVAIL, None):
        return f"{place}: that is no address of this machine; 127.0.0.1 is, and 0.0.0.0 is all of them (--host)"
    return f"{place}: {os.strerror(error.errno)}"


async def _play_until(stop: asyncio.Event, playing: Iterable[Player | DemoAlerts | DemoVitals]) -> None:
    """Run the players until ``stop`` is set or one of them fails, and raise its error."""
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
