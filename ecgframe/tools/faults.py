"""What a bad network does to messages: lateness, slowness, loss, flipped bits. With a seed, the same each time."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Final

from ..protocol import HEADER_FIELDS, MessageType

_TYPE_AT: Final = list(HEADER_FIELDS).index("type")


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What is to go wrong, in each direction by itself.

    Attributes:
        delay: seconds by which each message comes later.
        drop: the share of messages that is lost, from 0 to 1.
        corrupt: the share in which one bit is flipped.
        throttle: bytes a second, or None for as fast as they come.
        seed: of the chance; None for another one each time.

    Raises:
        ValueError: a value that cannot be.
    """

    delay: float = 0.0
    drop: float = 0.0
    corrupt: float = 0.0
    throttle: float | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.delay < math.inf:
            raise ValueError(f"a delay is a number of seconds, not {self.delay}")
        for name in ("drop", "corrupt"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a share from 0 to 1, not {getattr(self, name)}")
        if self.throttle is not None and not 0 < self.throttle < math.inf:
            raise ValueError(f"throttle is a number of bytes above 0, not {self.throttle}")


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a message.

    Attributes:
        octets: as it goes on; None where it is lost.
        due: when it arrives, by the clock that was asked.
        fault: what happened to it, in words; empty where nothing did.
    """

    octets: bytes | None
    due: float
    fault: str = ""


class BadLine:
    """One direction of a line with faults.

    Args:
        faults: what goes wrong on it.
        direction: tells the chances of the two directions apart.
    """

    def __init__(self, faults: Faults, direction: int) -> None:
        self._faults = faults
        self._chance = random.Random(None if faults.seed is None else f"{faults.seed}/{direction}")
        self._free_at = -math.inf

    def send(self, octets: bytes, now: float) -> Fate:
        """Decide what becomes of a message that is sent now. The negotiation is never lost or changed."""
        faults = self._faults
        is_spared = octets[_TYPE_AT : _TYPE_AT + 1] == bytes([MessageType.PROTOCOL_NEGOTIATION])
        if not is_spared and self._chance.random() < faults.drop:
            return Fate(None, now, "lost")
        fault = ""
        if not is_spared and octets and self._chance.random() < faults.corrupt:
            octets, fault = self._flipped(octets)
        if faults.throttle is not None:
            self._free_at = max(self._free_at, now) + len(octets) / faults.throttle
            now = self._free_at
        return Fate(octets, now + faults.delay, fault)

    def _flipped(self, octets: bytes) -> tuple[bytes, str]:
        place, bit = self._chance.randrange(len(octets)), self._chance.randrange(8)
        changed = bytearray(octets)
        changed[place] ^= 1 << bit
        return bytes(changed), f"bit {bit} of byte {place} is flipped"
