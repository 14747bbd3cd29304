"""Printing in any encoding of the terminal."""

from __future__ import annotations

import codecs
import sys
from io import TextIOWrapper
from typing import Final

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
