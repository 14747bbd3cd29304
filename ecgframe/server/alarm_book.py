"""The alarms of all beds, who has acknowledged them, and the limits of the beds. No I/O, no clock."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from ..errors import InvalidDataFormat, RateLimitExceeded
from ..foreign_text import printable
from ..messages.times import unix_seconds
from ..protocol import MAX_STREAM_NAME
from .alarm_limits import AlarmLimits

MOST_ALARMS: Final = 1000
"""Alarms that are remembered. Beyond them, the oldest that is over or acknowledged is forgotten, else the oldest."""

MOST_LIMITS: Final = 4096
"""Beds whose limits are remembered."""

LONGEST_TEXT: Final = 300
"""Characters of a text that are kept."""

LONGEST_NAME: Final = 80
"""Characters of the name of the person who acknowledges."""

SAME_SECONDS: Final = 5.0
"""Seconds by which the beginnings of one episode may differ if both a page and the server have found it."""

SEVERITIES: Final = ("info", "warning", "critical")

VERSION: Final = 1
"""Version of the saved form."""


@dataclass(slots=True, kw_only=True)
class Alarm:
    """An alarm. Times are Unix seconds.

    Attributes:
        alarm: its name, drawn at random.
        source: the stream in which it was found.
        kind: what was found.
        severity: "info", "warning" or "critical".
        timestamp: when it was reported.
        message: text for the reader.
        lead: the lead concerned; "" for none.
        start: when the episode began; None if it is none.
        end: when the episode ended; None while it lasts.
        acknowledged_by: who has acknowledged it; "" if nobody has.
        acknowledged_at: when.
    """

    alarm: str
    source: str
    kind: str
    severity: str
    timestamp: float
    message: str = ""
    lead: str = ""
    start: float | None = None
    end: float | None = None
    acknowledged_by: str = ""
    acknowledged_at: float | None = None

    def fields(self) -> dict[str, Any]:
        """Return the fields of an ANOMALY_ALERT, without ``stream``; those without a value are left out."""
        found = ((name, getattr(self, name)) for name in self.__slots__)
        return {name: value for name, value in found if value is not None and value != ""}

    @property
    def group(self) -> tuple[str, str, str]:
        """Stream, kind and lead, which all alerts of one episode have in common."""
        return self.source, self.kind, self.lead

    @property
    def is_done(self) -> bool:
        """True if it is over or acknowledged."""
        return self.end is not None or self.acknowledged_by != ""


class AlarmBook:
    """Remembers alarms and limits, each up to a number.

    Attributes:
        forgotten: number of alarms that were forgotten.
    """

    def __init__(self) -> None:
        self._alarms: dict[str, Alarm] = {}
        """By name, the oldest first."""
        self._by_group: dict[tuple[str, str, str], list[Alarm]] = {}
        """By stream, kind and lead, the oldest first."""
        self._limits: dict[str, AlarmLimits] = {}
        self.forgotten = 0

    def alarms(self, source: str | None = None) -> list[Alarm]:
        """Return the alarms of a stream, or all; the newest first."""
        return [one for one in reversed(self._alarms.values()) if source in (None, one.source)]

    def limits(self, source: str | None = None) -> dict[str, AlarmLimits]:
        """Return the limits of a stream, or all, by stream. A stream without limits of its own is left out."""
        return {name: limits for name, limits in self._limits.items() if source in (None, name)}

    def add(self, source: str, data: Mapping[str, Any], now: float) -> Alarm:
        """Note an alert of a stream. It begins an alarm, or belongs to a known one and may end it.

        Args:
            source: the stream.
            data: payload of the ANOMALY_ALERT.
            now: Unix seconds, for an alert without a valid time.
        """
        return self._note(_read(source, data, now), tolerance=0.0)

    def acknowledge(self, data: Mapping[str, Any], now: float) -> Alarm:
        """Acknowledge an alarm. An unknown one is added first: a page may have found it itself.

        Args:
            data: payload of a page's ANOMALY_ALERT with ``source`` and ``acknowledged_by``; ``alarm`` names the alarm.
            now: Unix seconds.

        Raises:
            InvalidDataFormat: fields are missing or invalid.
        """
        source = _source(data)
        by = _text(data.get("acknowledged_by"), LONGEST_NAME)
        if not by:
            raise InvalidDataFormat('data["acknowledged_by"] has to be the name of who acknowledges the alarm')
        if not isinstance(data.get("kind"), str) or not data["kind"]:
            raise InvalidDataFormat('data["kind"] has to be that of the alarm')
        named = self._alarms.get(str(data.get("alarm")))
        if named is None or named.source != source:
            named = self._note(_read(source, data, now), tolerance=SAME_SECONDS)
        if not named.acknowledged_by:
            named.acknowledged_by, named.acknowledged_at = by, now
        return named

    def set_limits(self, data: Mapping[str, Any]) -> tuple[str, AlarmLimits]:
        """Set the limits of a bed.

        Args:
            data: payload of a page's FEATURE_DATA with ``source``.

        Returns:
            The stream, and its limits.

        Raises:
            InvalidDataFormat: fields are missing or invalid.
            RateLimitExceeded: the limits of too many beds are remembered.
        """
        source = _source(data)
        limits = AlarmLimits.from_features(data.get("features"))
        if source not in self._limits and len(self._limits) >= MOST_LIMITS:
            raise RateLimitExceeded(f"the limits of {MOST_LIMITS} beds are remembered, the most")
        self._limits[source] = limits
        return source, limits

    def _note(self, alarm: Alarm, *, tolerance: float) -> Alarm:
        known = self._find_same(alarm, tolerance)
        if known is not None:
            if known.end is None and alarm.end is not None:
                known.end = alarm.end
            return known
        while alarm.alarm in self._alarms:
            alarm.alarm = _draw()
        self._remember(alarm)
        if len(self._alarms) > MOST_ALARMS:
            done = (name for name, one in self._alarms.items() if one.is_done and one is not alarm)
            self._forget(self._alarms[next(done, next(iter(self._alarms)))])
        return alarm

    def _remember(self, alarm: Alarm) -> None:
        self._alarms[alarm.alarm] = alarm
        self._by_group.setdefault(alarm.group, []).append(alarm)

    def _forget(self, alarm: Alarm) -> None:
        del self._alarms[alarm.alarm]
        self._by_group[alarm.group].remove(alarm)
        if not self._by_group[alarm.group]:
            del self._by_group[alarm.group]
        self.forgotten += 1

    def _find_same(self, alarm: Alarm, tolerance: float) -> Alarm | None:
        """Return the known alarm of the same episode or alert; None if there is none.

        The beginnings of one episode may differ by ``tolerance`` seconds.
        """
        for one in reversed(self._by_group.get(alarm.group, [])):
            if one.start is None or alarm.start is None:
                is_same = one.start is alarm.start and (one.timestamp, one.message) == (alarm.timestamp, alarm.message)
            else:
                is_same = abs(one.start - alarm.start) <= tolerance
            if is_same:
                return one
        return None

    # --- saving ---

    def to_json(self) -> dict[str, Any]:
        """Return all alarms and limits, for ``json.dumps``."""
        return {
            "version": VERSION,
            "alarms": [one.fields() for one in self._alarms.values()],
            "limits": {source: asdict(limits) for source, limits in self._limits.items()},
        }

    @classmethod
    def from_json(cls, saved: object) -> AlarmBook:
        """Read what ``to_json`` returned.

        Raises:
            ValueError: it is not of this form.
        """
        if not isinstance(saved, Mapping) or saved.get("version") != VERSION:
            raise ValueError(f'it has no "version": {VERSION}')
        book = cls()
        alarms, limits = saved.get("alarms"), saved.get("limits")
        if not isinstance(alarms, list) or len(alarms) > MOST_ALARMS:
            raise ValueError(f'"alarms" is no list of at most {MOST_ALARMS} alarms')
        if not isinstance(limits, Mapping) or len(limits) > MOST_LIMITS:
            raise ValueError(f'"limits" are no map of at most {MOST_LIMITS} beds')
        for one in alarms:
            book._restore(one)
        for source, of_bed in limits.items():
            features = {**of_bed} if isinstance(of_bed, Mapping) else {}
            for name in ("rate_high", "rate_low", "asystole"):
                features[name] = float("nan") if features.get(name) is None else features[name]
            try:
                book.set_limits({"source": source, "features": features})
            except InvalidDataFormat as error:
                raise ValueError(f"the limits of {printable(source)}: {error}") from error
        return book

    def _restore(self, saved: object) -> None:
        if not isinstance(saved, Mapping):
            raise ValueError("an alarm is no map")
        try:
            alarm = _read(_source(saved), saved, 0.0)
        except InvalidDataFormat as error:
            raise ValueError(f"an alarm: {error}") from error
        name = saved.get("alarm")
        if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or name in self._alarms:
            raise ValueError('an alarm has no "alarm" of its own')
        alarm.alarm = name
        alarm.acknowledged_by = _text(saved.get("acknowledged_by"), LONGEST_NAME)
        alarm.acknowledged_at = unix_seconds(saved.get("acknowledged_at"))
        self._remember(alarm)


def _read(source: str, data: Mapping[str, Any], now: float) -> Alarm:
    severity = data.get("severity")
    timestamp = unix_seconds(data.get("timestamp"))
    return Alarm(
        alarm=_draw(),
        source=source,
        kind=_text(data.get("kind")) or "alert",
        severity=severity if severity in SEVERITIES else "warning",
        timestamp=now if timestamp is None else timestamp,
        message=_text(data.get("message")),
        lead=_text(data.get("lead")),
        start=unix_seconds(data.get("start")),
        end=unix_seconds(data.get("end")),
    )


def _source(data: Mapping[str, Any]) -> str:
    source = data.get("source")
    if not isinstance(source, str) or not 0 < len(source) <= MAX_STREAM_NAME:
        raise InvalidDataFormat(f'data["source"] has to be the name of a stream, of 1 to {MAX_STREAM_NAME} characters')
    return source


def _text(value: object, longest: int = LONGEST_TEXT) -> str:
    return value.strip()[:longest] if isinstance(value, str) else ""


def _draw() -> str:
    return secrets.token_hex(6)


def alarm_list(alarms: Iterable[Alarm], limits: Mapping[str, AlarmLimits], now: float) -> dict[str, Any]:
    """Return the payload of an ANOMALY_ALERT that lists alarms and limits, without a stream."""
    return {
        "kind": "alarms",
        "severity": "info",
        "timestamp": now,
        "alarms": [alarm.fields() for alarm in alarms],
        "limits": {source: one.features() for source, one in limits.items()},
    }
