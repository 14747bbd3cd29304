"""Units in the names of columns: ``II (uV)``, ``II [mV]``, ``II_uV``, ``II in mV``, ``microvolts``."""

from __future__ import annotations

import re
from typing import Final

from .channels import MILLIVOLTS
from .record import COUNTS

_COUNTS: Final = frozenset(
    {"count", COUNTS, "adc", "adc count", "adc counts", "adu", "raw counts", "lsb", "digit", "digits"}
)

_OTHERS: Final = frozenset(
    "% mmhg cmh2o kpa a.u. au arb.units bpm brpm rpm 1/min /min l/min ohm ohms kohm mohm degc degrees deg g pv kv "
    "ma ua na us ms/s m/s m/s2 m/s^2 rad/s deg/s dps hz khz \N{DEGREE SIGN} \N{DEGREE SIGN}c "
    "\N{MICRO SIGN}a \N{MICRO SIGN}s \N{OHM SIGN} k\N{OHM SIGN}".lower().split()
)
"""Spellings of units that are no fractions of volts, in lower case."""

_SI: Final = re.compile(
    "(?:[pnu\N{MICRO SIGN}\N{GREEK SMALL LETTER MU}mckMG]?(?:V|Hz|Pa|bar|Ohm|ohm|\N{GREEK CAPITAL LETTER OMEGA}|mol)"
    "|[pnu\N{MICRO SIGN}\N{GREEK SMALL LETTER MU}mckMG](?:A|g|m|s|S|T|W|J|N|K|l|L))(?:[/*][A-Za-z0-9^]+)?"
)
"""An SI unit with its prefix. Single letters other than V may as well be names."""

LONGEST: Final = 256
"""Letters of a text in which a unit is looked for, as that takes time by their square."""

_IN_BRACKETS: Final = re.compile(r"(.*?)\s*[\[({]\s*([^\])}]*?)\s*[\])}]")
_AT_THE_END: Final = re.compile(r"(.*?)(?:\s+in\s+|\s*[_/\\:;,.|-]+\s*|\s+)([^\s_/\\:;,|-]+)")

_SURE: Final = re.compile(r"[_/]|\s+in\s")
"""Separators between a name and V that show that it stands for volts."""

NOT_VOLTS: Final = frozenset({"v"})
"""Spellings that are a lead rather than a unit if they are a whole name, or follow one after a blank."""


def is_unit(text: str) -> bool:
    """Return whether a text is a unit."""
    plain = text.lower()
    return plain in MILLIVOLTS or plain in _COUNTS or plain in _OTHERS or _SI.fullmatch(text) is not None


def _has_unit(text: str) -> bool:
    """Return whether a text has a unit in it, as "10 uV" has, so that all of it is the unit."""
    words = {word.lower() for word in re.split(r"[\s,;*\xd7]+", text)} & MILLIVOLTS.keys()
    return bool(words - NOT_VOLTS or (words and re.search(r"\d", text)))


def unit_named(text: str) -> str:
    """Return a unit in its usual spelling: ``counts`` for what counts, otherwise as it is."""
    return COUNTS if text.lower() in _COUNTS else text


def kind_of(unit: str) -> str:
    """Return mV for any fraction of volts, and other units in lower case. Samples of one kind fit into one record."""
    return "mV" if unit.lower() in MILLIVOLTS else unit.lower()


def split_unit(title: str) -> tuple[str, str]:
    """Split the name of a column, such as "II (uV)", into name and unit. Without a unit, all of it is the name.

    A name that consists only of a unit, such as "mV", is both. V alone is a lead, and so is that of "ECG V".
    """
    if len(title) > LONGEST:
        return title, ""
    if (match := _IN_BRACKETS.fullmatch(title)) and (is_unit(match[2]) or (match[1] and _has_unit(match[2]))):
        return match[1] or match[2], unit_named(match[2])
    plain = title.lower()
    if plain in MILLIVOLTS and plain not in NOT_VOLTS:
        return title, title
    if match := _AT_THE_END.fullmatch(title):
        name, unit = match[1], match[2]
        is_lead = unit.lower() in NOT_VOLTS and not (unit == "V" and _SURE.match(title[len(name) :]))
        if name and not is_lead and (unit.lower() in MILLIVOLTS or unit.lower() in {"mmhg", "bpm", "%", "kv", "pv"}):
            return name, unit
    return title, ""
