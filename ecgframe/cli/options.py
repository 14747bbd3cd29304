"""Options that several commands share, and parsers of their values."""

from __future__ import annotations

import math
import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import typer

_KEY: Final = re.compile(r"[0-9a-fA-F]{64}")
_MAX_KEYS_FILE: Final = 64 * 1024


def positive(value: float | None) -> float | None:
    """Return the value of an option that must be above 0 and finite.

    Raises:
        typer.BadParameter: it is not.
    """
    if value is not None and not 0 < value < math.inf:
        raise typer.BadParameter(f"{value:g} is not above 0")
    return value


SamplingRate = Annotated[
    float | None,
    typer.Option(
        callback=positive, metavar="HZ", help="Sampling rate of a CSV, NPY or NPZ file that does not state it."
    ),
]
Leads = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES", help="Use these leads only, in this order: comma-separated names, such as **II,V5**."
    ),
]
CSV_PANEL = "CSV options, where the file does not state them"
Decimal = Annotated[
    str | None,
    typer.Option(metavar="SIGN", help="Decimal separator, **.** or **,**", rich_help_panel=CSV_PANEL),
]
TimeColumn = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Name of the time column.", rich_help_panel=CSV_PANEL),
]
Units = Annotated[
    str | None,
    typer.Option(
        metavar="UNIT",
        help="Unit of the samples that have none, such as **mV** or **uV**; of NPY and NPZ as well.",
        rich_help_panel=CSV_PANEL,
    ),
]
Gain = Annotated[
    float | None,
    typer.Option(
        callback=positive,
        metavar="COUNTS",
        help="ADC counts per unit: that of the file, else of **--units**, else mV.",
        rich_help_panel=CSV_PANEL,
    ),
]
Baseline = Annotated[
    float | None,
    typer.Option(metavar="COUNT", help="ADC count of 0 units.", rich_help_panel=CSV_PANEL),
]
Stream = Annotated[
    str | None,
    typer.Option("--stream", metavar="NAME", help="Stream to read, if the recording is a capture with several."),
]
Force = Annotated[bool, typer.Option("--force", "-f", help="Replace the file if it exists.")]
Headers = Annotated[
    list[str] | None,
    typer.Option("--header", metavar="NAME: VALUE", help="Send this HTTP header to the server. Repeatable."),
]


Keys = Annotated[
    Path | None,
    typer.Option(
        "--keys",
        metavar="FILE",
        help="Open sealed streams with the keys in this file, which **ecgframe keys** makes. A stream with a key in it "
        "is accepted only sealed. Default: the keys that the server hands out.",
    ),
]


FrameKeys = Annotated[
    Path | None,
    typer.Option(
        "--keys",
        metavar="FILE",
        help="Open sealed frames with the keys in this file, which **ecgframe keys** makes. Without it they are not "
        "opened: it is shown with which key they are sealed. Keys that a server hands out are not used.",
    ),
]


Signers = Annotated[
    list[str] | None,
    typer.Option(
        "--signer",
        metavar="KEY",
        help="Public key of a signer: 64 hexadecimal digits, as **serve --signing-key** prints it, or a file with a "
        "key in each line. Repeatable.",
    ),
]


def public_keys(given: list[str] | None) -> list[bytes]:
    """Parse the values of ``--signer`` to public keys.

    Raises:
        typer.BadParameter: one is no key.
    """
    found: list[bytes] = []
    for text in given or ():
        lines = [text] if _KEY.fullmatch(text) else _lines_of(text)
        for line in lines:
            if not _KEY.fullmatch(line):
                raise typer.BadParameter(f"{text!r} is neither a key of 64 hexadecimal digits nor a file of such keys")
            found.append(bytes.fromhex(line))
    return list(dict.fromkeys(found))


def _lines_of(path: str) -> list[str]:
    try:
        with Path(path).open("rb") as file:
            text = file.read(_MAX_KEYS_FILE).decode("ascii", "replace")
    except (OSError, ValueError):
        raise typer.BadParameter(
            f"{path!r} is neither a key of 64 hexadecimal digits nor a file of such keys"
        ) from None
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return lines or [text]


def names(leads: str | None) -> list[str] | None:
    """Split the value of ``--leads`` into names."""
    return None if leads is None else [name.strip() for name in leads.split(",")]


def http_headers(lines: list[str] | None) -> list[tuple[str, str]]:
    """Parse the values of ``--header`` to pairs of name and value.

    Raises:
        typer.BadParameter: one is not of the form ``NAME: VALUE``.
    """
    headers = []
    for line in lines or ():
        name, colon, value = line.partition(":")
        if not (colon and name.strip()):
            raise typer.BadParameter(f"{line!r} is not a header; the form is NAME: VALUE")
        headers.append((name.strip(), value.strip()))
    return headers


def moment(text: str | None) -> float | datetime | None:
    """Parse the value of ``--since``: a number of seconds ago, or a time.

    Raises:
        typer.BadParameter: it is neither.
    """
    if text is None:
        return None
    try:
        ago = float(text)
    except ValueError:
        pass
    else:
        if 0 <= ago < 1e9:
            return ago
        raise typer.BadParameter(f"{text} is not a number of seconds from 0 to 1e9")
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither a number of seconds nor a time") from None
