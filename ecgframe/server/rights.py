"""Takes away rights of open connections: asks ``authorize`` again, ends subscriptions, and disconnects.

All of it reaches all servers of a backplane, as messages on a stream that peers can neither watch nor publish on.
"""

from __future__ import annotations

import asyncio
import logging
import math
import uuid
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum, auto
from typing import Any, Final, NamedTuple

from ..codec import Codec
from ..errors import ProtocolError
from ..protocol import CloseCode, ErrorCode, MessageType
from .audit import Audit
from .backplane import COMMANDS, Backplane
from .connection import Connection
from .hooks import Hooks
from .identity import name_of
from .logs import logger

AT_ONCE: Final = 64
"""Subscriptions about which ``authorize`` is asked at the same time."""

TOO_LATE: Final = "the server could not find out in time whether it is still allowed"

_codec: Final = Codec(compression=None)


class Answer(Enum):
    """The answer of ``authorize`` about a subscription that it has granted before."""

    GRANTED = auto()
    REFUSED = auto()
    FAILED = auto()
    """It raised."""
    LATE = auto()
    """It did not answer within ``Limits.hook_seconds``."""


class Withdrawal(NamedTuple):
    """The result of taking rights away.

    Attributes:
        ended: subscriptions or connections that this server has ended, those included for which ``authorize`` did not
            answer in time.
        undecided: subscriptions that go on because ``authorize`` raised.
        is_everywhere: whether the other servers were informed; False if the backplane cannot be reached. They are
            informed once it can, if it keeps messages until then, as ``RedisBackplane`` does.
    """

    ended: int
    undecided: int
    is_everywhere: bool


class Rights:
    """The rights of the connections of a handler.

    Args:
        hooks: hooks of the handler.
        connections: connections of this server, by id.
        backplane: joins this server with others.
        wall_clock_us: returns microseconds since 1970, strictly increasing.
        audit: records what ends.

    Attributes:
        round: number of times that rights were checked again. A right that was granted before the last time, and is
            not in use yet, has to be checked once more.
    """

    def __init__(
        self,
        hooks: Hooks,
        connections: Mapping[str, Connection],
        backplane: Backplane,
        wall_clock_us: Callable[[], int],
        audit: Audit,
    ) -> None:
        self.round = 0
        self._hooks = hooks
        self._connections = connections
        self._backplane = backplane
        self._wall_clock_us = wall_clock_us
        self._audit = audit
        self._own: dict[str, asyncio.Future[asyncio.Task[tuple[int, int]]]] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._answered_at = self._silent_at = -math.inf
        self._tasks: set[asyncio.Task[Any]] = set()

    async def recheck(self, stream: str | None) -> Withdrawal:
        """Ask ``authorize`` again for each subscription; None for those of all streams."""
        return await self._everywhere("recheck", stream)

    async def may_watch(self, connection: Connection, stream: str) -> Answer:
        """Ask ``authorize`` again for one subscription, at most ``AT_ONCE`` at a time.

        If it has answered nobody for ``Limits.hook_seconds``, all who waited for their turn meanwhile are late as well:
        otherwise, thousands of subscriptions that it leaves without an answer would take hours.
        """
        now = asyncio.get_running_loop().time
        came_at = now()
        async with self._turns:
            if self._silent_at > came_at:
                return Answer.LATE
            asked_at = now()
            asked = asyncio.create_task(self._hooks.decide(connection.info, "subscribe", stream))
            self._tasks.add(asked)  # also when it goes on after its cancellation
            asked.add_done_callback(self._tasks.discard)
            try:
                answered, _ = await asyncio.wait({asked}, timeout=self._hooks.seconds)
            except asyncio.CancelledError:
                asked.cancel()
                raise
            if answered:
                self._answered_at = now()
                may = asked.result()
                return Answer.FAILED if may is None else Answer.GRANTED if may else Answer.REFUSED
            asked.cancel()
            if self._answered_at < asked_at:
                self._silent_at = now()
            logger.error(
                "authorize took more than %g s and was cancelled",
                self._hooks.seconds,
                extra={"connection": connection.id, "peer": connection.info.peer, "action": "subscribe"},
            )
            return Answer.LATE

    def end(self, connection: Connection, stream: str, answer: Answer) -> bool:
        """End a subscription that is refused, or about which no answer came in time. Returns whether there was one."""
        if answer is Answer.REFUSED:
            return connection.revoke(stream)
        return answer is Answer.LATE and connection.revoke(stream, reason=TOO_LATE)

    async def disconnect(self, name: str, reason: str) -> Withdrawal:
        """Close the connections of an identity with that name, or with that id."""
        return await self._everywhere("disconnect", name, reason)

    async def unsubscribe(self, name: str, stream: str, reason: str) -> Withdrawal:
        """End the subscriptions to a stream of an identity with that name, or of the connection with that id."""
        return await self._everywhere("unsubscribe", name, reason, stream)

    def obey(self, frame: bytes) -> None:
        """Carry out a command that the backplane delivers, of this server or another one."""
        try:
            command = _codec.decode(frame).data["features"]
            id, name, of, reason = (command[key] for key in ("id", "command", "of", "reason"))
            stream = command.get("stream")
        except (ProtocolError, KeyError, TypeError) as error:
            logger.error("the backplane delivered a damaged command: %s", type(error).__name__)
            return
        task = asyncio.get_running_loop().create_task(self._carry_out(name, of, reason, stream))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if (own := self._own.get(id)) is not None and not own.done():
            own.set_result(task)

    async def _everywhere(
        self, command: str, of: str | None, reason: str = "", stream: str | None = None
    ) -> Withdrawal:
        id, timestamp = uuid.uuid4().hex, self._wall_clock_us()
        features = {"id": id, "command": command, "of": of, "reason": reason}
        if stream is not None:
            features["stream"] = stream
        encoded = _codec.encode_frame(
            MessageType.FEATURE_DATA, {"stream": COMMANDS, "features": features}, timestamp=timestamp
        )
        delivered = self._own[id] = asyncio.get_running_loop().create_future()
        try:
            await self._backplane.publish(COMMANDS, timestamp, encoded)
            ended, undecided = await asyncio.shield(await delivered)
        finally:
            del self._own[id]
        return Withdrawal(ended, undecided, await self._backplane.catch_up(COMMANDS))

    async def _carry_out(self, command: str, of: str | None, reason: str, stream: str | None) -> tuple[int, int]:
        if command == "recheck":
            ended, undecided, late = await self._recheck(of)
            self._audit.rights(command, of, ended, late)
            return ended, undecided
        if command == "disconnect" and of is not None:
            ended = self._disconnect(of, reason)
            self._audit.rights(command, of, ended)
            return ended, 0
        if command == "unsubscribe" and of is not None and stream is not None:
            ended = self._unsubscribe(of, stream, reason)
            self._audit.rights(command, of, ended, stream=stream)
            return ended, 0
        logger.error("another server sent a command that this one does not know")
        return 0, 0

    async def _recheck(self, stream: str | None) -> tuple[int, int, int]:
        self.round += 1
        ended = undecided = late = 0

        async def check(connection: Connection, name: str) -> None:
            nonlocal ended, undecided, late
            answer = await self.may_watch(connection, name)
            undecided += answer is Answer.FAILED
            if self.end(connection, name, answer):
                ended += 1
                late += answer is Answer.LATE

        checks: list[Awaitable[None]] = [
            check(connection, name)
            for connection in list(self._connections.values())
            for name in connection.watched
            if stream in (None, name)
        ]
        await asyncio.gather(*checks)
        logger.log(
            logging.ERROR if late else logging.INFO,
            "asked authorize again: %d subscriptions ended, of which %d had no answer in time; %d undecided",
            ended,
            late,
            undecided,
        )
        return ended, undecided, late

    def _of(self, name: str) -> list[Connection]:
        """The open connections of an identity with that name, or with that id."""
        return [
            connection
            for connection in self._connections.values()
            if connection.is_open and name in (connection.id, name_of(connection.identity))
        ]

    def _unsubscribe(self, name: str, stream: str, reason: str) -> int:
        watching = [connection for connection in self._of(name) if stream in connection.watched]
        for connection in watching:
            connection.revoke(stream, reason=reason)
        logger.info("ended %d subscriptions", len(watching))
        return len(watching)

    def _disconnect(self, name: str, reason: str) -> int:
        found = self._of(name)
        for connection in found:
            connection.refuse(ErrorCode.PERMISSION_DENIED, reason, close=CloseCode.POLICY)
        logger.info("disconnected %d connections", len(found))
        return len(found)
