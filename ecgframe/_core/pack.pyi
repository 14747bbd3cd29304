from typing import Any

from ._header import FlatBuffer
from .frame import PendingFrame

__all__ = ["pack", "pack_frame", "pack_frame_into"]

def pack(obj: Any, max_payload: int, binary: bool) -> bytes: ...
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
) -> int | PendingFrame: ...
