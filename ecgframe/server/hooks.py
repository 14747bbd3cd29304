"""Hooks: callables of the application that authenticate, authorize and take messages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from ..codec import Message
from ..errors import ProtocolError
from ..protocol import MessageType
from ..session import Undelivered
from .connection_info import ConnectionInfo
from .link import Request
from .logs import log_failure

Action = Literal["subscribe", "publish", "broadcast"]

Authenticate = Callable[[Request], Awaitable[object]]
"""Returns who opens a connection: any object, which becomes its ``identity``. None and False refuse the connection
(ERROR 0x202, close code 1008). At its ``expires_at`` the connection ends in the same way; see ``identity``."""

MayPublish = Callable[[ConnectionInfo, MessageType], bool]
"""Returns whether a connection may send data messages of a type. It is called for each of them, after the header is
read and before the payload is; it is not awaited, so it should be fast. False refuses the message (ERROR 0x203)."""

Authorize = Callable[[ConnectionInfo, Action, str | None], Awaitable[bool]]
"""Returns whether a connection may act on a stream (None for a broadcast). False refuses it (ERROR 0x203)."""

MaySeeWatchers = Callable[[Request, object, str | None], Awaitable[bool]]
"""Returns whether the sender of a request for ``/watchers`` may know who watches a stream (None for all streams). The
second argument is the identity that ``authenticate`` returned. False refuses it (403)."""

VisibleStreams = Callable[[Request, object, Sequence[str]], Awaitable[Collection[str]]]
"""Returns the streams whose names the sender of a request for ``/streams`` may see. The second argument is the
identity that ``authenticate`` returned."""

MaySeeMetrics = Callable[[Request, object], Awaitable[bool]]
"""Returns whether the sender of a request for ``/metrics`` may see them. The second argument is the identity that
``authenticate`` returned. False refuses it (403)."""

OnMessage = Callable[[ConnectionInfo, Message], Awaitable[None]]
"""Handles a data message. A ``ProtocolError`` that it raises is sent to the peer, with its code and text."""

OnUndelivered = Callable[[ConnectionInfo, Undelivered], None]
"""Called when a message with ACK_REQUIRED is given up; not awaited."""

OnError = Callable[[ConnectionInfo, ProtocolError, bytes | str | None], object]
"""Called with each error that is sent to a peer, and the WebSocket message that caused it (None if none did); not
awaited. The message may hold data of a patient, and so may anything that is kept of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """The hooks of a handler.

    Attributes:
        seconds: seconds that ``authenticate`` may take, and ``authorize`` where it is asked again.
    """

    seconds: float
    authenticate: Authenticate | None = None
    authorize: Authorize | None = None
    may_publish: MayPublish | None = None
    on_message: OnMessage | None = None
    on_undelivered: OnUndelivered | None = None
    on_error: OnError | None = None
    may_see_watchers: MaySeeWatchers | None = None
    visible_streams: VisibleStreams | None = None
    may_see_metrics: MaySeeMetrics | None = None

    async def identify(self, request: Request) -> tuple[bool, object]:
        """Return whether the connection may be opened, and its identity. A hook that raises refuses it."""
        if self.authenticate is None:
            return True, None
        try:
            async with asyncio.timeout(self.seconds):
                identity = await self.authenticate(request)
        except Exception as error:
            log_failure("authenticate", error, peer=request.peer)
            return False, None
        return identity is not None and identity is not False, identity

    async def may(self, connection: ConnectionInfo, action: Action, stream: str | None) -> bool:
        """Return whether the connection may do something with a stream.

        Without ``authorize`` it may subscribe only. A hook that raises refuses.
        """
        return await self.decide(connection, action, stream) is True

    async def decide(self, connection: ConnectionInfo, action: Action, stream: str | None) -> bool | None:
        """Return the same; None if the hook raises."""
        if self.authorize is None:
            return action == "subscribe"
        try:
            return bool(await self.authorize(connection, action, stream))
        except Exception as error:
            log_failure("authorize", error, connection=connection.id, peer=connection.peer, action=action)
            return None

    async def may_see(self, request: Request, identity: object, stream: str | None) -> bool:
        """Return whether a request for who watches a stream is granted. A hook that raises or takes long refuses."""
        if self.may_see_watchers is None:
            return False
        return await self._grants("may_see_watchers", self.may_see_watchers, request, identity, stream)

    async def listed(self, request: Request, identity: object, streams: Sequence[str]) -> list[str]:
        """Return the streams whose names a request is answered with, in their order.

        Without ``visible_streams``, these are all. If it raises or takes long, there are none.
        """
        if self.visible_streams is None:
            return list(streams)
        try:
            async with asyncio.timeout(self.seconds):
                visible = frozenset(await self.visible_streams(request, identity, streams))
        except Exception as error:
            log_failure("visible_streams", error, peer=request.peer)
            return []
        return [stream for stream in streams if stream in visible]

    async def grants_metrics(self, request: Request, identity: object) -> bool:
        """Return whether a request for the metrics is granted. A hook that raises or takes long refuses."""
        if self.may_see_metrics is None:
            return True
        return await self._grants("may_see_metrics", self.may_see_metrics, request, identity)

    async def _grants(
        self, name: str, hook: Callable[..., Awaitable[object]], request: Request, *about: object
    ) -> bool:
        """Return whether a hook grants a request. One that raises or takes long refuses, which is logged."""
        try:
            async with asyncio.timeout(self.seconds):
                return bool(await hook(request, *about))
        except Exception as error:
            log_failure(name, error, peer=request.peer)
            return False

    @property
    def takes_data(self) -> bool:
        """True if the server accepts data messages from any peer."""
        return self.authorize is not None or self.on_message is not None

    def refuses_data(self, connection: ConnectionInfo, type: MessageType, is_broadcast: bool) -> str | None:
        """Return why a connection may not send a data message, judged by its header; None if it may."""
        if not self.takes_data:
            return "this connection may not publish"
        if is_broadcast and self.authorize is None:
            return "this connection may not broadcast"
        if self.may_publish is None:
            return None
        try:
            return None if self.may_publish(connection, type) else f"this connection may not send {type.name}"
        except Exception as error:
            log_failure("may_publish", error, connection=connection.id, peer=connection.peer)
            return f"this connection may not send {type.name}"

    def give_up(self, connection: ConnectionInfo, undelivered: Undelivered) -> None:
        """Call ``on_undelivered``; an exception is logged."""
        if self.on_undelivered is None:
            return
        try:
            self.on_undelivered(connection, undelivered)
        except Exception as error:
            log_failure("on_undelivered", error, connection=connection.id, peer=connection.peer)

    def report(self, connection: ConnectionInfo, error: ProtocolError, message: bytes | str | None) -> None:
        """Call ``on_error``; an exception is logged."""
        if self.on_error is None:
            return
        try:
            self.on_error(connection, error, message)
        except Exception as failure:
            log_failure("on_error", failure, connection=connection.id, peer=connection.peer)
