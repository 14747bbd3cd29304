"""The columns of a CSV file that fit into one record, by their units, and the calibration of their samples."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .calibration import ASSUMED, NO_UNIT, Calibration
from .channels import ECG_NAME, MILLIVOLTS
from .csv_columns import is_own
from .csv_table import Table, at_a_time
from .mapped import Reading
from .record import COUNTS, UNKNOWN
from .sample_buffer import SampleBuffer
from .units import kind_of, unit_named

NAMES: Final = "names"
"""Comment with lead names and units as JSON, for those that have to be escaped in cells and comments."""


def choose(
    table: Table, leads: Sequence[int], wanted: Sequence[str] | None, given: Calibration
) -> tuple[list[int], list[int]]:
    """Return the columns to read, and the others. By default, those are the voltages, or all if in one unit.

    Raises:
        RecordError: a name is not that of a lead, or the columns differ in unit.
    """
    names = {column: table.columns.lead(column, number) for number, column in enumerate(leads, 1)}
    chosen = list(leads)
    if wanted is not None:
        for name in wanted:
            if name not in names.values():
                table.fail(f"no lead {name!r} there; it has {', '.join(map(repr, names.values()))}")
        chosen = [column for name in dict.fromkeys(wanted) for column in leads if names[column] == name]
    if not _is_noted(table):
        kinds = _kinds(table, chosen, names, given)
        if len(set(kinds.values())) > 1:
            if "mV" not in kinds.values() or wanted is not None:
                listed = ", ".join(
                    f"{names[column]!r} ({table.columns.units[column] or 'no unit'})" for column in kinds
                )
                table.fail(
                    f"its columns differ in unit: {listed}; name the leads to take, all of one unit (--leads), or give "
                    "the unit of those that have none (--units)"
                )
            chosen = [column for column in chosen if kinds[column] == "mV"]
    return chosen, [column for column in leads if column not in chosen]


def calibrated(table: Table, signal: npt.NDArray[Any], leads: Sequence[int], given: Calibration) -> Mapping[str, Any]:
    """Return signal, units and calibration: as the file states them, else as the user does. Assumptions become remarks.

    Args:
        table: the file.
        signal: its samples, [leads, samples].
        leads: the columns that were chosen.
        given: what the user states.

    Raises:
        RecordError: the user contradicts the file, or gives a calibration that does not fit it.
    """
    try:
        given.check(is_whole=signal.dtype.kind in "iu")
    except ValueError as error:
        table.fail(str(error))
    return _noted(table, signal, leads, given) if _is_noted(table) else _named(table, signal, leads, given)


def noted_names(table: Table) -> dict[str, object]:
    """Return lead names and units as ``write_csv`` notes those that cannot be in cells; empty if it did not."""
    try:
        names = json.loads(table.notes.get(NAMES, "{}"))
    except (ValueError, RecursionError):  # a comment of another program
        return {}
    return names if isinstance(names, dict) else {}


def _is_noted(table: Table) -> bool:
    return is_own(table.notes) or bool({"gain", "baseline"} & table.notes.keys())


def _kinds(table: Table, columns: Sequence[int], names: Mapping[int, str], given: Calibration) -> dict[int, str]:
    """Return the kind of unit of each column; empty if it is not known.

    Columns without a unit are in the given one. Without that, they are counts if all columns are whole numbers.
    Otherwise, they are in mV beside columns of other units if they have the name of an ECG lead.
    """
    stated = table.columns.units
    are_whole = all(map(table.numbers.is_whole, columns))
    none_states = not any(stated[column] for column in columns)
    default = given.units or (ASSUMED if given.gain is not None else COUNTS if are_whole else "")
    kinds = {}
    for column in columns:
        unit = "" if given.gain is not None and stated[column] == COUNTS else stated[column]
        is_assumed = none_states or ECG_NAME.search(names[column].strip())
        kinds[column] = kind_of(unit or default or (ASSUMED if is_assumed else ""))
    return kinds


def _noted(table: Table, signal: npt.NDArray[Any], leads: Sequence[int], given: Calibration) -> Mapping[str, Any]:
    """Return signal, units and calibration by the comments of ``write_csv``."""
    noted = noted_names(table).get("units") or table.notes.get("units")
    named = {table.columns.units[column] for column in leads} - {""}
    if len(named) > 1:
        table.fail(f"its gains are for one unit, and its columns in {' and '.join(sorted(named))}")
    stated = str(noted) if noted else next(iter(named), "")
    if stated == COUNTS and given.gain is not None and "gain" not in table.notes:
        stated = ""
    if stated and given.units is not None and given.units != stated:
        table.fail(f"its note says that the unit is {stated}, not the given {given.units}; omit it (--units)")
    calibration = {}
    for name, number in (("gain", given.gain), ("baseline", given.baseline)):
        numbers = table.noted(name)
        if numbers is not None and number is not None and set(numbers) != {number}:
            table.fail(f"its note says another {name} than the given {number:g}; omit it (--{name})")
        if numbers is None and given.gain is not None:
            numbers = (number or 0,) * len(table.columns.leads)
        calibration[name] = _of_columns(table, numbers, leads)
    default = ASSUMED if given.gain is not None else UNKNOWN if "gain" in table.notes else COUNTS
    return {"signal": signal, "units": stated or given.units or default, **calibration}


def _of_columns(table: Table, numbers: tuple[float, ...] | None, leads: Sequence[int]) -> tuple[float, ...] | None:
    """Return the numbers of these columns, of one for each column of samples."""
    if numbers is None or len(numbers) != len(table.columns.leads):
        return numbers
    return tuple(numbers[table.columns.leads.index(column)] for column in leads)


def _named(table: Table, signal: npt.NDArray[Any], leads: Sequence[int], given: Calibration) -> Mapping[str, Any]:
    """Return signal, units and calibration by the names of the columns, or as the user states them."""
    is_whole = signal.dtype.kind in "iu"
    stated = [table.columns.units[column] for column in leads]
    if given.gain is not None:
        stated = ["" if unit == COUNTS else unit for unit in stated]
    _refuse_other_units(table, stated, given)
    are_counts = is_whole and given.gain is None and "mV" not in map(kind_of, stated)
    default = given.units or (COUNTS if are_counts else ASSUMED)
    each = [unit or unit_named(default) for unit in stated]
    without = [table.columns.lead(column, number) for number, column in enumerate(leads, 1) if not stated[number - 1]]
    if without and given.units is None and given.gain is None and not are_counts:
        which = f" for {', '.join(map(repr, without))}"
        table.remarks.append(NO_UNIT if len(without) == len(leads) else NO_UNIT.replace(":", f"{which}:", 1))
    factors = [MILLIVOLTS.get(unit.lower()) for unit in each]
    gain = None if given.gain is None else Fraction(given.gain)
    if not all(factors):
        gains = None if gain is None else (float(gain),) * len(leads)
        return {"signal": signal, "units": each[0], "gain": gains, "baseline": gains and _baselines(given, leads)}
    millivolts = [factor for factor in factors if factor is not None]
    if is_whole:
        gains = tuple(float((gain or 1) / factor) for factor in millivolts)
        return {"signal": signal, "units": "mV", "gain": gains, "baseline": _baselines(given, leads)}
    if any(factor != 1 for factor in millivolts):
        signal = _scaled(signal, millivolts)
    return {"signal": signal, "units": "mV"}


def _baselines(given: Calibration, leads: Sequence[int]) -> tuple[float, ...]:
    return (given.baseline or 0,) * len(leads)


def _refuse_other_units(table: Table, stated: Sequence[str], given: Calibration) -> None:
    """Refuse a unit that no column is without, unless it is that of all columns."""
    if given.units is None or not all(stated):
        return
    if any(_size(unit) != _size(given.units) for unit in stated):
        table.fail(f"its columns are in {' and '.join(sorted(set(stated)))}, not in {given.units}; omit that (--units)")


def _size(unit: str) -> Fraction | str:
    return MILLIVOLTS.get(unit.lower(), unit.lower())


def _scaled(signal: npt.NDArray[Any], factors: Sequence[Fraction]) -> npt.NDArray[Any]:
    """Multiply each row by its factor."""
    scaled, reading, rows = SampleBuffer(len(signal), signal.dtype), Reading(signal), at_a_time(len(signal))
    for start in range(0, signal.shape[1], rows):
        block = reading.samples(start, start + rows)
        scaled.add(
            np.stack(
                [
                    row * factor.numerator / factor.denominator if factor != 1 else row
                    for row, factor in zip(block, factors, strict=True)
                ]
            )
        )
    return scaled.array()
