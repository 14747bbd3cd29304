"""Opening the folder of the history."""

from __future__ import annotations

from pathlib import Path

import typer

from ...server.disk_history import DiskHistory


def open_history(folder: Path, hours: float, megabytes: int) -> DiskHistory:
    """Open the folder in which messages are kept.

    Raises:
        typer.BadParameter: another server uses it.
        OSError: it cannot be made, read or written to.
    """
    try:
        return DiskHistory(folder, hours=hours, nbytes=1_000_000 * megabytes)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--history") from None
