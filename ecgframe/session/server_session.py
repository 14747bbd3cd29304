"""The server's side of a conversation."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..errors import InvalidDataFormat, InvalidProtocolVersion
from ..protocol import Check, MessageType
from .events import Event, SubscribeRequested, UnsubscribeRequested
from .negotiation import common_capabilities, offer
from .session import Session
from .timestamps import microseconds

if TYPE_CHECKING:
    from ..codec import Message


class ServerSession(Session):
    """The side that speaks first and grants subscriptions."""

    def start(self, now: float) -> None:
        """The connection stands: the server offers what it has."""
        super().start(now)
        self._say(MessageType.PROTOCOL_NEGOTIATION, offer(self.settings))

    def _on_negotiation(self, data: Any, message: Message, now: float, events: list[Event]) -> None:
        self._refuse_to_agree_again()
        version = data.get("version")
        if version is None:
            raise InvalidDataFormat(
                "a client answers with the version that it chose, not with a list", check=Check.FIELDS
            )
        if version not in self.settings.versions:
            raise InvalidProtocolVersion(
                f"version {version} was not offered; spoken here: {sorted(self.settings.versions)}", check=Check.VERSION
            )
        self._establish(int(version), common_capabilities(self.settings, data), True, events)

    def _on_subscribe(self, data: Any, message: Message, now: float, events: list[Event]) -> None:
        since = data.get("since")
        if since is None:
            events.append(SubscribeRequested(data["stream"], None))
        else:
            events.append(SubscribeRequested(data["stream"], microseconds(since), isinstance(since, datetime)))

    def _on_unsubscribe(self, data: Any, message: Message, now: float, events: list[Event]) -> None:
        events.append(UnsubscribeRequested(data["stream"]))

    def _on_subscription_ack(self, data: Any, message: Message, now: float, events: list[Event]) -> None:
        raise InvalidDataFormat("SUBSCRIPTION_ACK is for servers to send", check=Check.FIELDS)
