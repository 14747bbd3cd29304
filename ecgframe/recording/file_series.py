"""The files of a stream: their names, and their writers, one after the other."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..records.edf_writer import EdfWriter
from ..records.wfdb_writer import WfdbWriter
from ..records.write import files_to_save
from .frames_writer import FramesWriter
from .mcap_writer import McapWriter

if TYPE_CHECKING:
    from ..records import Record
    from ..records.scaling import Range
    from .outputs import Writer

FORMATS: Final = {"edf": ".edf", "bdf": ".bdf", "wfdb": ".hea", "frames": ".frames", "mcap": ".mcap"}
"""The formats and the suffixes of their files."""

OF_MESSAGES: Final = frozenset({"frames", "mcap"})
"""Formats whose files hold messages other than signals and alerts, too."""


class FileSeries:
    """Creates the files of a stream. Nothing that exists is replaced, except for the named file with ``overwrite``.

    Args:
        stream: name of the stream.
        output: a folder, or a file.
        form: one of ``FORMATS``.
        is_folder: whether ``output`` is a folder.
        patient: patient code for the headers of EDF+ and BDF+.
        overwrite: whether ``output`` may be replaced if it is a file.
    """

    part = "file"

    def __init__(
        self, stream: str, output: Path, form: str, *, is_folder: bool, patient: str = "", overwrite: bool = False
    ) -> None:
        self.form = form
        self.keeps_messages = form in OF_MESSAGES
        self._stream = stream
        self._output = output
        self._is_folder = is_folder
        self._patient = patient
        self._overwrite = overwrite

    def next_path(self, start: datetime | None = None) -> Path:
        """Return a path for the next file, where nothing exists.

        Args:
            start: the beginning of the recording, for its name in a folder; None for now.
        """
        return self._next_path(start)

    def open(self, record: Record, reach: Range) -> Writer:
        """Create the next file."""
        while True:
            path = self._next_path(record.start)
            try:
                return self._new_writer(path, record, reach)
            except FileExistsError:  # another process created it first: try the next name
                continue

    def _new_writer(self, path: Path, record: Record, reach: Range) -> Writer:
        if self.form == "frames":
            return FramesWriter(path, record, reach)
        if self.form == "mcap":
            return McapWriter(path, record, reach, stream=self._stream)
        if self.form == "wfdb":
            return WfdbWriter(path, record, reach, comments=[f"stream: {self._stream}"])
        return EdfWriter(path, record, reach, patient=self._patient)

    def _next_path(self, start: datetime | None) -> Path:
        """Return a path for the next file, where nothing exists."""
        suffix = FORMATS[self.form]
        if self._is_folder:
            when = datetime.now(UTC) if start is None else start.astimezone(UTC)
            name = re.sub(r"[^A-Za-z0-9-]+", "_", self._stream).strip("_") or "stream"
            base = self._output / f"{name[:100]}_{when:%Y%m%dT%H%M%S}{suffix}"
        else:
            base = self._output
            if self._overwrite:
                self._overwrite = False
                for file in files_to_save(base):
                    file.unlink(missing_ok=True)
        for number in count(1):
            path = base if number == 1 else base.with_name(f"{base.stem}_{number}{suffix}")
            if not any(map(os.path.lexists, files_to_save(path))):
                return path
        raise AssertionError("unreachable")
