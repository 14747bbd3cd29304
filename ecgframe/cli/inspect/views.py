"""Frames shown: as text for people, with their bytes where those are wanted, and as JSON lines for programs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import orjson
import typer
from rich.table import Table
from rich.text import Text

from ...protocol import EPOCH, HEADER_FIELDS, CloseCode, ErrorCode
from ...tools.frame_analysis import Examined, details_of, is_fatal, place_of, type_name
from ...tools.value_summary import in_json, in_words
from ..compare.views import TIMES
from ..terminal import duration, size

if TYPE_CHECKING:
    from rich.console import Console

    from ...errors import ProtocolError
    from ...tools.observation import Origin, Remark
    from ...tools.summary import Summary

COLOURS: Final = dict(
    zip(HEADER_FIELDS, ("magenta", "cyan", "yellow", "green", "blue", "bright_black"), strict=True), payload="default"
)
"""One for each field of the header."""

HEX_WIDTH: Final = 16
HEX_LINES: Final = 32
"""Lines of a payload's bytes that are shown; of a longer one, how many there are."""


class FrameView(ABC):
    """Is handed what is to be shown, one after the other."""

    @abstractmethod
    def frame(self, frame: Examined) -> None:
        """A frame."""

    @abstractmethod
    def remark(self, remark: Remark) -> None:
        """Something between frames."""


# --- for people ---


class FrameTexts(FrameView):
    """A few lines for each frame.

    Args:
        console: where to.
        as_hex: with the bytes.
    """

    def __init__(self, console: Console, as_hex: bool) -> None:
        self._console = console
        self._as_hex = as_hex
        self._connections: dict[tuple[str | None, str | None], int] = {}

    def frame(self, frame: Examined) -> None:
        """Where it was, its header, what is wrong with it, what it says."""
        self._introduce(frame.origin)
        kind = "text message" if frame.is_text else frame.type_name
        self._print(Text.assemble((f"#{frame.number}  {kind}", "bold cyan"), "  ", self._where(frame)))
        if frame.is_text:
            self._print(Text(f"    text {in_words(frame.octets.decode('utf-8', 'replace'))}"))
        elif not self._as_hex:
            self._print(Text("    ").append_text(_header_line(frame)))
        else:
            for line in _hex_lines(frame):
                self._print(Text("    ").append_text(line))
        if frame.error is not None:
            self._print(Text.assemble("    ", (_verdict(frame.error), "bold red")))
        elif frame.message is not None:
            for line in _payload_lines(frame.message.data):
                self._print(Text("    ").append_text(line))

    def remark(self, remark: Remark) -> None:
        """A line."""
        self._introduce(remark.origin)
        where = _time(remark.origin) + self._direction(remark.origin)
        self._print(Text(f"{where}{remark.text}", style="yellow" if remark.is_fault else "dim"))

    def _introduce(self, origin: Origin) -> None:
        """Say which connection has which number, when it is first seen."""
        ends = (origin.client, origin.server)
        if origin.client is None or ends in self._connections:
            return
        number = self._connections[ends] = len(self._connections) + 1
        self._print(Text(f"connection {number}: {origin.client} to server {origin.server}", style="dim"))

    def _where(self, frame: Examined) -> str:
        origin = frame.origin
        if origin.client is None:
            return f"byte {frame.offset:,}"
        behind = f"byte {frame.offset:,} of the message" if frame.offset else ""
        return f"{_time(origin)}{self._direction(origin)}{behind}".rstrip()

    def _direction(self, origin: Origin) -> str:
        if origin.client is None or origin.from_server is None:
            return ""
        number = self._connections[(origin.client, origin.server)]
        return f"server → client {number}  " if origin.from_server else f"client {number} → server  "

    def _print(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True)


def _time(origin: Origin) -> str:
    if origin.time is None:
        return ""
    try:
        return f"{datetime.fromtimestamp(origin.time):%H:%M:%S.%f}  "
    except (ValueError, OverflowError, OSError):  # a damaged capture has any time
        return f"{origin.time:.6f} s  "


def _header_line(frame: Examined) -> Text:
    """The fields of the header by name, with what they mean."""
    line = Text()
    for name, value in frame.fields.items():
        if name != "type":  # it stands above
            line.append(f"{'  ' if line else ''}{name} ", "dim").append_text(_meaning(frame, name, value))
    return line or Text("no header", "red")


def _meaning(frame: Examined, name: str, value: int) -> Text:
    if name == "type":
        return Text(frame.type_name, "bold cyan")
    if name == "flags":
        return Text(" ".join(frame.flag_names) or "none", "yellow" if frame.flag_names else "")
    if name == "length":
        return Text(_sizes(frame, value))
    if name == "checksum":
        return _checksum(frame, value)
    if name == "timestamp":
        return Text(moment(value))
    return Text(str(value))


def _sizes(frame: Examined, length: int) -> str:
    message = frame.message
    if len(frame.payload) < length:
        return f"{length:,} of which {len(frame.payload):,} are there"
    return f"{length:,} inflated {message.nbytes:,}" if message and message.nbytes != length else f"{length:,}"


def _checksum(frame: Examined, value: int) -> Text:
    if frame.is_intact is None:
        return Text(f"0x{value:08x} of a payload that is not here", "yellow")
    if frame.is_intact:
        return Text.assemble(f"0x{value:08x} ", ("ok", "green"))
    return Text.assemble(f"0x{value:08x} ", (f"WRONG, the payload has 0x{frame.checksum:08x}", "bold red"))


def moment(microseconds: int) -> str:
    """A timestamp as a time in UTC; as a number where it lies beyond the year 9999."""
    try:
        return (EPOCH + timedelta(microseconds=microseconds)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    except OverflowError:
        return f"{microseconds:,}"


def _verdict(error: ProtocolError) -> str:
    """What is wrong, where, what a receiver answers, and what comes of it."""
    place = place_of(error)
    check = f", check {error.check}" if error.check else ""
    at = f" at {place}" if place else ""
    return f"✗ 0x{error.code:03x} {error.code.name}{check}{at}: {error}; {consequence(error)}"


def consequence(error: ProtocolError) -> str:
    """What a receiver does after it has answered."""
    if not is_fatal(error):
        return "the frame is lost, the connection goes on"
    code = CloseCode.TOO_LARGE if error.code is ErrorCode.MESSAGE_TOO_LARGE else CloseCode.PROTOCOL_ERROR
    return f"the connection is closed with {int(code)}"


def _payload_lines(data: Any) -> Iterator[Text]:
    if not isinstance(data, dict) or not data:
        yield Text(in_words(data))
        return
    width = min(max(len(str(key)) for key in data), 24)
    for key, value in data.items():
        yield Text.assemble((f"{_printable(str(key)):{width}}  ", "dim"), in_words(value))


def _printable(text: str) -> str:
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def _hex_lines(frame: Examined) -> Iterator[Text]:
    """The header's bytes, a line a field, and the payload's, sixteen a line."""
    start = 0
    for name, value in frame.fields.items():
        octets = frame.octets[start : start + HEADER_FIELDS[name]]
        start += HEADER_FIELDS[name]
        yield Text.assemble(
            (f"{octets.hex(' '):25}", COLOURS[name]), (f"{name:11}", COLOURS[name]), _meaning(frame, name, value)
        )
    payload = bytes(frame.octets[start:])
    for place in range(0, min(len(payload), HEX_WIDTH * HEX_LINES), HEX_WIDTH):
        octets = payload[place : place + HEX_WIDTH]
        shown = "".join(chr(octet) if 32 <= octet < 127 else "·" for octet in octets)
        yield Text.assemble((f"{start + place:06x}  ", "dim"), f"{octets.hex(' '):48} ", (shown, "dim"))
    if len(payload) > HEX_WIDTH * HEX_LINES:
        yield Text(f"… {len(payload) - HEX_WIDTH * HEX_LINES:,} bytes more", "dim")


# --- for programs ---


class FrameLines(FrameView):
    """A JSON object a line: ``event`` is "frame" or "remark".

    Args:
        as_hex: with the bytes, as ``"hex"``.
    """

    def __init__(self, as_hex: bool) -> None:
        self._as_hex = as_hex

    def frame(self, frame: Examined) -> None:
        """Everything about it."""
        fields: dict[str, Any] = {
            "event": "frame",
            "number": frame.number,
            **_origin(frame.origin),
            "offset": frame.offset,
            **frame.fields,
            "type": frame.type_name,
            "flags": frame.flag_names,
            "nbytes": len(frame.octets),
            "inflated": frame.message.nbytes if frame.message else None,
            "checksum_found": frame.checksum,
            "intact": frame.is_intact,
            "text": frame.is_text,
            "error": details_of(frame.error) if frame.error else None,
            "data": in_json(frame.message.data) if frame.message else None,
        }
        if self._as_hex:
            fields["hex"] = frame.octets.hex()
        _print_json(fields)

    def remark(self, remark: Remark) -> None:
        """What is said of the source."""
        _print_json({"event": "remark", **_origin(remark.origin), "text": remark.text, "fault": remark.is_fault})


def _origin(origin: Origin) -> dict[str, Any]:
    return {
        "time": origin.time,
        "client": origin.client,
        "server": origin.server,
        "from_server": origin.from_server,
    }


def _print_json(fields: dict[str, Any]) -> None:
    typer.echo(orjson.dumps(fields, option=orjson.OPT_NON_STR_KEYS).decode())


# --- totals ---


def print_summary(console: Console, summary: Summary, *, unpacked: bool) -> None:
    """The totals as a table, and what is broken below it."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("type", no_wrap=True)
    for heading in ("frames", "share", "bytes", "a frame", "compressed", "inflates to"):
        table.add_column(heading, justify="right", no_wrap=True)
    for number, kind in summary.types.items():
        table.add_row(
            type_name(number),
            f"{kind.frames:,}",
            f"{kind.nbytes / (summary.nbytes or 1):.1%}",
            size(kind.nbytes),
            size(kind.nbytes / kind.frames),
            f"{kind.compressed / kind.frames:.0%}",
            f"{kind.inflated_bytes / kind.deflated_bytes:.1f}{TIMES}" if kind.inflated_bytes else "",
        )
    if summary.types:
        console.print(table)
        console.print()
    for name, value in _summary_lines(summary, unpacked):
        style = "red" if name == "broken" and summary.errors else ""
        console.print(Text(f"{name:9}{value}", style=style), soft_wrap=True)
    for code, places in sorted(summary.places.items()):
        console.print(Text(f"  0x{code:03x} {code.name}: {summary.errors[code]:,}", style="red"), soft_wrap=True)
        for place in places:
            console.print(Text(f"    {place}"), soft_wrap=True)
        if summary.errors[code] > len(places):
            console.print(Text(f"    … {summary.errors[code] - len(places):,} more", style="dim"))


def _summary_lines(summary: Summary, unpacked: bool) -> Iterator[tuple[str, str]]:
    yield "frames", f"{summary.frames:,} good, {size(summary.nbytes)}"
    versions = ", ".join(f"V{version} {count:,}" for version, count in summary.versions.items())
    yield "versions", versions or "none"
    yield "flags", ", ".join(f"{name} {count:,}" for name, count in summary.flags.items()) or "none"
    if summary.first is not None:
        lasted = "" if summary.seconds is None else f", {duration(summary.seconds)}"
        yield "from", f"{moment(summary.first)}{lasted}"
        if summary.seconds:
            timed = f"{summary.frames / summary.seconds:,.1f} frames/s, {size(summary.nbytes / summary.seconds)}/s"
            yield "rate", timed
    checks = "headers, checksums and payloads" if unpacked else "headers and checksums; --unpack checks payloads too"
    broken = summary.errors.total()
    yield "broken", f"{broken:,} frames, {size(summary.broken_bytes)}" if broken else "none"
    yield "checked", checks
