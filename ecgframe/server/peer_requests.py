"""Handles messages and requests of peers: subscriptions, publications, broadcasts. Checks permission first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from ..background.threads import DECODED_AT_ONCE, in_thread, let_go
from ..codec import Message
from ..errors import InvalidDataFormat, PermissionDenied, RateLimitExceeded
from ..protocol import ErrorCode, Flag, MessageType
from ..session import (
    Event,
    FrameRefused,
    HistoryRequested,
    Numbered,
    OpeningRequested,
    Received,
    SubscribeRequested,
    UnsubscribeRequested,
)
from .connection import Connection
from .disk_history import HistoryBusy
from .hooks import Hooks
from .limits import Limits
from .logs import log_failure
from .opaque_publication import WHY_DENIED, can_watch
from .opened_streams import OpenedStreams, publishes, require
from .placing import wait_for_turn
from .playback import Past
from .rights import Rights
from .sealing import SealRefused
from .streams import Streams, TooManyStreams, is_stream_name

_BROADCAST: Final = int(Flag.BROADCAST)
_KEPT_FLAGS: Final = int(Flag.PRIORITY)
"""Flags of a client's message that viewers get as well; the others concern only the client and this server."""


class Publish(Protocol):
    """``WebSocketBinaryHandler.publish``."""

    def __call__(self, stream: str, message_type: MessageType, data: Any, flags: int) -> Awaitable[int]:
        """Publish a message."""


class Requests:
    """Handles the messages and requests of all peers of a handler.

    Args:
        hooks: hooks of the handler.
        limits: limits of the handler.
        streams: streams of the handler.
        publish: sends a message to the viewers of a stream.
        broadcast: sends a message to all connections but its sender.
        opened: the streams that connections have opened.
        rights: the rights of the connections, which may be checked again while one subscribes.
    """

    def __init__(
        self,
        hooks: Hooks,
        limits: Limits,
        streams: Streams,
        publish: Publish,
        broadcast: Callable[[Message, Connection], Awaitable[object]],
        opened: OpenedStreams,
        rights: Rights,
    ) -> None:
        self._rights = rights
        self._opened = opened
        self._hooks = hooks
        self._limits = limits
        self._streams = streams
        self._publish = publish
        self._broadcast = broadcast
        self._publishes = publishes(hooks)

    async def serve(self, connection: Connection, event: Event) -> None:
        """Handle a message or a request.

        Raises:
            ProtocolError: it is denied or invalid; the peer is sent this error.
            Exception: a hook failed.
        """
        if isinstance(event, Received) and event.stream is not None:
            if await self._opened.take(connection, event, event.stream):
                await self._hand_over(connection, event.message)
        elif isinstance(event, Received):
            message = event.message
            if self._concerns_others(message):
                await self._pass_on(connection, message)
            await self._hand_over(connection, message)
        elif isinstance(event, OpeningRequested):
            await self._opened.open(connection, event)
        elif isinstance(event, Numbered):
            await self._opened.take_template(connection, event)
        elif isinstance(event, FrameRefused):
            self._opened.pass_over(connection, event)
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
            try:
                await self._hooks.on_message(connection.info, message)
            except PermissionDenied as denied:
                connection.audit.denied("message", None, denied.code)
                raise
        elif message.nbytes > DECODED_AT_ONCE:  # freeing many objects takes long: do it in a thread
            in_thread(let_go, message.data)

    # --- subscriptions ---

    async def _subscribe(self, connection: Connection, request: SubscribeRequested) -> None:
        name = request.stream
        if (code := self._out_of_bounds(connection, name)) is not None:
            connection.deny(name[: self._limits.stream_name], code)
        else:
            await self._join(connection, request)

    def _out_of_bounds(self, connection: Connection, name: str) -> ErrorCode | None:
        if not is_stream_name(name, self._limits):
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
        if not is_stream_name(name, self._limits):
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
            await require(self._hooks, connection, "broadcast", None)
            connection.audit.broadcast()
            await self._broadcast(message, connection)
        elif (name := self._stream_of(message)) is not None:
            await require(self._hooks, connection, "publish", name)
            await self._publish_for(name, message)
            connection.audit.published(name)

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
        return name if is_stream_name(name, self._limits) else None
