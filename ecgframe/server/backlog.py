"""The backlog of a viewer that catches up with a stream, and how much of it is queued at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..session.outgoing import Tier

if TYPE_CHECKING:
    from ..session import Outgoing, ServerSession

CHUNK_FRAMES: Final = 64
"""Most frames in one piece of a backlog."""

CHUNK_BYTES: Final = 256 * 1024
"""Bytes at which a piece of a backlog gets no further frame."""

BULK_CHUNK_BYTES: Final = 64 * 1024
"""The same for a stream of the class BULK."""


class Backlog:
    """The publications in a ring that a viewer has to get before it is up to date.

    Attributes:
        next: number of the next publication to send.
        last: timestamp of the last publication that was sent.
        announced: id of the latest epoch that was announced to the viewer.
        overtaken: numbers of urgent publications that were sent ahead of their turn.
        encoded: by its number, the next publication, if it had to be encoded for this viewer in a thread.
    """

    __slots__ = ("announced", "encoded", "last", "next", "overtaken")

    def __init__(self, next: int, last: int, announced: int = 0) -> None:
        self.next = next
        self.last = last
        self.announced = announced
        self.overtaken: set[int] = set()
        self.encoded: dict[int, Outgoing] = {}


def is_piece_complete(session: ServerSession, latest: Outgoing, queued: int) -> bool:
    """Return whether no more of a backlog is queued now.

    Args:
        session: of the viewer.
        latest: the last frame of the backlog that was queued.
        queued: number of its frames in this piece.
    """
    if latest.tier is Tier.BULK:  # it waits beside LIVE, whatever waits of that
        return queued >= CHUNK_FRAMES or session.queued_bulk_bytes >= BULK_CHUNK_BYTES
    return is_half_full(session) or session.queued_frames >= CHUNK_FRAMES or session.queued_bytes >= CHUNK_BYTES


def is_half_full(session: ServerSession) -> bool:
    """Return whether the send queue of a viewer is half full, in frames or in bytes."""
    settings = session.settings
    return session.queued_frames >= settings.queue_frames / 2 or session.queued_bytes >= settings.queue_bytes / 2
