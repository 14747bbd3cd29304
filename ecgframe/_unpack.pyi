from typing import Any

from typing_extensions import Buffer

__all__ = ["unpack"]

def unpack(buffer: Buffer, numeric: bool) -> Any: ...
