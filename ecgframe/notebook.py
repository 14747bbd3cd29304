"""Shows messages with a signal in notebooks: a small drawing of the leads, with its scale.

In IPython and Jupyter, ``%load_ext ecgframe.notebook`` shows every message so; ``html_of`` returns the same text for
other places. The drawing is a part of the page (SVG), without scripts, and needs no library.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from ._core import Message
from .errors import ProtocolError
from .plural import counted
from .protocol import MessageType
from .samples import physical
from .signal_fields import format_of

if TYPE_CHECKING:
    from typing import Protocol

    class Shell(Protocol):
        """What is needed of IPython."""

        display_formatter: Any


__all__ = ["html_of", "load_ipython_extension"]

MOST_LEADS: Final = 12
"""Leads that are drawn; the others are counted."""

MOST_SAMPLES: Final = 1_000_000
"""Samples of all leads that are drawn, from the first on."""

MOST_TEXT: Final = 80
"""Characters of a name from a message."""

COLUMNS: Final = 480
ROW: Final = 44
_NAMES: Final = 60
_NAME: Final = 7
"""Characters of a lead that have room beside it; the pointer shows all."""

_DIGITS: Final = (1, 1.5, 2, 3, 4, 5, 6, 8, 10, 15)


def html_of(message: Message) -> str | None:
    """Return a message as HTML: what it is, and its leads; None if it is no ECG_DATA.

    The text is less than 128 KiB for any message. What comes from the message is escaped, and names are cut after 80
    characters. A signal that cannot be read is said to be so.
    """
    if message.type is not MessageType.ECG_DATA or not isinstance(message.data, Mapping):
        return None
    try:
        drawing = _drawing(message.data)
    except (ProtocolError, KeyError, TypeError, ValueError, OverflowError) as error:
        drawing = f"<p>The signal cannot be drawn: {_text(error)}</p>"
    when = "" if message.sent_at is None else f", {message.sent_at:%Y-%m-%d %H:%M:%S.%f} UTC"
    stream = message.data.get("stream")
    named = "" if stream is None else f" of {_text(stream)}"
    return f"<div><p><b>ECG_DATA</b>{named}, version {message.version}{when}</p>{drawing}</div>"


def load_ipython_extension(shell: Shell) -> None:
    """Show messages with a signal as HTML. IPython calls this for ``%load_ext ecgframe.notebook``."""
    shell.display_formatter.formatters["text/html"].for_type(Message, html_of)


def unload_ipython_extension(shell: Shell) -> None:
    """Show messages as text again. IPython calls this for ``%unload_ext ecgframe.notebook``."""
    shell.display_formatter.formatters["text/html"].pop(Message, None)


def _drawing(data: Mapping[str, Any]) -> str:
    signal = data["signal"]
    notes = []
    if isinstance(signal, np.ndarray) and signal.size > MOST_SAMPLES:
        leads = 1 if signal.ndim == 1 else max(1, len(signal))
        shown = max(1, MOST_SAMPLES // leads)
        notes.append(f"the first {shown:,} samples of {signal.shape[-1]:,} are drawn")
        data = {**data, "signal": signal[..., :shown]}
    values = physical(data)
    found = format_of(data, len(values))
    if not values.size:
        return "<p>There are no samples.</p>"
    if not 0 < found.rate < float("inf"):
        raise ValueError("sampling_rate is not above 0")
    if len(values) > MOST_LEADS:
        notes.append(f"{len(values) - MOST_LEADS:,} more leads are not drawn")
    drawn = values[:MOST_LEADS]
    lows, highs = zip(*(_range(row) for row in drawn), strict=True)
    spans = [high - low for low, high in zip(lows, highs, strict=True)]
    scale = _round_up(max(spans))
    rows = []
    for number, row in enumerate(drawn):
        name = found.leads[number] if number < len(found.leads) else f"ch{number + 1}"
        middle = (lows[number] + highs[number]) / 2
        own = scale if found.lead_units is None else _round_up(spans[number])
        path = _path(row, middle, own, number * ROW)
        rows.append(
            f'<text x="2" y="{number * ROW + ROW / 2 + 4:g}" font-size="11" fill="currentColor">{_text(name, _NAME)}'
            f"<title>{_text(name)}</title></text>"
            f'<path d="{path}" fill="none" stroke="currentColor" stroke-width="1" stroke-linecap="round"/>'
        )
    width, height = _NAMES + COLUMNS, len(drawn) * ROW
    seconds = values.shape[1] / found.rate
    scales = f"{counted(len(values), 'lead')} of {counted(values.shape[1], 'sample')} at {found.rate:g} Hz; "
    bars = [f"{scale:g} {_text(found.units)}"]
    if found.lead_units is not None:  # as they differ, each lead has a scale of its own
        units = zip(found.leads, spans, found.lead_units, strict=False)
        bars = [f"{_round_up(span):g} {_text(unit)} ({_text(name, _NAME)})" for name, span, unit in units]
    scales += f"width {seconds:.4g} s, the bar at the left {', '.join(bars)}"
    bar = f'<path d="M{_NAMES - 6} 2v{ROW - 4}" stroke="currentColor" stroke-width="3"/>'
    return (
        f'<svg role="img" aria-label="ECG" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'style="max-width:100%;overflow:hidden">{bar}{"".join(rows)}</svg><p>{"; ".join([scales, *notes])}</p>'
    )


def _path(row: npt.NDArray[np.float64], middle: float, scale: float, top: int) -> str:
    """The path of a lead: with more samples than columns, from the least to the largest of each column."""
    count = len(row)
    edges = np.linspace(0, count, min(count, COLUMNS) + 1).astype(int)
    parts: list[str] = []
    run = 0  # columns since the last gap
    for first, last in pairwise(edges):
        part = row[first:last]
        part = part[np.isfinite(part)]
        if not part.size:
            parts += ["h1"] * (run == 1)  # a single point is seen, too
            run = 0
            continue
        run += 1
        ends = (float(np.min(part)), float(np.max(part)))
        least, largest = (top + ROW / 2 - (end - middle) / scale * (ROW - 4) for end in ends)
        parts.append(f"{'M' if run == 1 else 'L'}{_NAMES + COLUMNS * (first + 0.5) / count:.1f} {least:.1f}")
        if part.size > 1:
            parts.append(f"V{largest:.1f}")
    return "".join([*parts, *["h1"] * (run == 1)])


def _range(row: npt.NDArray[np.float64]) -> tuple[float, float]:
    finite = row[np.isfinite(row)]
    return (float(np.min(finite)), float(np.max(finite))) if finite.size else (0.0, 0.0)


def _round_up(value: float) -> float:
    """The least round number that is not below a value; 1 for 0."""
    if not 0 < value < float("inf"):
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    return float(next(power * digit for digit in _DIGITS if power * digit >= value))


def _text(value: object, most: int = MOST_TEXT) -> str:
    text = str(value)
    cut = text if len(text) <= most else f"{text[: most - 1]}…"
    return escape("".join(each if each.isprintable() else "�" for each in cut))
