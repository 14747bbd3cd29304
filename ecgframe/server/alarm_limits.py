"""The limits of a bed, beyond which its heart rate, an asystole or a lead that is off is an alarm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan, nan
from typing import Any, Final

from ..errors import InvalidDataFormat
from ..protocol import MessageType

RATES: Final = (20.0, 350.0)
"""Range of the limits of the heart rate, in beats per minute. ``client/monitor/src/wall/limits.ts`` has the same."""

ASYSTOLES: Final = (4.0, 30.0)
"""Range of the limit of asystole, in seconds without a beat."""

LASTING: Final = 3.0
"""Seconds for which the rate has to be beyond a limit before an alarm begins, or within it before the alarm ends."""


@dataclass(frozen=True, slots=True)
class AlarmLimits:
    """The limits of a bed.

    Attributes:
        rate_high: highest heart rate without an alarm, in beats per minute; None for no alarm.
        rate_low: lowest heart rate without an alarm; None for no alarm.
        asystole: seconds without a beat after which asystole is an alarm; None for no alarm.
        lead_off: whether leads that are off are an alarm.
    """

    rate_high: float | None
    rate_low: float | None
    asystole: float | None
    lead_off: bool

    @classmethod
    def from_features(cls, features: object) -> AlarmLimits:
        """Read the features of a FEATURE_DATA message.

        Raises:
            InvalidDataFormat: one is missing, no number, or out of its range.
        """
        if not isinstance(features, Mapping):
            raise InvalidDataFormat('data["features"] has to be the limits of a bed')
        high, low = _limit(features, "rate_high", RATES), _limit(features, "rate_low", RATES)
        if high is not None and low is not None and low >= high:
            raise InvalidDataFormat('data["features"]["rate_low"] has to be below "rate_high"')
        lead_off = features.get("lead_off")
        if lead_off not in (0, 1):
            raise InvalidDataFormat('data["features"]["lead_off"] has to be 0 or 1')
        return cls(high, low, _limit(features, "asystole", ASYSTOLES), lead_off == 1)

    def features(self) -> dict[str, float]:
        """Return the limits as the features of a FEATURE_DATA message; NaN for no alarm."""
        limits = {"rate_high": self.rate_high, "rate_low": self.rate_low, "asystole": self.asystole}
        return {**{name: nan if one is None else one for name, one in limits.items()}, "lead_off": float(self.lead_off)}


def _limit(features: Mapping[Any, Any], name: str, within: tuple[float, float]) -> float | None:
    value = features.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidDataFormat(f'data["features"]["{name}"] has to be a number; NaN for no alarm')
    if isnan(value):
        return None
    least, most = within
    if not least <= value <= most:
        raise InvalidDataFormat(f'data["features"]["{name}"] has to be between {least:g} and {most:g}')
    return float(value)


class RateWatch:
    """Compares the heart rate of one bed with its limits. No I/O, no clock."""

    def __init__(self) -> None:
        self._open: dict[str, float] = {}
        """When the open alarms began, by kind."""
        self._since: dict[str, float] = {}
        """Since when the rate is beyond a limit, or within that of an open alarm again, by kind."""

    def update(self, rate: float | None, limits: AlarmLimits, now: float) -> list[dict[str, Any]]:
        """Take the present rate.

        Args:
            rate: beats per minute; None if it is unknown, which ends no alarm.
            limits: those of the bed now.
            now: Unix seconds.

        Returns:
            The payloads of the alerts that begin or end alarms, without a stream.
        """
        return [
            *self._compare("rate_high", rate, limits.rate_high, now),
            *self._compare("rate_low", rate, limits.rate_low, now),
        ]

    def _compare(self, kind: str, rate: float | None, limit: float | None, now: float) -> list[dict[str, Any]]:
        begun = self._open.get(kind)
        if limit is None and begun is not None:
            return [self._end(kind, begun, now, "no limit any more")]
        if rate is None or limit is None:
            self._since.pop(kind, None)
            return []
        is_beyond = rate > limit if kind == "rate_high" else rate < limit
        if is_beyond is (begun is not None):
            self._since.pop(kind, None)
            return []
        since = self._since.setdefault(kind, now)
        if now - since < LASTING:
            return []
        if begun is not None:
            return [self._end(kind, begun, now, f"{rate:.0f} beats a minute again")]
        del self._since[kind]
        self._open[kind] = since
        message = f"{rate:.0f} beats a minute, the limit is {limit:g}"
        return [{"kind": kind, "severity": "warning", "timestamp": now, "start": since, "message": message}]

    def _end(self, kind: str, begun: float, now: float, why: str) -> dict[str, Any]:
        del self._open[kind]
        self._since.pop(kind, None)
        return {"kind": kind, "severity": "info", "timestamp": now, "start": begun, "end": now, "message": why}


def rate_of(message_type: MessageType, data: object) -> tuple[float | None, float | None] | None:
    """Return the heart rate of a message (None if it is unknown) and its end in Unix seconds; None without a rate."""
    if message_type != MessageType.FEATURE_DATA or not isinstance(data, Mapping):
        return None
    features = data.get("features")
    rate = features.get("heart_rate") if isinstance(features, Mapping) else None
    if isinstance(rate, bool) or not isinstance(rate, int | float):
        return None
    timestamp = data.get("timestamp")
    window = data.get("window")
    end = timestamp + (window if isinstance(window, int | float) else 0) if isinstance(timestamp, int | float) else None
    return (None if isnan(rate) else float(rate)), end
