"""Where in a message: the text that errors name a place with, as in ``data["leads"][3]``."""

from __future__ import annotations

from collections.abc import Iterable

ROOT = "data"
LONGEST_KEY = 40


def path_text(keys: Iterable[str | int]) -> str:
    """The path from the message's root through map keys and array indices."""
    return ROOT + "".join(f"[{_segment(key)}]" for key in keys)


def _segment(key: str | int) -> str:
    if not isinstance(key, str):
        return str(int(key))
    # Keys come from the wire and end up in logs: no control characters, no novels.
    text = key[:LONGEST_KEY].encode("unicode_escape").decode("ascii")
    return f'"{text}…"' if len(key) > LONGEST_KEY else f'"{text}"'
