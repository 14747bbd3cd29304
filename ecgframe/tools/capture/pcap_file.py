"""Capture files: reading pcap and pcapng, writing pcap. Every length is checked before it is used.

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
"""First bytes of captures: pcap in both byte orders, with microseconds and nanoseconds, and pcapng."""

LARGEST_PACKET: Final = 128 * 1024 * 1024
"""Largest packet that is read, in bytes. Packets of a network and recorded WebSocket messages are smaller."""

PACKET_HEADER: Final = 16
"""Fewest bytes that a packet takes in a file in addition to its own."""

MOST_INTERFACES: Final = 65_536
"""Most interfaces of a section of pcapng."""

_MICROSECONDS: Final = 0xA1B2C3D4
_MAJOR_VERSION: Final = 2
_ANY_SIZE: Final = 0x7FFFFFFF

_PORTION: Final = 1 << 20

_SECTION: Final = 0x0A0D0D0A
_INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _ENHANCED_PACKET = 1, 2, 3, 6
_BYTE_ORDERS: Final = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}
_END_OF_OPTIONS, _RESOLUTION, _OFFSET = 0, 9, 14


class CaptureError(ToolError):
    """A file is not a capture, is damaged, or has a link type that is not supported."""


class Packet(NamedTuple):
    """A packet of a capture.

    Attributes:
        link: the link type, as in https://www.tcpdump.org/linktypes.html.
        time: time of the capture, in Unix seconds.
        octets: the bytes; fewer than were sent if the capture has truncated the packet.
    """

    link: int
    time: float
    octets: bytes


class Packets(NamedTuple):
    """The packets of a capture.

    Attributes:
        link: the link type of all packets; for pcapng, of the first interface, from which others may differ.
        packets: reads the packets one by one. Raises ``CaptureError`` if the file is cut short or damaged.
    """

    link: int
    packets: Iterator[Packet]


def read_packets(file: BinaryIO) -> Packets:
    """Read the header of a pcap or pcapng file, and return its packets.

    Raises:
        CaptureError: the file is no capture.
    """
    begin = file.read(4)
    if begin not in MAGIC:
        raise CaptureError("not a readable capture: neither pcap nor pcapng")
    try:
        if begin == MAGIC[-1]:
            reader = _PcapngReader(file)
            return Packets(reader.first_link(), reader.packets())
        return _pcap_packets(file, begin)
    except CaptureError as error:
        raise CaptureError(f"not a readable capture: {error}") from None


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
    link &= 0xFFFF  # the upper bits are the length of the frame check sequence
    return Packets(link, _pcap_records(file, struct.Struct(f"{order}4I"), ticks, link))


def _pcap_records(file: BinaryIO, header: struct.Struct, ticks: int, link: int) -> Iterator[Packet]:
    while begin := file.read(header.size):
        if len(begin) < header.size:
            raise CaptureError("the file ends within the header of a packet")
        seconds, fraction, captured, _ = header.unpack(begin)
        yield Packet(link, seconds + fraction / ticks, _read_exactly(file, captured))


def _read_exactly(file: BinaryIO, nbytes: int) -> bytes:
    """Read exactly ``nbytes``, in portions, so that a wrong length in the file costs no memory."""
    if nbytes > LARGEST_PACKET:
        raise CaptureError(f"a packet or block of {nbytes:,} bytes; the limit is {LARGEST_PACKET:,}")
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
        file: file opened for writing bytes.
        link: the link type of the packets.
    """

    def __init__(self, file: BinaryIO, link: int) -> None:
        self._file = file
        file.write(struct.pack("<IHHiIII", _MICROSECONDS, _MAJOR_VERSION, 4, 0, 0, _ANY_SIZE, link))

    def write(self, octets: bytes, time: float) -> None:
        """Append a packet. ``time`` is in Unix seconds."""
        seconds, fraction = divmod(round(time * 1_000_000), 1_000_000)
        self._file.write(struct.pack("<4I", seconds & 0xFFFFFFFF, fraction, len(octets), len(octets)) + octets)


# --- pcapng ---


class _Interface(NamedTuple):
    """An interface of a capture.

    Attributes:
        link: its link type.
        snap_length: bytes after which packets are truncated; 0 for no limit.
        ticks: ticks of its clock per second.
        offset: seconds to add to its times.
    """

    link: int
    snap_length: int
    ticks: int
    offset: int


class _PcapngReader:
    """Reads the blocks of a file whose first four bytes were read before."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._order = "<"
        self._interfaces: list[_Interface] = []
        self._time = 0.0
        self._begin_section(file.read(4))

    def first_link(self) -> int:
        """Read up to the first interface description, and return its link type."""
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
        """Return type and body of the next block, after processing sections and interfaces; None at the end."""
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
            if len(self._interfaces) == MOST_INTERFACES:
                raise CaptureError(f"more than {MOST_INTERFACES:,} interfaces are described")
            self._interfaces.append(self._interface(body))
        return kind, body

    def _begin_section(self, size: bytes) -> None:
        """Start a section, which has its own byte order and interfaces."""
        magic = self._file.read(4)
        order = _BYTE_ORDERS.get(magic)
        if order is None or len(size) < 4:
            raise CaptureError(f"a section of pcapng with an invalid byte-order magic: 0x{magic.hex()}")
        self._order = order
        self._interfaces = []
        body = self._body(struct.unpack(f"{order}I", size)[0], taken=4)
        if len(body) < 12:
            raise CaptureError(f"a section of pcapng whose header has {16 + len(body)} bytes, not at least 28")
        major, minor = struct.unpack_from(f"{order}HH", body)
        if major != 1:
            raise CaptureError(f"pcapng of version {major}.{minor}, not 1")

    def _body(self, size: int, taken: int = 0) -> bytes:
        """Read the body of a block of ``size`` bytes, ``taken`` of which were read, and check the trailing size."""
        if size < 12 + taken or size % 4:
            raise CaptureError(f"a block of {size} bytes, which is an invalid size")
        rest = _read_exactly(self._file, size - 8 - taken)
        if struct.unpack_from(f"{self._order}I", rest, len(rest) - 4)[0] != size:
            raise CaptureError(f"a block of {size:,} bytes does not end with its size")
        return rest[:-4]

    def _interface(self, body: bytes) -> _Interface:
        if len(body) < 8:
            raise CaptureError(f"the description of an interface in {len(body)} bytes, not at least 8")
        link, snap_length = struct.unpack_from(f"{self._order}H2xI", body)
        ticks, offset = 1_000_000, 0
        for code, value in self._options(body, 8):
            if code == _RESOLUTION and len(value) == 1:
                ticks = (2 if value[0] & 0x80 else 10) ** (value[0] & 0x7F)
            elif code == _OFFSET and len(value) == 8:
                (offset,) = struct.unpack(f"{self._order}q", value)
        return _Interface(link, snap_length, ticks, offset)

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
        """Parse a packet without a time, which gets that of the previous packet. The snap length may truncate it."""
        if len(body) < 4:
            raise CaptureError(f"a packet in a block of {len(body)} bytes, not at least 4")
        interface = self._interface_of(0)
        (size,) = struct.unpack_from(f"{self._order}I", body)
        captured = min(size, interface.snap_length or size)
        if captured > len(body) - 4:
            raise CaptureError(f"a packet of {captured:,} bytes in a block that has {len(body) - 4:,} for it")
        return Packet(interface.link, self._time, body[4 : 4 + captured])

    def _interface_of(self, number: int) -> _Interface:
        if number >= len(self._interfaces):
            raise CaptureError(f"a packet of interface {number}, where {len(self._interfaces)} are described")
        return self._interfaces[number]
