"""Extraction of the WebSocket messages of both sides from the segments of a TCP connection.

The ``websockets`` library parses the frames. This module parses the handshake, joins fragments, and sets limits, since
a capture may contain any number of messages that are empty, never end, or inflate to any size.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from http.client import HTTPException, HTTPMessage, parse_headers
from typing import TYPE_CHECKING, Any, Final

from ...libraries import library
from ...protocol import HEADER_SIZES
from ..budget import Budget
from ..observation import Delivery, Observation, Origin, Remark
from .tcp_reassembly import Piece, TcpDirection

if TYPE_CHECKING:
    from websockets.exceptions import ProtocolError
    from websockets.extensions.permessage_deflate import PerMessageDeflate
    from websockets.frames import Frame, Opcode
    from websockets.protocol import Protocol, Side
else:
    purpose = "reading captures"
    library("websockets", extra="tools", purpose=purpose)
    from websockets.exceptions import ProtocolError
    from websockets.extensions.permessage_deflate import PerMessageDeflate
    from websockets.frames import Frame, Opcode
    from websockets.protocol import Protocol, Side

LARGEST_MESSAGE: Final = 64 * 1024 * 1024
"""Largest WebSocket message that the tools accept from a connection, in bytes."""

LARGEST_CAPTURED: Final = 32 * 1024 * 1024
"""Largest WebSocket message that is extracted from a capture, in uncompressed bytes."""

MOST_HELD: Final = 48 * 1024 * 1024
"""Most bytes of incomplete messages, over all connections of a capture."""

MOST_SMALL_FRAMES: Final = 100_000
"""Most WebSocket frames of a capture that are smaller than a header of the protocol. Fragments and pings may be, but
showing a capture of millions of frames of two bytes would take hours."""

MOST_READ: Final = 30_000
"""Most directions of connections of a capture in which frames are read."""

GAPS_REPORTED: Final = 100
"""Maximum number of gaps in one direction that are reported one by one; the rest are counted."""

_SMALL: Final = HEADER_SIZES[1]
_PORTION: Final = 4096
"""Bytes that are parsed at a time: the library inflates all messages in them before it returns any."""

_LONGEST_HANDSHAKE: Final = 64 * 1024
_END: Final = b"\r\n\r\n"
_NARROWEST: Final = 9
"""Smallest window, in bits, with which zlib can deflate raw streams. The compressor is not used here."""
_OPCODES: Final = frozenset(int(opcode) for opcode in Opcode)


class Bounds:
    """Limits on what all connections of a capture use together.

    Args:
        budget: limits the inflated bytes.

    Attributes:
        held: bytes of incomplete messages.
        small: number of frames that were smaller than a header of the protocol.
        readers: number of directions of connections in which frames were read.
        unread: number of directions that were not read because of the limit.
    """

    def __init__(self, budget: Budget | None = None) -> None:
        self.budget = Budget() if budget is None else budget
        self.held = 0
        self.small = 0
        self.readers = 0
        self.unread = 0


class WebSocketReassembler:
    """Extracts the WebSocket messages of one TCP connection.

    Messages are read one by one as they are asked for: those of one segment may inflate to any multiple of its size. So
    ask for all of them before the next call.

    Args:
        client: address of the side that opened the connection.
        server: address of the other side.
        bounds: limits of the capture.

    Attributes:
        is_websocket: whether the connection is a WebSocket; None while unknown.
    """

    __slots__ = ("_client", "_server", "_sides", "bounds", "deflate", "is_websocket")

    def __init__(self, client: str, server: str, bounds: Bounds) -> None:
        self.bounds = bounds
        self._sides = (_Side(self, False), _Side(self, True))
        self._client = client
        self._server = server
        self.is_websocket: bool | None = None
        self.deflate: dict[str, str | None] | None = None
        """Parameters of permessage-deflate, once both sides have agreed on it."""

    def open(self, from_server: bool, sequence: int) -> None:
        """Take a segment with SYN."""
        self._sides[from_server].direction.open(sequence)

    def feed(self, from_server: bool, sequence: int, octets: bytes, time: float) -> Iterator[Observation]:
        """Take a segment with data, captured at ``time`` (Unix seconds); yield the messages that it completes."""
        side = self._sides[from_server]
        return self._read(side, side.direction.feed(sequence, octets, time))

    def acknowledge(self, from_server: bool, sequence: int, time: float) -> Iterator[Observation]:
        """Take an ACK: the sender has received everything that the other side sent before ``sequence``."""
        side = self._sides[not from_server]
        return self._read(side, side.direction.acknowledged(sequence, time))

    def finish(self, time: float) -> Iterator[Observation]:
        """Yield the remaining messages and remarks at the end of the capture."""
        for side in self._sides:
            yield from self._read(side, side.direction.finish())
            yield from self._placed(side.rest(), side, time)

    def _read(self, side: _Side, pieces: list[Piece]) -> Iterator[Observation]:
        for piece in pieces:
            yield from self._placed(side.read(piece), side, piece.time)

    def _placed(self, found: Iterator[Observation], side: _Side, time: float) -> Iterator[Observation]:
        for one in found:
            origin = Origin(time, self._client, self._server, side.is_server)
            if isinstance(one, Delivery):
                yield Delivery(one.octets, origin, is_text=one.is_text)
            else:
                yield Remark(one.text, origin, one.is_fault)


class _Side:
    """One direction: a handshake, then frames."""

    __slots__ = (
        "_begin",
        "_bounds",
        "_fragments",
        "_gaps",
        "_held",
        "_is_over",
        "_left_out",
        "_missing",
        "_protocol",
        "_tap",
        "direction",
        "is_server",
    )

    def __init__(self, tap: WebSocketReassembler, is_server: bool) -> None:
        self.direction = TcpDirection()
        self.is_server = is_server
        self._tap = tap
        self._bounds = tap.bounds
        self._begin = b""
        self._protocol: Protocol | None = None
        self._fragments: list[Frame] = []
        self._held = 0
        self._gaps = 0
        self._missing = 0
        self._is_over = False
        self._left_out: int | None = None  # bytes that were skipped after a limit was reached

    def read(self, piece: Piece) -> Iterator[Observation]:
        """Take the next bytes in order."""
        if piece.missing:
            yield from self._report_gap(piece.missing)
            self._begin_anew()
        if self._left_out is not None:
            self._left_out += len(piece.octets)
        if self._is_over or self._tap.is_websocket is False:
            return
        if self._protocol is None:
            rest = self._greet(piece.octets)
            if isinstance(rest, Remark):
                yield rest
                return
        else:
            rest = piece.octets
        if self._protocol is not None and rest:
            yield from self._frames(rest)

    def rest(self) -> Iterator[Observation]:
        """Yield remarks on an incomplete message and on skipped bytes, at the end of the capture."""
        if self._fragments:
            yield Remark(f"the capture ends within a message, after {self._held:,} bytes of it", is_fault=True)
        self._drop_fragments()
        if self._gaps > GAPS_REPORTED:
            text = f"{self._gaps - GAPS_REPORTED:,} more gaps; {self._missing:,} bytes are missing in all gaps"
            yield Remark(text, is_fault=True)
        if self._left_out:
            yield Remark(f"{self._left_out:,} bytes of this side were skipped, as noted above", is_fault=True)

    def _report_gap(self, missing: int) -> Iterator[Remark]:
        self._gaps += 1
        self._missing += missing
        if self._gaps <= GAPS_REPORTED:
            yield Remark(f"{missing:,} bytes are missing from the capture here", is_fault=True)

    # --- the handshake ---

    def _greet(self, octets: bytes) -> bytes | Remark:
        """Read the handshake, if one begins here; return the bytes after it, none until it is complete."""
        self._begin += octets
        if self._begin[:3] in (b"\x16\x03\x01", b"\x16\x03\x03"):
            self._tap.is_websocket = False
            return Remark("encrypted (TLS): capture behind the TLS proxy, or use ecgframe proxy", is_fault=True)
        if not self._begins_as_handshake():
            return self._join_late()
        head, end, rest = self._begin.partition(_END)
        if not end:
            if len(self._begin) > _LONGEST_HANDSHAKE:
                self._tap.is_websocket = False
            return b""
        return self._shake_hands(head, rest)

    def _begins_as_handshake(self) -> bool:
        first = b"HTTP/1.1 " if self.is_server else b"GET "
        return self._begin.startswith(first[: len(self._begin)])

    def _join_late(self) -> bytes | Remark:
        """Begin without a handshake: the capture began within the connection, or this is not a WebSocket."""
        if not _may_be_frame(self._begin, masked=not self.is_server):
            self._tap.is_websocket = False
            return b""
        self._tap.is_websocket = True
        self._protocol = self._reader()
        return self._begin

    def _shake_hands(self, head: bytes, rest: bytes) -> bytes:
        line, _, lines = head.partition(b"\r\n")
        try:
            headers = parse_headers(io.BytesIO(lines + _END))
        except HTTPException:
            headers = HTTPMessage()
        agreed = line.split()[1:2] == [b"101"] if self.is_server else True
        if not agreed or headers.get("Upgrade", "").lower() != "websocket":
            self._tap.is_websocket = False
            return b""
        self._tap.is_websocket = True
        if self.is_server:
            self._tap.deflate = _deflate_parameters(headers.get("Sec-WebSocket-Extensions", ""))
        self._protocol = self._reader()
        return rest

    # --- the frames ---

    def _reader(self) -> Protocol | None:
        if self._bounds.readers >= MOST_READ:
            self._bounds.unread += 1
            self._is_over = True
            return None
        self._bounds.readers += 1
        # parse as the side that received these bytes
        return Protocol(Side.CLIENT if self.is_server else Side.SERVER, max_size=LARGEST_CAPTURED)

    def _begin_anew(self) -> None:
        """Start again after a gap: a segment usually begins with a frame."""
        self._drop_fragments()
        self._begin = b""
        self._protocol = None

    def _drop_fragments(self) -> None:
        self._bounds.held -= self._held
        self._fragments = []
        self._held = 0

    def _frames(self, octets: bytes) -> Iterator[Observation]:
        protocol = self._protocol
        assert protocol is not None
        if self._tap.deflate is not None and not protocol.extensions:
            protocol.extensions = [_inflater(self._tap.deflate, self.is_server, self._bounds.budget)]
        for start in range(0, len(octets), _PORTION):
            protocol.receive_data(octets[start : start + _PORTION])
            protocol.data_to_send()
            for frame in protocol.events_received():
                assert isinstance(frame, Frame)
                yield from self._frame(frame)
            if protocol.parser_exc is not None:
                yield self._no_more(str(protocol.parser_exc), len(octets) - start - _PORTION)
                if type(protocol.parser_exc) is ProtocolError:  # no longer, or never was, a WebSocket
                    self._left_out = None
            elif self._bounds.held > MOST_HELD:
                reason = f"incomplete messages of all connections exceed {MOST_HELD:,} bytes"
                yield self._no_more(reason, len(octets) - start - _PORTION)
            elif self._bounds.small > MOST_SMALL_FRAMES:
                reason = f"more than {MOST_SMALL_FRAMES:,} WebSocket frames have less than {_SMALL} bytes"
                yield self._no_more(reason, len(octets) - start - _PORTION)
            if self._is_over:
                return

    def _no_more(self, reason: str, rest: int) -> Remark:
        """Stop reading this direction, and return a remark that says why."""
        self._is_over = True
        self._left_out = max(rest, 0)
        self._drop_fragments()
        self._protocol = None
        return Remark(f"not read from here on: {reason}", is_fault=True)

    def _frame(self, frame: Frame) -> Iterator[Observation]:
        if frame.opcode is Opcode.CLOSE:
            yield Remark(f"closes: {_closing(frame)}")
        elif frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            if frame.fin and not self._fragments:
                yield Delivery(bytes(frame.data), is_text=frame.opcode is Opcode.TEXT)
            else:
                self._fragments.append(frame)
                self._held += len(frame.data)
                self._bounds.held += len(frame.data)
                if frame.fin:
                    is_text = self._fragments[0].opcode is Opcode.TEXT
                    octets = b"".join([fragment.data for fragment in self._fragments])
                    self._drop_fragments()
                    yield Delivery(octets, is_text=is_text)
        if len(frame.data) < _SMALL:
            self._bounds.small += 1


def is_of_client(octets: bytes) -> bool:
    """Return whether the bytes look as if sent by the client of a WebSocket."""
    return octets.startswith(b"GET ") or _may_be_frame(octets, masked=True)


def _may_be_frame(octets: bytes, *, masked: bool) -> bool:
    """Return whether a WebSocket frame may begin here: known opcode, no reserved bits, masked as that side has to."""
    known = len(octets) >= 2 and octets[0] & 0x0F in _OPCODES and not octets[0] & 0x30
    return known and (octets[1] > 127) == masked


def _deflate_parameters(extensions: str) -> dict[str, str | None] | None:
    """Parse the parameters of permessage-deflate in a server's response; None if it is not used."""
    for extension in extensions.split(","):
        name, *parameters = (part.strip() for part in extension.split(";"))
        if name == "permessage-deflate":
            pairs = (parameter.partition("=") for parameter in parameters)
            return {key.strip(): value.strip(' "') or None for key, _, value in pairs}
    return None


class _Exhausted(ProtocolError):
    """The budget does not allow to inflate more."""


class _Inflater(PerMessageDeflate):
    """``PerMessageDeflate`` with a budget."""

    budget: Budget

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        """Inflate a frame, as far as the budget allows."""
        if not frame.rsv1 and not self.decode_cont_data:
            return super().decode(frame, max_size=max_size)
        left = self.budget.inflating_left
        if not left:
            raise _Exhausted("the capture inflates to too many bytes for its size")
        inflated = super().decode(frame, max_size=left if max_size is None else max(min(left, max_size), 1))
        self.budget.inflated += len(inflated.data)
        return inflated


def _inflater(parameters: dict[str, str | None], from_server: bool, budget: Budget) -> PerMessageDeflate:
    side, other = ("server", "client") if from_server else ("client", "server")
    inflater = _Inflater(
        f"{side}_no_context_takeover" in parameters,
        f"{other}_no_context_takeover" in parameters,
        _bits(parameters.get(f"{side}_max_window_bits")),
        max(_bits(parameters.get(f"{other}_max_window_bits")), _NARROWEST),
    )
    inflater.budget = budget
    return inflater


def _bits(value: Any) -> int:
    return int(value) if value and value.isdigit() and 8 <= int(value) <= 15 else 15


def _closing(frame: Frame) -> str:
    if len(frame.data) < 2:
        return "without a code"
    code = int.from_bytes(frame.data[:2], "big")
    reason = bytes(frame.data[2:]).decode("utf-8", "replace")
    return f"{code} {reason}".rstrip()
