"""Signatures of the constructors of compiled classes, for ``inspect.signature``. See ``_signatures.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..protocol import Flag, Form, MessageType


def header(
    version: int,
    type: MessageType,
    flags: Flag,
    length: int,
    checksum: int,
    timestamp: int | None = None,
    form: Form | None = None,
    stream_id: int | None = None,
    sequence: int | None = None,
) -> None:
    """Have the signature of ``Header.__init__``."""


def message(
    type: MessageType | int,
    data: Any,
    version: int,
    flags: Flag | int,
    timestamp: int | None,
    nbytes: int = 0,
    stream_id: int | None = None,
    sequence: int | None = None,
    form: Form | int | None = None,
    stale: bool = False,
    signature: str | None = None,
) -> None:
    """Have the signature of ``Message.__init__``."""
