"""Finding LSL streams by name, type or predicate. All functions block, and are to be called in a thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

from .errors import BridgeError

SWEEP: Final = 1.0
"""Seconds to look for further streams after the first ones were found."""

SLICE: Final = 0.5
"""Seconds of one look. Nothing can interrupt it."""

MOST_STREAMS: Final = 64
"""Maximum number of LSL streams that one bridge passes on."""

LISTED: Final = 12
"""Number of LSL streams that an error lists."""


@dataclass(frozen=True, slots=True)
class Query:
    """Which LSL streams to pass on; all conditions apply.

    Attributes:
        names: their names; empty for any.
        kind: their type, such as "ECG"; None for any.
        predicate: a condition in XPath 1.0 on their description, such as "hostname='amp-3'"; None for none.
    """

    names: tuple[str, ...] = ()
    kind: str | None = None
    predicate: str | None = None

    def xpath(self) -> str:
        """Return the conditions as one XPath predicate.

        Raises:
            BridgeError: a name or type contains both kinds of quotes, which XPath 1.0 cannot express.
        """
        parts = []
        if self.names:
            parts.append(f"({' or '.join(f'name={_quoted(name)}' for name in self.names)})")
        if self.kind is not None:
            parts.append(f"type={_quoted(self.kind)}")
        if self.predicate is not None:
            parts.append(f"({self.predicate})")
        return " and ".join(parts) or "true()"


def find(pylsl: Any, query: Query, seconds: float, is_ending: Callable[[], bool] = lambda: False) -> list[Any]:
    """Find LSL streams that match the query.

    Args:
        pylsl: the library.
        query: which streams.
        seconds: how long to wait for the first one, or for all that are named.
        is_ending: whether to give up.

    Returns:
        Their ``StreamInfo`` without description, sorted by name; an empty list if it was given up.

    Raises:
        BridgeError: there is none, a named one is missing, or there are too many.
    """
    xpath = query.xpath()
    least, until = max(len(query.names), 1), monotonic() + seconds
    found = pylsl.resolve_bypred(xpath, least, min(SLICE, seconds))
    while len(found) < least and monotonic() < until and not is_ending():
        found = pylsl.resolve_bypred(xpath, least, min(SLICE, max(until - monotonic(), 0.0)))
    if is_ending():
        return []
    if found:
        found += pylsl.resolve_bypred(xpath, MOST_STREAMS + 1, SWEEP)
    streams = sorted({info.uid(): info for info in found}.values(), key=lambda info: (info.name(), info.uid()))
    names = {info.name() for info in streams}
    lacking = [name for name in query.names if name not in names]
    if lacking or not streams:
        raise BridgeError(_nothing(pylsl, query, lacking, seconds))
    if len(streams) > MOST_STREAMS:
        raise BridgeError(f"more than {MOST_STREAMS} LSL streams match; name those to pass on (--name NAME)")
    return streams


def _nothing(pylsl: Any, query: Query, lacking: Sequence[str], seconds: float) -> str:
    wanted = f"named {', '.join(map(repr, lacking))}" if lacking else f"that matches {query.xpath()}"
    others = sorted({f"{info.name()!r} ({info.type() or 'no type'})" for info in pylsl.resolve_streams(SWEEP)})
    there = ", ".join(others[:LISTED]) or "none"
    more = f" and {len(others) - LISTED:,} more" if len(others) > LISTED else ""
    return f"no LSL stream {wanted} was found within {seconds:g} s; there {_are(others)} {there}{more}"


def _are(others: Sequence[str]) -> str:
    return "is" if len(others) <= 1 else "are"


def _quoted(text: str) -> str:
    for quote in ("'", '"'):
        if quote not in text:
            return f"{quote}{text}{quote}"
    raise BridgeError(f"{text}: a name with both kinds of quotes cannot be looked for; use a predicate with contains()")
