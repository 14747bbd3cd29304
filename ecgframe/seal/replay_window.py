"""Detects sealed payloads that were received before, by the counters of their senders."""

from __future__ import annotations

from collections import OrderedDict
from enum import StrEnum
from typing import Final, final

from ..protocol import MAX_SENDERS, REPLAY_WINDOW, SENDERS_KEPT

__all__ = ["NotOpened", "ReplayWindow"]

_BLOCK: Final = 1024
"""Counters of a block of the replay window. One integer has a bit for each."""


class NotOpened(StrEnum):
    """Why a payload was not opened, if that is not the fault of the peer."""

    UNKNOWN_KEY = "unknown key"
    """The keyring does not know the key id: the key may be on its way."""
    REPEATED = "repeated"
    """The counter was received before, or is too old to tell."""
    TOO_MANY_SENDERS = "too many senders"
    """The key has had 4,096 senders, and this is another one."""


class _Seen:
    """The received counters of one sender: the highest, and a bit for each of the latest ones."""

    __slots__ = ("blocks", "highest")

    def __init__(self) -> None:
        self.highest = -1
        self.blocks: dict[int, int] = {}

    def has(self, counter: int, window: int) -> bool:
        """Return whether a counter was received, or is too old to tell."""
        if counter <= self.highest - window:
            return True
        return bool(self.blocks.get(counter // _BLOCK, 0) >> counter % _BLOCK & 1)

    def add(self, counter: int, window: int) -> None:
        if counter > self.highest:
            oldest = (counter - window) // _BLOCK
            if counter // _BLOCK != self.highest // _BLOCK:
                self.blocks = {block: bits for block, bits in self.blocks.items() if block >= oldest}
            self.highest = counter
        block = counter // _BLOCK
        self.blocks[block] = self.blocks.get(block, 0) | 1 << counter % _BLOCK


class _SendersOfKey:
    """The senders of one key: the latest with their counters, of the others the highest counter."""

    __slots__ = ("evicted", "kept")

    def __init__(self) -> None:
        self.kept: OrderedDict[bytes, _Seen] = OrderedDict()
        self.evicted: dict[bytes, int] = {}


@final
class ReplayWindow:
    """The counters that a viewer has received. It exists as long as the viewer's position in its stream.

    For each of the 64 latest senders of a key, it remembers the latest 2^16 counters, and refuses older ones. For
    earlier senders, it remembers the highest counter, and refuses all up to it. A key may have 4,096 senders.

    Args:
        window: number of counters.
        senders: number of senders of each key.
        all_senders: number of senders of each key, with those of which only the highest counter is known.
    """

    def __init__(
        self, *, window: int = REPLAY_WINDOW, senders: int = SENDERS_KEPT, all_senders: int = MAX_SENDERS
    ) -> None:
        self._window = window
        self._most_kept = senders
        self._most = all_senders
        self._keys: dict[int, _SendersOfKey] = {}

    def fault(self, key_id: int, sender: bytes, counter: int) -> NotOpened | None:
        """Return why a counter would be refused; None if it would not. Nothing is changed."""
        senders = self._keys.get(key_id)
        if senders is None:
            return None
        seen = senders.kept.get(sender)
        if seen is not None:
            return NotOpened.REPEATED if seen.has(counter, self._window) else None
        highest = senders.evicted.get(sender)
        if highest is not None:
            return NotOpened.REPEATED if counter <= highest else None
        is_full = len(senders.kept) + len(senders.evicted) >= self._most
        return NotOpened.TOO_MANY_SENDERS if is_full else None

    def take(self, key_id: int, sender: bytes, counter: int) -> NotOpened | None:
        """Enter a counter whose message was verified. Returns None, or why it is refused."""
        fault = self.fault(key_id, sender, counter)
        if fault is not None:
            return fault
        senders = self._keys.setdefault(key_id, _SendersOfKey())
        seen = senders.kept.get(sender)
        if seen is None:
            seen = senders.kept[sender] = _Seen()
            floor = senders.evicted.pop(sender, None)
            if floor is not None:  # everything up to it counts as received
                seen.highest = floor
                seen.blocks = _all_up_to(floor, self._window)
            if len(senders.kept) > self._most_kept:
                oldest, left = senders.kept.popitem(last=False)
                senders.evicted[oldest] = left.highest
        else:
            senders.kept.move_to_end(sender)
        seen.add(counter, self._window)
        return None

    def forget(self, key_id: int) -> None:
        """Forget the counters of a key, which must never open anything again."""
        self._keys.pop(key_id, None)


def _all_up_to(counter: int, window: int) -> dict[int, int]:
    """Return blocks in which all counters of the window up to this one count as received."""
    first = max(0, counter - window + 1) // _BLOCK
    blocks = dict.fromkeys(range(first, counter // _BLOCK), (1 << _BLOCK) - 1)
    blocks[counter // _BLOCK] = (2 << counter % _BLOCK) - 1
    return blocks
