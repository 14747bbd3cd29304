"""The samples of an ECG_DATA message as physical values, in one form whatever the sender chose.

The twin of ``ecgData`` and ``physicalValues`` in the TypeScript client; ``tests/vectors/physical.json`` holds for both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from ._core.path import path_text
from ._core.readable import is_masked_array
from .errors import InvalidDataFormat, MissingRequiredFields
from .messages import rules
from .protocol import Check

if TYPE_CHECKING:
    from ._core import Message

_MOST_EMPTY_LEADS: Final = 256
"""Leads that a signal may have without a sample of any; a shape alone can name four thousand million."""


def physical(message_or_data: Message | Mapping[str, Any]) -> npt.NDArray[np.float64]:
    """Return the samples of an ECG_DATA message in its ``units``: ``(sample - baseline) / gain``.

    Args:
        message_or_data: the message, or its data. ``signal`` may be an array of any integer or float dtype, a list of
            numbers, or a list of equally long lists; ``gain`` and ``baseline`` a number, or one for each lead. Without
            ``gain``, samples are physical values already; without ``baseline``, it is 0. A sample that equals
            ``missing`` is missing.

    Returns:
        float64, [leads, samples], of its own memory. NaN where a sample is missing. A signal of one dimension is one
        lead.

    Raises:
        MissingRequiredFields: 0x201; there is no ``signal``.
        InvalidDataFormat: 0x200; ``signal``, ``gain`` or ``baseline`` is not what it should be; ``path`` names it.
    """
    data = message_or_data if isinstance(message_or_data, Mapping) else getattr(message_or_data, "data", None)
    if not isinstance(data, Mapping):
        raise _invalid((), "a map of fields", data)
    signal = data.get("signal")
    if signal is None:
        raise MissingRequiredFields("ECG_DATA lacks signal", check=Check.FIELDS, path=path_text([]))
    values = _rows(signal)
    leads = len(values)
    if leads > _MOST_EMPTY_LEADS and not values.size:
        raise _invalid(
            ("signal",), f"of at most {_MOST_EMPTY_LEADS} leads where it has no samples", None, got=f"{leads} leads"
        )
    is_missing = _is_missing(values, data.get("missing"))
    baseline = _one_a_lead("baseline", data.get("baseline"), leads, 0.0)
    gain = _one_a_lead("gain", data.get("gain"), leads, 1.0)
    with np.errstate(all="ignore"):  # infinite samples, and gains that are next to nothing
        np.subtract(values, baseline, out=values)
        np.divide(values, gain, out=values)
    if is_missing is not None:
        values[is_missing] = np.nan
    return values


def _is_missing(values: npt.NDArray[np.float64], missing: Any) -> npt.NDArray[np.bool_] | None:
    """Return which samples have the count ``missing``; None if the message has none."""
    if missing is None:
        return None
    if not rules.is_integer(missing):
        raise _invalid(("missing",), "an integer, an ADC count", missing)
    is_missing: npt.NDArray[np.bool_] = values == float(missing)
    return is_missing


def _rows(signal: Any) -> npt.NDArray[np.float64]:
    """Return a float64 copy, [leads, samples]."""
    if fault := rules.SIGNAL.fault(signal):
        raise _invalid(("signal", *fault.where), fault.expected, None, got=fault.got)
    if is_masked_array(signal):
        signal = np.ma.filled(signal.astype(np.float64), np.nan)
    with np.errstate(all="ignore"):  # of signalling NaNs
        rows = np.array(signal, np.float64, order="C")
    return rows[np.newaxis] if rows.ndim == 1 else rows


def _one_a_lead(name: str, value: Any, leads: int, absent: float) -> npt.NDArray[np.float64]:
    """[leads, 1]."""
    if value is None:
        return np.full((leads, 1), absent)
    expected = "a finite number other than 0" if name == "gain" else "a finite number"
    is_array = isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "iuf"
    if is_array or isinstance(value, (list, tuple)):
        if len(value) != leads:
            raise _invalid((name,), f"{expected}, or one for each of {leads} leads", None, got=f"{len(value)} entries")
        for lead, number in enumerate(value):
            _check_number((name, lead), number, expected)
        return np.array(value, np.float64).reshape(leads, 1)
    _check_number((name,), value, f"{expected}, or one for each lead")
    return np.full((leads, 1), float(value))


def _check_number(where: tuple[str | int, ...], value: Any, expected: str) -> None:
    if not rules.is_finite(value) or (where[0] == "gain" and value == 0):
        raise _invalid(where, expected, value)


def _invalid(where: tuple[str | int, ...], expected: str, value: Any, *, got: str | None = None) -> InvalidDataFormat:
    path = path_text(where)
    said = rules.shown(value) if got is None else got
    return InvalidDataFormat(f"ECG_DATA: {path} must be {expected}; got {said}", check=Check.FIELDS, path=path)
