"""Sealed frames whose key is unknown, and the frames after them, until the key arrives or they are discarded."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from ..protocol import MAX_HELD_BYTES, MAX_HELD_FRAMES

if TYPE_CHECKING:
    from .meter import Decoded
    from .sealed_reader import NotYetOpened

HELD_SECONDS: Final = 10.0
"""Seconds after which a frame whose key is still unknown is discarded."""

BETWEEN_TRIES: Final = 0.5
"""Seconds from one try to open held frames with the application's keys to the next."""


class Held(NamedTuple):
    """A frame that waits.

    Attributes:
        stream: name of its stream; None if only its key would show it.
        item: the frame, decoded; None if it is not opened.
        sealed: the frame that is not opened; None if it is.
        nbytes: bytes of the frame.
        until: when it is discarded, in seconds of the session's clock.
    """

    stream: str | None
    item: Decoded | None
    sealed: NotYetOpened | None
    nbytes: int
    until: float


class HeldFrames:
    """The frames of one connection that wait for a key.

    Args:
        frames: most frames.
        nbytes: most bytes of them.

    Attributes:
        tried_at: when opening them was tried last, in seconds of the session's clock.
    """

    def __init__(self, frames: int = MAX_HELD_FRAMES, nbytes: int = MAX_HELD_BYTES) -> None:
        self._max_frames = frames
        self._max_nbytes = nbytes
        self._held: deque[Held] = deque()
        self._nbytes = 0
        self.tried_at = 0.0

    def __len__(self) -> int:
        return len(self._held)

    def blocks(self, stream: str | None) -> bool:
        """Return whether a frame of a stream has to wait for earlier ones; None for frames of version 3."""
        return any(held.stream == stream for held in self._held)

    def add(self, held: Held) -> None:
        """Add a frame after the others."""
        self._held.append(held)
        self._nbytes += held.nbytes

    def deadline(self) -> float | None:
        """Return when ``take`` has to be called again, in seconds of the session's clock."""
        return min(self._held[0].until, self.tried_at + BETWEEN_TRIES) if self._held else None

    def take(self) -> list[Held]:
        """Take all frames out, in order."""
        taken = list(self._held)
        self._held.clear()
        self._nbytes = 0
        return taken

    def is_over(self) -> bool:
        """Return whether there are more frames or bytes than may be held."""
        return len(self._held) > self._max_frames or self._nbytes > self._max_nbytes
