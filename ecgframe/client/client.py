"""A viewer or a sender: one server, any number of connections to it, one after the other."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from websockets.client import backoff

from ..protocol import DATA_TYPES, MAX_STREAM_NAME, Capability, Flag, MessageType
from ..session import (
    ErrorReceived,
    Event,
    FrameRefused,
    Negotiated,
    Received,
    RoundTrip,
    Settings,
    SubscriptionAnswered,
    Undelivered,
)
from .backoff import as_error
from .clock_offset import ClockOffset
from .errors import NotAcknowledged
from .outbound import Outbound
from .reconnecting import ReconnectingConnection, State
from .subscriptions import Subscriptions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Mapping
    from types import TracebackType
    from typing import Self

    from ..errors import ProtocolError
    from .connection import Connection
    from .cursor import Gap
    from .message_queue import MessageQueue
    from .subscription import Subscription

log = logging.getLogger("ecgframe.client")

WAITING: Final = 1024
"""Messages that may wait for the application in one queue before the client stops reading."""

DEFAULT_TIMEOUT: Final = 30.0
"""Seconds that a call waits for a connection."""


def connect(
    url: str,
    *,
    settings: Settings | None = None,
    reconnect: bool = True,
    on_state: Callable[[State], object] | None = None,
    on_error: Callable[[ProtocolError], object] | None = None,
    **websockets_options: Any,
) -> Client:
    """A client of the server at a URL, which connects when its ``async with`` block is entered.

    >>> async with ecgframe.connect("wss://monitor.example/ws") as client:
    ...     async for message in client.subscribe("ecg/bed-7"):
    ...         show(message.data["signal"])

    A connection that breaks is replaced by itself, and the subscriptions go on where they were; see
    ``Client.subscribe``. The delays between attempts rise and are random, as the ``websockets`` library has them. The
    first connection is not tried twice, and a server that does not want this client (it closes with 1008, or has no
    version in common) is not asked again.

    Args:
        url: "ws://..." or "wss://...".
        settings: what this side can do; versions, limits, intervals.
        reconnect: False to end with the first connection.
        on_state: called with each new state, so that a user interface can show that a connection is lost.
        on_error: called with what the server says was wrong, and with what was wrong in its frames. An exception of
            either callback goes to the event loop's exception handler, and the client goes on.
        websockets_options: what ``websockets.asyncio.client.connect`` takes: ``ssl``, ``additional_headers``,
            ``subprotocols``, ``open_timeout``, ``close_timeout``, ``proxy``, ``reconnect_delays``, ... Frames are
            compressed already, so there is no ``compression``. ``ping_interval`` is None by default: the protocol has
            its own heartbeat, and a WebSocket ping cannot tell a dead server from an application that takes no
            messages.

    Raises:
        TypeError: an option that cannot be.
    """
    return Client(
        url,
        settings=settings,
        reconnect=reconnect,
        on_state=on_state,
        on_error=on_error,
        **websockets_options,
    )


class Client:
    """One server's viewer or sender. ``connect`` makes it, and says what its arguments are.

    A client is for one event loop, and opened once. No task of it is left when its block is.
    """

    def __init__(
        self,
        url: str,
        *,
        settings: Settings | None = None,
        reconnect: bool = True,
        on_state: Callable[[State], object] | None = None,
        on_error: Callable[[ProtocolError], object] | None = None,
        **websockets_options: Any,
    ) -> None:
        self._settings = settings or Settings()
        self._on_state = on_state
        self._on_error = on_error
        delays = websockets_options.setdefault("reconnect_delays", backoff)
        self._subscriptions = Subscriptions(delays)
        self._offset = ClockOffset()
        self._outbound = Outbound()
        self._reconnecting = ReconnectingConnection(
            url,
            self._settings,
            reconnect=reconnect,
            on_event=self._on_event,
            lost=self._subscriptions.disconnected,
            entered=self._entered,
            options=websockets_options,
        )

    def __repr__(self) -> str:
        return f"<Client of {self._reconnecting.address}, {self.state}>"

    @property
    def state(self) -> State:
        """What has become of the client."""
        return self._reconnecting.state

    # --- opening and closing ---

    async def __aenter__(self) -> Self:
        """Connect, and agree with the server on how to talk.

        A server of old says nothing until it is asked; it is taken for one after ``Settings.negotiation_timeout``.

        Raises:
            OSError, TimeoutError: there is no connection to be had.
            websockets.exceptions.WebSocketException: what answers is no such server, or does not let this client in.
            ConnectionLost: the server closed the connection before both could talk; its ``error`` says why.
        """
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Connect, as entering the ``async with`` block does."""
        await self._reconnecting.open()

    async def close(self) -> None:
        """Send what still waits to be sent, close the connection, end all iterators and let go what waits in them."""
        await self._reconnecting.close()

    @property
    def closed(self) -> Awaitable[None]:
        """To be awaited: returns once the client is closed; raises what ended it, if that was not ``close``."""
        return _Closed(self._reconnecting)

    # --- receiving ---

    def subscribe(
        self,
        stream: str,
        since: int | datetime | None = None,
        *,
        capacity: int = WAITING,
        on_gap: Callable[[Gap], object] | None = None,
    ) -> Subscription:
        """Follow a stream: an async iterator of its messages, and a context manager that leaves it at the end.

        After a broken connection the server sends again what came after the last message here; the server's own
        memory bounds how far that goes back. Each message comes once and in order, urgent ones ahead; what is lost for
        good is a ``Gap``. So it is where the server was started again with another clock: no clock decides what came
        before. Over V1 and V2, messages have no timestamps, and the stream goes on by the server's clock, from a second
        before the last message came: approximately, and some may come twice. A server of old that never negotiates
        does not resume at all; what it sent meanwhile is a gap.

        When the application takes messages more slowly than they come, the client stops reading: the server then drops
        old waveforms and says so. It is one connection, so a subscription that nobody takes messages from stops all the
        others. Give each a task of its own, or leave it.

        Args:
            stream: its name.
            since: timestamp of the last message that is there already, in microseconds since 1970 as in
                ``Message.timestamp``: what came after it is sent first, and where the server knows no such message, a
                ``Gap`` and then all that it keeps. Or a datetime (UTC, if it does not say), a moment by the server's
                clock. None for what is published from now on.
            capacity: messages that may wait to be taken before the client stops reading.
            on_gap: called with each ``Gap`` when the iterator passes it.

        The iterator ends when the stream is left or the client closed. It raises:
            PermissionDenied: 0x203, this client may not follow that stream.
            RateLimitExceeded: 0x204, it follows as many as it may.
            ConnectionLost: the client has given up.
            Exception: what ``on_gap`` raises.

        Raises:
            ValueError: a name that is none, a capacity below 1, or a stream that is followed already.
            TypeError: ``since`` is neither an int nor a datetime.
            ConnectionLost: the client is closed.
        """
        self._reconnecting.check_open()
        if not 0 < len(stream) <= MAX_STREAM_NAME:
            raise ValueError(f"the name of a stream has 1 to {MAX_STREAM_NAME} characters, not {len(stream)}")
        return self._subscriptions.subscribe(
            stream, since=_since(since), capacity=_checked_capacity(capacity), on_gap=on_gap
        )

    async def unsubscribe(self, stream: str) -> None:
        """Leave a stream, and wait until the server has confirmed it. Its iterator gives what has come, and ends.

        Raises:
            ValueError: it is not followed.
        """
        subscription = self._subscriptions.find(stream)
        if subscription is None:
            raise ValueError(f"there is no subscription of {stream!r}")
        self._subscriptions.leave(subscription)
        await self._subscriptions.left(stream)

    def messages(self, *, capacity: int = WAITING) -> MessageQueue:
        """What the server sends to this client beside the streams: answers, and broadcasts of no followed stream.

        While nobody asks for them, such messages are only counted, as "unclaimed" in ``stats``.

        Raises:
            ValueError: somebody takes them already, or a capacity below 1.
            ConnectionLost: the client is closed.
        """
        self._reconnecting.check_open()
        return self._subscriptions.others(_checked_capacity(capacity))

    # --- sending ---

    async def send_message(
        self,
        type: MessageType,
        data: Any,
        flags: Flag | int = 0,
        acknowledged: bool = False,
        *,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> int:
        """Send a data message.

        Without a connection, it waits for the next one. A message that has left and was on its way when the connection
        broke is lost; with ``acknowledged``, it is sent again over the next connection, with the same timestamp, and
        the call returns when the server's application has it. It may then have it twice.

        Args:
            type: ECG_DATA, ANOMALY_ALERT, PREDICTION_RESULT or FEATURE_DATA.
            data: its payload.
            flags: PRIORITY, BROADCAST; those that the server does not understand are left out.
            acknowledged: whether to wait until the server's application has it.
            timeout: seconds to wait for a connection, each time there is none, and for room to send.

        Returns:
            The message's timestamp, in microseconds since 1970.

        Raises:
            TimeoutError: no connection, or no room, for that long.
            NotAcknowledged: it was sent ``Settings.acknowledgement_attempts`` times in all, for nothing.
            ConnectionLost: the client is closed, or has given up.
            ValueError: not a data message, or the server has no acknowledgements (before V3).
            TypeError, OverflowError, ProtocolError: the payload cannot be sent; see ``Codec.encode``.
        """
        if type not in DATA_TYPES:
            raise ValueError(
                f"{MessageType(type).name} is the client's own to send; data messages are the application's"
            )
        wanted = Flag(flags) | (Flag.ACK_REQUIRED if acknowledged else Flag(0))
        timestamp = self._reconnecting.wall_clock_us()
        attempts = 0

        async def ready() -> Connection:
            connection = await self._reconnecting.ready(timeout, room=True)
            if acknowledged and Capability.ACK not in connection.session.capabilities:
                raise ValueError(f"the server has no acknowledgements (it speaks V{connection.session.version})")
            return connection

        while True:
            connection, receipt = await self._outbound.send(type, data, wanted, timestamp, ready)
            if not (acknowledged and receipt):
                return timestamp
            with connection.awaiting():
                given_up_after = await receipt
            if given_up_after is None:
                return timestamp
            attempts += given_up_after
            if attempts >= self._settings.acknowledgement_attempts:
                raise NotAcknowledged(type, timestamp, attempts) from connection.said

    # --- measuring ---

    async def ping(self, timeout: float = DEFAULT_TIMEOUT) -> float:
        """Ask the server for an answer: seconds of the round trip.

        Raises:
            TimeoutError: none came for that long.
            ConnectionLost: the client is closed, or has given up.
        """
        try:
            async with asyncio.timeout(timeout):
                while True:
                    connection = await self._reconnecting.ready(timeout, room=False)
                    if (seconds := await connection.ping()) is not None:
                        return seconds
        except TimeoutError:
            raise TimeoutError(f"no answer within {timeout:g} s") from None

    @property
    def round_trip(self) -> float | None:
        """Seconds of the last one; the client measures by itself. None before the first of this connection."""
        return self._offset.round_trip

    @property
    def clock_offset(self) -> float | None:
        """The server's clock minus ours in seconds, by the quickest of the last round trips; None before V3."""
        return self._offset.seconds

    @property
    def version(self) -> int | None:
        """The protocol version spoken; None without a connection."""
        return self._reconnecting.connection.session.version if self._reconnecting.connection else None

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What both sides have; nothing without a connection."""
        return self._reconnecting.connection.session.capabilities if self._reconnecting.connection else frozenset()

    def stats(self) -> dict[str, Any]:
        """Counters over all connections, and what is measured, as plain values.

        Sizes are in bytes, times in seconds. ``sent`` and ``received`` are by the name of the message type,
        ``refused`` (frames of the server's) and ``errors`` (messages of the server's) by code.
        """
        counters = self._reconnecting.counters
        return {
            "state": str(self.state),
            "version": self.version,
            "connections": self._reconnecting.connections,
            "round_trip": self.round_trip,
            "clock_offset": self.clock_offset,
            "sent": _by_name(counters.sent),
            "sent_bytes": counters.sent_bytes,
            "received": _by_name(counters.received),
            "received_bytes": counters.received_bytes,
            "refused": dict(counters.refused),
            "errors": dict(counters.errors),
            "dropped": counters.dropped,
            "resent": counters.resent,
            "undelivered": counters.undelivered,
            "unclaimed": self._subscriptions.unclaimed,
            "subscriptions": {subscription.stream: subscription.stats() for subscription in self._subscriptions},
        }

    # --- what happens ---

    def _entered(self, state: State) -> None:
        if state is State.CLOSED:
            self._subscriptions.end(self._reconnecting.failure)
        if self._on_state:
            self._call(self._on_state, state)

    def _call(self, callback: Callable[[Any], object], argument: object) -> None:
        try:
            callback(argument)
        except Exception as error:
            context = {"message": f"the client's callback {callback!r} failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)

    def _on_event(self, connection: Connection, event: Event) -> None:
        if isinstance(event, Received):
            self._subscriptions.deliver(event.message, connection)
        elif on_event := _EVENT_HANDLERS.get(type(event)):
            on_event(self, connection, event)

    def _on_negotiated(self, connection: Connection, event: Negotiated) -> None:
        log.info(
            "connected to %s: V%d, %s%s",
            self._reconnecting.address,
            event.version,
            ", ".join(sorted(event.capabilities)) or "no capabilities",
            "" if event.negotiated else " (the server did not negotiate)",
        )
        self._offset = ClockOffset()
        self._subscriptions.connected(connection)
        self._reconnecting.established()

    def _on_answer(self, connection: Connection, event: SubscriptionAnswered) -> None:
        self._subscriptions.answered(event, connection)

    def _on_error_received(self, connection: Connection, event: ErrorReceived) -> None:
        if not self._subscriptions.dropped(event, connection):
            log.warning("%s reports an error 0x%x: %s", self._reconnecting.address, event.code, event.message)
        if self._on_error:
            self._call(self._on_error, as_error(event.code, event.message))

    def _on_refused(self, connection: Connection, event: FrameRefused) -> None:
        log.warning(
            "a frame of %s was not accepted: 0x%x %s", self._reconnecting.address, event.error.code, event.error
        )
        if self._on_error:
            self._call(self._on_error, event.error)

    def _on_round_trip(self, connection: Connection, event: RoundTrip) -> None:
        self._offset.add(event)

    def _on_undelivered(self, connection: Connection, event: Undelivered) -> None:
        if not connection.over:
            log.warning("%s was sent %d times and not acknowledged", event.type.name, event.attempts)


class _Closed:
    """What ``Client.closed`` is."""

    def __init__(self, connection: ReconnectingConnection) -> None:
        self._reconnecting = connection

    def __await__(self) -> Generator[Any, None, None]:
        return self._reconnecting.closed().__await__()


_EVENT_HANDLERS: Final[dict[type, Callable[[Client, Connection, Any], None]]] = {
    Negotiated: Client._on_negotiated,
    SubscriptionAnswered: Client._on_answer,
    ErrorReceived: Client._on_error_received,
    FrameRefused: Client._on_refused,
    RoundTrip: Client._on_round_trip,
    Undelivered: Client._on_undelivered,
}


def _since(since: int | datetime | None) -> int | datetime | None:
    if since is not None and (not isinstance(since, (int, datetime)) or isinstance(since, bool)):
        raise TypeError(f"since is microseconds since 1970 (an int) or a datetime, not {since!r}")
    return since


def _checked_capacity(capacity: int) -> int:
    if capacity < 1:
        raise ValueError(f"a queue has room for at least 1 message, not {capacity}")
    return capacity


def _by_name(counts: Mapping[int, int]) -> dict[str, int]:
    return {MessageType(type).name: count for type, count in counts.items()}
