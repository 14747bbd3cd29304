"""What the application decides: who may come in, who may do what, and what becomes of a message."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from ..codec import Message
from ..errors import ProtocolError
from ..session import Undelivered
from .connection_info import ConnectionInfo
from .link import Request
from .logs import log_failure

Action = Literal["subscribe", "publish", "broadcast"]

Authenticate = Callable[[Request], Awaitable[object]]
"""Says who opens a connection: any object, which becomes its ``identity``; None or False refuses it (0x202, 1008)."""

Authorize = Callable[[ConnectionInfo, Action, str | None], Awaitable[bool]]
"""Says whether a connection may do something with a stream (None: a broadcast). False refuses it (0x203)."""

OnMessage = Callable[[ConnectionInfo, Message], Awaitable[None]]
"""Takes a data message. A ``ProtocolError`` that it raises is told to the peer, with its code and text."""

OnUndelivered = Callable[[ConnectionInfo, Undelivered], None]
"""Is told that a message which was to be acknowledged was given up. Called, not awaited."""

OnError = Callable[[ConnectionInfo, ProtocolError, bytes | str | None], object]
"""Is told of each error that a peer is answered, with the WebSocket message that was at fault (None: no message was).
Called, not awaited. It sees what peers sent, so what it keeps may be a patient's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """The application's part of a handler. ``seconds``: how long ``authenticate`` may take."""

    seconds: float
    authenticate: Authenticate | None = None
    authorize: Authorize | None = None
    on_message: OnMessage | None = None
    on_undelivered: OnUndelivered | None = None
    on_error: OnError | None = None

    async def identify(self, request: Request) -> tuple[bool, object]:
        """Whether the connection may be opened, and whose it is. A hook that fails refuses."""
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
        """Whether the connection may do that. Without a hook, it may subscribe only; a hook that fails refuses."""
        if self.authorize is None:
            return action == "subscribe"
        try:
            return bool(await self.authorize(connection, action, stream))
        except Exception as error:
            log_failure("authorize", error, connection=connection.id, peer=connection.peer, action=action)
            return False

    def give_up(self, connection: ConnectionInfo, undelivered: Undelivered) -> None:
        """Tell the application that a message was not delivered."""
        if self.on_undelivered is None:
            return
        try:
            self.on_undelivered(connection, undelivered)
        except Exception as error:
            log_failure("on_undelivered", error, connection=connection.id, peer=connection.peer)

    def report(self, connection: ConnectionInfo, error: ProtocolError, message: bytes | str | None) -> None:
        """Tell the application of an error that the peer is answered."""
        if self.on_error is None:
            return
        try:
            self.on_error(connection, error, message)
        except Exception as failure:
            log_failure("on_error", failure, connection=connection.id, peer=connection.peer)
