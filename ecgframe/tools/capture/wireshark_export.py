"""Recordings: captures of WebSocket messages instead of packets, in Wireshark's format of exported PDUs.

Wireshark passes each message to the dissector that the record names. Masks, fragments and retransmissions do not occur.
The file format is pcap.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from ipaddress import ip_address
from typing import BinaryIO, Final

from ..observation import Delivery, Observation, Origin, Remark
from .pcap_file import PcapWriter

DISSECTOR: Final = "ecgframe"
"""Name of the dissector in Wireshark."""

UPPER_PDU: Final = 252
"""Link type of captures of exported PDUs."""

_TAG: Final = struct.Struct(">HH")
_WORD: Final = struct.Struct(">I")

_END: Final = 0
_NAME: Final = 12
_IPV4_SOURCE, _IPV4_TARGET, _IPV6_SOURCE, _IPV6_TARGET = 20, 21, 22, 23
_PORT_KIND, _SOURCE_PORT, _TARGET_PORT = 24, 25, 26
_DIRECTION: Final = 35
_TCP: Final = 2
_SENT, _RECEIVED = 0, 1


class Recorder:
    """Writes messages to a recording.

    Args:
        file: file opened for writing bytes.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._writer = PcapWriter(file, UPPER_PDU)
        file.flush()

    def write(self, delivery: Delivery) -> None:
        """Append a message, and flush it to the file."""
        origin = delivery.origin
        self._writer.write(_tags(origin) + delivery.octets, origin.time or 0.0)
        self._file.flush()


def read_exported(packets: Iterator[tuple[float, bytes] | Remark]) -> Iterator[Observation]:
    """Yield the messages of a recording. Messages for other dissectors are skipped."""
    for packet in packets:
        if isinstance(packet, Remark):
            yield packet
            continue
        time, octets = packet
        found = _untagged(octets)
        if found is None:
            yield Remark("a record whose tags are cut short", Origin(time=time), is_fault=True)
            continue
        tags, message = found
        if tags.get(_NAME, b"").rstrip(b"\0").decode("latin-1") == DISSECTOR:
            yield Delivery(message, _origin(tags, time))


def _tags(origin: Origin) -> bytes:
    ends = (origin.server, origin.client) if origin.from_server else (origin.client, origin.server)
    tags = [_tag(_NAME, DISSECTOR.encode()), _tag(_PORT_KIND, _WORD.pack(_TCP))]
    for end, version4, version6, port in zip(
        ends, (_IPV4_SOURCE, _IPV4_TARGET), (_IPV6_SOURCE, _IPV6_TARGET), (_SOURCE_PORT, _TARGET_PORT), strict=True
    ):
        host, number = _split(end)
        if host:
            address = ip_address(host)
            tags.append(_tag(version4 if address.version == 4 else version6, address.packed))
        tags.append(_tag(port, _WORD.pack(number)))
    tags.append(_tag(_DIRECTION, _WORD.pack(_SENT if origin.from_server else _RECEIVED)))
    return b"".join(tags) + _tag(_END, b"")


def _tag(number: int, value: bytes) -> bytes:
    padded = value + bytes(-len(value) % 4)
    return _TAG.pack(number, len(padded)) + padded


def _split(address: str | None) -> tuple[str, int]:
    """Split an address to host and port; the host is empty unless it is an IP address."""
    host, _, port = (address or "").rpartition(":")
    host = host.strip("[]").partition("%")[0]
    try:
        ip_address(host)
    except ValueError:
        host = ""
    return host, int(port) if port.isdigit() else 0


def _untagged(octets: bytes) -> tuple[dict[int, bytes], bytes] | None:
    tags: dict[int, bytes] = {}
    start = 0
    while start + _TAG.size <= len(octets):
        number, size = _TAG.unpack_from(octets, start)
        start += _TAG.size
        if number == _END:
            return tags, octets[start + size :]
        tags[number] = octets[start : start + size]
        start += size
    return None


def _origin(tags: dict[int, bytes], time: float) -> Origin:
    source = _address(tags, _IPV4_SOURCE, _IPV6_SOURCE, _SOURCE_PORT)
    target = _address(tags, _IPV4_TARGET, _IPV6_TARGET, _TARGET_PORT)
    from_server = tags.get(_DIRECTION) == _WORD.pack(_SENT)
    client, server = (target, source) if from_server else (source, target)
    return Origin(time=time, client=client, server=server, from_server=from_server)


def _address(tags: dict[int, bytes], version4: int, version6: int, port: int) -> str:
    number = int.from_bytes(tags.get(port, b""), "big")
    if len(octets := tags.get(version4, b"")) == 4:
        return f"{socket.inet_ntop(socket.AF_INET, octets)}:{number}"
    if len(octets := tags.get(version6, b"")) == 16:
        return f"[{socket.inet_ntop(socket.AF_INET6, octets)}]:{number}"
    return f"?:{number}"
