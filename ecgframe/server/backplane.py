"""How messages get from the server on which they are published to the servers on which they are watched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from ..protocol import LARGEST_TIMESTAMP

Deliver = Callable[[str, int, bytes], None]
"""Takes a message that arrived: its stream, its timestamp (microseconds since 1970), and its frame.

The frame is of V3, with arrays in binary form. Where its header tells another timestamp, the one given here counts.
"""

NO_PAST: Final = LARGEST_TIMESTAMP
"""What ``join`` returns where no past is kept: what the handler itself remembers is all there is."""


class Backplane(Protocol):
    """What a handler needs of the engine that joins several servers.

    The handler joins every stream that it has in memory, before it publishes on it or lets a viewer watch it. The
    stream without a name (``""``) carries what is for all connections of all servers.

    A backplane that cannot reach its engine goes on delivering to its own server what that server publishes, and
    raises only where it can do nothing useful at all.
    """

    async def open(self, deliver: Deliver) -> None:
        """Begin. ``deliver`` is called from the handler's event loop and does not raise.

        Within a stream, the timestamps that it is given are strictly increasing.
        """

    async def publish(self, stream: str, timestamp: int, frame: bytes) -> int:
        """Have a message delivered on every server that has joined the stream.

        On this server it is delivered exactly once, in the stream's order, before this returns.

        Args:
            stream: that this server has joined.
            timestamp: in microseconds since 1970, by the clock of ``now``; larger than that of any other message of
                this server's.
            frame: as ``Deliver`` takes it.

        Returns:
            The timestamp under which it was delivered: the given one, or another one where another server's message
            came first or the engine's clock says something else.
        """

    async def join(self, stream: str, since: int) -> int:
        """Follow a stream: its past is delivered first, then what comes. Returns once the past is delivered.

        Joining again does nothing.

        Args:
            stream: its name.
            since: microseconds since 1970; of the past, what is later than this.

        Returns:
            The timestamp after which nothing is missing in what was delivered: ``since``, or a later one where the
            engine does not reach back so far; ``NO_PAST`` where it keeps nothing.
        """

    async def catch_up(self, stream: str) -> bool:
        """Have all delivered here that was published on the stream anywhere before this was called.

        Returns:
            Whether it is; False where that cannot be known, since the engine does not answer.
        """

    def now(self) -> int | None:
        """The time by the engine's clock, in microseconds since 1970, where that is what gives messages their place.

        None where it is the clock of the server that publishes.
        """

    def leave(self, stream: str) -> None:
        """Follow the stream no more; nothing happens if it was not followed."""

    async def close(self) -> None:
        """End."""

    def stats(self) -> dict[str, int | float | bool]:
        """Numbers for an operator. Keys that end in "_total" count since the start; others are as of now."""


class LocalBackplane:
    """The backplane of a server that is alone: what is published is delivered at once."""

    def __init__(self) -> None:
        self._deliver: Deliver | None = None
        self._published = 0

    async def open(self, deliver: Deliver) -> None:
        """Begin. See ``Backplane``."""
        if self._deliver is not None:
            raise RuntimeError("a LocalBackplane serves one handler; make another one for this")
        self._deliver = deliver

    async def publish(self, stream: str, timestamp: int, frame: bytes) -> int:
        """Deliver the message."""
        if self._deliver is None:
            raise RuntimeError("the backplane is not open")
        self._published += 1
        self._deliver(stream, timestamp, frame)
        return timestamp

    async def join(self, stream: str, since: int) -> int:
        """There is no past here that the handler does not have itself."""
        return NO_PAST

    async def catch_up(self, stream: str) -> bool:
        """There are no other servers."""
        return True

    def now(self) -> None:
        """The server's own clock gives the time."""

    def leave(self, stream: str) -> None:
        """There is nothing to leave."""

    async def close(self) -> None:
        """End."""
        self._deliver = None

    def stats(self) -> dict[str, int | float | bool]:
        """How many messages were published."""
        return {"published_total": self._published}
