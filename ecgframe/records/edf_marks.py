"""Marks that the EDF+ writer of this package leaves and its reader recognizes."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from .annotation import Annotation
from .channels import Channel, Cut, Marked

EQUIPMENT: Final = "ecgframe"
"""Equipment that the header names."""

GAP: Final = "BAD_gap"
"""Annotation of a stretch in which all leads are missing. MNE excludes stretches whose annotation starts with BAD."""

ENDS: Final = "Recording ends"
"""Annotation at the end of the signal, after which the last data record is filled up; a standard text of EDF+."""


def is_ours(recording: str) -> bool:
    """Return True if the recording field of a header names this package as the equipment."""
    return recording.startswith("Startdate ") and recording.split()[4:5] == [EQUIPMENT]


def without_marks(channel: Channel, mark: int, annotations: tuple[Annotation, ...]) -> Channel:
    """Turn marked samples of a channel into missing ones, and remove the samples after the end of the recording."""
    ends = [round(note.time * channel.sampling_rate) for note in annotations if note.text == ENDS]
    counts = Cut(channel.counts, max(ends[0], 0)) if ends else channel.counts
    return replace(channel, counts=counts, is_missing=Marked(counts, mark, channel.is_missing))


def of_others(annotations: tuple[Annotation, ...]) -> tuple[Annotation, ...]:
    """Return the annotations without the marks of this package."""
    return tuple(note for note in annotations if note.text not in (GAP, ENDS))
