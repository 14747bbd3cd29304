"""Frames that wait for the network: bounded, the urgent ones first, waveforms dropped when there is no room."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .outgoing import Tier

if TYPE_CHECKING:
    from .outgoing import Outgoing


@dataclass(slots=True)
class Loss:
    """Frames of one stream that were dropped. Timestamps of the first and the last, in microseconds since 1970."""

    first: int
    last: int
    frames: int = 1

    def add(self, timestamp: int) -> None:
        """Count one more."""
        self.first = min(self.first, timestamp)
        self.last = max(self.last, timestamp)
        self.frames += 1


class SendQueue:
    """Waiting frames of one connection.

    Attributes:
        frames: that wait.
        nbytes: that wait.
        losses: what was dropped and not yet told to the peer, by stream (None for frames of no stream).
    """

    __slots__ = ("_max_bytes", "_max_frames", "_tiers", "frames", "losses", "nbytes")

    def __init__(self, max_frames: int, max_bytes: int) -> None:
        self.frames = 0
        self.nbytes = 0
        self.losses: dict[str | None, Loss] = {}
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._tiers: tuple[deque[Outgoing], ...] = tuple(deque() for _ in Tier)

    def put(self, outgoing: Outgoing) -> int:
        """Let a frame wait, and drop the oldest waveforms as far as the room asks for it.

        Returns:
            How many were dropped.

        Raises:
            OverflowError: nothing may be dropped any more and there is still no room.
        """
        self._tiers[outgoing.tier].append(outgoing)
        self.frames += 1
        self.nbytes += outgoing.nbytes
        return self._make_room() if self._is_over() else 0

    def pop(self) -> Outgoing | None:
        """Take the next frame, urgent ones first; None when nothing waits."""
        for tier in self._tiers:
            if tier:
                return self._taken(tier, 0)
        return None

    def peek(self) -> Outgoing | None:
        """The frame that ``pop`` would take."""
        return next((tier[0] for tier in self._tiers if tier), None)

    def has_urgent(self) -> bool:
        """Tell whether an urgent frame waits."""
        return bool(self._tiers[Tier.URGENT])

    def let_data_go(self) -> None:
        """Forget the data that waits: the connection is about to be closed."""
        data = self._tiers[Tier.DATA]
        self.frames -= len(data)
        self.nbytes -= sum(outgoing.nbytes for outgoing in data)
        data.clear()
        self.losses.clear()

    def clear(self) -> None:
        """Forget all that waits."""
        for tier in self._tiers:
            tier.clear()
        self.frames = self.nbytes = 0
        self.losses.clear()

    def _is_over(self) -> bool:
        # However large, one frame always fits in an empty queue.
        return self.frames > self._max_frames or (self.nbytes > self._max_bytes and self.frames > 1)

    def _make_room(self) -> int:
        dropped = 0
        while self._is_over():
            self._drop_one()
            dropped += 1
        return dropped

    def _drop_one(self) -> None:
        data = self._tiers[Tier.DATA]
        index = next((i for i, outgoing in enumerate(data) if outgoing.waveform), None)
        if index is None:
            index = next((i for i, outgoing in enumerate(data) if outgoing.droppable), None)
        if index is None:
            raise OverflowError(f"{self.frames} frames of {self.nbytes} bytes wait, and none of them may be dropped")
        dropped = self._taken(data, index)
        if loss := self.losses.get(dropped.stream):
            loss.add(dropped.timestamp)
        else:
            self.losses[dropped.stream] = Loss(dropped.timestamp, dropped.timestamp)

    def _taken(self, tier: deque[Outgoing], index: int) -> Outgoing:
        outgoing = tier[index]
        del tier[index]
        self.frames -= 1
        self.nbytes -= outgoing.nbytes
        return outgoing
