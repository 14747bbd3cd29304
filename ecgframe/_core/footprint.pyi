from ._header import FlatBuffer

__all__ = ["footprint"]

def footprint(flat: FlatBuffer, start: int, stop: int) -> int: ...
