from typing_extensions import Buffer

__all__ = ["ends_once_with"]

def ends_once_with(buffer: Buffer, number: int) -> bool: ...
