from datetime import datetime
from inspect import Signature
from types import GenericAlias
from typing import Any, ClassVar, Generic

from typing_extensions import TypeVar, disjoint_base

from ..protocol import Flag, Form, MessageType
from ._header import Header

__all__ = ["Message", "message_of"]

_Data = TypeVar("_Data", default=Any)

@disjoint_base
class Message(Generic[_Data]):
    __signature__: ClassVar[Signature]
    data: _Data
    nbytes: int
    stale: bool
    signature: str | None
    @property
    def type(self) -> MessageType: ...
    @property
    def version(self) -> int: ...
    @property
    def flags(self) -> Flag: ...
    @property
    def timestamp(self) -> int | None: ...
    @property
    def stream_id(self) -> int | None: ...
    @property
    def sequence(self) -> int | None: ...
    @property
    def form(self) -> Form | None: ...
    @property
    def sent_at(self) -> datetime | None: ...
    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...
    def __init__(
        self,
        type: MessageType | int,
        data: _Data,
        version: int,
        flags: Flag | int,
        timestamp: int | None,
        nbytes: int = 0,
        stream_id: int | None = None,
        sequence: int | None = None,
        form: Form | int | None = None,
        stale: bool = False,
        signature: str | None = None,
    ) -> None: ...

def message_of(header: Header, data: Any, nbytes: int) -> Message: ...
