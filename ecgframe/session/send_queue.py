"""Frames that wait for the network: bounded, the urgent ones first, waveforms dropped when there is no room."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .outgoing import Tier
from .timestamps import seconds

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

    def details(self, stream: str | None) -> dict[str, Any]:
        """What the ERROR holds as its details that tells a viewer of it. Clients find the gap by them."""
        details: dict[str, Any] = {"from": seconds(self.first), "to": seconds(self.last), "dropped": self.frames}
        if stream is not None:
            details["stream"] = stream
        return details


class SendQueue:
    """Waiting frames of one connection.

    A frame that is larger than ``max_bytes`` by itself has a place of its own, and there is but one such place: it does
    not push the others out.

    Attributes:
        frames: that wait.
        nbytes: that wait.
        losses: what was dropped and not yet told to the peer, by stream; under None, frames of no stream, and of any
            where more streams lost frames than are told apart.
    """

    __slots__ = ("_large", "_large_bytes", "_max_bytes", "_max_frames", "_tiers", "_told", "frames", "losses", "nbytes")

    def __init__(self, max_frames: int, max_bytes: int) -> None:
        self.frames = 0
        self.nbytes = 0
        self.losses: dict[str | None, Loss] = {}
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._large = 0
        self._large_bytes = 0
        self._told = False
        self._tiers: tuple[deque[Outgoing], ...] = tuple(deque() for _ in Tier)

    @property
    def has_waiting(self) -> bool:
        """Whether there are frames to send, or losses to tell of."""
        return bool(self.frames or self.losses)

    @property
    def has_urgent(self) -> bool:
        """Whether there are frames to send that wait for no data: urgent and control messages."""
        return any(self._tiers[: Tier.DATA])

    @property
    def has_data(self) -> bool:
        """Whether there are other frames."""
        return bool(self._tiers[Tier.DATA])

    def put(self, outgoing: Outgoing) -> int:
        """Let a frame wait, and drop the oldest waveforms as far as the room asks for it.

        Returns:
            How many were dropped.

        Raises:
            OverflowError: nothing may be dropped any more and there is still no room.
        """
        self._tiers[outgoing.tier].append(outgoing)
        self._count(outgoing, 1)
        return self._make_room() if self._is_over() else 0

    def pop_urgent(self) -> Outgoing | None:
        """Take the next frame that is no data; None when none waits."""
        return self.pop() if self.has_urgent else None

    def pop(self) -> Outgoing | None:
        """Take the next frame, urgent ones first; None when nothing waits."""
        self._told = False
        for tier in self._tiers:
            if tier:
                return self._taken(tier, 0)
        return None

    def peek(self) -> Outgoing | None:
        """The frame that ``pop`` would take."""
        return next((tier[0] for tier in self._tiers if tier), None)

    def pop_loss(self) -> tuple[str | None, Loss] | None:
        """Take what the peer is to be told of before it gets the next frame: a stream, and what was dropped of it.

        None where nothing is to be told, or something more urgent waits; and none twice in a row while data waits, or a
        viewer of many streams that is behind all the time would hear of its losses and see nothing else.
        """
        if not self.losses:
            return None
        following = self.peek()
        if following and (following.tier is not Tier.DATA or self._told):
            return None
        self._told = True
        stream = following.stream if following and following.stream in self.losses else next(iter(self.losses))
        return stream, self.losses.pop(stream)

    def let_data_go(self) -> None:
        """Forget the data that waits: the connection is about to be closed."""
        data = self._tiers[Tier.DATA]
        while data:
            self._taken(data, 0)
        self.losses.clear()

    def clear(self) -> None:
        """Forget all that waits."""
        for tier in self._tiers:
            tier.clear()
        self.frames = self.nbytes = self._large = self._large_bytes = 0
        self.losses.clear()

    def _is_over(self) -> bool:
        return self._is_crowded() or self._large > 1

    def _is_crowded(self) -> bool:
        return self.frames > self._max_frames or self.nbytes - self._large_bytes > self._max_bytes

    def _make_room(self) -> int:
        dropped = 0
        while self._is_over():
            self._drop_one()
            dropped += 1
        return dropped

    def _drop_one(self) -> None:
        data = self._tiers[Tier.DATA]
        index = self._oldest_to_drop()
        if index is None:
            raise OverflowError(f"{self.frames} frames of {self.nbytes} bytes wait, and none of them may be dropped")
        dropped = self._taken(data, index)
        stream = dropped.stream if dropped.stream in self.losses or len(self.losses) < self._max_frames else None
        if loss := self.losses.get(stream):
            loss.add(dropped.timestamp)
        else:
            self.losses[stream] = Loss(dropped.timestamp, dropped.timestamp)

    def _oldest_to_drop(self) -> int | None:
        """Where the oldest waveform stands, or the oldest other frame that may be dropped; None where there is none."""
        least = 0 if self._is_crowded() else self._max_bytes + 1  # where only the large ones are too many, one of them
        other = None
        for index, outgoing in enumerate(self._tiers[Tier.DATA]):
            if outgoing.nbytes >= least and outgoing.droppable:
                if outgoing.waveform:
                    return index
                if other is None:
                    other = index
        return other

    def _taken(self, tier: deque[Outgoing], index: int) -> Outgoing:
        outgoing = tier[index]
        del tier[index]
        self._count(outgoing, -1)
        return outgoing

    def _count(self, outgoing: Outgoing, sign: int) -> None:
        self.frames += sign
        self.nbytes += sign * outgoing.nbytes
        if outgoing.nbytes > self._max_bytes:
            self._large += sign
            self._large_bytes += sign * outgoing.nbytes
