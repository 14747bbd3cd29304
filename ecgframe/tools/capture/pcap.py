"""Captures of the network (pcap, pcapng), as tcpdump, dumpcap and ``ecgframe proxy`` write them."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator
from typing import BinaryIO, Final

from ..observation import Observation, Origin, Remark
from .ip_packets import ACK, LINKS, SYN, Fragment, NotTcp, Segment, tcp_segment
from .pcap_file import MAGIC, CaptureError, Packet, read_packets
from .websocket_reassembly import WebSocketReassembler, is_of_client
from .wireshark_export import UPPER_PDU, read_exported

__all__ = ["CaptureError", "is_capture", "read_capture"]

_UNDERSTOOD: Final = "Ethernet, Linux cooked, loopback and raw IP are understood"

Flow = tuple[bytes, int, bytes, int]


def is_capture(begin: bytes) -> bool:
    """Whether a file that begins so is a capture."""
    return begin.startswith(MAGIC)


def read_capture(file: BinaryIO) -> Iterator[Observation]:
    """The WebSocket messages of all connections, in the order in which they were complete.

    Raises:
        CaptureError: it is none, or of a kind of network that is not understood.
        MissingLibrary: websockets is not installed.
    """
    capture = read_packets(file)
    if capture.link == UPPER_PDU:
        return read_exported(_with_times(capture.packets))
    if capture.link not in LINKS:
        raise CaptureError(f"a capture of link type {capture.link}; {_UNDERSTOOD}")
    return _Connections().read(_or_remark(capture.packets))


def _or_remark(packets: Iterator[Packet]) -> Iterator[Packet | Remark]:
    """The packets; a last remark where the file is cut short."""
    try:
        yield from packets
    except CaptureError as error:
        yield Remark(f"the capture is cut short or damaged: {error}", is_fault=True)


def _with_times(packets: Iterator[Packet]) -> Iterator[tuple[float, bytes] | Remark]:
    """Of a recording, what is one."""
    for packet in _or_remark(packets):
        if isinstance(packet, Remark):
            yield packet
        elif packet.link == UPPER_PDU:
            yield packet.time, packet.octets
        else:
            yield Remark(f"a packet of link type {packet.link} in a recording", Origin(time=packet.time), is_fault=True)


class _Connections:
    """The TCP connections of a capture."""

    def __init__(self) -> None:
        self._taps: dict[Flow, tuple[WebSocketReassembler, bool]] = {}
        self._fragments = 0
        self._other_links: Counter[int] = Counter()

    def read(self, packets: Iterator[Packet | Remark]) -> Iterator[Observation]:
        """Everything, to the end."""
        time = 0.0
        for packet in packets:
            if isinstance(packet, Remark):
                yield packet
                continue
            time = packet.time
            segment = self._segment(packet)
            if segment is not None:
                yield from self._take(segment, time)
        for tap in self._distinct():
            yield from tap.finish(time)
        yield from self._others()

    def _segment(self, packet: Packet) -> Segment | None:
        if packet.link not in LINKS:
            self._other_links[packet.link] += 1
            return None
        try:
            return tcp_segment(packet.link, packet.octets)
        except Fragment:
            self._fragments += 1
        except NotTcp:  # something else, or cut by the capture's snap length
            pass
        return None

    def _take(self, segment: Segment, time: float) -> Iterator[Observation]:
        flow = (segment.source, segment.source_port, segment.target, segment.target_port)
        syn = bool(segment.flags & SYN)
        if flow not in self._taps and not segment.octets and not syn:
            return  # a bare ACK of a connection that began before: who is who will show
        if flow not in self._taps or (syn and not segment.flags & ACK):
            if flow in self._taps:  # the same ports again: another connection
                yield from self._taps[flow][0].finish(time)
            self._begin(flow, segment)
        tap, from_server = self._taps[flow]
        if syn:
            tap.open(from_server, segment.sequence)
        yield from tap.feed(from_server, segment.sequence + syn, segment.octets, time)
        if segment.flags & ACK:
            yield from tap.acknowledge(from_server, segment.acknowledges, time)

    def _begin(self, flow: Flow, segment: Segment) -> None:
        """A new connection. Who sends SYN alone opened it; of one that began before, who asks or masks."""
        source, source_port, target, target_port = flow
        is_answer = bool(segment.flags & ACK)
        from_server = is_answer if segment.flags & SYN else not is_of_client(segment.octets)
        here, there = _address(source, source_port), _address(target, target_port)
        tap = WebSocketReassembler(there, here) if from_server else WebSocketReassembler(here, there)
        self._taps[flow] = (tap, from_server)
        self._taps[(target, target_port, source, source_port)] = (tap, not from_server)

    def _distinct(self) -> list[WebSocketReassembler]:
        return list(dict.fromkeys(tap for tap, _ in self._taps.values()))

    def _others(self) -> Iterator[Remark]:
        taps = self._distinct()
        others = sum(tap.is_websocket is not True for tap in taps)
        if not taps:
            yield Remark("no TCP in this capture", is_fault=True)
        elif others:
            yield Remark(f"{others} of {len(taps)} TCP connections are no WebSockets, or say nothing")
        if self._fragments:
            text = f"{self._fragments} fragments of IP packets are left out; they are not put together"
            yield Remark(text, is_fault=True)
        for link, count in sorted(self._other_links.items()):
            yield Remark(f"{count} packets of link type {link} are left out; {_UNDERSTOOD}", is_fault=True)


def _address(octets: bytes, port: int) -> str:
    if len(octets) == 4:
        return f"{socket.inet_ntop(socket.AF_INET, octets)}:{port}"
    return f"[{socket.inet_ntop(socket.AF_INET6, octets)}]:{port}"
