from typing_extensions import Buffer

__all__ = ["repeats_last_four"]

def repeats_last_four(buffer: Buffer) -> bool: ...
