"""Capture files of both formats and packet headers, valid and damaged."""

from __future__ import annotations

import io
import random
import struct
import tracemalloc
from contextlib import suppress

import pytest
from tools.captures import (
    ACK,
    CLIENT,
    LAYERS,
    SERVER,
    SYN,
    Connection,
    IpPacket,
    block,
    capture,
    enhanced,
    interface,
    pcap_file,
    pcapng_file,
    section,
    tcp,
)

from ecgframe.tools.capture.ip_packets import LINKS, Fragment, NotTcp, tcp_segment
from ecgframe.tools.capture.pcap import read_capture
from ecgframe.tools.capture.pcap_file import CaptureError, Packet, PcapWriter, read_packets

HEADER = pcap_file([], 1)


def packets(octets):
    return list(read_packets(io.BytesIO(octets)).packets)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("ticks", [10**6, 10**9])
def test_pcap_of_either_order_and_resolution(order, ticks):
    octets = pcap_file([(1_500_000, 1, b"first"), (2_000_001, 1, b"")], 1, order, ticks)
    assert packets(octets) == [Packet(1, 1.5, b"first"), Packet(1, 2.000001, b"")]


def test_written_captures_are_read():
    file = io.BytesIO()
    writer = PcapWriter(file, 252)
    writer.write(b"one", 1_700_000_000.000001)
    writer.write(b"", 0.9999999)  # rounds up to the next second
    assert packets(file.getvalue()) == [Packet(252, 1_700_000_000.000001, b"one"), Packet(252, 1.0, b"")]


def test_the_length_of_ethernet_checksums_is_no_part_of_the_link_type():
    octets = bytearray(pcap_file([(0, 1, b"x")], 1, ">"))
    octets[20] = 0x24
    assert packets(octets) == [Packet(1, 0.0, b"x")]


@pytest.mark.parametrize("order", "<>")
def test_pcapng_has_sections_interfaces_and_resolutions(order):
    other = {"<": ">", ">": "<"}[order]
    octets = b"".join(
        [
            section(order),
            block(0x0BAD, b"a block that nobody knows", order),
            interface(1, order, [(2, b"eth0"), (9, b"\x09"), (14, struct.pack(f"{order}q", 1000))]),
            interface(101, order, [(9, b"\x8a")]),
            enhanced(0, 5 * 10**8, b"nanoseconds", order),
            enhanced(1, 1536, b"1024ths", order),
            block(2, struct.pack(f"{order}HHIIII", 1, 0, 0, 2048, 3, 3) + b"old", order),
            block(3, struct.pack(f"{order}I", 6) + b"simple", order),
            section(other),
            interface(113, other, most=4),
            block(3, struct.pack(f"{other}I", 9) + b"cut ", other),
            enhanced(0, 1 << 40, b"microseconds", other),
        ]
    )
    assert read_packets(io.BytesIO(octets)).link == 1
    assert packets(octets) == [
        Packet(1, 1000.5, b"nanoseconds"),
        Packet(101, 1.5, b"1024ths"),
        Packet(101, 2.0, b"old"),
        Packet(1, 2.0, b"simple"),
        Packet(113, 2.0, b"cut "),
        Packet(113, (1 << 40) / 10**6, b"microseconds"),
    ]


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"", "neither pcap nor pcapng"),
        (b"PK\3\4", "neither pcap nor pcapng"),
        (HEADER[:23], "24 bytes, this file 23"),
        (HEADER[:4] + b"\x03" + HEADER[5:], r"version 3\.4"),
        (section()[:11], "invalid byte-order magic"),
        (section()[:8] + b"\1\2\3\4" + section()[12:], "invalid byte-order magic: 0x01020304"),
        (section()[:20], "ends 8 bytes before"),
        (section(), "describes no interface"),
        (section() + enhanced(0, 0, b"x"), "before any interface"),
        (section() + block(1, b"1234567"[:4]), "interface in 4 bytes"),
        (section() + interface(1)[:-1] + b"\1", "does not end with its size"),
        (section() + struct.pack("<II", 1, 8), "a block of 8 bytes"),
        (section() + struct.pack("<II", 1, 21), "a block of 21 bytes"),
        (block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 2, 0, -1)), r"version 2\.0, not 1"),
        (block(0x0A0D0D0A, struct.pack("<IHH", 0x1A2B3C4D, 1, 0)), "20 bytes, not at least 28"),
        (section() + interface(1, options=[(9, b"\x09")])[:20] + b"\xff\xff" + bytes(10), "does not end"),
        (section() + block(1, bytes(8) + b"\x09\0\xff\xff\0\0\0\0"), "option of 65535 bytes where 4 are left"),
    ],
)
def test_files_without_a_valid_header_are_refused(octets, text):
    with pytest.raises(CaptureError, match=f"not a readable capture: .*{text}"):
        read_packets(io.BytesIO(octets))


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (HEADER + bytes(15), "within the header of a packet"),
        (HEADER + struct.pack("<4I", 0, 0, 5, 5) + b"four", "ends 1 bytes before"),
        (HEADER + struct.pack("<4I", 0, 0, 0xFFFFFFFF, 5), "4,294,967,295 bytes; the limit is"),
        (section() + interface(1) + bytes(7), "within the header of a block"),
        (section() + interface(1) + enhanced(1, 0, b"x"), "interface 1, where 1 are described"),
        (section() + interface(1) + block(6, bytes(16)), "block of 16 bytes, not at least 20"),
        (
            section() + interface(1) + block(6, struct.pack("<5I", 0, 0, 0, 9, 9) + b"four"),
            "of 9 bytes in a block that has 4",
        ),
        (section() + interface(1) + block(3, b""), "block of 0 bytes, not at least 4"),
        (section() + interface(1) + block(3, struct.pack("<I", 9) + b"four"), "of 9 bytes in a block that has 4"),
        (section() + interface(1) + section() + enhanced(0, 0, b"x"), "interface 0, where 0 are described"),
    ],
)
def test_damage_behind_the_header_is_found_where_it_is(damage, text):
    with pytest.raises(CaptureError, match=text):
        packets(damage)


def test_a_lie_about_a_length_costs_no_memory():
    octets = HEADER + struct.pack("<4I", 0, 0, 100_000_000, 100_000_000) + b"x"
    tracemalloc.start()
    try:
        with pytest.raises(CaptureError, match="ends 99,999,999 bytes before"):
            packets(octets)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


# --- packets ---

DATA = tcp(50_000, 8765, 7, 9, ACK, b"data", options=b"\1\1\1\0")
FOUR = IpPacket(CLIENT[0], SERVER[0], DATA)
SIX = IpPacket(bytes(15) + b"\1", bytes(15) + b"\2", DATA)
EXTENDED = IpPacket(
    SIX.source,
    SIX.target,
    b"\x3c\0" + bytes(6) + b"\x33\1" + bytes(14) + b"\x2c\1" + bytes(10) + b"\6\0" + bytes(6) + DATA,
    protocol=0,
)


@pytest.mark.parametrize("link", LAYERS)
@pytest.mark.parametrize("packet", [FOUR, SIX], ids=["IPv4", "IPv6"])
def test_every_link_and_both_versions(link, packet):
    found = tcp_segment(link, LAYERS[link](packet))
    assert found == (packet.source, 50_000, packet.target, 8765, 7, 9, ACK, b"data")


@pytest.mark.parametrize(
    ("link", "octets"),
    [
        (1, bytes(12) + b"\x81\0\0\1\x08\0" + bytes(FOUR)),
        (1, bytes(12) + b"\x88\xa8\0\1\x81\0\0\1\x86\xdd" + bytes(SIX)),
        (1, bytes(12) + b"\x88\x47\0\0\x10\x40\0\0\x21\x40" + bytes(FOUR)),
        (113, bytes(14) + b"\x81\0\0\1\x08\0" + bytes(FOUR)),
        (108, b"\0\0\0\x1e" + bytes(SIX)),
        (0, b"\0\0\0\x02" + bytes(FOUR)),
        (101, bytes(EXTENDED)),
        (101, bytes(FOUR)[:2] + b"\0\0" + bytes(FOUR)[4:]),  # too large for the field
        (229, bytes(SIX)[:4] + b"\0\0" + bytes(SIX)[6:]),
        (228, bytes(FOUR) + b"padding"),
        (101, b"\x46" + bytes(FOUR)[1:3] + b"\x34" + bytes(FOUR)[4:20] + b"\1\1\1\0" + DATA),
    ],
)
def test_tags_labels_options_and_extensions(link, octets):
    assert tcp_segment(link, octets).octets == b"data"


@pytest.mark.parametrize(
    ("link", "octets"),
    [
        (1, bytes(12) + b"\x08\x06" + bytes(28)),
        (1, b"short"),
        (1, bytes(12) + b"\x81\0" * 20),
        (0, b"\x07\0\0\0" + bytes(FOUR)),
        (101, b""),
        (101, bytes(IpPacket(CLIENT[0], SERVER[0], DATA, 17))),
        (101, bytes(FOUR)[:39]),
        (101, b"\x41" + bytes(FOUR)[1:]),
        (228, bytes(SIX)),
        (229, bytes(FOUR)),
        (101, bytes(SIX)[:59]),
        (101, bytes(IpPacket(SIX.source, SIX.target, b"\0\xff", protocol=0))),
        (101, bytes(FOUR)[:32] + b"\x40" + bytes(FOUR)[33:]),
        (101, bytes(FOUR)[:3] + b"\x20" + bytes(FOUR)[4:]),
    ],
)
def test_packets_other_than_tcp_are_left_out(link, octets):
    with pytest.raises(NotTcp):
        tcp_segment(link, octets)


def test_fragments_are_told_from_other_packets():
    octets = bytearray(bytes(FOUR))
    octets[6] = 0x40  # shall not be fragmented
    assert tcp_segment(101, bytes(octets)).octets == b"data"
    for bits in (b"\x20\0", b"\0\1"):
        octets[6:8] = bits
        with pytest.raises(Fragment):
            tcp_segment(101, bytes(octets))
    with pytest.raises(Fragment):
        tcp_segment(101, bytes(IpPacket(SIX.source, SIX.target, b"\6\0\0\1" + bytes(4) + DATA, protocol=44)))


def test_a_connection_of_which_the_capture_has_cut_the_options():
    syn = tcp(1, 2, 3, 0, SYN, options=bytes(20))
    assert tcp_segment(101, bytes(IpPacket(CLIENT[0], SERVER[0], syn))[:44])[4:] == (3, 0, SYN, b"")


# --- any damage ---


def captures():
    connection = Connection().open()
    for number in range(4):
        connection.send(b"message" * 40 * number, ("server", "client")[number % 2])
    for link in LAYERS:
        yield capture(connection.packets, link, ng=link % 2 == 0, order="<>"[link % 3 % 2])
    yield pcapng_file([(1, 252, b"\0\x0c\0\x08ecgframe\0\0\0\0x" + bytes(40))] * 3, [252])


@pytest.mark.parametrize("octets", [*captures()], ids=[*map(str, LAYERS), "recording"])
def test_any_damage_is_told_and_nothing_else_raised(octets):
    chance = random.Random(len(octets))
    for _ in range(150):
        damaged = bytearray(octets)
        for _ in range(chance.choice([1, 1, 2, 10])):
            place = chance.randrange(chance.choice([60, len(octets)]))
            damaged[place : place + chance.randrange(3)] = chance.choice(
                [b"", b"\xff", b"\0\0\0\0", chance.randbytes(2)]
            )
        with suppress(CaptureError):  # either is right, and nothing else
            list(read_capture(io.BytesIO(bytes(damaged))))


@pytest.mark.parametrize("link", LINKS)
def test_any_bytes_are_a_segment_or_none(link):
    chance = random.Random(link)
    whole = LAYERS.get(link, bytes)(FOUR)
    for _ in range(2000):
        octets = bytearray(whole[: chance.randrange(len(whole) + 1)])
        for _ in range(chance.randrange(4)):
            if octets:
                octets[chance.randrange(len(octets))] = chance.randrange(256)
        try:
            found = tcp_segment(link, bytes(octets))
        except NotTcp:
            continue
        assert found.octets in bytes(octets)
        assert {len(found.source), len(found.target)} in ({4}, {16})
