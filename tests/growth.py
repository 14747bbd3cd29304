"""Measures what a call leaves behind: blocks of Python's allocator, bytes of C's, references to objects."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable, Iterable
from typing import NamedTuple

ATTEMPTS = 6


class Growth(NamedTuple):
    """What a number of calls left behind."""

    blocks: int
    heap: int
    references: int


class _Mallinfo(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()  # noqa: SIM905
        )
    ]


def _heap_meter() -> Callable[[], int]:
    """Tells the bytes of C's heap that are in use, where the C library does (glibc from 2.33 on); otherwise 0."""
    try:
        mallinfo = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError, TypeError):
        return lambda: 0
    mallinfo.restype = _Mallinfo

    def in_use() -> int:
        found = mallinfo()
        return int(found.uordblks + found.hblkhd)

    return in_use


heap_in_use = _heap_meter()


def growth(call: Callable[[], object], times: int = 100, watched: Iterable[object] = ()) -> Growth:
    """The least that ``times`` calls left behind, of a few attempts: caches fill once, a leak grows each time."""
    watched = list(watched)
    for _ in range(5):
        call()
    found = Growth(sys.maxsize, sys.maxsize, sys.maxsize)
    for _ in range(ATTEMPTS):
        gc.collect()
        blocks, heap = sys.getallocatedblocks(), heap_in_use()
        references = sum(map(sys.getrefcount, watched))
        for _ in range(times):
            call()
        gc.collect()
        references = abs(sum(map(sys.getrefcount, watched)) - references)
        left = Growth(sys.getallocatedblocks() - blocks, heap_in_use() - heap, references)
        found = Growth(*map(min, found, left))
        if not _too_much(found, times):
            break
    return found


def leaks(call: Callable[[], object], times: int = 100, watched: Iterable[object] = ()) -> str:
    """Return what grows with each call, in words; empty if nothing does."""
    found = growth(call, times, watched)
    return ", ".join(_too_much(found, times))


def _too_much(found: Growth, times: int) -> list[str]:
    """Half a block a call is none: Python's own caches come and go."""
    told = []
    if found.blocks > times // 2:
        told.append(f"{found.blocks / times:.1f} blocks a call")
    if found.heap > times * 8:
        told.append(f"{found.heap / times:.0f} bytes of the heap a call")
    if found.references > times // 2:
        told.append(f"{found.references / times:.1f} references a call")
    return told
