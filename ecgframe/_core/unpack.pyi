from typing import Any

from ._header import FlatBuffer, Header

__all__ = ["unpack", "unpack_checked"]

def unpack(flat: FlatBuffer, start: int, stop: int, numeric: bool, copy: bool) -> Any: ...
def unpack_checked(flat: FlatBuffer, offset: int, header: Header, numeric: bool, copy: bool) -> Any: ...
