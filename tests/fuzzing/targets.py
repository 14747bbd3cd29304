"""What the coverage-guided fuzzer calls with any bytes. A target returns, or raises what the fuzzer reports.

Each is also a test: what the fuzzer found worth keeping is replayed in every run of the suite (``test_corpus.py``).
"""

from __future__ import annotations

import io
import zlib
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib import import_module
from struct import Struct, unpack_from
from uuid import UUID

import numpy as np
import twin

import ecgframe
from ecgframe import Codec, ProtocolError
from ecgframe.messages.templates import Template
from ecgframe.protocol import HEADER_SIZES
from ecgframe.tools import ToolError
from ecgframe.tools.budget import Budget
from ecgframe.tools.capture.pcap import read_capture
from ecgframe.tools.capture.websocket_reassembly import LARGEST_CAPTURED, Bounds, WebSocketReassembler
from ecgframe.tools.frame_analysis import Examiner
from ecgframe.tools.hex_text import read_hex
from ecgframe.tools.observation import Delivery, Remark
from ecgframe.tools.sizes import SizeAnalysis
from ecgframe.tools.sources import open_source
from ecgframe.tools.value_summary import in_json, in_words

LIMIT = 1 << 16
PLAIN = Codec(max_payload=LIMIT)
ARRAYS = Codec(max_payload=LIMIT, numeric_lists="ndarray", validate=True)
# Whatever was read from LIMIT bytes it can write: in binary form no array needs more levels than it was read from.
PACKER = Codec(max_payload=LIMIT * 16, ndarray="binary")
LENGTH_AND_CHECKSUM = Struct(">II")


class Wrong(AssertionError):
    """The core broke a promise."""


def sealed(data: bytes) -> bytes:
    """The bytes as a frame whose length and checksum are true, so that they reach what lies behind those checks."""
    start = HEADER_SIZES.get(data[0], 11) if data else 11
    frame = bytearray(data.ljust(start, b"\0"))
    LENGTH_AND_CHECKSUM.pack_into(frame, 3, len(frame) - start, zlib.crc32(frame[start:]))
    return bytes(frame)


def decode(data: bytes) -> None:
    """A frame as it stands, and with length and checksum set right."""
    for frame in (data, sealed(data)):
        for codec in (PLAIN, ARRAYS):
            with suppress(ProtocolError):
                codec.decode(frame)


def unpack(data: bytes) -> None:
    """A payload; what is accepted must survive being packed and read again."""
    for codec in (PLAIN, ARRAYS):
        try:
            value = codec.unpack(data)
        except ProtocolError:
            continue
        _must_come_back(value, codec.unpack(PACKER.pack(value)))


def _must_come_back(value: object, back: object) -> None:
    if not twin.alike(_copied(value), _copied(back)):
        raise Wrong(f"{value!r} came back as {back!r}")


def _copied(value: object) -> object:
    """The value with arrays of their own: a view of received bytes is read-only, and one of a list is not."""
    if isinstance(value, np.ndarray):
        return np.array(value, order="C")
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list | tuple) else value


def batches(data: bytes) -> None:
    """Frames laid end to end: those who read them all, each, or one by one must agree on where they end."""
    each, all_of_them, one_by_one = list(PLAIN.decode_each(data)), [], []
    with suppress(ProtocolError):
        all_of_them.extend(PLAIN.decode_all(data))  # up to the error
    rest = memoryview(data)
    with suppress(ProtocolError):
        while rest:
            header, payload = PLAIN.split(rest[: _end_of_frame(rest)])
            if len(payload) != header.length:
                raise Wrong(f"a payload of {len(payload)} bytes, where the header says {header.length}")
            one_by_one.append(payload)
            rest = rest[_end_of_frame(rest) :]
    leading = next((at for at, item in enumerate(each) if isinstance(item, ProtocolError)), len(each))
    if leading != len(all_of_them) or leading > len(one_by_one):
        raise Wrong(f"{leading} messages, {len(all_of_them)} at once, {len(one_by_one)} frames one by one")


def _end_of_frame(data: memoryview) -> int:
    size = HEADER_SIZES.get(data[0], 11)
    return size + unpack_from(">I", data, 3)[0] if len(data) >= size else len(data)


def inspect(data: bytes) -> None:
    """What looks at the wire names every fault, and raises none."""
    for frame in Examiner(max_payload=LIMIT, validate=True).examine(Delivery(bytes(data))):
        if [frame.message, frame.error, frame.unread].count(None) != 2:
            raise Wrong(f"neither a message nor an error, or both: {frame!r}")
        if frame.message is not None:
            in_words(frame.message.data)
            in_json(frame.message.data)


def twins(data: bytes) -> None:
    """Both cores give the same values, or the same refusal."""
    plain = plain_package()
    for options in ({}, {"numeric_lists": "ndarray", "validate": True}):
        compiled, other = ecgframe.Codec(max_payload=LIMIT, **options), plain.Codec(max_payload=LIMIT, **options)
        for name, bytes_ in (("decode", sealed(data)), ("unpack", data)):
            one = twin.outcome(getattr(compiled, name), bytes_)
            two = twin.outcome(getattr(other, name), bytes_)
            if not twin.alike(one, two):
                raise Wrong(f"{name}: compiled {one!r}, plain {two!r}")


def captures(data: bytes) -> None:
    """A file that may be a capture gives messages and remarks, or is refused in a line."""
    budget = Budget()
    with suppress(ToolError):
        _observed(read_capture(io.BytesIO(data), budget), budget, len(data))


def conversations(data: bytes) -> None:
    """What both sides of a connection said, in segments of any size and order: bytes are given or told to be missing.

    A segment is a byte that says of whom, how far on and how long, and its bytes.
    """
    bounds = Bounds()
    tap = WebSocketReassembler("a:1", "b:2", bounds)
    at, place, found = [0, 0], 0, []
    tap.open(False, -1)
    tap.open(True, -1)
    for from_server, greeting in ((False, GREETINGS[0]), (True, GREETINGS[1 + (data[:1] > b"\x7f")])):
        found += tap.feed(from_server, 0, greeting, 0.0)
        at[from_server] = len(greeting)
    while place < len(data):
        how, size = data[place], 1 + data[place] % 60
        from_server, octets = bool(how & 64), data[place + 1 : place + 1 + size]
        place += 1 + size
        jump = (-3, 0, 0, 2)[how >> 6] if how & 1 else 0
        bounds.budget.nbytes += len(octets)
        found += tap.feed(from_server, (at[from_server] + jump) % 2**32, octets, place / 100)
        at[from_server] += jump + len(octets)
        if how & 32:
            found += tap.acknowledge(not from_server, at[from_server] % 2**32, place / 100)
    found += tap.finish(place / 100)
    _observed(found, bounds.budget, len(data))
    if bounds.held:
        raise Wrong(f"{bounds.held} bytes are held of a connection that is over")


GREETINGS = (
    b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
    b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n",
    b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
)


def _observed(observations, budget: Budget, nbytes: int) -> None:
    held = 0
    for one in observations:
        if isinstance(one, Delivery):
            held += len(one.octets)
            if len(one.octets) > LARGEST_CAPTURED:
                raise Wrong(f"a message of {len(one.octets)} bytes")
        elif not (isinstance(one, Remark) and one.text):
            raise Wrong(f"neither a message nor a remark: {one!r}")
    if held > nbytes + budget.inflated:
        raise Wrong(f"{held} bytes of {nbytes}, and {budget.inflated} inflated")


def sources(data: bytes) -> None:
    """Anything that is given to ``inspect``: told apart, read, shown; what is hexadecimal says what its bytes say."""
    with suppress(ToolError), open_source("-", io.BytesIO(data), max_payload=LIMIT) as source:
        examiner = Examiner(max_payload=LIMIT, budget=source.budget)
        for one in source.observations():
            for frame in examiner.examine(one) if isinstance(one, Delivery) else ():
                if frame.message is not None:
                    in_words(frame.message.data)
    spelt = data.hex(" ").encode()
    if (read_hex([spelt[: len(data)], spelt[len(data) :]]) or b"") != data:
        raise Wrong("hexadecimal digits are read otherwise")


def sizes(data: bytes) -> None:
    """Fields never take more than the payloads; whatever a receiver takes can be encoded in other forms."""
    for octets in (data, sealed(data)):
        analysis = SizeAnalysis()
        for frame in Examiner(max_payload=LIMIT).examine(Delivery(octets)):
            analysis.add(frame)
        for compared in analysis.compare():
            if sum(compared.found.fields.values()) > compared.found.payload_bytes:
                raise Wrong(f"the fields take more than the payload: {compared.found!r}")


RECORD_DTYPES = ("int16", "int8", "uint8", "uint16", "int32", "float32", "float64")
RECORD_ROWS = (0, 1, 2, 3, 12)
RECORD_SCALES = ({}, {"missing": 5}, {"missing": 1, "scale": {"mul": 1.5, "div": 200.0}})


def records(data: bytes) -> None:
    """A record under a template that the first byte chooses: bounded, alike in both cores, and writable again."""
    choice = data[0] if data else 0
    dtype, rows = RECORD_DTYPES[choice % 7], RECORD_ROWS[choice // 7 % 5]
    told = {} if dtype.startswith("f") else RECORD_SCALES[choice // 35 % 3]
    record = b"\0\1" + data[1:]
    template = Template(1, "s", dtype, rows, {}, **told)
    found = twin.outcome(template.decode, record, max_payload=LIMIT)
    if ecgframe.accelerated:
        plain_package()
        other = import_module("ecgframe.as_plain.messages.templates").Template(1, "s", dtype, rows, {}, **told)
        _must_be_alike(found, twin.outcome(other.decode, record, max_payload=LIMIT))
    if isinstance(found, twin.Refusal):
        if found.check != 11:
            raise Wrong(f"a record is refused with {found!r}")
        return
    if found.counts.size > 32 * len(record) + 3 * max(rows, 1):
        raise Wrong(f"{found.counts.size} samples of {len(record)} bytes")
    again = template.encode(found.counts, found.time, found.sequence)
    if not twin.oracle.same(np.array(template.decode(again).counts), np.array(found.counts)):
        raise Wrong(f"{found.counts!r} came back otherwise")


def _must_be_alike(compiled: object, plain: object) -> None:
    if isinstance(compiled, twin.Refusal) or isinstance(plain, twin.Refusal):
        same = compiled == plain
    else:
        same = all(map(twin.alike, compiled, plain))
    if not same:
        raise Wrong(f"compiled {compiled!r}, plain {plain!r}")


_plain: list[object] = []


def plain_package() -> object:
    if not _plain:
        _plain.append(twin.load_plain())
    return _plain[0]


def round_trip(data: bytes) -> None:
    """An object built after the bytes is refused by the encoder, or arrives equal, whatever the form and the room."""
    builder = Builder(data)
    version, form, room = builder.among((1, 2, 3, 4)), builder.among(("list", "binary")), builder.byte()
    value = builder.value(0)
    codec = Codec(version=version, ndarray=form, max_payload=LIMIT)
    try:
        frame = codec.encode(0x11, value, timestamp=7 if version >= 3 else None)
    except (TypeError, ValueError, OverflowError, ProtocolError):
        return
    _must_come_back(_as_received(value), codec.decode(frame).data)
    buffer = bytearray(room * 8)
    with suppress(BufferError):
        size = codec.encode_into(buffer, 3, 0x11, value, timestamp=7 if version >= 3 else None)
        if buffer[3 : 3 + size] != frame and not frame[2] & 1:  # a deflated frame may be deflated otherwise
            raise Wrong("encode_into wrote another frame than encode")
        if any(buffer[:3]):
            raise Wrong("encode_into wrote before its frame")


def _as_received(value: object) -> object:
    """What a receiver gets for a value: lists for tuples, bytes for what is like them, Python's numbers for NumPy's."""
    if isinstance(value, dict):
        return {_as_received(key): _as_received(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_received(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    return bytes(value) if isinstance(value, bytearray | memoryview) else value


class Builder:
    """Objects after bytes: the same for the same, and a small change for a small change. Zeros where the bytes end."""

    DTYPES = (
        "?",
        "i1",
        "<i2",
        ">i2",
        "<i4",
        ">u4",
        "<i8",
        ">u8",
        "u1",
        "<f2",
        ">f2",
        "<f4",
        ">f4",
        "<f8",
        ">f8",
        "<c8",
        "M8[s]",
    )

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        """The next bytes."""
        taken = self._data[self._at : self._at + count]
        self._at += count
        return taken.ljust(count, b"\0")

    def byte(self) -> int:
        """The next byte."""
        return self.take(1)[0]

    def among(self, choices: tuple) -> object:
        """One of them."""
        return choices[self.byte() % len(choices)]

    def value(self, depth: int) -> object:
        """Any object."""
        kinds = self.SCALARS if depth > 6 else self.SCALARS + self.CONTAINERS
        return kinds[self.byte() % len(kinds)](self, depth)

    def text(self, _depth: int = 0) -> str:
        """Surrogates are among it, which no UTF-8 holds."""
        size = self.byte()
        text = self.take(size % 48 if size < 250 else size * 8).decode("utf-8", "surrogateescape")
        return text.replace("__", "_")  # a wrapper's key in a plain map makes a wrapper, sound or not

    def integer(self, _depth: int = 0) -> int:
        """Of up to 9 bytes, so that some do not fit 64 bits."""
        return int.from_bytes(self.take(1 + self.byte() % 9), "little", signed=bool(self.byte() & 1))

    def array(self, _depth: int) -> np.ndarray:
        """Any dtype, a few dimensions, any layout."""
        dtype, layout = np.dtype(self.among(self.DTYPES)), self.byte()
        shape = tuple(self.byte() % 9 for _ in range(layout % 4))
        if layout > 250:
            shape = (1,) * 33 if layout == 255 else (len(self._data) % 700,)
        size = int(np.prod(shape, dtype=int)) * dtype.itemsize
        raw = self.take(size) if dtype.kind != "b" else bytes(octet & 1 for octet in self.take(size))
        array = np.frombuffer(raw, dtype).reshape(shape[:32]) if len(shape) <= 32 else np.zeros((1,) * 32, dtype)
        steps = slice(None, None, (1, -1, 2, -3)[layout >> 2 & 3])
        array = array[(steps,) * array.ndim]
        return array.T if layout & 16 else np.asfortranarray(array) if layout & 32 else array

    def datetime(self, _depth: int) -> datetime:
        """Naive or aware."""
        moment = datetime(1, 1, 1) + timedelta(
            microseconds=int.from_bytes(self.take(8), "little") % 315_537_897_599_999_999
        )
        return moment.replace(tzinfo=UTC) if self.byte() & 1 else moment

    def sequence(self, depth: int) -> list | tuple:
        """A list or a tuple."""
        size = self.byte()
        items = [self.value(depth + 1) for _ in range(size % 20)]
        return tuple(items) if size & 128 else items

    def numbers(self, _depth: int) -> list:
        """A list of one sort of number, as front ends send samples."""
        dtype = np.dtype(self.among(self.DTYPES[1:15]))
        return np.frombuffer(self.take(self.byte() * dtype.itemsize), dtype).tolist()

    def mapping(self, depth: int) -> dict:
        """Keys of any sort that can be one."""
        return {self.among(self.KEYS)(self): self.value(depth + 1) for _ in range(self.byte() % 12)}

    KEYS = (text, text, integer, lambda self: np.int16(self.byte()), lambda self: None, lambda self: b"")
    SCALARS = (
        lambda self, _: None,
        lambda self, _: bool(self.byte() & 1),
        integer,
        lambda self, _: unpack_from("<d", self.take(8))[0],
        text,
        lambda self, _: self.take(self.byte()),
        lambda self, _: bytearray(self.take(self.byte())),
        lambda self, _: memoryview(self.take(self.byte())),
        lambda self, _: UUID(bytes=self.take(16)),
        datetime,
        lambda self, _: np.frombuffer(self.take(8), self.among(self.DTYPES[1:15]))[0],
        array,
        numbers,
        lambda self, _: {1},
    )
    CONTAINERS = (sequence, mapping)


TARGETS = {
    target.__name__: target
    for target in (
        decode,
        unpack,
        batches,
        inspect,
        twins,
        round_trip,
        captures,
        conversations,
        sources,
        sizes,
        records,
    )
}
