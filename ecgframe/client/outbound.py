"""Sending of the application's messages in order. Large ones are encoded in a thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ..background.lanes import Lanes
from ..background.threads import ENCODED_AT_ONCE, in_thread
from ..errors import MessageTooLarge
from ..protocol import Flag, MessageType
from ..session import encode_outgoing, prepare_outgoing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..session import Encoding, Outgoing, PreparedOutgoing
    from .connection import Connection, Receipt


class Sent(NamedTuple):
    """The connection over which a message was sent, and its receipt, if the server is to acknowledge it."""

    connection: Connection
    receipt: Receipt | None


class Outbound:
    """Sends messages over the current connection, in the order of the calls.

    A large message is packed and deflated in a thread, and later messages wait for it. Urgent messages only wait for
    urgent ones.
    """

    __slots__ = ("_lanes",)

    def __init__(self) -> None:
        self._lanes = Lanes()

    async def send(
        self,
        type: MessageType,
        data: Any,
        flags: Flag,
        timestamp: int,
        ready: Callable[[bool], Awaitable[Connection]],
    ) -> Sent:
        """Send a message.

        Args:
            type: of the message.
            data: its payload.
            flags: PRIORITY, BROADCAST and ACK_REQUIRED.
            timestamp: of the message.
            ready: waits for a connection with space in its send queue, and returns it; its argument says whether the
                message is urgent.

        Raises:
            Exception: those of ``ready`` and of ``Codec.encode``.
        """
        urgent = bool(flags & Flag.PRIORITY) or type is MessageType.ANOMALY_ALERT
        connection = await ready(urgent)
        is_free = urgent not in self._lanes.taken
        if is_free and (outgoing := _encode_at_once(connection, type, data, flags, timestamp)):
            return Sent(connection, connection.send(outgoing))
        async with self._lanes.turn(urgent):
            return await self._send_large(type, data, flags, timestamp, ready)

    async def _send_large(
        self,
        type: MessageType,
        data: Any,
        flags: Flag,
        timestamp: int,
        ready: Callable[[bool], Awaitable[Connection]],
    ) -> Sent:
        prepared: PreparedOutgoing | None = None
        prepared_for: tuple[Encoding, int] | None = None
        while True:
            connection = await ready(False)
            encoding, limit = wanted = connection.session.encoding, _max_payload(connection)
            if prepared is not None and prepared_for == wanted:
                return Sent(connection, connection.send(prepared.finish(timestamp)))
            # Afterwards, the connection may be another one, or its send queue may be full.
            prepared_for = wanted
            prepared = await in_thread(
                prepare_outgoing,
                encoding,
                type,
                data,
                settings=connection.session.settings,
                flags=flags,
                max_payload=limit,
            )


def _encode_at_once(
    connection: Connection, type: MessageType, data: Any, flags: Flag, timestamp: int
) -> Outgoing | None:
    """Encode a message; return None if it is so large that this would block the event loop."""
    session, limit = connection.session, _max_payload(connection)
    try:
        return encode_outgoing(
            session.encoding,
            type,
            data,
            timestamp=timestamp,
            settings=session.settings,
            flags=flags,
            max_payload=min(limit, ENCODED_AT_ONCE),
        )
    except MessageTooLarge:
        if limit <= ENCODED_AT_ONCE:
            raise
        return None


def _max_payload(connection: Connection) -> int:
    session = connection.session
    limit = session.max_payload_of_peer
    return session.settings.max_payload if limit is None else limit
