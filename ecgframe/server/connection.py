"""One connection of a handler: it joins a session (the protocol), a link (the network) and the event loop's clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import perf_counter, thread_time
from typing import Any, Final

from ..background.threads import DECODED_AT_ONCE, in_thread
from ..errors import ERRORS, ProtocolError
from ..protocol import DATA_TYPES, HEADER_SIZES, CloseCode, ErrorCode, MessageType
from ..seal import Key
from ..session import (
    Acknowledged,
    Decoding,
    ErrorReceived,
    Event,
    FrameRefused,
    HistoryRequested,
    Negotiated,
    Numbered,
    OpeningRequested,
    PingUnanswered,
    Received,
    ServerSession,
    Settings,
    SubscribeRequested,
    Totals,
    Undelivered,
    UnsubscribeRequested,
)
from .audit import Audit, ConnectionAudit
from .connection_info import ConnectionInfo
from .connection_log import ConnectionLog
from .connection_writer import ConnectionWriter
from .hooks import Hooks
from .identity import expiry_of
from .inbox import Inbox, Item
from .limits import Limits
from .lingering import Linger, LingeringWriter, QueueingWriter
from .link import Link
from .memory import InboxesLimit
from .pace import Pace
from .playback import MOST_AT_ONCE, Playback
from .publisher import Publisher
from .resuming import begin_to_watch
from .sealing import Seals
from .stats import ServerStats
from .stream import Stream
from .streams import StreamClock
from .tasks import begin
from .turns import Turns

NO_CLOSE: Final = 1006
"""The code by which RFC 6455 names a connection that ended without a close frame."""

READ_WHILE_CLOSING: Final = 1000
"""Messages that are read from a peer while waiting for its close frame; after that many the connection is dropped."""

LONGEST_VALIDITY: Final = 60.0
"""Seconds after which the expiry of an identity is compared with the clock again, as that may have been set."""

FOR_THE_APPLICATION: Final = (
    Received,
    Numbered,
    OpeningRequested,
    SubscribeRequested,
    HistoryRequested,
    UnsubscribeRequested,
)
"""Events that wait in the inbox for the application; all others are handled at once."""


SMALL: Final = 256
"""Bytes of a message that is measured by the monotonic clock. The clock of a thread is a system call, and on a virtual
machine two of them may take ten times as long as a PONG."""


class StreamRefused(Exception):
    """A message of an opened stream, or an opening, is refused.

    Args:
        error: which the peer is sent.
        stream: name of the stream.
        epoch: of the publisher's numbers.
    """

    def __init__(self, error: ProtocolError, stream: str, epoch: int) -> None:
        super().__init__(str(error))
        self.error = error
        self.details = {"stream": stream, "epoch": epoch}

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.error, self.details["stream"], self.details["epoch"]), self.__dict__


def is_data(message: bytes) -> bool:
    """Return whether a message may hold data: its first frame has a data type, or it has more than one frame."""
    if len(message) < HEADER_SIZES[1]:
        return False
    size = HEADER_SIZES.get(message[0], HEADER_SIZES[1]) + int.from_bytes(message[3:7], "big")
    return message[1] in DATA_TYPES or len(message) > size


def _decode_timed(decoding: Decoding) -> None:
    began = thread_time()
    decoding.run()
    decoding.seconds = thread_time() - began


def _stay(name: str, publisher: Publisher) -> None:
    """Do nothing: there are no other servers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """Objects that all connections of a handler share.

    Attributes:
        settings: settings of the sessions.
        limits: limits of the handler.
        wall_clock_us: returns microseconds since 1970, strictly increasing.
        hooks: the application's hooks.
        stats: counters of the handler.
        pace: turns for connections that catch up with a stream.
        turns: turns for connections that have a message to decode.
        totals: the account of all peers together; None if it is unlimited.
        inboxes: limit on the memory of all inboxes.
        serve: handles a message or a request; an exception is answered with an ERROR to the peer.
        audit: records who does what.
        seals: the sealers; None if no stream is sealed.
        linger: the timer of frames that wait for others; None if none waits.
        leave_opened: called with the name and the publisher of a stream, when the connection that opened it has ended.
    """

    settings: Settings
    limits: Limits
    wall_clock_us: Callable[[], int]
    hooks: Hooks
    stats: ServerStats
    pace: Pace
    turns: Turns
    totals: Totals | None
    inboxes: InboxesLimit
    serve: Callable[[Connection, Event], Awaitable[None]]
    audit: Audit
    seals: Seals | None = None
    linger: Linger | None = None
    leave_opened: Callable[[str, Publisher], None] = _stay


class Connection:
    """One connection, from the open WebSocket to its end.

    An idle connection costs one task, which reads, and one timer. ``ConnectionWriter`` starts another task while
    messages wait to be sent.

    Args:
        id: id of the connection.
        link: link to the peer.
        shared: objects shared with the other connections of the handler.
        identity: who the peer is, if the application knows already; None to ask ``authenticate``.

    Attributes:
        session: the session of this connection.
        writer: sends the session's messages; streams know the connection by its writer.
        info: the application's view of the connection.
        audit: records what the peer does.
        keys_given: the ids of the keys that it was handed out, by the name of the stream; None for a stream of which it
            wants none.
        identity: what ``authenticate`` returned, or what was passed.
        is_open: whether the peer was accepted and has not left.
        connected_at: when the connection was opened, in microseconds since 1970.
        close_code: code with which the connection was closed; ``NO_CLOSE`` while it is open, and if there was none.
        subscriptions: the streams that the connection watches, by name.
        watched_since: when it began to watch each of them, in seconds since 1970.
        opened: the publishers of the streams that it has opened, by name.
    """

    def __init__(self, id: str, link: Link, shared: Shared, identity: object = None) -> None:
        self.id = id
        self.link = link
        self.session = ServerSession(
            shared.settings,
            shared.wall_clock_us,
            totals=shared.totals,
            stream_name=shared.limits.stream_name,
            refuses_data=self._refuses_data,
        )
        self.info = ConnectionInfo(self)
        self.audit = ConnectionAudit(shared.audit, self.info)
        self._log = ConnectionLog(self.info)
        self._shared = shared
        self.writer = self._make_writer(link)
        self.identity = identity
        self.is_open = False
        self.connected_at = shared.wall_clock_us()
        self.close_code = NO_CLOSE
        self.subscriptions: dict[str, Stream] = {}
        self.watched_since: dict[str, float] = {}
        self.opened: dict[str, Publisher] = {}
        self.keys_given: dict[str, set[int] | None] = {}
        self._playbacks: dict[tuple[str, int], Playback] = {}
        self._observe_seconds = shared.stats.receive_seconds.observe
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time
        self._inbox = Inbox(self._handle, self._give_up_handling, shared.limits, shared.inboxes)
        self._is_gone = False
        self._is_paused = False
        self._closer: asyncio.Task[None] | None = None
        self._timer: asyncio.Handle | None = None
        self._expiry: asyncio.Handle | None = None
        self._timer_at = 0.0  # kept here: not every handle of uvloop has when()

    async def run(self) -> None:
        """Serve the peer until it is gone, then release everything that belongs to the connection."""
        try:
            await self._accept()
            try:
                await self._read()
            except Exception as error:  # a bug of the server ends this connection, and no other
                self._log.failed("serving a connection", error)
                self.session.end(CloseCode.INTERNAL, "internal error")
            self.leave()
            await self._finish_and_close()
        finally:
            self.leave()
            self._let_go_of_streams()
            await self._stop()

    def _make_writer(self, link: Link) -> ConnectionWriter:
        shared, close = self._shared, self._begin_closing
        if shared.linger is None:
            return ConnectionWriter(self.session, link, self._log, shared.pace, rearm=self._rearm, close=close)
        writer = QueueingWriter if link.is_only_awaited else LingeringWriter
        return writer(self.session, link, self._log, shared.pace, shared.linger, rearm=self._rearm, close=close)

    # --- streams ---

    def subscribe(self, stream: Stream, request: SubscribeRequested, clock: StreamClock) -> None:
        """Watch a stream, and answer the request.

        This must not wait for anything: a message published meanwhile would be missed or sent twice.

        Args:
            stream: the stream to watch.
            request: the peer's request.
            clock: the clock of the stream's timestamps.
        """
        if not self.is_open:
            return
        name, since = stream.name, request.since
        keys = self._keys_for(name, wants_keys=request.wants_keys)
        if name in self.subscriptions and since is None and request.epoch is None:
            binding = stream.viewers.binding(self.writer)
            if binding is not None:
                binding = binding._replace(templates=())  # it has them
            self.session.answer_subscription(name, "subscribed", binding=binding, keys=keys)
        else:
            self._note_end_of(name, "begins anew")
            self._take_back(name)
            start, binding, is_known = begin_to_watch(stream, self.writer, request, clock)
            if is_known is not None:
                self._shared.stats.resumes["known" if is_known else "unknown"] += 1
            self.session.answer_subscription(name, "subscribed", start=start, binding=binding, keys=keys)
            self.subscriptions[name] = stream
            self.watched_since.setdefault(name, time.time())
            self.audit.watches(name, since, stream.viewers.next_for(self.writer))
            if stream.viewers.is_behind(self.writer):
                self.writer.bring_up_to_date(stream.viewers)
        self.writer.flush()

    def _keys_for(self, name: str, *, wants_keys: bool) -> tuple[Key, ...]:
        """The keys to hand out with the answer; they are noted as given."""
        seals = self._shared.seals
        if seals is None or not self.session.encoding.sealed or not seals.seals(name):
            return ()
        if not wants_keys:
            self.keys_given[name] = None
            return ()
        keys = seals.keys_of(name)
        self.keys_given[name] = {key.id for key in keys}
        self._shared.stats.keys_handed_out += len(keys)
        return keys

    def refusal(self, name: str, *, wants_keys: bool) -> str | None:
        """Why the peer cannot get a stream, if that is sealed, for a person; None if it can."""
        seals = self._shared.seals
        if seals is None:
            return None
        return seals.refusal(name, self.session, ended_tls=self.link.ended_tls, wants_keys=wants_keys)

    def lacks_keys(self, name: str, keys: tuple[Key, ...]) -> bool:
        """Return whether there are keys of a stream that the peer was not handed out and wants."""
        given = self.keys_given.get(name, set())
        return given is not None and any(key.id not in given for key in keys)

    def hand_out(self, name: str, keys: tuple[Key, ...]) -> None:
        """Send the peer the keys of a stream that it watches."""
        self.keys_given[name] = {key.id for key in keys}
        self._shared.stats.keys_handed_out += len(keys)
        self.session.hand_out(name, keys)
        self.writer.flush()

    def _name_streams(self) -> None:
        """Send a peer that has agreed on version 4 the numbers of the streams that it watched before."""
        for name, stream in self.subscriptions.items():
            stream.note_reader(self.writer)
            if (binding := stream.viewers.binding(self.writer)) is not None:
                binding = stream.announcer.sealed_binding(binding, self.session)
                self.session.answer_subscription(name, "subscribed", binding=binding)

    @property
    def watched(self) -> set[str]:
        """Names of the streams that the peer has subscribed to, or gets a history of."""
        self._forget_played()
        return {*self.subscriptions, *(name for name, _ in self._playbacks)}

    def may_play_back(self, name: str, number: int) -> bool:
        """Return whether another history of a stream may begin, with that number."""
        self._forget_played()
        return len(self._playbacks) < MOST_AT_ONCE and (name, number) not in self._playbacks

    def play_back(self, playback: Playback, *, wants_keys: bool = True) -> None:
        """Answer the request for a history, and begin to send it.

        Args:
            playback: the history.
            wants_keys: whether the peer wants the keys of a sealed stream.
        """
        name, number = playback.stream.name, playback.number
        if not self.is_open:
            playback.close()
            return
        if playback.part is not None:
            keys = self._keys_for(name, wants_keys=wants_keys)
            self.session.answer_subscription(name, "subscribed", history=number, part=playback.part, keys=keys)
            self._shared.stats.histories += 1
        self._playbacks[name, number] = playback
        self.writer.bring_up_to_date(playback)
        self.writer.flush()

    def deny_history(self, name: str, number: int, code: ErrorCode, reason: str | None) -> None:
        """Answer that a history is denied."""
        self._shared.stats.errors[code] += 1
        text = "a history is denied" if reason is None else f"a history is denied: {reason}"
        self._shared.hooks.report(self.info, ERRORS[code](text), None)
        self.audit.denied("subscribe", name, code)
        self.session.answer_subscription(name, "denied", code=code, reason=reason, history=number)
        self.writer.flush()

    def end_history(self, name: str, number: int) -> None:
        """Send no more of a history, and confirm that to the peer. What was queued of it is skipped there."""
        playback = self._playbacks.pop((name, number), None)
        if playback is not None:
            playback.close()
        self.session.answer_subscription(name, "unsubscribed", history=number)
        self.writer.flush()

    def _forget_played(self) -> None:
        self._playbacks = {key: one for key, one in self._playbacks.items() if one.is_behind(self.writer)}

    def unsubscribe(self, name: str) -> None:
        """Stop watching a stream, and confirm it to the peer."""
        self._note_end_of(name, "unsubscribed")
        stream = self.subscriptions.pop(name, None)
        self.watched_since.pop(name, None)
        self.keys_given.pop(name, None)
        if stream is not None:
            stream.remove(self.writer)
            self._take_back(name)
        self.session.answer_subscription(name, "unsubscribed")
        self.writer.flush()

    def _note_end_of(self, name: str, why: str) -> None:
        if (stream := self.subscriptions.get(name)) is not None:
            self.audit.watched(name, stream.viewers.next_for(self.writer), why)

    def _take_back(self, name: str) -> None:
        """Discard the data of a stream that waits, from version 4 on. See ``Sender.take_back``."""
        self.writer.release()
        if self.session.version >= 4:
            for event in self.session.take_back(name):
                self._note(event)

    def revoke(self, name: str, code: ErrorCode = ErrorCode.PERMISSION_DENIED, reason: str | None = None) -> bool:
        """End a subscription, and histories, because the peer may not watch the stream any more.

        Returns:
            True if there was a subscription.
        """
        for of, number in [key for key in self._playbacks if key[0] == name]:
            self.end_history(of, number)
        self._note_end_of(name, "denied")
        stream = self.subscriptions.pop(name, None)
        self.watched_since.pop(name, None)
        if stream is None:
            return False
        stream.remove(self.writer)
        self.writer.release()
        for event in self.session.take_back(name):
            self._note(event)
        self.deny(name, code, reason)
        return True

    def deny(self, name: str, code: ErrorCode | None, reason: str | None = None) -> None:
        """Answer that a subscription is denied.

        Args:
            name: name of the stream.
            code: the reason; None for a failure of the server.
            reason: the same for a person.
        """
        self.keys_given.pop(name, None)
        if code is not None:
            self._shared.stats.errors[code] += 1
            text = "a subscription is denied" if reason is None else f"a subscription is denied: {reason}"
            self._shared.hooks.report(self.info, ERRORS[code](text), None)
        self.audit.denied("subscribe", name, code)
        self.session.answer_subscription(name, "denied", code=code, reason=reason)
        self.writer.flush()

    # --- receiving ---

    async def _accept(self) -> None:
        allowed = True
        if self.identity is None:
            allowed, self.identity = await self._shared.hooks.identify(self.link.request)
        if not allowed:
            self.audit.refused()
            self.refuse(ErrorCode.AUTHENTICATION_FAILED, "authentication failed", close=CloseCode.POLICY)
            return
        if self.session.closing:
            return
        if not self._check_expiry():
            self.audit.refused()
            return
        self.is_open = True
        self._log.opened()
        self.audit.opened()
        self.session.start(self.now())
        self.writer.flush()
        self._rearm()

    async def _read(self) -> None:
        """Read until the connection ends, also after the session has closed: the peer's close frame comes last."""
        session, receive, turns = self.session, self.link.receive, self._shared.turns
        left = READ_WHILE_CLOSING
        while True:
            try:
                message = await receive()
            except Exception as error:
                self.writer.lose(error)
                return
            if message is None:
                return
            if turns.is_over:
                await turns.take()
            if self._shared.inboxes.is_full and self._takes_memory(message):
                await self._pause(self._shared.inboxes.wait())
            await self._take(message)
            message = None  # free its memory before waiting for the next one
            if not session.closing:
                await self._pause_if_needed()
            elif (left := left - 1) == 0:
                self.writer.lose(ConnectionAbortedError("the peer keeps sending although the connection is closing"))
                return

    def _takes_memory(self, message: bytes | str) -> bool:
        return self._inbox.is_busy or (isinstance(message, bytes) and is_data(message))

    async def _take(self, message: bytes | str) -> None:
        """Pass a message to the session, handle the events, and charge the processor time to the peer."""
        clock = thread_time if len(message) > SMALL else perf_counter
        session, now, began = self.session, self.now(), clock()
        encoding = session.encoding
        if isinstance(message, str):
            events = session.receive_text(now)
        else:
            self._shared.stats.received_sizes.observe(len(message))
            received = session.begin_to_receive(message, now, DECODED_AT_ONCE)
            if isinstance(received, Decoding):
                spent = clock() - began
                events = await self._decode(received)
                now, began = self.now(), clock() - spent  # the thread has measured its own time
            else:
                events = received
        if session.encoding is not encoding:
            self.writer.renegotiated()
        self._dispatch(events, now, message)
        if self.writer.has_more or session.closing:
            self.writer.pump(now)
        spent = clock() - began
        session.charge_time(spent, now)
        self._shared.turns.spend(spent)

    async def _pause_if_needed(self) -> None:
        """Stop reading while the peer is over its rate, the inbox is full, or too many answers wait to be sent."""
        if (pause := self.session.take_pause()) > 0:
            await self._pause(asyncio.sleep(pause))
        if self._inbox.is_full:
            await self._pause(self._inbox.wait_until_not_full())
        if self.writer.has_too_many_answers:
            await self._pause(self.writer.wait_for_answers())

    async def _pause(self, until: Awaitable[None]) -> None:
        """Stop reading until ``until`` is done. The pause does not count as silence of the peer."""
        self._is_paused = True
        try:
            await until
        finally:
            self._is_paused = False
        self.session.heard(self.now())

    async def _decode(self, decoding: Decoding) -> list[Event]:
        """Decode a large message in a thread, once the inboxes have room for it."""
        inboxes = self._shared.inboxes
        async with inboxes.decoding:
            await inboxes.wait()
            await in_thread(_decode_timed, decoding)
            events = self.session.finish_receiving(decoding, self.now())
            decoding.items.clear()
            return events

    def _refuses_data(self, type: MessageType, is_broadcast: bool) -> str | None:
        problem = self._shared.hooks.refuses_data(self.info, type, is_broadcast)
        if problem is not None:
            self.audit.denied("broadcast" if is_broadcast else "publish", None, ErrorCode.PERMISSION_DENIED)
        return problem

    def _dispatch(self, events: list[Event], now: float, message: bytes | str | None = None) -> None:
        for event in events:
            if isinstance(event, FOR_THE_APPLICATION):
                held = event.memory if isinstance(event, (Received, Numbered)) else len(event.stream)
                self._inbox.put(Item(event, Item.OVERHEAD + held, now))
                continue
            self._note(event, message)
            if isinstance(event, FrameRefused) and event.of_stream is not None:
                self._inbox.put(Item(event, Item.OVERHEAD, now))  # in its turn, its number is passed over

    def _note(self, event: Event, message: bytes | str | None = None) -> None:
        match event:
            case Negotiated():
                self._log.negotiated(event)
                self._name_streams()
            case FrameRefused(error=error):
                self._log.refused_frame(event)
                self._shared.hooks.report(self.info, error, message)
            case Acknowledged():
                self._shared.stats.acknowledged += 1
            case Undelivered():
                self._log.undelivered(event)
                self._shared.hooks.give_up(self.info, event)
            case PingUnanswered():
                self._log.answers_no_ping(event)
            case ErrorReceived(code=code):
                self._log.reported(code)

    async def _handle(self, item: Item) -> None:
        """Handle a message or a request of the peer. A failure is answered with an ERROR that has no details."""
        try:
            await self._shared.serve(self, item.event)
        except StreamRefused as refused:
            self.refuse(refused.error.code, str(refused.error), details=refused.details)
            return  # not acknowledged
        except ProtocolError as error:
            self.refuse(error.code, str(error))
        except Exception as error:
            if not self._is_gone:  # otherwise it most likely failed because the peer is gone
                self._log.failed("on_message", error)
            self.refuse(ErrorCode.INVALID_DATA_FORMAT, "the message could not be handled")
        self._finish(item)

    def _give_up_handling(self, item: Item) -> None:
        event = item.event
        self._log.cancelled_hook(self._shared.limits.hook_seconds)
        if isinstance(event, SubscribeRequested):
            self.deny(event.stream, None)
        else:
            self.refuse(ErrorCode.INVALID_DATA_FORMAT, "the message could not be handled in time")
        self._finish(item)

    def _finish(self, item: Item) -> None:
        event, session, now = item.event, self.session, self.now()
        if isinstance(event, Numbered):
            session.acknowledge(event.message)
        elif isinstance(event, Received):
            session.acknowledge(event.message)
            seconds = now - item.received_at
            self._observe_seconds(seconds)
            if seconds > self._shared.limits.slow_message_seconds:
                self._log.slow(event.message.type, seconds)
        if session.has_waiting:
            self.writer.pump(now)

    def refuse(
        self, code: ErrorCode, text: str, *, details: dict[str, Any] | None = None, close: CloseCode | None = None
    ) -> None:
        """Send an ERROR to the peer; does nothing if the connection is closing.

        Args:
            code: code of the error.
            text: its text.
            details: its details.
            close: code with which to close the connection; None keeps it open.
        """
        if self.session.closing:
            return
        self._shared.stats.errors[code] += 1
        self.session.refuse(code, text, details=details, close=close)
        self._shared.hooks.report(self.info, ERRORS[code](text), None)
        self._log.refused(code)
        self.writer.flush()

    # --- time ---

    def _rearm(self) -> None:
        """Set the timer to the session's deadline.

        A timer that fires too early is harmless: it sets itself again. So this has to be called only when the deadline
        may have moved forward: after a message with ACK_REQUIRED, and when the queue has become empty.
        """
        deadline = self.session.deadline()
        if deadline is None:
            return
        if self._timer is not None:
            if self._timer_at <= deadline:
                return
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = self._loop.call_at(deadline, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        now = self.now()
        if self._is_paused:
            self.session.heard(now)
        self._dispatch(self.session.tick(now), now)
        self.writer.pump(now)
        self._rearm()

    def _check_expiry(self) -> bool:
        """End the connection if its identity has expired, else look again later. Returns whether it goes on."""
        self._expiry = None
        if self.session.closing:
            return False
        try:
            expiry = expiry_of(self.identity)
        except (TypeError, ValueError) as error:
            self._log.failed("reading the expiry of an identity", error)
            self.refuse(ErrorCode.AUTHENTICATION_FAILED, "authentication failed", close=CloseCode.POLICY)
            return False
        if expiry is None:
            return True
        left = expiry - self._shared.wall_clock_us() / 1e6
        if left <= 0:
            self.refuse(ErrorCode.AUTHENTICATION_FAILED, "the identity has expired", close=CloseCode.POLICY)
            return False
        self._expiry = self._loop.call_later(min(left, LONGEST_VALIDITY), self._check_expiry)
        return True

    # --- ending ---

    def end(self, code: CloseCode, reason: str) -> None:
        """Close the connection once the urgent messages are sent."""
        self.session.end(code, reason)
        self.writer.pump(self.now())

    def leave(self) -> None:
        """Leave all streams and stop the timer, because the peer is gone. Calling this again does nothing."""
        if self._is_gone:
            return
        self._is_gone = True
        self.is_open = False
        closing = self.session.closing
        self.close_code = closing.code if closing else self.link.close_code or NO_CLOSE
        for name, stream in self.subscriptions.items():
            self._note_end_of(name, "closed")
            stream.remove(self.writer)
        self.subscriptions.clear()
        self.watched_since.clear()
        for playback in self._playbacks.values():
            playback.close()
        self._playbacks.clear()
        self.writer.forget_streams()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        for event in self.session.lost():
            self._note(event)
        self._log.closed(self.close_code, self.session)
        self.audit.closed(self.close_code, self.session.counters.dropped)

    def _let_go_of_streams(self) -> None:
        """Note that this connection publishes on its streams no more, once its messages are handled."""
        now = self.now()
        for name, publisher in self.opened.items():
            if publisher.owner is self:
                publisher.owner, publisher.left_at = None, now
                self._shared.leave_opened(name, publisher)
        self.opened.clear()

    def abort(self) -> None:
        """Drop the connection, and the events that wait for the application."""
        self._inbox.stop()
        self.link.abort()

    def _begin_closing(self) -> None:
        if self._closer is None:
            self._closer = begin(self._close())

    async def _close(self) -> None:
        """Close the link after the messages that wait to be sent; drop it after ``Limits.close_seconds``."""
        closing = self.session.closing
        assert closing is not None
        try:
            async with asyncio.timeout(self._shared.limits.close_seconds):
                if self.writer.task:
                    await asyncio.wait({self.writer.task})
                await self.link.close(closing.code, closing.reason)
        except Exception as error:
            self.writer.lose(error)

    async def _finish_and_close(self) -> None:
        """Wait until the application has handled the peer's messages, then close the link."""
        try:
            async with asyncio.timeout(self._shared.limits.close_seconds):
                await self._inbox.empty()
        except TimeoutError:
            self._log.left_work()
        self._begin_closing()
        if self._closer:
            await self._closer

    async def _stop(self) -> None:
        others = {task for task in (self.writer.task, self._closer) if task}
        tasks = {task for task in self._inbox.stop() | others if not task.done()}
        for task in tasks:
            task.cancel()
        self.writer.shut()
        if tasks:
            await asyncio.wait(tasks, timeout=self._shared.limits.close_seconds)
