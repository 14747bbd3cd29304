"""A dict with one additional entry, for the packers, because copying a large dict takes long."""

from __future__ import annotations

from typing import Any, final


@final
class WithEntry:
    """Is packed like ``{**entries, key: value}``. The key must not be among the entries.

    Args:
        entries: the other entries. They are not copied, and must not change before they are packed.
        key: key of the last entry.
        value: value of the last entry.
    """

    __slots__ = ("entries", "key", "value")

    def __init__(self, entries: dict[Any, Any], key: str, value: Any) -> None:
        self.entries = entries
        self.key = key
        self.value = value
