from collections.abc import Callable, Iterable, Mapping
from typing import Any, final

from .message import Message

__all__ = ["FieldTable", "accepts_fields"]

@final
class FieldTable:
    def __init__(
        self,
        fields: Mapping[str, tuple[str, Callable[[Any], bool], frozenset[str] | None]],
        needs: Iterable[frozenset[str]],
        one_a_lead: Iterable[str],
        anything: bool = False,
    ) -> None: ...
    def accepts(self, data: Any) -> bool: ...

def accepts_fields(tables: list[FieldTable | None], message: Message) -> bool: ...
