"""Limits the data in transit to a peer. Further data waits in the queue, where alerts overtake it.

Proxies, kernels and TLS between two peers buffer megabytes, which nothing can overtake. So the sender sends a PING from
time to time: its PONG confirms that everything that was sent before the PING has arrived. The window is computed from
the rate and the round trip time that this measures.

If the path is always busy, each PONG waits behind data, and the measured round trip time is too long. So when the
window has grown and is full, the sender waits until all data has arrived, at most once in ten seconds, and then sends a
PING.

A peer that keeps up gets a PING every few seconds only. In between, it is assumed to read at slightly more than the
best rate measured recently. Data that is sent faster, and a late PONG, count in full. If data waited for the peer, only
the last measured rate counts, because the peer does not read faster.
"""

from __future__ import annotations

from math import inf
from typing import Final

FIRST_PROBE: Final = 16 * 1024
"""Bytes after which the first PING is sent. Little data is in transit then, so it measures the round trip time."""

SMALLEST: Final = 64 * 1024
"""Smallest window, in bytes, except while fragments or messages of the class BULK are sent: what overtakes these waits
for all that is in transit."""

LARGEST: Final = 4 * 1024 * 1024
"""Largest window, in bytes, and the most bytes that are sent between two PINGs."""

SPARE: Final = 8 * 1024
"""Free bytes of the window at which the next PING is sent, besides the bytes that are sent until its PONG arrives."""

BUSY: Final = 1.5
"""Size of the window as a multiple of the measured rate times the shortest round trip time. More than 1, so that the
path stays busy."""

PATIENCE: Final = 0.05
"""Seconds in addition to twice the shortest round trip time after which a PONG is late."""

FREE_PATH_EVERY: Final = 10.0
"""Seconds between two measurements of the round trip time on an empty path, if the window is full and has grown."""

TRUSTED: Final = 4.0
"""Seconds after a PONG for which the peer is assumed to read at the measured rate."""

TRUSTED_WITH_LITTLE: Final = 8.0
"""The same, if at most ``LITTLE`` bytes have been sent in this time. A PING and its PONG cost a server as much as ten
frames."""

LITTLE: Final = 2 * SMALLEST
"""Bytes that even a slow link transmits within about a second, in case they are still in transit."""

HEADROOM: Final = 1.25
"""Factor for the measured rate of a peer for which no data waited: it may read faster, and rates vary."""

RATE_COUNTS_FOR: Final = 5.0
"""Seconds for which a measured rate is used if too little is sent to measure it again."""

GRACE: Final = 1.0
"""Seconds for which data waits for the first PONG of a peer. A peer that answers later or never has no limit."""

_UNLIMITED: Final = 1 << 29
"""Room of a peer without a limit, in bytes. Python computes faster with integers of this size than with larger ones."""


class SendWindow:
    """The data in transit to one peer, and its limit. There is no limit until the peer has answered the first PING.

    Its methods return the room: the number of bytes that may be sent before ``look`` has to be called again. The sender
    stores the room, because it changes with each frame, and subtracts the bytes of each frame. When the room is below
    0, the sender calls ``look`` before it sends more data, unless the window is full until later. It passes the rest of
    the room to each method as ``unused``; a negative rest means that more was sent.

    Attributes:
        limit: bytes that may be in transit.
        is_on: whether the peer has answered a PING, so that the limit applies.
        is_full: whether data has to wait for a PONG.
        full_until: time before which ``look`` would find a full window unchanged, in seconds.
        is_to_ask: whether a PING has to be sent before anything else.
        probe: content of the PING that is not answered yet: the bytes that were sent before it; None if there is none.
        probe_sent_at: time at which that PING was sent, in seconds.
    """

    __slots__ = (
        "_arrived",
        "_arrived_at",
        "_arrived_before",
        "_ask_at",
        "_asked_at",
        "_asked_before",
        "_before",
        "_emptying",
        "_free_at",
        "_given",
        "_is_free",
        "_is_off",
        "_late_at",
        "_needed",
        "_rate",
        "_rate_at",
        "_sent",
        "_shortest",
        "_smallest",
        "_was_full",
        "full_until",
        "is_full",
        "is_on",
        "is_to_ask",
        "limit",
        "probe",
        "probe_sent_at",
    )

    def __init__(self) -> None:
        self._given = 0
        self._smallest = self.limit = SMALLEST
        self._needed = 0
        """Bytes that have to be in transit for the path to stay busy, as far as that was measured."""
        self.is_on = False
        self.is_full = False
        self.full_until = 0.0
        self.is_to_ask = False
        self.probe: int | None = None
        self.probe_sent_at = 0.0
        self._is_off = False
        """True if there is no limit any more."""
        self._sent = 0
        self._arrived = 0
        self._arrived_at = 0.0
        self._asked_at = 0.0
        self._rate = 0.0
        self._rate_at = 0.0
        self._was_full = False
        """True if data has waited since the last PONG."""
        self._arrived_before = 0
        self._before = 0.0
        self._asked_before = 0.0
        self._shortest = 0.0
        self._ask_at = 0
        """Bytes in transit at which the next PING is sent."""
        self._late_at = 0.0
        """Time after which the PONG that is awaited is late."""
        self._emptying = 0
        """Number of PONGs after which all data in transit has arrived; data waits for them. 0 if it does not wait."""
        self._is_free = False
        """True if the current PING, or the next one, measures an empty path."""
        self._free_at: float | None = None
        """Time at which the path was empty last; None if it never was."""

    def first_room(self) -> int:
        """Return the room of a new connection, in bytes."""
        return self._give(FIRST_PROBE)

    def on_its_way(self, unused: int) -> int:
        """Return the bytes that were sent and not yet confirmed by a PONG; 0 while the window is off."""
        return self._sent + self._given - unused - self._arrived if self.is_on else 0

    @property
    def opens_at(self) -> float:
        """Time until which data waits for the first PONG, in seconds; infinity if it waits for a later one."""
        return inf if self.is_on else self.probe_sent_at + GRACE

    def look(self, unused: int, now: float) -> int:
        """Set ``is_full`` and ``is_to_ask`` for the time ``now``, in seconds, and return the room."""
        self._sent += self._given - unused
        if not self.is_on:
            return self._look_before_the_first_answer(now)
        if self.probe is not None or self._emptying:
            return self._look_closely(now)
        # Most calls end here, for a peer that keeps up, so this calls no other method. Time only reduces the estimate,
        # so less than the returned room can be sent before it is time to ask.
        sent = self._sent - self._arrived
        elapsed = now - self._arrived_at
        until_asking = self._ask_at - sent + self._rate * elapsed
        if until_asking <= 0 or sent >= LARGEST or (elapsed >= TRUSTED and self._needs_measurement(sent, now)):
            return self._look_closely(now)
        self.is_full = self.is_to_ask = False
        self._given = room = int(min(until_asking, self.limit, LARGEST - sent))
        return room

    def _look_before_the_first_answer(self, now: float) -> int:
        if self.probe is None:
            self.is_to_ask = True
            return self._give(0)
        room = self._smallest - self._sent
        self.is_full = room < 0 and now < self.opens_at
        self.full_until = self.opens_at
        return self._give(-1 if self.is_full else room if room >= 0 else _UNLIMITED)

    def _look_closely(self, now: float) -> int:
        on_its_way = sent = self._sent - self._arrived
        if not self._is_late(now):
            on_its_way = max(0, sent - round(self._rate * (now - self._arrived_at)))
        self.is_full = on_its_way >= self.limit
        if self._is_to_empty(on_its_way, now):
            self._emptying = 1 if self.probe is None else 2
        if self._emptying:
            self.is_full = True
        self._was_full = self._was_full or self.is_full
        if self.is_full:
            self.full_until = self._changes_at(sent, now)
        if self._emptying:
            self.is_to_ask = self.probe is None
            return self._give(-1)
        if self.probe is not None:
            # A small room, so that a late PONG is noticed soon.
            return self._give(-1 if self.is_full else min(self.limit - on_its_way, SMALLEST // 2))
        self.is_to_ask = on_its_way >= self._ask_at or self._needs_measurement(sent, now)
        return self._give(0 if self.is_to_ask else self._ask_at - on_its_way)

    def _changes_at(self, sent: int, now: float) -> float:
        """Return until when a full window stays as it is if no PONG comes, in seconds."""
        if self._emptying:
            return inf
        empties_at = inf if self._free_at is None else self._free_at + FREE_PATH_EVERY
        opens_at = inf
        if self._rate and not self._is_late(now):
            opens_at = self._arrived_at + (sent - self.limit) / self._rate
            if self.probe is not None and opens_at > self._late_at:
                opens_at = inf
        return min(opens_at, empties_at)

    def _is_to_empty(self, on_its_way: int, now: float) -> bool:
        if self._emptying or self.limit == self._smallest:
            return False
        if self._free_at is None:
            return on_its_way >= self._smallest
        return self.is_full and now >= self._free_at + FREE_PATH_EVERY

    def _needs_measurement(self, sent: int, now: float) -> bool:
        """Return whether the last measurement is too old, or too many bytes have been sent since."""
        elapsed = now - self._arrived_at
        return sent >= LARGEST or (elapsed >= TRUSTED and (sent > LITTLE or elapsed >= TRUSTED_WITH_LITTLE))

    def _is_late(self, now: float) -> bool:
        return self.probe is not None and now > self._late_at

    def _note_when_to_ask(self) -> None:
        # Early enough for the PONG to arrive before data has to wait.
        ask_at = max(self.limit // 2, self.limit - SPARE - round(2 * self._rate * self._shortest))
        # A window that has grown is measured on an empty path first.
        is_measured = self._free_at is not None or self.limit == self._smallest
        self._ask_at = ask_at if is_measured else min(ask_at, self._smallest)

    def asked(self, unused: int, now: float) -> tuple[int, int]:
        """Note that a PING is sent now. Returns its content, the bytes sent so far, and the room."""
        self.probe = self._sent + self._given - unused
        self.probe_sent_at = now
        self._late_at = now + 2 * self._shortest + PATIENCE
        self.is_to_ask = False
        return self.probe, self.look(unused, now)

    def answered(self, probe: object, unused: int, now: float) -> int | None:
        """Note a PONG with that content. Returns the room, or None if it does not answer the last PING."""
        if self.probe is None or probe != self.probe:
            return None
        elapsed = now - self.probe_sent_at
        if self.is_on:
            # Over the last two PONGs: a single one may cover few bytes, or many if the PONG before it arrived late.
            if not self._is_free:
                self._note_rate(self.probe, now)
            if self._is_free or self.probe_sent_at - self._asked_at >= TRUSTED:
                # The rate before a pause, or over it, says nothing about what follows.
                self._arrived_before, self._before, self._asked_before = self.probe, now, self.probe_sent_at
            else:
                self._arrived_before, self._before, self._asked_before = self._arrived, self._arrived_at, self._asked_at
            self._shortest = min(self._shortest, elapsed)
            self._needed = round(BUSY * self._rate * self._shortest)
            self._set_limit()
        else:
            self.is_on = True
            self._shortest = elapsed
            self._arrived_before, self._before, self._asked_before = self.probe, now, self.probe_sent_at
        self._arrived, self.probe = self.probe, None
        self._arrived_at, self._asked_at = now, self.probe_sent_at
        self._was_full = False
        self._is_free = self._emptying == 1
        self._emptying = max(0, self._emptying - 1)
        if self._is_free:
            self._free_at = now
        self._note_when_to_ask()
        room = self.look(unused, now)
        if self._is_free:
            self.is_to_ask = True
            return self._give(0)
        return room

    def give_up_on_probe(self, unused: int, now: float) -> int:
        """Give up waiting for the PONG to the last PING, and allow one small window more. Returns the room."""
        if self.probe is not None:
            self._arrived = self._arrived_before = self.probe
        self.probe = None
        self._arrived_at = self._before = self._asked_at = self._asked_before = now
        self._was_full = self._is_free = False
        self._emptying = self._needed = 0
        self._rate = 0.0  # nothing shows that it still reads
        self._set_limit()
        self._note_when_to_ask()
        return self.look(unused, now)

    def _note_rate(self, arrived: int, now: float) -> None:
        # PONGs that were delayed in transit arrive close together, which says nothing about the rate of the peer.
        elapsed = max(now - self._before, self.probe_sent_at - self._asked_before, 1e-6)
        rate = (arrived - self._arrived_before) / elapsed
        if not self._was_full:
            rate *= HEADROOM
        if self._was_full or rate >= self._rate or now >= self._rate_at + RATE_COUNTS_FOR:
            self._rate, self._rate_at = rate, now

    def narrow(self, smallest: int, unused: int, now: float) -> int:
        """Allow a smaller window, while fragments or messages of the class BULK are sent. Returns the room.

        Args:
            smallest: bytes that may be in transit at least.
            unused: the rest of the room.
            now: the time, in seconds.
        """
        if self._is_off:
            return unused
        self._smallest = smallest
        self._set_limit()
        self._note_when_to_ask()
        return self.look(unused, now)

    def widen(self, unused: int, now: float) -> int:
        """End what ``narrow`` began. Returns the room."""
        return self.narrow(SMALLEST, unused, now)

    def _set_limit(self) -> None:
        self.limit = min(max(self._smallest, self._needed), max(LARGEST, self._smallest))

    def turn_off(self) -> int:
        """Remove the limit and send no further PING. Returns the room, which is unlimited."""
        self.is_on = self.is_full = self.is_to_ask = False
        self._is_off = True
        self._emptying = 0
        self.probe = self._sent
        return self._give(_UNLIMITED)

    def _give(self, room: int) -> int:
        self._given = room
        return room
