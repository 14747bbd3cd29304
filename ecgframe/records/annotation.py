"""Annotations of recordings."""

from __future__ import annotations

from typing import NamedTuple


class Annotation(NamedTuple):
    """An annotation of a point in time, or of an interval, of a recording.

    Attributes:
        time: seconds from the first sample; negative before it.
        text: text of the source; the code of a beat annotation, such as ``N``.
        lead: the lead that it refers to; None for all leads.
        duration: duration in seconds; None for a point in time.
    """

    time: float
    text: str
    lead: str | None = None
    duration: float | None = None
