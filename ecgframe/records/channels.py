"""From the channels of a file, each with its own rate and unit, to one record.

Clinical files mix: an EDF of a night holds EEG at 256 Hz, ECG at 512 and airflow at 32; a WFDB record of an intensive
care unit holds blood pressure beside the ECG. A record is one rate and one unit, so something must choose.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from .record import COUNTS, Record, RecordError, narrowest

MILLIVOLTS = {
    "v": Fraction(1000),
    "mv": Fraction(1),
    "uv": Fraction(1, 1000),
    "\N{MICRO SIGN}v": Fraction(1, 1000),
    "\N{GREEK SMALL LETTER MU}v": Fraction(1, 1000),
    "nv": Fraction(1, 1_000_000),
}
"""What one of each unit is in mV. The two micro signs look alike and both occur."""

ECG_NAME = re.compile(r"ecg|ekg|^(lead\s*)?(i|ii|iii|avr|avl|avf|v[1-9]r?|m[lc]l?(i|ii|iii|[1-6]))$", re.IGNORECASE)


@dataclass(frozen=True, eq=False, slots=True)
class Channel:
    """One channel as a file holds it.

    Attributes:
        lead: its name, perhaps empty.
        counts: [samples], integers.
        sampling_rate: Hz.
        units: as the file spells them, e.g. "uV"; "counts" when the file gives no calibration.
        gain: counts per unit, exactly; None when not calibrated.
        baseline: the count that stands for zero, exactly.
    """

    lead: str
    counts: npt.NDArray[np.integer[Any]]
    sampling_rate: float
    units: str = COUNTS
    gain: Fraction | None = None
    baseline: Fraction = Fraction(0)

    @property
    def is_voltage(self) -> bool:
        """Whether its unit is one of volts."""
        return self.units.lower() in MILLIVOLTS

    @property
    def is_ecg(self) -> bool:
        """Whether it is a voltage under a name that only ECG leads bear."""
        return self.is_voltage and ECG_NAME.search(self.lead.strip()) is not None

    @property
    def kind(self) -> tuple[float, str]:
        """Channels of equal kind fit into one record."""
        return self.sampling_rate, "mV" if self.is_voltage else self.units

    def __str__(self) -> str:
        return f"{self.lead or 'unnamed'!r} ({self.sampling_rate:g} Hz, {self.units})"


def join(channels: Sequence[Channel], source: str, wanted: Sequence[str] | None = None) -> Record:
    """One record of the wanted channels, or of all that fit together, or of those that are ECG.

    Raises:
        RecordError: none of these makes one record; the message lists the channels.
    """
    chosen = _choose(channels, source, wanted)
    rate, units = chosen[0].kind
    gains = [channel.gain for channel in chosen]
    calibrated = all(gain is not None for gain in gains)
    return Record(
        signal=narrowest(np.stack([channel.counts for channel in chosen])),
        sampling_rate=rate,
        leads=tuple(channel.lead or f"ch{number}" for number, channel in enumerate(chosen, 1)),
        units=units,
        gain=tuple(_per_millivolt(channel) for channel in chosen) if calibrated else None,
        baseline=tuple(float(channel.baseline) for channel in chosen) if calibrated else None,
        source=source,
        left_out=tuple(channel.lead for channel in channels if channel not in chosen),
    )


def _per_millivolt(channel: Channel) -> float:
    gain = channel.gain or Fraction(0)
    return float(gain / MILLIVOLTS[channel.units.lower()] if channel.is_voltage else gain)


def _choose(channels: Sequence[Channel], source: str, wanted: Sequence[str] | None) -> Sequence[Channel]:
    if not channels:
        raise RecordError(f"{source}: it holds no signals")
    if wanted is not None:
        chosen = _named(channels, source, wanted)
    elif _fit(channels):
        return channels
    else:
        chosen = [channel for channel in channels if channel.is_ecg]
    if chosen and _fit(chosen):
        return chosen
    raise RecordError(
        f"{source}: its signals differ in rate or unit, and which of them are the ECG is not clear. "
        f"Name the leads to take (--leads), all of one rate and unit, from: {_listed(channels)}"
    )


def _named(channels: Sequence[Channel], source: str, wanted: Sequence[str]) -> list[Channel]:
    names = {channel.lead for channel in channels}
    for name in wanted:
        if name not in names:
            raise RecordError(f"{source}: no lead {name!r} there; it has {_listed(channels)}")
    return [channel for name in wanted for channel in channels if channel.lead == name]


def _fit(channels: Sequence[Channel]) -> bool:
    return len({channel.kind for channel in channels}) == 1


def _listed(channels: Sequence[Channel]) -> str:
    return ", ".join(map(str, channels))
