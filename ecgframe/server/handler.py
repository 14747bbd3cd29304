"""WebSocketBinaryHandler: the server side of the protocol, over any WebSocket server."""

from __future__ import annotations

import asyncio
import uuid
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from .._core.with_entry import WithEntry
from ..background.lanes import Lanes
from ..background.threads import ENCODED_AT_ONCE, in_thread
from ..errors import MessageTooLarge
from ..protocol import DATA_TYPES, HEADER_SIZES, LATEST_VERSION, CloseCode, Flag, MessageType
from ..session import Encoding, Outgoing, RateLimit, Settings, encode_outgoing, prepare_outgoing
from .backplane import LocalBackplane
from .connection import Connection, Shared
from .connection_info import ConnectionInfo
from .encodings import Encodings
from .fan_out import FanOut
from .hooks import Authenticate, Authorize, Hooks, OnError, OnMessage, OnUndelivered
from .limits import Limits
from .logs import logger
from .open_files import LimitWatch
from .pace import Pace
from .peer_requests import Requests
from .portions import Portions
from .publication import CANONICAL, Publication
from .stats import ServerStats
from .streams import Streams
from .timestamps import Timestamps

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..codec import Message
    from .backplane import Backplane
    from .link import Link

EVERYONE: Final = ""
"""The backplane's stream of what is for all connections. No viewer can ask for a stream without a name."""

MAX_BURST: Final = 0.005
"""Seconds for which callers may publish without pause until the loop is given a turn for other tasks."""


class UnknownConnection(KeyError):
    """No open connection has that id."""

    def __str__(self) -> str:
        return str(self.args[0])


class WebSocketBinaryHandler:
    """Talks the protocol with all peers of a server: sends to one, to all, and to those that watch a stream.

    It knows nothing of sockets: the adapters in ``ecgframe.server.adapters`` bring connections to it. All its methods
    are to be called from the event loop in which it serves. It can be used as an async context manager.

    Args:
        settings: of each conversation; by default, a peer may send 1,000 frames and 8 MiB a second.
        limits: on connections, streams and memory.
        backplane: joins this server with others; by default it is alone.
        authenticate: says who may connect; without it, all may. See ``hooks``.
        authorize: says who may subscribe, publish and broadcast; without it, all may subscribe and nobody the others.
        on_message: takes the data messages of peers. Those of one peer come one after the other.
        on_undelivered: is told of messages that a peer was to acknowledge and did not.
        on_error: is told of each error that a peer is answered; ``ecgframe.tools.error_log`` keeps them.
        clock: gives microseconds since 1970, for timestamps; the system's clock by default. A backplane that has a
            clock of its own, as Redis has, goes before it.
    """

    def __init__(
        self,
        *,
        settings: Settings | None = None,
        limits: Limits | None = None,
        backplane: Backplane | None = None,
        authenticate: Authenticate | None = None,
        authorize: Authorize | None = None,
        on_message: OnMessage | None = None,
        on_undelivered: OnUndelivered | None = None,
        on_error: OnError | None = None,
        clock: Callable[[], int] | None = None,
    ) -> None:
        self.settings = settings or Settings(rate_limit=RateLimit())
        self.limits = limits or Limits()
        self._backplane: Backplane = backplane or LocalBackplane()
        self._timestamps = Timestamps(clock, self._backplane)
        self._wall_clock_us = self._timestamps.next
        self._stats = ServerStats()
        encodings = Encodings(self._stats.note_other_encoding)
        portions, note_sent = Portions(), self._stats.note_sent
        self._streams = Streams(self.limits, self._backplane, self._wall_clock_us, encodings, portions, note_sent)
        self._fan_out = FanOut(encodings, portions, Publication.outgoing, Publication.keep, note_sent)
        self._lanes = Lanes()
        self._at_once = min(self.settings.max_payload, ENCODED_AT_ONCE)
        hooks = Hooks(
            seconds=self.limits.hook_seconds,
            authenticate=authenticate,
            authorize=authorize,
            on_message=on_message,
            on_undelivered=on_undelivered,
            on_error=on_error,
        )
        requests = Requests(hooks, self.limits, self._streams, self.publish, self._pass_to_others)
        self._shared = Shared(
            settings=self.settings,
            limits=self.limits,
            wall_clock_us=self._wall_clock_us,
            hooks=hooks,
            stats=self._stats,
            pace=Pace(),
            serve=requests.serve,
        )
        self._connections: dict[str, Connection] = {}
        self._senders: dict[bytes, Connection] = {}  # by the headers of their frames
        self._opening: asyncio.Task[None] | None = None
        self._is_open = False
        self._is_closed = False
        self._deserted = asyncio.Event()
        self._breathed_at = 0.0
        self._files = LimitWatch()

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    # --- for applications ---

    async def send_message(
        self, connection_id: str, message_type: MessageType, data: Any, flags: Flag | int = 0
    ) -> int:
        """Send a message to one connection. Returns once it is queued.

        Args:
            connection_id: as in ``connections()``.
            message_type: of the message.
            data: its payload.
            flags: PRIORITY, BROADCAST and ACK_REQUIRED; those that the peer does not understand are left out.

        Returns:
            Its timestamp, in microseconds since 1970, which names it in ``on_undelivered``.

        Raises:
            UnknownConnection: there is no such connection, or it is gone.
            TypeError, OverflowError, ValueError, ProtocolError: the message has no form on the wire, as
                ``Codec.encode`` says.
        """
        connection = self._connections.get(connection_id)
        if connection is None or not connection.is_open:
            raise UnknownConnection(f"no open connection has the id {connection_id!r}")
        type = _type(message_type)
        outgoing = self._encode_at_once(connection, connection.session.encoding, type, data, flags)
        if outgoing is None:
            return await self._send_large(connection, type, data, flags)
        now = connection.now()
        self._stats.note_sent(outgoing, 1, connection.writer.take(outgoing, now))
        if now >= self._breathed_at + MAX_BURST:
            await self._breathe(now)
        return outgoing.timestamp

    async def publish(self, stream: str, message_type: MessageType, data: Any, flags: Flag | int = 0) -> int:
        """Send a message to all that watch a stream, on all servers, and keep it a while for those that come back.

        It is encoded once for each encoding in use. A map without a "stream" gets the stream's name under that key.
        An ANOMALY_ALERT is sent with PRIORITY. The data may be changed once this has returned: what is large is encoded
        in a thread. What is published on the stream after it waits for it, unless it is urgent and this is not.

        Args:
            stream: its name; at most ``Limits.stream_name`` characters.
            message_type: one of the four data types.
            data: its payload.
            flags: PRIORITY and ACK_REQUIRED; each viewer gets those that it understands.

        Returns:
            Its timestamp, in microseconds since 1970.

        Raises:
            TooManyStreams: the stream is new, and there are as many as ``Limits.streams`` allows.
            RuntimeError: the handler is closed.
            TypeError, OverflowError, ValueError, ProtocolError: the message has no form on the wire, as
                ``Codec.encode`` says; or the stream no proper name.
        """
        started = perf_counter()
        if not 0 < len(stream) <= self.limits.stream_name:
            raise ValueError(f"a stream's name has 1 to {self.limits.stream_name} characters, not {len(stream)}")
        lacks_name = isinstance(data, dict) and "stream" not in data
        is_large = lacks_name and len(data) > ENCODED_AT_ONCE
        if is_large:
            data = WithEntry(data, "stream", stream)  # copying it would take long, too
        elif lacks_name:
            data = {**data, "stream": stream}
        await self._open()
        with self._streams.hold(stream) as entry:
            await self._streams.join(entry)
            outgoing = None if is_large else self._encode(stream, message_type, data, flags)
            if outgoing is None:
                timestamp = await self._publish_large(stream, message_type, data, flags)
            else:
                timestamp = await self._backplane.publish(stream, outgoing.timestamp, outgoing.frame)
        self._stats.publish_seconds.observe(perf_counter() - started)
        await self._breathe(self._now())
        return timestamp

    async def broadcast(self, message_type: MessageType, data: Any, flags: Flag | int = 0) -> int:
        """Send a message to all connections of all servers, with BROADCAST where that is understood.

        Nothing is kept: a connection that is away misses it. Arguments, result and errors are those of ``publish``.
        """
        return await self._broadcast(message_type, data, flags, sender=None)

    def connections(self) -> list[ConnectionInfo]:
        """The open connections of this server."""
        return [connection.info for connection in self._connections.values() if connection.is_open]

    def stats(self) -> dict[str, Any]:
        """Numbers for an operator, since the handler was made, as plain values."""
        return {
            **self._stats.stats([connection.session for connection in self._connections.values()]),
            "streams": self._streams.stats(),
            "backplane": self._backplane.stats(),
            "clock": {"steps": self._timestamps.steps, "ahead_seconds": self._timestamps.ahead},
        }

    async def close(self, code: CloseCode = CloseCode.GOING_AWAY, reason: str = "the server goes away") -> None:
        """End: every peer gets what is urgent and a close frame; who does not answer in time is dropped.

        It takes little more than ``Limits.close_seconds`` at most. Calling it again does nothing.
        """
        self._is_closed = True
        for connection in list(self._connections.values()):
            connection.end(code, reason)
        if not await self._wait_all_closed(self.limits.close_seconds + MAX_BURST):
            for connection in list(self._connections.values()):
                connection.abort()
            await self._wait_all_closed(self.limits.close_seconds)
        if self._is_open:
            self._is_open = False
            self._files.stop()
            self._streams.close()
            await self._backplane.close()

    # --- for adapters ---

    @property
    def max_message(self) -> int:
        """Bytes of the largest WebSocket message that is to be taken: a limit for the WebSocket library."""
        return HEADER_SIZES[LATEST_VERSION] + max(self.settings.max_payload, self.settings.batch_bytes)

    async def handle(self, link: Link, connection_id: str | None = None) -> None:
        """Serve one connection until it is over. Raises for nothing that a peer does.

        A connection too many, and one while the handler closes, is closed with 1013; one whose id is that of another
        connection with 1008.

        Args:
            link: to the peer; it is closed in the end.
            connection_id: under which ``send_message`` finds it; made up where None.
        """
        if not self._is_closed:
            await self._open()
        id = uuid.uuid4().hex if connection_id is None else connection_id
        if refusal := self._refusal(id):
            await self._refuse(link, id, *refusal)
            return
        connection = self._connections[id] = Connection(id, link, self._shared)
        self._stats.accepted += 1
        try:
            await connection.run()
        finally:
            del self._connections[id]
            self._stats.counters.add(connection.session.counters)
            self._stats.closed[str(connection.close_code)] += 1
            if not self._connections:
                self._deserted.set()

    def _refusal(self, id: str) -> tuple[CloseCode, str] | None:
        if self._is_closed:
            return CloseCode.TRY_LATER, "the server goes away"
        if len(self._connections) >= self.limits.connections:
            return CloseCode.TRY_LATER, "too many connections"
        if id in self._connections:
            return CloseCode.POLICY, "another connection has this id"
        return None

    async def _refuse(self, link: Link, id: str, code: CloseCode, reason: str) -> None:
        self._stats.refused += 1
        peer = link.request.peer
        fields = {"connection": id, "peer": peer, "code": int(code)}
        logger.warning("a connection from %s is refused: %s", peer, reason, extra=fields)
        try:
            async with asyncio.timeout(self.limits.close_seconds):
                await link.close(code, reason)
        except Exception:
            logger.debug("it was gone before it was told", extra=fields)
        finally:
            link.abort()

    # --- opening and closing ---

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def _open(self) -> None:
        if self._is_open:
            return
        if self._is_closed:
            raise RuntimeError("this handler is closed; make another one")
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open_backplane())
        await asyncio.shield(self._opening)

    async def _open_backplane(self) -> None:
        await self._backplane.open(self._deliver)
        await self._backplane.join(EVERYONE, self._wall_clock_us())
        self._files.start()
        self._is_open = True

    async def _wait_all_closed(self, seconds: float) -> bool:
        """Wait until there is no connection any more; tell whether that came true."""
        self._deserted.clear()
        try:
            async with asyncio.timeout(seconds):
                while self._connections:
                    await self._deserted.wait()
        except TimeoutError:
            return False
        return True

    # --- publishing ---

    async def _pass_to_others(self, message: Message, sender: Connection) -> int:
        return await self._broadcast(message.type, message.data, message.flags & Flag.PRIORITY, sender=sender)

    async def _broadcast(
        self, message_type: MessageType, data: Any, flags: Flag | int, *, sender: Connection | None
    ) -> int:
        started = perf_counter()
        await self._open()
        flags |= Flag.BROADCAST
        outgoing = self._encode(EVERYONE, message_type, data, flags)
        if outgoing is None:
            timestamp = await self._publish_large(EVERYONE, message_type, data, flags, sender=sender)
        else:
            timestamp = await self._publish_to_all(outgoing, sender)
        self._stats.publish_seconds.observe(perf_counter() - started)
        await self._breathe(self._now())
        return timestamp

    async def _publish_to_all(self, outgoing: Outgoing, sender: Connection | None) -> int:
        key = _header_of(outgoing.frame)
        if sender is not None:
            self._senders[key] = sender
        try:
            return await self._backplane.publish(EVERYONE, outgoing.timestamp, outgoing.frame)
        finally:
            self._senders.pop(key, None)

    def _encode(self, stream: str, message_type: MessageType | int, data: Any, flags: Flag | int) -> Outgoing | None:
        """The message as it is published now; None where it is large, or has to wait for one that is."""
        type, flags = _for_many(message_type, flags)
        outgoing = self._encode_at_once(stream, CANONICAL, type, data, flags)
        if outgoing is not None and outgoing.deflated:
            self._stats.note_encoded(outgoing, data)
        return outgoing

    def _encode_at_once(
        self, to: str | Connection, encoding: Encoding, type: MessageType, data: Any, flags: Flag | int
    ) -> Outgoing | None:
        if self._lanes.taken and _lane(to, type, flags) in self._lanes.taken:
            return None
        try:
            return encode_outgoing(
                encoding,
                type,
                data,
                timestamp=self._wall_clock_us(),
                settings=self.settings,
                flags=flags,
                max_payload=self._at_once,
            )
        except MessageTooLarge:
            if self._at_once == self.settings.max_payload:
                raise
            return None

    # --- large messages, which a thread encodes ---

    async def _publish_large(
        self,
        stream: str,
        message_type: MessageType | int,
        data: Any,
        flags: Flag | int,
        *,
        sender: Connection | None = None,
    ) -> int:
        """Publish what may be large once all before it on the stream is published; what comes after it waits for it.

        But nothing urgent waits for what is not.
        """
        type, flags = _for_many(message_type, flags)
        async with self._lanes.turn(_lane(stream, type, flags)):
            prepared = await in_thread(prepare_outgoing, CANONICAL, type, data, settings=self.settings, flags=flags)
            await self._open()
            # Now, not before: what other streams published meanwhile has its timestamps already.
            outgoing = prepared.seal(self._wall_clock_us())
            self._stats.note_prepared(prepared)
            if stream == EVERYONE:
                return await self._publish_to_all(outgoing, sender)
            return await self._backplane.publish(stream, outgoing.timestamp, outgoing.frame)

    async def _send_large(self, connection: Connection, type: MessageType, data: Any, flags: Flag | int) -> int:
        """The same to one connection."""
        async with self._lanes.turn(_lane(connection, type, flags)):
            while True:
                encoding = connection.session.encoding
                prepared = await in_thread(prepare_outgoing, encoding, type, data, settings=self.settings, flags=flags)
                if not connection.is_open:
                    raise UnknownConnection(f"the connection {connection.id!r} has gone meanwhile")
                if connection.session.encoding is encoding:  # else both sides have agreed on another one meanwhile
                    break
            outgoing = prepared.seal(self._wall_clock_us())
            self._fan_out.write(outgoing, [connection.writer], connection.now())
            return outgoing.timestamp

    def _deliver(self, stream: str, timestamp: int, frame: bytes) -> None:
        """A message arrived from the backplane: from this server, or from another one."""
        try:
            publication = Publication(stream or None, timestamp, frame, self.settings)
        except ValueError as error:
            logger.error("the backplane delivered a damaged frame: %s", type(error).__name__, extra={"stream": stream})
            return
        now = self._now()
        self._timestamps.watch(now)
        if stream == EVERYONE:
            self._deliver_to_all(publication, self._senders.get(_header_of(frame)), now)
        elif entry := self._streams.get(stream):
            entry.deliver(publication, now)
        self._stats.encoded += publication.encodings

    def _deliver_to_all(self, publication: Publication, sender: Connection | None, now: float) -> None:
        viewers = [
            connection.writer
            for connection in self._connections.values()
            if connection.is_open and connection is not sender
        ]
        self._fan_out.send(publication, viewers, now)

    async def _breathe(self, now: float) -> None:
        """Give other tasks a turn now and then: a caller that publishes in a tight loop would leave them none."""
        if now >= self._breathed_at + MAX_BURST:
            self._breathed_at = now  # before the pause, in which others would take one as well
            await asyncio.sleep(0)


def _for_many(number: MessageType | int, flags: Flag | int) -> tuple[MessageType, Flag | int]:
    type = _type(number)
    if type not in DATA_TYPES:
        raise ValueError(f"{type.name} is part of the conversation itself; data messages can be sent to many")
    if type is MessageType.ANOMALY_ALERT:
        flags |= Flag.PRIORITY
    return type, flags


def _lane(to: str | Connection, type: MessageType, flags: Flag | int) -> tuple[object, bool]:
    """Messages to one stream or connection go in order; those that are urgent among themselves, as everywhere."""
    return to, bool(flags & Flag.PRIORITY) or type is MessageType.ANOMALY_ALERT


def _header_of(frame: bytes) -> bytes:
    """What names a frame: to hash a large one takes long."""
    return frame[: HEADER_SIZES[LATEST_VERSION]]


def _type(number: MessageType | int) -> MessageType:
    return number if type(number) is MessageType else MessageType(number)
