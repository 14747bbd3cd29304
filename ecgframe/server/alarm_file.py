"""The alarms and limits of a server in a file, so that they outlast it."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from ..background.threads import in_thread
from .alarm_book import AlarmBook
from .logs import logger
from .tasks import begin

__all__ = ["AlarmFile"]

BETWEEN_WRITES: Final = 0.25
"""Seconds from one write to the next: alarms may come in hundreds."""

LARGEST: Final = 16 * 1024 * 1024
"""Bytes that the file may have."""


class AlarmFile:
    """Writes an alarm book to a file whenever it has changed. Nobody but its owner may read the file.

    Args:
        path: path of the file. It is made with the first change if there is none.

    Attributes:
        book: what the file had when it was read, and what is written.

    Raises:
        ValueError: the file is not of this form.
        OSError: it cannot be read, or its folder cannot be written to.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._is_changed = False
        self._writing: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self.book = _read(self._path)

    def changed(self) -> None:
        """Write the book at once, or ``BETWEEN_WRITES`` after the last time. What changes meanwhile is written too."""
        self._is_changed = True
        if self._writing is None:
            self._writing = begin(self._write())

    async def close(self) -> None:
        """Wait until all changes are written. From then on, each change is written at once."""
        self._closing.set()
        while self._writing is not None:
            await asyncio.shield(self._writing)

    async def _write(self) -> None:
        await asyncio.sleep(0)  # several changes of one turn are one
        try:
            while self._is_changed:
                self._is_changed = False
                try:
                    await in_thread(_replace, self._path, self.book.to_json())
                except OSError as error:
                    logger.error("the alarms were not written to their file: %s", error)
                with suppress(TimeoutError):
                    async with asyncio.timeout(BETWEEN_WRITES):
                        await self._closing.wait()
        finally:
            self._writing = None


def _read(path: Path) -> AlarmBook:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except FileNotFoundError:
        if not os.access(path.parent, os.W_OK):
            raise PermissionError(f"{path.parent} is no folder that can be written to") from None
        return AlarmBook()
    if len(content) > LARGEST:
        raise ValueError(f"{path}: a file of alarms has at most {LARGEST:,} bytes")
    try:
        return AlarmBook.from_json(json.loads(content))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: this is no file of alarms: {error}") from error


def _replace(path: Path, saved: dict[str, Any]) -> None:
    """Replace the file at once, so that it is never half written."""
    text = json.dumps(saved, allow_nan=False)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
