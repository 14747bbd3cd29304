from collections.abc import Callable
from typing import Any

from ._header import FlatBuffer
from .frame import PendingFrame

__all__ = ["pack", "pack_frame", "pack_frame_into"]

def pack(obj: Any, max_payload: int, binary: bool, convert: Callable[[Any], Any] | None = None) -> bytes: ...
def pack_frame(
    version: int,
    type: int,
    flags: int,
    timestamp: int,
    obj: Any,
    max_payload: int,
    binary: bool,
    longest: int,
    form: int = 0,
    stream_id: int = 0,
    sequence: int = 0,
    convert: Callable[[Any], Any] | None = None,
) -> bytes | PendingFrame: ...
def pack_frame_into(
    target: FlatBuffer,
    offset: int,
    version: int,
    type: int,
    flags: int,
    timestamp: int,
    obj: Any,
    max_payload: int,
    binary: bool,
    longest: int,
    form: int = 0,
    stream_id: int = 0,
    sequence: int = 0,
    convert: Callable[[Any], Any] | None = None,
) -> int | PendingFrame: ...
