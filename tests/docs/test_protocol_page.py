"""docs/protocol.md against the code: every table of it and every frame."""

import importlib
import itertools
import json
import re
import zlib
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Literal, NamedTuple, get_args, get_origin, get_type_hints
from uuid import UUID

import msgpack
import numpy as np
import oracle
import pytest
import record_oracle
from cases import each_case
from rendering import VECTORS

import ecgframe
from ecgframe import Codec, Flag, Header, MessageType, ProtocolError, crc32, errors, messages, protocol, session
from ecgframe._core import flatten
from ecgframe.compression import inflate
from ecgframe.messages.templates import Template
from ecgframe.server.publication import Publication, TemplatePublication
from ecgframe.session import state
from ecgframe.session.acknowledgements import REMEMBERED
from ecgframe.session.outgoing import Tier, encoding_for
from ecgframe.session.reassembly import Reassembly
from ecgframe.session.record_writer import Record
from ecgframe.session.send_queue import LIVE_PARTS
from ecgframe.session.session import ECHO_GROWTH, SMALL_ECHO
from ecgframe.session.stream_book import FrameOfEndedStream, StreamBook

PAGE = Path(__file__).parents[2] / "docs" / "protocol.md"
LINES = PAGE.read_text(encoding="utf-8").splitlines()
REFUSED = "refused"
ALIGNMENT = 8


# --- reading the page ---


class Block(NamedTuple):
    """Fenced code: the words behind the fence, the lines, and the heading above."""

    words: list[str]
    lines: list[str]
    heading: str
    line: int


class Table(NamedTuple):
    heading: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


def read_page():
    heading, blocks, tables, block, table = "", [], [], None, None
    for number, line in enumerate(LINES, start=1):
        if line.startswith("```") and block is None:
            block = Block(line[3:].split(), [], heading, number)
        elif line.startswith("```"):
            blocks.append(block)
            block = None
        elif block is not None:
            block.lines.append(line)
        elif line.startswith("|"):
            cells = tuple(cell.strip() for cell in line.strip("|").split(" | "))
            if table is None:
                table = Table(heading, cells, [])
            elif not set("".join(cells)) <= {"-", " ", "|"}:
                table.rows.append(cells)
        else:
            heading = line.lstrip("# ") if line.startswith("#") else heading
        if table is not None and not line.startswith("|"):
            tables.append(table)
            table = None
    return blocks, tables


BLOCKS, TABLES = read_page()


def rows_of(heading, first_column):
    [table] = [table for table in TABLES if (table.heading, table.columns[0]) == (heading, first_column)]
    assert all(len(row) == len(table.columns) for row in table.rows), heading
    return table.rows


def code(cell):
    """Return the text in the backquotes of a cell that contains nothing else."""
    assert cell.startswith("`"), cell
    assert cell.endswith("`"), cell
    return cell[1:-1]


def value_of(expression):
    return eval(expression, dict(NAMES))


def hexadecimal(cell):
    return bytes.fromhex(code(cell))


def nested(depth):
    value = []
    for _ in range(depth - 1):
        value = [value]
    return value


NAMES = {
    "Codec": Codec,
    "Flag": Flag,
    "Form": protocol.Form,
    "MessageType": MessageType,
    "UTC": UTC,
    "Template": Template,
    "UUID": UUID,
    "datetime": datetime,
    "encode": ecgframe.encode,
    "nested": nested,
    "np": np,
    "pack": ecgframe.pack,
}


def explained(block):
    """The lines of a frame: bytes, and the words beside them."""
    for line in block.lines:
        pairs, words = re.fullmatch(r"([0-9a-f]{2}(?: [0-9a-f]{2})*)(?:\s{2,}(.*))?", line).groups("")
        yield bytes.fromhex(pairs), words


def frame_in(block):
    return b"".join(raw for raw, _ in explained(block))


def frames(kind):
    blocks = [block for block in BLOCKS if block.words[:2] == ["frame", kind]]
    return pytest.mark.parametrize("block", blocks, ids=[f"line {block.line}" for block in blocks])


def each_row(heading, first_column):
    rows = rows_of(heading, first_column)
    return pytest.mark.parametrize("row", rows, ids=[" ".join(row)[:60] for row in rows])


# --- the frame ---


def test_versions():
    rows = rows_of("Versions", "version")
    assert {int(version): int(size) for version, size, _ in rows} == protocol.HEADER_SIZES
    assert tuple(int(version) for version, *_ in rows) == protocol.VERSIONS


@pytest.mark.parametrize("version", protocol.VERSIONS)
def test_header(version):
    stamp = None if version < 3 else 0x090A0B0C0D0E0F10
    numbering = (0x11, 0x12131415, 0x161718191A1B1C1D) if version >= 4 else ()
    header = Header(version, 0x22, 0xA5, 0x01020304, 0x05060708, stamp, *numbering)
    fields = {field: (int(offset), int(size)) for offset, size, field, _ in rows_of("Header", "offset")}
    end = 0
    for field, (offset, size) in fields.items():
        if end == protocol.HEADER_SIZES[version]:
            break
        assert offset == end
        end += size
        name = "stream_id" if field == "stream" else field
        assert int.from_bytes(bytes(header)[offset:end], "big") == getattr(header, name)
    assert end == protocol.HEADER_SIZES[version] == len(bytes(header))


def test_message_types():
    rows = rows_of("Message types", "name")
    assert {name: int(code(number), 16) for name, number, _ in rows} == {one.name: one.value for one in MessageType}
    assert {name for name, _, group in rows if group == "data"} == {one.name for one in protocol.DATA_TYPES}
    of_streams = {one.name for one in protocol.STREAM_TYPES}
    assert {name for name, _, group in rows if group in ("data", "stream")} == of_streams
    assert {name for name, _, group in rows if group == "stream"} == {
        one.name for one, since in protocol.TYPE_SINCE.items() if since == 4
    }


def test_form():
    rows = rows_of("Form", "bits")
    assert {name: int(code(value), 16) for _, value, name, _ in rows} == {
        name: int(member) for name, member in protocol.Form.__members__.items()
    }
    for bits, value, _, _ in rows:
        first, _, last = bits.partition("-")
        assert sum(1 << bit for bit in range(int(first), int(last or first) + 1)) == int(code(value), 16)
    [algorithms] = [meaning for _, _, name, meaning in rows if name == "ALGORITHM"]
    for algorithm in protocol.Algorithm:
        assert f"{int(algorithm)} {algorithm.name}".lower() in algorithms.lower()


def test_lz4():
    """A block by the rows of the table: two literals, a match of 15 + 4 + 6 bytes 2 bytes before, five literals."""
    rows = [meaning.split(":")[0].split(",")[0] for _, meaning in rows_of("LZ4", "bytes")]
    assert rows == ["token", "if the number of literals is 15", "the literals", *rows[3:]]
    assert [words.split(" ")[0] for words in rows[3:]] == ["offset", "if"]
    first = bytes([2 << 4 | 15]) + b"ab" + (2).to_bytes(2, "little") + bytes([6])
    block = first + bytes([5 << 4]) + b"vwxyz"
    plain = b"ab" * 13 + b"a" + b"vwxyz"
    assert inflate(memoryview(len(plain).to_bytes(4, "big") + block), 100, protocol.Algorithm.LZ4) == plain


def test_records():
    [block] = [block for block in BLOCKS if block.words == ["frame", "record"]]
    labels = {words.split(":")[0]: raw for raw, words in explained(block)}
    payload = frame_in(block)[protocol.HEADER_SIZES[4] :]
    end = 0
    for start, size, name, _ in rows_of("Records", "byte"):
        assert int(start) == end
        end += int(size)
        if name in ("template", "filter", "options"):
            assert labels[name] == payload[int(start) : end]
    assert end == protocol.RECORD_HEADER


def test_the_record_is_made_by_the_call_and_read_by_its_template():
    [block] = [block for block in BLOCKS if block.words == ["frame", "record"]]
    frame = frame_in(block)
    assert value_of(call_above(block)) == frame
    with pytest.raises(errors.InvalidDataFormat, match="template 1 of stream 7 is not known") as caught:
        ecgframe.decode(frame)
    assert caught.value.check == 11

    class Template:
        rows = 0
        coder = None

        def decode(self, payload, *, max_payload, copy, numeric):
            return SimpleNamespace(data={"payload": bytes(payload)})

    message = ecgframe.decode(frame, templates={(7, 1): Template()})
    assert message.data == {"payload": frame[32:]}
    assert (message.stream_id, message.sequence, message.form) == (7, 57, protocol.Form.RECORD)


def test_flags():
    rows = rows_of("Flags", "flag")
    assert {name: int(code(value), 16) for name, value, *_ in rows} == {flag.name: flag.value for flag in Flag}
    assert {Flag[name]: int(since) for name, _, since, *_ in rows} == protocol.FLAG_SINCE
    for name, _, since, who, _ in rows:
        if who == "the caller":
            assert (
                ecgframe.decode(ecgframe.encode(0x10, None, version=int(since), flags=Flag[name])).flags == Flag[name]
            )
        else:
            with pytest.raises(ValueError, match=name):
                ecgframe.encode(0x10, None, flags=Flag[name])


def test_checksum():
    text = "\n".join(LINES)
    assert crc32(b"123456789") == 0xCBF43926
    assert f"`{b'123456789'.decode()}` is `0x{crc32(b'123456789'):08x}`" in text
    assert f"that of no bytes is `0x{crc32(b''):08x}`" in text


# --- examples ---


def check_words(raw, words):
    """Hold what is said of some bytes against them, where it is said in one of the page's usual ways."""
    label, _, said = words.partition(": ")
    if label in {"version", "length"}:
        assert int.from_bytes(raw, "big") == int(re.match("[0-9,]*[0-9]", said)[0].replace(",", ""))
    elif label == "type":
        assert said == next((one.name for one in MessageType if one == raw[0]), "none has this number")
    elif label in {"stream", "sequence"} and said.isdecimal():
        assert int.from_bytes(raw, "big") == int(said)
    elif label == "form":
        assert raw[0] == (0 if said == "none" else protocol.Form[said])
    elif label == "flags":
        named = [] if said == "none" else said.split(",")[0].split(" and ")
        assert raw[0] == sum(Flag[name] for name in named)
    elif label == "timestamp" and said:
        assert int.from_bytes(raw, "big") == int(said.split(",")[0])
    elif label in {"float 64", "uint 8", "uint 16", "uint 32", "uint 64"}:
        assert msgpack.unpackb(raw) == (float if label == "float 64" else int)(said)
    elif match := re.fullmatch(r'(?:str )?"(.+)"', words):  # a long one goes on in the next line
        assert raw == match[1].encode() or msgpack.packb(match[1]).startswith(raw)
    elif match := re.match(r"(map|array) of (\d+)", words):
        assert raw[0] == {"map": 0x80, "array": 0x90}[match[1]] + int(match[2])
    elif words.isdigit():
        assert raw == bytes([int(words)])
    elif words in {"true", "false", "nil", "nil, as a key"}:
        assert raw == {"t": b"\xc3", "f": b"\xc2", "n": b"\xc0"}[words[0]]


ALL_FRAMES = [block for block in BLOCKS if block.words[0] == "frame"]


@each_case("block", ALL_FRAMES, ids=[f"line {block.line}" for block in ALL_FRAMES])
def test_the_words_beside_the_bytes(block):
    labels = [words.split(":")[0] for _, words in explained(block)]
    assert labels[:4] == ["version", "type", "flags", "length"]
    for raw, words in explained(block):
        check_words(raw, words)


def call_above(block):
    """The Python call that stands above a frame and makes it."""
    call = max((one for one in BLOCKS if one.words == ["python"] and one.line < block.line), key=lambda one: one.line)
    assert call.heading == block.heading
    return "\n".join(call.lines)


def test_the_page_has_examples():
    kinds = [block.words[1] for block in BLOCKS if block.words[0] == "frame"]
    assert kinds.count("sent") >= 3
    assert kinds.count("read") >= 1
    assert {block.words[0] for block in BLOCKS} == {"frame", "python", "text"}


@frames("sent")
def test_the_call_makes_the_frame(block):
    assert value_of(call_above(block)) == frame_in(block)


@frames("sent")
def test_the_frame_is_read_alike_by_another_reader(block):
    message, other = ecgframe.decode(frame_in(block)), oracle.decode_frame(frame_in(block))
    assert (message.type, message.version, message.timestamp) == (other.type, other.version, other.timestamp)
    assert oracle.same(message.data, other.data)


@frames("read")
def test_the_call_says_the_same_in_other_compressed_bytes(block):
    ours, shown = value_of(call_above(block)), frame_in(block)
    assert (ours[:3], ours[11:19]) == (shown[:3], shown[11:19])
    assert zlib.decompress(ours[19:]) == zlib.decompress(shown[19:])
    assert oracle.same(ecgframe.decode(shown).data, ecgframe.decode(ours).data)


@frames("read")
def test_the_numbers_around_the_compressed_example(block):
    travelled, inflated = frame_in(block)[19:], zlib.decompress(frame_in(block)[19:])
    around = " ".join(line for line in LINES[block.line - 5 : block.line + 30])
    assert (
        f"has {len(inflated):,} bytes. Another sender may deflate it to other bytes than these {len(travelled)}."
        in around
    )


def test_the_elements_of_the_binary_example_are_aligned():
    [block] = [block for block in BLOCKS if block.words[0] == "frame" and "binary" in block.heading]
    start = frame_in(block).index(np.array([1, -2, 300], "<i2").tobytes())
    assert start % ALIGNMENT == 0
    assert f"at offset {start} of the frame" in "\n".join(block.lines)


@frames(REFUSED)
def test_the_frame_is_refused(block):
    words = dict(word.split("=") for word in block.words[2:])
    limit = int(words.get("limit", protocol.DEFAULT_MAX_PAYLOAD))
    codec = Codec(validate=words["check"] == "12", max_payload=limit)
    with pytest.raises(ProtocolError) as caught:
        codec.decode(frame_in(block))
    assert (caught.value.check, caught.value.code) == (int(words["check"]), int(words["code"], 16))
    if words["check"] != "12":
        with pytest.raises(oracle.Refused) as other:
            oracle.decode_frame(frame_in(block), limit)
        assert (other.value.check, other.value.code) == (caught.value.check, caught.value.code)


def test_refused_frames_have_no_fault_besides():
    for block in ALL_FRAMES:
        frame = frame_in(block)
        if block.words[1] == REFUSED and block.words[2] not in {f"check={n}" for n in (1, 2, 3, 4, 5, 7)}:
            size = protocol.HEADER_SIZES[frame[0]]
            assert frame[3:11] == (len(frame) - size).to_bytes(4, "big") + crc32(frame[size:]).to_bytes(4, "big")


# --- payload ---


def test_the_first_bytes():
    kinds = {
        "int": int,
        "map": dict,
        "array": list,
        "str": str,
        "nil": type(None),
        "bool": bool,
        "bin": bytes,
        "float": float,
    }
    seen = []
    for cell, kind in rows_of("MessagePack", "first byte"):
        first, _, last = cell.replace("`", "").partition("-")
        for tag in range(int(first, 16), int(last or first, 16) + 1):
            seen.append(tag)
            assert kinds_that_begin_with(tag) == ({kinds[kind]} if kind != REFUSED else set()), cell
    assert seen == list(range(256))


def kinds_that_begin_with(tag):
    """Types of what is read from this tag and enough behind it: zeros, or keys and values 0 0 1 0 2 0 ... of a map."""
    found = set()
    for behind in (bytes(40), bytes(number for i in range(20) for number in (i, 0))):
        for n in range(len(behind)):
            try:
                found.add(type(ecgframe.unpack(bytes([tag]) + behind[:n])))
            except ProtocolError:
                continue
    return found


@each_row("MessagePack", "Python value")
def test_the_table_of_written_forms(row):
    value, _, packed = row
    assert ecgframe.pack(value_of(code(value))) == hexadecimal(packed)


@each_row("Dates and UUIDs", "Python value")
def test_dates_and_uuids(row):
    value, wrapper = (value_of(code(cell)) for cell in row)
    assert msgpack.unpackb(ecgframe.pack(value)) == wrapper
    assert oracle.same(ecgframe.unpack(msgpack.packb(wrapper)), value)


@pytest.mark.parametrize(
    ("payload", "expected"), [*rows_of("Dates and UUIDs", "payload"), *rows_of("List form", "payload")]
)
def test_the_table_of_wrappers(payload, expected):
    check_reading(msgpack.packb(value_of(code(payload))), expected)


def check_reading(payload, expected):
    if expected == REFUSED:
        with pytest.raises(errors.InvalidDataFormat) as caught:
            ecgframe.unpack(payload)
        assert caught.value.check == 11
    else:
        assert oracle.same(ecgframe.unpack(payload), value_of(code(expected)))


@each_row("Arrays", "dtype")
def test_dtypes(row):
    dtype, letters, others, element, size = row
    array = np.zeros(1, code(dtype))
    wrapper = msgpack.unpackb(ecgframe.pack(array))
    assert list(wrapper) == ["__ndarray__", "dtype", "shape"]
    assert wrapper["dtype"] == code(dtype) == np.dtype(code(letters)).name
    assert array.itemsize == int(size)
    assert protocol.DTYPE_NAMES[code(dtype)] == tuple(code(text) for text in [letters, *others.split()])
    first_byte = ecgframe.pack(array)[len(b"\x83\xab__ndarray__\x91")]
    expected = {"float 32": {0xCA}, "float 64": {0xCB}, "int, shortest": {0}, "`c2` or `c3`": {0xC2, 0xC3}}
    assert first_byte in expected[element]
    if array.itemsize > 1:
        swapped = array.astype(f">{code(letters)}")
        assert msgpack.unpackb(ecgframe.pack(swapped))["dtype"] == f">{code(letters)}"


def test_all_dtypes_are_there():
    shown = {np.dtype(code(dtype)) for dtype, *_ in rows_of("Arrays", "dtype")}
    assert shown == {np.dtype(letter) for letter in "?bhiqBHIQefd"}


def test_the_wrapper_s_keys():
    assert {code(key) for key, _ in rows_of("Arrays", "key")} == protocol.NDARRAY_KEYS
    used = {key for _, wrapper in rows_of("Dates and UUIDs", "Python value") for key in value_of(code(wrapper))}
    assert used == {protocol.DATETIME_KEY, protocol.UUID_KEY}


def test_the_other_texts_of_a_dtype():
    """Codec and oracle accept the texts of the table, with a byte order before codes and letters."""
    taken = {}
    for dtype, letters, others, *_ in rows_of("Arrays", "dtype"):
        for text in (dtype, letters, *others.split()):
            taken[code(text)] = np.dtype(code(letters))
            if text == letters or len(code(text)) == 1:
                taken |= {order + code(text): np.dtype(code(letters)) for order in "<=|"}
                taken[">" + code(text)] = np.dtype(">" + code(letters))
    assert {text: np.dtype(name) for text, name in protocol.DTYPE_SPELLINGS.items()} == taken
    assert {text: oracle.read_dtype(text) for text in taken} == taken
    for text, dtype in taken.items():
        assert ecgframe.unpack(oracle.pack({"__ndarray__": [], "dtype": text, "shape": [0]})).dtype == dtype


@pytest.mark.parametrize("name", ["datetime", "uuid"])
def test_the_pattern_of_dates_and_uuids(name):
    [block] = [block for block in BLOCKS if block.words == ["text", name]]
    known = {"datetime": protocol.DATETIME_SPELLING, "uuid": protocol.UUID_SPELLING}[name]
    assert "".join(line.strip() for line in block.lines) == known.pattern


@each_row("List form", "dtype")
def test_the_table_of_elements(row):
    dtype, element, becomes = row
    assert dtype in {known for known, *_ in rows_of("Arrays", "dtype")}
    wrapper = {"__ndarray__": [value_of(code(element))], "dtype": code(dtype), "shape": [1]}
    if becomes == REFUSED:
        check_reading(msgpack.packb(wrapper), becomes)
    else:
        array = ecgframe.unpack(msgpack.packb(wrapper))
        assert array.dtype == code(dtype)
        assert oracle.same(array.tolist(), [value_of(code(becomes))])


@each_row("Padding", "p")
def test_padding(row):
    padding, table, dtype, key = int(row[0]), *map(hexadecimal, row[1:])
    data = b"\xc4\x02"
    shortest = b"\x83" + b"\xa5dtype" + b"\xa5int16" + b"\xab__ndarray__" + data
    # an array of one text in front of it, as long as it takes for this padding
    front = next(
        front
        for n in range(ALIGNMENT)
        if -(len(front := b"\x92" + ecgframe.pack("x" * n)) + len(shortest)) % ALIGNMENT == padding
    )
    payload = Codec(ndarray="binary").pack([front[2:].decode(), np.array([258], "int16")])
    head = front + table + dtype + b"dtype" + b"\xa5int16" + key + b"__ndarray__" + data
    assert len(head) % ALIGNMENT == 0
    assert payload == head + b"\x02\x01" + b"\xa5shape\x91\x01"


def test_every_padding_is_there():
    assert [int(row[0]) for row in rows_of("Padding", "p")] == list(range(ALIGNMENT))


@pytest.mark.parametrize("order", "<>")
def test_the_binary_form_is_little_endian(order):
    array = np.array([1, 2], f"{order}i4")
    payload = Codec(ndarray="binary").pack(array)
    assert array.astype("<i4").tobytes() in payload
    assert oracle.same(ecgframe.unpack(payload), array)


@each_row("Plain lists of numbers", "list")
def test_plain_lists_of_numbers(row):
    plain, expected = (value_of(code(cell)) for cell in row)
    found = Codec(numeric_lists="ndarray").unpack(ecgframe.pack(plain))
    assert oracle.same(found, expected)
    assert oracle.same(oracle.lists_to_arrays(plain), expected)
    assert oracle.same(ecgframe.unpack(ecgframe.pack(plain)), plain)


# --- templates and records ---

RECORDS = [block for block in BLOCKS if block.words == ["text", "record"]]


@pytest.mark.parametrize("block", RECORDS, ids=[f"line {block.line}" for block in RECORDS])
def test_the_call_makes_the_record(block):
    assert value_of("(" + call_above(block) + ")") == frame_in(block)


def test_the_page_has_examples_of_records():
    assert len(RECORDS) == 2


def test_template_fields():
    names = [field.strip("*") for field, _ in rows_of("Templates", "field")]
    required = {field.strip("*") for field, _ in rows_of("Templates", "field") if field.startswith("**")}
    with pytest.raises(errors.MissingRequiredFields) as caught:
        Template.unpack(ecgframe.pack({}))
    assert set(re.findall(r'data\["(\w+)"\]', str(caught.value))) == required
    assert set(names) - required == {"missing", "scale"}
    [dtypes] = [content for field, content in rows_of("Templates", "field") if field == "**dtype**"]
    assert tuple(re.findall("`(.+?)`", dtypes)) == protocol.TEMPLATE_DTYPES


def test_record_head():
    rows = rows_of("Records", "offset")
    assert [int(size) for _, size, _ in rows[:-1]] == [2, 1, 1, 4, 8, 8, protocol.TEMPLATE_DIGEST_SIZE]
    assert int(rows[5][0]) == protocol.RECORD_HEADER
    text = " ".join(content for *_, content in rows)
    for member in protocol.RecordFilter:
        assert f"{member.value} {member.name}" in text
    for option in protocol.RecordOption:
        assert f"`0x{option.value:02x}` {option.name}" in text


def test_predictions():
    found = {}
    for lead, *numbers in rows_of("Filter DELTA", "lead"):
        na, nb, c = (int(number.replace("\N{MINUS SIGN}", "-")) for number in numbers)
        found.setdefault(lead.lower(), []).append((na, nb, c))
    assert found == record_oracle.RULES
    for lead, rules in found.items():
        template = Template(1, "s", "int16", 3, {"leads": ["I", "II", lead]})
        for na, nb, c in rules:
            one, two = np.array([[5, 900, -77, 30], [6, 31, 800, -1001]])
            rows = np.array([one, two, (na * one + nb * two + c) >> 1], "int16")
            *_, a, b, rule = template.encode(rows, 0)
            assert (a, b, rule) == (0, 1, na + 2 + 8 * (nb + 2) + 64 * c)


def test_row_of_the_filter():
    text = " ".join(content for _, content in rows_of("Filter DELTA", "bytes"))
    assert f"0 to {protocol.DELTA_WIDTH}" in text
    assert f"2 to {protocol.DELTA_STEP:,}" in text
    assert f"blocks of {protocol.DELTA_BLOCK} residuals" in text


REFUSED_RECORDS = [
    (["", "0001 00 01 00000000 0000000000000000", "0001 00 04 00000000 0000000000000000"], {}),
    (["0002 00 00 00000000 0000000000000000", "0001 00 02 00000000 0000000000000000 0000000000000000"], {}),
    (["0001 02 00 00000000 0000000000000000"], {}),
    (["0001 01 00 00000004 0000000000000000 0000", "0001 00 00 ffffffff 0000000000000000"], {"max_payload": 15}),
    (["0001 00 00 00000001 0000000000000000 000000"], {}),
    (["0001 01 00 00000024 0000000000000000 000000"], {}),
    (["0001 01 00 00000001 0000000000000000 0202", "0001 01 00 00000001 0000000000000000 0080 00"], {}),
]
"""A record that fails by each row of the table of the page, for a template of two rows of int16."""


@pytest.mark.parametrize(
    ("row", "examples"), list(zip(rows_of("Which records are refused", "what"), REFUSED_RECORDS, strict=True))
)
def test_which_records_are_refused(row, examples):
    template = Template(1, "s", "int16", 2, {})
    records, options = examples
    for record in records:
        with pytest.raises(ProtocolError) as caught:
            template.decode(bytes.fromhex(record), **options)
        assert (caught.value.check, caught.value.code) == (11, int(code(row[1]), 16))
        assert (caught.value.reason == "template") == ("reason" in row[0])


# --- limits and sending ---


def test_fragments():
    blocks = [block for block in BLOCKS if block.words == ["frame", "fragment"]]
    reassembly, whole = Reassembly(protocol.DEFAULT_MAX_PAYLOAD, least=16), None
    for block in blocks:
        frame = frame_in(block)
        flat = flatten(frame)
        header = flat.frame_at(0, protocol.DEFAULT_MAX_PAYLOAD)
        for start, size, name, _ in rows_of("Fragments", "byte"):
            [(raw, value)] = [(raw, int(words.split()[1])) for raw, words in explained(block) if words.startswith(name)]
            assert frame[32 + int(start) :][: int(size)] == raw == value.to_bytes(4, "big")
        assert whole is None
        whole, lost = reassembly.add(header, flat.view(32, len(frame)), 0.0)
        assert lost is None
        with pytest.raises(errors.InvalidDataFormat, match="a session puts fragments together") as caught:
            ecgframe.decode(frame)
        assert caught.value.check == protocol.Check.FRAGMENT
    message = ecgframe.decode(whole)
    stated = next(line for line in LINES if line.startswith("`{") and "in pieces of 16 bytes" in line)
    assert message.data == value_of(code(stated.split(", whose")[0]))
    assert (message.flags, message.nbytes, len(blocks)) == (0, 35, 3)


def test_limits():
    shown = {code(name): value_of(code(value)) for _, value, name in rows_of("Limits", "limit")}
    defined = {
        name: value
        for name, value in vars(protocol).items()
        if name.isupper() and isinstance(value, int) and name != "DEFAULT_VERSION"
    }
    assert shown == {name: value for name, value in defined.items() if name not in names_of_times_and_counts()}


@pytest.mark.slow
@pytest.mark.parametrize(("count", "accepted"), [(protocol.MAX_VALUES, True), (protocol.MAX_VALUES + 1, False)])
def test_the_limit_on_values(count, accepted):
    payload = b"\xdd" + (count - 1).to_bytes(4, "big") + b"\x90" * (count - 1)
    if accepted:
        assert len(ecgframe.unpack(payload)) == count - 1
    else:
        with pytest.raises(errors.MessageTooLarge) as caught:
            ecgframe.unpack(payload)
        assert caught.value.check == 11


def test_the_limit_on_depth():
    assert ecgframe.unpack(ecgframe.pack(nested(protocol.MAX_DEPTH))) == nested(protocol.MAX_DEPTH)
    with pytest.raises(errors.InvalidDataFormat):
        ecgframe.unpack(b"\x91" * protocol.MAX_DEPTH + b"\x90")


@each_row("Sending", "mistake")
def test_the_table_of_refusals_of_a_sender(row):
    _, example, raised = row
    expected = getattr(errors, code(raised), None) or {"OverflowError": OverflowError, "TypeError": TypeError}.get(
        code(raised), ValueError
    )
    with pytest.raises(expected) as caught:
        value_of(code(example))
    assert type(caught.value).__name__ == code(raised)


# --- errors ---


def test_the_checks():
    rows = rows_of("What a receiver checks", "#")
    assert [int(number) for number, *_ in rows] == [1, 2, 3, 4, 5, 6, 7, 13, 8, 14, 9, 10, 11, 12]
    assert {int(number) for number, *_ in rows} == set(protocol.Check)
    on_the_page = {(int(number), int(one, 16)) for number, _, cell in rows for one in re.findall("`(0x...)`", cell)}
    words = [dict(word.split("=") for word in b.words[2:]) for b in BLOCKS if b.words[:2] == ["frame", REFUSED]]
    shown = {(int(word["check"]), int(word["code"], 16)) for word in words}
    too_many_values = (11, 0x102)  # its frame would have a mebibyte; see test_the_limit_on_values
    total_beyond_the_limit = (13, 0x102)  # only a session has this limit; v4-fragments.json has it
    assert on_the_page == shown | {too_many_values, total_beyond_the_limit}


def test_error_codes():
    rows = rows_of("Error codes", "code")
    assert {int(number, 16): name for number, name, _ in stripped(rows)} == {
        one.value: one.name for one in protocol.ErrorCode
    }
    assert {int(number, 16): name for number, _, name in stripped(rows)} == {
        number.value: error.__name__ for number, error in errors.ERRORS.items()
    }


def stripped(rows):
    return [tuple(cell.strip("`") for cell in row) for row in rows]


# --- sessions ---


def test_the_phases_are_named():
    assert [name for name, *_ in rows_of("Phases", "on")] == [name for name, _ in rows_of("Phases", "trigger")]
    triggers = [name for name, _ in rows_of("Phases", "trigger")]
    actions = [name for name, _ in rows_of("Phases", "action")]
    assert triggers == [trigger.name.lower() for trigger in state.Trigger]
    assert actions == [action.name.lower().replace("_", " ") for action in state.Action]


def conversation():
    """The blocks of the last section, in order, without the fragments, which are a conversation of their own."""
    begin = LINES.index("## Sessions")
    return [block for block in BLOCKS if block.line > begin and block.words != ["frame", "fragment"]]


def test_the_conversation_goes_as_shown():
    last = 0

    def wall_clock_us():
        nonlocal last
        last = max(last + 1, 1_705_314_645_000_000 + round(known["now"] * 1_000_000))
        return last

    known = vars(session) | vars(protocol) | {"encode": ecgframe.encode, "wall_clock_us": wall_clock_us, "now": 0.0}
    shown = 0
    for block in conversation():
        if block.words == ["python"]:
            exec("\n".join(block.lines), known)
            continue
        [_, who] = block.words
        message = known[who].next_message(known["now"])
        assert message == frame_in(block), f"line {block.line}"
        shown += 1
        for event in known[{"server": "client", "client": "server"}[who]].receive(message, known["now"]):
            assert not isinstance(event, session.FrameRefused)
            if isinstance(event, session.Received):
                known["message"] = event.message
    assert shown >= 15
    assert known["server"].next_message(known["now"]) is known["client"].next_message(known["now"]) is None


def test_the_conversation_is_read_alike_by_another_reader():
    read = [
        frame
        for block in conversation()
        if block.words[0] == "frame"
        for frame in oracle.decode_frames(frame_in(block))
    ]
    shown = {MessageType(frame.type).name for frame in read}
    spoken = {one.name for one, since in protocol.TYPE_SINCE.items() if since <= protocol.DEFAULT_VERSION}
    assert shown == spoken - {"UNSUBSCRIBE", "PREDICTION_RESULT", "FEATURE_DATA"}


def test_capabilities():
    rows = stripped(rows_of("Capabilities", "name"))
    assert {name: int(since) for name, since, *_ in rows} == protocol.CAPABILITY_SINCE
    assert {name for name, _, old, _ in rows if old == "no"} == protocol.ONLY_ANNOUNCED
    flags = {flag.name: name for name, *_, lets in rows for flag in Flag if lets == f"set {flag.name}"}
    assert flags == {flag.name: capability for flag, capability in protocol.CAPABILITY_OF_FLAG.items()}


def test_close_codes():
    rows = rows_of("Close codes", "code")
    assert {int(number): name for number, name, _ in rows} == {one.value: one.name for one in protocol.CloseCode}


def names_of_times_and_counts():
    return {code(name).rpartition(".")[2] for _, _, name in rows_of("Times and counts", "what")}


@each_row("Times and counts", "what")
def test_times_and_counts(row):
    _, value, name = row
    module, _, constant = code(name).rpartition(".")
    found = getattr(importlib.import_module(f"ecgframe.{module}"), constant)
    assert (value_of(code(value)), type(value_of(code(value)))) == (found, type(found))


def test_classes_of_service():
    rows = rows_of("Waiting frames", "class")
    assert [name for name, *_ in rows] == [tier.name for tier in Tier]
    [late] = [late for name, *_, late in rows if name == "LIVE"]
    assert f"after {session.Settings().live_seconds:g} s" in late
    assert "seven bytes of LIVE are sent for each byte of BULK" in " ".join(LINES)
    assert LIVE_PARTS == 7


def test_numbers_in_the_text_of_the_sessions():
    text = " ".join(LINES[LINES.index("## Sessions") :])
    for number in (
        f"the last {REMEMBERED:,} that it acknowledged",
        f"at most {protocol.MAX_BATCH_FRAMES:,} frames in a message",
        f"may have {protocol.MAX_BATCH_PAYLOAD // 1024**2} MiB together",
        f"larger than {SMALL_ECHO // 1024} KiB plus {ECHO_GROWTH} times",
        f"of at most {protocol.MAX_CONTROL_PAYLOAD // 1024} KiB",
    ):
        assert number in text
    assert (protocol.ERROR_BUDGET, protocol.ERROR_WINDOW, protocol.SILENT_INTERVALS) == (5, 10, 3)  # in words


# --- streams by number ---


def test_a_frame_is_judged_by_its_id():
    bound, skipped, unknown = (row[1] for row in rows_of("Streams by number", "the id"))
    assert (bound, skipped) == ("is read", "is skipped without an error: it was in transit when the subscription ended")
    assert unknown == "fails check 11, `0x200`; if version 4 was not agreed on, check 2"
    book = StreamBook()
    verdicts = {0: bound, 4: skipped, 7: bound, 8: unknown}
    for is_open, id in itertools.product([False, True], verdicts):
        book.is_open = is_open
        if is_open:
            book.bind(7, "ecg/1", 1)
        frame = ecgframe.encode(1, {}, version=4, stream_id=id, sequence=int(id > 0))
        header, _ = ecgframe.split(frame)
        if id == 0 or (is_open and verdicts[id] is bound):
            book.admit(header)
            continue
        with pytest.raises(FrameOfEndedStream if is_open and verdicts[id] is skipped else ProtocolError) as caught:
            book.admit(header)
        assert (caught.value.check, caught.value.code) == ((11, 0x200) if is_open else (2, 0x100))


def test_the_table_of_viewers():
    rows = {row[0]: row[1:] for row in rows_of("Streams by number", "in the stream")}
    everything = frozenset(protocol.Capability) - {protocol.Capability.DELTA}
    encodings = [
        encoding_for(3, everything),
        encoding_for(4, everything - {protocol.Capability.TEMPLATES}),
        encoding_for(4, everything),
    ]
    signal = np.zeros((2, 40), "int16")
    stream_map = {"signal": signal, "sampling_rate": 500, "timestamp": 5.0, "stream": "s"}
    frame = Codec(ndarray="binary", compression=None).encode_frame(1, stream_map, timestamp=9)
    publication = Publication("s", 9, frame, session.Settings())
    template = Template(1, "s", "int16", 2, {"sampling_rate": 500})
    position = session.StreamPosition(7, 3)
    publication.set_position(position, Record(template, template.encode(signal, 5_000_000)))
    told = {
        "the map that was published, as ever": (3, None, None),
        "the same map, under the number": (4, 0, 3),
        "the record with filter NONE": (4, 4, 3),
    }
    for cell, encoding in zip(rows["record"], encodings, strict=True):
        header, payload = ecgframe.split(publication.outgoing(encoding).frame)
        assert (header.version, header.form, header.sequence) == told[cell]
        if header.form:
            assert payload[2] == protocol.RecordFilter.NONE or header.flags & Flag.COMPRESSED
    outgoing = session.encode_outgoing(
        encodings[2], 0x23, template.fields_on_the_wire(), timestamp=8, settings=session.Settings(), position=position
    )
    sent = [TemplatePublication("s", 8, outgoing, position).outgoing(encoding) for encoding in encodings]
    assert list(rows["template"]) == ["not sent" if frame is None else "sent" for frame in sent]
    publication.set_position(position, None)
    assert list(rows["any other data"]) == ["as ever", "under the number", "under the number"]
    for encoding in encodings[1:]:
        header, _ = ecgframe.split(publication.encode(encoding).frame)
        assert (header.form, header.sequence) == (0, 3)


# --- sealed payloads and signatures ---

SECRET, SENDER = bytes(range(32)), bytes(range(0xA0, 0xA8))
ALERT = {"kind": "asystole", "timestamp": 1705314645.25, "stream": "ecg/1"}


def plain_record():
    [block] = [block for block in BLOCKS if block.words == ["frame", "record"]]
    return frame_in(block)[32:]


def test_sealed_payloads():
    blocks = [block for block in BLOCKS if block.words == ["frame", "sealed"]]
    pytest.importorskip("cryptography")
    from ecgframe.seal import Key, Opener, Sealer, StoredKeys

    key = Key(9, "ecg/1", SECRET)

    class Drawn(Sealer):
        def _draw(self):
            return SENDER

    sealer, opener = Drawn(key), Opener(StoredKeys([key]))
    for _ in range(57):
        sealer.seal(b"", version=4, type=1)
    for block, payload in zip(blocks, (plain_record(), ecgframe.pack(ALERT)), strict=True):
        header, sealed = ecgframe.split(frame_in(block))
        how = {"version": header.version, "type": header.type, "flags": header.flags, "form": header.form or 0}
        assert sealer.seal(payload, **how) == sealed
        opened = opener.open(sealed, **how, stream="ecg/1")
        assert (opened.payload, opened.counter) == (payload, 57 if header.version == 4 else 58)
        with pytest.raises(errors.AuthenticationFailed) as caught:
            ecgframe.decode(frame_in(block))
        assert caught.value.check == 8
    assert value_of(next(re.search("It opens to `(.+)`", line)[1] for line in LINES if "It opens to" in line)) == ALERT


def test_the_parts_of_a_sealed_payload():
    block = next(block for block in BLOCKS if block.words == ["frame", "sealed"])
    payload = frame_in(block)[32:]
    fields = {name: (start, size) for start, size, name, _ in rows_of("Sealed payloads", "byte")}
    assert fields == {
        "key id": ("0", "4"),
        "sender": ("4", "8"),
        "counter": ("12", "4"),
        "ciphertext": (str(protocol.SEAL_PREFIX), "n"),
        "tag": ("16 + n", "16"),
    }
    pytest.importorskip("cryptography")
    from ecgframe.seal import primitives

    shown = {name: hexadecimal(cell) for name, cell in rows_of("Example: a sealed record in version 4", "value")}
    okm = primitives.hkdf(SECRET, SENDER, b"ecgframe seal 1\0ecg/1", 44)
    assert (shown["key"], shown["iv"]) == (okm[:32], okm[32:])
    assert shown["nonce"] == (int.from_bytes(okm[32:], "big") ^ 57).to_bytes(12, "big")
    assert shown["AAD"] == bytes((1, 0, 4)) + payload[:16]
    assert primitives.cipher(shown["key"]).encrypt(shown["nonce"], plain_record(), shown["AAD"]) == payload[16:]


def test_the_table_of_checks_of_an_opener():
    shown = {(value, reason) for _, value, reason in rows_of("What an opener checks", "fault")}
    refused = json.loads((VECTORS / "seal.json").read_text(encoding="utf-8"))["refused"]
    assert shown == {(f"`{one['code']}`", one["reason"] or "-") for one in refused}


def test_the_fields_of_sealed_streams():
    fields = {cell.strip("`") for _, cell, _ in rows_of("Sealed streams", "message")}
    assert fields == {"keys", "rotation", "id", "key", "begins", "ends"}


def test_the_table_of_refusals_of_a_viewer_of_a_sealed_stream():
    text = " ".join(words for _, words in rows_of("What a viewer of a sealed stream does", "situation"))
    assert re.findall('`reason` "([a-z]+)"', text) == ["plain", "template", "key"]


def test_signatures():
    rows = rows_of("Signatures", "fault")
    assert {(check, value) for _, check, value, _ in rows} == {("11", "`0x200`"), ("14", "`0x202`")}
    pytest.importorskip("cryptography")
    from ecgframe.signing import AttestationBook, Attester, SigningKey, Verifier, digest

    text = " ".join(LINES)
    key = SigningKey(bytes(range(0x20, 0x40)))
    [block] = [block for block in BLOCKS if block.words == ["frame", "signed"]]
    header, payload = ecgframe.split(frame_in(block))
    assert f"`{key.public.hex()}`" in text
    assert payload[:-72] == ecgframe.pack(ALERT)
    assert key.trailer("ecg/1", header.type, header.form, payload[:-72]) == payload[-72:]
    assert Verifier([key.public]).verify("ecg/1", header.type, header.form, payload).signature == "valid"
    assert f"`{digest('ecg/1', 2, 0, payload[:-72]).hex()}`" in text
    record = Template(1, "ecg/1", "int16", 2, {}).without_filter(plain_record())
    attester, book = Attester(key, "ecg/1", 1000), AttestationBook(Verifier([key.public]), "ecg/1", 1000)
    attester.add(1, 4, record)
    attestation = attester.attest()
    assert f"`{ecgframe.unpack(attestation)['digests'].hex()}`" in text
    assert f"`{ecgframe.unpack(attestation)['signature'].hex()}`" in text
    [attested] = book.attest(attestation, 0.0)
    assert attested.unseen == 1


# --- messages ---

OPEN_TYPES = {"HEARTBEAT", "PING", "PONG"}


def test_the_fields_of_each_message():
    shown = {}
    for message_type, cell, _ in rows_of("What each message holds", "type"):
        shown.setdefault(message_type, {})[cell.strip("()*")] = re.sub("[a-z_]", "", cell)
    assert shown == {one.name: marked_fields(one) for one in MessageType if one.name not in OPEN_TYPES}


def marked_fields(message_type):
    """Each field's marks: bold for required, in parentheses for required in one of the alternatives."""
    payload = messages.PAYLOADS[message_type]
    shapes = get_args(payload) or (payload,)
    always = frozenset.intersection(*(shape.__required_keys__ for shape in shapes))
    sometimes = frozenset.union(*(shape.__required_keys__ for shape in shapes))
    fields = {field for shape in shapes for field in get_type_hints(shape)}
    return {field: "****" if field in always else "(****)" if field in sometimes else "" for field in fields}


@each_row("What each message holds", "type")
def test_the_words_that_a_field_may_be(row):
    message_type, cell, holds = row
    payload = messages.PAYLOADS[MessageType[message_type]]
    hints = {}
    for shape in get_args(payload) or (payload,):
        hints |= get_type_hints(shape)
    hint = hints[cell.strip("()*")]
    if get_origin(hint) is Literal:
        assert re.findall('"([a-z]+)"', holds) == list(get_args(hint))


@pytest.mark.parametrize("message_type", sorted(OPEN_TYPES))
def test_some_fields_may_hold_anything(message_type):
    codec = Codec(validate=True)
    assert codec.decode(codec.encode(MessageType[message_type], [1])).data == [1]


def test_the_table_of_a_validating_receiver():
    sent = {"signal": [0.5], "samplingRate": 250, "stream": None, "ours": None}
    codec = Codec(validate=True)
    message = codec.decode(ecgframe.encode(MessageType.ECG_DATA, sent))
    assert message.data == {"signal": [0.5], "sampling_rate": 250, "ours": None}
    with pytest.raises(errors.MissingRequiredFields):
        codec.encode(MessageType.ECG_DATA, sent)
    with pytest.raises(errors.InvalidDataFormat):
        codec.encode(MessageType.ECG_DATA, {"signal": [0.5], "sampling_rate": 250, "stream": None})


# --- the page itself ---


def test_links_within_the_page_lead_somewhere():
    anchors = {
        re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-") for line in LINES if line[:1] == "#"
    }
    links = set(re.findall(r"\]\(#([^)]+)\)", "\n".join(LINES)))
    assert links <= anchors


def test_every_table_is_tested():
    tested = Path(__file__).read_text(encoding="utf-8")
    for table in TABLES:
        assert f'"{table.heading}", "{table.columns[0]}"' in tested, table.heading
