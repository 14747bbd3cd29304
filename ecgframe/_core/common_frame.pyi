from .message import Message

__all__ = ["decode_common"]

def decode_common(buffer: object, max_payload: int, versions: int, numeric: bool, copy: bool) -> Message | None: ...
