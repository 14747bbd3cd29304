r"""Escaping of untrusted text from peers and files for terminals, logs, CSV, HTML and JSON.

Stream names, error messages, close reasons, HTTP paths, lead names and file names may contain anything: terminal escape
sequences, bidirectional control characters, line breaks that forge log lines, spreadsheet formulas. ``printable`` makes
all of these visible. Markup is up to the output: ``cli.console`` interprets none, and HTML is additionally escaped by
``html.escape``.

JSON is not passed through ``printable``, since a parser has to restore the original: ``json_text`` writes ASCII only,
with ``\u`` escapes for all other characters.
"""

from __future__ import annotations

import json
import logging
import re
import traceback
from functools import partial
from math import isfinite
from typing import Any, Final

FORMULA: Final = re.compile(r"'*\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")
"""Beginning of a cell that a spreadsheet reads as a formula after removing quotes and blanks in front of it."""

INNER_FORMULA: Final = re.compile(r"([,;]\s*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])")
"""The same within a comment line, which a spreadsheet divides into cells as well."""


def printable(text: object) -> str:
    r"""Return the text, or ``str(text)``, with all unprintable characters escaped.

    Characters that Unicode does not define as printable are written as in a Python literal, ``\x1b`` or ``\u202e``: C0
    and C1 controls, DEL, line breaks of every kind, bidirectional controls and other invisible characters, spaces other
    than U+0020, lone surrogates. All others are kept, including backslashes.
    """
    shown = str(text)
    if shown.isprintable():
        return shown
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in shown)


def printable_lines(text: str) -> str:
    """Return the text like ``printable``, but keep line feeds. For text that this package has split into lines."""
    return "\n".join(map(printable, text.split("\n")))


def spreadsheet_cell(text: str) -> str:
    """Escape text for a CSV cell: ``printable``, preceded by ``'`` if a spreadsheet would read a formula.

    ``from_spreadsheet_cell`` removes that ``'``.
    """
    shown = printable(text)  # no tab or line break remains at the beginning
    return f"'{shown}" if FORMULA.match(shown) else shown


def from_spreadsheet_cell(cell: str) -> str:
    """Return the text of a cell without the ``'`` that ``spreadsheet_cell`` has added."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def spreadsheet_comment(text: str) -> str:
    """Escape text for a comment line of CSV: ``printable``, and no cell that a spreadsheet would read as a formula."""
    return INNER_FORMULA.sub(r"\1'", printable(text))


def spreadsheet_json(value: Any) -> str:
    """Format a value like ``json_text`` for a comment line of CSV, with the signs of formulas escaped."""
    return re.sub(r'"(?:[^"\\]|\\.)*"', lambda text: _without_formulas(text[0]), json_text(value))


def _without_formulas(text: str) -> str:
    return re.sub(r"[=+\-@]", lambda found: f"\\u{ord(found[0]):04x}", text)


def json_text(value: Any, *, indent: int | None = None) -> str:
    """Format a value of plain types as JSON in ASCII, from which a parser restores all texts.

    NaN and infinities become null.

    Raises:
        TypeError: the value contains an object that JSON cannot represent.
    """
    separators = (",", ":") if indent is None else None
    write = partial(json.dumps, ensure_ascii=True, allow_nan=False, indent=indent, separators=separators)
    try:
        return write(value)
    except ValueError:  # rare, and to look for a NaN beforehand takes longer than the rest
        return write(_finite(value))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return value


class _Gate(logging.Filter):
    """Makes the arguments and the traceback of a log record printable. Its extra fields are kept unchanged."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Accept every record."""
        if isinstance(record.args, tuple):
            record.args = tuple(map(_quoted, record.args))
        if record.exc_info and record.exc_info[1] is not None and not record.exc_text:
            lines = "".join(traceback.format_exception(record.exc_info[1]))
            record.exc_text = printable_lines(lines.rstrip("\n"))
        return True


_GATE: Final = _Gate()


def gated_logger(name: str) -> logging.Logger:
    """Return a logger whose records are made printable."""
    logger = logging.getLogger(name)
    logger.addFilter(_GATE)
    return logger


def _quoted(value: object) -> object:
    return value if isinstance(value, int | float) or value is None else printable(value)
