"""Threads that encode and decode large messages for event loops.

Packing and deflating 16 MiB takes up to half a second, for which it would block an event loop. Deflating releases the
GIL, and packing yields it often to a waiting loop (``gil_yield.pyx``).

The threads are separate from those of ``asyncio.to_thread``, so that neither messages wait for blocking calls of the
application, such as database queries, nor those calls for messages.
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
"""Largest packed payload, in bytes, that is encoded on the event loop. This usually takes a millisecond, less than the
overhead of a thread."""

DECODED_AT_ONCE: Final = 128 * 1024
"""Largest WebSocket message, and inflated payload, in bytes, that is decoded on the event loop. Decoding takes a tenth
of the time of deflating."""

FEWEST_THREADS: Final = 2
"""At least two, so that a message of 100 KiB need not wait for one of 16 MiB."""

MOST_THREADS: Final = 4
"""Limits memory: while a message is encoded, it may take three times its size."""

_FREED_AT_ONCE: Final = 1000

P = ParamSpec("P")
T = TypeVar("T")


def in_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
    """Call a function in one of the threads, and return a future of the running loop.

    Cancelling the future cancels the call if it has not started.
    """
    return asyncio.get_running_loop().run_in_executor(_threads(), partial(function, *args, **kwargs))


@cache
def _threads() -> ThreadPoolExecutor:
    count = min(max((os.cpu_count() or 1) - 1, FEWEST_THREADS), MOST_THREADS)
    return ThreadPoolExecutor(count, "ecgframe encoder", initializer=work_in_background)


if hasattr(os, "register_at_fork"):  # a child process has none of its parent's threads
    os.register_at_fork(after_in_child=_threads.cache_clear)


def let_go(value: Any) -> None:
    """Free a large value in small steps: empty its lists and dicts, including nested ones, gradually.

    No one else may use the value. Python would free a list of a million objects in one step, and hold the GIL for it.
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
