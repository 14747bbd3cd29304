from typing import Any

from ._header import Draft

__all__ = ["pack", "pack_draft"]

def pack(obj: Any, max_payload: int, binary: bool) -> bytes: ...
def pack_draft(room: int, obj: Any, max_payload: int, binary: bool) -> Draft: ...
