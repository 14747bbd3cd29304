"""The past of a stream that the application has asked for. It comes beside what is live, and does not delay it."""

from __future__ import annotations

import asyncio
import weakref
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from ..errors import AuthenticationFailed, InvalidProtocolVersion
from ..foreign_text import gated_logger
from ..protocol import Check, ErrorCode, MessageType
from ..session.sealed_streams import window_of_history
from .backoff import as_error
from .message_queue import MessageQueue, Pressure, QueuedItem
from .sealing import why_not_sealed
from .subscription import size_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..codec import Message
    from ..errors import ProtocolError
    from ..session import FramesUnopened, SealedStreams, StreamEpoch, SubscriptionAnswered
    from .connection import Connection
    from .message_queue import Owner

log = gated_logger("ecgframe.client")

_ALERT: Final = MessageType.ANOMALY_ALERT

NUMBERED_SINCE = 4
"""The first version in which a viewer may ask for a history."""


class History(MessageQueue):
    """The messages of a stream in a range of time, as far as the server keeps them. ``Client.history`` creates it.

    They come in order, except that alerts come first. If the connection is lost, the client asks for the rest over the
    next one. While the application has not taken what waits, the server is asked for nothing: the rest is requested
    once half of it is taken. So a history that is not iterated holds up nothing else.

    Attributes:
        stream: its name.
        start: the time from which messages were requested, in microseconds since 1970.
        stop: the time until which they were; None for the time of the request.
        lost: messages that the server no longer had when it was their turn, or that were refused or not opened.
        unopened: sealed messages whose key is not known; they count as lost.
        is_complete: whether the server has sent all that it has.
        pauses: how often the application had not taken what waited, so that the rest was requested later.
    """

    def __init__(self, owner: Owner, stream: str, start: int, stop: int | None, capacity: int) -> None:
        super().__init__(owner, capacity)
        self.stream = stream
        self.start = start
        self.stop = stop
        self.lost = 0
        self.unopened = 0
        self.is_complete = False
        self.pauses = 0
        self._rest = start
        """The time from which the rest is requested."""
        self._until = stop
        """The time until which it is: that of the first answer if the application names none."""
        self._more: int | None = None
        self._epoch: int | None = None
        self._expected: set[int] = set()
        self._ahead: set[int] = set()
        """Numbers of alerts that arrived before messages in line: they come again with the rest."""
        self._window = window_of_history()
        """Counters of sealed messages that arrived, so that none arrives twice."""

    def __repr__(self) -> str:
        return f"<History of {self.stream!r}, {self.waiting} waiting>"

    # --- the client's side ---

    def ask(self, connection: Connection, number: int) -> None:
        """Ask for the messages that have not arrived."""
        self._more = None
        if connection.session.version < NUMBERED_SINCE:
            self.end(InvalidProtocolVersion("the history of a stream needs version 4", check=Check.VERSION))
            return
        connection.session.ask_history(self.stream, number, self._rest, self._until, window=self._window)
        connection.wake()

    def answered(self, answer: SubscriptionAnswered) -> bool:
        """Process an answer. Returns True if the rest, of another epoch, is to be requested."""
        if answer.status == "denied":
            code = ErrorCode.PERMISSION_DENIED if answer.code is None else answer.code
            reason = "" if answer.reason is None else f": {answer.reason}"
            self.end(as_error(code, f"the server denied the history of {self.stream!r}{reason}"))
        elif answer.status == "subscribed":
            if answer.next is not None and answer.end is not None:
                self._expect(answer.epoch, answer.next, answer.end)
            self._more = answer.more
            if self._until is None:
                self._until = answer.timestamp
        else:
            self.lost += len(self._expected)
            self._expected.clear()
            if self._more is not None:
                self._rest = max(self._more, self._rest)
                return True
            self.is_complete = True
            self.end()
        return False

    def _expect(self, epoch: int | None, first: int, end: int) -> None:
        """Expect the messages of a part. What was expected before it, over another request, is lost."""
        if epoch != self._epoch:
            self._epoch = epoch
            self._ahead.clear()
            self.lost += len(self._expected)
        else:
            self.lost += sum(number < first for number in self._expected)
        self._expected = set(range(first, min(end, first + MOST_EXPECTED))) - self._ahead

    def take(self, message: Message, connection: Connection) -> None:
        """Process a message."""
        number = message.sequence or 0
        if message.type is _ALERT:  # alerts come ahead: the messages before it are still to come
            if number in self._ahead:
                return
            self._ahead.add(number)
            self.pass_over(number, None)
        else:
            self.pass_over(number, message.timestamp)
        self.put(QueuedItem(message, size_of(message), connection))

    def pass_over(self, number: int, timestamp: int | None) -> None:
        """Note the number of a message that the application does not get, such as a template."""
        self._expected.discard(number)
        if timestamp is not None:
            self._rest = max(self._rest, timestamp + 1)
            if self._ahead:
                self._ahead = {one for one in self._ahead if one > number}


MOST_EXPECTED = 1 << 20
"""Messages of one part of a history whose arrival is watched."""


class Histories:
    """The histories of a client. They are held by weak references: one that is garbage collected is not sent any more.

    Args:
        owner: is called when a queue is left.
        sealed: which streams have to be sealed.
    """

    def __init__(self, owner: Owner, sealed: SealedStreams) -> None:
        self._owner = owner
        self._sealed = sealed
        self._numbers = count(1)
        self._connection: Connection | None = None
        self._open: dict[int, tuple[str, weakref.ref[History]]] = {}
        """Those that were asked for, or are to be over the next connection: stream and history, by request."""
        self._paused: weakref.WeakSet[History] = weakref.WeakSet()
        """Those of which the application has not taken what waits."""
        self._ending: set[int] = set()
        """Requests of these that the server was asked to end: what is in transit still arrives."""

    def begin(self, stream: str, start: int, stop: int | None, capacity: int) -> History:
        """Create a history, and ask for it if there is a connection."""
        history = History(self._owner, stream, start, stop, capacity)
        self._ask(history)
        return history

    def _ask(self, history: History) -> None:
        number = next(self._numbers)
        self._open[number] = history.stream, weakref.ref(history, self._when_forgotten(number))
        connection = self._connection
        if connection is None:
            return
        try:
            if self._sealed.is_required(history.stream) and (why := why_not_sealed(connection)) is not None:
                raise AuthenticationFailed(f"the history of {history.stream!r} is to be sealed, but {why}")
            history.ask(connection, number)
        except AuthenticationFailed as error:  # the keyring may have failed
            history.end(error)
        self._forget_ended()

    def connected(self, connection: Connection) -> None:
        """Ask for what has not arrived, over a new connection."""
        self._connection = connection
        held = [self._find(number) for number in self._open]
        self._open.clear()
        self._ending.clear()
        for history in held:
            if history is not None and history not in self._paused:
                self._ask(history)

    def disconnected(self) -> None:
        """Note that the connection is lost."""
        self._connection = None

    def pressure_changed(self, history: History) -> None:
        """Ask for no more of a history that is full, and for the rest once there is room."""
        number = self._number_of(history)
        if history.pressure and number is not None:
            if number not in self._ending:
                self._pause(history, number)
            if history.pressure is Pressure.OVERFULL and self._connection is not None:
                self._connection.session.forget_history(history.stream, number)  # what is in transit comes again
        elif not history.pressure and history in self._paused:
            self._paused.discard(history)
            if number is None:
                self._ask(history)

    def _pause(self, history: History, number: int) -> None:
        self._end_request(number)
        self._ending.add(number)
        self._paused.add(history)
        history.pauses += 1
        if history.pauses == 1:
            text = "the history of %r waits until the application has taken %d messages"
            log.info(text, history.stream, history.waiting)

    def answered(self, answer: SubscriptionAnswered) -> None:
        """Process an answer that names a request."""
        history = None if answer.history is None else self._find(answer.history)
        if history is None or answer.history is None:
            return
        if answer.history in self._ending and answer.status != "subscribed":
            self._forget_request(answer.history)
            if history not in self._paused:
                self._ask(history)
        elif history.answered(answer):
            del self._open[answer.history]
            self._ask(history)
        self._forget_ended()

    def deliver(self, message: Message, connection: Connection, place: StreamEpoch) -> None:
        """Put a message into its history."""
        if place.history is not None and (history := self._find(place.history)) is not None:
            history.take(message, connection)

    def pass_over(self, place: StreamEpoch, number: int, timestamp: int | None) -> None:
        """Note a message that the application does not get."""
        if place.history is not None and (history := self._find(place.history)) is not None:
            history.pass_over(number, timestamp)

    def refused(self, place: StreamEpoch, number: int) -> None:
        """Note a message that was refused."""
        if place.history is not None and (history := self._find(place.history)) is not None:
            history.lost += 1
            history.pass_over(number, None)

    def unopened(self, event: FramesUnopened) -> None:
        """Note messages whose key is not known."""
        if event.history is not None and (history := self._find(event.history)) is not None:
            history.unopened += event.frames

    def keys_refused(self, number: int, error: ProtocolError) -> None:
        """End a history whose keys are refused."""
        if (history := self._find(number)) is not None:
            self._end_request(number)
            self._forget_request(number)
            self._paused.discard(history)
            history.end(error)

    def leave(self, history: History) -> None:
        """End a history that the application does not want any more."""
        number = self._number_of(history)
        if number is not None:
            self._end_request(number)
            self._forget_request(number)
        self._paused.discard(history)
        history.end()

    def end(self, failure: Exception | None) -> None:
        """End all histories."""
        for history in [*map(self._find, self._open), *self._paused]:
            if history is not None:
                history.end(failure, empty=failure is None)
        self._open.clear()
        self._ending.clear()
        self._paused.clear()

    def stats(self) -> dict[str, Any]:
        """Counters, as plain values."""
        return {"open": len(self._open), "paused": len(self._paused)}

    # --- inside ---

    def _find(self, number: int) -> History | None:
        _, held = self._open.get(number, (None, None))
        return None if held is None else held()

    def _number_of(self, history: History) -> int | None:
        return next((number for number, (_, held) in self._open.items() if held() is history), None)

    def _forget_request(self, number: int) -> None:
        del self._open[number]
        self._ending.discard(number)

    def _end_request(self, number: int) -> None:
        stream, _ = self._open[number]
        if self._connection is not None and number not in self._ending:
            self._connection.session.end_history(stream, number)
            self._connection.wake()

    def _forget_ended(self) -> None:
        for number in [number for number in self._open if (one := self._find(number)) is not None and one.is_ended]:
            self._forget_request(number)

    def _when_forgotten(self, number: int) -> Callable[[weakref.ref[History]], None]:
        """Return the callback of a weak reference, which may run in any thread and calls the event loop."""
        loop = asyncio.get_running_loop()

        def forget(held: weakref.ref[History]) -> None:
            with suppress(RuntimeError):  # the event loop is closed, and so is the connection
                loop.call_soon_threadsafe(self._forget, number, held)

        return forget

    def _forget(self, number: int, held: weakref.ref[History]) -> None:
        if (found := self._open.get(number)) is not None and found[1] is held:
            self._end_request(number)
            self._forget_request(number)
