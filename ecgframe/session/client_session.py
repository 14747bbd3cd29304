"""The client's side of a conversation."""

from __future__ import annotations

from datetime import datetime
from math import inf
from typing import TYPE_CHECKING, Any, Final

from ..errors import InvalidDataFormat, PermissionDenied
from ..protocol import LARGEST_LENGTH, Check, MessageType
from .events import Event, SubscriptionAnswered
from .negotiation import choice, common_capabilities
from .outgoing import encode_outgoing, encoding_for
from .session import VERSION_OF_NEGOTIATION, Session
from .timestamps import microseconds, seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..codec import Message
    from .settings import Settings

SHORTEST_HEARTBEAT: Final = 0.05
"""Seconds; a server that announces less must not keep its clients busy with heartbeats."""

LONGEST_HEARTBEAT: Final = 86_400.0
"""Seconds; a server that announces more means "never", and a clock has to be set to something."""


class ClientSession(Session):
    """The side that chooses from what the server offers, and subscribes."""

    def __init__(self, settings: Settings, wall_clock_us: Callable[[], int]) -> None:
        super().__init__(settings, wall_clock_us)
        self._window.turn_off()  # a client's own data is for its server alone, which reads it as it comes
        self._give_up_waiting_at = inf

    def start(self, now: float) -> None:
        """The connection stands: the client waits for the server's offer."""
        super().start(now)
        self._give_up_waiting_at = now + self.settings.negotiation_timeout

    def deadline(self) -> float | None:
        """When ``tick`` is next to be called. See ``Session.deadline``."""
        deadline = super().deadline()
        return deadline if deadline is None or self.established else min(deadline, self._give_up_waiting_at)

    def tick(self, now: float) -> list[Event]:
        """Do what is due by now. See ``Session.tick``."""
        events: list[Event] = []
        if not self.established and not self.closing and now >= self._give_up_waiting_at:
            self._assume(min(self.settings.versions), events)
        return events + super().tick(now)

    def subscribe(self, stream: str, since: int | datetime | None = None) -> None:
        """Ask for a stream; ``SubscriptionAnswered`` follows.

        Args:
            stream: its name.
            since: timestamp of the last message without PRIORITY that this side has, in microseconds since 1970: what
                came after it is sent first. Or a date: a moment by the server's clock.
        """
        request: dict[str, Any] = {"stream": stream}
        if since is not None:
            request["since"] = since if isinstance(since, datetime) else seconds(since)
        self._say(MessageType.SUBSCRIBE, request)

    def unsubscribe(self, stream: str) -> None:
        """Give a stream up; ``SubscriptionAnswered`` follows."""
        self._say(MessageType.UNSUBSCRIBE, {"stream": stream})

    def _on_negotiation(self, data: Any, message: Message, now: float, events: list[Event]) -> None:
        self._refuse_to_agree_again()
        if data.get("versions") is None:
            raise InvalidDataFormat("a server offers a list of versions, not one", check=Check.FIELDS)
        answer = choice(self.settings, data)
        # The answer travels in a V1 frame, also where another version was assumed.
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
        self._establish(answer["version"], common_capabilities(self.settings, data), True, events)

    def _on_subscribe(self, data: Any, message: Message, now: float, events: list[Event]) -> None:
        raise PermissionDenied("a client has no streams to subscribe to", check=Check.FIELDS)

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
            )
        )
