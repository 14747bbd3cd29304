"""The error of the bridge."""

from __future__ import annotations


class BridgeError(RuntimeError):
    """The bridge cannot pass a stream on. The message says which stream, why, and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
