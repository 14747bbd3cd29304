"""Where in a message: the text that errors name a place with, as in ``data["leads"][3]``."""

from __future__ import annotations

from collections.abc import Iterable

ROOT = "data"
LONGEST = 40
WIDEST = 70  # bits; Python refuses to print integers of thousands of digits


def path_text(keys: Iterable[str | int]) -> str:
    """The path from the message's root through map keys and array indices."""
    return ROOT + "".join(f"[{_segment(key)}]" for key in keys)


def _segment(key: str | int) -> str:
    if isinstance(key, str):
        return quoted(key)
    return str(int(key)) if int(key).bit_length() < WIDEST else f"an int of {key.bit_length()} bits"


def quoted(text: str) -> str:
    """Text from the wire as an error may show it: it ends up in logs, so no control characters and no novels."""
    shown = text[:LONGEST].encode("unicode_escape").decode("ascii")
    return f'"{shown}…"' if len(text) > LONGEST else f'"{shown}"'
