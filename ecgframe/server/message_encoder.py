"""Encodes the messages that a server publishes or sends: small ones at once, large ones in a thread, in their order.

A message is first encoded on the event loop with a small limit; if it exceeds that, a thread encodes it. So the size of
a message need not be estimated. Messages for the same stream or connection that follow a large one wait for it.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Final

from ..background.lanes import Lanes
from ..background.threads import ENCODED_AT_ONCE, in_thread
from ..codec import EncodedFrame
from ..errors import MessageTooLarge
from ..protocol import DATA_TYPES, Flag, MessageType
from ..session import Encoding, Settings, encode_frame, prepare_outgoing
from .publication import CANONICAL

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .connection import Connection
    from .sealing import Seals
    from .stats import ServerStats

_PRIORITY: Final = int(Flag.PRIORITY)

UNCOMPRESSED: Final = CANONICAL._replace(compressed=False)
"""The same for messages of sealed streams, whose sizes must not depend on their content."""


class MessageEncoder:
    """Encodes messages for one connection, or for all viewers of a stream in the encoding in which they are kept.

    Args:
        settings: those of the sessions.
        wall_clock_us: returns microseconds since 1970, always more than the time before.
        stats: counters of the handler.
        seals: those of the handler; None if it seals no streams.
        open: opens the handler, or raises if it is closed.
    """

    def __init__(
        self,
        settings: Settings,
        wall_clock_us: Callable[[], int],
        stats: ServerStats,
        seals: Seals | None,
        open: Callable[[], Awaitable[None]],
    ) -> None:
        self._settings = settings
        self._wall_clock_us = wall_clock_us
        self._stats = stats
        self._seals = seals
        self._open = open
        self._lanes = Lanes()
        self._at_once = min(settings.max_payload, ENCODED_AT_ONCE)

    def encode(
        self, stream: str, message_type: MessageType | int, data: Any, flags: Flag | int
    ) -> tuple[EncodedFrame | None, int]:
        """Encode a message for many viewers, and give it a timestamp.

        Returns:
            The frame and its timestamp. The frame is None if the message has to go through ``encode_large``.
        """
        type, flags = _for_many(message_type, flags)
        encoded, timestamp = self.encode_for(stream, self._canonical_for(stream), type, data, flags)
        if encoded is not None:
            self._stats.note_encoded(encoded)
        return encoded, timestamp

    def encode_for(
        self, to: str | Connection, encoding: Encoding, type: MessageType, data: Any, flags: Flag | int
    ) -> tuple[EncodedFrame | None, int]:
        """Encode a message for one connection, or for one stream.

        Returns:
            The frame and its timestamp. The frame is None if the message is large, or has to wait behind a large one.
        """
        if self._lanes.taken and _lane(to, type, flags) in self._lanes.taken:
            return None, 0
        timestamp = self._wall_clock_us()
        try:
            encoded = encode_frame(
                encoding,
                type,
                data,
                timestamp=timestamp,
                settings=self._settings,
                flags=flags,
                max_payload=self._at_once,
            )
        except MessageTooLarge:
            if self._at_once == self._settings.max_payload:
                raise
            return None, 0
        return encoded, timestamp

    async def encode_large(
        self,
        stream: str,
        message_type: MessageType | int,
        data: Any,
        flags: Flag | int,
        publish: Callable[[EncodedFrame, int], Awaitable[int]],
    ) -> int:
        """Encode a message in a thread and publish it, in order with other messages on the stream.

        Urgent messages do not wait for those that are not urgent.

        Args:
            stream: name of the stream; ``EVERYONE`` for a broadcast.
            message_type: one of the four data types.
            data: payload of the message.
            flags: flags of the message.
            publish: gets the frame and its timestamp.

        Returns:
            What ``publish`` returns: the timestamp of the message.
        """
        type, flags = _for_many(message_type, flags)
        async with self.turn(stream, type, flags):
            canonical = self._canonical_for(stream)
            prepared = await in_thread(prepare_outgoing, canonical, type, data, settings=self._settings, flags=flags)
            await self._open()
            # Timestamps increase over all streams, and others have published while this one was encoded.
            timestamp = self._wall_clock_us()
            encoded = prepared.finish_frame(timestamp)
            self._stats.note_encoded(encoded)
            return await publish(encoded, timestamp)

    def turn(self, to: str | Connection, type: MessageType, flags: Flag | int) -> AbstractAsyncContextManager[None]:
        """Return a context in which a large message is encoded: it begins once those before it are sent."""
        return self._lanes.turn(_lane(to, type, flags))

    def _canonical_for(self, stream: str) -> Encoding:
        """The encoding in which messages of a stream are kept: without compression if their sizes must be constant."""
        if self._seals is None or self._seals.compress or not self._seals.seals(stream):
            return CANONICAL
        return UNCOMPRESSED


def type_of(number: MessageType | int) -> MessageType:
    """Return the message type with a number. Raises ValueError if there is none."""
    return number if type(number) is MessageType else MessageType(number)


def is_urgent(type: MessageType | int, flags: Flag | int) -> bool:
    """Return whether a message is sent before what waits: it is an alert, or has PRIORITY."""
    return type == MessageType.ANOMALY_ALERT or bool(int(flags) & _PRIORITY)  # operations on a Flag are slow


def _for_many(number: MessageType | int, flags: Flag | int) -> tuple[MessageType, Flag | int]:
    type = type_of(number)
    if type not in DATA_TYPES:
        raise ValueError(f"{type.name} is a control message; only data messages can be published")
    if type is MessageType.ANOMALY_ALERT:
        flags |= Flag.PRIORITY
    return type, flags


def _lane(to: str | Connection, type: MessageType, flags: Flag | int) -> tuple[object, bool]:
    """The key of the messages that are sent in order: same stream or connection, and same urgency."""
    return to, bool(flags & Flag.PRIORITY) or type is MessageType.ANOMALY_ALERT
