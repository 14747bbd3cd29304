"""The rules for the fields of a STREAM_TEMPLATE (check 12): a template of records, or the opening of a stream.

``check_received`` and ``check_sent`` check messages by these rules, and ``Template`` the payloads that it reads.
Specification: ``docs/protocol.md``, "Templates".
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import numpy as np

from .._core.path import path_text
from ..errors import InvalidDataFormat, MessageTooLarge, MissingRequiredFields
from ..protocol import (
    BINARY_VALUES,
    LARGEST_SCALE,
    LARGEST_SEQUENCE,
    LARGEST_TEMPLATE,
    MAX_STREAM_NAME,
    MAX_TEMPLATE_PAYLOAD,
    MAX_TEMPLATE_ROWS,
    MAX_TEMPLATE_VALUES,
    NDARRAY_VALUES,
    RECORD_FIELDS,
    SMALLEST_SCALE,
    TEMPLATE_DTYPES,
    Check,
)
from . import rules
from .rules import Fault, Rule, rule, rule_of_parts

_WRAPPER_VALUES: Final = 3
"""Values that a date or a UUID counts for MAX_VALUES: a map, its key and a text."""

_DEPENDENT: Final = ("missing", "scale")
"""Optional fields of a template, for integer dtypes only."""

_OPTIONAL: Final = frozenset({"dtype", "rows", "fields", "missing", "scale", "epoch"})
"""Optional fields of a template or an opening. If they are nil, they count as absent."""


def _is_name(value: Any) -> bool:
    return rules.is_text(value) and 1 <= len(value) <= MAX_STREAM_NAME


def _fields_fault(value: Any) -> Fault | None:
    if not isinstance(value, dict):
        return Fault("a map of what every message holds", rules.shown(value))
    for key in value:
        if not rules.is_text(key):
            return Fault("a map whose keys are text", f"the key {rules.shown(key)}")
    own = next((name for name in RECORD_FIELDS if name in value), None)
    return None if own is None else Fault("left to each record", rules.shown(value[own]), (own,))


def _is_factor(value: Any) -> bool:
    # As float64: narrower floats of NumPy cannot represent 1e100.
    return (
        rules.is_number(value)
        and SMALLEST_SCALE <= (value if isinstance(value, int) else float(value)) <= LARGEST_SCALE
    )


_FACTOR: Final = rule(f"a number from {SMALLEST_SCALE:g} to {LARGEST_SCALE:g}", _is_factor)


def _scale_fault(value: Any) -> Fault | None:
    if not isinstance(value, dict) or value.keys() != {"mul", "div"}:
        return Fault('a map of "mul" and "div", without other keys', rules.shown(value))
    for name in ("mul", "div"):
        if fault := _FACTOR.fault(value[name]):
            return fault._replace(where=(name,))
    return None


NUMBER: Final = rules.integer_within(0, LARGEST_TEMPLATE)
STREAM: Final = rule(f"a name of 1 to {MAX_STREAM_NAME} characters", _is_name)
DTYPE: Final = rules.text_of(TEMPLATE_DTYPES)
ROWS: Final = rules.integer_within(0, MAX_TEMPLATE_ROWS)
FIELDS: Final = rule_of_parts("a map of what every message holds", _fields_fault)
SCALE: Final = rule_of_parts(
    f'a map of "mul" and "div", numbers from {SMALLEST_SCALE:g} to {LARGEST_SCALE:g}', _scale_fault
)
EPOCH: Final = rules.integer_within(1, LARGEST_SEQUENCE)

_OF_TEMPLATE: Final[Mapping[str, Rule]] = {
    "template": rules.integer_within(1, LARGEST_TEMPLATE),
    "stream": STREAM,
    "dtype": DTYPE,
    "rows": ROWS,
    "fields": FIELDS,
}
"""Required fields of a template, in the order of the checks."""

_OF_OPENING: Final[Mapping[str, Rule]] = {"template": rules.integer_within(0, 0), "stream": STREAM, "epoch": EPOCH}
"""Required fields of an opening. It has no others."""

_PER_LEAD: Final = {
    "gain": rule("a finite number other than 0, as samples may be missing", rules.is_nonzero),
    "baseline": rule("a finite number, as samples may be missing", rules.is_finite),
}
"""Rules for fields that convert counts to floats, if samples may be missing."""


def check_size(nbytes: int) -> None:
    """Reject a payload that is too large for a template or an opening, before it is unpacked.

    Raises:
        MessageTooLarge: 0x102, check 12.
    """
    if nbytes > MAX_TEMPLATE_PAYLOAD:
        raise _too_large(f"{nbytes} bytes", f"{MAX_TEMPLATE_PAYLOAD} bytes")


def wrong_template(why: str, offset: int) -> InvalidDataFormat:
    """Return the error for a record with an unknown or another template: 0x200, check 11, reason "template"."""
    error = InvalidDataFormat(why, check=Check.PAYLOAD, offset=offset)
    error.reason = "template"
    return error


def unknown_template(number: int, stream_id: int) -> InvalidDataFormat:
    """Return the error for a record with an unknown template."""
    return wrong_template(
        f"template {number} of stream {stream_id} is not known: its STREAM_TEMPLATE comes before its records, and "
        "decode takes it as templates",
        0,
    )


def without_nil(payload: Any) -> Any:
    """Remove optional fields that are nil: they count as absent."""
    if not isinstance(payload, dict):
        return payload
    return {name: value for name, value in payload.items() if value is not None or name not in _OPTIONAL}


def check(payload: Any) -> None:
    """Check the fields of a STREAM_TEMPLATE: of an opening if its number is 0, otherwise of a template.

    Raises:
        MissingRequiredFields: 0x201, check 12; ``path`` names the whole message, as for any missing field.
        InvalidDataFormat: 0x200, check 12; ``path`` names the invalid field.
        MessageTooLarge: 0x102, check 12; more than 256 values.
    """
    _check_map(payload)
    number = payload.get("template")
    if not rules.is_integer(number) or number != 0:
        _check_template(payload)
        return
    _check_fields(payload, _OF_OPENING)
    for name in (*_OF_TEMPLATE, *_DEPENDENT):
        if name in payload and name not in _OF_OPENING:
            raise _bad((name,), "left out of an opening (template 0)", rules.shown(payload[name]))


def check_template(payload: Any) -> None:
    """Check the fields of a template, with a number of 1 or more. Raises the errors of ``check``."""
    _check_map(payload)
    _check_template(payload)


def _check_template(payload: dict[Any, Any]) -> None:
    _check_fields(payload, _OF_TEMPLATE)
    dtype = np.dtype(payload["dtype"])
    for name in _DEPENDENT:
        if name not in payload:
            continue
        if dtype.kind == "f":
            raise _bad((name,), f"left out where the dtype is {dtype}", rules.shown(payload[name]))
        if fault := _rule_by_dtype(name, dtype).fault(payload[name]):
            raise _bad((name, *fault.where), fault.expected, fault.got)
    if "epoch" in payload:
        raise _bad(("epoch",), "left out of a template", rules.shown(payload["epoch"]))
    if "missing" in payload:
        for name in _PER_LEAD:
            _check_per_lead(payload["fields"], name, payload["rows"] or 1)


def _rule_by_dtype(name: str, dtype: np.dtype[Any]) -> Rule:
    if name == "scale":
        return SCALE
    limits = np.iinfo(dtype)
    return rules.integer_within(int(limits.min), int(limits.max))


def _check_per_lead(fields: dict[str, Any], name: str, leads: int) -> None:
    """Check that a field is a number, or has one number for each lead in a list or an array of one dimension."""
    if name not in fields:
        return
    value, single = fields[name], _PER_LEAD[name]
    is_list = isinstance(value, (list, tuple))
    if is_list or (isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "iuf"):
        if len(value) != leads:
            expected = f"a number, or one for each of {leads} leads"
            raise _bad(("fields", name), expected, f"{len(value)} entries")
        entries = list(value)
    else:
        entries = [value]
    for at, entry in enumerate(entries):
        if fault := single.fault(entry):
            where = ("fields", name, at) if is_list else ("fields", name)
            raise _bad(where, fault.expected, fault.got)


def _check_map(payload: Any) -> None:
    if not isinstance(payload, dict):
        raise _bad((), "a map of fields", rules.shown(payload))
    if _has_more_values(payload, MAX_TEMPLATE_VALUES):
        raise _too_large(f"more than {MAX_TEMPLATE_VALUES} values", f"{MAX_TEMPLATE_VALUES} values")


def _check_fields(payload: dict[Any, Any], fields: Mapping[str, Rule]) -> None:
    if lacking := [name for name in fields if name not in payload]:
        raise MissingRequiredFields(
            "STREAM_TEMPLATE lacks "
            + " and ".join(f"{path_text([name])} ({fields[name].expected})" for name in lacking),
            check=Check.FIELDS,
            path=path_text([]),
        )
    for name, one in fields.items():
        if fault := one.fault(payload[name]):
            raise _bad((name, *fault.where), fault.expected, fault.got)


def _has_more_values(value: Any, most: int) -> bool:
    """Return True if a value has more values than ``most``, counted as for MAX_VALUES. A list may contain itself."""
    count, waiting = 0, [value]
    while waiting and count <= most:
        one = waiting.pop()
        if isinstance(one, dict):
            count += 1 + len(one)
            waiting += one.values()
        elif isinstance(one, (list, tuple)):
            count += 1
            waiting += one
        elif isinstance(one, np.ndarray):
            count += NDARRAY_VALUES
        elif isinstance(one, str):
            count += 1
        elif isinstance(one, (bytes, bytearray, memoryview)):
            count += BINARY_VALUES
        elif isinstance(one, (datetime, UUID)):
            count += _WRAPPER_VALUES
    return count > most


def _bad(where: tuple[str | int, ...], expected: str, got: str) -> InvalidDataFormat:
    path = path_text(where)
    return InvalidDataFormat(f"STREAM_TEMPLATE: {path} must be {expected}; got {got}", check=Check.FIELDS, path=path)


def _too_large(found: str, most: str) -> MessageTooLarge:
    return MessageTooLarge(f"a template of {found}; {most} are the most", check=Check.FIELDS)
