"""Reporting errors in the user's data or environment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from ..errors import ProtocolError
from ..libraries import MissingLibrary, how_to_install
from ..tools import ToolError


@contextmanager
def plain_errors() -> Iterator[None]:
    """Report errors in the user's data or environment as one line on stderr, and exit with code 1."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        _fail(f"{error.filename}: {reason}" if error.filename else reason)
    except MissingLibrary as error:
        _fail(str(error))
    except ImportError as error:
        if not error.name or error.name.startswith("ecgframe"):
            raise
        name = error.name.partition(".")[0]
        _fail(f"this needs {name}, which cannot be imported ({error}): {how_to_install('all')}")
    except (ProtocolError, ToolError) as error:
        _fail(str(error))
    except ValueError as error:
        if not isinstance(error, _errors_of_files()):
            raise
        _fail(str(error))


def _errors_of_files() -> tuple[type[ValueError], ...]:
    from ..frame_file import FrameFileError  # noqa: PLC0415 - only for commands that read recordings, and for errors
    from ..records import RecordError  # noqa: PLC0415 - as above

    return FrameFileError, RecordError


def _fail(problem: str) -> NoReturn:
    from rich.text import Text  # noqa: PLC0415 - most commands end without an error

    from ..foreign_text import printable  # noqa: PLC0415 - as above
    from .console import Terminal  # noqa: PLC0415 - as above

    Terminal(stderr=True).print(Text.assemble(("error: ", "bold red"), printable(problem)), soft_wrap=True)
    raise typer.Exit(1)
