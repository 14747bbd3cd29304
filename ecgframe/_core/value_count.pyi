from ._header import FlatBuffer

__all__ = ["count_numbers"]

def count_numbers(flat: FlatBuffer, start: int, stop: int, most_others: int) -> tuple[int, int, int]: ...
