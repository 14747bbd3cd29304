"""The tokens of ``ecgframe serve --tokens``."""

from __future__ import annotations

from pathlib import Path

import typer

from ...server.token_file import TokenFile


def load_tokens(path: Path) -> TokenFile:
    """Load a file of tokens.

    Raises:
        typer.BadParameter: the file is not of this form.
        OSError: it cannot be read.
    """
    try:
        return TokenFile(path)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--tokens") from None
