from typing import Any, Final

from typing_extensions import disjoint_base

__all__ = ["CAN_SEND_TO_ALL", "OTHER_ENCODING", "QUEUE", "Recipient", "send_to_all"]

CAN_SEND_TO_ALL: Final[bool]
QUEUE: Final[int]
OTHER_ENCODING: Final[int]

@disjoint_base
class Recipient:
    descriptor: int
    is_held: bool
    has_waiting: bool
    closing: Any
    encoding: Any
    passed: int
    _room: int
    _sent_at: float
    def record_sent(self, nbytes: int, frames: int, now: float) -> None: ...

def send_to_all(
    recipients: tuple[Recipient, ...], encoding: Any, message: bytes, nbytes: int, now: float
) -> list[tuple[int, int]]: ...
