"""Lets the code that handles a message signal to the message's inbox that the next message may be handled.

A message is placed once nothing that is published later can be delivered before it. From then on, the next message of
the peer may be handled, while this one still waits for another server.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Protocol


class Handling(Protocol):
    """One message that is being handled."""

    def note_placed(self) -> None:
        """Note that the message is placed: its order is fixed."""

    async def wait_for_turn(self) -> None:
        """Wait until all earlier messages of the peer are handled."""


_current: ContextVar[Handling | None] = ContextVar("ecgframe_handling", default=None)


def enter(handling: Handling | None) -> None:
    """Set the message that is handled in this context."""
    _current.set(handling)


def note_placed() -> None:
    """Note that the message that is handled in this context is placed; does nothing if there is none."""
    handling = _current.get()
    if handling is not None:
        handling.note_placed()


async def wait_for_turn() -> None:
    """Wait until all earlier messages of the peer are handled.

    Afterwards, ``note_placed`` does nothing in this context: what is published then is not this message.
    """
    handling = _current.get()
    if handling is not None:
        _current.set(None)
        await handling.wait_for_turn()
