# cython: binding=True
"""A frame that is packed and compressed, and waits for its timestamp, stream and sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .encoded_frame import EncodedFrame, describe_frame
from .header_values import check_numbering, check_timestamp

if TYPE_CHECKING:
    from .._core.frame import PendingFrame

__all__ = ["PreparedFrame"]


class PreparedFrame:
    """A frame that is complete except for its timestamp, stream and sequence; ``Codec.prepare`` returns it.

    Attributes:
        flags: flags of the header, including COMPRESSED if the payload is compressed.
        packed: size of the payload before compression, in bytes.
        nbytes: size of the payload in the frame, in bytes.
        version: protocol version.
        form: form of the header as an integer; 0 before V4.
    """

    __slots__ = ("_pending", "_type", "flags", "form", "nbytes", "packed", "version")

    def __init__(self, pending: PendingFrame, version: int, type: int, flags: int, packed: int, form: int = 0) -> None:
        self.form = form
        self.flags = flags
        self.packed = packed
        self.nbytes = pending.nbytes
        self.version = version
        self._pending = pending
        self._type = type

    def finish(self, timestamp: int | None, stream_id: int = 0, sequence: int = 0) -> EncodedFrame:
        """Add timestamp, stream and sequence, and return the frame. This takes no longer for a large frame.

        Args:
            timestamp: microseconds since the Unix epoch; None for V1 and V2, which have no timestamps.
            stream_id: number of the stream, V4 only; see ``Codec.encode``.
            sequence: number of the message in the stream, V4 only.

        Raises:
            ValueError: the timestamp, stream or sequence is out of range, or ``finish`` was called before.
        """
        if (timestamp is None) != (self.version < 3):
            raise ValueError(f"a V{self.version} frame has {'no' if self.version < 3 else 'a'} timestamp")
        stamp = 0 if timestamp is None else check_timestamp(timestamp)
        check_numbering(self._type, self.version, self.flags, self.form, stream_id, sequence)
        frame = self._pending.finish(self.version, self._type, self.flags, stamp, self.form, stream_id, sequence)
        return describe_frame(
            frame, self.version, self._type, self.flags, stamp, self.packed, self.form, stream_id, sequence
        )
