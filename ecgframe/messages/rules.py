"""Rules for the fields of a message: each describes what is expected, and checks a value.

Samples are never checked one by one: an ndarray is checked by dtype and dimensions, a list by the set of its types.
Only after an error is the offending value searched.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import compress
from operator import not_
from reprlib import Repr
from typing import TYPE_CHECKING, Any, Final, NamedTuple, get_args
from uuid import UUID

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy.typing as npt


class _Short(Repr):
    """Abbreviates containers and bytes of any size quickly, since the peer chooses their size."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 2
        self.maxlist = self.maxtuple = 4
        self.maxstring = self.maxother = 60

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        return f"<{len(x)} entries>"

    def repr_bytes(self, x: bytes, level: int) -> str:
        return f"<{len(x)} bytes>"

    def repr_ndarray(self, x: npt.NDArray[Any], level: int) -> str:
        return f"<{x.dtype}, shape {list(x.shape)}>"


_SHORT: Final = _Short()


def shown(value: object) -> str:
    """Return the value with its type, short enough for a log line."""
    if value is None:
        return "None"
    kind = type(value).__name__
    try:
        return f"{kind} {_SHORT.repr(value)}"
    except Exception:  # a __repr__ may raise anything, which must not hide the error to report
        return kind


class Fault(NamedTuple):
    """Why a value is rejected: what was expected, what was found, and where in the field (map keys, list indices)."""

    expected: str
    got: str
    where: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """The valid values of a field.

    Attributes:
        expected: description with the unit, to follow "must be".
        fault: returns why a value is invalid; None if it is valid.
        accepts: returns only whether a value is valid, which takes less time.
        kind: name by which the core knows the rule, and answers for ``accepts`` for the usual types; "" for none.
        values: the texts of a rule of kind "one of".
    """

    expected: str
    fault: Callable[[Any], Fault | None]
    accepts: Callable[[Any], bool]
    kind: str = ""
    values: frozenset[str] | None = None


def rule(expected: str, accepts: Callable[[Any], bool]) -> Rule:
    """Make a rule from a description and a predicate."""

    def fault(value: Any) -> Fault | None:
        return None if accepts(value) else Fault(expected, shown(value))

    return Rule(expected, fault, accepts, _KINDS.get(accepts, ""))


def rule_of_parts(expected: str, fault: Callable[[Any], Fault | None], kind: str = "") -> Rule:
    """Make a rule for values with parts of their own, of which ``fault`` finds the first that is invalid."""
    return Rule(expected, fault, lambda value: fault(value) is None, kind)


# Single values

_INTEGER_TYPES: Final = frozenset({int, *(np.dtype(code).type for code in "bhilqBHILQ")})
_NUMBER_TYPES: Final = _INTEGER_TYPES | {float, *(np.dtype(code).type for code in "efd")}


def is_number(value: Any) -> bool:
    """Return whether the value is an integer or a float of Python or NumPy."""
    # Not by isinstance alone: a bool is an int, and NumPy's timedelta64 is a signed integer.
    return type(value) in _NUMBER_TYPES or (isinstance(value, (int, float)) and not isinstance(value, bool))


def is_integer(value: Any) -> bool:
    """Return whether the value is an integer of Python or NumPy."""
    return type(value) in _INTEGER_TYPES or (isinstance(value, int) and not isinstance(value, bool))


def is_count(value: Any) -> bool:
    """Return whether the value is an integer, 0 or more."""
    return is_integer(value) and bool(value >= 0)


def is_finite(value: Any) -> bool:
    """Return whether the value is a number, neither infinite nor NaN."""
    if type(value) is float:  # nearly always
        return math.isfinite(value)
    # Every int is finite; math.isfinite would overflow for a large one.
    return is_number(value) and (isinstance(value, int) or math.isfinite(value))


def is_positive(value: Any) -> bool:
    """Return whether the value is a finite number above 0."""
    return is_finite(value) and bool(value > 0)


def is_nonzero(value: Any) -> bool:
    """Return whether the value is a finite number other than 0."""
    return is_finite(value) and bool(value != 0)


def is_share(value: Any) -> bool:
    """Return whether the value is a number from 0 to 1."""
    return (type(value) is float or is_number(value)) and bool(0 <= value <= 1)


def is_text(value: Any) -> bool:
    """Return whether the value is text."""
    return isinstance(value, str)


def is_truth(value: Any) -> bool:
    """Return whether the value is true or false."""
    return isinstance(value, (bool, np.bool_))


def is_time(value: Any) -> bool:
    """Return whether the value is a datetime or finite Unix seconds."""
    return is_finite(value) or isinstance(value, datetime)


def is_identifier(value: Any) -> bool:
    """Return whether the value is text, an integer or a UUID."""
    return isinstance(value, (str, UUID)) or is_integer(value)


def one_of(literal: Any) -> Rule:
    """Make a rule of a ``Literal`` of texts."""
    return text_of(get_args(literal))


def integer_within(least: int, largest: int) -> Rule:
    """Make a rule for an integer within limits, which are included."""
    return rule(
        f"an integer from {least:,} to {largest:,}", lambda value: is_integer(value) and least <= value <= largest
    )


def text_of(values: tuple[str, ...]) -> Rule:
    """Make a rule of some texts."""
    found = rule(
        "one of " + ", ".join(f'"{value}"' for value in values), lambda value: is_text(value) and value in values
    )
    return replace(found, kind="one of", values=frozenset(values))


def bytes_of(size: int, *, at_most: int | None = None) -> Rule:
    """Make a rule for so many bytes; with ``at_most``, for none up to so many times these."""
    if at_most is None:
        return rule(f"{size} bytes", lambda value: isinstance(value, bytes) and len(value) == size)
    return rule(
        f"bytes, {size} for each of at most {at_most:,}",
        lambda value: isinstance(value, bytes) and len(value) % size == 0 and len(value) <= size * at_most,
    )


_KINDS: Final[dict[Callable[[Any], bool], str]] = {
    is_text: "text",
    is_integer: "integer",
    is_time: "time",
    is_positive: "positive",
    is_share: "share",
}
"""Rules of one predicate that the core knows."""

TEXT: Final = rule("text", is_text)
INTEGER: Final = rule("an integer", is_integer)
BYTES: Final = rule("bytes", lambda value: isinstance(value, bytes))


# Lists and maps


def _first_fault(entries: Iterable[tuple[str | int, Any]], entry: Rule) -> Fault | None:
    for key, value in entries:
        if fault := entry.fault(value):
            return fault._replace(where=(key, *fault.where))
    return None


def list_of_text(expected: str) -> Rule:
    """Make a rule for a list of texts."""

    def fault(value: Any) -> Fault | None:
        if not isinstance(value, (list, tuple)):
            return Fault(expected, shown(value))
        return None if {str}.issuperset(map(type, value)) else _first_fault(enumerate(value), TEXT)

    return rule_of_parts(expected, fault, "names")


def list_of_integers(expected: str) -> Rule:
    """Make a rule for integers in a list or a one-dimensional ndarray."""

    def fault(value: Any) -> Fault | None:
        if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "iu":
            return None
        if not isinstance(value, (list, tuple)):
            return Fault(expected, shown(value))
        return None if _INTEGER_TYPES.issuperset(map(type, value)) else _first_fault(enumerate(value), INTEGER)

    return rule_of_parts(expected, fault)


def list_of_bytes(most: int) -> Rule:
    """Make a rule for a list of at most ``most`` byte strings."""
    expected = f"a list of at most {most:,} byte strings"

    def fault(value: Any) -> Fault | None:
        if not isinstance(value, (list, tuple)):
            return Fault(expected, shown(value))
        if len(value) > most:
            return Fault(expected, f"{len(value):,} entries")
        return None if {bytes}.issuperset(map(type, value)) else _first_fault(enumerate(value), BYTES)

    return rule_of_parts(expected, fault)


def map_of(entry: Rule, expected: str) -> Rule:
    """Make a rule for a map from text to values of another rule."""

    def fault(value: Any) -> Fault | None:
        if not isinstance(value, dict):
            return Fault(expected, shown(value))
        for key in value:
            if not is_text(key):
                return Fault("a map whose keys are text", f"the key {shown(key)}")
        return _first_fault(value.items(), entry)

    def accepts(value: Any) -> bool:
        return isinstance(value, dict) and all(map(is_text, value)) and all(map(entry.accepts, value.values()))

    return Rule(expected, fault, accepts, _KINDS_OF_MAPS.get(entry.kind, ""))


_KINDS_OF_MAPS: Final = {"share": "shares", "feature": "features"}


def number_or_one_a_lead(expected: str, accepts: Callable[[Any], bool], suit: Callable[[Any], Any]) -> Rule:
    """Make a rule for one number or a number for each lead, as a list or a one-dimensional ndarray.

    Args:
        expected: description of one number.
        accepts: predicate for one number.
        suit: predicate for the entries of an ndarray, all at once.
    """
    single = rule(expected, accepts)
    kind = "nonzero or one a lead" if accepts is is_nonzero else "finite or one a lead" if accepts is is_finite else ""
    widened = f"{expected}; or a list of such, one for each lead"

    def fault(value: Any) -> Fault | None:
        if isinstance(value, (list, tuple)):
            return _first_fault(enumerate(value), single)
        if isinstance(value, np.ndarray):
            fits = value.ndim == 1 and value.dtype.kind in "iuf" and bool(np.all(suit(value)))
        else:
            fits = accepts(value)
        return None if fits else Fault(widened, shown(value))

    return rule_of_parts(widened, fault, kind)


def are_nonzero(values: npt.NDArray[Any]) -> Any:
    """Return for each entry whether it is finite and not 0."""
    return np.isfinite(values) & (values != 0)


# Signals and features


def _numbers_fault(values: Sequence[Any]) -> Fault | None:
    if _NUMBER_TYPES.issuperset(map(type, values)):
        return None
    wrong = next(compress(range(len(values)), map(not_, map(is_number, values))), None)
    return None if wrong is None else Fault("a number", shown(values[wrong]), (wrong,))


def _rows_fault(rows: Sequence[Any]) -> Fault | None:
    width = len(rows[0])
    for lead, row in enumerate(rows):
        if not isinstance(row, (list, tuple)):
            return Fault("a list of numbers, as the first lead is", shown(row), (lead,))
        if len(row) != width:
            return Fault(f"as long as the first lead, which has {width} samples", f"{len(row)} samples", (lead,))
        if fault := _numbers_fault(row):
            return fault._replace(where=(lead, *fault.where))
    return None


def _nested_numbers_fault(values: Sequence[Any]) -> Fault | None:
    nested = len(values) > 0 and isinstance(values[0], (list, tuple))
    return _rows_fault(values) if nested else _numbers_fault(values)


_SIGNAL: Final = "numbers, [samples] or [leads, samples], as a list or an ndarray"
_FEATURE: Final = "a number, a list of numbers or an ndarray of numbers"


def _signal_fault(value: Any) -> Fault | None:
    if isinstance(value, (list, tuple)):
        return _nested_numbers_fault(value)
    fits = isinstance(value, np.ndarray) and value.dtype.kind in "iuf" and value.ndim in {1, 2}
    return None if fits else Fault(_SIGNAL, shown(value))


def _feature_fault(value: Any) -> Fault | None:
    if isinstance(value, (list, tuple)):
        return _nested_numbers_fault(value)
    fits = is_number(value) or (isinstance(value, np.ndarray) and value.dtype.kind in "biuf")
    return None if fits else Fault(_FEATURE, shown(value))


def _is_feature(value: Any) -> bool:
    return type(value) is float or _feature_fault(value) is None


SIGNAL: Final = rule_of_parts(_SIGNAL, _signal_fault, "signal")
FEATURE: Final = Rule(_FEATURE, _feature_fault, _is_feature, "feature")


def lead_count(signal: Any) -> int | None:
    """Return the number of leads of a two-dimensional signal; None for a one-dimensional one."""
    if isinstance(signal, np.ndarray):
        return len(signal) if signal.ndim == 2 else None
    return len(signal) if signal and isinstance(signal[0], (list, tuple)) else None
