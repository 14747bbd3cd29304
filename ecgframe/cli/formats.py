"""Formats of numbers that the commands print."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Format seconds, such as "10 s", "30 min 6 s" or "24 h"."""
    whole = round(seconds)
    if seconds < 60:
        return f"{seconds:.4g} s"
    parts = [(whole // 3600, "h"), (whole // 60 % 60, "min"), (whole % 60, "s")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number)


def size(count: float) -> str:
    """Format a number of bytes with a decimal unit, such as "1.5 kB"."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= 0.9995 * factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count:.0f} B"
