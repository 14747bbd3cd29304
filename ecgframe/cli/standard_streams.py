"""Standard input and output on the command line: the path ``-``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import typer

STREAM: Final = Path("-")
STDIN: Final = "standard input"
STDOUT: Final = "standard output"


def name_of(path: Path, stream: str) -> str:
    """Return how a message names the path: ``stream`` for ``-``."""
    return stream if path == STREAM else str(path)


def refuse_a_terminal(what: str, way_out: str) -> None:
    """Refuse to write binary data to a terminal.

    Raises:
        typer.BadParameter: standard output is a terminal.
    """
    if sys.stdout.isatty():
        raise typer.BadParameter(f"{what} would go to a terminal; {way_out}", param_hint="--output")
