"""Queue of received messages and requests that wait for the application: handled in order, one at a time, bounded."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar

from ..session import Event
from .limits import Limits
from .memory import InboxesLimit
from .tasks import begin


class Item:
    """An event that waits to be handled.

    Attributes:
        event: the event.
        nbytes: bytes of memory that it takes, which may be thousands of times its bytes on the wire.
        received_at: when it was received, in seconds of the loop's clock.
    """

    __slots__ = ("event", "nbytes", "received_at")

    OVERHEAD: ClassVar[int] = 512
    """Bytes of memory of the objects for each event, besides its data."""

    def __init__(self, event: Event, nbytes: int, received_at: float) -> None:
        self.event = event
        self.nbytes = nbytes
        self.received_at = received_at


class Inbox:
    """Handles the events of one connection while more are being read.

    Each event is handled in a task, and the next event waits for it. A handler that does not wait for anything
    finishes at once, and costs neither a turn of the loop nor a timer.

    Args:
        handle: handles an item; it does not raise. It is cancelled after ``Limits.hook_seconds``.
        give_up: called with an item whose handling was cancelled; it does not raise.
        limits: limits of the handler.
        shared: the memory that all inboxes share.
    """

    __slots__ = (
        "_give_up",
        "_handle",
        "_has_room",
        "_item",
        "_items",
        "_limits",
        "_nbytes",
        "_shared",
        "_task",
        "_timer",
    )

    def __init__(
        self,
        handle: Callable[[Item], Coroutine[Any, Any, None]],
        give_up: Callable[[Item], None],
        limits: Limits,
        shared: InboxesLimit,
    ) -> None:
        self._shared = shared
        self._handle = handle
        self._give_up = give_up
        self._limits = limits
        self._items: deque[Item] | None = None  # until one has to wait, which few connections ever need
        self._item: Item | None = None
        self._nbytes = 0
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._has_room: asyncio.Event | None = None  # until the inbox is full

    def put(self, item: Item) -> None:
        """Handle an event: at once if none is being handled, otherwise in its turn."""
        self._nbytes += item.nbytes
        self._shared.keep(item.nbytes)
        if self._task is None:
            self._begin(item)
        else:
            if self._items is None:
                self._items = deque()
            self._items.append(item)

    @property
    def is_busy(self) -> bool:
        """True if an event is being handled."""
        return self._task is not None

    @property
    def is_full(self) -> bool:
        """True if so much waits that the connection must not be read."""
        waiting = len(self._items) if self._items else 0
        return self._nbytes >= self._limits.inbox_bytes or waiting >= self._limits.inbox_messages

    async def wait_until_not_full(self) -> None:
        """Wait until the inbox is not full."""
        while self.is_full:
            if self._has_room is None:
                self._has_room = asyncio.Event()
            self._has_room.clear()
            await self._has_room.wait()

    async def empty(self) -> None:
        """Wait until all events are handled."""
        while self._task is not None:
            await asyncio.wait({self._task})

    def stop(self) -> asyncio.Task[None] | None:
        """Drop the waiting events and cancel the current one. Returns the task that is being cancelled, or None."""
        while self._items:
            self._let_go(self._items.popleft())
        if self._task is not None:
            self._task.cancel()
        return self._task

    def _let_go(self, item: Item) -> None:
        self._nbytes -= item.nbytes
        self._shared.release(item.nbytes)

    def _begin(self, item: Item) -> None:
        task = begin(self._handle(item))
        if task.done():
            self._let_go(item)
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
        self._let_go(item)
        while self._items and self._task is None:
            self._begin(self._items.popleft())
        if self._has_room is not None:
            self._has_room.set()
