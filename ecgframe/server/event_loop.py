"""An event loop for servers that many knock at at once: what is live gets its turn between them."""

from __future__ import annotations

import asyncio
import selectors
import sys
from typing import Final

EVENTS: Final = 16
"""Sockets that are attended to in one turn of the loop. A TLS handshake takes the best part of a millisecond."""


def new_event_loop() -> asyncio.AbstractEventLoop:
    """One of asyncio's own that attends to a few ready sockets in a turn, not to all of them.

    While 500 viewers open TLS connections at once, its longest turn takes about 20 ms of processor time, and 100 to
    250 ms without it; what is published waits for that. ``asyncio.Runner(loop_factory=new_event_loop)`` runs a program
    on it, and so does uvicorn with ``loop="ecgframe.server.event_loop:new_event_loop"``. On Windows: the usual one.
    """
    return asyncio.new_event_loop() if sys.platform == "win32" else asyncio.SelectorEventLoop(FewAtATime())


class FewAtATime(selectors.DefaultSelector):
    """A selector that tells of ``EVENTS`` sockets at a time; of those that wait, it tells in turn."""

    def __init__(self) -> None:
        super().__init__()
        self._first = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready, or the next part of it; what is left out is still ready when it is asked again."""
        ready = super().select(timeout)
        if len(ready) <= EVENTS:
            return ready
        first = self._first % len(ready)
        self._first = first + EVENTS
        return (ready[first:] + ready[:first])[:EVENTS]
