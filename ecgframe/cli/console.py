"""Printing safely: no markup and no control characters from peers or files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.segment import Segment

from ..foreign_text import json_text, printable, printable_lines

if TYPE_CHECKING:
    from rich.console import ConsoleOptions, RenderableType


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
