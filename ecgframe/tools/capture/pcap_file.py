"""Capture files: pcap and pcapng read, pcap written. No length in a file is believed before it is checked.

The formats are those of draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

from .. import ToolError

MAGIC: Final = (
    b"\xa1\xb2\xc3\xd4",
    b"\xd4\xc3\xb2\xa1",
    b"\xa1\xb2\x3c\x4d",
    b"\x4d\x3c\xb2\xa1",
    b"\x0a\x0d\x0d\x0a",
)
"""What captures begin with: pcap of either byte order with micro- and nanoseconds, and pcapng."""

LARGEST_PACKET: Final = 128 * 1024 * 1024
"""Bytes of a packet that is still read. On a network they have less; a recorded WebSocket message has at most half."""

_MICROSECONDS: Final = 0xA1B2C3D4
_MAJOR_VERSION: Final = 2
_ANY_SIZE: Final = 0x7FFFFFFF

_PORTION: Final = 1 << 20

_SECTION: Final = 0x0A0D0D0A
_INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _ENHANCED_PACKET = 1, 2, 3, 6
_BYTE_ORDERS: Final = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}
_END_OF_OPTIONS, _RESOLUTION, _OFFSET = 0, 9, 14


class CaptureError(ToolError):
    """A file that is no capture, is damaged, or is of a network that is not understood."""


class Packet(NamedTuple):
    """A packet of a capture.

    Attributes:
        link: the link type, which says how it begins; as in https://www.tcpdump.org/linktypes.html.
        time: when it was captured, in Unix seconds.
        octets: its bytes; less than were on the wire where the capture has cut it.
    """

    link: int
    time: float
    octets: bytes


class Packets(NamedTuple):
    """The packets of a capture.

    Attributes:
        link: the link type of all of them; of a pcapng file that of its first interface, others may differ.
        packets: one after the other, as the file is read. Raises ``CaptureError`` where it is cut short or damaged.
    """

    link: int
    packets: Iterator[Packet]


def read_packets(file: BinaryIO) -> Packets:
    """The packets of a pcap or pcapng file, whose header is read at once.

    Raises:
        CaptureError: the file is no capture.
    """
    begin = file.read(4)
    if begin not in MAGIC:
        raise CaptureError("not a capture that can be read: it begins neither as pcap nor as pcapng")
    try:
        if begin == MAGIC[-1]:
            reader = _PcapngReader(file)
            return Packets(reader.first_link(), reader.packets())
        return _pcap_packets(file, begin)
    except CaptureError as error:
        raise CaptureError(f"not a capture that can be read: {error}") from None


# --- pcap ---


def _pcap_packets(file: BinaryIO, begin: bytes) -> Packets:
    order = ">" if begin[0] == 0xA1 else "<"
    ticks = 1_000_000 if struct.unpack(f"{order}I", begin)[0] == _MICROSECONDS else 1_000_000_000
    header = file.read(20)
    if len(header) < 20:
        raise CaptureError(f"a pcap header has 24 bytes, this file {4 + len(header)}")
    major, minor, link = struct.unpack(f"{order}HH12xI", header)
    if major != _MAJOR_VERSION:
        raise CaptureError(f"pcap of version {major}.{minor}, not {_MAJOR_VERSION}")
    link &= 0xFFFF  # above it stands how long the frames' checksums are
    return Packets(link, _pcap_records(file, struct.Struct(f"{order}4I"), ticks, link))


def _pcap_records(file: BinaryIO, header: struct.Struct, ticks: int, link: int) -> Iterator[Packet]:
    while begin := file.read(header.size):
        if len(begin) < header.size:
            raise CaptureError("the file ends within the header of a packet")
        seconds, fraction, captured, _ = header.unpack(begin)
        yield Packet(link, seconds + fraction / ticks, _exactly(file, captured))


def _exactly(file: BinaryIO, nbytes: int) -> bytes:
    """So many bytes, which a file may only claim to have: taken in portions, so that a lie costs no memory."""
    if nbytes > LARGEST_PACKET:
        raise CaptureError(f"a packet or block of {nbytes:,} bytes; more than {LARGEST_PACKET:,} are not believed")
    taken = bytearray()
    while len(taken) < nbytes:
        portion = file.read(min(nbytes - len(taken), _PORTION))
        if not portion:
            raise CaptureError(f"the file ends {nbytes - len(taken):,} bytes before a packet or block does")
        taken += portion
    return bytes(taken)


class PcapWriter:
    """Writes a pcap file, with times in microseconds.

    Args:
        file: opened for writing bytes.
        link: the link type of the packets.
    """

    def __init__(self, file: BinaryIO, link: int) -> None:
        self._file = file
        file.write(struct.pack("<IHHiIII", _MICROSECONDS, _MAJOR_VERSION, 4, 0, 0, _ANY_SIZE, link))

    def write(self, octets: bytes, time: float) -> None:
        """Append a packet, captured at that Unix time."""
        seconds, fraction = divmod(round(time * 1_000_000), 1_000_000)
        self._file.write(struct.pack("<4I", seconds & 0xFFFFFFFF, fraction, len(octets), len(octets)) + octets)


# --- pcapng ---


class _Interface(NamedTuple):
    link: int
    most: int
    ticks: int
    offset: int


class _PcapngReader:
    """The blocks of a file, of which the first four bytes have been read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._order = "<"
        self._interfaces: list[_Interface] = []
        self._time = 0.0
        self._begin_section(file.read(4))

    def first_link(self) -> int:
        """Reads on to the first interface that is described."""
        while not self._interfaces:
            block = self._block()
            if block is None:
                raise CaptureError("it describes no interface")
            if block[0] in {_ENHANCED_PACKET, _OLD_PACKET, _SIMPLE_PACKET}:
                raise CaptureError("a packet before any interface is described")
        return self._interfaces[0].link

    def packets(self) -> Iterator[Packet]:
        while (block := self._block()) is not None:
            kind, body = block
            if kind in {_ENHANCED_PACKET, _OLD_PACKET}:
                yield self._packet(body, f"{self._order}5I" if kind == _ENHANCED_PACKET else f"{self._order}H2x4I")
            elif kind == _SIMPLE_PACKET:
                yield self._simple_packet(body)

    def _block(self) -> tuple[int, bytes] | None:
        """The next block, with what sections and interfaces say already heeded; None at the end."""
        begin = self._file.read(8)
        if not begin:
            return None
        if len(begin) < 8:
            raise CaptureError("the file ends within the header of a block")
        if begin[:4] == MAGIC[-1]:
            self._begin_section(begin[4:])
            return _SECTION, b""
        kind, size = struct.unpack(f"{self._order}II", begin)
        body = self._body(size)
        if kind == _INTERFACE:
            self._interfaces.append(self._interface(body))
        return kind, body

    def _begin_section(self, size: bytes) -> None:
        """A section has a byte order and interfaces of its own."""
        magic = self._file.read(4)
        order = _BYTE_ORDERS.get(magic)
        if order is None or len(size) < 4:
            raise CaptureError(f"a section of pcapng in no byte order: 0x{magic.hex()}")
        self._order = order
        self._interfaces = []
        body = self._body(struct.unpack(f"{order}I", size)[0], taken=4)
        if len(body) < 12:
            raise CaptureError(f"a section of pcapng whose header has {16 + len(body)} bytes, not at least 28")
        major, minor = struct.unpack_from(f"{order}HH", body)
        if major != 1:
            raise CaptureError(f"pcapng of version {major}.{minor}, not 1")

    def _body(self, size: int, taken: int = 0) -> bytes:
        """What a block of that size holds between its kind and size and its size again, but for what has been read."""
        if size < 12 + taken or size % 4:
            raise CaptureError(f"a block of {size} bytes, which no block can have")
        rest = _exactly(self._file, size - 8 - taken)
        if struct.unpack_from(f"{self._order}I", rest, len(rest) - 4)[0] != size:
            raise CaptureError(f"a block of {size:,} bytes does not end with its size")
        return rest[:-4]

    def _interface(self, body: bytes) -> _Interface:
        if len(body) < 8:
            raise CaptureError(f"the description of an interface in {len(body)} bytes, not at least 8")
        link, most = struct.unpack_from(f"{self._order}H2xI", body)
        ticks, offset = 1_000_000, 0
        for code, value in self._options(body, 8):
            if code == _RESOLUTION and len(value) == 1:
                ticks = (2 if value[0] & 0x80 else 10) ** (value[0] & 0x7F)
            elif code == _OFFSET and len(value) == 8:
                (offset,) = struct.unpack(f"{self._order}q", value)
        return _Interface(link, most, ticks, offset)

    def _options(self, body: bytes, start: int) -> Iterator[tuple[int, bytes]]:
        while start + 4 <= len(body):
            code, size = struct.unpack_from(f"{self._order}HH", body, start)
            start += 4
            if code == _END_OF_OPTIONS:
                return
            if start + size > len(body):
                raise CaptureError(f"an option of {size} bytes where {len(body) - start} are left")
            yield code, body[start : start + size]
            start += size + -size % 4

    def _packet(self, body: bytes, fields: str) -> Packet:
        header = struct.Struct(fields)
        if len(body) < header.size:
            raise CaptureError(f"a packet in a block of {len(body)} bytes, not at least {header.size}")
        number, high, low, captured, _ = header.unpack_from(body)
        interface = self._interface_of(number)
        if captured > len(body) - header.size:
            raise CaptureError(f"a packet of {captured:,} bytes in a block that has {len(body) - header.size:,} for it")
        self._time = interface.offset + (high << 32 | low) / interface.ticks
        return Packet(interface.link, self._time, body[header.size : header.size + captured])

    def _simple_packet(self, body: bytes) -> Packet:
        """One without a time, which gets that of the packet before it; the first interface may have cut it."""
        if len(body) < 4:
            raise CaptureError(f"a packet in a block of {len(body)} bytes, not at least 4")
        interface = self._interface_of(0)
        (size,) = struct.unpack_from(f"{self._order}I", body)
        captured = min(size, interface.most or size)
        if captured > len(body) - 4:
            raise CaptureError(f"a packet of {captured:,} bytes in a block that has {len(body) - 4:,} for it")
        return Packet(interface.link, self._time, body[4 : 4 + captured])

    def _interface_of(self, number: int) -> _Interface:
        if number >= len(self._interfaces):
            raise CaptureError(f"a packet of interface {number}, where {len(self._interfaces)} are described")
        return self._interfaces[number]
