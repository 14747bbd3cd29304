"""TCP segments in captured packets: Ethernet, Linux cooked, loopback and raw IP; IPv4 and IPv6."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, NamedTuple

SYN: Final = 0x02
ACK: Final = 0x10

_IPV4, _IPV6 = 0x0800, 0x86DD
_VLAN: Final = frozenset({0x8100, 0x88A8, 0x9100})
_MPLS: Final = frozenset({0x8847, 0x8848})
_TCP: Final = 6
_FAMILIES: Final = frozenset({2, 10, 23, 24, 28, 30})
"""Address families in front of packets on loopback interfaces: 2 is IPv4; IPv6 differs between systems."""

_FRAGMENT, _AUTHENTICATION = 44, 51
_EXTENSIONS: Final = frozenset({0, 43, 60, 135, 139, 140, _FRAGMENT, _AUTHENTICATION})
"""IPv6 extension headers that may precede TCP."""


class Segment(NamedTuple):
    """A TCP segment. Addresses are 4 or 16 bytes."""

    source: bytes
    source_port: int
    target: bytes
    target_port: int
    sequence: int
    acknowledges: int
    flags: int
    octets: bytes


class NotTcp(ValueError):
    """A packet contains no TCP segment, or not enough of it: the capture may have truncated it."""


class Fragment(NotTcp):
    """A fragment of an IP packet. Fragments are not reassembled."""


def tcp_segment(link: int, octets: bytes) -> Segment:
    """Return the TCP segment in a captured packet.

    Args:
        link: the link type, a key of ``LINKS``.
        octets: the packet.

    Raises:
        NotTcp: the packet is of another protocol, cut short, or damaged.
        Fragment: the packet is a fragment of a larger IP packet.
    """
    return LINKS[link](octets)


def _ethernet(octets: bytes) -> Segment:
    return _of_type(_number(octets, 12, 2), octets, 14)


def _linux_cooked(octets: bytes) -> Segment:
    return _of_type(_number(octets, 14, 2), octets, 16)


def _linux_cooked_2(octets: bytes) -> Segment:
    return _of_type(_number(octets, 0, 2), octets, 20)


def _loopback(octets: bytes) -> Segment:
    """Parse a packet on a loopback interface. The address family is in the unknown byte order of the capturing host."""
    if _number(octets, 0, 4) not in _FAMILIES and int.from_bytes(octets[:4], "little") not in _FAMILIES:
        raise NotTcp("another family of protocols")
    return _ip(octets[4:])


def _of_type(kind: int, octets: bytes, start: int) -> Segment:
    """Parse the payload of an EtherType, after any VLAN tags and MPLS labels."""
    while kind in _VLAN:
        kind = _number(octets, start + 2, 2)
        start += 4
    if kind in _MPLS:
        while not _number(octets, start, 4) & 0x100:  # set on the last label
            start += 4
        return _ip(octets[start + 4 :])
    if kind == _IPV4:
        return _ipv4(octets[start:])
    if kind == _IPV6:
        return _ipv6(octets[start:])
    raise NotTcp("no IP")


def _ip(octets: bytes) -> Segment:
    return _ipv6(octets) if octets[:1] and octets[0] >> 4 == 6 else _ipv4(octets)


def _ipv4(octets: bytes) -> Segment:
    if len(octets) < 20 or octets[0] >> 4 != 4:
        raise NotTcp("no IPv4")
    header, whole = 4 * (octets[0] & 15), _number(octets, 2, 2)
    if header < 20 or octets[9] != _TCP:
        raise NotTcp("no TCP")
    if _number(octets, 6, 2) & 0x3FFF:  # more to come, or an offset
        raise Fragment("a fragment")
    # With segmentation offload, a packet may be too large for this field: then it is 0.
    return _tcp(octets[12:16], octets[16:20], octets[header : whole or None])


def _ipv6(octets: bytes) -> Segment:
    if len(octets) < 40 or octets[0] >> 4 != 6:
        raise NotTcp("no IPv6")
    size, kind, start = _number(octets, 4, 2), octets[6], 40
    source, target = octets[8:24], octets[24:40]
    if size:  # 0 if the packet is too large for the field
        octets = octets[: 40 + size]
    while kind in _EXTENSIONS:
        if kind == _FRAGMENT and _number(octets, start + 2, 2) & 0xFFF9:
            raise Fragment("a fragment")
        following, words = _number(octets, start, 1), _number(octets, start + 1, 1)
        if kind == _FRAGMENT:
            start += 8
        else:
            start += 4 * (words + 2) if kind == _AUTHENTICATION else 8 * (words + 1)
        kind = following
    if kind != _TCP:
        raise NotTcp("no TCP")
    return _tcp(source, target, octets[start:])


def _tcp(source: bytes, target: bytes, octets: bytes) -> Segment:
    if len(octets) < 20:
        raise NotTcp("the header of TCP is cut")
    source_port, target_port, sequence, acknowledges, offset, flags = struct.unpack_from(">HHIIBB", octets)
    header = 4 * (offset >> 4)
    if header < 20:
        raise NotTcp("the header of TCP is damaged")
    # If the capture has truncated the options and the data, connection and sequence numbers are still usable.
    return Segment(source, source_port, target, target_port, sequence, acknowledges, flags, octets[header:])


def _number(octets: bytes, start: int, size: int) -> int:
    """Return the integer of ``size`` bytes at ``start``, in network byte order."""
    if start + size > len(octets):
        raise NotTcp("cut short")
    return int.from_bytes(octets[start : start + size], "big")


LINKS: Final[dict[int, Callable[[bytes], Segment]]] = {
    0: _loopback,
    1: _ethernet,
    12: _ip,
    14: _ip,
    101: _ip,
    108: _loopback,
    113: _linux_cooked,
    228: _ipv4,
    229: _ipv6,
    276: _linux_cooked_2,
}
"""The supported link types, and the parser for each."""
