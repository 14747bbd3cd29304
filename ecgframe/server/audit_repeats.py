"""Records of the audit log that anybody can cause again and again: one a second, with the number of times."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Final, NamedTuple

REFUSALS_EVERY: Final = 1.0
"""Seconds between two records of refused requests of one address, so that it cannot fill a disk with them."""

ADDRESSES: Final = 1024
"""Addresses whose refused requests are counted; the oldest is recorded when there is one more."""


class _Repeated(NamedTuple):
    """What happened to one key.

    Attributes:
        at: when it was last recorded, in seconds of a monotonic clock.
        fields: the newest that is not recorded; None if all are.
        times: how many are not recorded.
    """

    at: float
    fields: dict[str, Any] | None
    times: int


class Repeats:
    """Records the first at once, and later ones with the next record of the same key, or with ``flush``.

    Args:
        tell: records these fields, which have ``times``.
    """

    def __init__(self, tell: Callable[[dict[str, Any]], None]) -> None:
        self._tell = tell
        self._by_key: OrderedDict[Hashable, _Repeated] = OrderedDict()

    def note(self, key: Hashable, fields: dict[str, Any], now: float) -> None:
        """Note that it happened.

        Args:
            key: whose records are limited together.
            fields: of the record.
            now: seconds of a monotonic clock.
        """
        before = self._by_key.pop(key, None)
        times = 1 if before is None else before.times + 1
        if before is None or now >= before.at + REFUSALS_EVERY:
            self._tell(fields | {"times": times})
            self._by_key[key] = _Repeated(now, None, 0)
        else:
            self._by_key[key] = _Repeated(before.at, fields, times)
        if len(self._by_key) > ADDRESSES:
            self._record(self._by_key.popitem(last=False)[1])

    def flush(self) -> None:
        """Record what is not recorded yet."""
        while self._by_key:
            self._record(self._by_key.popitem(last=False)[1])

    def _record(self, repeated: _Repeated) -> None:
        if repeated.fields is not None:
            self._tell(repeated.fields | {"times": repeated.times})
