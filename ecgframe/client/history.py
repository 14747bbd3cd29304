"""The past of a stream that the application has asked for. It comes beside what is live, and does not delay it."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from ..errors import InvalidProtocolVersion
from ..protocol import Check, ErrorCode
from .backoff import as_error
from .message_queue import MessageQueue, QueuedItem
from .subscription import size_of

if TYPE_CHECKING:
    from ..codec import Message
    from ..session import StreamOf, SubscriptionAnswered
    from .connection import Connection
    from .message_queue import Owner

NUMBERED_SINCE = 4
"""The first version in which a viewer may ask for a history."""


class History(MessageQueue):
    """The messages of a stream in a range of time, as far as the server keeps them. ``Client.history`` creates it.

    They come in order, except that alerts come first. If the connection is lost, the client asks for the rest over the
    next one.

    Attributes:
        stream: its name.
        start: the time from which messages were requested, in microseconds since 1970.
        stop: the time until which they were; None for the time of the request.
        lost: messages that the server no longer had when it was their turn, or that were refused.
        is_complete: whether the server has sent all that it has.
    """

    def __init__(self, owner: Owner, stream: str, start: int, stop: int | None, capacity: int) -> None:
        super().__init__(owner, capacity)
        self.stream = stream
        self.start = start
        self.stop = stop
        self.lost = 0
        self.is_complete = False
        self._rest = start
        """The time from which the rest is requested."""
        self._more: int | None = None
        self._expected: set[int] = set()

    def __repr__(self) -> str:
        return f"<History of {self.stream!r}, {self.waiting} waiting>"

    # --- the client's side ---

    def ask(self, connection: Connection, number: int) -> None:
        """Ask for the messages that have not arrived."""
        self._expected.clear()
        self._more = None
        if connection.session.version < NUMBERED_SINCE:
            self.end(InvalidProtocolVersion("the history of a stream needs version 4", check=Check.VERSION))
            return
        connection.session.ask_history(self.stream, number, self._rest, self.stop)
        connection.wake()

    def answered(self, answer: SubscriptionAnswered) -> bool:
        """Process an answer. Returns True if the rest, of another epoch, is to be requested."""
        if answer.status == "denied":
            code = ErrorCode.PERMISSION_DENIED if answer.code is None else answer.code
            reason = "" if answer.reason is None else f": {answer.reason}"
            self.end(as_error(code, f"the server denied the history of {self.stream!r}{reason}"))
        elif answer.status == "subscribed":
            if answer.next is not None and answer.end is not None:
                self._expected = set(range(answer.next, min(answer.end, answer.next + MOST_EXPECTED)))
            self._more = answer.more
        else:
            self.lost += len(self._expected)
            if self._more is not None:
                self._rest = max(self._more, self._rest)
                return True
            self.is_complete = True
            self.end()
        return False

    def end(self, failure: Exception | None = None, *, empty: bool = False) -> None:
        """Note that no more messages will arrive. See ``MessageQueue.end``."""
        super().end(failure, empty=empty)
        self._owner.pressure_changed(self)  # what waits no longer grows

    def take(self, message: Message, connection: Connection) -> None:
        """Process a message."""
        self.pass_over(message.sequence or 0, message.timestamp)
        self.put(QueuedItem(message, size_of(message), connection))

    def pass_over(self, number: int, timestamp: int | None) -> None:
        """Note the number of a message that the application does not get, such as a template."""
        self._expected.discard(number)
        if timestamp is not None:
            self._rest = max(self._rest, timestamp + 1)


MOST_EXPECTED = 1 << 20
"""Messages of one part of a history whose arrival is watched."""


class Histories:
    """The histories of a client.

    Args:
        owner: is told when a queue fills up, or is left.
    """

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._numbers = count(1)
        self._open: dict[int, History] = {}

    def begin(self, stream: str, start: int, stop: int | None, capacity: int, connection: Connection | None) -> History:
        """Create a history, and ask for it if there is a connection."""
        history = History(self._owner, stream, start, stop, capacity)
        self._ask(history, connection)
        return history

    def _ask(self, history: History, connection: Connection | None) -> None:
        number = next(self._numbers)
        self._open[number] = history
        if connection is not None:
            history.ask(connection, number)
            self._forget_ended()

    def connected(self, connection: Connection) -> None:
        """Ask for what has not arrived, over a new connection."""
        waiting, self._open = list(self._open.values()), {}
        for history in waiting:
            self._ask(history, connection)

    def answered(self, answer: SubscriptionAnswered, connection: Connection) -> None:
        """Process an answer that names a request."""
        history = None if answer.history is None else self._open.get(answer.history)
        if history is None or answer.history is None:
            return
        if history.answered(answer):
            del self._open[answer.history]
            self._ask(history, connection)
        self._forget_ended()

    def deliver(self, message: Message, connection: Connection, place: StreamOf) -> None:
        """Put a message into its history."""
        if place.history is not None and (history := self._open.get(place.history)) is not None:
            history.take(message, connection)

    def pass_over(self, place: StreamOf, number: int, timestamp: int | None) -> None:
        """Note a message that the application does not get."""
        if place.history is not None and (history := self._open.get(place.history)) is not None:
            history.pass_over(number, timestamp)

    def refused(self, place: StreamOf, number: int) -> None:
        """Note a message that was refused."""
        if place.history is not None and (history := self._open.get(place.history)) is not None:
            history.lost += 1
            history.pass_over(number, None)

    def leave(self, history: History, connection: Connection | None) -> None:
        """End a history that the application does not want any more."""
        for number in [number for number, one in self._open.items() if one is history]:
            del self._open[number]
            if connection is not None:
                connection.session.end_history(history.stream, number)
                connection.wake()
        history.end()

    def end(self, failure: Exception | None) -> None:
        """End all histories."""
        for history in self._open.values():
            history.end(failure, empty=failure is None)
        self._open.clear()

    def _forget_ended(self) -> None:
        self._open = {number: one for number, one in self._open.items() if not one.is_ended}

    def stats(self) -> dict[str, Any]:
        """Counters, as plain values."""
        return {"open": len(self._open)}
