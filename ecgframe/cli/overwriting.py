"""Check that the files of the user are not overwritten."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import typer

from .standard_streams import STREAM


def refuse_to_overwrite(path: Path, force: bool, sources: Iterable[Path] = ()) -> None:
    """Check, before the work begins, that the file may be written.

    Args:
        path: the file to write.
        force: whether an existing file may be replaced.
        sources: the input files, which are never replaced, even if ``path`` names one of them by a link.

    Raises:
        typer.BadParameter: the file exists and may not be replaced, or cannot be created.
    """
    if path == STREAM:
        raise typer.BadParameter("standard output is taken; name a file (./- is one that is called -)")
    if not path.parent.is_dir():
        raise typer.BadParameter(f"{path}: there is no folder {path.parent}")
    if path.exists() and not path.is_file():
        raise typer.BadParameter(f"{path} is not a regular file")
    for source in sources:
        if path.exists() and path.samefile(source):
            which = "is read" if path == source else f"is the same file as {source}, which is read"
            raise typer.BadParameter(f"{path} {which}, and would be lost; choose another name")
    if path.exists() and not force:
        raise typer.BadParameter(f"{path} is there already; --force replaces it")
