"""Number of examples that Hypothesis tries for properties that need more or fewer than others."""

from __future__ import annotations

from typing import Any

from hypothesis import settings

_WHOLE = 100


def examples(number: int, **others: Any) -> settings:
    """Settings for ``number`` examples with the whole suite's profile, and for a share of them with a shorter one."""
    return settings(max_examples=max(1, number * settings().max_examples // _WHOLE), **others)
