"""Captures made by hand: the TCP segments of WebSocket connections, in any order and with any fault."""

from __future__ import annotations

import io
from itertools import count

from recordings import optional

dpkt = optional("dpkt")
optional("websockets")

from websockets.extensions.permessage_deflate import PerMessageDeflate  # noqa: E402 - behind the skip
from websockets.frames import Frame, Opcode  # noqa: E402

CLIENT = (bytes([10, 0, 0, 1]), 50_000)
SERVER = (bytes([10, 0, 0, 2]), 8765)
ASK = b"GET /ws HTTP/1.1\r\nHost: s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
AGREE = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
SYN, ACK = dpkt.tcp.TH_SYN, dpkt.tcp.TH_ACK


class Side:
    """One direction of a connection: makes its segments, with sequence numbers that go on."""

    def __init__(self, source, target, start):
        self.source, self.target, self.sequence = source, target, start

    def packet(self, octets=b"", flags=ACK, sequence=None, acknowledges=0):
        (source, source_port), (target, target_port) = self.source, self.target
        segment = dpkt.tcp.TCP(
            sport=source_port,
            dport=target_port,
            seq=(self.sequence if sequence is None else sequence) % 2**32,
            ack=acknowledges % 2**32,
            flags=flags,
            data=octets,
        )
        if sequence is None:
            self.sequence += len(octets) + bool(flags & SYN)
        kind = dpkt.ip.IP if len(source) == 4 else dpkt.ip6.IP6
        packet = kind(src=source, dst=target, p=dpkt.ip.IP_PROTO_TCP, data=segment)
        if len(source) == 4:
            packet.len = 40 + len(octets)
        else:
            packet.nxt, packet.plen = dpkt.ip.IP_PROTO_TCP, 20 + len(octets)
        return packet


class Connection:
    """Both directions, and the packets so far."""

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
        """The bytes of a message of the side's."""
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


LAYERS = {
    1: lambda packet: bytes(dpkt.ethernet.Ethernet(type=0x86DD if packet.v == 6 else 0x0800, data=packet)) + b"\0\0",
    101: bytes,
    113: lambda packet: bytes(dpkt.sll.SLL(ethtype=0x0800, data=packet)),
    0: lambda packet: b"\x02\0\0\0" + bytes(packet),
}


def capture(packets, link=1, ng=False):
    """A file of those packets, a hundredth of a second apart."""
    file = io.BytesIO()
    writer = dpkt.pcapng.Writer(file, linktype=link) if ng else dpkt.pcap.Writer(file, linktype=link)
    times = count()
    for packet in packets:
        writer.writepkt(LAYERS[link](packet), ts=1000 + next(times) / 100)
    return file.getvalue()
