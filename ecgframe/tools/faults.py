"""Simulation of a bad network: delay, limited rate, loss and flipped bits; repeatable with a seed."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Final

from ..protocol import HEADER_FIELDS, MessageType

_TYPE_AT: Final = list(HEADER_FIELDS).index("type")


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """The faults to simulate, independently in each direction.

    Attributes:
        delay: delay of each message, in seconds.
        drop: share of messages that are lost, from 0 to 1.
        corrupt: share of messages in which one bit is flipped, from 0 to 1.
        throttle: limit of the rate, in bytes per second; None for no limit.
        seed: seed of the random numbers; None for different ones each time.

    Raises:
        ValueError: a value is out of range.
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
class Outcome:
    """What the faults do to a message.

    Attributes:
        data: the bytes to deliver; None if the message is lost.
        due: time of delivery, by the clock of ``now``.
        fault: description of the fault; empty if there is none.
    """

    data: bytes | None
    due: float
    fault: str = ""


class FaultyDirection:
    """One direction of a connection over a bad network.

    Args:
        faults: the faults to simulate.
        direction: 0 or 1, so that the two directions use different random numbers.
    """

    def __init__(self, faults: Faults, direction: int) -> None:
        self._faults = faults
        self._chance = random.Random(None if faults.seed is None else f"{faults.seed}/{direction}")
        self._free_at = -math.inf

    def send(self, data: bytes, now: float) -> Outcome:
        """Decide what happens to a message that is sent at the time ``now``, in seconds of any clock.

        PROTOCOL_NEGOTIATION is never lost or changed.
        """
        faults = self._faults
        is_spared = data[_TYPE_AT : _TYPE_AT + 1] == bytes([MessageType.PROTOCOL_NEGOTIATION])
        if not is_spared and self._chance.random() < faults.drop:
            return Outcome(None, now, "lost")
        fault = ""
        if not is_spared and data and self._chance.random() < faults.corrupt:
            data, fault = self._flip_bit(data)
        if faults.throttle is not None:
            self._free_at = max(self._free_at, now) + len(data) / faults.throttle
            now = self._free_at
        return Outcome(data, now + faults.delay, fault)

    def _flip_bit(self, data: bytes) -> tuple[bytes, str]:
        index, bit = self._chance.randrange(len(data)), self._chance.randrange(8)
        changed = bytearray(data)
        changed[index] ^= 1 << bit
        return bytes(changed), f"bit {bit} of byte {index} is flipped"
