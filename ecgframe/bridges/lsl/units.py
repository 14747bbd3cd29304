"""Units of LSL channels: how senders spell them, and one unit for all channels of a stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from .errors import BridgeError

UNKNOWN: Final = "unknown"
"""Unit that is published if the LSL stream states none."""

_MILLIVOLTS: Final = {"V": 1e3, "mV": 1.0, "uV": 1e-3, "nV": 1e-6}

_SPELLINGS: Final = {
    "v": "V",
    "volt": "V",
    "volts": "V",
    "mv": "mV",
    "millivolt": "mV",
    "millivolts": "mV",
    "uv": "uV",
    "\N{MICRO SIGN}v": "uV",
    "\N{GREEK SMALL LETTER MU}v": "uV",
    "microvolt": "uV",
    "microvolts": "uV",
    "nv": "nV",
    "nanovolt": "nV",
    "nanovolts": "nV",
}

_EXPONENTS: Final = {"-3": "mV", "-6": "uV", "-9": "nV"}
"""Powers of ten of a volt, as MNE-LSL writes units. Not 0, which it also writes for channels without a unit."""

_VOLTAGES: Final = frozenset({"ecg", "ekg", "eeg", "emg", "eog", "exg", "ecog", "seeg", "dbs", "bio"})
"""Types of channels that are voltages, in lower case."""


class CommonUnit(NamedTuple):
    """The unit of all channels.

    Attributes:
        name: of the unit, such as "uV"; None if no channel states one.
        factors: for each channel, units per unit of the channel.
    """

    name: str | None
    factors: tuple[float, ...]

    @property
    def is_converted(self) -> bool:
        """True if samples have to be multiplied."""
        return any(factor != 1 for factor in self.factors)


def unit_name(text: str, kind: str) -> str | None:
    """Return the usual name of a unit; None if there is none.

    Args:
        text: unit as the sender spells it: "microvolts", "µV", "-6", "bpm", "".
        kind: type of the channel, such as "ECG".
    """
    text = text.strip()
    if kind.strip().lower() in _VOLTAGES and text in _EXPONENTS:
        return _EXPONENTS[text]
    if text.lower() in ("", "none", "n/a", "na", UNKNOWN) or text.lstrip("+-").isdigit():
        return None
    return _SPELLINGS.get(text.lower(), text)


def common_unit(units: Sequence[str | None], channels: Sequence[str], where: str) -> CommonUnit:
    """Choose one unit for all channels: theirs, if they have the same one, or mV for different voltages.

    Args:
        units: of each channel, as ``unit_name`` returns it.
        channels: their names.
        where: which stream it is, for the error.

    Raises:
        BridgeError: the units cannot be converted to each other.
    """
    if len(set(units)) == 1:
        return CommonUnit(units[0], (1.0,) * len(units))
    factors = [_MILLIVOLTS.get(unit or "") for unit in units]
    if None not in factors:
        return CommonUnit("mV", tuple(factor for factor in factors if factor is not None))
    listed = ", ".join(f"{channel} ({unit or 'no unit'})" for channel, unit in zip(channels, units, strict=True))
    raise BridgeError(
        f"{where}: its channels have different units: {listed}; choose channels of one unit (--channels NAMES)"
    )
