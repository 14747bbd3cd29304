"""The stream keys of a server in a file, which is read again when it changes."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path
from typing import Final

from ..seal import Key, StoredKeys, keys_from_file
from .logs import logger

BETWEEN_LOOKS: Final = 5.0
"""Seconds between two checks whether the file has changed."""


class KeyFile(StoredKeys):
    """The stream keys in a file, as ``keys_from_file`` reads it.

    Args:
        path: path of the file.

    Raises:
        ValueError: the file is not of this form.
        OSError: it cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._seen = self._stamp()
        super().__init__(_read(self._path))

    @property
    def is_private(self) -> bool:
        """True if nobody but its owner can read the file, as far as its mode says."""
        return is_private(self._path)

    def look(self) -> bool:
        """Read the file again if it has changed. If that fails, the present keys stay, and the log says why.

        Returns:
            True if other keys are in use now.
        """
        try:
            stamp = self._stamp()
            if stamp == self._seen:
                return False
            self.replace(_read(self._path))
        except (OSError, ValueError) as error:
            logger.error("the file of stream keys was not read again: %s", error)
            return False
        self._seen = stamp
        logger.info("the file of stream keys was read again")
        return True

    async def follow(self) -> None:
        """Look at the file every few seconds, until this is cancelled."""
        while True:
            await asyncio.sleep(BETWEEN_LOOKS)
            self.look()

    def _stamp(self) -> tuple[int, int, int]:
        found = self._path.stat()
        return found.st_mtime_ns, found.st_size, found.st_ino


def is_private(path: Path) -> bool:
    """Return whether nobody but its owner can read a file, as far as its mode says.

    Raises:
        OSError: it cannot be looked at.
    """
    return os.name == "nt" or not path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH)


def _read(path: Path) -> list[Key]:
    return list(keys_from_file(path))
