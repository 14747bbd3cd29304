"""Signals beside an ECG: respiration, plethysmograms, pressures and others, by the name and the unit of a lead.

The monitor decides in the same way (``client/monitor/src/channels.ts``); ``tests/vectors/channels.json`` has examples.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Final

from .records.channels import ECG_NAME, MILLIVOLTS

LEAD_UNITS: Final = "lead_units"
"""Field of ECG_DATA with the unit of each lead, if they differ. The protocol leaves it to the sender."""

_NAMES: Final = (
    ("resp", re.compile(r"resp|imped|thora|abdo|airflow")),
    ("pleth", re.compile(r"pleth|ppg|spo2|sao2|sat_o2")),
    ("pressure", re.compile(r"^(abp|art|bp|nibp|ibp|pap|cvp|icp|rap|lap|uap|uvp|fem)\b|press")),
    ("other", re.compile(r"co2|temp")),
)
"""Parts of the names of other signals, as monitors, PhysioNet and IEEE 11073 (``MDC_...``) spell them."""

_PRESSURES: Final = frozenset({"mmhg", "kpa", "cmh2o"})

_NO_DIMENSION: Final = re.compile(r"(|counts?|adc.*|adu|unknown|raw.*|lsb|digits?|nu|n\.u\.|a\.?u\.?|arb.*)")
"""Units that say nothing about what is measured."""


def kind_of(name: str, units: str | None) -> str:
    """Return what a lead measures: "ecg", "resp", "pleth", "pressure" or "other".

    A lead without a unit, or in a voltage, is an ECG unless its name is that of another signal.

    Args:
        name: of the lead.
        units: unit of its values; None if the sender states none.
    """
    called, stated = _plain(name), _plain(units or "")
    is_called_ecg = ECG_NAME.search(called) is not None
    named = None if is_called_ecg else next((kind for kind, names in _NAMES if names.search(called)), None)
    if named is not None:
        return named
    if units is None or stated in MILLIVOLTS or _NO_DIMENSION.fullmatch(stated):
        return "ecg"
    return "pressure" if stated in _PRESSURES else "other"


def lead_units(data: Mapping[str, Any], leads: int) -> tuple[str | None, ...]:
    """Return the unit of each lead of an ECG_DATA payload; None if it states none.

    Args:
        data: the payload.
        leads: number of its leads.
    """
    units, each = data.get("units"), data.get(LEAD_UNITS)
    if isinstance(each, list | tuple) and len(each) == leads and all(isinstance(one, str) for one in each):
        return tuple(each)
    return (units if isinstance(units, str) else None,) * leads


def ecg_rows(names: Sequence[str], units: Sequence[str | None]) -> list[int]:
    """Return which leads are an ECG.

    Args:
        names: of the leads.
        units: of the leads, as ``lead_units`` returns them.
    """
    return [row for row, (name, unit) in enumerate(zip(names, units, strict=True)) if kind_of(name, unit) == "ecg"]


def _plain(text: str) -> str:
    """Lower case, with plain digits: SpO with a small 2 is spo2."""
    return unicodedata.normalize("NFKC", text).strip().lower()
