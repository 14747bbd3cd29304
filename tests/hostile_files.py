"""Files that cost far more than their size to read: captures, hexadecimal, frames. Each kind in about the size
that it is asked for.

Used by tools/test_bounds.py, which runs the commands on them. ``python tests/hostile_files.py FOLDER [MEBIBYTES]``
writes them all, for looking at one by hand.
"""

from __future__ import annotations

import random
import struct
import sys
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import oracle

MIB = 1 << 20
CLIENT, SERVER = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
SYN, ACK = 0x02, 0x10
COMPRESSED = 1
RAW_IP = 101

ASK = b"GET /ws HTTP/1.1\r\nHost: s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
AGREE = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"


# --- frames of the protocol ---


def frame(payload: bytes, kind: int = 1, flags: int = 0, version: int = 2) -> bytes:
    """A frame of V1 or V2."""
    return struct.pack(">BBBII", version, kind, flags, len(payload), zlib.crc32(payload)) + payload


def deflated(payload: bytes, kind: int = 1) -> bytes:
    """One that is compressed."""
    return frame(zlib.compress(payload, 9), kind, COMPRESSED)


def listed(count: int, items: bytes) -> bytes:
    """An array of so many elements, given as their bytes."""
    return b"\xdd" + struct.pack(">I", count) + items


def ecg(signal: bytes, more: bytes = b"", count: int = 0) -> bytes:
    """A payload of ECG_DATA."""
    return bytes([0x82 + count]) + b"\xa6signal" + signal + b"\xadsampling_rate\xcd\x01\xf4" + more


def wrapped(held: bytes, dtype: bytes, shape: bytes) -> bytes:
    """An ndarray."""
    return b"\x83\xab__ndarray__" + held + b"\xa5dtype" + bytes([0xA0 | len(dtype)]) + dtype + b"\xa5shape" + shape


def repeated(piece: bytes, nbytes: int) -> bytes:
    """The piece so often that there are about so many bytes."""
    return piece * max(nbytes // len(piece), 1)


def distinct_keys(nbytes: int) -> bytes:
    """Alerts, each with fields of names that no other has."""
    made, size, number = [], 0, 0
    while size < nbytes:
        fields = b"".join(b"\xa6%06x\xc0" % (number + one & 0xFFFFFF) for one in range(65_535))
        number += 65_535
        made.append(frame(b"\xde\xff\xff" + fields, kind=0x11))
        size += len(made[-1])
    return b"".join(made)


def template(number: int, rows: int, fields: dict[str, object]) -> bytes:
    """A STREAM_TEMPLATE of int8 samples."""
    told = {"template": number, "stream": "s", "dtype": "int8", "rows": rows, "fields": fields}
    return oracle.frame(4, oracle.TYPES_OF_V4["STREAM_TEMPLATE"], 0, oracle.pack(told), stream=1, sequence=number)


def record(number: int, rows: int, count: int, *, deflate: bool = False) -> bytes:
    """A record under that template, whose samples are all 1 and written as they are."""
    payload = struct.pack(">HBBIq", number, 0, 0, count, 0) + b"\x01" * max(rows, 1) * count
    flags = COMPRESSED if deflate else 0
    octets = zlib.compress(payload, 9) if deflate else payload
    return oracle.frame(4, 1, flags, octets, form=oracle.RECORD, stream=1, sequence=1)


def templates_in_turn(nbytes: int, rows: int, fields: dict[str, object], count: int = 70) -> bytes:
    """Records of more templates than a reader keeps unpacked, each in turn."""
    numbers = range(1, count + 1)
    told = b"".join(template(number, rows, fields) for number in numbers)
    return told + repeated(b"".join(record(number, rows, 0 if rows > 1 else 1) for number in numbers), nbytes)


def templates(nbytes: int) -> bytes:
    """Templates that are all different."""
    made, size, number = [], 0, 0
    while size < nbytes:
        number += 1
        made.append(template(number % 65_535 + 1, 1, {"number": number}))
        size += len(made[-1])
    return b"".join(made)


def nearly_frames(nbytes: int) -> bytes:
    """Bytes of which every second begins a frame that a receiver would have to sum to refuse."""
    return (b"\x01\x10\x00\x00\x00\x7f\xff" + b"\x01\x10" * 2) * (nbytes // 11)


def integers_of_three_bytes(count: int) -> bytes:
    return struct.pack(">BH", 0xCD, 0x1234) * count


def gap_at_every_second_sample(count: int) -> bytes:
    """Counts of which every second one is that of missing samples."""
    octets = b"\xc6" + struct.pack(">I", count) + b"\0\1" * (count // 2)
    array = wrapped(octets, b"int8", b"\x91\xce" + struct.pack(">I", count))
    return ecg(array, b"\xa7missing\x01", count=1)


def recording_of_seconds(count: int) -> bytes:
    """Frames of a second each, from the time 0."""
    frames = [
        ecg(listed(500, b"\x01" * 500), b"\xa9timestamp\xcb" + struct.pack(">d", second), count=1)
        for second in range(count)
    ]
    return b"".join(map(frame, frames))


def alert() -> bytes:
    """A small ANOMALY_ALERT."""
    return frame(oracle.pack({"kind": "x", "timestamp": 0.0}), kind=oracle.TYPES["ANOMALY_ALERT"])


FRAME_FILES: dict[str, Callable[[int], bytes]] = {
    "tiny frames": lambda n: repeated(frame(b"", kind=0x10, version=1), n),
    "tiny frames of ECG": lambda n: repeated(frame(ecg(b"\x91\x01"), version=1), n),
    "tiny broken frames": lambda n: repeated(frame(b"", kind=0x10)[:-1] + b"\x07", n),
    "bytes that are no frames": lambda n: random.Random(0).randbytes(n),
    "what nearly is a frame everywhere": nearly_frames,
    "deflated numbers": lambda n: repeated(deflated(ecg(listed(15 << 20, b"\x01" * (15 << 20)))), n),
    "deflated numbers of two bytes": lambda n: repeated(
        deflated(ecg(listed(5 << 20, integers_of_three_bytes(5 << 20)))), n
    ),
    "deflated numbers in small frames": lambda n: repeated(deflated(ecg(listed(60_000, b"\x01" * 60_000))), n),
    "deflated texts": lambda n: repeated(deflated(listed(5 << 20, b"\xa2ab" * (5 << 20)), kind=0x11), n),
    "deflated keys": lambda n: repeated(
        deflated(
            b"\xdf"
            + struct.pack(">I", 1 << 21)
            + b"".join(b"\xce%b\xc0" % k.to_bytes(4, "big") for k in range(1 << 21)),
            kind=0x11,
        ),
        n,
    ),
    "deflated empty lists": lambda n: repeated(deflated(listed(1 << 20, b"\x90" * (1 << 20)), kind=0x11), n),
    "deflated arrays": lambda n: repeated(
        deflated(
            ecg(
                wrapped(
                    b"\xc6" + struct.pack(">I", 15 << 20) + bytes(15 << 20),
                    b"int8",
                    b"\x91\xce" + struct.pack(">I", 15 << 20),
                )
            )
        ),
        n,
    ),
    "deflated gaps": lambda n: repeated(deflated(gap_at_every_second_sample(15 << 20)), n),
    "deflated gaps in small frames": lambda n: repeated(deflated(gap_at_every_second_sample(60_000)), n),
    "alerts of a recording": lambda n: recording_of_seconds(8) + repeated(alert(), n),
    "deflated arrays as lists": lambda n: repeated(
        deflated(
            ecg(wrapped(listed(15 << 20, b"\x01" * (15 << 20)), b"float64", b"\x91\xce" + struct.pack(">I", 15 << 20)))
        ),
        n,
    ),
    "a deflated text": lambda n: repeated(
        deflated(b"\xdb" + struct.pack(">I", 15 << 20) + b"x" * (15 << 20), kind=0x11), n
    ),
    "numbers": lambda n: frame(ecg(listed(n, b"\x01" * n))),
    "deep lists": lambda n: repeated(frame(b"\x91" * 63 + b"\x90", kind=0x11), n),
    "lists too deep": lambda n: repeated(frame(b"\x91" * 500, kind=0x11), n),
    "names that do not repeat": distinct_keys,
    "small records": lambda n: template(1, 1, {}) + repeated(record(1, 1, 18), n),
    "deflated records": lambda n: template(1, 12, {}) + repeated(record(1, 12, 1 << 20, deflate=True), n),
    "records without a template": lambda n: repeated(record(1, 1, 1), n),
    "records of templates in turn": lambda n: templates_in_turn(n, 1, {"leads": ["x" * 12] * 200}),
    "records of templates of many rows": lambda n: templates_in_turn(n, 4096, {"gain": 3.5, "baseline": 1}),
    "templates": templates,
    "payloads that are refused": lambda n: repeated(frame(b"\xc1", kind=0x11), n),
}


# --- hexadecimal ---


def poured(pieces: list[bytes], nbytes: int) -> bytes:
    """Pieces drawn at random."""
    chance, found, size = random.Random(1), [], 0
    while size < nbytes:
        found.append(chance.choice(pieces))
        size += len(found[-1])
    return b"".join(found)


EMPTY_IN_HEX = b"03 10 00 00000000 00000000 00060ef981a72180"

HEX_FILES: dict[str, Callable[[int], bytes]] = {
    "lines": lambda n: repeated(EMPTY_IN_HEX + b"\n", n),
    "a byte a line": lambda n: repeated(EMPTY_IN_HEX.replace(b" ", b"")[:2] + b"\n", n),
    "one long line": lambda n: repeated(EMPTY_IN_HEX.replace(b" ", b""), n),
    "one long line with blanks": lambda n: repeated(b"03 10 00 00 00 00 00 00 00 00 00 00 06 0e f9 81 a7 21 80 ", n),
    "empty lines": lambda n: EMPTY_IN_HEX + b"\n" * n,
    "carriage returns": lambda n: repeated(EMPTY_IN_HEX + b"\r", n),
    "blanks": lambda n: EMPTY_IN_HEX + b"\n" + b" " * n,
    "blanks before a digit": lambda n: EMPTY_IN_HEX + b"\n" + b" " * n + b"00",
    "comments": lambda n: EMPTY_IN_HEX + b"\n" + b"#\n" * (n // 2),
    "0x everywhere": lambda n: repeated(b"0x03 0x10 0x00 0x00000000 0x00000000 0x00060ef981a72180\n", n),
    "digits that end in a word": lambda n: b"00" * (n // 2) + b"z",
    "digits and words": lambda n: poured([b"00 ", b"0x", b"zz", b"\n", b"#", b"  ", b"ab,", b"cd:"], n),
}


# --- captures ---


class Packets:
    """A pcap of raw IP, packet by packet, a millisecond apart."""

    def __init__(self, link: int = RAW_IP) -> None:
        self._pieces = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 0x7FFFFFFF, link)]
        self._size = 24
        self._number = 0

    def add(self, octets: bytes, time: float | None = None) -> None:
        """Append a packet."""
        self._number += 1
        time = self._number / 1000 if time is None else time
        header = struct.pack("<4I", 10**9 + int(time), int(time % 1 * 1e6), len(octets), len(octets))
        self._pieces.append(header + octets)
        self._size += len(header) + len(octets)

    def __len__(self) -> int:
        return self._size

    def __bytes__(self) -> bytes:
        return b"".join(self._pieces)


class Connection:
    """A TCP connection to port 8765; every side's bytes in segments of a size."""

    def __init__(self, packets: Packets, number: int = 0, deflate: bool = False, *, open: bool = True) -> None:
        self.packets = packets
        self.client = bytes([10, number >> 24 & 255, number >> 16 & 255, 1])
        self.port = number & 0xFFFF
        self.at = {False: 1000, True: 5000}
        if open:
            self.segment(b"", False, flags=SYN)
            self.segment(b"", True, flags=SYN | ACK)
            self.at = {False: 1001, True: 5001}
            self.say(ASK, from_server=False)
            self.say(AGREE + (DEFLATE if deflate else b"") + b"\r\n")

    def segment(
        self,
        octets: bytes,
        from_server: bool = True,
        sequence: int | None = None,
        flags: int = ACK,
        acknowledges: int = 0,
    ) -> None:
        """A segment, at that sequence number."""
        sequence = self.at[from_server] if sequence is None else sequence
        ports = (8765, self.port) if from_server else (self.port, 8765)
        ends = (SERVER, self.client) if from_server else (self.client, SERVER)
        tcp = struct.pack(">HHIIBBHHH", *ports, sequence % 2**32, acknowledges, 5 << 4, flags, 8192, 0, 0) + octets
        whole = 20 + len(tcp)
        ip = struct.pack(">BBHHHBBH", 0x45, 0, whole if whole < 65536 else 0, 0, 0, 64, 6, 0) + ends[0] + ends[1]
        self.packets.add(ip + tcp)

    def say(self, octets: bytes, from_server: bool = True, size: int = 60_000) -> None:
        """Bytes in order."""
        for start in range(0, len(octets), size):
            piece = octets[start : start + size]
            self.segment(piece, from_server)
            self.at[from_server] += len(piece)


def message(octets: bytes, opcode: int = 2, *, fin: bool = True, deflated: bool = False) -> bytes:
    """A WebSocket frame of the server's."""
    first = (0x80 if fin else 0) | (0x40 if deflated else 0) | opcode
    if len(octets) < 126:
        return bytes([first, len(octets)]) + octets
    if len(octets) < 65_536:
        return bytes([first, 126]) + struct.pack(">H", len(octets)) + octets
    return bytes([first, 127]) + struct.pack(">Q", len(octets)) + octets


@cache
def squeezed(kind: str, nbytes: int) -> bytes:
    """Compress data as permessage-deflate does: without the last four bytes of the flush."""
    content = {
        "zeros": lambda: bytes(nbytes),
        "frames": lambda: repeated(frame(b"", kind=0x10, version=1), nbytes),
        "numbers": lambda: frame(ecg(listed(nbytes, b"\x01" * nbytes))),
    }[kind]()
    stream = zlib.compressobj(9, wbits=-15)
    return (stream.compress(content) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


def spoken(octets: bytes, size: int = 60_000, *, deflate: bool = False) -> bytes:
    """A capture of one connection, whose server says that."""
    packets = Packets()
    Connection(packets, deflate=deflate).say(octets, size=size)
    return bytes(packets)


def gaps(nbytes: int, step: int = 2) -> bytes:
    """One byte of every ``step``, so that there is a hole behind each."""
    packets = Packets()
    connection = Connection(packets)
    start = connection.at[True] + 1
    while len(packets) < nbytes:
        connection.segment(b"\x82", sequence=start)
        start += step
    return bytes(packets)


def acknowledged_gaps(nbytes: int) -> bytes:
    """The same, and the other side says each time that it has it all."""
    packets = Packets()
    connection = Connection(packets)
    start = connection.at[True] + 1
    while len(packets) < nbytes:
        connection.segment(b"\x82", sequence=start)
        connection.segment(b"", False, acknowledges=start + 1)
        start += 2
    return bytes(packets)


def backwards(nbytes: int) -> bytes:
    """The last segment first, and the one that all wait for at the end."""
    packets = Packets()
    connection = Connection(packets)
    start, count = connection.at[True], nbytes // 57
    for number in reversed(range(count)):
        connection.segment(b"\x82", sequence=start + number)
    return bytes(packets)


def overlapping(nbytes: int) -> bytes:
    """Segments that begin a byte behind one another, each of 1,400 bytes."""
    packets = Packets()
    connection = Connection(packets)
    start = connection.at[True] + 1
    while len(packets) < nbytes:
        connection.segment(b"\x82\x00" * 700, sequence=start)
        start += 1
    connection.segment(b"\x82\x00")
    return bytes(packets)


def shuffled(nbytes: int) -> bytes:
    """Small segments in any order."""
    packets = Packets()
    connection = Connection(packets)
    octets = message(frame(b"", kind=0x10)) * (nbytes // 67)
    pieces = list(range(0, len(octets), 13))
    random.Random(5).shuffle(pieces)
    for start in pieces:
        connection.segment(octets[start : start + 13], sequence=connection.at[True] + start)
    return bytes(packets)


def many_connections(nbytes: int, octets: bytes = b"", flags: int = SYN) -> bytes:
    """A connection a packet."""
    packets = Packets()
    number = 0
    while len(packets) < nbytes:
        number += 1
        Connection(packets, number * 7919 % 2**32, open=False).segment(octets, False, flags=flags)
    return bytes(packets)


def records(nbytes: int, record: bytes, link: int = 252) -> bytes:
    """A recording of messages in place of packets, all the same."""
    packets = Packets(link)
    packets.add(record)
    piece = bytes(packets)[24:]
    return bytes(packets)[:24] + repeated(piece, nbytes)


def block(kind: int, body: bytes) -> bytes:
    """A block of pcapng."""
    size = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + size + body + size


SECTION = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
INTERFACE = block(1, struct.pack("<HHI", RAW_IP, 0, 0))
DISSECTED = struct.pack(">HH8sHH", 12, 8, b"ecgframe", 0, 0)
LABELS = bytes(12) + b"\x88\x47"

CAPTURES: dict[str, Callable[[int], bytes]] = {
    "deflated zeros": lambda n: spoken(repeated(message(squeezed("zeros", 60 * MIB), deflated=True), n), deflate=True),
    "deflated zeros in small messages": lambda n: spoken(
        repeated(message(squeezed("zeros", MIB), deflated=True), n), deflate=True
    ),
    "deflated zeros in one packet": lambda n: spoken(
        repeated(message(squeezed("zeros", 8 * MIB), deflated=True), n), n + 1, deflate=True
    ),
    "deflated frames": lambda n: spoken(repeated(message(squeezed("frames", 4 * MIB), deflated=True), n), deflate=True),
    "deflated lists": lambda n: spoken(repeated(message(squeezed("numbers", 8 * MIB), deflated=True), n), deflate=True),
    "deflated fragments": lambda n: spoken(
        message(squeezed("zeros", MIB), fin=False, deflated=True)
        + repeated(message(squeezed("zeros", MIB), 0, fin=False), n),
        deflate=True,
    ),
    "frames deflated twice": lambda n: spoken(
        repeated(message(deflated(ecg(listed(15 << 20, b"\x01" * (15 << 20))))), n)
    ),
    "empty fragments": lambda n: spoken(message(b"", fin=False) + message(b"", 0, fin=False) * (n // 2)),
    "fragments of a byte": lambda n: spoken(message(b"\x01", fin=False) + message(b"\x01", 0, fin=False) * (n // 3)),
    "empty messages": lambda n: spoken(message(b"") * (n // 2)),
    "small messages": lambda n: spoken(repeated(message(frame(b"", kind=0x10)), n)),
    "batches of small frames": lambda n: spoken(message(repeated(frame(b"", kind=0x10), n))),
    "pings": lambda n: spoken(message(b"", 9) * (n // 2)),
    "closes": lambda n: spoken(message(b"\x03\xe8", 8) * (n // 4)),
    "a message that does not end": lambda n: spoken(message(b"x" * n)[:-1]),
    "a message in segments of a byte": lambda n: spoken(message(b"x" * (n // 57)), size=1),
    "gaps": gaps,
    "acknowledged gaps": acknowledged_gaps,
    "backwards": backwards,
    "overlapping": overlapping,
    "shuffled": shuffled,
    "connections that open": many_connections,
    "connections that speak": lambda n: many_connections(n, b"\x82\x80\0\0\0\0", ACK),
    "connections that ask": lambda n: many_connections(n, b"GET / HTTP/1.1", ACK),
    "records": lambda n: records(n, DISSECTED + frame(b"", kind=0x10)),
    "records of nothing": lambda n: records(n, b""),
    "records of many tags": lambda n: records(n, b"\0\1\0\0" * (n // 4)),
    "packets of nothing": lambda n: records(n, b"", RAW_IP),
    "labels": lambda n: records(n, LABELS + bytes(n), 1),
    "empty blocks": lambda n: SECTION + INTERFACE + repeated(block(5, b""), n),
    "interfaces": lambda n: SECTION + repeated(INTERFACE, n),
    "sections": lambda n: SECTION + INTERFACE + repeated(SECTION, n),
    "a block that is too large": lambda n: SECTION + INTERFACE + struct.pack("<II", 6, 0x7FFFFFF0) + bytes(n),
}


def late_handshake(nbytes: int) -> bytes:
    """A request that goes on and on, a byte a segment."""
    packets = Packets()
    connection = Connection(packets, open=False)
    connection.say(b"GET /" + b"x" * (nbytes // 57), from_server=False, size=1)
    return bytes(packets)


CAPTURES["a handshake that does not end"] = late_handshake

KINDS: dict[str, dict[str, Callable[[int], bytes]]] = {
    "frames": FRAME_FILES,
    "hex": HEX_FILES,
    "pcap": CAPTURES,
}


def main() -> None:
    """Write them all."""
    folder, nbytes = Path(sys.argv[1]), int(float(sys.argv[2]) * MIB) if len(sys.argv) > 2 else MIB
    for kind, made in KINDS.items():
        for name, make in made.items():
            (folder / f"{name.replace(' ', '-')}.{kind}").write_bytes(make(nbytes))


if __name__ == "__main__":
    main()
