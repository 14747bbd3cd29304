"""The bounded queue of frames that wait to be sent: urgent frames first; when it is full, waveforms are dropped."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, Final

from ..protocol import FRAGMENT_SIZE, MessageType
from .outgoing import Tier
from .timestamps import seconds

if TYPE_CHECKING:
    from .outgoing import Outgoing


LIVE_PARTS: Final = 7
"""Bytes of LIVE that are sent for each byte of BULK while both wait."""

FRAME_OVERHEAD: Final = 256
"""Bytes of memory of the objects for each waiting frame, besides its own bytes."""

_NOTHING: Final[deque[Any]] = deque(maxlen=0)
"""Stands for each class of frames until one is queued: an empty deque takes 760 bytes, for each of many connections."""


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

    One frame that alone exceeds ``max_bytes`` may wait in addition to the others, so that it does not displace them.

    A frame of which a fragment was sent keeps its place, and is not dropped. It counts as waiting until its last
    fragment is sent. Frames of the class BULK do not count for the limits: their owner limits their number.

    Attributes:
        frames: number of waiting frames.
        nbytes: bytes of waiting frames.
        answers: bytes of memory that waiting control messages take.
        bulk_bytes: bytes of waiting frames of the class BULK.
        losses: dropped frames that were not yet reported to the peer, by stream. Those under None belong to no stream,
            or to any, once ``max_frames`` streams have lost frames.
    """

    __slots__ = (
        "_cut",
        "_large",
        "_large_bytes",
        "_live_share",
        "_max_bytes",
        "_max_frames",
        "_queued_at",
        "_reported",
        "_tiers",
        "answers",
        "bulk_bytes",
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
        self.bulk_bytes = 0
        self._reported = False
        self._cut = [0] * len(Tier)  # fragments of the first frame of each class that were sent
        self._live_share = 0  # bytes of LIVE that were sent while BULK waited, less seven times those of BULK
        self._tiers: list[deque[Outgoing]] = [_NOTHING] * len(Tier)
        self._queued_at: deque[float] = _NOTHING  # of the LIVE frames, in seconds

    @property
    def has_waiting(self) -> bool:
        """True if there are frames to send or losses to report."""
        return bool(self.frames or self.losses)

    @property
    def has_urgent(self) -> bool:
        """True if urgent or control messages wait, which do not wait for data."""
        return any(self._tiers[: Tier.LIVE])

    @property
    def has_data(self) -> bool:
        """True if data waits."""
        return any(self._tiers[Tier.LIVE :])

    @property
    def has_bulk(self) -> bool:
        """True if frames of the class BULK wait."""
        return bool(self._tiers[Tier.BULK])

    @property
    def by_class(self) -> tuple[int, ...]:
        """Number of waiting frames of each class, in the order of ``Tier``."""
        return tuple([len(tier) for tier in self._tiers])

    @property
    def is_cutting(self) -> bool:
        """True if fragments of a frame were sent, and others wait."""
        return any(self._cut)

    def put(self, outgoing: Outgoing, now: float = inf) -> int:
        """Add a frame. If the queue is too full, drop the oldest waveforms, then the oldest other data.

        Args:
            outgoing: the frame.
            now: the time, in seconds, for ``expire``.

        Returns:
            The number of dropped frames.

        Raises:
            OverflowError: the queue is too full, and no waiting frame may be dropped.
        """
        tier = outgoing.tier
        if self._tiers[tier] is _NOTHING:
            self._tiers[tier] = deque()
        self._tiers[tier].append(outgoing)
        if tier is Tier.LIVE:
            if self._queued_at is _NOTHING:
                self._queued_at = deque()
            self._queued_at.append(now)
        self._count(outgoing, 1)
        return self._make_room() if self._is_over() else 0

    @property
    def oldest_at(self) -> float:
        """When the oldest frame of the class LIVE was queued, in seconds; infinite if none waits, or nobody said."""
        return self._queued_at[0] if self._queued_at else inf

    def expire(self, before: float) -> int:
        """Drop LIVE frames of version 4 that were queued before a time, in seconds. Returns how many.

        Those that must not be dropped stay, and so does a frame of which a fragment was sent.
        """
        times = self._queued_at
        if not times or times[0] >= before:
            return 0
        live = self._tiers[Tier.LIVE]
        index = 1 if self._cut[Tier.LIVE] else 0
        dropped = 0
        while index < len(times) and times[index] < before:
            if live[index].droppable and live[index].divisible:
                self._drop(live, index)
                dropped += 1
            else:
                index += 1
        return dropped

    def shrink(self, nbytes: int) -> int:
        """Drop the oldest waveforms, then the oldest other data, until LIVE takes at most so many bytes of memory.

        Frames that must not be dropped stay. Returns the number of dropped frames.
        """
        dropped = 0
        while self._live_memory() > nbytes and (index := self._oldest_to_drop(0)) is not None:
            self._drop(self._tiers[Tier.LIVE], index)
            dropped += 1
        return dropped

    def _live_memory(self) -> int:
        return self.nbytes - self.bulk_bytes + FRAME_OVERHEAD * len(self._tiers[Tier.LIVE])

    def pop_urgent(self) -> Outgoing | None:
        """Remove and return the next urgent or control message; None if none waits."""
        return self.pop() if self.has_urgent else None

    def pop(self) -> Outgoing | None:
        """Remove and return the next frame, urgent ones first; None if nothing waits."""
        self._reported = False
        tier = self._next_tier()
        if tier is None:
            return None
        if tier >= Tier.LIVE:
            self._note_share(tier, self._tiers[tier][0].nbytes)
        return self._remove(self._tiers[tier], 0)

    def pop_fragment(self, size: int) -> tuple[Outgoing, bytes, bool]:
        """Return the next fragment of the frame that ``pop`` would return; with the last one, remove the frame.

        Args:
            size: bytes of its piece.

        Returns:
            The frame, its fragment, and whether that is the last one.
        """
        self._reported = False
        tier = self._next_tier()
        assert tier is not None, "a frame waits"
        outgoing = self._tiers[tier][0]
        fragments = outgoing.fragments(size)
        fragment = fragments[self._cut[tier]]
        self._cut[tier] += 1
        self._note_share(tier, len(fragment))
        is_last = self._cut[tier] == fragments.count
        if is_last:
            self._remove(self._tiers[tier], 0)
        return outgoing, fragment, is_last

    def peek(self) -> Outgoing | None:
        """Return the frame that ``pop`` would return."""
        tier = self._next_tier()
        return None if tier is None else self._tiers[tier][0]

    def pop_loss(self) -> tuple[str | None, Loss] | None:
        """Remove and return the loss to report to the peer before the next frame, with the name of its stream.

        Returns:
            None if there are no losses, if urgent or control messages wait, or if data waits and the previous call
            returned a loss: otherwise a viewer of many streams that never keeps up would get nothing but reports.
        """
        if not self.losses:
            return None
        following = self.peek()
        if following and (following.tier < Tier.LIVE or self._reported):
            return None
        self._reported = True
        stream = following.stream if following and following.stream in self.losses else next(iter(self.losses))
        return stream, self.losses.pop(stream)

    def data_of(self, stream: str) -> list[Outgoing]:
        """Return the waiting data of a stream, in the order in which it will be sent."""
        return [outgoing for tier in self._tiers[Tier.LIVE :] for outgoing in tier if outgoing.stream == stream]

    def take_back(self, stream: str) -> None:
        """Discard the waiting data of a stream, and what is still to be reported of it: its viewer begins anew."""
        for tier in (Tier.LIVE, Tier.BULK):
            data = self._tiers[tier]
            for index in reversed([index for index, outgoing in enumerate(data) if outgoing.stream == stream]):
                self._remove(data, index)
        self.losses.pop(stream, None)

    def discard_data(self) -> None:
        """Discard the waiting data, because the connection is about to be closed."""
        for data in self._tiers[Tier.LIVE :]:
            while data:
                self._remove(data, 0)
        self.losses.clear()

    def clear(self) -> None:
        """Discard everything that waits."""
        self._tiers = [_NOTHING] * len(Tier)
        self._queued_at = _NOTHING
        self._cut = [0] * len(Tier)
        self.frames = self.nbytes = self.answers = self._large = self._large_bytes = self.bulk_bytes = 0
        self.losses.clear()

    def _next_tier(self) -> Tier | None:
        """Return the class of the next frame; None if none waits."""
        urgent, control, live, bulk = self._tiers
        if urgent:
            return Tier.URGENT
        if control:
            return Tier.CONTROL
        if live and bulk:
            return Tier.BULK if self._is_turn_of_bulk() else Tier.LIVE
        if live:
            return Tier.LIVE
        return Tier.BULK if bulk else None

    def _is_turn_of_bulk(self) -> bool:
        """Return whether enough bytes of LIVE were sent for a fragment of BULK to follow."""
        waiting = self._tiers[Tier.BULK][0]
        return self._live_share >= LIVE_PARTS * min(waiting.nbytes, FRAGMENT_SIZE)

    def _note_share(self, tier: Tier, nbytes: int) -> None:
        """Note that so many bytes of LIVE or BULK are sent."""
        if not (self._tiers[Tier.LIVE] and self._tiers[Tier.BULK]):
            self._live_share = 0
        elif tier is Tier.LIVE:
            self._live_share += nbytes
        else:
            self._live_share -= LIVE_PARTS * nbytes

    def _is_over(self) -> bool:
        return self._is_crowded() or self._large > 1

    def _is_crowded(self) -> bool:
        bulk = len(self._tiers[Tier.BULK])
        nbytes = self.nbytes - self._large_bytes - self.bulk_bytes
        return self.frames - bulk > self._max_frames or nbytes > self._max_bytes

    def _make_room(self) -> int:
        dropped = 0
        while self._is_over():
            self._drop_one()
            dropped += 1
        return dropped

    def _drop_one(self) -> None:
        # If the queue is over its limits only because of a second large frame, drop a large one.
        index = self._oldest_to_drop(0 if self._is_crowded() else self._max_bytes + 1)
        if index is None:
            raise OverflowError(f"{self.frames} frames of {self.nbytes} bytes wait, and none of them may be dropped")
        self._drop(self._tiers[Tier.LIVE], index)

    def _drop(self, data: deque[Outgoing], index: int) -> None:
        """Remove a frame, and note it for the report."""
        dropped = self._remove(data, index)
        stream = dropped.stream if dropped.stream in self.losses or len(self.losses) < self._max_frames else None
        if loss := self.losses.get(stream):
            loss.add(dropped.timestamp)
        else:
            self.losses[stream] = Loss(dropped.timestamp, dropped.timestamp)

    def _oldest_to_drop(self, least: int) -> int | None:
        """Return the index of the oldest waveform of at least so many bytes; else of the oldest other droppable frame.

        None if none waits.
        """
        other = None
        begun = 0 if self._cut[Tier.LIVE] else -1
        for index, outgoing in enumerate(self._tiers[Tier.LIVE]):
            if outgoing.nbytes >= least and outgoing.droppable and index != begun:
                if outgoing.waveform:
                    return index
                if other is None:
                    other = index
        return other

    def _remove(self, tier: deque[Outgoing], index: int) -> Outgoing:
        outgoing = tier[index]
        del tier[index]
        if index == 0:
            self._cut[outgoing.tier] = 0
        if outgoing.tier is Tier.LIVE:
            del self._queued_at[index]
        self._count(outgoing, -1)
        return outgoing

    def _count(self, outgoing: Outgoing, sign: int) -> None:
        self.frames += sign
        self.nbytes += sign * outgoing.nbytes
        if outgoing.tier is Tier.CONTROL or outgoing.type is MessageType.SUBSCRIPTION_ACK:
            self.answers += sign * (outgoing.nbytes + FRAME_OVERHEAD)
        if outgoing.tier is Tier.BULK:
            self.bulk_bytes += sign * outgoing.nbytes
        elif outgoing.nbytes > self._max_bytes:
            self._large += sign
            self._large_bytes += sign * outgoing.nbytes
