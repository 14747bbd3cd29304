"""Queue of received messages and requests that wait for the application: handled in order, one at a time, bounded."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, Final

from ..session import Event, Received
from .limits import Limits
from .memory import InboxesLimit
from .placing import enter
from .tasks import begin

MOST_AT_ONCE: Final = 64
"""Messages of one connection that are handled at once, most of which wait for another server."""


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


class _Handled:
    """An item that is being handled: the ``Handling`` of its context.

    Attributes:
        item: the item.
        task: handles it; None until that has begun.
        is_late: whether it took too long, and was cancelled.
        is_placed: whether the next item may be handled.
    """

    __slots__ = ("_inbox", "_timer", "_turn", "is_late", "is_placed", "item", "task")

    def __init__(self, inbox: Inbox, item: Item) -> None:
        self._inbox = inbox
        self.item = item
        self.task: asyncio.Task[None] | None = None
        self.is_late = False
        self.is_placed = False
        self._timer: asyncio.TimerHandle | None = None
        self._turn: asyncio.Future[None] | None = None

    def note_placed(self) -> None:
        if not self.is_placed:
            self.is_placed = True
            self._inbox.note_placed()

    async def wait_for_turn(self) -> None:
        if self._inbox.is_first(self):
            return
        self._turn = asyncio.get_running_loop().create_future()
        self.end_time()  # what the earlier ones take is not its time
        await self._turn
        self._turn = None
        self.begin_time()

    def take_turn(self) -> None:
        """Let ``wait_for_turn`` end."""
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(None)

    def begin_time(self) -> None:
        """Cancel the task after ``Limits.hook_seconds``, unless it waits for its turn."""
        if self._turn is None:
            self._timer = asyncio.get_running_loop().call_later(self._inbox.hook_seconds, self._on_late)

    def end_time(self) -> None:
        """Let the task take as long as it likes."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_late(self) -> None:
        self.is_late = True
        assert self.task is not None
        self.task.cancel()


class Inbox:
    """Handles the events of one connection while more are being read.

    Each event is handled in a task, and the next event waits for it. A handler that does not wait for anything
    finishes at once, and costs neither a turn of the loop nor a timer. Of messages that follow each other, the next one
    is handled once the order of those before it is fixed (see ``placing``), so that a peer's messages need not wait one
    by one for another server.

    Args:
        handle: handles an item; it does not raise. It is cancelled after ``Limits.hook_seconds``.
        give_up: called with an item whose handling was cancelled; it does not raise.
        limits: limits of the handler.
        shared: the memory that all inboxes share.
    """

    __slots__ = (
        "_give_up",
        "_handle",
        "_handled",
        "_has_room",
        "_items",
        "_limits",
        "_nbytes",
        "_shared",
        "_will_go_on",
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
        self._handled: list[_Handled] = []
        self._nbytes = 0
        self._has_room: asyncio.Event | None = None  # until the inbox is full
        self._will_go_on = False

    def put(self, item: Item) -> None:
        """Handle an event: at once if none is being handled, otherwise in its turn."""
        self._nbytes += item.nbytes
        self._shared.keep(item.nbytes)
        if not self._handled:
            self._begin(item)
            return
        if self._items is None:
            self._items = deque()
        self._items.append(item)
        self.note_placed()

    @property
    def is_busy(self) -> bool:
        """True if an event is being handled."""
        return bool(self._handled)

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
        while tasks := self._tasks():
            await asyncio.wait(tasks)

    def stop(self) -> set[asyncio.Task[None]]:
        """Drop the waiting events and cancel those that are handled. Returns the tasks that are being cancelled."""
        while self._items:
            self._release(self._items.popleft())
        tasks = self._tasks()
        for task in tasks:
            task.cancel()
        return tasks

    def is_first(self, handled: _Handled) -> bool:
        """Return whether all earlier items are handled."""
        return not self._handled or self._handled[0] is handled

    def note_placed(self) -> None:
        """Handle the next item soon, if it may be."""
        if self._items and self._may_begin(self._items[0]) and not self._will_go_on:
            self._will_go_on = True
            asyncio.get_running_loop().call_soon(self._go_on)

    @property
    def hook_seconds(self) -> float:
        """Seconds that an item may take."""
        return self._limits.hook_seconds

    def _tasks(self) -> set[asyncio.Task[None]]:
        return {handled.task for handled in self._handled if handled.task is not None}

    def _may_begin(self, item: Item) -> bool:
        """Return whether an item may be handled now. All but messages wait until all before them are handled."""
        if not self._handled:
            return True
        return (
            len(self._handled) < MOST_AT_ONCE
            and isinstance(item.event, Received)
            and all(handled.is_placed and isinstance(handled.item.event, Received) for handled in self._handled)
        )

    def _go_on(self) -> None:
        self._will_go_on = False
        while self._items and self._may_begin(self._items[0]):
            self._begin(self._items.popleft())
        if self._has_room is not None and not self.is_full:
            self._has_room.set()

    def _release(self, item: Item) -> None:
        self._nbytes -= item.nbytes
        self._shared.release(item.nbytes)

    def _begin(self, item: Item) -> None:
        handled = _Handled(self, item)
        self._handled.append(handled)
        enter(handled)  # a task takes over the context in which it is made
        task = begin(self._handle(item))
        enter(None)
        if task.done():
            self._handled.remove(handled)
            self._release(item)
            self._give_turn()
            return
        handled.task = task
        handled.begin_time()
        task.add_done_callback(lambda task: self._on_done(handled, task))

    def _on_done(self, handled: _Handled, task: asyncio.Task[None]) -> None:
        self._handled.remove(handled)
        handled.end_time()
        if handled.is_late and task.cancelled():
            self._give_up(handled.item)
        self._release(handled.item)
        self._give_turn()
        self._go_on()
        if self._has_room is not None:
            self._has_room.set()

    def _give_turn(self) -> None:
        if self._handled:
            self._handled[0].take_turn()
