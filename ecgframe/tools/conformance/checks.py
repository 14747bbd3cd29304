"""How a case judges what a peer says."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ..value_summary import in_words

LONGEST: Final = 120
"""Characters of a payload that a reason quotes."""


class Failed(Exception):
    """The peer breaks the rule. The text says what was expected, and what came."""


class NotApplicable(Exception):
    """The rule is about something that the peer does not offer, or that was not asked for."""


def require(holds: object, words: str) -> None:
    """Fail with these words unless it holds."""
    if not holds:
        raise Failed(words)


def told(value: Any) -> str:
    """A payload, short enough for a reason."""
    words = in_words(value)
    return words if len(words) <= LONGEST else f"{words[:LONGEST]}…"


def alike(found: Any, expected: Any) -> bool:
    """Whether they are equal in type and value, and of arrays in dtype and shape; all are like ``...``."""
    if expected is ...:
        return True
    if isinstance(expected, np.ndarray):
        same = isinstance(found, np.ndarray) and (found.dtype, found.shape) == (expected.dtype, expected.shape)
        return same and bool(np.array_equal(found, expected))
    return type(found) is type(expected) and bool(found == expected)
