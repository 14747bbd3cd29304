"""The bounded queue of frames that wait to be sent: urgent frames first; when it is full, waveforms are dropped."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ..protocol import MessageType
from .outgoing import Tier
from .timestamps import seconds

if TYPE_CHECKING:
    from .outgoing import Outgoing


FRAME_OVERHEAD: Final = 256
"""Bytes of memory of the objects for each waiting frame, besides its own bytes."""


@dataclass(slots=True)
class Loss:
    """Dropped frames of one stream.

    Attributes:
        first: lowest timestamp of a dropped frame, in microseconds since 1970.
        last: highest timestamp of a dropped frame.
        frames: number of dropped frames.
    """

    first: int
    last: int
    frames: int = 1

    def add(self, timestamp: int) -> None:
        """Count another frame."""
        self.first = min(self.first, timestamp)
        self.last = max(self.last, timestamp)
        self.frames += 1

    def details(self, stream: str | None) -> dict[str, Any]:
        """Return the details of the ERROR about the loss, from which clients determine the gap."""
        details: dict[str, Any] = {"from": seconds(self.first), "to": seconds(self.last), "dropped": self.frames}
        if stream is not None:
            details["stream"] = stream
        return details


class SendQueue:
    """The waiting frames of one connection.

    A frame of which a fragment was sent keeps its place, and is not dropped. It counts as waiting until its last
    fragment is sent.

    One frame that alone exceeds ``max_bytes`` may wait in addition to the others, so that it does not displace them.

    Attributes:
        frames: number of waiting frames.
        nbytes: bytes of waiting frames.
        answers: bytes of memory that waiting control messages take.
        losses: dropped frames that were not yet reported to the peer, by stream. Those under None belong to no stream,
            or to any, once ``max_frames`` streams have lost frames.
    """

    __slots__ = (
        "_cut",
        "_large",
        "_large_bytes",
        "_max_bytes",
        "_max_frames",
        "_reported",
        "_tiers",
        "answers",
        "frames",
        "losses",
        "nbytes",
    )

    def __init__(self, max_frames: int, max_bytes: int) -> None:
        self.frames = 0
        self.nbytes = 0
        self.answers = 0
        self.losses: dict[str | None, Loss] = {}
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._large = 0
        self._large_bytes = 0
        self._reported = False
        self._cut = 0  # fragments of the first waiting data that were sent
        self._tiers: tuple[deque[Outgoing], ...] = tuple(deque() for _ in Tier)

    @property
    def has_waiting(self) -> bool:
        """True if there are frames to send or losses to report."""
        return bool(self.frames or self.losses)

    @property
    def has_urgent(self) -> bool:
        """True if urgent or control messages wait, which do not wait for data."""
        return any(self._tiers[: Tier.DATA])

    @property
    def has_data(self) -> bool:
        """True if data waits."""
        return bool(self._tiers[Tier.DATA])

    def put(self, outgoing: Outgoing) -> int:
        """Add a frame. If the queue is too full, drop the oldest waveforms, then the oldest other data.

        Returns:
            The number of dropped frames.

        Raises:
            OverflowError: the queue is too full, and no waiting frame may be dropped.
        """
        self._tiers[outgoing.tier].append(outgoing)
        self._count(outgoing, 1)
        return self._make_room() if self._is_over() else 0

    def pop_urgent(self) -> Outgoing | None:
        """Remove and return the next urgent or control message; None if none waits."""
        return self.pop() if self.has_urgent else None

    def pop(self) -> Outgoing | None:
        """Remove and return the next frame, urgent ones first; None if nothing waits."""
        self._reported = False
        for tier in self._tiers:
            if tier:
                return self._remove(tier, 0)
        return None

    def pop_fragment(self, size: int) -> tuple[Outgoing, bytes, bool]:
        """Return the next fragment of the frame that ``pop`` would return; with the last one, remove the frame.

        Args:
            size: bytes of its piece.

        Returns:
            The frame, its fragment, and whether that is the last one.
        """
        self._reported = False
        tier = self._tiers[Tier.DATA]
        outgoing = tier[0]
        fragments = outgoing.fragments(size)
        fragment = fragments[self._cut]
        self._cut += 1
        is_last = self._cut == fragments.count
        if is_last:
            self._cut = 0
            self._remove(tier, 0)
        return outgoing, fragment, is_last

    def peek(self) -> Outgoing | None:
        """Return the frame that ``pop`` would return."""
        return next((tier[0] for tier in self._tiers if tier), None)

    def pop_loss(self) -> tuple[str | None, Loss] | None:
        """Remove and return the loss to report to the peer before the next frame, with the name of its stream.

        Returns:
            None if there are no losses, if urgent or control messages wait, or if data waits and the previous call
            returned a loss: otherwise a viewer of many streams that never keeps up would get nothing but reports.
        """
        if not self.losses:
            return None
        following = self.peek()
        if following and (following.tier is not Tier.DATA or self._reported):
            return None
        self._reported = True
        stream = following.stream if following and following.stream in self.losses else next(iter(self.losses))
        return stream, self.losses.pop(stream)

    def data_of(self, stream: str) -> list[Outgoing]:
        """Return the waiting data of a stream, in the order in which it will be sent."""
        return [outgoing for outgoing in self._tiers[Tier.DATA] if outgoing.stream == stream]

    def take_back(self, stream: str) -> None:
        """Discard the waiting data of a stream, and what is still to be reported of it: its viewer begins anew."""
        data = self._tiers[Tier.DATA]
        kept = [outgoing for outgoing in data if outgoing.stream != stream]
        if data and data[0].stream == stream:
            self._cut = 0
        for outgoing in data:
            if outgoing.stream == stream:
                self._count(outgoing, -1)
        data.clear()
        data.extend(kept)
        self.losses.pop(stream, None)

    def discard_data(self) -> None:
        """Discard the waiting data, because the connection is about to be closed."""
        data = self._tiers[Tier.DATA]
        self._cut = 0
        while data:
            self._remove(data, 0)
        self.losses.clear()

    def clear(self) -> None:
        """Discard everything that waits."""
        for tier in self._tiers:
            tier.clear()
        self._cut = 0
        self.frames = self.nbytes = self.answers = self._large = self._large_bytes = 0
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
        dropped = self._remove(data, index)
        stream = dropped.stream if dropped.stream in self.losses or len(self.losses) < self._max_frames else None
        if loss := self.losses.get(stream):
            loss.add(dropped.timestamp)
        else:
            self.losses[stream] = Loss(dropped.timestamp, dropped.timestamp)

    def _oldest_to_drop(self) -> int | None:
        """Return the index of the oldest waveform, or else of the oldest other droppable frame; None if none waits."""
        # If the queue is over its limits only because of a second large frame, drop a large one.
        least = 0 if self._is_crowded() else self._max_bytes + 1
        other = None
        for index, outgoing in enumerate(self._tiers[Tier.DATA]):
            if outgoing.nbytes >= least and outgoing.droppable and not (index == 0 and self._cut):
                if outgoing.waveform:
                    return index
                if other is None:
                    other = index
        return other

    def _remove(self, tier: deque[Outgoing], index: int) -> Outgoing:
        outgoing = tier[index]
        del tier[index]
        self._count(outgoing, -1)
        return outgoing

    def _count(self, outgoing: Outgoing, sign: int) -> None:
        self.frames += sign
        self.nbytes += sign * outgoing.nbytes
        if outgoing.tier is Tier.CONTROL or outgoing.type is MessageType.SUBSCRIPTION_ACK:
            self.answers += sign * (outgoing.nbytes + FRAME_OVERHEAD)
        if outgoing.nbytes > self._max_bytes:
            self._large += sign
            self._large_bytes += sign * outgoing.nbytes
