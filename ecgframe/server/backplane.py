"""Backplanes carry a published message to every server that has viewers of its stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from ..codec import EncodedFrame
from ..protocol import LARGEST_TIMESTAMP

Deliver = Callable[[str, int, EncodedFrame | bytes], None]
"""Takes a message that arrived: its stream, its timestamp (microseconds since 1970), and its frame.

The frame is a V3 frame with arrays in binary form. An ``EncodedFrame``, such as the one that was passed to ``publish``,
has been checked already; bytes from another server are checked by the handler. The timestamp given here replaces the
one in the frame's header.
"""

NO_PAST: Final = LARGEST_TIMESTAMP
"""``join`` returns this if the backplane keeps no history: then only the handler's own history is available."""


class Backplane(Protocol):
    """What a handler needs of the engine that joins several servers.

    The handler joins a stream before it publishes on it and before a viewer may watch it. The stream with the empty
    name (``""``) carries broadcasts: messages for all connections of all servers.

    A backplane that cannot reach its engine still delivers to its own server what that server publishes. It raises
    only if it cannot do even that.
    """

    async def open(self, deliver: Deliver) -> None:
        """Start the backplane. ``deliver`` is called from the handler's event loop and does not raise.

        Within a stream, the timestamps passed to ``deliver`` increase strictly.
        """

    async def publish(self, stream: str, timestamp: int, frame: EncodedFrame) -> int:
        """Deliver a message on every server that has joined the stream.

        On this server it is delivered exactly once, in the stream's order, before this returns.

        Args:
            stream: name of a stream that this server has joined.
            timestamp: in microseconds since 1970, by the clock of ``now``; larger than that of any earlier message of
                this server.
            frame: the message, in the form that ``Deliver`` describes; its attribute ``frame`` holds the bytes for
                other servers.

        Returns:
            The timestamp with which the message was delivered. It differs from ``timestamp`` if a message of another
            server came first, or if the engine's clock shows another time.
        """

    async def join(self, stream: str, since: int) -> int:
        """Follow a stream: deliver its past messages, then each new one. Returns once the past is delivered.

        Joining a stream again does nothing.

        Args:
            stream: name of the stream.
            since: in microseconds since 1970; of the past, messages later than this are delivered.

        Returns:
            The timestamp after which no message is missing: ``since``, or a later one if the engine's history does not
            reach back that far; ``NO_PAST`` if it keeps none.
        """

    async def catch_up(self, stream: str) -> bool:
        """Deliver here every message that any server published on the stream before this call.

        Returns:
            True once they are delivered; False if that cannot be known, because the engine does not answer.
        """

    def now(self) -> int | None:
        """The time by the engine's clock, in microseconds since 1970, if that clock orders the messages.

        None if messages are ordered by the clock of the server that publishes them.
        """

    def leave(self, stream: str) -> None:
        """Stop following the stream; does nothing if it was not followed."""

    async def close(self) -> None:
        """Stop the backplane."""

    def stats(self) -> dict[str, int | float | bool]:
        """Numbers for an operator. Keys that end in "_total" count since the start; others are current values."""


class LocalBackplane:
    """The backplane of a single server: every published message is delivered at once."""

    def __init__(self) -> None:
        self._deliver: Deliver | None = None
        self._published = 0

    async def open(self, deliver: Deliver) -> None:
        """Start the backplane. See ``Backplane.open``.

        Raises:
            RuntimeError: another handler has opened it.
        """
        if self._deliver is not None:
            raise RuntimeError("a LocalBackplane serves one handler; make another one for this")
        self._deliver = deliver

    async def publish(self, stream: str, timestamp: int, frame: EncodedFrame) -> int:
        """Deliver the message to this server and return ``timestamp``.

        Raises:
            RuntimeError: the backplane is not open.
        """
        if self._deliver is None:
            raise RuntimeError("the backplane is not open")
        self._published += 1
        self._deliver(stream, timestamp, frame)
        return timestamp

    async def join(self, stream: str, since: int) -> int:
        """Return ``NO_PAST``: the handler's own history is the only one."""
        return NO_PAST

    async def catch_up(self, stream: str) -> bool:
        """Return True: there are no other servers."""
        return True

    def now(self) -> None:
        """Return None: messages are ordered by the server's own clock."""

    def leave(self, stream: str) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Stop the backplane."""
        self._deliver = None

    def stats(self) -> dict[str, int | float | bool]:
        """The number of published messages."""
        return {"published_total": self._published}
