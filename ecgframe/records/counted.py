"""Counts in messages."""

from __future__ import annotations


def counted(count: int, what: str) -> str:
    """Return the count with its noun, in the plural unless it is 1: "1 frame", "1,200 frames"."""
    return f"{count:,} {what if count == 1 else what + 's'}"
