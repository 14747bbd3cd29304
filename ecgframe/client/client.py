"""The client: it connects to one server, and reconnects when a connection is lost."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from math import inf
from typing import TYPE_CHECKING, Any, Final

from websockets.client import backoff

from ..foreign_text import gated_logger
from ..libraries import library
from ..protocol import DATA_TYPES, MAX_STREAM_NAME, Capability, Flag, MessageType
from ..session import (
    Acknowledged,
    AttestationTaken,
    ErrorReceived,
    Event,
    FrameRefused,
    FramesUnopened,
    KeyMissing,
    KeysRefused,
    Negotiated,
    Numbered,
    Received,
    RoundTrip,
    SealedStreams,
    Settings,
    SubscriptionAnswered,
    Undelivered,
    microseconds,
)
from ..session.sealed_streams import STALE_AFTER, can_open
from ..session.stream_writer import MEMORY_BYTES, MEMORY_FRAMES
from ..signing import Verifier
from .access import Access
from .backoff import as_error
from .callbacks import call_safely
from .clock_offset import ClockOffset
from .errors import NotAcknowledged
from .outbound import Outbound
from .publisher import Lost, Publisher, Samples
from .reconnecting import ReconnectingConnection, State
from .subscriptions import Subscriptions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping
    from types import TracebackType
    from typing import Self

    from websockets.datastructures import HeadersLike

    from ..errors import ProtocolError
    from ..seal import Keyring
    from ..session.sealed_streams import KeptMessage
    from ..signing import Attested, SigningKey, Unattested
    from .access import Asked
    from .connection import Connection
    from .cursor import Gap
    from .history import History
    from .message_queue import MessageQueue
    from .subscription import Subscription

log = gated_logger("ecgframe.client")

WAITING: Final = 1024
"""Number of messages that may wait for the application in one queue before the client stops reading."""

DEFAULT_TIMEOUT: Final = 30.0
"""Seconds that a call waits for a connection."""


def connect(
    url: Asked[str],
    *,
    token: Asked[str | None] = None,
    additional_headers: Asked[HeadersLike | None] = None,
    settings: Settings | None = None,
    reconnect: bool = True,
    on_state: Callable[[State], object] | None = None,
    on_error: Callable[[ProtocolError], object] | None = None,
    keys: Keyring | None = None,
    signers: Iterable[bytes] | None = None,
    **websockets_options: Any,
) -> Client:
    """Create a client for the server at a URL. It connects when its ``async with`` block is entered.

    >>> async with ecgframe.connect("wss://monitor.example/ws") as client:
    ...     async for message in client.subscribe("ecg/bed-7"):
    ...         show(message.data["signal"])

    The client reconnects when a connection is lost, and the subscriptions resume; see ``Client.subscribe``. The delays
    between attempts are random and increase, as in the ``websockets`` library. The client does not retry the first
    connection, nor a server that refuses it: one that closes with 1008 or has no version in common.

    The URL, the token and the headers may be functions, also async ones: they are called before each attempt, so that
    it has credentials which are valid then. If the server refuses them (ERROR 0x202, or HTTP status 401), the client
    asks for new ones once, also for the first connection. If a function raises while the client reconnects, it tries
    again later.

    >>> async with ecgframe.connect("wss://monitor.example/ws", token=fresh_token) as client: ...

    Args:
        url: "ws://..." or "wss://...".
        token: bearer token for the header ``Authorization``. The client shows it nowhere.
        additional_headers: headers of the request, as ``websockets`` takes them.
        settings: versions, capabilities, limits and intervals of this side.
        reconnect: False to end when the first connection is lost.
        on_state: called with each new state, for example to show that the connection is lost.
        on_error: called with each error that the server reports, and with each error in its frames. An exception in
            either callback is passed to the exception handler of the event loop, and the client continues.
        keys: keys with which sealed streams are opened. They take precedence over keys that the server hands out, and a
            stream with such a key is accepted only sealed. Without it, keys of the server are used.
        signers: public Ed25519 keys, 32 bytes each, whose signatures are verified: then ``Message.signature`` is
            "valid", or "unknown signer" for those of others. ``Settings.require_signature`` refuses messages that none
            of them has signed. Other messages are attested once a second, see ``Client.subscribe``.
        websockets_options: options of ``websockets.asyncio.client.connect``: ``ssl``, ``subprotocols``,
            ``open_timeout``, ``close_timeout``, ``proxy``, ``reconnect_delays``, ... Not
            ``compression``, as payloads are compressed already. ``ping_interval`` is None by default: the protocol has
            its own heartbeat, and a WebSocket ping cannot distinguish a dead server from a slow application.

    Raises:
        TypeError: an option is invalid.
    """
    return Client(
        url,
        token=token,
        additional_headers=additional_headers,
        settings=settings,
        reconnect=reconnect,
        on_state=on_state,
        on_error=on_error,
        keys=keys,
        signers=signers,
        **websockets_options,
    )


class Client:
    """A client of one server. ``connect`` creates it and documents its arguments, but for ``keeper``.

    ``keeper`` is called with each numbered message of a subscribed stream as it was packed, with its signature, also
    with templates and attestations: recordings that can be verified later are made of these.

    A client belongs to one event loop and can be opened once. All its tasks have ended when its block is left.
    """

    def __init__(
        self,
        url: Asked[str],
        *,
        token: Asked[str | None] = None,
        additional_headers: Asked[HeadersLike | None] = None,
        settings: Settings | None = None,
        reconnect: bool = True,
        on_state: Callable[[State], object] | None = None,
        on_error: Callable[[ProtocolError], object] | None = None,
        keys: Keyring | None = None,
        signers: Iterable[bytes] | None = None,
        keeper: Callable[[KeptMessage], object] | None = None,
        **websockets_options: Any,
    ) -> None:
        self._settings = settings or Settings()
        if can_open():
            self._settings = self._settings.with_encryption
        elif keys is not None:
            library("cryptography", extra="seal", purpose="opening sealed streams")
        verifier = None
        if signers is not None:
            verifier = Verifier(signers)
        if signers is not None or keeper is not None:
            self._settings = self._settings.with_signing
        self._sealed = sealed = SealedStreams(keys, time.time, verifier, keeper)
        self._on_state = on_state
        self._on_error = on_error
        delays = websockets_options.setdefault("reconnect_delays", backoff)
        self._subscriptions = Subscriptions(delays, sealed)
        self._offset = ClockOffset()
        self._outbound = Outbound()
        self._publishers: dict[str, Publisher] = {}
        self._latest_id = 0
        self._reconnecting = ReconnectingConnection(
            Access(url, token, additional_headers),
            self._settings,
            reconnect=reconnect,
            on_event=self._on_event,
            lost=self._disconnected,
            was_refused=self._subscriptions.was_refused,
            sealed=sealed,
            entered=self._entered,
            options=websockets_options,
        )

    def __repr__(self) -> str:
        return f"<Client of {self._reconnecting.address}, {self.state}>"

    @property
    def state(self) -> State:
        """The state of the client."""
        return self._reconnecting.state

    # --- opening and closing ---

    async def __aenter__(self) -> Self:
        """Connect and negotiate.

        A server that sends nothing for ``Settings.negotiation_timeout`` is treated as an old one.

        Raises:
            OSError, TimeoutError: the connection failed.
            websockets.exceptions.WebSocketException: the server refused the WebSocket handshake.
            ConnectionLost: the server closed the connection before the negotiation was complete; see ``error``.
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
        """Send what still waits, close the connection, end all iterators, and discard the messages in their queues."""
        await self._reconnecting.close()

    @property
    def closed(self) -> Awaitable[None]:
        """An awaitable that returns once the client is closed, and raises the error that ended it, if any."""
        return _Closed(self._reconnecting)

    # --- receiving ---

    def subscribe(
        self,
        stream: str,
        since: int | datetime | None = None,
        *,
        capacity: int = WAITING,
        on_gap: Callable[[Gap], object] | None = None,
        on_attestation: Callable[[Attested | Unattested], object] | None = None,
        sealed: bool = False,
        stale_after: float = STALE_AFTER,
        catch_up: float | None = None,
    ) -> Subscription:
        """Subscribe to a stream. The result iterates over its messages, and is a context manager that unsubscribes.

        After a reconnection, the server first sends the messages after the last one that arrived, as far as it keeps
        them. Each message arrives once and in order, except that urgent ones overtake. Messages that are lost are
        reported as a ``Gap``, also after the server restarted with another clock. V1 and V2 have no timestamps: the
        stream resumes by the server's clock, one second before the last message, so messages may arrive twice. An old
        server that does not negotiate cannot resume; what it sent in the meantime is a gap.

        If the application is slower than the stream, the client stops reading; the server then drops old waveforms, and
        reports them. All subscriptions share one connection: if one is not iterated, all others stop. Use a task for
        each subscription, or unsubscribe.

        Args:
            stream: its name.
            since: where to resume: the timestamp of the last message that the application has, in microseconds since
                1970, as in ``Message.timestamp``. If the server does not know it, a ``Gap`` is reported, and the server
                sends everything that it keeps. Or a datetime by the server's clock, in UTC if it is naive. None for
                messages that are published from now on.
            capacity: number of messages that may wait before the client stops reading.
            on_gap: called with each ``Gap`` when the iterator reaches it. Its exceptions go to the event loop's
                exception handler, and the iterator goes on.
            on_attestation: called with each ``signing.Attested`` and ``signing.Unattested``, if the client has
                ``signers``: a message arrives at once, and its attestation within about a second. What no attestation
                has named after 10 seconds, or after two later ones, is unattested: its signer may not have made it. The
                numbers are ``Message.sequence``. Its exceptions go where those of ``on_gap`` go.
            sealed: whether to accept the stream only sealed. Without it, a stream is accepted in plain until a key of
                it is known, so whoever controls the connection could remove the sealing.
            stale_after: age in seconds from which on a message of a sealed stream has ``Message.stale``, by the clock
                of this computer and the message's ``timestamp``. Sealing does not prove that a message is new.
            catch_up: after an interruption, messages that are older than so many seconds are not sent first: the
                present is, and the older ones, alerts included, are a ``Gap``. With version 4, ``history`` returns
                them. None for everything that the server keeps, as a recorder needs it. Older servers ignore it.

        The iterator ends when the stream is unsubscribed or the client closed. It raises:
            PermissionDenied: 0x203, this client may not subscribe to that stream.
            AuthenticationFailed: 0x202, the stream is sealed and cannot be opened here, or is to be sealed and is not.
            RateLimitExceeded: 0x204, this client has too many subscriptions.
            ConnectionLost: the client does not reconnect any more.

        Raises:
            ValueError: the name is empty or too long, the capacity is below 1, ``stale_after`` or ``catch_up`` is not
                above 0, or there is a subscription already.
            TypeError: ``since`` is neither an int nor a datetime.
            ConnectionLost: the client is closed.
        """
        self._reconnecting.check_open()
        if not 0 < len(stream) <= MAX_STREAM_NAME:
            raise ValueError(f"the name of a stream has 1 to {MAX_STREAM_NAME} characters, not {len(stream)}")
        if not stale_after > 0:
            raise ValueError(f"stale_after is a number of seconds above 0, not {stale_after}")
        if catch_up is not None and not 0 < catch_up < inf:
            raise ValueError(f"catch_up is a finite number of seconds above 0, not {catch_up}")
        return self._subscriptions.subscribe(
            stream,
            since=_since(since),
            capacity=_checked_capacity(capacity),
            on_gap=on_gap,
            on_attestation=on_attestation,
            sealed=sealed,
            stale_after=stale_after,
            catch_up=catch_up,
        )

    async def unsubscribe(self, stream: str) -> None:
        """Unsubscribe, and wait until the server confirms it. The iterator returns what has arrived, then ends.

        Raises:
            ValueError: there is no such subscription.
        """
        subscription = self._subscriptions.find(stream)
        if subscription is None:
            raise ValueError(f"there is no subscription of {stream!r}")
        self._subscriptions.leave(subscription)
        await self._subscriptions.left(stream)

    def history(
        self, stream: str, start: int | datetime, stop: int | datetime | None = None, *, capacity: int = WAITING
    ) -> History:
        """Ask for the messages of a stream in a range of time, as far as the server keeps them. Needs version 4.

        >>> async for message in client.history("ecg/bed-7", gap.start, gap.stop):
        ...     fill_in(message)

        They come in the class BULK: while live data waits, they have one part of eight of the bytes, so a subscription
        of the stream goes on as if nothing was. The stream need not be subscribed to. While ``capacity`` messages wait
        for the application, the server is asked for nothing more of it, and nothing else is held up; what the server
        then no longer keeps is counted in ``lost``. A sealed stream is opened as with ``subscribe``, with the keys of
        this client or those of the server, and each message arrives once in a history; messages whose key is not known
        are counted in ``unopened`` as well. ``Message.stale`` is not set, as all of a history is old.

        Args:
            stream: its name.
            start: the time from which messages are wanted: a timestamp in microseconds since 1970, as in
                ``Message.timestamp`` and ``Gap.start``, or a datetime by the server's clock, in UTC if it is naive.
            stop: the time of the last message that is wanted; None for those until now. Both are included.
            capacity: number of messages that may wait before the rest is requested later.

        The iterator ends after the last message, or when its ``async with`` block is left. It raises:
            PermissionDenied: 0x203, this client may not watch the stream.
            AuthenticationFailed: 0x202, the stream is sealed and cannot be opened here, or is to be sealed and is not.
            RateLimitExceeded: 0x204, too many histories at once.
            InvalidProtocolVersion: 0x100, the connection speaks an earlier version.
            ConnectionLost: the client does not reconnect any more.

        Raises:
            ValueError: the name is empty or too long, the capacity is below 1, a time is before 1970, or the range is
                empty.
            TypeError: a time is neither an int nor a datetime.
            ConnectionLost: the client is closed.
        """
        self._reconnecting.check_open()
        if not 0 < len(stream) <= MAX_STREAM_NAME:
            raise ValueError(f"the name of a stream has 1 to {MAX_STREAM_NAME} characters, not {len(stream)}")
        first, last = _moment(start), None if stop is None else _moment(stop)
        if first < 0 or (last is not None and last < first):
            raise ValueError(f"a history goes from a time since 1970 to a later one, not from {start} to {stop}")
        return self._subscriptions.history(stream, first, last, _checked_capacity(capacity))

    def messages(self, *, capacity: int = WAITING) -> MessageQueue:
        """Receive the messages that belong to no subscription: messages to this client, and broadcasts.

        Until this is called, such messages are discarded and counted as "unclaimed" in ``stats``.

        Raises:
            ValueError: it was called before, or the capacity is below 1.
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

        Without a connection, this waits for the next one; without space in the send queue, for space. An alert, and a
        message with PRIORITY, overtakes the messages that wait, and does not wait for space behind them.

        If a connection is lost, messages that were sent but have not arrived are lost too. With ``acknowledged``, such
        a message is sent again over the next connection, with the same timestamp, and the call returns when the
        application of the server has it; it may get it twice.

        Args:
            type: ECG_DATA, ANOMALY_ALERT, PREDICTION_RESULT or FEATURE_DATA.
            data: its payload.
            flags: PRIORITY, BROADCAST; those that the server does not understand are left out.
            acknowledged: whether to wait until the application of the server has the message.
            timeout: seconds to wait for a connection, and for space in the send queue.

        Returns:
            The timestamp of the message, in microseconds since 1970.

        Raises:
            TimeoutError: there was no connection, or no space, for that long.
            NotAcknowledged: it was sent ``Settings.acknowledgement_attempts`` times without an acknowledgement.
            ConnectionLost: the client is closed, or does not reconnect any more.
            ValueError: it is not a data message, its stream is to be sealed, or the server does not support
                acknowledgements (before V3).
            TypeError, OverflowError, ProtocolError: the payload cannot be encoded; see ``Codec.encode``.
        """
        if type not in DATA_TYPES:
            raise ValueError(f"{MessageType(type).name} is not a data message: the client sends it by itself")
        stream = data.get("stream") if isinstance(data, dict) else None
        if isinstance(stream, str) and self._sealed.has_own_keys(stream):
            raise ValueError(f"there is a key of the stream {stream!r}: Client.publisher seals what is published on it")
        wanted = Flag(flags) | (Flag.ACK_REQUIRED if acknowledged else Flag(0))
        timestamp = self._reconnecting.wall_clock_us()
        attempts = 0

        async def ready(urgent: bool) -> Connection:
            connection = await self._reconnecting.ready(
                timeout, lambda held: held.has_room_for_urgent() if urgent else held.has_room_for_data()
            )
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

    def publisher(
        self,
        stream: str,
        *,
        samples: Samples = "as given",
        memory_frames: int = MEMORY_FRAMES,
        memory_bytes: int = MEMORY_BYTES,
        bulk: bool = False,
        signer: SigningKey | None = None,
        on_lost: Callable[[Lost], object] | None = None,
    ) -> Publisher:
        """Publish on a stream so that each message arrives once. The result is a context manager that waits for that.

        >>> async with client.publisher("ecg/bed-7") as publisher:
        ...     await publisher.send(MessageType.ECG_DATA, {"signal": samples, "sampling_rate": 500})

        In version 4, the client opens the stream: it numbers the messages, and sends the constant fields of ECG_DATA
        once, as a template, and then records. After a reconnection, the server says which message it expects next, and
        the client sends from there what it has in memory. What is no longer in memory is lost: ``on_lost`` is called
        with the number of messages, and viewers of version 4 see the same number. Another client that opens the stream
        ends this publisher.

        If the application has a key of the stream (``connect(keys=...)``), the messages are sealed end to end: the
        server and everything behind it needs no key, and viewers need one of their own. Then each message needs a
        ``timestamp``, and a server that takes no sealed messages ends the publisher with ``AuthenticationFailed``.

        Over a connection to a server before version 4, messages are sent as by ``send_message``: those that are in
        transit when the connection is lost are lost. Messages that wait in memory then wait for version 4.

        Args:
            stream: its name.
            samples: "exact" looks for integer counts behind a float64 signal, so that records hold those, and viewers
                get the same floats in a fraction of the bytes.
            memory_frames: messages that are kept, to be sent again.
            memory_bytes: bytes of these, as encoded.
            bulk: whether the messages may wait behind others, such as a history on a stream of its own. Alerts and
                messages with PRIORITY do not. They are of the class BULK here and for the viewers of version 4, as with
                ``bulk=True`` of the server's ``publish``.
            signer: signs alerts and predictions, and attests all other messages once a second, so that viewers with its
                public key know who has measured. Only for streams that the client seals.
            on_lost: called with each ``Lost``. Its exceptions go to the exception handler of the event loop.

        Raises:
            ValueError: the name is empty or too long, there is a publisher of the stream already, an argument is out of
                range, or there is a signer and no key of the stream.
            ConnectionLost: the client is closed.
        """
        self._reconnecting.check_open()
        if not 0 < len(stream) <= MAX_STREAM_NAME:
            raise ValueError(f"the name of a stream has 1 to {MAX_STREAM_NAME} characters, not {len(stream)}")
        if stream in self._publishers:
            raise ValueError(f"there is a publisher of {stream!r} already")
        self._latest_id += 1
        publisher = self._publishers[stream] = Publisher(
            stream,
            self._latest_id,
            self._settings,
            samples=samples,
            memory_frames=memory_frames,
            memory_bytes=memory_bytes,
            on_lost=on_lost,
            bulk=bulk,
            keyring=self._sealed.keyring if self._sealed.has_own_keys(stream) else None,
            signer=signer,
            wall_clock_us=self._reconnecting.wall_clock_us,
            send_message=self.send_message,
            forget=self._forget_publisher,
        )
        connection = self._reconnecting.connection
        if connection is not None and connection.session.established and not connection.session.closing:
            publisher.connected(connection)
        return publisher

    def _forget_publisher(self, publisher: Publisher) -> None:
        if self._publishers.get(publisher.stream) is publisher:
            del self._publishers[publisher.stream]

    # --- measuring ---

    async def ping(self, timeout: float = DEFAULT_TIMEOUT) -> float:
        """Send a PING, and return the round trip time in seconds.

        Raises:
            TimeoutError: the server did not answer in that time.
            ConnectionLost: the client is closed, or does not reconnect any more.
        """
        try:
            async with asyncio.timeout(timeout):
                while True:
                    connection = await self._reconnecting.ready(timeout, lambda held: not held.session.closing)
                    if (seconds := await connection.ping()) is not None:
                        return seconds
        except TimeoutError:
            raise TimeoutError(f"no answer within {timeout:g} s") from None

    @property
    def round_trip(self) -> float | None:
        """The latest round trip time in seconds, which the client measures regularly; None before the first."""
        return self._offset.round_trip

    @property
    def clock_offset(self) -> float | None:
        """The server's clock minus the local one, in seconds, by the fastest recent round trip; None before V3."""
        return self._offset.seconds

    @property
    def version(self) -> int | None:
        """The protocol version in use; None without a connection."""
        return self._reconnecting.connection.session.version if self._reconnecting.connection else None

    @property
    def capabilities(self) -> frozenset[Capability]:
        """The capabilities that both sides have; empty without a connection."""
        return self._reconnecting.connection.session.capabilities if self._reconnecting.connection else frozenset()

    def stats(self) -> dict[str, Any]:
        """Counters of all connections, and measurements, as plain values.

        Sizes are in bytes, times in seconds. ``sent`` and ``received`` are by name of the message type; ``refused``
        (frames that this client refused) and ``errors`` (ERRORs from the server) are by code; ``sealed`` counts the
        sealed frames that were opened, those that were not, by the reason, and the unknown keys that were asked
        for; ``attestations`` counts messages that are attested or not, and attestations that were refused, are of
        signers not known, or are missing.
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
            "fragments": {"sent": counters.fragments_sent, "received": counters.fragments_received},
            "resent": counters.resent,
            "undelivered": counters.undelivered,
            "sealed": dict(counters.sealed),
            "attestations": dict(counters.attestations),
            "unclaimed": self._subscriptions.unclaimed,
            "publishers": {publisher.stream: publisher.stats() for publisher in self._publishers.values()},
            "histories": self._subscriptions.histories.stats(),
            "subscriptions": {subscription.stream: subscription.stats() for subscription in self._subscriptions},
        }

    # --- what happens ---

    def _entered(self, state: State) -> None:
        if state is State.CLOSED:
            self._subscriptions.end(self._reconnecting.failure)
            for publisher in list(self._publishers.values()):
                publisher.end(self._reconnecting.failure)
        if self._on_state:
            call_safely(self._on_state, state)

    def _disconnected(self) -> None:
        self._subscriptions.disconnected()
        for publisher in self._publishers.values():
            publisher.disconnected()

    def _on_event(self, connection: Connection, event: Event) -> None:
        if isinstance(event, Received):
            self._subscriptions.deliver(event.message, connection, event.stream)
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
        if self._sealed.verifier is not None and Capability.SIGNING not in event.capabilities:
            log.warning("%s signs nothing: no message of it can be verified", self._reconnecting.address)
        self._offset = ClockOffset()
        self._subscriptions.connected(connection)
        self._reconnecting.established()
        for publisher in self._publishers.values():
            publisher.connected(connection)

    def _on_answer(self, connection: Connection, event: SubscriptionAnswered) -> None:
        self._subscriptions.answered(event, connection)

    def _on_error_received(self, connection: Connection, event: ErrorReceived) -> None:
        over = [publisher for publisher in list(self._publishers.values()) if publisher.refused(event)]
        if over or not self._subscriptions.dropped(event, connection):
            log.warning("%s reported an error: 0x%x %s", self._reconnecting.address, event.code, event.message)
        if self._on_error:
            call_safely(self._on_error, as_error(event.code, event.message))

    def _on_refused(self, connection: Connection, event: FrameRefused) -> None:
        log.warning("refused a frame of %s: 0x%x %s", self._reconnecting.address, event.error.code, event.error)
        if event.of_stream is not None and event.number is not None:
            self._subscriptions.refused(event.of_stream, event.number)
        if self._on_error:
            call_safely(self._on_error, event.error)

    def _on_numbered(self, connection: Connection, event: Numbered) -> None:
        self._subscriptions.pass_template(event.message, connection, event.stream)

    def _on_key_missing(self, connection: Connection, event: KeyMissing) -> None:
        log.info("a frame of %s is sealed with the unknown key %d", event.stream or "a stream", event.key_id)
        self._subscriptions.key_missing(event.stream, connection)

    def _on_keys_refused(self, connection: Connection, event: KeysRefused) -> None:
        self._subscriptions.keys_refused(event, connection)

    def _on_attestation(self, connection: Connection, event: AttestationTaken) -> None:
        if (subscription := self._subscriptions.find(event.stream)) is not None:
            subscription.note_attested(event.found)

    def _on_unopened(self, connection: Connection, event: FramesUnopened) -> None:
        what = event.stream or "a stream" if event.history is None else f"the history of {event.stream}"
        log.warning("%d sealed frames of %s are lost: their key did not come", event.frames, what)
        self._subscriptions.unopened(event)

    def _on_round_trip(self, connection: Connection, event: RoundTrip) -> None:
        self._offset.add(event)

    def _on_acknowledged(self, connection: Connection, event: Acknowledged) -> None:
        for publisher in list(self._publishers.values()):
            if publisher.acknowledged(event):
                return

    def _on_undelivered(self, connection: Connection, event: Undelivered) -> None:
        if not connection.over:
            for publisher in self._publishers.values():
                publisher.undelivered(event)
        if not connection.over:
            log.warning("%s was sent %d times and not acknowledged", event.type.name, event.attempts)


class _Closed:
    """The awaitable that ``Client.closed`` returns."""

    def __init__(self, connection: ReconnectingConnection) -> None:
        self._reconnecting = connection

    def __await__(self) -> Generator[Any, None, None]:
        return self._reconnecting.closed().__await__()


_EVENT_HANDLERS: Final[dict[type, Callable[[Client, Connection, Any], None]]] = {
    Negotiated: Client._on_negotiated,
    SubscriptionAnswered: Client._on_answer,
    ErrorReceived: Client._on_error_received,
    FrameRefused: Client._on_refused,
    Numbered: Client._on_numbered,
    KeyMissing: Client._on_key_missing,
    KeysRefused: Client._on_keys_refused,
    AttestationTaken: Client._on_attestation,
    FramesUnopened: Client._on_unopened,
    RoundTrip: Client._on_round_trip,
    Acknowledged: Client._on_acknowledged,
    Undelivered: Client._on_undelivered,
}


def _since(since: int | datetime | None) -> int | datetime | None:
    if since is not None and (not isinstance(since, (int, datetime)) or isinstance(since, bool)):
        raise TypeError(f"since is microseconds since 1970 (an int) or a datetime, not {since!r}")
    return since


def _moment(time: int | datetime) -> int:
    found = _since(time)
    if found is None:
        raise TypeError("a history begins at a time, not at None")
    return microseconds(found) if isinstance(found, datetime) else found


def _checked_capacity(capacity: int) -> int:
    if capacity < 1:
        raise ValueError(f"a queue has room for at least 1 message, not {capacity}")
    return capacity


def _by_name(counts: Mapping[int, int]) -> dict[str, int]:
    return {MessageType(type).name: count for type, count in counts.items()}
