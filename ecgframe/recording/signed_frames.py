"""Records a signed stream as it was received: V4 frames with templates, signatures and attestations, for ``verify``.

Each stream of the file begins with its opening, which names the epoch. Gaps are not filled: nobody has signed what was
not received. Section "Signatures" of the specification.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import numpy as np

from .._core import build_frame
from ..codec import Codec
from ..protocol import Flag, Form, MessageType
from ..records import RecordError
from ..records.new_files import NewFile
from .stream_recorder import StreamSummary

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ..client import Gap
    from ..codec import Message
    from ..session.sealed_streams import KeptMessage

REMEMBERED: Final = 8192
"""Numbers of messages that are remembered, so that a repeated message is written once."""

_KEPT_FLAGS: Final = int(Flag.PRIORITY | Flag.SIGNED)
_RECORD: Final = int(Form.RECORD)
_TEMPLATE: Final = int(MessageType.STREAM_TEMPLATE)
_codec: Final = Codec(ndarray="binary")


class SignedRecorder:
    """Records one stream with its signatures. It has the methods of ``StreamRecorder``, and ``keep`` for the messages.

    Args:
        stream: name of the stream.
        next_path: returns the path of the file, where nothing exists. It is called with the first message.
    """

    def __init__(self, stream: str, next_path: Callable[[], Path]) -> None:
        self.summary = StreamSummary(stream)
        self._next_path = next_path
        self._file: NewFile | None = None
        self._epoch = 0
        self._id = 0
        self._written: OrderedDict[int, None] = OrderedDict()
        self._written_templates: set[int] = set()
        self._waits = False

    @property
    def waits(self) -> bool:
        """True if the latest message has no signature of its own and is not attested yet."""
        return self._waits

    def keep(self, kept: KeptMessage) -> None:
        """Write a message, and before it its template, if that was not written yet.

        Raises:
            OSError: the file cannot be written.
        """
        if kept.epoch != self._epoch:
            self._begin(kept)
        if kept.number in self._written:
            return
        self._written[kept.number] = None
        if len(self._written) > REMEMBERED:
            self._written.popitem(last=False)
        message, form = kept.message, int(kept.message.form or 0) & _RECORD
        if kept.template is not None and kept.template.number not in self._written_templates:
            self._append(_TEMPLATE, 0, message.timestamp, kept.template.payload, 0, 0)
            self._written_templates.add(kept.template.number)
        if message.type is MessageType.STREAM_TEMPLATE:
            self._written_templates.add(int(message.data["template"]))
        flags = int(message.flags) & _KEPT_FLAGS
        self._append(int(message.type), flags, message.timestamp, kept.payload, form, kept.number)
        self._waits = not flags & Flag.SIGNED and message.type is not MessageType.STREAM_ATTESTATION
        self.summary.signatures += bool(flags & Flag.SIGNED)
        self.summary.attestations += message.type is MessageType.STREAM_ATTESTATION

    def _begin(self, kept: KeptMessage) -> None:
        """Write the opening of another epoch, under another number of the stream."""
        self._epoch = kept.epoch
        self._id += 1
        self._written.clear()
        self._written_templates.clear()
        fields = {"template": 0, "stream": kept.stream, "epoch": kept.epoch}
        self._append(_TEMPLATE, 0, kept.message.timestamp, _codec.pack(fields), 0, 0)

    def _append(self, type: int, flags: int, timestamp: int | None, payload: bytes, form: int, number: int) -> None:
        if self._file is None:
            self._file = NewFile(self._next_path())
            self.summary.files.append(self._file.path)
        self._file.append(build_frame(4, type, flags, timestamp or 0, payload, form, self._id, number))
        self.summary.nbytes = self._file.nbytes

    # --- as a StreamRecorder ---

    def take(self, message: Message) -> None:
        """Count a message that the application got.

        Raises:
            RecordError: it came in an earlier version, which has no signatures.
        """
        summary = self.summary
        if message.version < 4:
            raise RecordError(
                f"the server speaks version {message.version}: signatures and attestations need version 4"
            )
        if message.type is MessageType.ANOMALY_ALERT:
            summary.alerts += 1
            summary.annotated += 1
        elif message.type is MessageType.ECG_DATA:
            samples = np.atleast_2d(np.asarray(message.data["signal"])).shape[1]
            summary.samples += samples
            summary.seconds = round(summary.seconds + samples / message.data["sampling_rate"], 9)
        else:
            summary.messages[message.type.name] = summary.messages.get(message.type.name, 0) + 1
        if not message.sequence or not message.stream_id:
            summary.remark("messages without a number were not written: nothing of them can be verified")

    def take_gap(self, gap: Gap | None = None) -> None:
        """Count a gap, which is not filled."""
        self.summary.unfilled += 1

    def flush(self) -> None:
        """Do nothing: each frame is written when it comes."""

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
            if not (self.summary.signatures or self.summary.attestations):
                self.summary.remark("nothing of the stream was signed, so nothing of the file can be verified")
