"""Counts in sentences."""

from __future__ import annotations


def counted(count: int, what: str) -> str:
    """Return "1 gap" or "1,200 gaps" for a count of gaps."""
    return f"{count:,} {what if count == 1 else what + 's'}"
