"""Checks the numbers of control messages, in addition to the rule of each field.

Sessions compute with these numbers: times become microseconds of 64 bits, intervals become timers. A NaN or a huge
number would lead to wrong results, or to an exception in the application, so it is refused like any invalid field.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from ..errors import InvalidDataFormat
from ..messages.rules import shown
from ..protocol import EPOCH, LARGEST_EXACT_FLOAT, LARGEST_TIMESTAMP, LATEST_MOMENT, Check, MessageType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LONGEST_ANNOUNCED: Final = 1e9
"""Longest valid heartbeat interval in seconds, some thirty years."""

_PONG_NUMBERS: Final = ("ack", "lost", "next", "ping", "sent")


def check_numbers(type: MessageType, data: Any) -> None:
    """Check the numbers of a control message whose fields are of the right kind.

    Raises:
        InvalidDataFormat: (check 12) a number is not finite, negative or too large.
    """
    if isinstance(data, dict) and (check := _CHECKS.get(type)) is not None:
        check(data)


def is_moment(value: Any) -> bool:
    """Return whether a date or a number of Unix seconds lies between 1970 and the end of the year 9999."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)) >= EPOCH
    return _is_number(value) and 0 <= value < LATEST_MOMENT


def check_moment(data: Mapping[str, Any], field: str) -> None:
    """Check a time, if it is there.

    Raises:
        InvalidDataFormat: (check 12) it is before 1970, or after the year 9999.
    """
    if data.get(field) is not None:
        _require(is_moment(data[field]), "a moment from 1970 to 9999", data[field], field)


def _moment(field: str) -> Callable[[Mapping[str, Any]], None]:
    return lambda data: check_moment(data, field)


def _check_notice(data: Mapping[str, Any]) -> None:
    """Check the details of an ERROR about dropped frames."""
    details = data.get("details")
    if not isinstance(details, dict) or "dropped" not in details:
        return
    _require(_is_count(details["dropped"]), "a number of frames", details["dropped"], "details", "dropped")
    for field in ("from", "to"):
        if field in details:
            _require(is_moment(details[field]), "a moment from 1970 to 9999", details[field], "details", field)


def _check_offer(data: Mapping[str, Any]) -> None:
    interval, nbytes = data.get("heartbeat_interval"), data.get("max_payload")
    if interval is not None:
        _require(0 < interval <= LONGEST_ANNOUNCED, f"at most {LONGEST_ANNOUNCED:g} s", interval, "heartbeat_interval")
    if nbytes is not None:
        _require(_is_count(nbytes), f"at most {LARGEST_EXACT_FLOAT} bytes", nbytes, "max_payload")


def _check_pong(data: Mapping[str, Any]) -> None:
    for field in _PONG_NUMBERS:
        value = data.get(field)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            fits = _is_number(value) and 0 <= value <= LARGEST_TIMESTAMP
            _require(fits, "a number of 64 bits, 0 or more", value, field)


def _require(fits: bool, expected: str, value: Any, *where: str) -> None:
    if not fits:
        path = "data" + "".join(f'["{name}"]' for name in where)
        raise InvalidDataFormat(f"{path} must be {expected}, not {shown(value)}", check=Check.FIELDS, path=path)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_EXACT_FLOAT


_CHECKS: Final[dict[MessageType, Callable[[Mapping[str, Any]], None]]] = {
    MessageType.SUBSCRIBE: _moment("since"),
    MessageType.SUBSCRIPTION_ACK: _moment("from"),
    MessageType.ERROR: _check_notice,
    MessageType.PROTOCOL_NEGOTIATION: _check_offer,
    MessageType.PONG: _check_pong,
}
