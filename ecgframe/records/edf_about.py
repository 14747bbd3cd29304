"""What the fields "patient" and "recording" of EDF and BDF headers say. EDF+ divides them at blanks."""

from __future__ import annotations

from typing import Final

from .edf_marks import EQUIPMENT, is_ours

_UNKNOWN: Final = "X"
"""A subfield of which nothing is known."""

_SUBFIELDS: Final = ("administration code", "technician")


def about(recording: str) -> tuple[str, tuple[str, ...]]:
    """Return device and comments from the field "recording".

    EDF+ has the date, an administration code, the technician and the equipment there, with underscores for blanks; the
    files of this package have the device after the equipment.
    """
    words = recording.split()
    if not recording.startswith("Startdate "):
        return "", (f"recording: {recording}",) if set(words) - {_UNKNOWN} else ()
    known = [word.replace("_", " ") if word != _UNKNOWN else "" for word in words[2:]]
    device, rest = "".join(known[2:3]), known[3:]
    if is_ours(recording):
        device, rest = "".join(known[3:4]), known[4:]
    comments = [f"{name}: {word}" for name, word in zip(_SUBFIELDS, known, strict=False) if word]
    if any(rest):
        comments.append(f"recording: {' '.join(rest)}")
    return device, tuple(comments)


def not_read(patient: str) -> tuple[str, ...]:
    """Return what is left out of the field "patient": all, as files that are made of a recording go elsewhere."""
    return ("the field of the patient",) if set(patient.split()) - {_UNKNOWN} else ()


def equipment(device: str, room: int) -> tuple[str, bool]:
    """Return the equipment for a header, ASCII without blanks, and whether ``about`` reads the device from it.

    Args:
        device: the device, in ASCII; empty if unknown.
        room: characters that there are.
    """
    written = "_".join(device.split())[: max(room - len(EQUIPMENT) - 1, 0)]
    return f"{EQUIPMENT} {written}".strip(), written.replace("_", " ") == device and written != _UNKNOWN
