from __future__ import annotations

import io
import itertools
import random

import pytest
from tools.captures import ACK, CLIENT, LAYERS, SERVER, UDP, Connection, IpPacket, capture, pcap_file, pcapng_file
from websockets.frames import Opcode

from ecgframe import MessageType, encode
from ecgframe.tools.capture.pcap import CaptureError, is_capture, read_capture
from ecgframe.tools.capture.tcp_reassembly import MAX_GAP_BYTES, MAX_GAP_SECONDS, TcpDirection
from ecgframe.tools.observation import Delivery, Remark

FRAMES = [encode(MessageType.PING, {"n": number, "text": "x" * 200 * number}, version=1) for number in range(6)]


def read(octets):
    return list(read_capture(io.BytesIO(octets)))


def deliveries(octets):
    return [one for one in read(octets) if isinstance(one, Delivery)]


def remarks(octets):
    return [one for one in read(octets) if isinstance(one, Remark)]


def conversation(**options):
    connection = Connection(**options).open()
    for number, frame in enumerate(FRAMES):
        connection.send(frame, "client" if number % 2 else "server")
    return connection


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("ng", [False, True])
@pytest.mark.parametrize("link", LAYERS)
def test_messages_of_both_sides_with_their_times_and_ends(link, ng, order):
    octets = capture(conversation().packets, link, ng, order)
    assert is_capture(octets)
    found = deliveries(octets)
    assert [one.octets for one in found] == FRAMES
    assert [one.origin.from_server for one in found] == [True, False] * 3
    assert {(one.origin.client, one.origin.server) for one in found} == {("10.0.0.1:50000", "10.0.0.2:8765")}
    assert [one.origin.time for one in found] == pytest.approx([1000.04 + n / 100 for n in range(6)])
    assert remarks(octets) == []


def test_ipv6():
    client, server = (bytes(15) + b"\1", 50_000), (bytes(15) + b"\2", 8765)
    found = deliveries(capture(conversation(client=client, server=server).packets))
    assert [one.octets for one in found] == FRAMES
    assert (found[0].origin.client, found[0].origin.server) == ("[::1]:50000", "[::2]:8765")


@pytest.mark.parametrize("parameters", ["", "; server_no_context_takeover; client_no_context_takeover"])
@pytest.mark.parametrize("fragments", [1, 3])
def test_fragments_and_deflate_are_undone(fragments, parameters):
    connection = Connection(deflate=f"permessage-deflate{parameters}").open()
    for number, frame in enumerate(FRAMES * 2):
        connection.send(frame, ("client", "server")[number % 2], fragments=fragments, deflated=number % 3 > 0)
    assert [one.octets for one in deliveries(capture(connection.packets))] == FRAMES * 2


def test_pings_between_fragments_do_no_harm():
    connection = Connection().open()
    first, second = connection.framed(FRAMES[2], "server", fragments=2), connection.framed(b"", "server")
    ping = connection.framed(b"hello", "server", opcode=Opcode.PING)
    half = len(connection.framed(FRAMES[2][: -(-len(FRAMES[2]) // 2)], "server"))
    connection.packets.append(connection.server.packet(first[:half] + ping + first[half:] + second))
    assert [one.octets for one in deliveries(capture(connection.packets))] == [FRAMES[2], b""]


def test_text_and_the_close_are_told():
    connection = Connection().open()
    connection.send(b"hello", opcode=Opcode.TEXT).send(b"\x03\xeatoo many errors", opcode=Opcode.CLOSE)
    text, closing = read(capture(connection.packets))
    assert (text.octets, text.is_text) == (b"hello", True)
    assert (closing.text, closing.is_fault) == ("closes: 1002 too many errors", False)


@pytest.mark.parametrize("seed", range(20))
def test_tcp_is_put_in_order(seed):
    """Segments have any size and are shuffled, repeated and overlapping; sequence numbers wrap around."""
    chance = random.Random(seed)
    octets = chance.randbytes(5000)
    start = 2**32 - 2500
    segments, end = [], 0
    while end < len(octets):
        begin = max(end - chance.randint(0, 30), 0)
        end = min(end + chance.randint(1, 400), len(octets))
        segments.append((begin, octets[begin:end]))
    shuffled = segments + chance.sample(segments, len(segments) // 3)
    chance.shuffle(shuffled)
    direction = TcpDirection()
    direction.open(start - 1)
    pieces = [piece for offset, data in shuffled for piece in direction.feed((start + offset) % 2**32, data, 0.0)]
    assert b"".join(piece.octets for piece in pieces) == octets
    assert not any(piece.missing for piece in pieces)
    assert direction.finish() == []


def test_shuffled_packets_of_a_whole_connection():
    packets = conversation().packets
    handshake, rest = packets[:4], packets[4:]
    random.Random(3).shuffle(rest)
    found = deliveries(capture(handshake + rest))
    assert [one.octets for one in found if one.origin.from_server] == FRAMES[::2]
    assert [one.octets for one in found if not one.origin.from_server] == FRAMES[1::2]


def test_a_hole_is_told_and_what_is_behind_it_read():
    connection = Connection().open()
    for frame in FRAMES:
        connection.send(frame)
    lost = connection.packets.pop(6)
    octets = capture(connection.packets)
    assert [one.octets for one in deliveries(octets)] == [*FRAMES[:2], *FRAMES[3:]]
    [remark] = remarks(octets)
    assert remark.is_fault
    assert remark.text == f"{len(lost.octets)} bytes are missing from the capture here"


def test_a_hole_is_not_waited_for_for_ever():
    direction = TcpDirection()
    direction.open(0)
    kept = [direction.feed(11 + number * 65536, bytes(65536), 0.0) for number in range(MAX_GAP_BYTES // 65536 + 1)]
    assert not any(kept[:-1])
    assert kept[-1][0].missing == 10
    assert sum(len(piece.octets) for piece in kept[-1]) > MAX_GAP_BYTES


def test_a_hole_that_is_acknowledged_is_not_waited_for():
    direction = TcpDirection()
    direction.open(0)
    assert direction.feed(11, b"behind", 5.0) == []
    assert direction.acknowledged(1, 9.0) == []  # not even the hole
    assert direction.acknowledged(17, 5.0 + MAX_GAP_SECONDS / 2) == []  # its segment may be late in the capture
    assert direction.acknowledged(17, 6.0) == [(b"behind", 5.0, 10)]
    assert direction.acknowledged(17, 7.0) == []


def test_messages_after_a_gap_keep_their_time():
    connection = Connection().open()
    for number in range(60):
        connection.send(FRAMES[number % 2], "client" if number % 2 else "server")
        side = connection.client if number % 2 == 0 else connection.server
        other = connection.server if number % 2 == 0 else connection.client
        connection.packets.append(side.packet(acknowledges=other.sequence))
    lost = connection.packets.pop(8)
    assert lost.octets
    found = deliveries(capture(connection.packets))
    assert len(found) == 59
    times = [one.origin.time for one in found]
    assert max(after - before for before, after in itertools.pairwise(times)) < MAX_GAP_SECONDS + 0.1
    assert times[-1] == max(times)


@pytest.mark.parametrize("side", ["client", "server"])
def test_a_capture_that_begins_within_a_connection(side):
    connection = Connection()
    connection.packets = [connection.server.packet()]  # a bare ACK, which does not tell who is who
    for frame in FRAMES[:2]:
        connection.send(frame, side)
    found = deliveries(capture(connection.packets))
    assert [one.octets for one in found] == FRAMES[:2]
    assert {one.origin.from_server for one in found} == {side == "server"}
    assert {one.origin.client for one in found} == {"10.0.0.1:50000"}


def test_other_connections_are_left_out_and_counted():
    page = Connection(client=(CLIENT[0], 1), starts=(5, 5))
    page.packets += [
        page.client.packet(b"GET / HTTP/1.1\r\nHost: s\r\n\r\n"),
        page.server.packet(b"HTTP/1.1 200 OK\r\n\r\nhi"),
    ]
    refused = Connection(client=(CLIENT[0], 2), starts=(5, 5))
    asked = b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"
    refused.packets += [refused.client.packet(asked), refused.server.packet(b"HTTP/1.1 403 Forbidden\r\n\r\n")]
    other = Connection(client=(CLIENT[0], 3), server=(SERVER[0], 6379))
    other.packets += [other.client.packet(b"*1\r\n$4\r\nPING\r\n")]
    udp = IpPacket(CLIENT[0], SERVER[0], b"\0\1\0\2\0\x08\0\0", UDP)
    octets = capture([*page.packets, *refused.packets, *other.packets, udp, *conversation().packets])
    assert [one.octets for one in deliveries(octets)] == FRAMES
    assert [one.text for one in remarks(octets)] == ["3 of 4 TCP connections are not WebSockets, or have no data"]


def test_the_same_ports_again_are_another_connection():
    first, second = conversation(), conversation(starts=(999_000, 2**31 + 17))
    assert [one.octets for one in deliveries(capture(first.packets + second.packets))] == FRAMES * 2


def test_tls_is_told():
    connection = Connection()
    connection.packets += [connection.client.packet(b"\x16\x03\x01\x02\x00\x01")]
    assert "encrypted (TLS)" in remarks(capture(connection.packets))[0].text


def test_a_connection_that_is_no_websocket_any_more_is_reported_once():
    connection = Connection().open().send(FRAMES[0])
    connection.packets += [connection.server.packet(b"\xff\xff\xff\xff"), connection.server.packet(b"more")]
    connection.send(FRAMES[1], "client")
    octets = capture(connection.packets)
    assert [one.octets for one in deliveries(octets)] == FRAMES[:2]
    assert [one.text for one in remarks(octets)] == ["not read from here on: invalid opcode"]


def test_a_message_that_the_capture_cuts_is_told():
    connection = Connection().open()
    whole = connection.framed(FRAMES[3], "server", fragments=2)
    connection.packets.append(connection.server.packet(whole[:-1]))
    [remark] = remarks(capture(connection.packets))
    assert "ends within a message" in remark.text


def test_a_capture_without_tcp_is_told():
    assert [one.text for one in remarks(capture([]))] == ["no TCP in this capture"]


def test_a_capture_that_is_cut_short_gives_what_it_has():
    octets = capture(conversation().packets)
    assert [one.octets for one in deliveries(octets[:-5])] == FRAMES[:-1]
    assert [(one.text, one.is_fault) for one in remarks(octets[:-5])] == [
        ("the capture is cut short or damaged: the file ends 5 bytes before a packet or block does", True)
    ]


def test_other_files_are_refused():
    with pytest.raises(CaptureError, match="not a readable capture"):
        read(b"\xa1\xb2\xc3\xd4nonsense")
    assert not is_capture(b"\x03\x01")


def test_a_network_that_is_not_understood():
    for octets in (pcap_file([], 105), pcapng_file([], [105, 1])):
        with pytest.raises(CaptureError, match="link type 105; supported are Ethernet"):
            read(octets)


def test_interfaces_of_several_networks_in_one_capture():
    packets = [
        (10**6 * number, link, LAYERS.get(link, bytes)(packet))
        for number, packet in enumerate(conversation().packets)
        for link in [(1, 276, 105)[number % 3 if number > 3 else number % 2]]
    ]
    octets = pcapng_file(packets, [1, 276, 105])
    told = [one.text for one in remarks(octets) if "link type" in one.text]
    assert told == [
        "2 packets of link type 105 are left out; supported are Ethernet, Linux cooked, loopback and raw IP"
    ]
    assert {one.octets for one in deliveries(octets)} < set(FRAMES)


def test_fragments_of_ip_are_told():
    connection = conversation()
    fragment = bytearray(LAYERS[101](connection.packets.pop()))
    fragment[6] = 0x20  # more will come
    packets = [(10**6, 101, LAYERS[101](packet)) for packet in connection.packets]
    found = read(pcap_file([*packets, (10**6, 101, bytes(fragment))], 101))
    assert [one.octets for one in found if isinstance(one, Delivery)] == FRAMES[:-1]
    assert found[-1] == Remark("1 fragments of IP packets are left out, since they are not reassembled", is_fault=True)


def test_an_ack_alone_says_nothing():
    connection = Connection()
    connection.packets += [connection.client.packet(flags=ACK)]
    assert [one.text for one in remarks(capture(connection.packets))] == ["no TCP in this capture"]
