"""Synthetic captures: TCP segments of WebSocket connections, in any order and with any fault."""

from __future__ import annotations

import struct
from itertools import count
from typing import NamedTuple

from recordings import optional

from ecgframe.tools.capture.ip_packets import ACK, SYN

optional("websockets")

from websockets.extensions.permessage_deflate import PerMessageDeflate  # noqa: E402 - after the skip
from websockets.frames import Frame, Opcode  # noqa: E402

CLIENT = (bytes([10, 0, 0, 1]), 50_000)
SERVER = (bytes([10, 0, 0, 2]), 8765)
ASK = b"GET /ws HTTP/1.1\r\nHost: s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
AGREE = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
TCP, UDP = 6, 17


class IpPacket(NamedTuple):
    """Build an IPv4 or IPv6 packet with a TCP segment."""

    source: bytes
    target: bytes
    held: bytes
    protocol: int = TCP
    octets: bytes = b""

    @property
    def is_ipv6(self):
        return len(self.source) == 16

    def __bytes__(self):
        if self.is_ipv6:
            return (
                struct.pack(">IHBB", 6 << 28, len(self.held), self.protocol, 64) + self.source + self.target + self.held
            )
        whole = 20 + len(self.held)
        header = struct.pack(">BBHHHBBH", 0x45, 0, whole, 0, 0, 64, self.protocol, 0)
        return header + self.source + self.target + self.held


def tcp(source_port, target_port, sequence, acknowledges, flags, octets=b"", options=b""):
    """Build a TCP segment with a checksum of 0, as with checksum offload."""
    words = 5 + len(options) // 4
    header = struct.pack(
        ">HHIIBBHHH", source_port, target_port, sequence % 2**32, acknowledges % 2**32, words << 4, flags, 8192, 0, 0
    )
    return header + options + octets


class Side:
    """One direction of a connection: builds its segments with consecutive sequence numbers."""

    def __init__(self, source, target, start):
        self.source, self.target, self.sequence = source, target, start

    def packet(self, octets=b"", flags=ACK, sequence=None, acknowledges=0):
        (source, source_port), (target, target_port) = self.source, self.target
        held = tcp(
            source_port, target_port, self.sequence if sequence is None else sequence, acknowledges, flags, octets
        )
        if sequence is None:
            self.sequence += len(octets) + bool(flags & SYN)
        return IpPacket(source, target, held, octets=octets)


class Connection:
    """Both directions of a connection, and its packets so far."""

    def __init__(self, client=CLIENT, server=SERVER, *, starts=(1000, 7000), deflate=""):
        self.client, self.server = Side(client, server, starts[0]), Side(server, client, starts[1])
        self.packets = []
        self.deflate = deflate
        fresh = {side: f"{side}_no_context_takeover" in deflate for side in ("client", "server")}
        self.deflaters = {
            side: PerMessageDeflate(fresh["client"], fresh["client"], 15, 15)
            if side == "client"
            else PerMessageDeflate(fresh["server"], fresh["server"], 15, 15)
            for side in ("client", "server")
        }

    def open(self):
        answer = AGREE + (f"Sec-WebSocket-Extensions: {self.deflate}\r\n".encode() if self.deflate else b"") + b"\r\n"
        self.packets += [
            self.client.packet(flags=SYN),
            self.server.packet(flags=SYN | ACK),
            self.client.packet(ASK),
            self.server.packet(answer),
        ]
        return self

    def framed(self, octets, side, *, opcode=Opcode.BINARY, fragments=1, deflated=False):
        """Return the bytes of a WebSocket message of that side."""
        extensions = [self.deflaters[side]] if deflated else None
        size = -(-len(octets) // fragments) or 1
        pieces = [octets[start : start + size] for start in range(0, len(octets), size)] or [b""]
        frames = [
            Frame(opcode if number == 0 else Opcode.CONT, piece, fin=number == len(pieces) - 1)
            for number, piece in enumerate(pieces)
        ]
        return b"".join(frame.serialize(mask=side == "client", extensions=extensions) for frame in frames)

    def send(self, octets, side="server", **options):
        self.packets.append(getattr(self, side).packet(self.framed(octets, side, **options)))
        return self


def ether_type(packet):
    return struct.pack(">H", 0x86DD if packet.is_ipv6 else 0x0800)


LAYERS = {
    0: lambda packet: b"\x02\0\0\0" + bytes(packet),
    1: lambda packet: bytes(12) + ether_type(packet) + bytes(packet) + b"\0\0",
    101: bytes,
    108: lambda packet: b"\0\0\0\x18" + bytes(packet),
    113: lambda packet: bytes(14) + ether_type(packet) + bytes(packet),
    276: lambda packet: ether_type(packet) + bytes(18) + bytes(packet),
}


def capture(packets, link=1, ng=False, order="<"):
    """Return a capture of the packets, a hundredth of a second apart."""
    times = count()
    stamped = [(10**9 + 10**4 * next(times), link, LAYERS[link](packet)) for packet in packets]
    return pcapng_file(stamped, [link], order) if ng else pcap_file(stamped, link, order)


def pcap_file(packets, link, order="<", ticks=10**6):
    """Return a pcap file of (microseconds, link, bytes)."""
    magic = {10**6: 0xA1B2C3D4, 10**9: 0xA1B23C4D}[ticks]
    header = struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 262144, link)
    records = []
    for time, _, octets in packets:
        fraction = time % 10**6 * (ticks // 10**6)
        records.append(struct.pack(f"{order}4I", time // 10**6, fraction, len(octets), len(octets)) + octets)
    return header + b"".join(records)


def block(kind, body, order="<"):
    padded = body + bytes(-len(body) % 4)
    size = struct.pack(f"{order}I", 12 + len(padded))
    return struct.pack(f"{order}I", kind) + size + padded + size


def section(order="<"):
    return block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link, order="<", options=(), most=0):
    described = [
        struct.pack(f"{order}HH", code, len(value)) + value + bytes(-len(value) % 4) for code, value in options
    ]
    return block(1, struct.pack(f"{order}HHI", link, 0, most) + b"".join(described) + bytes(4 * bool(options)), order)


def enhanced(number, ticks, octets, order="<"):
    header = struct.pack(f"{order}5I", number, ticks >> 32, ticks & 0xFFFFFFFF, len(octets), len(octets))
    return block(6, header + octets, order)


def pcapng_file(packets, links, order="<"):
    """Return a pcapng file of (microseconds, link, bytes), with an interface for each link type."""
    blocks = [section(order), *(interface(link, order) for link in links)]
    return b"".join([*blocks, *(enhanced(links.index(link), time, octets, order) for time, link, octets in packets)])
