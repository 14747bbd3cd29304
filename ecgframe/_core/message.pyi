from datetime import datetime
from typing import Any

from typing_extensions import disjoint_base

from ..protocol import Flag, MessageType
from ._header import Header

__all__ = ["Message", "message_of"]

@disjoint_base
class Message:
    data: Any
    nbytes: int
    @property
    def type(self) -> MessageType: ...
    @property
    def version(self) -> int: ...
    @property
    def flags(self) -> Flag: ...
    @property
    def timestamp(self) -> int | None: ...
    @property
    def sent_at(self) -> datetime | None: ...
    def __init__(
        self,
        type: MessageType | int,
        data: Any,
        version: int,
        flags: Flag | int,
        timestamp: int | None,
        nbytes: int = 0,
    ) -> None: ...

def message_of(header: Header, data: Any, nbytes: int) -> Message: ...
