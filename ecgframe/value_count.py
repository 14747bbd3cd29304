"""Counting the values of a payload, before and after it is unpacked.

``_core.footprint`` measures memory instead, and does not distinguish numbers from texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

_WIDTHS: Final = (1, 2, 3, 5, 9)
"""Bytes of a value in each group of the expression below, except the last group, of arrays and maps."""

_RUNS: Final = re.compile(
    rb"([\x00-\x7f\xa0\xc0\xc2\xc3\xe0-\xff]++)"  # small integers, nil, booleans, empty texts
    rb"|((?:[\xcc\xd0].)++)"
    rb"|((?:[\xcd\xd1]..)++)"
    rb"|((?:[\xca\xce\xd2].{4})++)"
    rb"|((?:[\xcb\xcf\xd3].{8})++)"
    rb"|([\x80-\x9f]++)",  # headers of short arrays and maps
    re.DOTALL,
)
"""Consecutive values of one width. A list of samples consists of a few such runs."""

_HEADERS: Final = {0xDC: 3, 0xDD: 5, 0xDE: 3, 0xDF: 5}
"""Sizes of the headers of long arrays and maps, in bytes."""

_LONG_MAPS: Final = frozenset({0xDE, 0xDF})

_LENGTHS: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
"""Sizes of the length of texts and byte strings, in bytes."""

MOST_OTHERS: Final = 1 << 20
"""Texts, byte strings and map entries after which ``count_numbers`` stops; no message has more, see ``MAX_VALUES``."""

_CONTAINER: Final = 4
"""Values that a list or a dict counts as, in addition to its entries."""

_BYTES_A_VALUE: Final = 64
_SAMPLES_A_VALUE: Final = 16
_CONTAINERS: Final = frozenset({list, dict, np.ndarray, str, bytes, memoryview})


def has_more_values(payload: bytes | bytearray | memoryview, most: int) -> bool:
    """Tell whether a packed payload has more than ``most`` values.

    The samples of an array in list form count, arrays and maps themselves do not: unpacking limits those. Stops at the
    limit. False for a damaged payload, since unpacking finds the error.
    """
    count = 0
    for numbers, others, _ in _runs(payload):
        count += numbers + others
        if count > most:
            return True
    return False


def count_numbers(payload: bytes | bytearray | memoryview) -> tuple[int, int]:
    """Count the numbers in a packed payload, and its texts, byte strings and entries of long maps.

    Nil and booleans count as numbers. Stops at damage, and once the second count exceeds ``MOST_OTHERS``.
    """
    numbers = others = 0
    for more_numbers, more_others, entries in _runs(payload):
        numbers += more_numbers
        others += more_others + entries
        if others > MOST_OTHERS:
            break
    return numbers, others


def _runs(payload: bytes | bytearray | memoryview) -> Iterator[tuple[int, int, int]]:
    """Yield the numbers, the texts and byte strings, and the entries of a long map in each part; ends at damage."""
    place, nbytes = 0, len(payload)
    while place < nbytes:
        run = _RUNS.match(payload, place)
        if run is not None:
            assert run.lastindex is not None
            if run.lastindex <= len(_WIDTHS):
                yield (run.end() - place) // _WIDTHS[run.lastindex - 1], 0, 0
            place = run.end()
            continue
        tag = payload[place]
        if tag in _HEADERS:
            stop = place + _HEADERS[tag]
            if tag in _LONG_MAPS:  # a key may be a number, and is an object nevertheless
                yield 0, 0, min(int.from_bytes(payload[place + 1 : stop], "big"), nbytes - place)
            place = stop
            continue
        if 0xA0 <= tag <= 0xBF:
            place += 1 + (tag & 31)
        elif tag in _LENGTHS:
            width = _LENGTHS[tag]
            place += 1 + width + int.from_bytes(payload[place + 1 : place + 1 + width], "big")
        else:
            return
        yield 0, 1, 0


def count_values(data: Any) -> int:
    """Count the values of an unpacked payload; samples of arrays and bytes of texts count as a fraction."""
    count, waiting = 1, [data]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            count += _CONTAINER + 2 * len(one)
            waiting += [entry for entry in one.values() if type(entry) in _CONTAINERS]
        elif isinstance(one, list):
            count += _CONTAINER + len(one)
            waiting += [entry for entry in one if type(entry) in _CONTAINERS]
        elif isinstance(one, np.ndarray):
            count += one.size // _SAMPLES_A_VALUE
        elif isinstance(one, str | bytes | memoryview):
            count += len(one) // _BYTES_A_VALUE
    return count
