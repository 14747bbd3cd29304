"""Handles messages and requests of peers: subscriptions, publications, broadcasts. Checks permission first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Protocol

from ..background.threads import DECODED_AT_ONCE, in_thread, let_go
from ..codec import Message, SealedPayload
from ..errors import InvalidDataFormat, PermissionDenied, ProtocolError, RateLimitExceeded
from ..messages.templates import Template
from ..protocol import LARGEST_SEQUENCE, Check, ErrorCode, Flag, MessageType
from ..session import (
    Event,
    FrameRefused,
    HistoryRequested,
    Numbered,
    OpeningRequested,
    Received,
    StreamOf,
    SubscribeRequested,
    UnsubscribeRequested,
)
from .backplane import OF_SERVERS
from .connection import Connection, StreamRefused
from .disk_history import HistoryBusy
from .hooks import Hooks
from .limits import Limits
from .logs import log_failure
from .opaque_publication import WHY_DENIED, can_watch
from .placing import wait_for_turn
from .playback import Past
from .publisher import Publisher, Verdict
from .rights import Rights
from .sealing import SealRefused, Seals
from .stream import Stream
from .streams import Streams, TooManyStreams

_BROADCAST: Final = int(Flag.BROADCAST)
_KEPT_FLAGS: Final = int(Flag.PRIORITY)
"""Flags of a client's message that viewers get as well; the others concern only the client and this server."""


class Publish(Protocol):
    """``WebSocketBinaryHandler.publish``."""

    def __call__(self, stream: str, message_type: MessageType, data: Any, flags: int) -> Awaitable[int]:
        """Publish a message."""


class PublishShared(Protocol):
    """Publishes a message of a stream that a client has opened, and that several servers share."""

    def __call__(self, stream: Stream, message: Message, template: Template | None) -> Awaitable[None]:
        """Publish it. Without a template, it is a message that its publisher has sealed."""


class Requests:
    """Handles the messages and requests of all peers of a handler.

    Args:
        hooks: hooks of the handler.
        limits: limits of the handler.
        streams: streams of the handler.
        publish: sends a message to the viewers of a stream.
        broadcast: sends a message to all connections but its sender.
        publish_opened: publishes a message of a stream that a connection has opened; returns whether it is new.
        wall_clock_us: returns microseconds since 1970, always more than the time before.
        rights: the rights of the connections, which may be checked again while one subscribes.
        connections: all connections, by id.
        publish_shared: publishes a template, or a message that its publisher has sealed, of a stream that several
            servers share; None if there are no other servers.
        seals: those of the handler; None if it seals no streams.
    """

    def __init__(
        self,
        hooks: Hooks,
        limits: Limits,
        streams: Streams,
        publish: Publish,
        broadcast: Callable[[Message, Connection], Awaitable[object]],
        publish_opened: Callable[[Connection, Received], Awaitable[bool]],
        wall_clock_us: Callable[[], int],
        rights: Rights,
        connections: Mapping[str, Connection],
        *,
        publish_shared: PublishShared | None = None,
        seals: Seals | None = None,
    ) -> None:
        self._connections = connections
        self._seals = seals
        self._rights = rights
        self._publish_shared = publish_shared
        self._publish_opened = publish_opened
        self._wall_clock_us = wall_clock_us
        self._hooks = hooks
        self._limits = limits
        self._streams = streams
        self._publish = publish
        self._broadcast = broadcast
        # Without ``authorize`` nobody may publish: messages with a stream's name then go to ``on_message`` only.
        self._publishes = hooks.authorize is not None or hooks.on_message is None

    async def serve(self, connection: Connection, event: Event) -> None:
        """Handle a message or a request.

        Raises:
            ProtocolError: it is denied or invalid; the peer is sent this error.
            Exception: a hook failed.
        """
        if isinstance(event, Received) and event.stream is not None:
            await self._take_opened(connection, event, event.stream)
        elif isinstance(event, Received):
            message = event.message
            if self._concerns_others(message):
                await self._pass_on(connection, message)
            await self._hand_over(connection, message)
        elif isinstance(event, OpeningRequested):
            await self._open(connection, event)
        elif isinstance(event, Numbered):
            await self._take_template(connection, event)
        elif isinstance(event, FrameRefused):
            self._pass_over(connection, event)
        elif isinstance(event, SubscribeRequested):
            await self._subscribe(connection, event)
        elif isinstance(event, HistoryRequested):
            await self._play_back(connection, event)
        elif isinstance(event, UnsubscribeRequested):
            if event.history is None:
                connection.unsubscribe(event.stream)
            else:
                connection.end_history(event.stream, event.history)

    async def _hand_over(self, connection: Connection, message: Message) -> None:
        """Give the message to the application, once it has all earlier ones of the peer."""
        if self._hooks.on_message is not None:
            await wait_for_turn()
            await self._hooks.on_message(connection.info, message)
        elif message.nbytes > DECODED_AT_ONCE:  # freeing many objects takes long: do it in a thread
            in_thread(let_go, message.data)

    # --- opened streams ---

    async def _open(self, connection: Connection, request: OpeningRequested) -> None:
        """Open a stream for a client, or tell it how far its stream has got."""
        name, epoch = request.stream, request.epoch
        try:
            if not self._is_name(name):
                raise InvalidDataFormat(f"a stream's name has 1 to {self._limits.stream_name} characters")
            if not self._publishes:
                raise PermissionDenied("this server does not publish what clients send")
            await self._require(connection, "publish", name)
            if name not in connection.opened and len(connection.opened) >= self._limits.streams_per_connection:
                raise RateLimitExceeded(f"{len(connection.opened)} streams are opened over this connection, the most")
            with self._hold(name) as stream:
                await self._streams.join(stream)
                if self._publish_shared is None:
                    expected = self._streams.open(stream, epoch, connection, connection.now())
                else:
                    expected = await self._streams.open_shared(stream, epoch, connection, connection.now())
                publisher = connection.opened[name] = checked_publisher(stream, epoch, connection)
                if request.first is not None:
                    publisher.give_up_before(request.first)
                    expected = publisher.line + 1
        except ProtocolError as error:
            if error.code is ErrorCode.PERMISSION_DENIED:  # otherwise it may try again
                connection.session.forget_opening(name)
            raise StreamRefused(error, name, epoch) from error
        connection.session.answer_opening(request.message, expected, publisher.lost)

    async def _take_opened(self, connection: Connection, event: Received, place: StreamOf) -> None:
        """Publish a message of a stream that the client has opened, and give it to the application."""
        message = event.message
        try:
            if int(message.flags) & _BROADCAST:
                raise InvalidDataFormat("a broadcast belongs to no stream")
            _check_number(message.sequence or 0)
            await self._require(connection, "publish", place.name)
            if isinstance(message.data, SealedPayload):
                await self._publish_sealed(connection, message, place)
                return
            is_new = await self._publish_opened(connection, event)
        except ProtocolError as error:
            self._pass_over_number(connection, place, message.sequence or 0, overtakes=overtakes(message))
            raise StreamRefused(error, place.name, place.epoch) from error
        if is_new:
            connection.audit.published(place.name)
            await self._hand_over(connection, message)

    async def _take_template(self, connection: Connection, event: Numbered) -> None:
        """Publish a template of a stream that the client has opened."""
        number, name, epoch = event.message.sequence or 0, event.stream.name, event.stream.epoch
        try:
            _check_number(number)
            await self._require(connection, "publish", name)
            if isinstance(event.message.data, SealedPayload):
                await self._publish_sealed(connection, event.message, event.stream)
                return
            if event.message.type is not MessageType.STREAM_TEMPLATE:
                raise PermissionDenied("attestations of publishers are taken in streams that they seal only")
            with self._hold(name) as stream:
                await self._streams.join(stream)
                publisher = checked_publisher(stream, epoch, connection)
                stream.decide_opened_class(event.message)
                if publisher.take(number, overtakes=False) is not Verdict.NEW:
                    return
                template = Template.unpack(event.payload or b"")
                self._check_template(stream, publisher, template, connection.now())
                if self._publish_shared is not None:
                    await self._publish_shared(stream, event.message, template)
                    return
                if not stream.deliver_opened_template(template, number, self._wall_clock_us(), connection.now()):
                    raise InvalidDataFormat("a template that cannot be sent to viewers")
        except ProtocolError as error:
            raise StreamRefused(error, name, epoch) from error

    async def _publish_sealed(self, connection: Connection, message: Message, place: StreamOf) -> None:
        """Hand on a message that the publisher has sealed. The application does not get it.

        Raises:
            PermissionDenied: the connection has not opened the stream, or this server seals the stream itself.
            InvalidDataFormat: it comes too late, or there were too many templates.
        """
        if self._seals is not None and self._seals.seals(place.name):
            raise PermissionDenied("this server seals the stream itself; publish it in plain")
        with self._hold(place.name) as stream:
            await self._streams.join(stream)
            publisher = checked_publisher(stream, place.epoch, connection)
            now = connection.now()
            if message.type is MessageType.STREAM_TEMPLATE:
                self._streams.admit_novelty(place.name, now)
            verdict = publisher.take(message.sequence or 0, overtakes=overtakes(message))
            if verdict is Verdict.LOST:
                raise InvalidDataFormat(f"message {message.sequence} comes too late: viewers were told that it is lost")
            if verdict is not Verdict.NEW:
                return
            if self._publish_shared is not None:
                if not overtakes(message):
                    stream.decide_opened_class(message)
                await self._publish_shared(stream, message, None)
            else:
                if not stream.is_sealed_by_publisher:
                    stream.note_sealed_by_publisher()
                    self.end_for_those_who_cannot(place.name)
                stream.deliver_sealed(message, self._wall_clock_us(), now)

    def end_for_those_who_cannot(self, name: str) -> None:
        """End the subscriptions and histories of viewers that cannot get a stream which its publisher seals."""
        for connection in list(self._connections.values()):
            if name in connection.watched and not can_watch(connection.session.encoding):
                connection.revoke(name, ErrorCode.AUTHENTICATION_FAILED, WHY_DENIED)

    def _check_template(self, stream: Stream, publisher: Publisher, template: Template, now: float) -> None:
        """Check that a template is new in its epoch, or has the content that its number had before."""
        if template.number <= publisher.latest_template:
            numbering = stream.numbering
            is_present = numbering is not None and numbering.epoch == publisher.epoch
            known = numbering.present.known(template.number) if numbering is not None and is_present else None
            if known is None or known.payload != template.payload:
                raise InvalidDataFormat(
                    f'data["template"] must be a new number; the latest of this epoch is {publisher.latest_template}',
                    check=Check.FIELDS,
                    path='data["template"]',
                )
        self._streams.admit_novelty(stream.name, now)
        publisher.latest_template = max(publisher.latest_template, template.number)

    def _pass_over(self, connection: Connection, event: FrameRefused) -> None:
        """Note that a message of an opened stream was refused before it was read."""
        if event.of_stream is not None and event.number:
            self._pass_over_number(connection, event.of_stream, event.number, overtakes=True)

    def _pass_over_number(self, connection: Connection, place: StreamOf, number: int, *, overtakes: bool) -> None:
        publisher = connection.opened.get(place.name)
        if publisher is not None and publisher.epoch == place.epoch and publisher.owner is connection:
            publisher.pass_over(number, overtakes=overtakes)

    @contextmanager
    def _hold(self, name: str) -> Iterator[Stream]:
        """Hold a stream; if there are too many, the client is told so."""
        try:
            with self._streams.hold(name) as stream:
                yield stream
        except TooManyStreams as error:
            raise RateLimitExceeded(str(error)) from error

    # --- subscriptions ---

    async def _subscribe(self, connection: Connection, request: SubscribeRequested) -> None:
        name = request.stream
        if (code := self._out_of_bounds(connection, name)) is not None:
            connection.deny(name[: self._limits.stream_name], code)
        else:
            await self._join(connection, request)

    def _out_of_bounds(self, connection: Connection, name: str) -> ErrorCode | None:
        if not self._is_name(name):
            return ErrorCode.INVALID_DATA_FORMAT
        watched = connection.subscriptions
        if len(watched) >= self._limits.streams_per_connection and name not in watched:
            return ErrorCode.RATE_LIMIT_EXCEEDED
        return None

    async def _join(self, connection: Connection, request: SubscribeRequested) -> None:
        name = request.stream
        asked_in = self._rights.round
        if not await self._hooks.may(connection.info, "subscribe", name):
            connection.deny(name, ErrorCode.PERMISSION_DENIED)
            return
        if (reason := connection.refusal(name, wants_keys=request.wants_keys)) is not None:
            connection.deny(name, ErrorCode.AUTHENTICATION_FAILED, reason)
            return
        try:
            with self._streams.hold(name) as stream:
                await self._streams.join(stream)
                place = None
                if request.epoch is not None and request.after is not None and connection.session.version >= 4:
                    place = request.epoch, request.after
                clock = await self._streams.catch_up(stream, request.since, place)
                if stream.is_sealed_by_publisher and not can_watch(connection.session.encoding):
                    connection.deny(name, ErrorCode.AUTHENTICATION_FAILED, WHY_DENIED)
                    return
                if self._rights.round == asked_in:
                    connection.subscribe(stream, request, clock)
                    return
        except TooManyStreams:
            connection.deny(name, ErrorCode.RATE_LIMIT_EXCEEDED)
        except Exception as error:
            log_failure("the backplane", error, connection=connection.id, stream=name)
            connection.deny(name, None)
        else:
            await self._join(connection, request)  # rights were checked again meanwhile, this one not

    async def _play_back(self, connection: Connection, request: HistoryRequested) -> None:
        """Send a viewer of version 4 what is kept of a stream in a range of time."""
        name = request.stream
        asked_in = self._rights.round
        code: ErrorCode | None = None
        reason: str | None = None
        if not self._is_name(name):
            code = ErrorCode.INVALID_DATA_FORMAT
        elif not connection.may_play_back(name, request.number):
            code, reason = ErrorCode.RATE_LIMIT_EXCEEDED, "too many histories at once, or a number that is in use"
        elif not await self._hooks.may(connection.info, "subscribe", name):
            code = ErrorCode.PERMISSION_DENIED
        elif (reason := connection.refusal(name, wants_keys=request.wants_keys)) is not None:
            code = ErrorCode.AUTHENTICATION_FAILED
        past: Past | None = None
        if code is None:
            try:
                with self._streams.hold(name) as stream:
                    await self._streams.join(stream)
                    past = await self._streams.past_of(stream, request)
                    if stream.is_sealed_by_publisher and not can_watch(connection.session.encoding):
                        code, reason = ErrorCode.AUTHENTICATION_FAILED, WHY_DENIED
                    elif self._rights.round == asked_in and connection.may_play_back(name, request.number):
                        playback = self._streams.play_back(stream, connection.writer, request, past)
                        past = None
                        connection.play_back(playback, wants_keys=request.wants_keys)
                        return
            except TooManyStreams:
                code = ErrorCode.RATE_LIMIT_EXCEEDED
            except HistoryBusy as error:
                code, reason = ErrorCode.RATE_LIMIT_EXCEEDED, str(error)
            finally:
                if past is not None:
                    past.close()
            if code is None:
                await self._play_back(connection, request)  # rights were checked again meanwhile, this one not
                return
        connection.deny_history(name[: self._limits.stream_name], request.number, code, reason)

    # --- messages ---

    def _concerns_others(self, message: Message) -> bool:
        return bool(int(message.flags) & _BROADCAST) or (self._publishes and self._stream_of(message) is not None)

    async def _pass_on(self, connection: Connection, message: Message) -> None:
        if int(message.flags) & _BROADCAST:
            await self._require(connection, "broadcast", None)
            connection.audit.broadcast()
            await self._broadcast(message, connection)
        elif (name := self._stream_of(message)) is not None:
            await self._require(connection, "publish", name)
            await self._publish_for(name, message)
            connection.audit.published(name)

    async def _require(self, connection: Connection, action: Any, name: str | None) -> None:
        if not await self._hooks.may(connection.info, action, name):
            what = "broadcast" if name is None else f"publish on {name!r}"
            connection.audit.denied(action, name, ErrorCode.PERMISSION_DENIED)
            raise PermissionDenied(f"this connection may not {what}")

    async def _publish_for(self, name: str, message: Message) -> None:
        try:
            await self._publish(name, message.type, message.data, int(message.flags) & _KEPT_FLAGS)
        except TooManyStreams as error:
            raise RateLimitExceeded(str(error)) from error
        except SealRefused as error:
            raise InvalidDataFormat(str(error)) from error

    def _stream_of(self, message: Message) -> str | None:
        data = message.data
        name = data.get("stream") if isinstance(data, dict) else None
        return name if self._is_name(name) else None

    def _is_name(self, name: object) -> bool:
        return isinstance(name, str) and 0 < len(name) <= self._limits.stream_name and name not in OF_SERVERS


def _check_number(number: int) -> None:
    """Refuse the largest number: there has to be one that follows.

    Raises:
        InvalidDataFormat: it is that one.
    """
    if number >= LARGEST_SEQUENCE:
        raise InvalidDataFormat(f"a message of an opened stream has a number below {LARGEST_SEQUENCE}")


def overtakes(message: Message) -> bool:
    """Return whether a message of a stream may arrive before others with lower numbers."""
    return bool(int(message.flags) & Flag.PRIORITY) or message.type is MessageType.ANOMALY_ALERT


def checked_publisher(stream: Stream, epoch: int, connection: Connection) -> Publisher:
    """Return the publisher of a stream that this connection has opened.

    Raises:
        PermissionDenied: it has not, or not any more.
    """
    publisher = stream.publisher_of(epoch, connection)
    if publisher is None:
        raise PermissionDenied("this connection has not opened the stream, or another one has opened it since")
    return publisher
