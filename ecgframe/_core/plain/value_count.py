"""Counts the numbers and the other values of a payload, before it is unpacked.

The plain twin of ``value_count.pyx``, which explains why.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ._header import FlatBuffer

__all__ = ["count_numbers"]

_WIDTHS: Final = (1, 2, 3, 5, 9)
"""Bytes of a value in each group of the expression below, except the last group, of arrays and maps."""

_RUNS: Final = re.compile(
    rb"([\x00-\x7f\xc0\xc2\xc3\xe0-\xff]++)"  # small integers, nil, booleans
    rb"|((?:[\xcc\xd0].)++)"
    rb"|((?:[\xcd\xd1]..)++)"
    rb"|((?:[\xca\xce\xd2].{4})++)"
    rb"|((?:[\xcb\xcf\xd3].{8})++)"
    rb"|([\x80-\x9f]++)",  # headers of short arrays and maps
    re.DOTALL,
)
"""Consecutive values of one width. A list of samples consists of a few such runs."""

_HEADERS: Final = {0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}
"""Sizes of the length of long arrays and maps, in bytes."""

_LONG_MAPS: Final = frozenset({0xDE, 0xDF})

_LENGTHS: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
"""Sizes of the length of texts and byte strings, in bytes."""


def count_numbers(flat: FlatBuffer, start: int, stop: int, most_others: int) -> tuple[int, int, int]:
    """Count the values of a packed payload: numbers; texts, byte strings and entries of long maps; arrays and maps.

    Nil and booleans count as numbers. Stops at damage, and once the second count exceeds ``most_others``.
    """
    payload = bytes(flat.view(start, stop))
    numbers = others = containers = place = 0
    nbytes = len(payload)
    while place < nbytes and others <= most_others:
        run = _RUNS.match(payload, place)
        if run is not None:
            assert run.lastindex is not None
            if run.lastindex <= len(_WIDTHS):
                numbers += (run.end() - place) // _WIDTHS[run.lastindex - 1]
            else:
                containers += run.end() - place
            place = run.end()
            continue
        tag = payload[place]
        place += 1
        width = _HEADERS.get(tag) or _LENGTHS.get(tag, 0)
        if not width and not 0xA0 <= tag <= 0xBF:
            break
        others += tag not in _HEADERS
        containers += tag in _HEADERS
        if width > nbytes - place:
            break
        length = int.from_bytes(payload[place : place + width], "big") if width else tag & 31
        place += width
        if tag in _LONG_MAPS:  # a key that is a number is still an object
            others += min(length, nbytes - place)
        elif tag not in _HEADERS:
            place += length
    return numbers, others, containers
