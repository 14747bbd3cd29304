"""The server's side of a connection."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from ..errors import InvalidDataFormat, InvalidProtocolVersion, MissingRequiredFields, PermissionDenied
from ..protocol import DATA_TYPES, MAX_STREAM_NAME, Capability, Check, MessageType
from .control_numbers import check_moment
from .events import Event, FrameRefused, HistoryRequested, SubscribeRequested, UnsubscribeRequested
from .negotiation import ANSWERS_MAX_PAYLOAD, common_capabilities, offer
from .outgoing import within
from .session import AGREED_ALREADY, Session
from .state import Trigger
from .timestamps import microseconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..codec import Message
    from .cost import Totals
    from .receiver import Refusal
    from .settings import Settings

_OF_PUBLISHERS: Final = frozenset({MessageType.STREAM_TEMPLATE, MessageType.STREAM_ATTESTATION})
"""Messages of a stream for those who may send records of it."""


class ServerSession(Session):
    """The side that sends first and answers subscriptions.

    Args:
        settings: settings of this side.
        wall_clock_us: returns microseconds since 1970, always more than the time before.
        totals: limit on the cost of all clients of the server together; None for no such limit.
        stream_name: most characters in the name of a stream; a longer one is denied at once.
        refuses_data: called with the header's type of each data message, and whether it has BROADCAST. Returns why the
            client may not send it, or None if it may. Without it, a client may send any message.
    """

    __slots__ = ("_refuses_data", "_stream_name")

    _measures_memory = True
    _takes_openings = True

    def __init__(
        self,
        settings: Settings,
        wall_clock_us: Callable[[], int],
        *,
        totals: Totals | None = None,
        stream_name: int = MAX_STREAM_NAME,
        refuses_data: Callable[[MessageType, bool], str | None] | None = None,
    ) -> None:
        super().__init__(settings, wall_clock_us, totals)
        self._stream_name = stream_name
        self._refuses_data = refuses_data

    @property
    def _passes_sealed(self) -> bool:
        return Capability.ENCRYPTION in self.capabilities and self.version >= 4

    def start(self, now: float) -> None:
        """Begin: the connection is open, and the server offers its versions and capabilities."""
        super().start(now)
        self._say(MessageType.PROTOCOL_NEGOTIATION, offer(self.settings))

    def answer_opening(self, message: Message, next: int, lost: int) -> None:
        """Answer the opening of a stream.

        Args:
            message: the opening, from the event ``OpeningRequested``.
            next: the number of the message that is expected next in its epoch.
            lost: messages of the epoch that this side was not sent, and passed over.
        """
        answer = {"ack": message.timestamp, "type": int(message.type), "next": next, "lost": lost}
        self._say(MessageType.PONG, answer)

    def forget_opening(self, stream: str) -> None:
        """Forget a stream that the client may not open, with its templates. What it sends of it is ignored."""
        if self._reader is not None:
            self._reader.book.unbind(stream)

    def _on_negotiation(self, data: Any, message: Message, now: float, events: list[Event]) -> None:
        self._require_first_negotiation()
        version = data.get("version")
        if version is None:
            raise InvalidDataFormat(
                "a client answers with the version that it chose, not with a list", check=Check.FIELDS
            )
        if version not in self.settings.versions:
            raise InvalidProtocolVersion(
                f"version {version} was not offered; supported versions: {sorted(self.settings.versions)}",
                check=Check.VERSION,
            )
        self._react(Trigger.NEGOTIATION)
        self._establish(int(version), common_capabilities(self.settings, data), events)
        if version >= ANSWERS_MAX_PAYLOAD and data.get("max_payload") is not None:
            self._max_payload_of_peer = min(int(data["max_payload"]), self.settings.max_payload)
            self.encoding = within(self.encoding, self._max_payload_of_peer, self.settings.max_payload)

    def _limit_of(self, type: MessageType) -> int | None:
        return self._max_payload_of_peer if type in DATA_TYPES else None

    def _refusal_of(self, type: MessageType, is_broadcast: bool) -> Refusal | None:
        if type is MessageType.SUBSCRIPTION_ACK:
            return InvalidDataFormat, "SUBSCRIPTION_ACK is for servers to send"
        if type is MessageType.PROTOCOL_NEGOTIATION and self.negotiated:
            return InvalidDataFormat, AGREED_ALREADY
        if type is MessageType.STREAM_ATTESTATION and not self._passes_sealed:
            return PermissionDenied, "this server takes no attestations"
        if type in _OF_PUBLISHERS:
            type, is_broadcast = MessageType.ECG_DATA, False  # templates are for those who may send records
        if type in DATA_TYPES and self._refuses_data and (reason := self._refuses_data(type, is_broadcast)):
            return PermissionDenied, reason
        return None

    def _on_subscribe(self, data: Any, message: Message, now: float, events: list[Event]) -> None:
        name, since = data["stream"], data.get("since")
        if not self._is_name(name, events):
            return
        epoch, after = (data.get("epoch"), data.get("after")) if message.version >= 4 else (None, None)
        is_moment = isinstance(since, datetime)
        moment = None if since is None else microseconds(since)
        wants_keys = data.get("keys") is not False
        if message.version >= 4 and data.get("history") is not None:
            if data.get("start") is None:
                raise MissingRequiredFields(
                    "SUBSCRIBE with history lacks start: the time from which messages are requested",
                    check=Check.FIELDS,
                    path="data",
                )
            check_moment(data, "start")
            check_moment(data, "stop")
            stop = None if data.get("stop") is None else microseconds(data["stop"])
            number, start = int(data["history"]), microseconds(data["start"])
            events.append(HistoryRequested(name, number, start, stop, wants_keys))
            return
        catch_up = data.get("catch_up")
        events.append(SubscribeRequested(name, moment, is_moment, epoch, after, wants_keys, catch_up))

    def _on_unsubscribe(self, data: Any, message: Message, now: float, events: list[Event]) -> None:
        if self._is_name(data["stream"], events):
            history = data.get("history") if message.version >= 4 else None
            events.append(UnsubscribeRequested(data["stream"], None if history is None else int(history)))

    def _is_name(self, name: str, events: list[Event]) -> bool:
        """Return whether a stream can have the name. If not, deny the subscription at once and keep no name."""
        if 0 < len(name) <= self._stream_name:
            return True
        text = f"a stream's name has 1 to {self._stream_name} characters, not {len(name)}"
        error = InvalidDataFormat(text, check=Check.FIELDS, path='data["stream"]')
        self.counters.refused[error.code] += 1
        events.append(FrameRefused(error, self._hearing))
        self.answer_subscription(name[: min(self._stream_name, MAX_STREAM_NAME)], "denied", code=error.code)
        return False

    def _on_subscription_ack(self, data: Any, message: Message, now: float, events: list[Event]) -> None:
        raise AssertionError("refused by its header")
