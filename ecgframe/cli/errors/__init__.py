"""``ecgframe errors``."""

# No ``from __future__ import annotations`` here: typer reads the annotations, as objects.

from pathlib import Path
from typing import Annotated

import typer

from ..plain_errors import plain_errors

EPILOG = """\
**ecgframe serve --error-log errors.jsonl** writes such a log; so does a handler with `on_error=ErrorLog(path)`.

**ecgframe errors errors.jsonl** summarizes it.

Exit code: 0 if the log contains no errors, 3 if it does, 1 if it cannot be read.
"""


def errors(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The log; rotated files beside it are read as well.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Summarize a log of the errors that a server sent, by code and peer, with advice for each code."""
    with plain_errors():
        from .run import summarize_errors  # noqa: PLC0415 - loads the tools

        count = summarize_errors(file, as_json=as_json)
    if count:
        raise typer.Exit(3)
