"""``WebSocketBinaryHandler``: the server side of the protocol, for any WebSocket library."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self, get_args
from urllib.parse import parse_qs

from .._core.with_entry import WithEntry
from ..background.threads import ENCODED_AT_ONCE, in_thread
from ..codec import EncodedFrame
from ..libraries import library
from ..protocol import MAX_CONTROL_PAYLOAD, CloseCode, Flag, MessageType
from ..seal.sealer import check_timestamp
from ..session import (
    Outgoing,
    RateLimit,
    Settings,
    Totals,
    prepare_outgoing,
)
from ..signing.digests import SIGNED_TYPES
from .attesting import Attesting
from .audit import Audit
from .backplane import COMMANDS, EVERYONE, OF_SERVERS, PRESENCE, LocalBackplane, numbers_messages
from .broadcasts import Broadcasts
from .connection import Connection, Shared
from .connection_info import ConnectionInfo
from .delivery import Delivery
from .disk_history import DiskHistory
from .encodings import Encodings
from .envelope import Envelopes
from .fan_out import FanOut
from .hooks import (
    Authenticate,
    Authorize,
    Hooks,
    MayPublish,
    MaySeeMetrics,
    MaySeeWatchers,
    OnError,
    OnMessage,
    OnUndelivered,
    VisibleStreams,
)
from .identity import name_of
from .key_rounds import KeyRounds
from .limits import Limits
from .lingering import Linger
from .logs import log_failure, logger
from .memory import InboxesLimit
from .message_encoder import MessageEncoder, is_urgent, type_of
from .open_files import LimitWatch
from .opened_streams import OpenedStreams
from .pace import Pace
from .page_access import PageAccess
from .peer_requests import Requests
from .portions import Portions
from .presence import Presence, PresenceRoom
from .publication import Publication
from .rights import Rights, Withdrawal
from .sealing import Sealing, SealRefused, Seals
from .stats import ServerStats
from .stream import Source, Stream
from .streams import Streams
from .tasks import begin
from .timestamps import Timestamps
from .turns import Turns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..codec import Message
    from ..session.record_writer import Wanted
    from ..signing import SigningKey
    from .backplane import Backplane, NumberedBackplane
    from .forwarding import Proxies
    from .link import Link, Request

MAX_BURST: Final = 0.005
"""Seconds for which callers may publish before other tasks get a turn of the event loop."""


Samples = Literal["as given", "exact"]
"""How the samples of a message travel in records."""

_SAMPLES: Final = get_args(Samples)


class UnknownConnection(KeyError):
    """No open connection has this id."""

    def __init__(self, message: str) -> None:
        super().__init__(message)

    def __str__(self) -> str:
        return str(self.args[0])


class WebSocketBinaryHandler:
    """Serves the protocol to all peers of a server: sends to one connection, to all, and to the viewers of a stream.

    The handler has no sockets: the adapters in ``ecgframe.server.adapters`` pass connections to it. Call its methods
    from the event loop on which it serves. It can be used as an async context manager.

    Args:
        settings: settings of each session; by default, a peer may send 1,000 frames and 8 MiB a second. Version 4 is
            left out of them, which is logged, if the backplane does not number messages, as ``RedisBackplane`` does
            with ``version=4``.
        limits: limits on connections, streams and memory.
        backplane: joins this server with others; by default there are no others.
        authenticate: returns who connects; without it, every peer is accepted. See ``hooks``.
        authorize: returns whether a peer may subscribe, publish or broadcast. Without it, every peer may subscribe, and
            none may publish or broadcast.
        may_publish: returns whether a peer may send data messages of a type. It is asked before a message is decoded,
            so a peer that may not publish costs very little. Without ``authorize`` and ``on_message``, no peer may.
        on_message: handles the data messages of peers; those of one peer one after the other.
        on_undelivered: called for each message with ACK_REQUIRED that the peer did not acknowledge.
        may_see_watchers: returns whether the sender of a request for ``/watchers`` may know who watches a stream.
            Without it, there is no such page.
        visible_streams: returns which names of streams the sender of a request for ``/streams`` may see. Without
            it, all are seen by those whom ``authenticate`` accepts.
        may_see_metrics: returns whether the sender of a request for ``/metrics`` may see them. Without it, those
            may whom ``authenticate`` accepts.
        on_error: called for each error that is sent to a peer; ``ecgframe.tools.error_log`` writes them to files.
        clock: returns microseconds since 1970, for timestamps; the system's clock by default. The clock of the
            backplane takes precedence if it has one, as Redis does.
        sealing: the keys of sealed streams, and how to use them. Without it, this server seals no stream.
        signer: signs the alerts and predictions of all streams, for viewers of version 4 that verify them, and attests
            all other messages once a second. Servers that share Redis have the same key, and sign what any of them
            has published. Streams that clients open are theirs to attest.
        proxies: the proxies in front of this server. Without it, ``X-Forwarded-For`` and the like count for nothing,
            and the peers' addresses are those of the proxies.
        takes_sealed: whether publishers may seal the streams that they open, end to end. The server needs no key for
            that, and cannot read them; neither ``on_message`` nor detection gets them.
        disk_history: keeps the messages of streams on disk, for viewers of version 4 that ask for the past. Sealed
            streams are not kept. The caller closes it, after the handler.

    Attributes:
        page_access: who may read the pages beside the WebSocket.
        audit: writes the audit log.

    Raises:
        ValueError: ``sealing``, or version 4 alone, with a backplane that cannot do it; a backplane that lacks a part
            of ``NumberedBackplane``; or ``signer`` with ``disk_history``, whose messages are not signed.
        MissingLibrary: ``sealing`` without the extra ``seal``.
    """

    def __init__(
        self,
        *,
        settings: Settings | None = None,
        limits: Limits | None = None,
        backplane: Backplane | None = None,
        authenticate: Authenticate | None = None,
        authorize: Authorize | None = None,
        may_publish: MayPublish | None = None,
        on_message: OnMessage | None = None,
        on_undelivered: OnUndelivered | None = None,
        on_error: OnError | None = None,
        may_see_watchers: MaySeeWatchers | None = None,
        visible_streams: VisibleStreams | None = None,
        may_see_metrics: MaySeeMetrics | None = None,
        clock: Callable[[], int] | None = None,
        sealing: Sealing | None = None,
        takes_sealed: bool = False,
        signer: SigningKey | None = None,
        proxies: Proxies | None = None,
        disk_history: DiskHistory | None = None,
    ) -> None:
        if signer is not None and disk_history is not None:
            raise ValueError("a history on disk has no signatures: a signer needs a server without one")
        self.limits = limits or Limits()
        self._backplane: Backplane = backplane or LocalBackplane()
        self.settings = _offered(settings or Settings(rate_limit=RateLimit()), self._backplane)
        self._seals: Seals | None = None
        self._signer, self._proxies = signer, proxies
        if signer is not None:
            self.settings = self.settings.with_signing
        speaks_numbers = self.settings.latest_version >= 4
        if signer is not None and not speaks_numbers:
            logger.warning("the signing key signs nothing: signatures need version 4, which is not offered")
        if takes_sealed and speaks_numbers:
            self.settings = self.settings.with_encryption
        if sealing is not None:
            self._seals = self._seal_with(sealing)
        self._timestamps = Timestamps(clock, self._backplane)
        self._wall_clock_us = self._timestamps.next
        self._stats = ServerStats()
        encodings = Encodings(self._stats.note_other_encoding)
        portions, note_sent = Portions(), self._stats.note_sent
        linger = Linger(self.settings.linger) if self.settings.linger else None
        self._numbered = _shared_numbers(self._backplane, signer) if speaks_numbers else None
        self._attests = signer is not None and speaks_numbers
        self._streams = Streams(
            self.limits,
            self._backplane,
            self._wall_clock_us,
            encodings,
            portions,
            note_sent,
            self.settings,
            self._numbered,
            self._seals,
            signer if self._attests else None,
            linger,
            disk_history,
        )
        self._disk_history = disk_history
        self._attesting = Attesting(self._streams.attestations, self._wall_clock_us, self._numbered)
        self._fan_out = FanOut(encodings, portions, Publication.outgoing, Publication.keep, note_sent)
        self._encoder = MessageEncoder(self.settings, self._wall_clock_us, self._stats, self._seals, self._open)
        hooks = Hooks(
            seconds=self.limits.hook_seconds,
            authenticate=authenticate,
            authorize=authorize,
            may_publish=may_publish,
            on_message=on_message,
            on_undelivered=on_undelivered,
            on_error=on_error,
            may_see_watchers=may_see_watchers,
            visible_streams=visible_streams,
            may_see_metrics=may_see_metrics,
        )
        self.audit = Audit()
        self.page_access = PageAccess(hooks, self._from_proxy, self._wall_clock_us, self.audit)
        self._connections: dict[str, Connection] = {}
        self._rights = Rights(hooks, self._connections, self._backplane, self._wall_clock_us, self.audit)
        self._presence = PresenceRoom(self.audit.run, self._connections, self._backplane, self._wall_clock_us)
        self._opened = OpenedStreams(
            hooks,
            self.limits,
            self.settings,
            self._streams,
            self._encoder,
            self._backplane,
            self._numbered,
            self._wall_clock_us,
            self._connections,
            self._seals,
        )
        self._broadcasts = Broadcasts(self._backplane, self._connections, self._fan_out)
        self._delivery = Delivery(
            streams=self._streams,
            opened=self._opened,
            broadcasts=self._broadcasts,
            rights=self._rights,
            presence=self._presence,
            timestamps=self._timestamps,
            stats=self._stats,
            settings=self.settings,
            seals=self._seals,
            signer=signer,
            is_numbered=self._numbered is not None,
        )
        requests = Requests(
            hooks, self.limits, self._streams, self.publish, self._pass_to_others, self._opened, self._rights
        )
        self._shared = Shared(
            settings=self.settings,
            limits=self.limits,
            wall_clock_us=self._wall_clock_us,
            hooks=hooks,
            stats=self._stats,
            pace=Pace(),
            turns=Turns(),
            totals=Totals(self.limits.rate_limit) if self.limits.rate_limit else None,
            inboxes=InboxesLimit(self.limits.inboxes_bytes),
            serve=requests.serve,
            audit=self.audit,
            seals=self._seals,
            linger=linger,
            leave_opened=self._opened.leave,
        )
        self._publishing: set[asyncio.Task[None]] = set()  # templates
        self._opening: asyncio.Task[None] | None = None
        self._is_open = False
        self._is_closed = False
        self._all_closed = asyncio.Event()
        self._yielded_at = 0.0
        self._files = LimitWatch()
        self._rotation: asyncio.Task[None] | None = None
        self._attestations: asyncio.Task[None] | None = None

    def _seal_with(self, sealing: Sealing) -> Seals:
        """Set up the sealing of streams.

        Raises:
            ValueError: the backplane would carry their messages in plain.
            MissingLibrary: ``cryptography`` is not installed.
        """
        shared = None if isinstance(self._backplane, LocalBackplane) else _numbered(self._backplane)
        if not isinstance(self._backplane, LocalBackplane) and shared is None:
            raise ValueError(
                "sealed streams need RedisBackplane(version=4), or no backplane: messages would travel between the "
                "servers in plain"
            )
        library("cryptography.hazmat.primitives.ciphers.aead", extra="seal", purpose="sealing")
        self.settings = self.settings.with_encryption
        if shared is not None:
            shared.seal_with(Envelopes(sealing.keyring))
        return Seals(sealing, keys_without_tls=self.settings.keys_without_tls)

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
            connection_id: id of an open connection, see ``connections()``.
            message_type: type of the message.
            data: payload of the message.
            flags: PRIORITY, BROADCAST and ACK_REQUIRED; flags that the peer does not support are left out.

        Returns:
            The timestamp of the message, in microseconds since 1970; ``on_undelivered`` gets the same one.

        Raises:
            UnknownConnection: no open connection has this id.
            TypeError, OverflowError, ValueError, ProtocolError: the message cannot be encoded, see ``Codec.encode``.
        """
        connection = self._connections.get(connection_id)
        if connection is None or not connection.is_open:
            raise UnknownConnection(f"no open connection has the id {connection_id!r}")
        type = type_of(message_type)
        encoded, timestamp = self._encoder.encode_for(connection, connection.session.encoding, type, data, flags)
        if encoded is None:
            return await self._send_large(connection, type, data, flags)
        outgoing = Outgoing(encoded, int(flags), timestamp, None)
        now = connection.now()
        self._stats.note_sent(outgoing, 1, connection.writer.take(outgoing, now))
        if now >= self._yielded_at + MAX_BURST:
            await self._yield_to_others(now)
        return timestamp

    async def publish(
        self,
        stream: str,
        message_type: MessageType,
        data: Any,
        flags: Flag | int = 0,
        *,
        samples: Samples = "as given",
        bulk: bool = False,
    ) -> int:
        """Send a message to all viewers of a stream, on all servers, and keep it for viewers that resume.

        The message is encoded once for each encoding in use. A dict without the key "stream" gets the stream's name
        under that key. An ANOMALY_ALERT is sent with PRIORITY.

        A large message is encoded in a thread, so do not change ``data`` until this returns. Later messages on the
        stream wait for it, but urgent ones only for urgent ones.

        Args:
            stream: name of the stream, 1 to ``Limits.stream_name`` characters.
            message_type: one of the four data types.
            data: payload of the message.
            flags: PRIORITY and ACK_REQUIRED; flags that a viewer does not support are left out for it.
            samples: "exact" looks for integer counts behind a float64 signal, so that records of version 4 hold those,
                and their viewers get the same floats in a fraction of the bytes. A signal without such counts travels
                as given; so does every signal to viewers of earlier versions.
            bulk: whether the message may wait behind others, such as a history on a stream of its own. Viewers of
                version 4 get it in one part of eight of the bytes while other data waits. Nothing of it is dropped: a
                slow viewer gets it later, as long as the server keeps it. The first message of a stream decides for
                all; alerts and messages with PRIORITY are urgent nevertheless. Viewers of earlier versions get it as
                any message.

        Returns:
            The timestamp of the message, in microseconds since 1970.

        Raises:
            TooManyStreams: the stream is new, and ``Limits.streams`` is reached.
            RuntimeError: the handler is closed.
            ValueError: the stream's name is empty or too long, or the type is not a data type; or ``bulk`` is not what
                it was before on this stream, on any server, or the backplane does not number messages. Of a sealed
                stream: the message has no ``timestamp`` or names another stream, or no key of the stream is valid now.
            TypeError, OverflowError, ValueError, ProtocolError: the message cannot be encoded, see ``Codec.encode``.
        """
        started = perf_counter()
        self._check_publishing(stream, samples, is_bulk=bulk)
        lacks_name = isinstance(data, dict) and "stream" not in data
        is_large = lacks_name and len(data) > ENCODED_AT_ONCE
        if is_large:
            data = WithEntry(data, "stream", stream)  # a copy would hold up the event loop
        elif lacks_name:
            data = {**data, "stream": stream}
        if self._seals is not None:
            data = self._seals.prepared(stream, type_of(message_type), data)
        if self._signer is not None and (self._attests or type_of(message_type) in SIGNED_TYPES):
            _check_timestamp(message_type, data)
        await self._open()
        with self._streams.hold(stream) as entry:
            await self._streams.join(entry)
            class_of_it = None if is_urgent(message_type, flags) else bulk
            if class_of_it is not None:
                entry.decide_class(is_bulk=bulk)
            encoded, timestamp = (None, 0) if is_large else self._encoder.encode(stream, message_type, data, flags)
            if encoded is None:
                publish = self._publisher_for(stream, is_bulk=class_of_it)
                timestamp = await self._encoder.encode_large(stream, message_type, data, flags, publish)
            else:
                source = Source(data, is_exact=samples == "exact")
                if self._numbered is not None:
                    timestamp = await self._publish_numbered(
                        entry, self._numbered, timestamp, encoded, source, is_bulk=class_of_it
                    )
                else:
                    entry.source = source
                    try:
                        timestamp = await self._backplane.publish(stream, timestamp, encoded)
                    finally:
                        entry.source = None
        self._stats.publish_seconds.observe(perf_counter() - started)
        await self._yield_to_others(self._now())
        return timestamp

    def _check_publishing(self, stream: str, samples: str, *, is_bulk: bool) -> None:
        if is_bulk and self._numbered is None and not isinstance(self._backplane, LocalBackplane):
            raise ValueError("bulk=True needs a backplane that numbers the messages: RedisBackplane(version=4)")
        if samples not in _SAMPLES:
            raise ValueError(f"samples is one of {_SAMPLES}, not {samples!r}")
        if not 0 < len(stream) <= self.limits.stream_name:
            raise ValueError(f"a stream's name has 1 to {self.limits.stream_name} characters, not {len(stream)}")
        if stream in OF_SERVERS:
            raise ValueError("this name is for messages between servers only")

    async def broadcast(self, message_type: MessageType, data: Any, flags: Flag | int = 0) -> int:
        """Send a message to all connections of all servers, with the flag BROADCAST for peers that support it.

        The message is not kept for connections that are opened later. Arguments, result and errors are those of
        ``publish``.
        """
        return await self._broadcast(message_type, data, flags, sender=None)

    def connections(self) -> list[ConnectionInfo]:
        """The open connections of this server."""
        return [connection.info for connection in self._connections.values() if connection.is_open]

    async def recheck(self, stream: str | None = None) -> Withdrawal:
        """Ask ``authorize`` again for each subscription, on all servers, and end those that it refuses now.

        Call it when rights were taken away. The peer of a subscription that ends gets SUBSCRIPTION_ACK "denied" with
        the code 0x203. If ``authorize`` raises, the subscription goes on; if it does not answer within
        ``Limits.hook_seconds``, the subscription ends. Publishing needs no such call, as ``authorize`` is asked for
        each message.

        Args:
            stream: name of the stream; None for all streams.

        Returns:
            What this server has done, and whether the other servers were reached.
        """
        await self._open()
        return await self._rights.recheck(stream)

    async def disconnect(self, name: str, reason: str = "disconnected by the server") -> Withdrawal:
        """Close the connections of a person or device, on all servers: ERROR 0x203, close code 1008.

        Clients do not reconnect after that. Also take care that ``authenticate`` refuses new connections.

        Args:
            name: name of the identity, see ``identity``; or the id of a connection.
            reason: text for the peer.

        Returns:
            What this server has done, and whether the other servers were reached.
        """
        await self._open()
        return await self._rights.disconnect(name, reason)

    async def unsubscribe(self, name: str, stream: str, reason: str = "ended by the server") -> Withdrawal:
        """End the subscription of a person or device to a stream, on all servers.

        ``authorize`` is not asked; it decides whether they may subscribe again. The peer is informed as by ``recheck``.

        Args:
            name: name of the identity, see ``identity``; or the id of a connection.
            stream: name of the stream.
            reason: text for the peer.

        Returns:
            What this server has done, and whether the other servers were reached.
        """
        await self._open()
        return await self._rights.unsubscribe(name, stream, reason)

    async def watchers(self, stream: str | None = None) -> Presence:
        """Return who watches a stream now, on all servers.

        A connection that has ended is not in the answer. Connections of a server that was killed are not either; for
        ``presence.GONE_AFTER`` seconds after that, the answer takes ``presence.ANSWER_SECONDS`` and counts the server
        as silent.

        Args:
            stream: name of the stream; None for all streams.
        """
        await self._open()
        return await self._presence.watchers(stream)

    def stats(self) -> dict[str, Any]:
        """Numbers for an operator: counts since the handler was created, and current values."""
        sessions = [connection.session for connection in self._connections.values()]
        counted = self._stats.stats(sessions, self._now() if sessions else 0.0)
        counted["sealing"]["sealed"] = 0 if self._seals is None else self._seals.sealed
        counted["sealing"]["attestations"] = self._attesting.made
        return {
            **counted,
            "inboxes": {"bytes": self._shared.inboxes.used},
            "streams": self._streams.stats(),
            "disk_history": {} if self._disk_history is None else self._disk_history.stats(),
            "backplane": self._backplane.stats(),
            "clock": {"steps": self._timestamps.steps, "ahead_seconds": self._timestamps.ahead},
        }

    async def close(self, code: CloseCode = CloseCode.GOING_AWAY, reason: str = "the server goes away") -> None:
        """Close all connections: send urgent messages and a close frame, then drop peers that do not answer in time.

        Takes little more than ``Limits.close_seconds``. Calling this again does nothing.

        Args:
            code: close code.
            reason: at most 123 bytes in UTF-8.
        """
        if self._is_open and not self._is_closed and self._attests:
            self._is_closed = True
            with suppress(TimeoutError):
                async with asyncio.timeout(self.limits.close_seconds):
                    await self._attesting.finish()  # while viewers can still get it
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
            self.audit.stop()
            for task in (self._rotation, self._attestations):
                if task is not None:
                    task.cancel()
                    await asyncio.wait({task})
            await self._presence.stop(self.limits.close_seconds)
            self._streams.close()
            await self._backplane.close()

    # --- for adapters ---

    @property
    def max_message(self) -> int:
        """Bytes of the largest WebSocket message that a peer may send; adapters pass it to the WebSocket library."""
        if not self._shared.hooks.takes_data:  # viewers send nothing large
            return self.settings.header_size + max(MAX_CONTROL_PAYLOAD, self.settings.batch_bytes)
        return self.settings.header_size + max(self.settings.max_payload, self.settings.batch_bytes)

    async def answer_watchers(self, request: Request) -> tuple[HTTPStatus, Presence | None]:
        """Answer an HTTP request for who watches the stream that its query names as ``stream``, or all streams.

        Whoever asks is authenticated as a viewer is; ``may_see_watchers`` decides. The audit log records it.

        Returns:
            The status, and the answer with 200: 404 without ``may_see_watchers``, 401 if ``authenticate`` refuses,
            403 if ``may_see_watchers`` does, 400 if the query is invalid, 503 if the handler is closed.
        """
        if self._shared.hooks.may_see_watchers is None:
            return HTTPStatus.NOT_FOUND, None
        try:
            names = parse_qs(request.query, keep_blank_values=True, max_num_fields=8, errors="strict").get("stream")
        except ValueError:
            return HTTPStatus.BAD_REQUEST, None
        if names is not None and (len(names) > 1 or not 0 < len(names[0]) <= self.limits.stream_name):
            return HTTPStatus.BAD_REQUEST, None
        stream = None if names is None else names[0]
        request, is_known, identity = await self.page_access.identify(request)
        is_granted = is_known and await self._shared.hooks.may_see(request, identity, stream)
        self.audit.asked(request.peer, name_of(identity) if is_known else None, stream, is_granted=is_granted)
        if not is_granted:
            return HTTPStatus.FORBIDDEN if is_known else HTTPStatus.UNAUTHORIZED, None
        if self._is_closed:
            return HTTPStatus.SERVICE_UNAVAILABLE, None
        return HTTPStatus.OK, await self.watchers(stream)

    async def handle(self, link: Link, connection_id: str | None = None, *, identity: object = None) -> None:
        """Serve one connection until it ends, then close the link. Nothing that a peer does raises an exception.

        The connection is closed with 1013 if there are too many connections or the handler is closed, and with 1008 if
        another connection has the same id.

        Args:
            link: link to the peer.
            connection_id: id of the connection, for ``send_message``; None generates one.
            identity: who the peer is, if the application has found out, for example in a dependency of FastAPI. None
                to ask ``authenticate``.
        """
        if not self._is_closed:
            await self._open()
        link.request = self._from_proxy(link.request)
        id = uuid.uuid4().hex if connection_id is None else connection_id
        if refusal := self._refusal(id):
            await self._refuse(link, id, *refusal)
            return
        connection = self._connections[id] = Connection(id, link, self._shared, identity)
        self._stats.accepted += 1
        try:
            await connection.run()
        finally:
            del self._connections[id]
            self._stats.counters.add(connection.session.counters)
            self._stats.closed[str(connection.close_code)] += 1
            if not self._connections:
                self._all_closed.set()

    @property
    def resolves_proxies(self) -> bool:
        """True if the handler itself finds the addresses of peers behind proxies."""
        return self._proxies is not None

    def _from_proxy(self, request: Request) -> Request:
        """The request with the address of the peer behind the trusted proxies."""
        if self._proxies is None:
            return request
        resolved, origin = self._proxies.resolve(request)
        self._stats.proxied[origin.name.lower()] += 1
        return resolved

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
        logger.warning("refused a connection from %s: %s", peer, reason, extra=fields)
        try:
            async with asyncio.timeout(self.limits.close_seconds):
                await link.close(code, reason)
        except Exception:
            logger.debug("the refused connection was gone before its close frame", extra=fields)
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
        await self._backplane.open(self._delivery.deliver)
        now = self._wall_clock_us()
        for stream in (EVERYONE, COMMANDS, PRESENCE):
            await self._backplane.join(stream, now)
        self._files.start()
        self.audit.start()
        self._presence.start()
        if self._seals is not None:
            self._rotation = asyncio.create_task(KeyRounds(self._seals, self._rights, self._connections).run())
        if self._signer is not None and not self._attests:
            logger.warning("nothing is attested: that needs version 4")
        if self._attests:
            self._attestations = asyncio.create_task(self._attesting.run())
        self._is_open = True

    async def _wait_all_closed(self, seconds: float) -> bool:
        """Wait until all connections are closed. Returns False if that takes longer than ``seconds``."""
        self._all_closed.clear()
        try:
            async with asyncio.timeout(seconds):
                while self._connections:
                    await self._all_closed.wait()
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
        encoded, timestamp = self._encoder.encode(EVERYONE, message_type, data, flags)
        if encoded is None:
            publish = partial(self._broadcasts.publish, sender=sender)
            timestamp = await self._encoder.encode_large(EVERYONE, message_type, data, flags, publish)
        else:
            timestamp = await self._broadcasts.publish(encoded, timestamp, sender)
        self._stats.publish_seconds.observe(perf_counter() - started)
        await self._yield_to_others(self._now())
        return timestamp

    async def _publish_numbered(
        self,
        entry: Stream,
        backplane: NumberedBackplane,
        timestamp: int,
        encoded: EncodedFrame,
        source: Source,
        *,
        is_bulk: bool | None,
    ) -> int:
        """Publish a message through a backplane that numbers it, as a record if its template is there."""
        now = self._now()
        found = entry.make_record(encoded, source, now)
        if found.wanted is not None:
            task = begin(self._publish_template(entry, backplane, found.wanted, timestamp - 1))
            self._publishing.add(task)
            task.add_done_callback(self._publishing.discard)
        payload = None if found.record is None else found.record.payload
        return await backplane.publish(entry.name, timestamp, encoded, found.epoch, payload, is_bulk=is_bulk)

    def _publisher_for(self, stream: str, *, is_bulk: bool | None) -> Callable[[EncodedFrame, int], Awaitable[int]]:
        """What publishes a large message of a stream, with its class where several servers have to agree on it."""
        if (numbered := self._numbered) is not None:
            return lambda encoded, timestamp: numbered.publish(stream, timestamp, encoded, is_bulk=is_bulk)
        return lambda encoded, timestamp: self._backplane.publish(stream, timestamp, encoded)

    async def _publish_template(
        self, entry: Stream, backplane: NumberedBackplane, wanted: Wanted, timestamp: int
    ) -> None:
        """Publish a template for the messages that follow."""
        numbering = entry.numbering
        assert numbering is not None
        writer = numbering.writer
        writer.await_template(wanted, self._now())
        with self._streams.hold(entry.name) as held:
            try:
                await backplane.publish_template(
                    held.name,
                    timestamp,
                    numbering.epoch,
                    partial(writer.make_template, wanted),
                    is_bulk=numbering.next_is_bulk,
                )
            except Exception as error:
                log_failure("publishing a template", error, stream=held.name)
            finally:
                writer.await_no_longer(wanted)

    async def _send_large(self, connection: Connection, type: MessageType, data: Any, flags: Flag | int) -> int:
        """Encode a message in a thread and send it to one connection, in order with its other messages."""
        async with self._encoder.turn(connection, type, flags):
            while True:
                encoding = connection.session.encoding
                prepared = await in_thread(prepare_outgoing, encoding, type, data, settings=self.settings, flags=flags)
                if not connection.is_open:
                    raise UnknownConnection(f"connection {connection.id!r} was closed while the message was encoded")
                if connection.session.encoding is encoding:  # otherwise both sides negotiated another one meanwhile
                    break
            outgoing = prepared.finish(self._wall_clock_us())
            self._fan_out.write(outgoing, [connection.writer], connection.now())
            return outgoing.timestamp

    async def _yield_to_others(self, now: float) -> None:
        """Yield to other tasks every ``MAX_BURST`` seconds, for callers that publish in a tight loop."""
        if now >= self._yielded_at + MAX_BURST:
            self._yielded_at = now  # set before the pause, so that other callers do not pause as well
            await asyncio.sleep(0)


def _check_timestamp(message_type: MessageType, data: Any) -> None:
    """Refuse to sign a message without ``timestamp``. Raises SealRefused, a ValueError."""
    try:
        check_timestamp(message_type, data)
    except ValueError as error:
        raise SealRefused(str(error)) from None


def _offered(settings: Settings, backplane: Backplane) -> Settings:
    """The settings, without version 4 if the backplane does not number the messages of streams.

    Raises:
        ValueError: they name version 4 only, and the backplane does not number.
    """
    if settings.latest_version < 4 or isinstance(backplane, LocalBackplane) or _numbered(backplane) is not None:
        return settings
    how = "RedisBackplane(version=4) does, once every server that shares Redis can read it"
    if min(settings.versions) >= 4:
        raise ValueError(f"version 4 needs a backplane that numbers the messages: {how}")
    logger.info("version 4 is not offered, as the backplane does not number the messages: %s", how)
    return settings.without_version_4


def _numbered(backplane: Backplane) -> NumberedBackplane | None:
    """The backplane, if it numbers messages for peers of version 4. Raises ValueError if it does so in part."""
    return backplane if numbers_messages(backplane) else None


def _shared_numbers(backplane: Backplane, signer: SigningKey | None) -> NumberedBackplane | None:
    """The same, and it proves to other servers what this one publishes, if there is a signer."""
    numbered = _numbered(backplane)
    if numbered is not None and signer is not None:
        numbered.sign_with(signer)
    return numbered
