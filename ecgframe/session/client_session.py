"""The client's side of a connection."""

from __future__ import annotations

from datetime import datetime
from math import inf
from typing import TYPE_CHECKING, Any, Final

from ..errors import InvalidDataFormat, PermissionDenied
from ..protocol import LARGEST_LENGTH, Check, CloseCode, MessageType
from .events import Event, SubscriptionAnswered
from .negotiation import choice, common_capabilities
from .outgoing import encode_outgoing, encoding_for
from .session import AGREED_ALREADY, VERSION_OF_NEGOTIATION, Session
from .state import Phase, Trigger
from .timestamps import microseconds, seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..codec import Message
    from .frame_reader import StreamOf
    from .session import Verdict
    from .settings import Settings

SHORTEST_HEARTBEAT: Final = 0.05
"""Shortest heartbeat interval in seconds: a server that announces less cannot keep its clients busy."""

LONGEST_HEARTBEAT: Final = 86_400.0
"""Longest heartbeat interval in seconds, for servers that announce more because they mean "never"."""


class ClientSession(Session):
    """The side that chooses from what the server offers, and subscribes.

    Args:
        settings: this side's.
        wall_clock_us: returns microseconds since 1970, always more than the time before.
        was_refused: called with the stream and the number of a refused message; returns whether it was refused over an
            earlier connection as well. Such a message does not count among the errors that close the connection, since
            the next connection would get it again.
    """

    __slots__ = ("_give_up_waiting_at", "_was_refused")

    def __init__(
        self,
        settings: Settings,
        wall_clock_us: Callable[[], int],
        *,
        was_refused: Callable[[StreamOf, int], bool] | None = None,
    ) -> None:
        super().__init__(settings, wall_clock_us)
        self._was_refused = was_refused
        self._room = self._window.turn_off()  # only the server reads what a client sends, and it reads at once
        self._give_up_waiting_at = inf

    def _passes_over(self, stream: StreamOf, number: int) -> bool:
        return self._was_refused is not None and self._was_refused(stream, number)

    def start(self, now: float) -> None:
        """Begin: the connection is open, and the client waits for the server's offer."""
        super().start(now)
        self._give_up_waiting_at = now + self.settings.negotiation_timeout

    def deadline(self) -> float | None:
        """The time at which to call ``tick`` next. See ``Session.deadline``."""
        deadline = super().deadline()
        return deadline if deadline is None or self.established else min(deadline, self._give_up_waiting_at)

    def tick(self, now: float) -> list[Event]:
        """Do what is due. See ``Session.tick``."""
        events: list[Event] = []
        if self.phase is Phase.OPENING and now >= self._give_up_waiting_at:
            old = [version for version in self.settings.versions if version < 4]
            if not old:  # version 4 is spoken only after a negotiation
                self.end(CloseCode.PROTOCOL_ERROR, "the server does not negotiate, which version 4 requires")
                return events
            self._react(Trigger.TIMEOUT)
            self._assume(min(old), events)
        return events + super().tick(now)

    def subscribe(
        self,
        stream: str,
        since: int | datetime | None = None,
        *,
        epoch: int | None = None,
        after: int | None = None,
    ) -> None:
        """Subscribe to a stream; the event ``SubscriptionAnswered`` follows.

        Args:
            stream: its name.
            since: where to resume: the timestamp of the last message without PRIORITY that this side has, in
                microseconds since 1970, or a date by the server's clock. The server first sends what followed.
            epoch: the epoch of the stream's numbers that this side knows. Left out before V4.
            after: the number of the last message in line that this side has in that epoch.
        """
        request: dict[str, Any] = {"stream": stream}
        if self.version >= 4 and epoch is not None and after is not None:
            request |= {"epoch": epoch, "after": after}
        if since is not None:
            request["since"] = since if isinstance(since, datetime) else seconds(since)
        if self._reader is not None:
            self._reader.asked.add(stream)
        if len(request) > 1:
            self._forget_unfinished(stream)  # it comes again, whole
        self._say(MessageType.SUBSCRIBE, request)

    def _forget_unfinished(self, stream: str) -> None:
        """Drop an unfinished message of a stream, and ignore its later fragments."""
        if self._reassembly is not None and self._reader is not None:
            book = self._reader.book
            self._reassembly.forget(lambda id: (place := book.name_of(id)) is not None and place[0] == stream)

    def unsubscribe(self, stream: str) -> None:
        """Unsubscribe from a stream; the event ``SubscriptionAnswered`` follows."""
        if self._reader is not None:
            self._reader.asked.discard(stream)
        self._say(MessageType.UNSUBSCRIBE, {"stream": stream})

    def _on_negotiation(self, data: Any, message: Message, now: float, events: list[Event]) -> None:
        self._require_first_negotiation()
        if data.get("versions") is None:
            raise InvalidDataFormat("a server offers a list of versions, not one", check=Check.FIELDS)
        answer = choice(self.settings, data)
        self._react(Trigger.NEGOTIATION)
        # The answer is a V1 frame, even if another version was assumed.
        outgoing = encode_outgoing(
            encoding_for(VERSION_OF_NEGOTIATION, frozenset()),
            MessageType.PROTOCOL_NEGOTIATION,
            answer,
            timestamp=self._wall_clock_us(),
            settings=self.settings,
        )
        self.enqueue(outgoing)
        if data.get("heartbeat_interval") is not None:
            announced = float(data["heartbeat_interval"])
            self._heartbeat_interval = min(max(announced, SHORTEST_HEARTBEAT), LONGEST_HEARTBEAT)
        if data.get("max_payload") is not None:
            self._max_payload_of_peer = min(int(data["max_payload"]), LARGEST_LENGTH)
        self._establish(answer["version"], common_capabilities(self.settings, data), events)

    def _verdict(self, type: MessageType, is_broadcast: bool) -> Verdict | None:
        if type is MessageType.SUBSCRIBE or type is MessageType.UNSUBSCRIBE:
            return PermissionDenied, "a client has no streams to subscribe to"
        if type is MessageType.PROTOCOL_NEGOTIATION and self.negotiated:
            return InvalidDataFormat, AGREED_ALREADY
        return None

    def _on_subscribe(self, data: Any, message: Message, now: float, events: list[Event]) -> None:
        raise AssertionError("refused by its header")

    _on_unsubscribe = _on_subscribe

    def _on_subscription_ack(self, data: Any, message: Message, now: float, events: list[Event]) -> None:
        code, start = data.get("code"), data.get("from")
        events.append(
            SubscriptionAnswered(
                data["stream"],
                data["status"],
                None if code is None else int(code),
                None if start is None else microseconds(start),
                message.timestamp,
                data.get("epoch") if message.version >= 4 else None,
                data.get("next") if message.version >= 4 else None,
                data.get("ended") if message.version >= 4 else None,
            )
        )
