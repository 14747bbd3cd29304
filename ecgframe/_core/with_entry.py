"""A map with one entry more than a dict has, for the packers: to copy a large dict takes long."""

from __future__ import annotations

from typing import Any, final


@final
class WithEntry:
    """Packs as ``{**entries, key: value}`` does, where the key is not among the entries.

    Args:
        entries: of the map; not copied, and not to be changed until it is packed.
        key: of the last entry.
        value: of the last entry.
    """

    __slots__ = ("entries", "key", "value")

    def __init__(self, entries: dict[Any, Any], key: str, value: Any) -> None:
        self.entries = entries
        self.key = key
        self.value = value
