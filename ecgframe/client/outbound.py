"""Messages of the application on their way to a conversation: in order, the large ones by way of a thread."""

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
    from .conversation import Conversation, Receipt


class Sent(NamedTuple):
    """Over which conversation a message was sent, and what becomes of it, if the server is to acknowledge it."""

    conversation: Conversation
    receipt: Receipt | None


class Outbound:
    """Sends messages over whichever conversation is held, in the order in which they come.

    A large message is packed and deflated in a thread, and those behind it wait for it; but nothing urgent waits for
    what is not.
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
        ready: Callable[[], Awaitable[Conversation]],
    ) -> Sent:
        """Send a message.

        Args:
            type: of the message.
            data: its payload.
            flags: PRIORITY, BROADCAST and ACK_REQUIRED.
            timestamp: of the message.
            ready: gives a conversation with room for a message, once there is one.

        Raises:
            Exception: what ``ready`` raises, and what ``Codec.encode`` does.
        """
        lane = bool(flags & Flag.PRIORITY) or type is MessageType.ANOMALY_ALERT
        conversation = await ready()
        is_free = lane not in self._lanes.taken
        if is_free and (outgoing := _encode_at_once(conversation, type, data, flags, timestamp)):
            return Sent(conversation, conversation.send(outgoing))
        async with self._lanes.turn(lane):
            return await self._send_large(type, data, flags, timestamp, ready)

    async def _send_large(
        self,
        type: MessageType,
        data: Any,
        flags: Flag,
        timestamp: int,
        ready: Callable[[], Awaitable[Conversation]],
    ) -> Sent:
        prepared: PreparedOutgoing | None = None
        prepared_for: tuple[Encoding, int] | None = None
        while True:
            conversation = await ready()
            encoding, limit = wanted = conversation.session.encoding, _max_payload(conversation)
            if prepared is not None and prepared_for == wanted:
                return Sent(conversation, conversation.send(prepared.seal(timestamp)))
            # Once it is done, the conversation may be another one, or have no room any more.
            prepared_for = wanted
            prepared = await in_thread(
                prepare_outgoing,
                encoding,
                type,
                data,
                settings=conversation.session.settings,
                flags=flags,
                max_payload=limit,
            )


def _encode_at_once(
    conversation: Conversation, type: MessageType, data: Any, flags: Flag, timestamp: int
) -> Outgoing | None:
    """The message, or None where to encode it would hold up the event loop."""
    session, limit = conversation.session, _max_payload(conversation)
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


def _max_payload(conversation: Conversation) -> int:
    session = conversation.session
    limit = session.max_payload_of_peer
    return session.settings.max_payload if limit is None else limit
