"""Messages of streams as records of version 4, as a server sends them: a template once, then the samples."""

from __future__ import annotations

from typing import Any, Final, Literal

import numpy.typing as npt

from ..codec import Codec, RecordTemplate
from ..compression import Compression
from ..exact import ExactSamples
from ..messages.templates import Template, record_content, template_key
from ..protocol import Form, MessageType

VERSION: Final = 4
"""The version that has records."""

_STREAM: Final = "ecg/1"
_STREAM_ID: Final = 1
_NUMBER: Final = 2  # any number of a message; it does not change the size

Filter = Literal["none", "delta"]


class RecordCoder:
    """Encodes ECG_DATA messages to frames with records, and decodes them.

    With the filter DELTA, float64 samples are sent as the counts that they were, if they are found, and arrive as the
    same floats. The filter does not apply to other floats.

    Args:
        filter: the filter that the viewer reads.
        compressed: whether payloads may be compressed.

    Attributes:
        template_bytes: bytes of the frames of the templates that were needed so far.
    """

    def __init__(self, filter: Filter, *, compressed: bool) -> None:
        self.template_bytes = 0
        self._codec = Codec(version=VERSION, compression=Compression() if compressed else None)
        self._delta = filter == "delta"
        self._exact: dict[str, ExactSamples] = {}
        self._by_key: dict[tuple[str, bytes], Template] = {}
        self._by_number: dict[tuple[int, int], RecordTemplate] = {}

    @property
    def templates(self) -> int:
        """Number of templates that were needed so far."""
        return len(self._by_key)

    def encode(self, message: Any) -> bytes:
        """Encode a message. Its template is encoded as well, if it is a new one.

        Raises:
            ValueError: the message cannot be a record.
            MessageTooLarge: its fields are too large for a template, or its samples for a payload.
        """
        if not isinstance(message, dict):
            raise ValueError("only a map can be a record")
        stream = message.get("stream", _STREAM)
        missing = scale = None
        if self._delta:
            found = self._exact.setdefault(stream, ExactSamples()).take(message.get("signal"))
            if found is not None:
                message = {**message, "signal": found.counts}
                missing, scale = found.missing, found.scale
        content = record_content(message, stream)
        if content is None:
            raise ValueError("this message cannot be a record")
        key = stream, template_key(content, missing=missing, scale=scale)
        template = self._by_key.get(key)
        if template is None:
            template = Template.of(content, len(self._by_key) + 1, stream, missing=missing, scale=scale)
            fields = template.fields_on_the_wire()
            frame = self._codec.encode(MessageType.STREAM_TEMPLATE, fields, stream_id=_STREAM_ID, sequence=1)
            self.template_bytes += len(frame)
            self._by_key[key] = self._by_number[_STREAM_ID, template.number] = template
        payload = template.encode(content.signal, content.time, content.sequence, delta=self._delta)
        return self._codec.encode(
            MessageType.ECG_DATA, payload, stream_id=_STREAM_ID, sequence=_NUMBER, form=Form.RECORD
        )

    def decode(self, frame: bytes) -> npt.NDArray[Any]:
        """Decode a frame to its samples."""
        signal: npt.NDArray[Any] = self._codec.decode(frame, None, self._by_number).data["signal"]
        return signal
