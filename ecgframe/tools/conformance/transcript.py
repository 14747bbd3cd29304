"""Settings of a suite, and the entries of its transcripts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Said(NamedTuple):
    """A message or an event in a transcript.

    Attributes:
        seconds: seconds since the beginning of the case.
        ours: whether the suite sent or caused it.
        octets: bytes of the message; empty for an event.
        text: description of an event, such as a close, or of a special message; otherwise empty.
    """

    seconds: float
    ours: bool
    octets: bytes
    text: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a suite.

    Attributes:
        timeout: time limit for an answer, in seconds.
        patience: time limit for a heartbeat, in seconds; longer intervals are not tested.
        stream: name of a stream on which data is published; None for none.
    """

    timeout: float = 2.0
    patience: float = 3.0
    stream: str | None = None
