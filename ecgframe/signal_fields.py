"""Fields of ECG_DATA that describe its leads: what they are for each lead, whatever the message says or leaves out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .other_signals import lead_units
from .records.record import COUNTS


class SignalFormat(NamedTuple):
    """What rarely changes within a stream: sampling rate in Hz, names of the leads, and unit of physical values.

    ``lead_units`` has the unit of each lead if they differ; None if all are in ``units``.
    """

    rate: float
    leads: tuple[str, ...]
    units: str
    lead_units: tuple[str, ...] | None = None

    def unit(self, lead: int) -> str:
        """Return the unit of a lead."""
        return self.units if self.lead_units is None else self.lead_units[lead]


def format_of(data: Mapping[str, Any], leads: int) -> SignalFormat:
    """Return the format of a signal.

    Args:
        data: data of an ECG_DATA message.
        leads: number of its leads.

    Raises:
        KeyError, TypeError, ValueError: a field is missing or has the wrong type.
    """
    is_counts = data.get("gain") is None and np.asarray(data["signal"]).dtype.kind in "iu"
    units, mixed = units_of(data, leads, is_counts=is_counts)
    return SignalFormat(float(data["sampling_rate"]), lead_names(data.get("leads"), leads), units, mixed)


def lead_names(names: Sequence[str] | None, leads: int) -> tuple[str, ...]:
    """Return the names of the leads; ``ch1`` to ``chN`` if the message has none."""
    return tuple(names) if names else tuple(f"ch{number}" for number in range(1, leads + 1))


def each_once(names: Sequence[str]) -> tuple[str, ...]:
    """Return a name for each lead that no other lead has: the second II is "II (2)"."""
    numbers: dict[str, int] = {}
    found: dict[str, None] = {}
    for lead in names:
        name = lead
        while name in found:
            numbers[lead] = numbers.get(lead, 1) + 1
            name = f"{lead} ({numbers[lead]})"
        found[name] = None
    return tuple(found)


def unit_of(units: str | None, *, is_counts: bool) -> str:
    """Return the unit of the samples. Without one, integers without a gain (``is_counts``) are counts, others mV."""
    return units or (COUNTS if is_counts else "mV")


def units_of(data: Mapping[str, Any], leads: int, *, is_counts: bool) -> tuple[str, tuple[str, ...] | None]:
    """Return the unit of the samples, and the unit of each lead if they differ, else None.

    Args:
        data: data of an ECG_DATA message.
        leads: number of its leads.
        is_counts: whether samples without a unit are counts.
    """
    units = unit_of(data.get("units"), is_counts=is_counts)
    each = tuple(unit or units for unit in lead_units(data, leads))
    return units, each if set(each) - {units} else None


def one_for_each(value: Any, leads: int) -> tuple[float, ...] | None:
    """Return a gain or baseline for each lead, from a number or one for each lead; None if the message has none."""
    if value is None:
        return None
    numbers = value.tolist() if isinstance(value, np.ndarray) else value
    return tuple(numbers) if isinstance(numbers, list | tuple) else (numbers,) * leads
