from collections.abc import Callable
from typing import Any, final

__all__ = ["NonceCounter", "count_fork"]

def count_fork() -> None: ...

@final
class NonceCounter:
    def __init__(self, head: bytes, iv: bytes, messages: int, nbytes: int) -> None: ...
    def take(self, type: int, flags: int, form: int, nbytes: int) -> tuple[bytes, bytes] | None: ...
    def seal(
        self, encrypt: Callable[[bytes, Any, bytes], bytes], payload: Any, type: int, flags: int, form: int, nbytes: int
    ) -> bytes | None: ...
