"""Which message goes into which mailbox, and what the server is asked for and answers."""

from __future__ import annotations

import asyncio
import logging
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..protocol import ErrorCode
from ..session import ErrorReceived, SubscriptionAnswered, microseconds
from .mailbox import Crowd, Letter, Mailbox
from .reconnection import as_error
from .subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from ..codec import Message
    from .conversation import Conversation
    from .place import Gap

log = logging.getLogger("ecgframe.client")


class Switchboard:
    """The mailboxes of a client, and the connection that fills them, while there is one.

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
        self._conversation: Conversation | None = None
        self._subscriptions: dict[str, weakref.ref[Subscription]] = {}
        self._others: weakref.ref[Mailbox] | None = None
        self._crowds: dict[int, Crowd] = {}

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
        if self._conversation:
            self._ask(subscription, self._conversation)
        return subscription

    def others(self, capacity: int) -> Mailbox:
        """A mailbox for all messages of no subscription.

        Raises:
            ValueError: there is one already.
        """
        if self._others and self._others() is not None:
            raise ValueError("somebody takes the messages of no subscription already")
        mailbox = Mailbox(self, capacity)
        self._others = weakref.ref(mailbox, self._when_forgotten(mailbox.number))
        return mailbox

    def find(self, stream: str) -> Subscription | None:
        """The subscription of a stream."""
        held = self._subscriptions.get(stream)
        return held() if held else None

    def leave(self, mailbox: Mailbox) -> None:
        """Nothing more shall come into it."""
        if isinstance(mailbox, Subscription):
            if self.find(mailbox.stream) is mailbox:
                self._leave_stream(mailbox.stream)
                mailbox.end(status="unsubscribed")
        elif self._others and self._others() is mailbox:
            self._others = None
            mailbox.end()
        self._forget_crowd(mailbox.number)

    async def left(self, stream: str) -> None:
        """Wait until the server has confirmed that a stream was left; not longer than the connection."""
        conversation = self._conversation
        if conversation and stream in conversation.leaving:
            confirmed = asyncio.get_running_loop().create_future()
            conversation.leaving[stream].append(confirmed)
            with conversation.awaiting():
                await confirmed

    def crowd_changed(self, mailbox: Mailbox) -> None:
        """A mailbox is fuller or emptier than before."""
        if mailbox.crowd:
            self._crowds[mailbox.number] = mailbox.crowd
            self._tell_crowd()
        else:
            self._forget_crowd(mailbox.number)

    # --- what the connection does ---

    def connected(self, conversation: Conversation) -> None:
        """There is a connection: what is followed is asked for, from where it broke off."""
        self._conversation = conversation
        self._tell_crowd()
        for subscription in self:
            self._ask(subscription, conversation)

    def disconnected(self) -> None:
        """It is gone."""
        if self._conversation:
            self._conversation = None
            for subscription in self:
                subscription.connection_lost()

    def end(self, failure: Exception | None) -> None:
        """There will be no other. The iterators give what waits and raise; a client that was closed drops it."""
        others = self._others() if self._others else None
        for mailbox in [*self, *([others] if others else [])]:
            mailbox.end(failure, empty=failure is None)
        self._subscriptions.clear()
        self._others = None

    def deliver(self, message: Message, conversation: Conversation) -> None:
        """A message came."""
        stream = message.data.get("stream") if isinstance(message.data, dict) else None
        subscription = self.find(stream) if isinstance(stream, str) else self._only_one(conversation)
        left = stream if isinstance(stream, str) and stream in conversation.leaving else None
        if subscription and not (left and left in conversation.asked):
            subscription.deliver(message, conversation)
        elif left:
            pass  # it was on its way when the stream was left
        elif self._others and (others := self._others()):
            others.put(Letter(message, message.nbytes, conversation))
        else:
            self.unclaimed += 1

    def answered(self, answer: SubscriptionAnswered, conversation: Conversation) -> None:
        """The server answered a request for a stream."""
        stream = answer.stream
        if answer.status == "unsubscribed":
            for confirmed in conversation.leaving.pop(stream, ()):
                if not confirmed.done():
                    confirmed.set_result(None)
        elif conversation.unheeded[stream]:
            conversation.unheeded[stream] -= 1
        elif stream in conversation.asked:
            conversation.asked.discard(stream)
            if subscription := self.find(stream):
                self._heed_answer(subscription, answer)

    def dropped(self, error: ErrorReceived, conversation: Conversation) -> bool:
        """The server may have said that it has dropped frames of a stream.

        Returns:
            Whether it has, and there is a subscription of that stream.
        """
        notice = _drop_notice(error)
        subscription = self.find(notice[0]) if notice else None
        if not (notice and subscription):
            return False
        _, start, stop, frames = notice
        subscription.dropped_by_server(start, stop, frames, timed=conversation.timed)
        return True

    # --- inside ---

    def _ask(self, subscription: Subscription, conversation: Conversation) -> None:
        stream = subscription.stream
        conversation.asked.add(stream)
        if conversation.session.negotiated:
            conversation.session.subscribe(stream, subscription.place.asks_since())
        else:
            conversation.session.subscribe(stream)
            subscription.granted_by_an_old_server()
        conversation.stir()

    def _heed_answer(self, subscription: Subscription, answer: SubscriptionAnswered) -> None:
        if answer.status == "subscribed":
            subscription.granted(answer.start, answer.timestamp)
            return
        if answer.code is None and subscription.was_granted:
            self._ask_later(subscription)
            return
        del self._subscriptions[subscription.stream]
        self._forget_crowd(subscription.number)
        code = ErrorCode.PERMISSION_DENIED if answer.code is None else answer.code
        subscription.end(as_error(code, f"the server denied the stream {answer.stream!r}"), status="denied")

    def _ask_later(self, subscription: Subscription) -> None:
        """The server has granted it before and now says no without saying why: its own trouble, which may pass."""
        held = self._subscriptions[subscription.stream]
        pause = subscription.next_delay(self._delays)
        log.warning("the server cannot serve the stream %r; asking again in %.1f s", subscription.stream, pause)
        asyncio.get_running_loop().call_later(pause, self._ask_again, held, self._conversation)

    def _ask_again(self, held: weakref.ref[Subscription], conversation: Conversation | None) -> None:
        subscription = held()
        if conversation is None or conversation is not self._conversation:
            return  # what is followed was asked for over the new connection
        if subscription and self.find(subscription.stream) is subscription:
            self._ask(subscription, conversation)

    def _only_one(self, conversation: Conversation) -> Subscription | None:
        """An old server may not name the stream in its messages; where only one is followed, it is that."""
        if conversation.session.negotiated or len(self._subscriptions) != 1:
            return None
        return next(iter(self), None)

    def _leave_stream(self, stream: str) -> None:
        del self._subscriptions[stream]
        conversation = self._conversation
        if conversation is None:
            return
        if conversation.session.negotiated:  # an old server may never answer
            conversation.unheeded[stream] += stream in conversation.asked
            conversation.leaving.setdefault(stream, [])
        conversation.asked.discard(stream)
        conversation.session.unsubscribe(stream)
        conversation.stir()

    def _when_forgotten(self, number: int, stream: str | None = None) -> Callable[[weakref.ref[Any]], None]:
        """What is to be done, in the event loop, once nobody holds a mailbox: it may be any thread that finds out."""
        loop = asyncio.get_running_loop()

        def forget(held: weakref.ref[Any]) -> None:
            with suppress(RuntimeError):  # the loop is closed, and the connection with it
                loop.call_soon_threadsafe(self._forget, number, stream, held)

        return forget

    def _forget(self, number: int, stream: str | None, held: weakref.ref[Any]) -> None:
        if stream is not None and self._subscriptions.get(stream) is held:
            self._leave_stream(stream)
        self._forget_crowd(number)

    def _forget_crowd(self, number: int) -> None:
        if self._crowds.pop(number, None):
            self._tell_crowd()

    def _tell_crowd(self) -> None:
        if self._conversation:
            self._conversation.note_crowd(max(self._crowds.values(), default=Crowd.ROOM))


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
