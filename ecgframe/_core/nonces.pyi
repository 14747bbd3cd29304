from collections.abc import Callable
from typing import Any, final

__all__ = ["NonceCounter", "count_fork"]

def count_fork() -> None: ...

@final
class NonceCounter:
    def __new__(cls, head: bytes, iv: bytes, messages: int, nbytes: int) -> NonceCounter: ...
    def take(self, type: int, flags: int, form: int, nbytes: int) -> tuple[bytes, bytes] | None: ...
    def seal(
        self, encrypt: Callable[[bytes, Any, bytes], bytes], payload: Any, type: int, flags: int, form: int, nbytes: int
    ) -> bytes | None: ...
    def seal_into(
        self, encrypt_into: Callable[..., int], payload: Any, type: int, flags: int, form: int, nbytes: int
    ) -> bytes | None: ...
