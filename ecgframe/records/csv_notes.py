"""Comments of a CSV file, and lines above its columns: names and values, such as a sampling rate or a unit."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Final, NamedTuple

from .csv_times import UNITS
from .units import LONGEST, is_unit

JSON: Final = "{}"
"""Key of a comment that is a JSON object. OpenSignals describes its devices in such a comment."""

_RATE_NAME: Final = re.compile(
    r"(?:ecg |signal )?(?:sampl(?:e|ing) ?(?:rate|freq(?:uency)?)|fs|sfreq|samples per second)"
    r"(?: ?[(\[] ?(?P<bracket>.*?) ?[)\]]| (?:in )?(?P<unit>k?hz))?"
)
_INTERVAL_NAME: Final = re.compile(
    r"(?:(?:sampl(?:e|ing) ?(?:interval|period|time)|interval|dt)(?: ?[(\[] ?(?P<bracket>.*?) ?[)\]])?)"
)
_RATE: Final = re.compile(r"([+-]?\d+(?:[.,]\d+)?(?:e[+-]?\d+)?) ?,? ?(.*)")
_HERTZ: Final = dict.fromkeys(
    ("", "hz", "hertz", "sps", "samples/s", "samples/sec", "samples/second", "samples per second", "1/s", "/s", "s-1"),
    1,
) | dict.fromkeys(("khz", "kilohertz", "ksps"), 1000)


class NotedRate(NamedTuple):
    """A sampling rate in a comment.

    Attributes:
        name: name of the comment.
        text: its value.
        hertz: the rate in Hz; None if the value is not understood.
    """

    name: str
    text: str
    hertz: float | None


class Device(NamedTuple):
    """A device as OpenSignals describes it: names of all columns, names of its channels, sampling rate in Hz."""

    columns: tuple[str, ...]
    channels: tuple[str, ...]
    sampling_rate: float


def note_comment(line: str, notes: MutableMapping[str, str]) -> None:
    """Add a comment to the notes: ``name: value``, ``name = value``, or a JSON object."""
    if line.startswith("{"):
        notes.setdefault(JSON, line)
        return
    for mark in ":=":
        name, found, value = line.partition(mark)
        if found:
            notes.setdefault(name.strip(), value.strip())
            return
    notes.setdefault(line, "")


def notes_above(rows: Sequence[Sequence[str]], notes: MutableMapping[str, str]) -> None:
    """Add lines above the names to the notes: a name and a value each, as smartwatches write them."""
    for row in rows:
        cells = [cell for cell in row if cell]
        if len(cells) >= 2:
            notes.setdefault(cells[0], ", ".join(cells[1:]))
        elif cells:
            note_comment(cells[0], notes)


def is_note(row: Sequence[str]) -> bool:
    """Return whether a line above the samples states the sampling rate or the unit, so that it has no names."""
    if len(row) != 2:
        return False
    notes = {row[0]: row[1]}
    return any(rate.hertz for rate in noted_rates(notes)) or bool(noted_unit(notes))


def noted_rates(notes: Mapping[str, str]) -> list[NotedRate]:
    """Return the sampling rates in the notes, but for that of ``write_csv``."""
    device = device_of(notes)
    found = [NotedRate(JSON, f"{device.sampling_rate:g} Hz", device.sampling_rate)] if device else []
    for name, value in notes.items():
        plain = re.sub(r"[\s_-]+", " ", name[:LONGEST].lower()).strip(" \"'{")
        if name == "sampling_rate" or not value or len(name) + len(value) > LONGEST:
            continue
        if match := _RATE_NAME.fullmatch(plain):
            found.append(NotedRate(name, value, hertz(value, match["bracket"] or match["unit"] or "")))
        elif plain == "rate" and re.search(r"hz|hertz", value.lower()):
            found.append(NotedRate(name, value, hertz(value)))
        elif match := _INTERVAL_NAME.fullmatch(plain):
            found.append(NotedRate(name, value, _hertz_of_interval(value, match["bracket"] or "")))
    return found


def hertz(text: str, unit: str = "") -> float | None:
    """Parse a sampling rate to Hz, such as "1 kHz"; None if it is not understood.

    Args:
        text: the rate.
        unit: its unit, if the text has none.
    """
    match = _RATE.fullmatch(text.strip(" \"'").lower())
    if not match or re.fullmatch(r".*,\d{3}", match[1]):  # 1,000 may be one or a thousand
        return None
    factor = _HERTZ.get(re.sub(r"\s+", " ", match[2].strip(".;, ") or unit))
    return None if factor is None else float(match[1].replace(",", ".")) * factor


def _hertz_of_interval(text: str, unit: str) -> float | None:
    """Convert the interval of samples, such as "4 ms", to a sampling rate in Hz; None if it is not understood."""
    match = _RATE.fullmatch(text.strip(" \"'").lower())
    seconds = UNITS.get(match[2].strip(".;, ") or unit) if match else None
    if not match or seconds is None or not (number := float(match[1].replace(",", "."))):
        return None
    rate = 1 / (number * seconds)
    return next(rounded for digits in range(16) if abs((rounded := round(rate, digits)) - rate) <= rate * 1e-9)


def noted_unit(notes: Mapping[str, str]) -> str:
    """Return the unit of the samples according to the notes; empty if they have none."""
    for name, value in notes.items():
        plain = value.strip("[]() \"'")
        if name.lower() in ("unit", "units") and (is_unit(plain) or name == "units"):
            return plain
    return ""


def device_of(notes: Mapping[str, str]) -> Device | None:
    """Return the device that OpenSignals describes in a comment; None if there is none."""
    try:
        device = next(iter(json.loads(notes[JSON]).values()))
        return Device(tuple(device["column"]), tuple(device["label"]), float(device["sampling rate"]))
    except (KeyError, ValueError, TypeError, AttributeError, StopIteration, RecursionError):
        return None
