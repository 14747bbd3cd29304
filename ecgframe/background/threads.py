"""Threads of this process that encode and decode large messages for event loops.

Packing and deflating 16 MiB takes up to half a second, in which an event loop would do nothing else. Deflating needs
no GIL, and packing rests often where a loop waits for it (``gil_yield.pyx``).

These threads are not those of ``asyncio.to_thread``: an application may keep all of those busy, with its database for
one, and a message shall not wait for that; nor shall an application's look-up of a name wait for messages.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any, Final, ParamSpec, TypeVar

from .._core import work_in_background

ENCODED_AT_ONCE: Final = 32 * 1024
"""Bytes of a packed payload up to which a message is encoded on the event loop: usually a millisecond, and less than it
takes to have a thread do it and to hear of that."""

DECODED_AT_ONCE: Final = 128 * 1024
"""Bytes of a WebSocket message, and of its payload inflated, up to which it is decoded on the event loop. To decode
takes a tenth of what it takes to deflate."""

FEWEST_THREADS: Final = 2
"""So that a message of 100 KiB need not wait for one of 16 MiB."""

MOST_THREADS: Final = 4
"""More would not leave memory to much else: one message may take three times its size while it is encoded."""

_FREED_AT_ONCE: Final = 1000

P = ParamSpec("P")
T = TypeVar("T")


def in_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
    """Call a function in one of the threads; the result may be awaited in the running loop.

    Cancelling the future takes the call back if it has not begun.
    """
    return asyncio.get_running_loop().run_in_executor(_threads(), partial(function, *args, **kwargs))


@cache
def _threads() -> ThreadPoolExecutor:
    count = min(max((os.cpu_count() or 1) - 1, FEWEST_THREADS), MOST_THREADS)
    return ThreadPoolExecutor(count, "ecgframe encoder", initializer=work_in_background)


if hasattr(os, "register_at_fork"):  # a child process has none of its parent's threads
    os.register_at_fork(after_in_child=_threads.cache_clear)


def let_go(value: Any) -> None:
    """Empty lists and dicts bit by bit, nested ones as well, whose only user the caller is.

    Python frees a list of a million objects in one go, and holds up all threads for as long as that takes.
    """
    containers = [value]
    del value
    while containers:
        container = containers[-1]
        items: list[Any] = []
        if isinstance(container, list):
            items = container[-_FREED_AT_ONCE:]
            del container[-_FREED_AT_ONCE:]
        elif isinstance(container, dict):
            items = [container.popitem()[1] for _ in range(min(len(container), _FREED_AT_ONCE))]
        if not items:
            containers.pop()
        containers += [item for item in items if isinstance(item, (list, dict))]
