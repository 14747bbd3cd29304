"""Fast check of the fields of a message: most valid messages pass it, and need no other.

The plain twin of ``fields.pyx``: the predicates of the rules decide about all values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .message import Message

__all__ = ["FieldTable", "accepts_fields"]


class FieldTable:
    """The rules of a message type. See ``fields.pyx`` for the arguments."""

    def __init__(
        self,
        fields: Mapping[str, tuple[str, Callable[[Any], bool], frozenset[str] | None]],
        needs: Iterable[frozenset[str]],
        one_a_lead: Iterable[str],
        anything: bool = False,
    ) -> None:
        self._accepts = {name: accepts for name, (_, accepts, _) in fields.items()}
        self._needs = tuple(needs)
        self._one_a_lead = tuple(one_a_lead)
        self._anything = anything

    def accepts(self, data: Any) -> bool:
        """Return True if all fields are valid as they are. False says nothing."""
        if self._anything:
            return True
        if type(data) is not dict:
            return False
        for name, value in data.items():
            accepts = self._accepts.get(name)
            if accepts is not None and not accepts(value):
                return False
        if not any(need <= data.keys() for need in self._needs):
            return False
        return not self._one_a_lead or _fits_leads(self._one_a_lead, data)


def accepts_fields(tables: list[FieldTable | None], message: Message) -> bool:
    """Return True if the table of the message's type accepts its data; False if not, or if there is no table yet."""
    table = tables[message.type]
    return table is not None and table.accepts(message.data)


def _fits_leads(names: tuple[str, ...], data: dict[Any, Any]) -> bool:
    signal = data["signal"]
    if isinstance(signal, np.ndarray):
        if signal.ndim != 2:
            return True
    elif not signal or not isinstance(signal[0], (list, tuple)):
        return True
    lists = (value for name in names if isinstance(value := data.get(name), (list, tuple, np.ndarray)))
    return all(len(value) == len(signal) for value in lists)
