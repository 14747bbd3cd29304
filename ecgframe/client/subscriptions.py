"""The subscriptions of a client: requests to the server, its answers, and the delivery of messages."""

from __future__ import annotations

import asyncio
import weakref
from contextlib import suppress
from math import isfinite
from typing import TYPE_CHECKING, Any

from ..errors import AuthenticationFailed, ProtocolError
from ..foreign_text import gated_logger
from ..protocol import ErrorCode
from ..session import ErrorReceived, FramesUnopened, KeysRefused, StreamEpoch, SubscriptionAnswered, microseconds
from ..session.sealed_streams import STALE_AFTER
from .backoff import as_error
from .history import Histories, History
from .message_queue import MessageQueue, Pressure, QueuedItem
from .sealing import why_not_sealed
from .subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from ..codec import Message
    from ..session import SealedStreams
    from ..signing import Attested, Unattested
    from .connection import Connection
    from .cursor import Gap

log = gated_logger("ecgframe.client")


class Subscriptions:
    """The queues of a client, and the current connection.

    The queues are held by weak references: a subscription that is garbage collected is unsubscribed, so that it does
    not fill up and stop all others.

    Args:
        delays: returns an iterator of delays in seconds, before each new SUBSCRIBE to a server that cannot serve a
            stream at the moment.
        sealed: the keys of the application, and the positions of sealed streams.

    Attributes:
        unclaimed: number of messages of no subscription that were discarded, because ``Client.messages`` is not in use.
    """

    def __init__(self, delays: Callable[[], Iterator[float]], sealed: SealedStreams) -> None:
        self.unclaimed = 0
        self._delays = delays
        self._sealed = sealed
        self.histories = Histories(self, sealed)
        self._connection: Connection | None = None
        self._subscriptions: dict[str, weakref.ref[Subscription]] = {}
        self._others: weakref.ref[MessageQueue] | None = None
        self._pressures: dict[int, Pressure] = {}

    def __iter__(self) -> Iterator[Subscription]:
        """Iterate over the subscriptions."""
        held = [subscription() for subscription in self._subscriptions.values()]
        return iter([subscription for subscription in held if subscription is not None])

    # --- what the application does ---

    def subscribe(
        self,
        stream: str,
        *,
        since: int | datetime | None,
        capacity: int,
        on_gap: Callable[[Gap], object] | None,
        on_attestation: Callable[[Attested | Unattested], object] | None = None,
        sealed: bool = False,
        stale_after: float = STALE_AFTER,
        catch_up: float | None = None,
    ) -> Subscription:
        """Create a subscription, and send SUBSCRIBE if there is a connection.

        Raises:
            ValueError: there is a subscription of that stream already.
        """
        if held := self._subscriptions.get(stream):
            if held() is not None:
                raise ValueError(f"there is a subscription of {stream!r} already: share it, or unsubscribe first")
            self._leave_stream(stream)
        self._sealed.begin(stream, is_required=sealed, stale_after=stale_after)
        subscription = Subscription(
            self,
            stream,
            since=since,
            capacity=capacity,
            on_gap=on_gap,
            catch_up=catch_up,
            on_attestation=on_attestation,
        )
        self._subscriptions[stream] = weakref.ref(subscription, self._when_forgotten(subscription.number, stream))
        if self._connection:
            self._ask(subscription, self._connection)
        return subscription

    def others(self, capacity: int) -> MessageQueue:
        """Create the queue for messages of no subscription.

        Raises:
            ValueError: there is one already.
        """
        if self._others and self._others() is not None:
            raise ValueError("messages() is in use already")
        queue = MessageQueue(self, capacity)
        self._others = weakref.ref(queue, self._when_forgotten(queue.number))
        return queue

    def history(self, stream: str, start: int, stop: int | None, capacity: int) -> History:
        """Create a history, and ask for it if there is a connection."""
        return self.histories.begin(stream, start, stop, capacity)

    def find(self, stream: str) -> Subscription | None:
        """Return the subscription of a stream; None if there is none."""
        held = self._subscriptions.get(stream)
        return held() if held else None

    def leave(self, queue: MessageQueue) -> None:
        """End a queue; a subscription is unsubscribed."""
        if isinstance(queue, Subscription):
            if self.find(queue.stream) is queue:
                self._leave_stream(queue.stream)
                queue.end(status="unsubscribed")
        elif isinstance(queue, History):
            self.histories.leave(queue)
        elif self._others and self._others() is queue:
            self._others = None
            queue.end()
        self._forget_pressure(queue.number)

    async def left(self, stream: str) -> None:
        """Wait until the server confirms UNSUBSCRIBE, or the connection ends."""
        connection = self._connection
        if connection and stream in connection.leaving:
            confirmed = asyncio.get_running_loop().create_future()
            connection.leaving[stream].append(confirmed)
            with connection.awaiting():
                await confirmed

    def pressure_changed(self, queue: MessageQueue) -> None:
        """Note that the pressure of a queue has changed."""
        if isinstance(queue, History):
            self.histories.pressure_changed(queue)
        elif queue.pressure:
            self._pressures[queue.number] = queue.pressure
            self._note_pressure()
        else:
            self._forget_pressure(queue.number)

    # --- what the connection does ---

    def connected(self, connection: Connection) -> None:
        """Subscribe to all streams over a new connection, and resume where the last one ended."""
        self._connection = connection
        self._note_pressure()
        for subscription in self:
            self._ask(subscription, connection)
        self.histories.connected(connection)

    def disconnected(self) -> None:
        """Note that the connection is lost."""
        if self._connection:
            self._connection = None
            self.histories.disconnected()
            for subscription in self:
                subscription.connection_lost()

    def end(self, failure: Exception | None) -> None:
        """End all queues.

        With a failure, the iterators return the messages that wait, then raise it. Without one, these are discarded.
        """
        others = self._others() if self._others else None
        for queue in [*self, *([others] if others else [])]:
            queue.end(failure, empty=failure is None)
        self.histories.end(failure)
        self._subscriptions.clear()
        self._others = None

    def deliver(self, message: Message, connection: Connection, numbered: StreamEpoch | None = None) -> None:
        """Put a message into its queue: that of the stream in its header, or else of the stream in its data."""
        if numbered is not None and numbered.history is not None:
            self.histories.deliver(message, connection, numbered)
            return
        stream = message.data.get("stream") if isinstance(message.data, dict) else None
        stream, epoch = (stream, None) if numbered is None else (numbered.name, numbered.epoch)
        subscription = self.find(stream) if isinstance(stream, str) else self._only_one(connection)
        left = stream if isinstance(stream, str) and stream in connection.leaving else None
        if subscription and not (left and left in connection.asked):
            subscription.deliver(message, connection, epoch)
        elif left:
            pass  # it was in transit when the stream was unsubscribed
        elif self._others and (others := self._others()):
            others.put(QueuedItem(message, message.nbytes, connection))
        else:
            self.unclaimed += 1

    def pass_template(self, message: Message, connection: Connection, numbered: StreamEpoch) -> None:
        """Note a numbered message that the application does not get."""
        stream, epoch = numbered.name, numbered.epoch
        if numbered.history is not None:
            self.histories.pass_over(numbered, message.sequence or 0, message.timestamp)
            return
        subscription = self.find(stream)
        if subscription and not (stream in connection.leaving and stream in connection.asked):
            subscription.pass_template(message, epoch)

    def refused(self, numbered: StreamEpoch, number: int) -> None:
        """Note that a numbered message was refused."""
        if numbered.history is not None:
            self.histories.refused(numbered, number)
        elif subscription := self.find(numbered.name):
            subscription.refused(numbered.epoch, number)

    def was_refused(self, numbered: StreamEpoch, number: int) -> bool:
        """Return whether a numbered message was refused over an earlier connection as well."""
        subscription = self.find(numbered.name) if numbered.history is None else None
        return subscription is not None and subscription.numbers.was_refused(numbered.epoch, number)

    def answered(self, answer: SubscriptionAnswered, connection: Connection) -> None:
        """Process a SUBSCRIPTION_ACK."""
        stream = answer.stream
        if answer.history is not None:
            self.histories.answered(answer)
        elif answer.status == "unsubscribed":
            for confirmed in connection.leaving.pop(stream, ()):
                if not confirmed.done():
                    confirmed.set_result(None)
        elif connection.obsolete[stream]:
            connection.obsolete[stream] -= 1
        elif answer.epoch is not None and stream in connection.leaving:
            pass  # for a subscription that has ended: the server answers UNSUBSCRIBE before the next SUBSCRIBE
        elif stream in connection.asked:
            connection.asked.discard(stream)
            if subscription := self.find(stream):
                self._handle_answer(subscription, answer)
        elif stream not in connection.leaving:
            self._handle_unrequested(stream, answer)

    def _handle_unrequested(self, stream: str, answer: SubscriptionAnswered) -> None:
        """Process an answer without a request: another epoch, or the end of a right."""
        subscription = self.find(stream)
        if subscription and answer.status == "denied" and answer.code is not None:
            self._handle_answer(subscription, answer)
        elif subscription and answer.epoch is not None and answer.next is not None and answer.timestamp is not None:
            subscription.changed(answer.epoch, answer.next, answer.timestamp, answer.ended)

    def key_missing(self, stream: str | None, connection: Connection) -> None:
        """Ask for a key that is not known, by a SUBSCRIBE with the present position."""
        if stream is None:  # only the key would show which
            wanting = [one for one in self if self._takes_keys(one.stream)]
        else:
            found = self.find(stream)
            wanting = [found] if found is not None and self._takes_keys(stream) else []
        for subscription in wanting:
            if subscription.status == "subscribed" and subscription.stream not in connection.asked:
                self._ask(subscription, connection)

    def _takes_keys(self, stream: str) -> bool:
        """Return whether a stream is opened with keys of the server."""
        try:
            return not self._sealed.has_own_keys(stream)
        except AuthenticationFailed:
            return True  # ``_ask`` reports to the application that its keyring fails

    def keys_refused(self, event: KeysRefused, connection: Connection) -> None:
        """End a subscription, or a history, whose keys are refused: it could open nothing, and has no answer."""
        stream = event.stream
        if event.history is not None:
            self.histories.keys_refused(event.history, event.error)
        elif connection.obsolete[stream]:
            connection.obsolete[stream] -= 1
        elif stream in connection.asked and stream not in connection.leaving:
            connection.asked.discard(stream)
            if subscription := self.find(stream):
                self._leave_stream(stream)
                self._end_denied(subscription, event.error)

    def unopened(self, event: FramesUnopened) -> None:
        """Note that sealed frames are lost. Where they have numbers, the next message shows that."""
        if event.history is not None:
            self.histories.unopened(event)
            return
        candidates = list(self)
        if not event.is_numbered and len(candidates) == 1:
            candidates[0].dropped_by_server(event.start, event.stop, event.frames, timed=True)

    def dropped(self, error: ErrorReceived, connection: Connection) -> bool:
        """Process an ERROR if it is a drop notice.

        Returns:
            True if it is a drop notice of a subscribed stream.
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
        try:
            self._request(subscription, connection)
        except AuthenticationFailed as error:
            self._give_up(subscription, error)

    def _request(self, subscription: Subscription, connection: Connection) -> None:
        """Send SUBSCRIBE.

        Raises:
            AuthenticationFailed: the stream is to be sealed, but cannot be opened; or the keyring failed.
        """
        stream = subscription.stream
        if self._sealed.is_required(stream) and (why := why_not_sealed(connection)) is not None:
            raise AuthenticationFailed(f"{stream!r} is to be sealed, but {why}")
        if connection.session.negotiated:
            epoch, after = subscription.numbers.position or (None, None)
            connection.session.subscribe(
                stream, subscription.cursor.asks_since(), epoch=epoch, after=after, catch_up=subscription.catch_up
            )
        else:
            connection.session.subscribe(stream)
            subscription.granted_by_an_old_server()
        connection.asked.add(stream)
        connection.wake()

    def _handle_answer(self, subscription: Subscription, answer: SubscriptionAnswered) -> None:
        if answer.status == "subscribed":
            subscription.granted(answer.start, answer.timestamp, answer.epoch, answer.next, answer.ended)
            return
        if answer.code is None and subscription.was_granted:
            self._ask_later(subscription)
            return
        code = ErrorCode.PERMISSION_DENIED if answer.code is None else answer.code
        reason = "" if answer.reason is None else f": {answer.reason}"
        self._give_up(subscription, as_error(code, f"the server denied the stream {answer.stream!r}{reason}"))

    def _give_up(self, subscription: Subscription, error: ProtocolError) -> None:
        """End a subscription that the server does not serve."""
        del self._subscriptions[subscription.stream]
        self._sealed.end(subscription.stream)
        self._end_denied(subscription, error)

    def _end_denied(self, subscription: Subscription, error: ProtocolError) -> None:
        self._forget_pressure(subscription.number)
        subscription.end(error, status="denied")

    def _ask_later(self, subscription: Subscription) -> None:
        """Subscribe again later, as a server that granted it and now denies it without a code may recover."""
        held = self._subscriptions[subscription.stream]
        pause = subscription.next_delay(self._delays)
        log.warning("the server cannot serve the stream %r; asking again in %.1f s", subscription.stream, pause)
        asyncio.get_running_loop().call_later(pause, self._ask_again, held, self._connection)

    def _ask_again(self, held: weakref.ref[Subscription], connection: Connection | None) -> None:
        subscription = held()
        if connection is None or connection is not self._connection:
            return  # the new connection has subscribed already
        if subscription and self.find(subscription.stream) is subscription:
            self._ask(subscription, connection)

    def _only_one(self, connection: Connection) -> Subscription | None:
        """Return the only subscription to an old server, which may not name streams in its messages; else None."""
        if connection.session.negotiated or len(self._subscriptions) != 1:
            return None
        return next(iter(self), None)

    def _leave_stream(self, stream: str) -> None:
        del self._subscriptions[stream]
        self._sealed.end(stream)
        connection = self._connection
        if connection is None:
            return
        if connection.session.negotiated:  # an old server may never answer
            connection.obsolete[stream] += stream in connection.asked
            connection.leaving.setdefault(stream, [])
        connection.asked.discard(stream)
        connection.session.unsubscribe(stream)
        connection.wake()

    def _when_forgotten(self, number: int, stream: str | None = None) -> Callable[[weakref.ref[Any]], None]:
        """Return the callback of a queue's weak reference, which may run in any thread and calls the event loop."""
        loop = asyncio.get_running_loop()

        def forget(held: weakref.ref[Any]) -> None:
            with suppress(RuntimeError):  # the event loop is closed, and so is the connection
                loop.call_soon_threadsafe(self._forget, number, stream, held)

        return forget

    def _forget(self, number: int, stream: str | None, held: weakref.ref[Any]) -> None:
        if stream is not None and self._subscriptions.get(stream) is held:
            self._leave_stream(stream)
        self._forget_pressure(number)

    def _forget_pressure(self, number: int) -> None:
        if self._pressures.pop(number, None):
            self._note_pressure()

    def _note_pressure(self) -> None:
        if self._connection:
            self._connection.note_pressure(max(self._pressures.values(), default=Pressure.ROOM))


def _drop_notice(error: ErrorReceived) -> tuple[str, int, int, int] | None:
    """Return stream, first and last timestamp and number of the dropped frames; None if it is no drop notice."""
    match error.details:
        case {
            "stream": str(stream),
            "from": int() | float() as start,
            "to": int() | float() as stop,
            "dropped": int(frames),
        } if error.code in (ErrorCode.RATE_LIMIT_EXCEEDED, ErrorCode.MESSAGE_TOO_LARGE):
            if isfinite(start) and isfinite(stop) and min(start, stop, frames) >= 0:
                return stream, microseconds(start), microseconds(stop), frames
    return None
