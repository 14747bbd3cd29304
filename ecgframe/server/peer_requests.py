"""Handles messages and requests of peers: subscriptions, publications, broadcasts. Checks permission first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from ..background.threads import DECODED_AT_ONCE, in_thread, let_go
from ..codec import Message
from ..errors import PermissionDenied, RateLimitExceeded
from ..protocol import ErrorCode, Flag, MessageType
from ..session import Event, Received, SubscribeRequested, UnsubscribeRequested
from .connection import Connection
from .hooks import Hooks
from .limits import Limits
from .logs import log_failure
from .streams import Streams, TooManyStreams

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
    """

    def __init__(
        self,
        hooks: Hooks,
        limits: Limits,
        streams: Streams,
        publish: Publish,
        broadcast: Callable[[Message, Connection], Awaitable[object]],
    ) -> None:
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
        if isinstance(event, Received):
            message = event.message
            if self._concerns_others(message):
                await self._pass_on(connection, message)
            if self._hooks.on_message is not None:
                await self._hooks.on_message(connection.info, message)
            elif message.nbytes > DECODED_AT_ONCE:  # freeing many objects takes long: do it in a thread
                in_thread(let_go, message.data)
        elif isinstance(event, SubscribeRequested):
            await self._subscribe(connection, event)
        elif isinstance(event, UnsubscribeRequested):
            connection.unsubscribe(event.stream)

    # --- subscriptions ---

    async def _subscribe(self, connection: Connection, request: SubscribeRequested) -> None:
        name = request.stream
        if (code := self._out_of_bounds(connection, name)) is not None:
            connection.deny(name[: self._limits.stream_name], code)
        elif not await self._hooks.may(connection.info, "subscribe", name):
            connection.deny(name, ErrorCode.PERMISSION_DENIED)
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
        try:
            with self._streams.hold(name) as stream:
                await self._streams.join(stream)
                place = None
                if request.epoch is not None and request.after is not None and connection.session.version >= 4:
                    place = request.epoch, request.after
                connection.subscribe(stream, request, await self._streams.catch_up(stream, request.since, place))
        except TooManyStreams:
            connection.deny(name, ErrorCode.RATE_LIMIT_EXCEEDED)
        except Exception as error:
            log_failure("the backplane", error, connection=connection.id, stream=name)
            connection.deny(name, None)

    # --- messages ---

    def _concerns_others(self, message: Message) -> bool:
        return bool(int(message.flags) & _BROADCAST) or (self._publishes and self._stream_of(message) is not None)

    async def _pass_on(self, connection: Connection, message: Message) -> None:
        if int(message.flags) & _BROADCAST:
            await self._require(connection, "broadcast", None)
            await self._broadcast(message, connection)
        elif (name := self._stream_of(message)) is not None:
            await self._require(connection, "publish", name)
            await self._publish_for(name, message)

    async def _require(self, connection: Connection, action: Any, name: str | None) -> None:
        if not await self._hooks.may(connection.info, action, name):
            what = "broadcast" if name is None else f"publish on {name!r}"
            raise PermissionDenied(f"this connection may not {what}")

    async def _publish_for(self, name: str, message: Message) -> None:
        try:
            await self._publish(name, message.type, message.data, int(message.flags) & _KEPT_FLAGS)
        except TooManyStreams as error:
            raise RateLimitExceeded(str(error)) from error

    def _stream_of(self, message: Message) -> str | None:
        data = message.data
        name = data.get("stream") if isinstance(data, dict) else None
        return name if self._is_name(name) else None

    def _is_name(self, name: object) -> bool:
        return isinstance(name, str) and 0 < len(name) <= self._limits.stream_name
