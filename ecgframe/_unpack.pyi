from typing import Any

from ._header import FlatBuffer

__all__ = ["unpack"]

def unpack(flat: FlatBuffer, start: int, stop: int, numeric: bool) -> Any: ...
