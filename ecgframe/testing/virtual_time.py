"""An event loop with a virtual clock, which goes on when nothing is left to do before: hours pass in a moment."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose timers fire as soon as all else has been done. Its ``time()`` starts at 0.

    It is for code without sockets, since what arrives there takes real time. If nothing could ever happen again, it
    raises ``RuntimeError``.

    Attributes:
        now: the time in seconds.
    """

    def __init__(self) -> None:
        super().__init__(_Selector(self))
        self.now = 0.0

    def time(self) -> float:
        """Return the time in seconds."""
        return self.now


class _Selector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("nothing will ever happen again: all tasks wait for each other")
            self._loop.now += timeout
        return ready


def run_virtually(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine in such a loop, and return its result."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(coroutine)


def spend(seconds: float) -> None:
    """Let time pass as a call does that blocks the event loop.

    Args:
        seconds: how much.

    Raises:
        RuntimeError: the running event loop has no virtual clock.
    """
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualTimeLoop):
        raise RuntimeError("the running event loop has no virtual clock")
    loop.now += seconds
