"""Loading the file of alarms."""

from __future__ import annotations

from pathlib import Path

import typer

from ...server.alarm_file import AlarmFile


def load_alarms(path: Path) -> AlarmFile:
    """Load the file in which alarms and limits are kept.

    Raises:
        typer.BadParameter: the file is not of this form.
        OSError: it cannot be read.
    """
    try:
        return AlarmFile(path)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--alarms") from None
