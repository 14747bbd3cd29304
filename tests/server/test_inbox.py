"""The inbox of a connection: in order, one after the other, and several at once where their places are certain."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from running import run

from ecgframe import Flag, Message, MessageType
from ecgframe.server.inbox import MOST_AT_ONCE, Inbox, Item
from ecgframe.server.limits import Limits
from ecgframe.server.memory import InboxesLimit
from ecgframe.server.placing import note_placed, wait_for_turn
from ecgframe.session import Received, UnsubscribeRequested


def message(number):
    return Received(Message(MessageType.ECG_DATA, {"n": number}, 3, Flag(0), number), b"")


def number_of(item):
    return item.event.message.timestamp if isinstance(item.event, Received) else "request"


class Handler:
    """Publishes each message, waits until ``deliver`` says that it is delivered, and gives it to a hook.

    Attributes:
        noted: what happened, in order.
        hook: what the hook does.
    """

    def __init__(self, *, is_placed=True, **limits):
        self.noted = []
        self.hook = None
        self._is_placed = is_placed
        self._delivered = {}
        self.inbox = Inbox(self._handle, self._give_up, Limits(**limits), InboxesLimit(1 << 20))

    def put(self, *numbers):
        for number in numbers:
            event = UnsubscribeRequested("ecg/1", None) if number is None else message(number)
            self.inbox.put(Item(event, 100, 0.0))

    def deliver(self, number):
        self._delivered[number].set_result(None)

    async def _handle(self, item):
        number = number_of(item)
        self.noted.append(f"publish {number}")
        if self._is_placed:
            note_placed()
        self._delivered[number] = asyncio.get_running_loop().create_future()
        await self._delivered[number]
        await wait_for_turn()
        self.noted.append(f"hook {number}")
        if self.hook:
            note_placed()  # of another message, which the hook publishes
            await self.hook(number)
        self.noted.append(f"end {number}")

    def _give_up(self, item):
        self.noted.append(f"late {number_of(item)}")


async def turns(count=20):
    for _ in range(count):
        await asyncio.sleep(0)


def test_a_message_waits_for_the_one_before_that_has_no_place():
    async def scenario():
        handler = Handler(is_placed=False)
        handler.put(1, 2)
        await turns()
        assert handler.noted == ["publish 1"]
        handler.deliver(1)
        await turns()
        assert handler.noted == ["publish 1", "hook 1", "end 1", "publish 2"]
        handler.deliver(2)
        await handler.inbox.empty()
        assert not handler.inbox.is_busy

    run(scenario())


@pytest.mark.parametrize("delivered", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
def test_messages_that_have_their_places_are_published_at_once_and_handed_over_in_order(delivered):
    async def scenario():
        handler = Handler()
        handler.put(1, 2, 3)
        await turns()
        assert handler.noted == ["publish 1", "publish 2", "publish 3"]
        for number in delivered:
            handler.deliver(number)
            await turns()
        await handler.inbox.empty()
        assert handler.noted[3:] == [f"{what} {n}" for n in (1, 2, 3) for what in ("hook", "end")]

    run(scenario())


def test_one_hook_runs_at_a_time_and_what_it_publishes_gives_nobody_a_place():
    async def scenario():
        handler = Handler(is_placed=False)
        goes_on = asyncio.Event()
        handler.hook = lambda number: goes_on.wait()
        handler.put(1, 2)
        await turns()
        handler.deliver(1)
        await turns()
        assert handler.noted == ["publish 1", "hook 1"]
        goes_on.set()
        await turns()
        assert handler.noted[2:] == ["end 1", "publish 2"]
        handler.deliver(2)
        await handler.inbox.empty()

    run(scenario())


def test_a_request_waits_for_all_before_it_and_all_behind_it_wait_for_it():
    async def scenario():
        handler = Handler()
        handler.put(1, 2, None, 3)
        await turns()
        assert handler.noted == ["publish 1", "publish 2"]
        for number, more in ((1, []), (2, ["publish request"]), ("request", ["publish 3"])):
            handler.deliver(number)
            await turns()
            assert [each for each in handler.noted if each.startswith("publish")][2:][-1:] == more
        handler.deliver(3)
        await handler.inbox.empty()

    run(scenario())


def test_so_many_are_handled_at_once():
    async def scenario():
        handler = Handler()
        handler.put(*range(MOST_AT_ONCE + 3))
        await turns(200)
        assert len(handler.noted) == MOST_AT_ONCE
        handler.deliver(0)
        await turns()
        assert handler.noted[-1] == f"publish {MOST_AT_ONCE}"
        tasks = handler.inbox.stop()
        assert len(tasks) == MOST_AT_ONCE
        with suppress(asyncio.CancelledError):
            await asyncio.wait(tasks)
        await turns()
        assert not handler.inbox.is_busy

    run(scenario())


def test_the_time_for_a_hook_does_not_run_while_the_ones_before_take_theirs():
    async def scenario():
        handler = Handler(hook_seconds=0.2)
        goes_on = asyncio.Event()
        handler.hook = lambda number: asyncio.sleep(60) if number == 1 else goes_on.wait()
        handler.put(1, 2)
        await turns()
        handler.deliver(1)
        handler.deliver(2)
        while "hook 2" not in handler.noted:
            await asyncio.sleep(0.01)
        assert handler.noted[2:] == ["hook 1", "late 1", "hook 2"]
        await asyncio.sleep(0.05)
        goes_on.set()
        await handler.inbox.empty()
        assert handler.noted[-1] == "end 2"

    run(scenario())
