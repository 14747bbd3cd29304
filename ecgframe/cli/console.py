"""Printing safely: no markup and no control characters from peers or files, in any encoding of the terminal."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Iterable
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, Final

import typer
from rich.console import Console
from rich.segment import Segment
from typer.core import TyperGroup

from ..foreign_text import json_text, printable, printable_lines

if TYPE_CHECKING:
    from rich.console import ConsoleOptions, RenderableType

PLAIN: Final = str.maketrans(
    {
        **dict(zip("▁▂▃▄▅▆▇█", "_.,-=+*#", strict=True)),
        **dict.fromkeys("▏▎▍▌▋▊▉", "#"),
        "→": "->",
        "←": "<-",
        "\N{MULTIPLICATION SIGN}": "x",
        "✗": "x",
        "✓": "ok",
        "…": "...",
        "·": ".",
        "µ": "u",
        "≤": "<=",
        "\N{EN DASH}": "-",
        "—": "-",
        "•": "*",
        "━": "-",
        "╸": "-",
        "╺": "-",
    }
)
"""ASCII replacements for the symbols that the commands print, for encodings that lack them."""

ERRORS: Final = "ecgframe-plain"


class Terminal(Console):
    """A console for untrusted text: it interprets no markup and no emoji codes, and prints no control characters.

    Colours and positions come from styles and from Rich's controls, never from the text itself.

    Args:
        options: options of ``rich.console.Console``, such as ``stderr=True``.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "markup": False, "emoji": False, "highlight": False})

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render to segments, escaping any unprintable text that was not passed through ``printable`` before."""
        for piece in super().render(renderable, options):
            text, style, control = piece
            yield piece if control or text.isprintable() else Segment(printable_lines(text), style)

    def say(self, text: str, style: str | None = None) -> None:
        """Print one line. Only the terminal wraps it."""
        self.print(printable(text), style=style, soft_wrap=True)


def say(*lines: str, err: bool = False) -> None:
    """Print lines on standard output, or on standard error."""
    terminal = Terminal(stderr=err)
    for line in lines:
        terminal.say(line)


def print_json(value: Any, *, indent: int | None = None) -> None:
    """Print a value as JSON on standard output: one line, unless it is indented. See ``json_text``."""
    typer.echo(json_text(value, indent=indent))


class GatedGroup(TyperGroup):
    """The group of commands. Escapes usage errors, which may quote file names with control characters."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; make the message of a usage error printable."""
        try:
            return super().invoke(ctx)
        except Exception as error:  # click's UsageError; newer versions of typer vendor it under another name
            if hasattr(error, "format_message") and isinstance(message := getattr(error, "message", None), str):
                error.message = printable_lines(message)  # type: ignore[attr-defined]
            raise


def take_any_encoding() -> None:
    """Make stdout and stderr accept every character: those that their encoding lacks are written in ASCII."""
    codecs.register_error(ERRORS, _in_ascii)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=ERRORS)


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end].translate(PLAIN)
    return lacking.encode("ascii", "backslashreplace").decode("ascii"), error.end
