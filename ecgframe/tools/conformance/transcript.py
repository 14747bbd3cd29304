"""How a conversation with a peer is held, and what is said in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Said(NamedTuple):
    """A message of a transcript.

    Attributes:
        seconds: after the beginning of the case.
        ours: whether the suite said it.
        octets: its bytes.
        text: what else happened, such as a close; empty for messages.
    """

    seconds: float
    ours: bool
    octets: bytes
    text: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a suite is run.

    Attributes:
        timeout: seconds to wait for an answer.
        patience: seconds to wait for a heartbeat; a longer interval is not tested.
        stream: name of a stream on which data comes by itself; None where there is none.
    """

    timeout: float = 2.0
    patience: float = 3.0
    stream: str | None = None
