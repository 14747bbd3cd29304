"""Which message goes into which queue, and what the server is asked for and answers."""

from __future__ import annotations

import asyncio
import logging
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..protocol import ErrorCode
from ..session import ErrorReceived, SubscriptionAnswered, microseconds
from .backoff import as_error
from .message_queue import MessageQueue, Pressure, QueuedItem
from .subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from ..codec import Message
    from .connection import Connection
    from .cursor import Gap

log = logging.getLogger("ecgframe.client")


class Subscriptions:
    """The queues of a client, and the connection that fills them, while there is one.

    It holds none of them: a subscription that the application has let go of is left by itself, so that it does not fill
    up and stop all others.

    Args:
        delays: makes the delays after which a server in trouble is asked again, in seconds.

    Attributes:
        unclaimed: messages that came for no subscription while the application was not asking for such.
    """

    def __init__(self, delays: Callable[[], Iterator[float]]) -> None:
        self.unclaimed = 0
        self._delays = delays
        self._connection: Connection | None = None
        self._subscriptions: dict[str, weakref.ref[Subscription]] = {}
        self._others: weakref.ref[MessageQueue] | None = None
        self._pressures: dict[int, Pressure] = {}

    def __iter__(self) -> Iterator[Subscription]:
        """The subscriptions there are."""
        held = [subscription() for subscription in self._subscriptions.values()]
        return iter([subscription for subscription in held if subscription is not None])

    # --- what the application does ---

    def subscribe(
        self, stream: str, *, since: int | datetime | None, capacity: int, on_gap: Callable[[Gap], object] | None
    ) -> Subscription:
        """A new subscription, asked for at once if there is a connection.

        Raises:
            ValueError: there is one of that stream already.
        """
        if held := self._subscriptions.get(stream):
            if held() is not None:
                raise ValueError(f"there is a subscription of {stream!r} already: share it, or leave it first")
            self._leave_stream(stream)
        subscription = Subscription(self, stream, since=since, capacity=capacity, on_gap=on_gap)
        self._subscriptions[stream] = weakref.ref(subscription, self._when_forgotten(subscription.number, stream))
        if self._connection:
            self._ask(subscription, self._connection)
        return subscription

    def others(self, capacity: int) -> MessageQueue:
        """A queue for all messages of no subscription.

        Raises:
            ValueError: there is one already.
        """
        if self._others and self._others() is not None:
            raise ValueError("somebody takes the messages of no subscription already")
        queue = MessageQueue(self, capacity)
        self._others = weakref.ref(queue, self._when_forgotten(queue.number))
        return queue

    def find(self, stream: str) -> Subscription | None:
        """The subscription of a stream."""
        held = self._subscriptions.get(stream)
        return held() if held else None

    def leave(self, queue: MessageQueue) -> None:
        """Nothing more shall come into it."""
        if isinstance(queue, Subscription):
            if self.find(queue.stream) is queue:
                self._leave_stream(queue.stream)
                queue.end(status="unsubscribed")
        elif self._others and self._others() is queue:
            self._others = None
            queue.end()
        self._forget_pressure(queue.number)

    async def left(self, stream: str) -> None:
        """Wait until the server has confirmed that a stream was left; not longer than the connection."""
        connection = self._connection
        if connection and stream in connection.leaving:
            confirmed = asyncio.get_running_loop().create_future()
            connection.leaving[stream].append(confirmed)
            with connection.awaiting():
                await confirmed

    def pressure_changed(self, queue: MessageQueue) -> None:
        """A queue is fuller or emptier than before."""
        if queue.pressure:
            self._pressures[queue.number] = queue.pressure
            self._tell_crowd()
        else:
            self._forget_pressure(queue.number)

    # --- what the connection does ---

    def connected(self, connection: Connection) -> None:
        """There is a connection: what is followed is asked for, from where it broke off."""
        self._connection = connection
        self._tell_crowd()
        for subscription in self:
            self._ask(subscription, connection)

    def disconnected(self) -> None:
        """It is gone."""
        if self._connection:
            self._connection = None
            for subscription in self:
                subscription.connection_lost()

    def end(self, failure: Exception | None) -> None:
        """There will be no other. The iterators give what waits and raise; a client that was closed drops it."""
        others = self._others() if self._others else None
        for queue in [*self, *([others] if others else [])]:
            queue.end(failure, empty=failure is None)
        self._subscriptions.clear()
        self._others = None

    def deliver(self, message: Message, connection: Connection) -> None:
        """A message came."""
        stream = message.data.get("stream") if isinstance(message.data, dict) else None
        subscription = self.find(stream) if isinstance(stream, str) else self._only_one(connection)
        left = stream if isinstance(stream, str) and stream in connection.leaving else None
        if subscription and not (left and left in connection.asked):
            subscription.deliver(message, connection)
        elif left:
            pass  # it was on its way when the stream was left
        elif self._others and (others := self._others()):
            others.put(QueuedItem(message, message.nbytes, connection))
        else:
            self.unclaimed += 1

    def answered(self, answer: SubscriptionAnswered, connection: Connection) -> None:
        """The server answered a request for a stream."""
        stream = answer.stream
        if answer.status == "unsubscribed":
            for confirmed in connection.leaving.pop(stream, ()):
                if not confirmed.done():
                    confirmed.set_result(None)
        elif connection.unheeded[stream]:
            connection.unheeded[stream] -= 1
        elif stream in connection.asked:
            connection.asked.discard(stream)
            if subscription := self.find(stream):
                self._heed_answer(subscription, answer)

    def dropped(self, error: ErrorReceived, connection: Connection) -> bool:
        """The server may have said that it has dropped frames of a stream.

        Returns:
            Whether it has, and there is a subscription of that stream.
        """
        notice = _drop_notice(error)
        subscription = self.find(notice[0]) if notice else None
        if not (notice and subscription):
            return False
        _, start, stop, frames = notice
        subscription.dropped_by_server(start, stop, frames, timed=connection.timed)
        return True

    # --- inside ---

    def _ask(self, subscription: Subscription, connection: Connection) -> None:
        stream = subscription.stream
        connection.asked.add(stream)
        if connection.session.negotiated:
            connection.session.subscribe(stream, subscription.cursor.asks_since())
        else:
            connection.session.subscribe(stream)
            subscription.granted_by_an_old_server()
        connection.wake()

    def _heed_answer(self, subscription: Subscription, answer: SubscriptionAnswered) -> None:
        if answer.status == "subscribed":
            subscription.granted(answer.start, answer.timestamp)
            return
        if answer.code is None and subscription.was_granted:
            self._ask_later(subscription)
            return
        del self._subscriptions[subscription.stream]
        self._forget_pressure(subscription.number)
        code = ErrorCode.PERMISSION_DENIED if answer.code is None else answer.code
        subscription.end(as_error(code, f"the server denied the stream {answer.stream!r}"), status="denied")

    def _ask_later(self, subscription: Subscription) -> None:
        """The server has granted it before and now says no without saying why: its own trouble, which may pass."""
        held = self._subscriptions[subscription.stream]
        pause = subscription.next_delay(self._delays)
        log.warning("the server cannot serve the stream %r; asking again in %.1f s", subscription.stream, pause)
        asyncio.get_running_loop().call_later(pause, self._ask_again, held, self._connection)

    def _ask_again(self, held: weakref.ref[Subscription], connection: Connection | None) -> None:
        subscription = held()
        if connection is None or connection is not self._connection:
            return  # what is followed was asked for over the new connection
        if subscription and self.find(subscription.stream) is subscription:
            self._ask(subscription, connection)

    def _only_one(self, connection: Connection) -> Subscription | None:
        """An old server may not name the stream in its messages; where only one is followed, it is that."""
        if connection.session.negotiated or len(self._subscriptions) != 1:
            return None
        return next(iter(self), None)

    def _leave_stream(self, stream: str) -> None:
        del self._subscriptions[stream]
        connection = self._connection
        if connection is None:
            return
        if connection.session.negotiated:  # an old server may never answer
            connection.unheeded[stream] += stream in connection.asked
            connection.leaving.setdefault(stream, [])
        connection.asked.discard(stream)
        connection.session.unsubscribe(stream)
        connection.wake()

    def _when_forgotten(self, number: int, stream: str | None = None) -> Callable[[weakref.ref[Any]], None]:
        """What is to be done, in the event loop, once nobody holds a queue: it may be any thread that finds out."""
        loop = asyncio.get_running_loop()

        def forget(held: weakref.ref[Any]) -> None:
            with suppress(RuntimeError):  # the loop is closed, and the connection with it
                loop.call_soon_threadsafe(self._forget, number, stream, held)

        return forget

    def _forget(self, number: int, stream: str | None, held: weakref.ref[Any]) -> None:
        if stream is not None and self._subscriptions.get(stream) is held:
            self._leave_stream(stream)
        self._forget_pressure(number)

    def _forget_pressure(self, number: int) -> None:
        if self._pressures.pop(number, None):
            self._tell_crowd()

    def _tell_crowd(self) -> None:
        if self._connection:
            self._connection.note_pressure(max(self._pressures.values(), default=Pressure.ROOM))


def _drop_notice(error: ErrorReceived) -> tuple[str, int, int, int] | None:
    """Stream, first and last timestamp and number of the frames that the server says it dropped."""
    match error.details:
        case {
            "stream": str(stream),
            "from": int() | float() as start,
            "to": int() | float() as stop,
            "dropped": int(frames),
        } if error.code in (ErrorCode.RATE_LIMIT_EXCEEDED, ErrorCode.MESSAGE_TOO_LARGE):
            return stream, microseconds(start), microseconds(stop), frames
    return None
