"""One TCP connection listened to: the WebSocket messages of both sides, with masks, fragments and deflate undone.

The framing is read by the ``websockets`` library; here it is only told what both sides agreed on in their handshake.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPException, HTTPMessage, parse_headers
from typing import TYPE_CHECKING, Any, Final

from ...libraries import library
from ..observation import Delivery, Observation, Origin, Remark
from .tcp_reassembly import Piece, TcpDirection

if TYPE_CHECKING:
    from websockets.extensions.permessage_deflate import PerMessageDeflate
    from websockets.frames import Frame, Opcode
    from websockets.protocol import Protocol, Side
else:
    purpose = "reading captures"
    library("websockets", extra="tools", purpose=purpose)
    from websockets.extensions.permessage_deflate import PerMessageDeflate
    from websockets.frames import Frame, Opcode
    from websockets.protocol import Protocol, Side

LARGEST_MESSAGE: Final = 64 * 1024 * 1024
"""Bytes of a WebSocket message that is still read."""

_LONGEST_HANDSHAKE: Final = 64 * 1024
_END: Final = b"\r\n\r\n"
_OPCODES: Final = frozenset(int(opcode) for opcode in Opcode)


class WebSocketReassembler:
    """A connection, as far as the capture has it.

    Args:
        client: address of the side that opened it.
        server: address of the other.
    """

    def __init__(self, client: str, server: str) -> None:
        self._sides = {False: _Side(self, False), True: _Side(self, True)}
        self._origin = Origin(client=client, server=server)
        self.is_websocket: bool | None = None
        self.deflate: dict[str, str | None] | None = None
        """The parameters of permessage-deflate, once both sides agreed on it."""

    def open(self, from_server: bool, sequence: int) -> None:
        """A segment with SYN came."""
        self._sides[from_server].direction.open(sequence)

    def feed(self, from_server: bool, sequence: int, octets: bytes, time: float) -> list[Observation]:
        """A segment with data came, at that time. Gives what it completes."""
        side = self._sides[from_server]
        return self._read(side, side.direction.feed(sequence, octets, time))

    def acknowledge(self, from_server: bool, sequence: int, time: float) -> list[Observation]:
        """A segment came with ACK: that side has all that the other sent before that number."""
        side = self._sides[not from_server]
        return self._read(side, side.direction.acknowledged(sequence, time))

    def finish(self, time: float) -> list[Observation]:
        """The capture ends."""
        found = []
        for side in self._sides.values():
            found += self._read(side, side.direction.finish())
            found += self._placed(side.rest(), side, time)
        return found

    def _read(self, side: _Side, pieces: list[Piece]) -> list[Observation]:
        return [one for piece in pieces for one in self._placed(side.read(piece), side, piece.time)]

    def _placed(self, found: Iterator[Observation], side: _Side, time: float) -> Iterator[Observation]:
        for one in found:
            yield replace(one, origin=replace(self._origin, time=time, from_server=side.is_server))


class _Side:
    """What one side says: a handshake, then frames."""

    def __init__(self, tap: WebSocketReassembler, is_server: bool) -> None:
        self.direction = TcpDirection()
        self.is_server = is_server
        self._tap = tap
        self._begin = b""
        self._protocol: Protocol | None = None
        self._fragments: list[Frame] = []
        self._is_over = False

    def read(self, piece: Piece) -> Iterator[Observation]:
        """The next bytes."""
        if piece.missing:
            yield Remark(f"{piece.missing:,} bytes are missing from the capture here", is_fault=True)
            self._begin_anew()
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
        """What is there of a message when the capture ends."""
        nbytes = sum(len(frame.data) for frame in self._fragments)
        if self._fragments:
            yield Remark(f"the capture ends within a message, of which {nbytes:,} bytes came", is_fault=True)

    # --- the handshake ---

    def _greet(self, octets: bytes) -> bytes | Remark:
        """Read the handshake, if one begins here. Gives what follows it; nothing until it is whole."""
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
        """The capture began within the connection, or it is none of WebSockets."""
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

    def _reader(self) -> Protocol:
        # it reads in the place of the side that received this
        return Protocol(Side.CLIENT if self.is_server else Side.SERVER, max_size=None)

    def _begin_anew(self) -> None:
        """Behind a hole: a segment most often begins with a frame."""
        self._fragments = []
        self._begin = b""
        self._protocol = None

    def _frames(self, octets: bytes) -> Iterator[Observation]:
        protocol = self._protocol
        assert protocol is not None
        if self._tap.deflate is not None and not protocol.extensions:
            protocol.extensions = [_inflater(self._tap.deflate, self.is_server)]
        protocol.receive_data(octets)
        protocol.data_to_send()
        for frame in protocol.events_received():
            assert isinstance(frame, Frame)
            yield from self._frame(frame)
        if protocol.parser_exc is not None:
            self._is_over = True
            yield Remark(f"no WebSocket from here on: {protocol.parser_exc}", is_fault=True)

    def _frame(self, frame: Frame) -> Iterator[Observation]:
        if frame.opcode is Opcode.CLOSE:
            yield Remark(f"closes: {_closing(frame)}")
        elif frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            self._fragments.append(frame)
            if frame.fin:
                octets = b"".join(bytes(fragment.data) for fragment in self._fragments)
                is_text = self._fragments[0].opcode is Opcode.TEXT
                self._fragments = []
                yield Delivery(octets, is_text=is_text)
            elif sum(len(fragment.data) for fragment in self._fragments) > LARGEST_MESSAGE:
                self._is_over = True
                yield Remark(f"a message of more than {LARGEST_MESSAGE:,} bytes is not read", is_fault=True)


def is_of_client(octets: bytes) -> bool:
    """Whether bytes of a connection come from the side that opened it, as far as they tell."""
    return octets.startswith(b"GET ") or _may_be_frame(octets, masked=True)


def _may_be_frame(octets: bytes, *, masked: bool) -> bool:
    """Whether a WebSocket frame may begin here: known opcode, no reserved bits, and the mask of that side."""
    known = len(octets) >= 2 and octets[0] & 0x0F in _OPCODES and not octets[0] & 0x30
    return known and (octets[1] > 127) == masked


def _deflate_parameters(extensions: str) -> dict[str, str | None] | None:
    """What a server's answer says of permessage-deflate; None where it is not used."""
    for extension in extensions.split(","):
        name, *parameters = (part.strip() for part in extension.split(";"))
        if name == "permessage-deflate":
            pairs = (parameter.partition("=") for parameter in parameters)
            return {key.strip(): value.strip(' "') or None for key, _, value in pairs}
    return None


def _inflater(parameters: dict[str, str | None], from_server: bool) -> PerMessageDeflate:
    side, other = ("server", "client") if from_server else ("client", "server")
    return PerMessageDeflate(
        f"{side}_no_context_takeover" in parameters,
        f"{other}_no_context_takeover" in parameters,
        _bits(parameters.get(f"{side}_max_window_bits")),
        _bits(parameters.get(f"{other}_max_window_bits")),
    )


def _bits(value: Any) -> int:
    return int(value) if value and value.isdigit() and 8 <= int(value) <= 15 else 15


def _closing(frame: Frame) -> str:
    if len(frame.data) < 2:
        return "without a code"
    code = int.from_bytes(frame.data[:2], "big")
    reason = bytes(frame.data[2:]).decode("utf-8", "replace")
    return f"{code} {reason}".rstrip()
