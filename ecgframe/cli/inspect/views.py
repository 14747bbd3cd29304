"""Output of frames: as text, with their bytes on request, or as JSON lines."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table
from rich.text import Text

from ...foreign_text import printable
from ...protocol import EPOCH, HEADER_FIELDS, CloseCode, ErrorCode
from ...tools.frame_analysis import Examined, details_of, form_names, is_fatal, place_of, type_name
from ...tools.value_summary import in_json, in_words
from ..compare.views import TIMES
from ..console import print_json
from ..formats import duration, size

if TYPE_CHECKING:
    from ...errors import ProtocolError
    from ...tools.observation import Origin, Remark
    from ...tools.seen_fragments import Fragment
    from ...tools.signed_frames import SeenSignature
    from ...tools.summary import Summary
    from ..console import Terminal

_OF_FIELDS: Final = (
    *("magenta", "cyan", "yellow", "green", "blue", "bright_black"),
    *("bright_yellow", "bright_magenta", "bright_green"),
)
COLOURS: Final = dict(zip(HEADER_FIELDS, _OF_FIELDS, strict=True), payload="default")
"""A colour for each field of the header."""

HEX_WIDTH: Final = 16
HEX_LINES: Final = 32
"""Lines of the bytes of a payload that are shown; the rest are counted."""

MOST_FIELDS: Final = 200
"""Fields of a message that are shown as text; the rest are counted."""


class FrameView(ABC):
    """Shows frames and remarks in order."""

    @abstractmethod
    def frame(self, frame: Examined) -> None:
        """Show a frame."""

    @abstractmethod
    def remark(self, remark: Remark) -> None:
        """Show a remark, which stands between frames."""


# --- for people ---


class FrameTexts(FrameView):
    """Shows each frame as a few lines of text.

    Args:
        console: where to print.
        as_hex: whether the bytes are shown as well.
    """

    def __init__(self, console: Terminal, as_hex: bool) -> None:
        self._console = console
        self._as_hex = as_hex
        self._connections: dict[tuple[str | None, str | None], int] = {}
        self._lines: list[Text] = []

    def frame(self, frame: Examined) -> None:
        """Show where the frame was seen, its header, its error if it has one, and its payload."""
        self._describe(frame)
        self._flush()

    def _describe(self, frame: Examined) -> None:
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
            return
        if frame.fragment is not None:
            self._print(Text(f"    {_piece(frame.fragment)}", style="dim"))
        if frame.signature is not None:
            self._print(Text(f"    {_signature(frame.signature)}", style=_STYLES.get(frame.signature.result, "yellow")))
        if frame.message is not None:
            for line in _payload_lines(frame.message.data):
                self._print(Text("    ").append_text(line))
        elif frame.unread is not None:
            self._print(Text(f"    not unpacked: {frame.unread}", style="yellow"))

    def remark(self, remark: Remark) -> None:
        """Show a remark as one line."""
        self._introduce(remark.origin)
        where = _time(remark.origin) + self._direction(remark.origin)
        self._print(Text(f"{where}{printable(remark.text)}", style="yellow" if remark.is_fault else "dim"))
        self._flush()

    def _introduce(self, origin: Origin) -> None:
        """Print the number of a connection with both addresses when the connection is first seen."""
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
        self._lines.append(text)

    def _flush(self) -> None:
        """Print all lines in one call, since the cost is per call rather than per line."""
        if self._lines:
            self._console.print(Text("\n").join(self._lines), soft_wrap=True)
        self._lines = []


def _time(origin: Origin) -> str:
    if origin.time is None:
        return ""
    try:
        return f"{datetime.fromtimestamp(origin.time):%H:%M:%S.%f}  "
    except (ValueError, OverflowError, OSError):  # a damaged capture may contain any time
        return f"{origin.time:.6f} s  "


def _header_line(frame: Examined) -> Text:
    """Format the fields of the header with their names and meanings."""
    line = Text()
    for name, value in frame.fields.items():
        if name != "type":  # shown in the line above
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
    return Text(" ".join(form_names(value)) or "none" if name == "form" else str(value))


def _sizes(frame: Examined, length: int) -> str:
    message = frame.message
    if len(frame.payload) < length:
        return f"{length:,} of which {len(frame.payload):,} are present"
    if message is None or message.nbytes == length or frame.fragment is not None:
        return f"{length:,}"
    return f"{length:,} inflated {message.nbytes:,}"


def _checksum(frame: Examined, value: int) -> Text:
    if frame.is_intact is None:
        return Text(f"0x{value:08x}, not checked: the payload is incomplete", "yellow")
    if frame.is_intact:
        return Text.assemble(f"0x{value:08x} ", ("ok", "green"))
    return Text.assemble(f"0x{value:08x} ", (f"WRONG, that of the payload is 0x{frame.checksum:08x}", "bold red"))


def moment(microseconds: int) -> str:
    """Format a timestamp, in microseconds since 1970, as ISO 8601 in UTC; beyond the year 9999, as a number."""
    try:
        return (EPOCH + timedelta(microseconds=microseconds)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    except OverflowError:
        return f"{microseconds:,}"


def _verdict(error: ProtocolError) -> str:
    """Describe an error: the code that a receiver answers, the check, the place, the cause and the consequence."""
    place = place_of(error)
    check = f", check {error.check}" if error.check else ""
    at = f" at {place}" if place else ""
    return f"✗ 0x{error.code:03x} {error.code.name}{check}{printable(at)}: {printable(error)}; {consequence(error)}"


def consequence(error: ProtocolError) -> str:
    """Describe what a receiver does after answering the error."""
    if not is_fatal(error):
        return "the frame is lost, the connection goes on"
    code = CloseCode.TOO_LARGE if error.code is ErrorCode.MESSAGE_TOO_LARGE else CloseCode.PROTOCOL_ERROR
    return f"the connection is closed with {int(code)}"


_STYLES: Final = {"valid": "green", "not verified": "dim"}


def _signature(signature: SeenSignature) -> str:
    """Return who has signed a message, and what is known of the signature."""
    words = {
        "valid": "the signature is right",
        "unknown signer": "none of the keys of --verify",
        "not verified": "not verified (--verify KEY does)",
    }
    return f"signed by {signature.signer}: {words.get(signature.result, signature.result)}"


def _piece(fragment: Fragment) -> str:
    """Return which bytes of its message a fragment has."""
    end = fragment.offset + fragment.nbytes
    words = f"fragment: bytes {fragment.offset:,} to {end:,} of {fragment.total:,}"
    return f"{words}; the whole message:" if end == fragment.total else words


def _payload_lines(data: Any) -> Iterator[Text]:
    if not isinstance(data, dict) or not data:
        yield Text(in_words(data))
        return
    fields = list(islice(data.items(), MOST_FIELDS))
    width = min(max(len(printable(key)) for key, _ in fields), 24)
    for key, value in fields:
        yield Text.assemble((f"{printable(key):{width}}  ", "dim"), in_words(value))
    if len(data) > MOST_FIELDS:
        yield Text(f"… {len(data) - MOST_FIELDS:,} more fields; --json shows all", "dim")


def _hex_lines(frame: Examined) -> Iterator[Text]:
    """Format the bytes of the header, one field a line, and those of the payload, sixteen a line."""
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
    """Prints one JSON object a line, whose ``event`` is "frame" or "remark".

    Args:
        as_hex: whether the bytes are included, as ``"hex"``.
    """

    def __init__(self, as_hex: bool) -> None:
        self._as_hex = as_hex

    def frame(self, frame: Examined) -> None:
        """Print all properties of a frame."""
        fields: dict[str, Any] = {
            "event": "frame",
            "number": frame.number,
            **_origin(frame.origin),
            "offset": frame.offset,
            **frame.fields,
            "type": frame.type_name,
            "flags": frame.flag_names,
            **({"form": form_names(frame.fields["form"])} if "form" in frame.fields else {}),
            "nbytes": len(frame.octets),
            "inflated": frame.message.nbytes if frame.message else None,
            "checksum_found": frame.checksum,
            "intact": frame.is_intact,
            "text": frame.is_text,
            "error": details_of(frame.error) if frame.error else None,
            "data": in_json(frame.message.data) if frame.message else None,
        }
        if frame.unread is not None:
            fields["unread"] = frame.unread
        if frame.signature is not None:
            fields["signature"] = frame.signature._asdict()
        if frame.fragment is not None:
            fields["fragment"] = frame.fragment._asdict()
        if self._as_hex:
            fields["hex"] = frame.octets.hex()
        print_json(fields)

    def remark(self, remark: Remark) -> None:
        """Print a remark."""
        print_json({"event": "remark", **_origin(remark.origin), "text": remark.text, "fault": remark.is_fault})


def _origin(origin: Origin) -> dict[str, Any]:
    return {
        "time": origin.time,
        "client": origin.client,
        "server": origin.server,
        "from_server": origin.from_server,
    }


# --- totals ---


def print_summary(console: Terminal, summary: Summary, *, unpacked: bool) -> None:
    """Print the totals as a table, and the broken frames below it."""
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
            console.print(Text(f"    {printable(place)}"), soft_wrap=True)
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
