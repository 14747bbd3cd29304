"""Paths of values in a message, for errors, as in ``data["leads"][3]``."""

from __future__ import annotations

from collections.abc import Iterable

ROOT = "data"

LONGEST_TEXT = 40
"""Characters of a text that are shown."""

MAX_BITS = 70
"""Bits from which on an integer is not shown: Python refuses to print integers of thousands of digits."""


def path_text(keys: Iterable[str | int]) -> str:
    """Return the text of a path of map keys and array indices."""
    return ROOT + "".join(f"[{_segment(key)}]" for key in keys)


def _segment(key: str | int) -> str:
    if isinstance(key, str):
        return quoted(key)
    return str(int(key)) if int(key).bit_length() < MAX_BITS else f"an int of {key.bit_length()} bits"


def quoted(text: str) -> str:
    """Quote received text for an error: without control characters, and shortened, since errors are logged."""
    shown = text[:LONGEST_TEXT].encode("unicode_escape").decode("ascii")
    return f'"{shown}…"' if len(text) > LONGEST_TEXT else f'"{shown}"'
