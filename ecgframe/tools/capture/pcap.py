"""WebSocket messages in network captures (pcap, pcapng) of tcpdump, dumpcap and ``ecgframe proxy``."""

from __future__ import annotations

import socket
from collections import Counter, OrderedDict
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

from ..budget import Budget
from ..observation import Observation, Origin, Remark
from .ip_packets import ACK, LINKS, SYN, Fragment, NotTcp, Segment, tcp_segment
from .pcap_file import MAGIC, PACKET_HEADER, CaptureError, Packet, read_packets
from .websocket_reassembly import MOST_READ, Bounds, WebSocketReassembler, is_of_client
from .wireshark_export import UPPER_PDU, read_exported

__all__ = ["CaptureError", "is_capture", "read_capture"]

_UNDERSTOOD: Final = "supported are Ethernet, Linux cooked, loopback and raw IP"

MOST_CONNECTIONS: Final = 4096
"""TCP connections other than WebSockets that are followed at a time. Beyond that, the least recently active ones are
dropped."""

MOST_WEBSOCKETS: Final = 1024
"""WebSocket connections that are followed at a time. Each may keep an inflate window and an incomplete message."""

End = tuple[bytes, int]


def is_capture(begin: bytes) -> bool:
    """Return whether a file with this beginning is a capture."""
    return begin.startswith(MAGIC)


def read_capture(file: BinaryIO, budget: Budget | None = None) -> Iterator[Observation]:
    """Yield the WebSocket messages of all connections, in the order in which they were completed.

    Args:
        file: file opened for reading bytes.
        budget: limits the work that the capture may cause; None for a new one.

    Raises:
        CaptureError: the file is not a capture, or its link type is not supported.
        MissingLibrary: websockets is not installed.
    """
    budget = Budget() if budget is None else budget
    capture = read_packets(file)
    if capture.link == UPPER_PDU:
        return read_exported(_with_times(_counted(capture.packets, budget)))
    if capture.link not in LINKS:
        raise CaptureError(f"a capture of link type {capture.link}; {_UNDERSTOOD}")
    return _Connections(Bounds(budget)).read(_or_remark(_counted(capture.packets, budget)))


def _counted(packets: Iterator[Packet], budget: Budget) -> Iterator[Packet]:
    """Yield the packets, and add their bytes to the budget."""
    for packet in packets:
        budget.nbytes += len(packet.octets) + PACKET_HEADER
        yield packet


def _or_remark(packets: Iterator[Packet]) -> Iterator[Packet | Remark]:
    """Yield the packets, and a remark at the end if the file is cut short."""
    try:
        yield from packets
    except CaptureError as error:
        yield Remark(f"the capture is cut short or damaged: {error}", is_fault=True)


def _with_times(packets: Iterator[Packet]) -> Iterator[tuple[float, bytes] | Remark]:
    """Yield time and bytes of the packets that are exported PDUs, and remarks on others."""
    for packet in _or_remark(packets):
        if isinstance(packet, Remark):
            yield packet
        elif packet.link == UPPER_PDU:
            yield packet.time, packet.octets
        else:
            yield Remark(f"a packet of link type {packet.link} in a recording", Origin(time=packet.time), is_fault=True)


class _Connections:
    """The TCP connections of a capture, by their two endpoints."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._others: OrderedDict[tuple[End, End], _Followed] = OrderedDict()  # least recently active first
        self._websockets: OrderedDict[tuple[End, End], _Followed] = OrderedDict()
        self._seen = 0
        self._not_websockets = 0
        self._let_go = 0
        self._fragments = 0
        self._other_links: Counter[int] = Counter()

    def read(self, packets: Iterator[Packet | Remark]) -> Iterator[Observation]:
        """Yield the messages and remarks of all packets."""
        time = 0.0
        for packet in packets:
            if isinstance(packet, Remark):
                yield packet
                continue
            time = packet.time
            segment = self._segment(packet)
            if segment is not None:
                yield from self._take(segment, time)
        for followed in (*self._others.values(), *self._websockets.values()):
            yield from self._finish(followed, time)
        yield from self._totals()

    def _segment(self, packet: Packet) -> Segment | None:
        if packet.link not in LINKS:
            self._other_links[packet.link] += 1
            return None
        try:
            return tcp_segment(packet.link, packet.octets)
        except Fragment:
            self._fragments += 1
        except NotTcp:  # another protocol, or truncated to the snap length of the capture
            pass
        return None

    def _take(self, segment: Segment, time: float) -> Iterator[Observation]:
        source, target = (segment.source, segment.source_port), (segment.target, segment.target_port)
        ends = (source, target) if source < target else (target, source)
        syn = bool(segment.flags & SYN)
        followed = self._websockets.get(ends) or self._others.get(ends)
        if followed is None and not segment.octets and not syn:
            return  # a bare ACK of a connection from before the capture does not show which side is the client
        if followed is None or (syn and not segment.flags & ACK):
            if followed is not None:  # a new connection that reuses the ports
                self._forget(ends)
                yield from self._finish(followed, time)
            followed = self._begin(source, target, segment)
            self._others[ends] = followed
        tap, from_server = followed.tap, source == followed.server
        if syn:
            tap.open(from_server, segment.sequence)
        yield from tap.feed(from_server, segment.sequence + syn, segment.octets, time)
        if segment.flags & ACK:
            yield from tap.acknowledge(from_server, segment.acknowledges, time)
        yield from self._keep(ends, followed, time)

    def _begin(self, source: End, target: End, segment: Segment) -> _Followed:
        """Add a connection. Its client is the sender of SYN, or else of an HTTP request or masked frames."""
        is_answer = bool(segment.flags & ACK)
        from_server = is_answer if segment.flags & SYN else not is_of_client(segment.octets)
        client, server = (target, source) if from_server else (source, target)
        self._seen += 1
        return _Followed(WebSocketReassembler(_address(*client), _address(*server), self._bounds), server)

    def _forget(self, ends: tuple[End, End]) -> None:
        self._others.pop(ends, None)
        self._websockets.pop(ends, None)

    def _keep(self, ends: tuple[End, End], followed: _Followed, time: float) -> Iterator[Observation]:
        """Mark the connection as the most recent, and drop the least recent of its kind if there are too many."""
        is_websocket = followed.tap.is_websocket is True
        kept, most = (self._websockets, MOST_WEBSOCKETS) if is_websocket else (self._others, MOST_CONNECTIONS)
        if ends not in kept:  # it has turned out to be a WebSocket, or not to be one
            self._forget(ends)
            kept[ends] = followed
        kept.move_to_end(ends)
        if len(kept) > most:
            self._let_go += 1
            yield from self._finish(kept.popitem(last=False)[1], time)

    def _finish(self, followed: _Followed, time: float) -> Iterator[Observation]:
        self._not_websockets += followed.tap.is_websocket is not True
        return followed.tap.finish(time)

    def _totals(self) -> Iterator[Remark]:
        others = self._not_websockets
        if not self._seen:
            yield Remark("no TCP in this capture", is_fault=True)
        elif others:
            yield Remark(f"{others} of {self._seen} TCP connections are not WebSockets, or have no data")
        if self._let_go:
            most = f"{MOST_WEBSOCKETS:,} WebSockets and {MOST_CONNECTIONS:,} others"
            text = f"{self._let_go:,} connections were dropped before their end; {most} are followed at a time"
            yield Remark(text, is_fault=True)
        if self._bounds.unread:
            text = f"{self._bounds.unread:,} directions of connections were not read; the limit is {MOST_READ:,}"
            yield Remark(text, is_fault=True)
        if self._fragments:
            text = f"{self._fragments} fragments of IP packets are left out, since they are not reassembled"
            yield Remark(text, is_fault=True)
        for link, count in sorted(self._other_links.items()):
            yield Remark(f"{count} packets of link type {link} are left out; {_UNDERSTOOD}", is_fault=True)


class _Followed(NamedTuple):
    tap: WebSocketReassembler
    server: End


def _address(octets: bytes, port: int) -> str:
    if len(octets) == 4:
        return f"{socket.inet_ntop(socket.AF_INET, octets)}:{port}"
    return f"[{socket.inet_ntop(socket.AF_INET6, octets)}]:{port}"
