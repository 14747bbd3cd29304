"""``ecgframe keys``."""

# No ``from __future__ import annotations`` here: typer reads the annotations, as objects.

from pathlib import Path
from typing import Annotated

import typer

from ..options import positive
from ..plain_errors import plain_errors

keys = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Make, rotate and list the keys of sealed streams. The file of keys is as secret as the streams.",
)

File = Annotated[Path, typer.Argument(metavar="KEYS", help="The file of keys (JSON).")]
Streams = Annotated[list[str], typer.Argument(metavar="STREAM...", help="Names of streams, such as **ecg/1**.")]


@keys.command()
def new(file: File, streams: Streams) -> None:
    """Make a key for each stream, and add them to the file.

    The file is created if it does not exist, readable by its owner only. A stream that has keys already is an error:
    **ecgframe keys rotate** gives it another one.
    """
    with plain_errors():
        from .run import make_keys  # noqa: PLC0415 - only for this command

        make_keys(file, streams)


@keys.command()
def rotate(
    file: File,
    streams: Annotated[
        list[str] | None,
        typer.Argument(metavar="STREAM...", help="Names of streams. Default: all streams in the file."),
    ] = None,
    *,
    after: Annotated[
        float,
        typer.Option(
            callback=positive,
            metavar="SECONDS",
            help="When the new keys begin, in seconds from now. Servers hand them out in the last minute before, so "
            "less than 70 seconds may cost viewers a moment.",
        ),
    ] = 120,
) -> None:
    """Give streams new keys, which begin later; the present ones end then.

    A server that was started with **serve --stream-keys** reads the changed file within seconds. Keys that ended more
    than a day ago are removed. Viewers to whom the server gives no new key are locked out when it begins.
    """
    with plain_errors():
        from .run import rotate_keys  # noqa: PLC0415 - only for this command

        rotate_keys(file, streams or [], after)


@keys.command("list")
def list_keys(
    file: File,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the keys in a file, without their secrets."""
    with plain_errors():
        from .run import show_keys  # noqa: PLC0415 - only for this command

        show_keys(file, as_json=as_json)
