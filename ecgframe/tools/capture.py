"""Captures of the network (pcap, pcapng), as tcpdump, dumpcap and ``ecgframe proxy`` write them, read by dpkt."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final, NamedTuple

from ..libraries import library
from . import ToolError
from .exported import UPPER_PDU, read_exported
from .sighting import Remark, Sighting
from .tap import Tap, is_of_client

MAGIC: Final = (
    b"\xa1\xb2\xc3\xd4",
    b"\xd4\xc3\xb2\xa1",
    b"\xa1\xb2\x3c\x4d",
    b"\x4d\x3c\xb2\xa1",
    b"\x0a\x0d\x0d\x0a",
)
"""What captures begin with: pcap of either byte order with micro- and nanoseconds, and pcapng."""

_RAW: Final = (12, 14, 101, 228, 229)

Flow = tuple[bytes, int, bytes, int]


class CaptureError(ToolError):
    """A file that is no capture, or of a network that is not understood."""


class _Link(NamedTuple):
    module: str
    name: str


_LINKS: Final = {
    0: _Link("dpkt.loopback", "Loopback"),
    1: _Link("dpkt.ethernet", "Ethernet"),
    108: _Link("dpkt.loopback", "Loopback"),
    113: _Link("dpkt.sll", "SLL"),
    276: _Link("dpkt.sll2", "SLL2"),
}


def is_capture(begin: bytes) -> bool:
    """Whether a file that begins so is a capture."""
    return begin.startswith(MAGIC)


def read_capture(file: BinaryIO) -> Iterator[Sighting]:
    """The WebSocket messages of all connections, in the order in which they were complete.

    Raises:
        CaptureError: it is none, or of a kind of network that is not understood.
        MissingLibrary: dpkt or websockets is not installed.
    """
    dpkt = library("dpkt", extra="tools", purpose="reading captures")
    try:
        packets = dpkt.pcap.UniversalReader(file)
    except (ValueError, dpkt.Error) as error:
        raise CaptureError(f"not a capture that can be read: {error or type(error).__name__}") from error
    link = packets.datalink()
    if link == UPPER_PDU:
        return read_exported(_packets(packets, dpkt))
    return _Connections(_decoder(link)).read(_packets(packets, dpkt))


def _packets(packets: Any, dpkt: Any) -> Iterator[tuple[float, bytes] | Remark]:
    """The packets with their times; a last remark where the file is cut short."""
    try:
        for time, octets in packets:
            yield float(time), bytes(octets)
    except (dpkt.Error, ValueError) as error:
        yield Remark(f"the capture is cut short or damaged: {error or type(error).__name__}", is_fault=True)


def _decoder(link: int) -> Callable[[bytes], Any]:
    """Reads a packet down to IP."""
    if link in _RAW:
        ip4 = library("dpkt.ip", extra="tools", purpose="reading captures").IP
        ip6 = library("dpkt.ip6", extra="tools", purpose="reading captures").IP6
        return lambda octets: (ip6 if octets[0] >> 4 == 6 else ip4)(octets)
    if link not in _LINKS:
        raise CaptureError(f"a capture of link type {link}; Ethernet, Linux cooked, loopback and raw IP are understood")
    module, name = _LINKS[link]
    layer = getattr(library(module, extra="tools", purpose="reading captures"), name)
    return lambda octets: layer(octets).data


class _Connections:
    """The TCP connections of a capture."""

    def __init__(self, decode: Callable[[bytes], Any]) -> None:
        self._decode = decode
        self._dpkt = library("dpkt", extra="tools", purpose="reading captures")
        self._taps: dict[Flow, tuple[Tap, bool]] = {}

    def read(self, packets: Iterator[tuple[float, bytes] | Remark]) -> Iterator[Sighting]:
        """Everything, to the end."""
        time = 0.0
        for packet in packets:
            if isinstance(packet, Remark):
                yield packet
                continue
            time, octets = packet
            segment = self._segment(octets)
            if segment is not None:
                yield from self._take(*segment, time)
        for tap in self._distinct():
            yield from tap.finish(time)
        yield from self._others()

    def _segment(self, octets: bytes) -> tuple[Any, Any] | None:
        dpkt = self._dpkt
        try:
            packet = self._decode(octets)
        except (dpkt.Error, IndexError, ValueError):  # something else, or cut by the capture's snap length
            return None
        segment = getattr(packet, "data", None)
        return (packet, segment) if isinstance(segment, dpkt.tcp.TCP) else None

    def _take(self, packet: Any, segment: Any, time: float) -> Iterator[Sighting]:
        flow = (packet.src, segment.sport, packet.dst, segment.dport)
        if flow not in self._taps and not segment.data and not segment.flags & self._dpkt.tcp.TH_SYN:
            return  # a bare ACK of a connection that began before: who is who will show
        syn = bool(segment.flags & self._dpkt.tcp.TH_SYN)
        if flow not in self._taps or (syn and not segment.flags & self._dpkt.tcp.TH_ACK):
            if flow in self._taps:  # the same ports again: another connection
                yield from self._taps[flow][0].finish(time)
            self._begin(flow, segment)
        tap, from_server = self._taps[flow]
        if syn:
            tap.open(from_server, segment.seq)
        yield from tap.feed(from_server, segment.seq + syn, bytes(segment.data), time)
        if segment.flags & self._dpkt.tcp.TH_ACK:
            yield from tap.acknowledge(from_server, segment.ack, time)

    def _begin(self, flow: Flow, segment: Any) -> None:
        """A new connection. Who sends SYN alone opened it; of one that began before, who asks or masks."""
        flags = segment.flags & (self._dpkt.tcp.TH_SYN | self._dpkt.tcp.TH_ACK)
        source, source_port, target, target_port = flow
        if flags == self._dpkt.tcp.TH_SYN:
            from_server = False
        elif flags & self._dpkt.tcp.TH_SYN:
            from_server = True
        else:
            from_server = not is_of_client(bytes(segment.data))
        here, there = _address(source, source_port), _address(target, target_port)
        tap = Tap(there, here) if from_server else Tap(here, there)
        self._taps[flow] = (tap, from_server)
        self._taps[(target, target_port, source, source_port)] = (tap, not from_server)

    def _distinct(self) -> list[Tap]:
        return list(dict.fromkeys(tap for tap, _ in self._taps.values()))

    def _others(self) -> Iterator[Remark]:
        taps = self._distinct()
        others = sum(tap.is_websocket is not True for tap in taps)
        if not taps:
            yield Remark("no TCP in this capture", is_fault=True)
        elif others:
            yield Remark(f"{others} of {len(taps)} TCP connections are no WebSockets, or say nothing")


def _address(octets: bytes, port: int) -> str:
    if len(octets) == 4:
        return f"{socket.inet_ntop(socket.AF_INET, octets)}:{port}"
    return f"[{socket.inet_ntop(socket.AF_INET6, octets)}]:{port}"
