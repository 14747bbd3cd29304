"""What a connection received and the application has yet to take: in order, one at a time, and not too much of it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from ..session import Event
from .limits import Limits
from .tasks import begin


class Item:
    """Something to handle.

    Attributes:
        event: what it is.
        nbytes: of its payload, inflated: what waits may be a thousand times what travelled.
        received_at: when that came, by the loop's clock.
    """

    __slots__ = ("event", "nbytes", "received_at")

    def __init__(self, event: Event, nbytes: int, received_at: float) -> None:
        self.event = event
        self.nbytes = nbytes
        self.received_at = received_at


class Inbox:
    """Handles the events of one connection while the connection itself is read on.

    Each is handled by a task of its own, which the next one waits for. What is handled without waiting for anything
    is done at once, and costs neither a turn of the loop nor a timer.

    Args:
        handle: what to do with an item; it does not raise. It is cancelled when it takes too long.
        give_up: what to do with an item that took too long; it does not raise.
        limits: how much may wait, and for how long one may be handled.
    """

    __slots__ = ("_give_up", "_handle", "_item", "_items", "_limits", "_nbytes", "_room", "_task", "_timer")

    def __init__(
        self, handle: Callable[[Item], Coroutine[Any, Any, None]], give_up: Callable[[Item], None], limits: Limits
    ) -> None:
        self._handle = handle
        self._give_up = give_up
        self._limits = limits
        self._items: deque[Item] = deque()
        self._item: Item | None = None
        self._nbytes = 0
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._room = asyncio.Event()

    def put(self, item: Item) -> None:
        """Let an event be handled: at once if nothing waits."""
        self._nbytes += item.nbytes
        if self._task is None:
            self._begin(item)
        else:
            self._items.append(item)

    @property
    def is_full(self) -> bool:
        """Whether the connection should not be read for now."""
        return self._nbytes >= self._limits.inbox_bytes or len(self._items) >= self._limits.inbox_messages

    async def room(self) -> None:
        """Wait until it is not full."""
        while self.is_full:
            self._room.clear()
            await self._room.wait()

    async def empty(self) -> None:
        """Wait until all is handled."""
        while self._task is not None:
            await asyncio.wait({self._task})

    def stop(self) -> asyncio.Task[None] | None:
        """Handle nothing more. Returns the task that is being cancelled, if there is one."""
        self._items.clear()
        if self._task is not None:
            self._task.cancel()
        return self._task

    def _begin(self, item: Item) -> None:
        task = begin(self._handle(item))
        if task.done():
            self._nbytes -= item.nbytes
            return
        self._item, self._task = item, task
        self._timer = asyncio.get_running_loop().call_later(self._limits.hook_seconds, self._on_late)
        task.add_done_callback(self._on_done)

    def _on_late(self) -> None:
        self._timer = None
        assert self._task is not None
        self._task.cancel()

    def _on_done(self, task: asyncio.Task[None]) -> None:
        assert self._item is not None
        item, self._item, self._task = self._item, None, None
        is_late = self._timer is None
        if self._timer is not None:
            self._timer.cancel()
        if is_late and task.cancelled():
            self._give_up(item)
        self._nbytes -= item.nbytes
        while self._items and self._task is None:
            self._begin(self._items.popleft())
        self._room.set()
