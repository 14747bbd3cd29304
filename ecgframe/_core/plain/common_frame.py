"""The plain twin of ``common_frame.pyx``: it leaves every frame to the general way, which takes no longer here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .message import Message

__all__ = ["decode_common"]


def decode_common(buffer: object, max_payload: int, versions: int, numeric: bool, copy: bool) -> Message | None:
    """Return None. See ``common_frame.pyx``."""
    return None
