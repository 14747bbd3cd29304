"""The specification as a slow, plain codec, with which the fast one is compared.

Nothing here comes from ecgframe, not even the numbers, so that the two can disagree. It reads with ``struct``,
``zlib``, ``msgpack`` and NumPy, one rule after another in the order of the specification's tables, and cares for
neither speed nor memory.
"""

import importlib
import math
import re
import struct
import sys
import uuid
import zlib
from datetime import datetime
from typing import NamedTuple

import msgpack
import numpy as np

TYPES = {
    "ECG_DATA": 0x01,
    "ANOMALY_ALERT": 0x02,
    "PREDICTION_RESULT": 0x03,
    "FEATURE_DATA": 0x04,
    "HEARTBEAT": 0x10,
    "PING": 0x11,
    "PONG": 0x12,
    "SUBSCRIBE": 0x20,
    "UNSUBSCRIBE": 0x21,
    "SUBSCRIPTION_ACK": 0x22,
    "VERSION_CHECK": 0xFD,
    "PROTOCOL_NEGOTIATION": 0xFE,
    "ERROR": 0xFF,
}
VERSIONS = (1, 2, 3)
"""Those that sessions speak."""
ALL_VERSIONS = (1, 2, 3, 4)
TYPES_OF_V4 = TYPES | {"STREAM_TEMPLATE": 0x23, "STREAM_ATTESTATION": 0x24}
COMPRESSED, ENCRYPTED, PRIORITY, BROADCAST, ACK_REQUIRED, FRAGMENT, SIGNED = 1, 2, 4, 8, 16, 32, 64
ALGORITHM, RECORD, BULK = 3, 4, 16
HEADER = struct.Struct(">BBBII")
TIMESTAMP = struct.Struct(">Q")
NUMBERING = struct.Struct(">BIQ")
MAX_PAYLOAD = 16 * 1024 * 1024
MAX_DEPTH = 64
MAX_VALUES = 2**20
MAX_NDIM = 32
THRESHOLD = 1024
LEVEL = 6
DTYPE_TEXTS = {
    "bool": "b1 ? bool_",
    "int8": "i1 b byte",
    "int16": "i2 h short",
    "int32": "i4 i intc",
    "int64": "i8 l q p int int_ long longlong intp",
    "uint8": "u1 B ubyte",
    "uint16": "u2 H ushort",
    "uint32": "u4 I uintc",
    "uint64": "u8 L Q P uint ulong ulonglong uintp",
    "float16": "f2 e half",
    "float32": "f4 f single",
    "float64": "f8 d double float",
}
"""Besides the name: the code, letters, names. Codes and letters may have a byte order in front."""
DATE_TEXT = re.compile(
    "[0-9]{4}-[0-9]{2}-[0-9]{2}(T(?!24)[0-2][0-9]:[0-5][0-9](:[0-5][0-9]([.][0-9]{1,9})?)?"
    "(Z|[+-](?!24)[0-2][0-9]:[0-5][0-9](:[0-5][0-9]([.][0-9]{6})?)?)?)?"
)
UUID_TEXT = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

BAD_VERSION = 0x100
BAD_CHECKSUM = 0x101
TOO_LARGE = 0x102
BAD_DEFLATE = 0x103
BAD_TYPE = 0x104
BAD_FORMAT = 0x200
MISSING_FIELDS = 0x201
NO_KEY = 0x202


class Refused(Exception):
    """The receiver turns the bytes down: the specification's error code, and the row of its table of checks."""

    def __init__(self, code, check, why="", path=None):
        super().__init__(f"0x{code:03x} at check {check}: {why}")
        self.code = code
        self.check = check
        self.path = path


class Frame(NamedTuple):
    """A frame's header and what it carries."""

    version: int
    type: int
    flags: int
    timestamp: int | None
    data: object
    form: int | None = None
    stream: int | None = None
    sequence: int | None = None


# --- frames -----------------------------------------------------------------------------------------------------


def header_size(version):
    return {3: 19, 4: 32}.get(version, 11)


def frame(version, type, flags, payload, timestamp=0, *, length=None, checksum=None, form=0, stream=0, sequence=0):
    """Any header in front of any payload; what is not given is true."""
    length = len(payload) if length is None else length
    checksum = zlib.crc32(payload) if checksum is None else checksum
    head = HEADER.pack(version, type, flags, length, checksum)
    head += TIMESTAMP.pack(timestamp) if version in (3, 4) else b""
    head += NUMBERING.pack(form, stream, sequence) if version == 4 else b""
    return head + bytes(payload)


def encode_frame(
    type,
    data,
    version=3,
    flags=0,
    timestamp=0,
    *,
    compression=True,
    ndarray="list",
    threshold=THRESHOLD,
    level=LEVEL,
    **numbering,
):
    """Return a frame as a sender may encode it. Other compressed bytes may be equally valid."""
    payload = pack(data, ndarray, origin=header_size(version))
    if compression and version >= 2 and len(payload) > threshold:
        deflated = zlib.compress(payload, level)
        if len(deflated) < len(payload):
            payload = deflated
            flags |= COMPRESSED
    return frame(version, type, flags, payload, timestamp, **numbering)


def decode_frame(buffer, max_payload=MAX_PAYLOAD, versions=ALL_VERSIONS):
    """The one frame that ``buffer`` holds."""
    buffer = bytes(buffer)
    one, size = first_frame(buffer, max_payload, alone=True, versions=versions)
    assert size == len(buffer)
    return one


def decode_frames(buffer, max_payload=MAX_PAYLOAD, versions=ALL_VERSIONS):
    """The frames that lie end to end in ``buffer``, one by one."""
    buffer = bytes(buffer)
    while buffer:
        one, size = first_frame(buffer, max_payload, alone=False, versions=versions)
        yield one
        buffer = buffer[size:]


def first_frame(buffer, max_payload, *, alone, versions=ALL_VERSIONS):
    version, type, flags, timestamp, travelled, size = split(buffer, max_payload, alone=alone, versions=versions)
    form, stream, sequence = numbering_of(buffer)
    if version == 4 and flags & FRAGMENT:
        raise Refused(BAD_FORMAT, 13, "a fragment")
    if flags & ENCRYPTED:
        raise Refused(NO_KEY, 8, "no key")
    if version == 4 and flags & SIGNED:
        raise Refused(NO_KEY, 14, "signed")
    algorithm = form & ALGORITHM if version == 4 else 0
    payload = (
        (inflate, inflate_zstd, inflate_lz4)[algorithm](travelled, max_payload) if flags & COMPRESSED else travelled
    )
    if version == 4 and form & RECORD:
        raise Refused(BAD_FORMAT, 11, "a record of an unknown template")
    if version == 4 and type == TYPES_OF_V4["STREAM_TEMPLATE"]:
        read_template(payload)
    data = unpack(payload)
    if version == 4 and type == TYPES_OF_V4["STREAM_ATTESTATION"]:
        check_attestation(data)
    return Frame(version, type, flags, timestamp, data, form, stream, sequence), size


def numbering_of(buffer):
    """Form, stream and sequence, which only version 4 has."""
    return NUMBERING.unpack_from(buffer, 19) if buffer[0] == 4 else (None, None, None)


def split(buffer, max_payload=MAX_PAYLOAD, *, alone=True, versions=ALL_VERSIONS):
    """Checks 1 to 7: the header's fields, the payload as it travels, and how many bytes that takes."""
    first = buffer[0] if buffer else 0
    if len(buffer) < (11 if first == 4 and 4 not in versions else header_size(first)):
        raise Refused(BAD_FORMAT, 1, "shorter than a header")
    version, type, flags, length, checksum = HEADER.unpack_from(buffer)
    if version not in versions:
        raise Refused(BAD_VERSION, 2, f"version {version}")
    if type not in (TYPES_OF_V4 if version == 4 else TYPES).values():
        raise Refused(BAD_TYPE, 3, f"type {type:#x}")
    if length > max_payload:
        raise Refused(TOO_LARGE, 4, f"length {length}")
    start = header_size(version)
    end = start + length
    if len(buffer) < end or (alone and len(buffer) > end):
        raise Refused(BAD_FORMAT, 5, f"{len(buffer) - start} bytes for a length of {length}")
    if (flags & COMPRESSED and version < 2) or (flags & ENCRYPTED and version < 3):
        raise Refused(BAD_FORMAT, 6, f"flags {flags:#x} in version {version}")
    if version == 4 and not is_numbering(type, flags, *numbering_of(buffer)):
        raise Refused(BAD_FORMAT, 6, "form, stream and sequence")
    payload = buffer[start:end]
    if zlib.crc32(payload) != checksum:
        raise Refused(BAD_CHECKSUM, 7, "checksum")
    timestamp = TIMESTAMP.unpack_from(buffer, HEADER.size)[0] if version in (3, 4) else None
    return version, type, flags, timestamp, payload, end


def is_numbering(type, flags, form, stream, sequence):
    """Return True if form, stream and sequence of a version 4 header pass check 6."""
    kind = next(name for name, number in TYPES_OF_V4.items() if number == type)
    may_be_of_a_stream = type < 0x10 or kind.startswith("STREAM_")
    in_line = stream > 0 and not flags & PRIORITY
    return (
        form & ~(ALGORITHM | RECORD | BULK) == 0
        and form & ALGORITHM in (0, 1, 2)
        and (form & ALGORITHM == 0 or flags & COMPRESSED != 0)
        and (not form & RECORD or (kind == "ECG_DATA" and in_line))
        and (not form & BULK or (may_be_of_a_stream and kind != "ANOMALY_ALERT" and in_line))
        and (stream == 0 or may_be_of_a_stream)
        and sequence < 2**53
        and ((sequence > 0) == (stream > 0) or (kind == "STREAM_TEMPLATE" and sequence == 0))
    )


def read_template(payload, may_open=True):
    """The fields of a STREAM_TEMPLATE, without the nils that count as left out: check 12, one rule after another."""
    if len(payload) > 4096:
        raise Refused(TOO_LARGE, 12, "a template of more than 4,096 bytes")
    fields = drop_nils(unpack(payload), {"dtype", "rows", "fields", "missing", "scale", "epoch"})
    if survey(payload, 0, 0)[1] > 256:
        raise Refused(TOO_LARGE, 12, "more than 256 values")
    if may_open and is_int(fields.get("template"), 0, 0):
        check_opening(fields)
    else:
        check_template(fields)
    return fields


def check_opening(fields):
    need(fields, ("template", "stream", "epoch"))
    hold(is_name(fields["stream"]), "stream")
    hold(is_int(fields["epoch"], 1, 2**53 - 1), "epoch")
    for name in ("dtype", "rows", "fields", "missing", "scale"):
        hold(name not in fields, name)


def check_template(told):
    need(told, ("template", "stream", "dtype", "rows", "fields"))
    dtypes = ("int8", "uint8", "int16", "uint16", "int32", "float32", "float64")
    hold(is_int(told["template"], 1, 65535), "template")
    hold(is_name(told["stream"]), "stream")
    hold(isinstance(told["dtype"], str) and told["dtype"] in dtypes, "dtype")
    hold(is_int(told["rows"], 0, 4096), "rows")
    fields = told["fields"]
    hold(isinstance(fields, dict) and all(isinstance(key, str) for key in fields), "fields")
    for name in ("signal", "stream", "timestamp", "sequence"):
        hold(name not in fields, "fields", name)
    is_float = told["dtype"].startswith("float")
    if "missing" in told:
        limits = None if is_float else np.iinfo(told["dtype"])
        hold(not is_float and is_int(told["missing"], limits.min, limits.max), "missing")
    if "scale" in told:
        scale = told["scale"]
        hold(not is_float and isinstance(scale, dict) and scale.keys() == {"mul", "div"}, "scale")
        for name in ("mul", "div"):
            hold(type(scale[name]) in (int, float) and 1e-100 <= scale[name] <= 1e100, "scale", name)
    hold("epoch" not in told, "epoch")
    if "missing" in told:
        for name in ("gain", "baseline"):
            if name in fields:
                check_one_a_lead(fields[name], told["rows"] or 1, name)


def check_one_a_lead(value, leads, name):
    """A number; or a list, or an array of one dimension, of one for each lead."""
    is_array = isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "iuf"
    numbers = value.tolist() if is_array else value
    hold(not isinstance(numbers, list) or len(numbers) == leads, "fields", name)
    for at, number in enumerate(numbers if isinstance(numbers, list) else [numbers]):
        is_right = type(number) in (int, float) and math.isfinite(number) and (name == "baseline" or number != 0)
        hold(is_right, "fields", name, *([at] if isinstance(value, list) else []))


def need(fields, names):
    if any(name not in fields for name in names):
        raise Refused(MISSING_FIELDS, 12, "a field lacks", "data")


def hold(is_right, *where):
    """A field is what it has to be; ``where`` it stands if not."""
    if not is_right:
        path = "data" + "".join(f'["{step}"]' if isinstance(step, str) else f"[{step}]" for step in where)
        raise Refused(BAD_FORMAT, 12, path, path)


def check_attestation(data):
    """Check 12 of STREAM_ATTESTATION."""
    sizes = {"key": 8, "previous": 32, "signature": 64}
    rules = {
        "stream": lambda value: isinstance(value, str),
        "epoch": lambda value: is_int(value, 1, 2**53 - 1),
        "number": lambda value: is_int(value, 1, 2**53 - 1),
        "last": lambda value: isinstance(value, bool),
        "digests": lambda value: isinstance(value, bytes) and len(value) % 32 == 0 and len(value) <= 4096 * 32,
        **{
            name: lambda value, size=size: isinstance(value, bytes) and len(value) == size
            for name, size in sizes.items()
        },
    }
    fields = drop_nils(data, ())
    if not rules.keys() <= fields.keys():
        raise Refused(MISSING_FIELDS, 12, "a field lacks", "data")
    check_fields(fields, rules)


def drop_nils(data, optional):
    if not isinstance(data, dict):
        raise Refused(BAD_FORMAT, 12, "no map", "data")
    return {name: value for name, value in data.items() if not (value is None and name in optional)}


def check_fields(fields, rules):
    for name, accepts in rules.items():
        if name in fields and not accepts(fields[name]):
            raise Refused(BAD_FORMAT, 12, f"{name} is {fields[name]!r}", f'data["{name}"]')


def is_int(value, least, largest):
    return type(value) is int and least <= value <= largest


def is_name(value):
    return isinstance(value, str) and 1 <= len(value) <= 256


def inflate(deflated, max_payload=MAX_PAYLOAD):
    """Exactly one whole zlib stream, read until it ends, breaks or passes the limit: whichever comes first."""
    stream = zlib.decompressobj()
    try:
        inflated = stream.decompress(deflated, max_payload + 1)
    except zlib.error as error:
        raise Refused(BAD_DEFLATE, 9, str(error)) from error
    if len(inflated) > max_payload:
        raise Refused(TOO_LARGE, 10, "inflates past the limit")
    if not stream.eof or stream.unused_data:
        raise Refused(BAD_DEFLATE, 9, "not exactly one stream")
    return inflated


def inflate_lz4(travelled, max_payload=MAX_PAYLOAD):
    """The size, and a block that holds exactly so many bytes."""
    size = int.from_bytes(travelled[:4], "big")
    if len(travelled) >= 5 and size > max_payload:
        raise Refused(TOO_LARGE, 10, "names more than the limit")
    if len(travelled) < 5 or not 0 < size <= 255 * (len(travelled) - 4):
        raise Refused(BAD_DEFLATE, 9, "a block cannot hold that")
    try:
        content = read_lz4_block(travelled[4:])
    except IndexError as error:
        raise Refused(BAD_DEFLATE, 9, "the block is damaged") from error
    if len(content) != size:
        raise Refused(BAD_DEFLATE, 9, "another size than it names")
    return bytes(content)


def read_lz4_block(block):
    """The content of a block, byte by byte; an IndexError where it is damaged."""
    content, octets = bytearray(), iter(block)

    def take():
        for octet in octets:
            return octet
        raise IndexError("the block is cut short")

    def number(begin):
        last = 255 if begin == 15 else 0
        while last == 255:
            last = take()
            begin += last
        return begin

    left = len(block)
    while left:
        token = take()
        count = number(token >> 4)
        content += bytes(take() for _ in range(min(count, len(block) + 1)))
        left = octets.__length_hint__()
        if not left:
            return content
        offset = take() + 256 * take()
        length = number(token & 15) + 4
        if not 0 < offset <= len(content):
            raise IndexError("a match begins before the content")
        for _ in range(length):
            content.append(content[-offset])
        left = 1
    raise IndexError("there is no sequence")


def inflate_zstd(travelled, max_payload=MAX_PAYLOAD):
    """Exactly one frame that names its content size, without dictionary and checksum, by the library."""
    if len(travelled) < 6 or travelled[:4] != b"\x28\xb5\x2f\xfd" or travelled[4] & 0x0F:
        raise Refused(BAD_DEFLATE, 9, "no zstd frame, or one with a dictionary or a checksum")
    is_single, code = travelled[4] >> 5 & 1, travelled[4] >> 6
    nbytes = {0: is_single, 1: 2, 2: 4, 3: 8}[code]
    field = travelled[6 - is_single :][:nbytes]
    size = int.from_bytes(field, "little") + 256 * (code == 1)
    if nbytes and len(field) == nbytes and size > max_payload:
        raise Refused(TOO_LARGE, 10, "names more than the limit")
    exponent, mantissa = divmod(travelled[5], 8)
    window = size if is_single else (8 + mantissa) << (7 + exponent)
    if len(field) < max(nbytes, 1) or not 0 < size <= 32768 * len(travelled) or window > 8 << 20:
        raise Refused(BAD_DEFLATE, 9, "no content size, one that it cannot have, or too large a window")
    zstd = importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
    reader = zstd.ZstdDecompressor()
    try:
        content = reader.decompress(travelled, size + 1)
    except zstd.ZstdError as error:
        raise Refused(BAD_DEFLATE, 9, str(error)) from error
    if not reader.eof or reader.unused_data:
        raise Refused(BAD_DEFLATE, 9, "not exactly one frame")
    return content


# --- reading a payload ------------------------------------------------------------------------------------------


def unpack(payload):
    """One MessagePack value with the specification's wrappers; an empty payload reads as None."""
    payload = bytes(payload)
    if not payload:
        return None
    end, values = survey(payload, 0, 0)
    if end != len(payload):
        raise Refused(BAD_FORMAT, 11, "bytes after the value")
    if values > MAX_VALUES:
        raise Refused(TOO_LARGE, 11, f"{values} values")
    limit = len(payload)
    try:
        return msgpack.unpackb(
            payload,
            raw=False,
            strict_map_key=False,
            object_pairs_hook=revive,
            max_str_len=limit,
            max_bin_len=limit,
            max_array_len=limit,
            max_map_len=limit,
            max_ext_len=limit,
        )
    except UnicodeDecodeError as error:
        raise Refused(BAD_FORMAT, 11, "not UTF-8") from error


TAGS = {
    **dict.fromkeys((*range(128), *range(224, 256)), ("int", 0)),
    **{0x80 | size: ("map", size) for size in range(16)},
    **{0x90 | size: ("array", size) for size in range(16)},
    **{0xA0 | size: ("str", size) for size in range(32)},
    0xC0: ("nil", 0),
    0xC2: ("bool", 0),
    0xC3: ("bool", 0),
    0xCA: ("float", 4),
    0xCB: ("float", 8),
    **{0xCC + n: ("int", 1 << n % 4) for n in range(8)},
}
"""Meaning of a first byte: the kind of value, and the number of bytes or entries that follow."""

SIZED_TAGS = {
    **{0xC4 + n: ("bin", 1 << n) for n in range(3)},
    **{0xD9 + n: ("str", 1 << n) for n in range(3)},
    **{0xDC + n: ("array", 2 << n) for n in range(2)},
    **{0xDE + n: ("map", 2 << n) for n in range(2)},
}
"""The kind of value, and how many bytes tell its size. 0xc1 and the extension types stand in neither table."""


def head(payload, at):
    """The MessagePack header at ``at``: kind of value, bytes or entries that follow, and where they begin."""
    if at >= len(payload):
        raise Refused(BAD_FORMAT, 11, "cut short")
    tag = payload[at]
    if tag in TAGS:
        return *TAGS[tag], at + 1
    if tag not in SIZED_TAGS:
        raise Refused(BAD_FORMAT, 11, f"no value of ours begins with {tag:#x}")
    kind, width = SIZED_TAGS[tag]
    start = at + 1 + width
    if start > len(payload):
        raise Refused(BAD_FORMAT, 11, "cut short")
    return kind, int.from_bytes(payload[at + 1 : start], "big"), start


def survey(payload, at, depth):
    """Walk over one value: where it ends, and what it counts.

    A text, an array, a map and a key of one count 1, a bin 4, an ndarray 8 whatever is inside.
    A payload that counts too much and has another fault as well may be refused for either.
    """
    kind, size, at = head(payload, at)
    if kind not in ("array", "map"):
        if at + size > len(payload):
            raise Refused(BAD_FORMAT, 11, "cut short")
        return at + size, {"str": 1, "bin": 4}.get(kind, 0)
    depth += 1
    if depth > MAX_DEPTH:
        raise Refused(BAD_FORMAT, 11, "too deep")
    if size > len(payload) - at:
        raise Refused(BAD_FORMAT, 11, "more entries than bytes")
    if kind == "array":
        count = 1
        for _ in range(size):
            at, inside = survey(payload, at, depth)
            count += inside
        return at, count
    values = {}
    for _ in range(size):
        if head(payload, at)[0] not in ("str", "int"):
            raise Refused(BAD_FORMAT, 11, "a key that is neither str nor int")
        start = at
        at, _ = survey(payload, at, depth)
        key = msgpack_scalar(payload[start:at])
        at, values[key] = survey(payload, at, depth)
    if values.keys() == {"__ndarray__", "dtype", "shape"}:
        return at, 8
    return at, 1 + size + sum(values.values())


def msgpack_scalar(raw):
    try:
        return msgpack.unpackb(raw, raw=False)
    except UnicodeDecodeError as error:
        raise Refused(BAD_FORMAT, 11, "not UTF-8") from error


def revive(pairs):
    """A map as it was read, innermost first: a dict, or what a wrapper holds."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Refused(BAD_FORMAT, 11, "a key occurs twice")
    keys = found.keys()
    if keys == {"__datetime__"}:
        return read_text(found["__datetime__"], DATE_TEXT, datetime.fromisoformat)
    if keys == {"__uuid__"}:
        return read_text(found["__uuid__"], UUID_TEXT, uuid.UUID)
    if "__ndarray__" in keys and keys <= {"__ndarray__", "dtype", "shape"}:
        if len(keys) < 3:
            raise Refused(BAD_FORMAT, 11, "an ndarray wrapper lacks a key")
        return read_ndarray(found["__ndarray__"], read_dtype(found["dtype"]), found["shape"])
    return found


def read_text(text, pattern, parse):
    if not isinstance(text, str) or not pattern.fullmatch(text):
        raise Refused(BAD_FORMAT, 11, "not the text that the wrapper is to hold")
    try:
        return parse(text)
    except ValueError as error:
        raise Refused(BAD_FORMAT, 11, str(error)) from error


def read_dtype(text):
    if isinstance(text, str):
        order, letters = (text[0], text[1:]) if text[:1] in ("<", ">", "=", "|") else ("", text)
        for name, others in DTYPE_TEXTS.items():
            code = others.split()[0]
            if letters == code or (len(letters) == 1 and letters in others.split()):
                return np.dtype(f">{code}" if order == ">" else name)
            if not order and letters in (name, *others.split()):
                return np.dtype(name)
    raise Refused(BAD_FORMAT, 11, f"dtype {text}")


def read_ndarray(data, dtype, shape):
    check_shape(shape, dtype)
    count = math.prod(shape)
    if isinstance(data, bytes):
        if len(data) != count * dtype.itemsize:
            raise Refused(BAD_FORMAT, 11, "bytes and shape disagree")
        if dtype.kind == "b" and not set(data) <= {0, 1}:
            raise Refused(BAD_FORMAT, 11, "a byte that is no bool")
        return np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype).reshape(shape)
    elements = [data] if not shape and not isinstance(data, list) else flatten(data, shape)
    if len(elements) != count:
        raise Refused(BAD_FORMAT, 11, "elements and shape disagree")
    array = np.empty(count, dtype)
    for i, element in enumerate(elements):
        array[i] = read_element(element, dtype)
    return array.reshape(shape)


def check_shape(shape, dtype):
    if not isinstance(shape, list) or len(shape) > MAX_NDIM:
        raise Refused(BAD_FORMAT, 11, "no shape")
    for size in shape:
        if type(size) is not int or not 0 <= size < 2**32:
            raise Refused(BAD_FORMAT, 11, f"dimension {size!r}")
    if math.prod(size for size in shape if size) * dtype.itemsize >= 2**63:
        raise Refused(BAD_FORMAT, 11, "a shape that no memory holds")


def flatten(data, shape):
    """The elements in C order of a list that is flat, or nested exactly as ``shape`` says."""
    if not isinstance(data, list):
        raise Refused(BAD_FORMAT, 11, "neither list nor bytes")
    if not any(isinstance(item, list) for item in data):
        return data
    return unnest(data, shape)


def unnest(data, shape):
    if not shape and not isinstance(data, list):
        return [data]
    if not shape or not isinstance(data, list) or len(data) != shape[0]:
        raise Refused(BAD_FORMAT, 11, "nested otherwise than the shape says")
    return [element for item in data for element in unnest(item, shape[1:])]


def read_element(element, dtype):
    """Convert an element of the list form to an element of an array of ``dtype``."""
    if dtype.kind == "b":
        if type(element) in (bool, int) and element in (0, 1):
            return bool(element)
        raise Refused(BAD_FORMAT, 11, f"{element!r} is no bool")
    if type(element) not in (int, float):
        raise Refused(BAD_FORMAT, 11, f"{element!r} is no number")
    if dtype.kind == "f":
        exact = np.asarray(element)
        with np.errstate(all="ignore"):
            rounded = exact.astype(dtype)
        if np.isinf(rounded) and not np.isinf(exact):
            raise Refused(BAD_FORMAT, 11, f"{element!r} would become infinite")
        return rounded
    limits = np.iinfo(dtype)
    if isinstance(element, float) and not element.is_integer():
        raise Refused(BAD_FORMAT, 11, f"{element!r} is no integer")
    if not limits.min <= element <= limits.max:
        raise Refused(BAD_FORMAT, 11, f"{element!r} is out of range")
    return int(element)


def lists_to_arrays(value):
    """The option numeric_lists="ndarray": what it makes of a value that was read."""
    if type(value) is dict:
        return {key: lists_to_arrays(item) for key, item in value.items()}
    if type(value) is not list:
        return value
    rows = [row for row in value if type(row) is list]
    if value and not rows:
        dtype = common_dtype(value)
    elif value and len(rows) == len(value) and rows[0] and all(len(row) == len(rows[0]) for row in rows):
        dtype = common_dtype([number for row in rows for number in row])
    else:
        dtype = None
    return np.array(value, dtype) if dtype else [lists_to_arrays(item) for item in value]


def common_dtype(numbers):
    if not all(type(number) in (int, float) for number in numbers):
        return None
    ints = [number for number in numbers if type(number) is int]
    if len(ints) < len(numbers):
        return "float64" if all(abs(number) <= 2**53 for number in ints) else None
    if max(ints) < 2**63:
        return "int64"
    return "uint64" if min(ints) >= 0 else None


# --- writing a payload ------------------------------------------------------------------------------------------

SCALARS = msgpack.Packer(use_bin_type=True, use_single_float=False)
NARROW_FLOAT = struct.Struct(">B4s")


def pack(value, ndarray="list", origin=0):
    """The payload that says ``value``.

    The binary form is aligned from the frame's first byte, so it hangs on ``origin``, where the payload begins.
    """
    out = bytearray()
    write(out, value, ndarray, origin)
    return bytes(out)


def write(out, value, form, origin):
    if isinstance(value, np.ndarray):
        write_ndarray(out, value, form, origin)
    elif isinstance(value, np.generic):
        write(out, value.item(), form, origin)
    elif isinstance(value, datetime):
        write(out, {"__datetime__": value.isoformat()}, form, origin)
    elif isinstance(value, uuid.UUID):
        write(out, {"__uuid__": str(value)}, form, origin)
    elif isinstance(value, dict):
        out += SCALARS.pack_map_header(len(value))
        for key, item in value.items():
            write(out, key, form, origin)
            write(out, item, form, origin)
    elif isinstance(value, list | tuple):
        out += SCALARS.pack_array_header(len(value))
        for item in value:
            write(out, item, form, origin)
    else:
        out += SCALARS.pack(value)


def write_ndarray(out, array, form, origin):
    assert array.dtype.kind in "biuf"
    assert array.dtype.itemsize <= 8
    if form == "binary":
        write_binary(out, array, origin)
        return
    out += SCALARS.pack_map_header(3)
    write(out, "__ndarray__", form, origin)
    write_elements(out, array)
    write(out, "dtype", form, origin)
    write(out, str(array.dtype), form, origin)
    write(out, "shape", form, origin)
    write(out, array.shape, form, origin)


def write_elements(out, array):
    if array.ndim:
        out += SCALARS.pack_array_header(len(array))
        for item in array:
            write_elements(out, np.asarray(item, array.dtype))
    elif array.dtype.kind == "f" and array.dtype.itemsize < 8:
        out += NARROW_FLOAT.pack(0xCA, array.astype(">f4").tobytes())
    else:
        out += SCALARS.pack(array.item())


def write_binary(out, array, origin):
    """The binary form: three headers stand ready to be wider than they need to be, by 1, 2 and 4 bytes."""
    data = array.astype(array.dtype.newbyteorder("<")).tobytes()
    dtype = SCALARS.pack(str(array.dtype))
    data_header = SCALARS.pack(data)[: -len(data) or None]
    unpadded = origin + len(out) + len(b"\x83" + b"\xa5dtype" + dtype + b"\xab__ndarray__" + data_header)
    padding = -unpadded % 8
    out += b"\xdf\0\0\0\x03" if padding & 4 else b"\x83"
    out += b"\xd9\x05dtype" if padding & 1 else b"\xa5dtype"
    out += dtype
    out += b"\xda\0\x0b__ndarray__" if padding & 2 else b"\xab__ndarray__"
    out += data_header
    assert (origin + len(out)) % 8 == 0
    out += data
    write(out, "shape", "binary", origin)
    write(out, array.shape, "binary", origin)


# --- comparing --------------------------------------------------------------------------------------------------


def same(a, b, *, nan_bits=True):  # noqa: PLR0911 - one for each type
    """Equal in type, value and order of keys; arrays in dtype, byte order and shape; floats to the last bit.

    Without ``nan_bits`` all NaNs are alike.
    """
    if isinstance(a, np.ndarray):
        return (
            isinstance(b, np.ndarray)
            and str(a.dtype) == str(b.dtype)
            and a.shape == b.shape
            and (a.tobytes() == b.tobytes() or (not nan_bits and same_but_for_nan_bits(a, b)))
        )
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key], nan_bits=nan_bits) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(same(x, y, nan_bits=nan_bits) for x, y in zip(a, b, strict=True))
    if isinstance(a, float):
        return struct.pack(">d", a) == struct.pack(">d", b) or (not nan_bits and math.isnan(a) and math.isnan(b))
    if isinstance(a, datetime):
        return a == b and a.isoformat() == b.isoformat()
    return a == b


def same_but_for_nan_bits(a, b):
    unlike = a.view(np.dtype((np.void, a.itemsize))) != b.view(np.dtype((np.void, b.itemsize)))
    return bool(np.all(np.isnan(a[unlike]) & np.isnan(b[unlike])))
