"""How much may be on its way to a peer: data beyond that waits in the queue, where alerts overtake it.

What stands between two peers (proxies, kernels, TLS) takes megabytes before it stops taking more, and nothing overtakes
what it has taken. So the sender asks now and then, by a PING, how far the peer has read: a PONG tells that all that
was sent before its PING has arrived. The window is sized by the rate and the round trip that this measures.

On a path that is kept busy every answer waits behind data, and the round trip looks longer than it is. So where the
window has grown and is full, all that is on its way may arrive once in a while, and the next PING has a free path.

A peer that takes all that there is for it is asked every few seconds only: between two answers it counts as reading on
at little more than the best rate that it has shown of late. What is sent faster than that, and an answer that is late,
count in full. Where data waited for the peer, the last rate alone counts: more than that it does not take.
"""

from __future__ import annotations

from math import inf
from typing import Final

FIRST_PROBE: Final = 16 * 1024
"""Bytes after which a peer is asked for the first time: few are on their way then, and the path's round trip shows."""

SMALLEST: Final = 64 * 1024
"""Bytes that may be on their way in any case."""

LARGEST: Final = 4 * 1024 * 1024
"""Bytes that may be on their way at most, and that are sent before the peer is asked again."""

SPARE: Final = 8 * 1024
"""Bytes for which there is room yet when the peer is asked, besides those that are sent until it answers."""

BUSY: Final = 1.5
"""Shortest round trips of the measured rate that keep a path busy on which more waits than it takes."""

PATIENCE: Final = 0.05
"""Seconds beyond twice the shortest round trip after which an answer is late."""

FREE_PATH_EVERY: Final = 10.0
"""Seconds after which the round trip is measured on a free path again, where the window is full and has grown."""

TRUSTED: Final = 2.0
"""Seconds after an answer in which the peer counts as reading on at the rate that it has shown."""

TRUSTED_WITH_LITTLE: Final = 8.0
"""The same, where no more than ``SMALLEST`` bytes have been sent in them."""

HEADROOM: Final = 1.25
"""Of the rate that a peer has shown for which no data waited: it may take more, and what comes is never even."""

RATE_COUNTS_FOR: Final = 5.0
"""Seconds for which a rate counts while there is not as much to send as would show it again."""

GRACE: Final = 1.0
"""Seconds for which data waits for the first answer of a peer; one that answers later, or never, gets it all."""

_UNLIMITED: Final = 1 << 62


class SendWindow:
    """What is on its way to one peer. Off until the peer has answered once, but for a moment when it is first asked.

    ``room`` is what may be sent without another thought: whoever sends takes from it what it sends. Once it is used up,
    ``look`` says how it goes on.

    Attributes:
        room: bytes; below 0 where ``look`` is to be called before data is sent.
        limit: bytes that may be on their way.
        is_on: whether the peer has answered.
        is_full: whether data has to wait for an answer.
        is_to_ask: whether the peer is to be asked, before anything else is sent.
        probe: what the peer was asked last and has not answered yet: the bytes sent until then; None where it has.
        probe_sent_at: when that was, in seconds.
    """

    __slots__ = (
        "_arrived",
        "_arrived_at",
        "_arrived_before",
        "_asked_at",
        "_asked_before",
        "_before",
        "_emptying",
        "_free_at",
        "_given",
        "_is_free",
        "_rate",
        "_rate_at",
        "_sent",
        "_shortest",
        "_was_full",
        "is_full",
        "is_on",
        "is_to_ask",
        "limit",
        "probe",
        "probe_sent_at",
        "room",
    )

    def __init__(self) -> None:
        self.room = self._given = FIRST_PROBE
        self.limit = SMALLEST
        self.is_on = False
        self.is_full = False
        self.is_to_ask = False
        self.probe: int | None = None
        self.probe_sent_at = 0.0
        self._sent = 0
        self._arrived = 0
        self._arrived_at = 0.0
        self._asked_at = 0.0
        self._rate = 0.0
        self._rate_at = 0.0
        self._was_full = False
        """Whether data has waited since the last answer."""
        self._arrived_before = 0
        self._before = 0.0
        self._asked_before = 0.0
        self._shortest = 0.0
        self._emptying = 0
        """Answers until all has arrived that is on its way now; data waits for them. 0 while it does not."""
        self._is_free = False
        """Whether the PING that is on its way, or goes out next, has a free path."""
        self._free_at: float | None = None
        """When the path was free last; None before."""

    @property
    def on_its_way(self) -> int:
        """Bytes that were sent and are not known to have arrived. 0 while the window is off."""
        return self._sent + self._given - self.room - self._arrived if self.is_on else 0

    @property
    def opens_at(self) -> float:
        """When data waits no longer for the first answer, in seconds; infinity where it waits for others."""
        return inf if self.is_on else self.probe_sent_at + GRACE

    def look(self, now: float) -> None:
        """Say how it goes on at ``now``, in seconds: ``room``, ``is_full`` and ``is_to_ask`` are set anew."""
        self._sent += self._given - self.room
        if self.is_on:
            self._look_how_far_it_is(now)
        elif self.probe is None:
            self.is_to_ask = True
            self._give(0)
        else:
            room = SMALLEST - self._sent
            self.is_full = room < 0 and now < self.opens_at
            self._give(-1 if self.is_full else room if room >= 0 else _UNLIMITED)

    def _look_how_far_it_is(self, now: float) -> None:
        on_its_way = sent = self._sent - self._arrived
        if not self._is_late(now):
            on_its_way = max(0, sent - round(self._rate * (now - self._arrived_at)))
        self.is_full = on_its_way >= self.limit
        if self._is_to_empty(on_its_way, now):
            self._emptying = 1 if self.probe is None else 2
        if self._emptying:
            self.is_full = True
        self._was_full = self._was_full or self.is_full
        if self._emptying:
            self.is_to_ask = self.probe is None
            self._give(-1)
        elif self.probe is not None:
            # It is looked often whether the answer takes too long.
            self._give(-1 if self.is_full else min(self.limit - on_its_way, SMALLEST // 2))
        else:
            # Early enough for the answer to come before data has to wait.
            ask_at = max(self.limit // 2, self.limit - SPARE - round(2 * self._rate * self._shortest))
            self.is_to_ask = on_its_way >= ask_at or self._is_to_show_again(sent, now)
            self._give(0 if self.is_to_ask else ask_at - on_its_way)

    def _is_to_empty(self, on_its_way: int, now: float) -> bool:
        if self._emptying or self.limit == SMALLEST:
            return False
        if self._free_at is None:
            return on_its_way >= SMALLEST
        return self.is_full and now >= self._free_at + FREE_PATH_EVERY

    def _is_to_show_again(self, sent: int, now: float) -> bool:
        """Whether the peer has been taken at its last word for long enough, and for that many bytes."""
        elapsed = now - self._arrived_at
        return sent >= LARGEST or (elapsed >= TRUSTED and (sent > SMALLEST or elapsed >= TRUSTED_WITH_LITTLE))

    def _is_late(self, now: float) -> bool:
        return self.probe is not None and now - self.probe_sent_at > 2 * self._shortest + PATIENCE

    def asked(self, now: float) -> int:
        """Note that the peer is asked now. Returns what to ask: the bytes sent so far."""
        self.probe = self._sent + self._given - self.room
        self.probe_sent_at = now
        self.is_to_ask = False
        self.look(now)
        return self.probe

    def answered(self, probe: object, now: float) -> bool:
        """Note an answer. Tells whether it was one to what was asked."""
        if self.probe is None or probe != self.probe:
            return False
        elapsed = now - self.probe_sent_at
        if self.is_on:
            # Over the last two answers: one that was soon asked for covers little, and one behind an answer that was
            # heard late covers much, since what it tells of took longer than it seems.
            if self._is_free:
                self._arrived_before, self._before, self._asked_before = self.probe, now, self.probe_sent_at
            else:
                self._note_rate(self.probe, now)
                self._arrived_before, self._before, self._asked_before = self._arrived, self._arrived_at, self._asked_at
            self._shortest = min(self._shortest, elapsed)
            self.limit = min(max(SMALLEST, round(BUSY * self._rate * self._shortest)), LARGEST)
        else:
            self.is_on = True
            self._shortest = elapsed
            self._arrived_before, self._before, self._asked_before = self.probe, now, self.probe_sent_at
        self._arrived, self.probe = self.probe, None
        self._arrived_at, self._asked_at = now, self.probe_sent_at
        self._was_full = False
        self._is_free = self._emptying == 1
        self._emptying = max(0, self._emptying - 1)
        self.look(now)
        if self._is_free:
            self._free_at = now
            self.is_to_ask = True
            self._give(0)
        return True

    def _note_rate(self, arrived: int, now: float) -> None:
        # Answers that were held up on their way come close together, which tells nothing of how fast the peer reads.
        elapsed = max(now - self._before, self.probe_sent_at - self._asked_before, 1e-6)
        rate = (arrived - self._arrived_before) / elapsed
        if not self._was_full:
            rate *= HEADROOM
        if self._was_full or rate >= self._rate or now >= self._rate_at + RATE_COUNTS_FOR:
            self._rate, self._rate_at = rate, now

    def turn_off(self) -> None:
        """Hold nothing back any longer, and ask no more."""
        self.is_on = self.is_full = self.is_to_ask = False
        self._emptying = 0
        self.probe = self._sent
        self._give(_UNLIMITED)

    def _give(self, room: int) -> None:
        self.room = self._given = room
