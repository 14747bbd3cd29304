"""Counting the values of a payload, before and after it is unpacked.

``_core.footprint`` measures memory instead, and does not distinguish numbers from texts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from . import _core

MOST_OTHERS: Final = 1 << 20
"""Texts, byte strings and map entries after which ``count_numbers`` stops; no message has more, see ``MAX_VALUES``."""

_CONTAINER: Final = 4
"""Values that a list or a dict counts as, in addition to its entries."""

_BYTES_A_VALUE: Final = 64
_SAMPLES_A_VALUE: Final = 16
_CONTAINERS: Final = frozenset({list, dict, np.ndarray})
_TEXTS: Final = frozenset({str, bytes, memoryview})


def has_more_values(payload: bytes | bytearray | memoryview, most: int) -> bool:
    """Return whether a packed payload has more than ``most`` values.

    The samples of an array in list form count, arrays and maps themselves do not: unpacking limits those. False for a
    damaged payload, since unpacking finds the error.
    """
    numbers, others, _ = _core.count_numbers(_core.flatten(payload), 0, len(payload), most)
    return numbers + others > most


def count_numbers(payload: bytes | bytearray | memoryview) -> tuple[int, int, int]:
    """Count the numbers in a packed payload; its texts, byte strings and entries of long maps; its arrays and maps.

    Nil and booleans count as numbers. Stops at damage, and once the second count exceeds ``MOST_OTHERS``.
    """
    return _core.count_numbers(_core.flatten(payload), 0, len(payload), MOST_OTHERS)


def count_values(data: Any) -> int:
    """Count the values of an unpacked payload; samples of arrays and bytes of texts count as a fraction."""
    count, waiting = 1, [data]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            count += _CONTAINER + 2 * len(one)
            waiting += _with_more(one.values())
        elif isinstance(one, list):
            count += _CONTAINER + len(one)
            waiting += _with_more(one)
        elif isinstance(one, np.ndarray):
            count += one.size // _SAMPLES_A_VALUE
        elif isinstance(one, str | bytes | memoryview):
            count += len(one) // _BYTES_A_VALUE
    return count


def _with_more(entries: Iterable[Any]) -> list[Any]:
    """Return those that count for more than an entry of their list."""
    return [
        entry
        for entry in entries
        if (kind := type(entry)) in _CONTAINERS or (kind in _TEXTS and len(entry) >= _BYTES_A_VALUE)
    ]
