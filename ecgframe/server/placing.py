"""What a message that is being handled, and the inbox that it came from, tell each other.

A message has its place once nothing that is published later can get before it. From then on, the next message of the
peer may be handled, while this one still waits to be delivered.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Protocol


class Handling(Protocol):
    """One message that is being handled."""

    def note_placed(self) -> None:
        """Note that the message has its place."""

    async def wait_for_turn(self) -> None:
        """Wait until all earlier messages of the peer are handled."""


_present: ContextVar[Handling | None] = ContextVar("ecgframe_handling", default=None)


def enter(handling: Handling | None) -> None:
    """Note what is handled in this context."""
    _present.set(handling)


def note_placed() -> None:
    """Note that the message that is handled in this context has its place; does nothing if there is none."""
    handling = _present.get()
    if handling is not None:
        handling.note_placed()


async def wait_for_turn() -> None:
    """Wait until all earlier messages of the peer are handled. What is published afterwards is not this message."""
    handling = _present.get()
    if handling is not None:
        _present.set(None)
        await handling.wait_for_turn()
