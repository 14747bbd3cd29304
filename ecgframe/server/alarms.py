"""Alarms of a server: the alerts of all streams on streams of their own, acknowledgements, and limits of the beds.

docs/wall.md describes the messages.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

from ..codec import Message as Received
from ..errors import InvalidDataFormat, PermissionDenied
from ..protocol import Flag, MessageType
from .alarm_book import LONGEST_NAME, Alarm, AlarmBook, alarm_list
from .alarm_file import AlarmFile
from .alarm_limits import RateWatch, rate_of
from .audit import Audit
from .connection_info import ConnectionInfo
from .handler import UnknownConnection
from .hooks import Action, Authorize
from .identity import name_of
from .logs import log_failure, logger
from .tasks import begin

__all__ = ["ALERTS", "ALL_ALERTS", "Alarms", "MayAcknowledge"]

ALERTS: Final = "alerts/"
"""The alerts of a stream are on the stream with its name after this."""

ALL_ALERTS: Final = "alerts/*"
"""Stream of the alerts of all streams."""

MOST_WATCHED: Final = 4096
"""Streams whose heart rate is compared with their limits. Beyond them, the one that was silent longest is dropped."""

LONGEST_PAUSE: Final = 3600.0
"""Seconds that a pause of a page's sound lasts at most."""

MayAcknowledge = Callable[[ConnectionInfo, str], Awaitable[bool]]
"""Returns whether a connection may acknowledge alarms of a stream and set its limits."""


def signed(by: str, user: str) -> str:
    """Return the name of who acknowledges an alarm, with that of the identity of the connection behind it.

    Several people may use one identity, such as that of a ward. A page can state any name, but not another identity.

    Args:
        by: the name that the page states.
        user: the name of the identity.
    """
    if by.strip() in ("", user):
        return user
    behind = f" (signed in as {user})"
    return by.strip()[: max(0, LONGEST_NAME - len(behind))] + behind


def _signed_by(connection: ConnectionInfo, by: str) -> str:
    user = name_of(connection.identity)
    return signed(by, user) if user else by


class Serves(Protocol):
    """What alarms need of a ``WebSocketBinaryHandler``."""

    audit: Audit

    async def publish(self, stream: str, message_type: MessageType, data: Any, /) -> int: ...

    async def send_message(
        self, connection_id: str, message_type: MessageType, data: Any, flags: Flag | int = 0
    ) -> int: ...


class Alarms:
    """Passes on the alerts of all streams, and remembers who has acknowledged them.

    Each ANOMALY_ALERT of a stream ``ecg/1`` is also published on ``alerts/ecg/1`` and on ``alerts/*``, with the name of
    the stream in ``source`` and that of the alarm in ``alarm``. Whoever subscribes to such a stream gets a list of the
    alarms so far, with the name of its own identity in ``user``. Call ``attach`` with the handler that has
    ``authorize`` and ``on_message`` of this object, and publish with ``publish``.

    Args:
        authorize: the application's hook. It is asked about ``ecg/1`` when a connection asks for ``alerts/ecg/1``, and
            about ``*`` for ``alerts/*``: whoever may watch a stream may see its alerts. None to let all subscribe.
        may_acknowledge: who may acknowledge alarms and set limits; nobody by default.
        hides: returns True for streams whose alerts are not passed on, such as sealed ones.
        file: keeps alarms and limits over a restart.
        wall_clock: returns Unix seconds.

    Raises:
        ValueError: the file is not one of alarms.
        OSError: the file cannot be read.
    """

    def __init__(
        self,
        *,
        authorize: Authorize | None = None,
        may_acknowledge: MayAcknowledge | None = None,
        hides: Callable[[str], bool] = lambda stream: False,
        file: AlarmFile | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._authorize = authorize
        self._may_acknowledge = may_acknowledge
        self._hides = hides
        self._file = file
        self._wall_clock = wall_clock
        self._book = AlarmBook() if file is None else file.book
        self._watches: OrderedDict[str, RateWatch] = OrderedDict()
        self._handler: Serves | None = None

    def attach(self, handler: Serves) -> None:
        """Publish through this handler from now on."""
        self._handler = handler

    async def close(self) -> None:
        """Wait until the file is written."""
        if self._file is not None:
            await self._file.close()

    async def publish(self, stream: str, message_type: MessageType, data: dict[str, Any]) -> int:
        """Publish a message, and its consequences: alerts on the streams of alerts, and alarms of the heart rate.

        Returns:
            The timestamp of the message, as ``WebSocketBinaryHandler.publish``.

        Raises:
            RuntimeError: no handler is attached.
            Exception: an error of the handler's ``publish``.
        """
        timestamp = await self._attached.publish(stream, message_type, data)
        await self._follow(stream, message_type, data)
        return timestamp

    async def authorize(self, connection: ConnectionInfo, action: Action, stream: str | None) -> bool:
        """The handler's hook. Only the server publishes on streams of alerts."""
        if stream is None or not stream.startswith(ALERTS):
            return (
                action == "subscribe" if self._authorize is None else await self._authorize(connection, action, stream)
            )
        if action != "subscribe":
            return False
        source = stream.removeprefix(ALERTS)
        if self._authorize is not None and not await self._authorize(connection, action, source):
            return False
        begin(self._send_list(connection, None if stream == ALL_ALERTS else source))
        return True

    async def on_message(self, connection: ConnectionInfo, message: Received) -> None:
        """The handler's hook: follow what peers publish, and take their acknowledgements and limits.

        Raises:
            ProtocolError: the message is invalid, or the connection may not acknowledge alarms.
        """
        data = message.data
        if not isinstance(data, Mapping):
            return
        if isinstance(stream := data.get("stream"), str):
            if self._authorize is not None and not stream.startswith(ALERTS):  # otherwise nobody may publish
                await self._follow(stream, message.type, data)
        elif message.type == MessageType.ANOMALY_ALERT and "acknowledged_by" in data:
            await self._require(connection, data)
            await self._acknowledge(connection, data)
        elif message.type == MessageType.ANOMALY_ALERT and "paused_seconds" in data:
            self._note_pause(connection, data)
        elif message.type == MessageType.FEATURE_DATA and "source" in data:
            await self._require(connection, data)
            await self._set_limits(connection, data)

    # --- inside ---

    @property
    def _attached(self) -> Serves:
        if self._handler is None:
            raise RuntimeError("attach() these alarms to their handler first")
        return self._handler

    async def _require(self, connection: ConnectionInfo, data: Mapping[str, Any]) -> None:
        source = data.get("source")
        if not isinstance(source, str):
            raise InvalidDataFormat('data["source"] has to be the name of a stream')
        if self._may_acknowledge is None or not await self._may_acknowledge(connection, source):
            raise PermissionDenied("this connection may not acknowledge alarms or set limits")

    async def _follow(self, stream: str, message_type: MessageType, data: Mapping[str, Any]) -> None:
        if message_type == MessageType.ANOMALY_ALERT and not stream.startswith(ALERTS) and not self._hides(stream):
            await self._pass_on(self._book.add(stream, data, self._wall_clock()))
        elif (found := rate_of(message_type, data)) is not None:
            await self._watch(stream, *found)

    async def _watch(self, stream: str, rate: float | None, timestamp: float | None) -> None:
        limits = self._book.limits(stream).get(stream)
        if limits is None:
            return
        watch = self._watches.pop(stream, None) or RateWatch()
        self._watches[stream] = watch
        if len(self._watches) > MOST_WATCHED:
            self._watches.popitem(last=False)
        for alert in watch.update(rate, limits, self._wall_clock() if timestamp is None else timestamp):
            await self.publish(stream, MessageType.ANOMALY_ALERT, alert)

    async def _acknowledge(self, connection: ConnectionInfo, data: Mapping[str, Any]) -> None:
        by = data["acknowledged_by"]
        if isinstance(by, str):
            data = {**data, "acknowledged_by": _signed_by(connection, by)}
        alarm = self._book.acknowledge(data, self._wall_clock())
        fields = {"kind": alarm.kind, "severity": alarm.severity, "began": alarm.start}
        self._attached.audit.acknowledged(
            connection, alarm.source, alarm.alarm, data["acknowledged_by"][:LONGEST_NAME], **fields
        )
        logger.info("an alarm of %s was acknowledged", alarm.source, extra={"stream": alarm.source})
        await self._pass_on(alarm)

    def _note_pause(self, connection: ConnectionInfo, data: Mapping[str, Any]) -> None:
        """Note in the audit log that a page pauses its sound: the pause is the page's own, and needs no permission."""
        seconds, by = data["paused_seconds"], data.get("paused_by", "")
        is_number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
        if not is_number or not 0 <= seconds <= LONGEST_PAUSE:
            raise InvalidDataFormat(f'data["paused_seconds"] has to be a number from 0 to {LONGEST_PAUSE:g}')
        if not isinstance(by, str) or len(by) > LONGEST_NAME:
            raise InvalidDataFormat(f'data["paused_by"] has to be a text of up to {LONGEST_NAME} characters')
        self._attached.audit.paused(connection, float(seconds), _signed_by(connection, by))

    async def _set_limits(self, connection: ConnectionInfo, data: Mapping[str, Any]) -> None:
        source, limits = self._book.set_limits(data)
        told = {name: None if math.isnan(value) else value for name, value in limits.features().items()}
        by = data.get("set_by")
        by = _signed_by(connection, by[:LONGEST_NAME] if isinstance(by, str) else "")
        self._attached.audit.limits(connection, source, told, by)
        logger.info("the limits of %s were set", source, extra={"stream": source})
        await self._tell(source, MessageType.FEATURE_DATA, {"features": limits.features(), "source": source})

    async def _pass_on(self, alarm: Alarm) -> None:
        await self._tell(alarm.source, MessageType.ANOMALY_ALERT, alarm.fields())

    async def _tell(self, source: str, message_type: MessageType, data: dict[str, Any]) -> None:
        """Publish on the streams of alerts. A failure is only logged, since the stream's own viewers have the alert."""
        if self._file is not None:
            self._file.changed()
        for stream in (f"{ALERTS}{source}", ALL_ALERTS):
            try:
                await self._attached.publish(stream, message_type, {**data, "stream": stream})
            except Exception as error:
                log_failure("passing on an alert", error, stream=stream)

    async def _send_list(self, connection: ConnectionInfo, source: str | None) -> None:
        """Send the alarms and limits so far to one connection."""
        data = alarm_list(self._book.alarms(source), self._book.limits(source), self._wall_clock())
        if user := name_of(connection.identity):
            data["user"] = user
        data |= {"acknowledges": self._may_acknowledge is not None, "kept": self._file is not None}
        try:
            await self._attached.send_message(connection.id, MessageType.ANOMALY_ALERT, data)
        except UnknownConnection:
            pass  # it was closed meanwhile
        except Exception as error:
            log_failure("sending the list of alarms", error, connection=connection.id)
