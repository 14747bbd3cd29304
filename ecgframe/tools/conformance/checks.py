"""Checks of a case, and the exceptions for its outcome."""

from __future__ import annotations

from math import inf
from typing import Any, Final

import numpy as np

from ..value_summary import in_words

LONGEST: Final = 120
"""Characters of a payload that a reason quotes."""


class Failed(Exception):
    """The peer violates the rule. The text says what was expected, and what was received."""


class NotApplicable(Exception):
    """The rule concerns something that the peer does not offer, or that the user did not enable."""


def require(holds: object, words: str) -> None:
    """Raise ``Failed`` with the words unless ``holds`` is true."""
    if not holds:
        raise Failed(words)


def shown(value: Any) -> str:
    """Describe a payload, abbreviated."""
    words = in_words(value)
    return words if len(words) <= LONGEST else f"{words[:LONGEST]}…"


def alike(found: Any, expected: Any) -> bool:
    """Return whether values are equal, including types, dtypes and shapes; ``...`` in ``expected`` matches anything."""
    if expected is ...:
        return True
    if isinstance(expected, np.ndarray):
        same = isinstance(found, np.ndarray) and (found.dtype, found.shape) == (expected.dtype, expected.shape)
        return same and bool(np.array_equal(found, expected))
    return type(found) is type(expected) and bool(found == expected)


def require_catch_up(wish: dict[str, Any]) -> None:
    """Check ``catch_up`` of a SUBSCRIBE; raise ``NotApplicable`` if it has none, or no place that it would follow."""
    age = wish.get("catch_up")
    if age is None or (wish.get("since") is None and wish.get("after") is None):
        raise NotApplicable("the client does not ask for the present first")
    is_age = isinstance(age, int | float) and not isinstance(age, bool) and 0 < age < inf
    require(is_age, f"catch_up is {shown(age)}; it is a finite number of seconds above 0")
