from typing import final

__all__ = ["Clock"]

@final
class Clock:
    def next(self) -> int: ...
