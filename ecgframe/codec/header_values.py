"""Checks the values of a header before a frame is sent: version, timestamp, stream and sequence."""

from __future__ import annotations

from operator import index

from .._core import form_fault
from .._core.form import describe_fault
from ..protocol import LARGEST_SEQUENCE, LARGEST_STREAM_ID, LARGEST_TIMESTAMP, VERSIONS

__all__ = ["check_known", "check_numbering", "check_timestamp"]


def check_numbering(type: int, version: int, flags: int, form: int, stream_id: int, sequence: int) -> None:
    """Reject what check 6 of the receiver would reject."""
    if version >= 4:
        if not 0 <= stream_id <= LARGEST_STREAM_ID:
            raise ValueError(f"a stream id is a number from 0 to {LARGEST_STREAM_ID}, not {stream_id}")
        if not 0 <= sequence <= LARGEST_SEQUENCE:
            raise ValueError(f"a sequence is a number from 0 to {LARGEST_SEQUENCE}, not {sequence}")
        if fault := form_fault(type, flags, form, stream_id, sequence):
            text, _ = describe_fault(fault, type, form, stream_id, sequence)
            raise ValueError(text)
    elif stream_id or sequence or form:
        raise ValueError(f"a V{version} frame has neither stream, sequence nor form; V4 has")


def check_known(version: int) -> int:
    """Return the version as an integer, if it is one of the protocol."""
    if version not in VERSIONS:
        raise ValueError(f"protocol version {version!r} is none of {VERSIONS}")
    return index(version)


def check_timestamp(timestamp: int) -> int:
    """Return the timestamp as an integer, if a header can have it."""
    if not 0 <= timestamp <= LARGEST_TIMESTAMP:
        raise ValueError(f"a timestamp is microseconds since 1970 in 64 bits, not {timestamp}")
    return index(timestamp)
