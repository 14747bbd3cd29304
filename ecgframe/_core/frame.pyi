import sys
from typing import final

from typing_extensions import Buffer

__all__ = ["PendingFrame", "build_frame", "pending_frame"]

@final
class PendingFrame(Buffer):
    @property
    def room(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def payload(self) -> memoryview: ...
    def replace(self, deflated: Buffer) -> int: ...
    def sum_now(self) -> int: ...
    def finish(
        self,
        version: int,
        type: int,
        flags: int,
        timestamp: int,
        form: int = 0,
        stream_id: int = 0,
        sequence: int = 0,
    ) -> bytes: ...
    if sys.version_info >= (3, 12):
        def __buffer__(self, flags: int, /) -> memoryview: ...

def pending_frame(version: int, payload: Buffer) -> PendingFrame: ...
def build_frame(
    version: int,
    type: int,
    flags: int,
    timestamp: int,
    payload: Buffer,
    form: int = 0,
    stream_id: int = 0,
    sequence: int = 0,
) -> bytes: ...
