"""The outputs of a recorder of a stream: writers of files, and the objects that open one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ..codec import Message
    from ..records import Annotation, Record
    from ..records.scaling import Range


class Writer(Protocol):
    """Writes a recording piece by piece, such as ``EdfWriter``, ``WfdbWriter`` and ``FramesWriter``."""

    samples: int
    record: Record

    @property
    def files(self) -> tuple[Path, ...]:
        """Paths of the files."""

    @property
    def nbytes(self) -> int:
        """Bytes written so far."""

    def fits(self, reach: Range) -> bool:
        """Return whether the file can store samples of this range."""

    def append(self, record: Record) -> None:
        """Append samples."""

    def append_missing(self, samples: int) -> None:
        """Append this number of missing samples to each lead."""

    def annotate(self, annotations: Iterable[Annotation]) -> None:
        """Add annotations. Their times count in seconds from the first sample of the file."""

    def flush(self) -> None:
        """Make what was appended readable."""

    def close(self) -> tuple[str, ...]:
        """Close the files. Returns a sentence on each thing that could not be stored exactly."""


class MessageWriter(Writer, Protocol):
    """Writes files that hold messages other than signals, too, with all their fields."""

    @property
    def is_full(self) -> bool:
        """True if a new file should be started."""

    def write_alert(self, note: Annotation, alert: Mapping[str, Any]) -> None:
        """Write an alert, in place of ``annotate``.

        Args:
            note: the alert as an annotation, whose time counts from the first sample of the file.
            alert: the payload as received.
        """

    def write_message(self, message: Message) -> None:
        """Write a message as it was received."""


class Outputs(Protocol):
    """Opens the writers of a stream, one after the other.

    Attributes:
        form: name of the format.
        part: what each writer writes, as messages name it, such as "file".
        keeps_messages: whether each is a ``MessageWriter``.
    """

    form: str
    part: str
    keeps_messages: bool

    def open(self, record: Record, reach: Range) -> Writer:
        """Open the next writer.

        Args:
            record: the first samples; the writer is opened without writing them.
            reach: the range of the samples.

        Raises:
            RecordError, ArithmeticError: the format cannot store such a recording.
            OSError: a file cannot be created.
        """
