"""Write vectors/frames.json, vectors/refused.json and vectors/v4.json, from the oracle.

The vectors were written once and do not change, since other implementations are tested with them. ``--force`` is for
additions to the format; it must not change the vectors that exist.
"""

import argparse
import itertools
import json
import struct
import sys
import zlib
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import numpy as np
import oracle
from oracle import TYPES, frame, pack
from rendering import VECTORS, from_json, to_json

NOW = 1_705_314_645_123_456
AWARE = datetime(2024, 1, 15, 10, 30, 45, 123456, UTC)
NAIVE = datetime(2024, 1, 15, 10, 30, 45, 123456)
NAME = UUID("550e8400-e29b-41d4-a716-446655440000")
SIGNAL = np.array([[0.0, 0.125, -0.25, 1.5], [0.5, -0.0, 0.0625, -1.0]])

MESSAGES = {
    "ECG_DATA": {"signal": SIGNAL, "sampling_rate": 250, "timestamp": AWARE, "leads": ["I", "II"], "units": "mV"},
    "ANOMALY_ALERT": {"kind": "bradycardia", "timestamp": 1705314645.25, "severity": "warning", "confidence": 0.875},
    "PREDICTION_RESULT": {"label": "sinus rhythm", "probabilities": {"sinus rhythm": 0.9375, "other": 0.0625}},
    "FEATURE_DATA": {"features": {"heart_rate": 61, "rr": np.array([980, 992, 1004], np.uint16)}, "timestamp": AWARE},
    "HEARTBEAT": {},
    "PING": {"n": 1},
    "PONG": {"ack": NOW, "type": 1},
    "SUBSCRIBE": {"stream": "ward/7"},
    "UNSUBSCRIBE": {"stream": "ward/7"},
    "SUBSCRIPTION_ACK": {"stream": "ward/7", "status": "denied", "code": 0x203},
    "VERSION_CHECK": {"version": 2, "compatible": True, "versions": [1, 2, 3]},
    "PROTOCOL_NEGOTIATION": {
        "versions": [1, 2, 3],
        "preferred": 3,
        "capabilities": ["compression", "timestamps", "ndarray-bin", "batch"],
        "max_payload": 16777216,
        "heartbeat_interval": 30,
    },
    "ERROR": {"code": 0x101, "message": "checksum mismatch", "details": {"expected": 0xCBF43926, "found": 0}},
}

PING = TYPES["PING"]
NAN_PAYLOAD = struct.unpack(">d", bytes.fromhex("7ff800000000002a"))[0]


# --- frames that are accepted -----------------------------------------------------------------------------------


def vector(name, about, data, canonical=None, max_payload=None):
    """Return a vector: the oracle's reading of ``data``, and how a sender can write the same bytes."""
    limit = {} if max_payload is None else {"max_payload": max_payload}
    messages = []
    for one in oracle.decode_frames(data, max_payload or oracle.MAX_PAYLOAD):
        rendered = to_json(one.data)
        assert oracle.same(one.data, from_json(rendered)), name
        timestamp = None if one.timestamp is None else str(one.timestamp)
        messages.append(
            {
                "version": one.version,
                "type": one.type,
                "flags": one.flags,
                "timestamp": timestamp,
                **numbering_of(one),
                "data": rendered,
            }
        )
    return {"name": name, "about": about, "frames": data.hex(), **limit, "canonical": canonical, "messages": messages}


def numbering_of(one):
    """Return the properties that only a message of version 4 has."""
    return {"form": one.form, "stream": one.stream, "sequence": one.sequence} if one.version == 4 else {}


def sent(name, about, data, *, type=PING, version=3, flags=0, timestamp=NOW, ndarray="list", **numbering):
    """Return the vector of a frame as this package sends it, uncompressed: encoding the value gives the same bytes."""
    made = oracle.encode_frame(type, data, version, flags, timestamp, compression=False, ndarray=ndarray, **numbering)
    return vector(name, about, made, {"ndarray": ndarray})


def foreign(name, about, payload, *, version=3, flags=0, timestamp=NOW, **more):
    """Return the vector of a frame as other senders may send it: decoding accepts it."""
    return vector(name, about, frame(version, PING, flags, payload, timestamp), **more)


def types_versions_flags():
    for name, data in MESSAGES.items():
        for version in (1, 2, 3):
            for flags, word in (
                (0, ""),
                (4, " priority"),
                (8, " broadcast"),
                (16, " ack required"),
                (28, " all three flags"),
            ):
                if version == 3 or not flags:
                    yield sent(
                        f"{name} v{version}{word}",
                        f"{name} in version {version}",
                        data,
                        type=TYPES[name],
                        version=version,
                        flags=flags,
                    )
    for version in (1, 2, 3):
        for flags in (0x20, 0x40, 0x80, 0xE0, 0x1C if version < 3 else 0xFC):
            about = "bits that the version does not define are ignored and kept"
            yield foreign(f"flags {flags:#04x} v{version}", about, pack({}), version=version, flags=flags)
    for timestamp in (0, 1, 2**53 + 1, 2**63, 2**64 - 1):
        yield sent(f"timestamp {timestamp}", "the timestamp is an unsigned 64-bit integer", {}, timestamp=timestamp)


def values():
    yield sent("nil", "None is MessagePack nil when sent", None)
    for version in (1, 2, 3):
        yield foreign(
            f"empty payload v{version}", "no payload at all reads as None, its checksum is 0", b"", version=version
        )
    yield sent("booleans", "", [True, False])
    for bits in (5, 7, 8, 15, 16, 31, 32, 53, 63, 64):
        near = [sign * 2**bits + step for sign in (-1, 1) for step in (-1, 0, 1)]
        yield sent(f"integers near 2^{bits}", "the shortest form of each", [n for n in near if -(2**63) <= n < 2**64])
    yield sent(
        "integer keys",
        "keys may be integers, also next to their texts",
        {0: "zero", "0": "text", -1: "minus", 2**64 - 1: "large", -(2**63): "small"},
    )
    yield sent(
        "floats",
        "float 64, always",
        [0.0, -0.0, 0.1, 1.0, -1.5, 5e-324, 1.7976931348623157e308, float("inf"), float("-inf")],
    )
    yield sent("nan", "a NaN keeps its bits", [float("nan"), NAN_PAYLOAD])
    yield sent(
        "text", "UTF-8, also beyond the basic plane, also with a NUL", ["", "é", "心電図", "🫀", "a\0b", "\ufeff"]
    )
    for size in (31, 32, 255, 256):
        yield sent(f"text of {size} bytes", "", "x" * size)
        yield sent(f"{size} bytes", "", bytes(range(256))[:size])
    for size in (15, 16):
        yield sent(f"list of {size}", "", [None] * size)
        yield sent(f"map of {size}", "", {f"k{n}": n for n in range(size)})
    yield sent("list of 1024", "", [7] * 1024)
    yield sent("empty containers", "", [[], {}, "", b""])
    deep = []
    for _ in range(63):
        deep = [deep]
    yield sent("64 deep", "the deepest that is allowed", deep)
    deep = {}
    for _ in range(63):
        deep = {"a": deep}
    yield sent("64 deep in maps", "the deepest that is allowed", deep)
    yield sent("keys keep their order", "", {"z": 1, "a": 2, "m": 3})


def datetimes_and_uuids():
    yield sent("datetime naive", "the specification's example", NAIVE)
    yield sent("datetime aware", "", AWARE)
    yield sent("datetime with an offset", "", AWARE.astimezone(timezone(timedelta(hours=5, minutes=30))))
    yield sent("datetime without a fraction", "", NAIVE.replace(microsecond=0))
    for text in (
        "2024-01-15T10:30:45Z",
        "2024-01-15T10:30:45.123Z",
        "2024-01-15",
        "2024-01-15T10:30",
        "2024-01-15T10:30:45.1",
        "2024-01-15T10:30:45.123456789-00:00",
        "2024-01-15T10:30+05:53:28",
        "2024-01-15T10:30:45+05:53:28.000001",
        "0001-01-01T00:00:00+23:59",
        "2024-02-29T23:59:59Z",
    ):
        yield foreign(f"datetime {text}", "ISO 8601 as other senders write it", pack({"__datetime__": text}))
    yield sent("uuid", "the specification's example", NAME)
    for text in ("550E8400-E29B-41D4-A716-446655440000", "550e8400-E29B-41d4-a716-44665544000F"):
        yield foreign(f"uuid {text}", "digits of either case", pack({"__uuid__": text}))
    about = "a map with more keys than the wrapper's is a plain map"
    yield sent("datetime and another key", about, {"__datetime__": "2024-01-15T10:30:45", "zone": "CET"})
    yield sent("uuid and another key", about, {"__uuid__": 5, "__datetime__": 6})
    yield sent("ndarray and another key", about, {"__ndarray__": [1], "dtype": "int8", "shape": [1], "units": "mV"})
    yield sent("dtype and shape alone", "without __ndarray__ it is a plain map", {"dtype": "float64", "shape": [3]})


def samples(dtype):
    if dtype.kind == "b":
        return np.array([True, False, True, True, False, True])
    if dtype.kind == "f":
        return np.array([0.0, -0.0, 0.1, np.inf, -np.inf, 1.5]).astype(dtype)
    limits = np.iinfo(dtype)
    return np.array([0, 1, 7, limits.max, limits.min, limits.max - 1], dtype)


def ndarrays():
    for code in ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"):
        for order in ("<", ">") if code[-1] not in "?1" else ("<",):
            dtype = np.dtype(order + code)
            for form in ("list", "binary"):
                yield sent(f"ndarray {dtype} {form}", f"the edges of {dtype}", samples(dtype), ndarray=form)
                yield sent(f"ndarray {dtype} 2-D {form}", "", samples(dtype).reshape(2, 3), ndarray=form)
    for form in ("list", "binary"):
        yield sent(
            f"ndarray 0-d {form}", "the list form of no dimension is the bare number", np.array(2.5), ndarray=form
        )
        yield sent(f"ndarray 0-d bool {form}", "", np.array(True), ndarray=form)
        for shape in ((0,), (0, 3), (3, 0), (2, 0, 3), (1,), (1, 1, 1), (2, 1, 3), (1,) * 32):
            array = np.arange(np.prod(shape), dtype="int16").reshape(shape)
            yield sent(f"ndarray {list(shape)} {form}", "", array, ndarray=form)
        nan = np.array([0x7FC0_002A, 0xFFC0_0001], np.uint32).view(np.float32)
        yield sent(f"ndarray NaN float32 {form}", "a NaN keeps its bits", nan, ndarray=form)
        nan = np.array([0x7FF8_0000_0000_002A, 0xFFF8_0000_0000_0001], np.uint64).view(np.float64)
        yield sent(f"ndarray NaN float64 {form}", "a NaN keeps its bits", nan, ndarray=form)
    yield from ndarray_readings()


def wrapper(data, dtype, shape):
    return {"__ndarray__": data, "dtype": dtype, "shape": shape}


def ndarray_readings():
    """Yield ndarrays as other senders may write them."""
    cases = {
        "flat for 2-D": wrapper([1, 2, 3, 4], "int16", [2, 2]),
        "flat for empty": wrapper([], "int16", [3, 0]),
        "flat for huge empty": wrapper([], "int8", [2**32 - 1, 2**30, 0]),
        "0-d in a list": wrapper([7], "int16", []),
        "floats for integers": wrapper([1.0, -2.0, -0.0, 32767.0], "int16", [4]),
        "floats for large integers": wrapper([2.0**53, 1e18, -(2.0**63)], "int64", [3]),
        "float for uint64": wrapper([2.0**63], "uint64", [1]),
        "integers for floats": wrapper([1, -2, 2**53, 2**64 - 1], "float64", [4]),
        "integers for bools": wrapper([0, 1, True, False], "bool", [4]),
        "integer rounded to float32 once": wrapper([2**63 + 2**39 + 1, 2**24 + 1], "float32", [2]),
        "float rounded to float16 once": wrapper([1 + 2.0**-11 + 2.0**-40, 65519.0, 1e-8], "float16", [3]),
        "float rounded to float32": wrapper([0.1, 3.4028235677973362e38, 1e-50], "float32", [3]),
        "infinities stay": wrapper([float("inf"), float("-inf"), float("nan")], "float16", [3]),
    }
    for text in ("f8", "<f8", "=f8", "d", "double", "float", ">f8"):
        cases[f"dtype spelt {text}"] = wrapper([0.5], text, [1])
    for text in ("i2", "<i2", ">i2", "short", "|i1", "?", "b1", "u1", "e", "uint16"):
        cases[f"dtype spelt {text}"] = wrapper([1], text, [1])
    for name, data in cases.items():
        yield foreign(f"ndarray {name}", "", pack(data))
    for data in (wrapper([[1, 2], [3, 4]], "int16", [2, 2]), wrapper(bytes([1, 0, 2, 0, 3, 0, 4, 0]), "int16", [2, 2])):
        for order in itertools.permutations(data):
            form = "binary" if isinstance(data["__ndarray__"], bytes) else "list"
            yield foreign(
                f"ndarray {form}, keys in order {' '.join(order)}",
                "keys in any order",
                pack({key: data[key] for key in order}),
            )
    yield foreign(
        "ndarray binary unaligned",
        "a reader that finds the bytes unaligned copies them",
        b"\x81\xa1s" + pack(wrapper(bytes(16), "float64", [2])),
    )
    deep = pack(wrapper([[[]]], "int8", [1, 1, 0]))
    yield foreign("ndarray whose lists are 64 deep", "the lists of the list form count", b"\x91" * 60 + deep)
    elements = [
        b"\xcc\x01",
        b"\xcd\0\x02",
        b"\xce\0\0\0\x03",
        b"\xcf" + bytes(7) + b"\x04",
        b"\xd0\xfb",
        b"\xd1\xff\xfa",
        b"\xd2\xff\xff\xff\xf9",
    ]
    elements += [
        b"\xd3" + b"\xff" * 7 + b"\xf8",
        b"\xca" + struct.pack(">f", 9),
        b"\xcb" + struct.pack(">d", 10),
        b"\x0b",
        b"\xf4",
    ]
    data = b"\x83\xab__ndarray__\xdd" + struct.pack(">I", len(elements)) + b"".join(elements)
    for dtype in ("int8", "float64", "float16"):
        yield foreign(
            f"ndarray {dtype} of every width",
            "elements in any MessagePack width",
            data + pack("dtype") + pack(dtype) + pack("shape") + pack([12]),
        )


def paddings():
    """Yield arrays in binary form with every size of padding."""
    for version in (1, 2, 3):
        for size in range(8):
            data = {"k" * size: np.array([1.5, -2.5])}
            yield sent(
                f"binary form v{version}, {size} bytes in front",
                "the bytes begin at a multiple of 8 of the frame",
                data,
                version=version,
                ndarray="binary",
            )
    for count in (255, 256, 65536):
        yield sent(f"binary form of {count} bytes", "bin 8, 16 and 32", np.zeros(count, np.uint8), ndarray="binary")
    two = [np.array([1, 2, 3], np.int8), np.array([1.5]), np.array([], np.float32), np.array([True])]
    yield sent("binary form, several", "each one is aligned", two, ndarray="binary")


def deflated(name, about, payload, *, version=3, level=6, max_payload=None):
    data = zlib.compress(payload, level)
    return foreign(name, about, data, version=version, flags=oracle.COMPRESSED, max_payload=max_payload)


def compressed():
    samples = np.round(np.sin(np.arange(500) / 10) * 100)
    for version in (2, 3):
        for form in ("list", "binary"):
            payload = pack({"signal": samples}, form, oracle.header_size(version))
            yield deflated(f"compressed {form} v{version}", "", payload, version=version)
        yield deflated(
            f"compressed though small v{version}",
            "a sender may; the reader does not mind",
            pack({"n": 1}),
            version=version,
        )
        yield deflated(
            f"compressed nothing v{version}", "a stream of nothing inflates to the empty payload", b"", version=version
        )
    for level in (0, 1, 9):
        yield deflated(
            f"compressed at level {level}", "any zlib stream will do", pack({"text": "lead II " * 200}), level=level
        )
    stream = zlib.compressobj(6, zlib.DEFLATED, 9)
    data = stream.compress(pack("x" * 2000)) + stream.flush()
    yield foreign("compressed with a small window", "", data, flags=oracle.COMPRESSED)
    payload = pack(bytes(4000))
    yield deflated(
        "compressed, exactly the limit", "a payload may inflate to the limit", payload, max_payload=len(payload)
    )
    yield foreign("exactly the limit", "a payload may be as long as the limit", payload, max_payload=len(payload))
    about = "1,024 bytes are not compressed"
    yield vector(
        "at the threshold",
        about,
        oracle.encode_frame(PING, "x" * 1021, 3, 0, NOW),
        {"ndarray": "list", "compression": True},
    )
    noise = np.random.default_rng(2024).bytes(1200)
    about = "deflate would make it longer: the shorter form is sent"
    yield vector(
        "incompressible", about, oracle.encode_frame(PING, noise, 3, 0, NOW), {"ndarray": "list", "compression": True}
    )


def wide_headers():
    payloads = {
        "integers": b"\x9a\xcc\x01\xcd\0\x01\xce\0\0\0\x01\xcf"
        + bytes(7)
        + b"\x01\xd0\x01\xd1\0\x01\xd2\0\0\0\x01\xd3"
        + bytes(7)
        + b"\x01\xd0\xff\xd3"
        + b"\xff" * 8,
        "float 32": b"\x92\xca\x3f\x80\0\0\xca\x80\0\0\0",
        "str 8": b"\xd9\x02II",
        "str 16": b"\xda\0\x02II",
        "str 32": b"\xdb\0\0\0\x02II",
        "empty str 32": b"\xdb\0\0\0\0",
        "bin 16": b"\xc5\0\x01\xff",
        "bin 32": b"\xc6\0\0\0\x01\xff",
        "array 16": b"\xdc\0\x02\x01\x02",
        "array 32": b"\xdd\0\0\0\x02\x01\x02",
        "empty array 32": b"\xdd\0\0\0\0",
        "map 16": b"\xde\0\x01\xa1a\x01",
        "map 32": b"\xdf\0\0\0\x01\xa1a\x01",
        "empty map 32": b"\xdf\0\0\0\0",
        "keys": b"\x83\xd9\x01a\x01\xda\0\x01b\x02\xdb\0\0\0\x01c\x03",
        "integer keys": b"\x82\xcd\0\x01\xa1a\xd3" + b"\xff" * 8 + b"\xa1b",
        "datetime wrapper": b"\xdf\0\0\0\x01\xdb\0\0\0\x0c__datetime__\xda\0\x132024-01-15T10:30:45",
        "uuid wrapper": b"\xde\0\x01\xd9\x08__uuid__\xdb\0\0\0\x24550e8400-e29b-41d4-a716-446655440000",
    }
    for name, payload in payloads.items():
        yield foreign(f"wider than need be: {name}", "every width of MessagePack is read", payload)


def end_to_end():
    singles = [
        oracle.encode_frame(type, MESSAGES[name], version, 0, NOW + version)
        for (name, type), version in zip(TYPES.items(), itertools.cycle((1, 2, 3)))
    ]
    yield vector("thirteen frames end to end", "a batch: every type, in all versions", b"".join(singles))
    yield vector("two empty frames end to end", "", frame(1, PING, 0, b"") + frame(3, PING, 0, b"", NOW))
    plain = frame(2, PING, 0, pack([1]))
    squeezed = frame(3, PING, oracle.COMPRESSED, zlib.compress(pack("x" * 2000)), NOW)
    yield vector("a compressed frame between two others", "", plain + squeezed + plain)


# --- frames that are refused ------------------------------------------------------------------------------------


def refused(name, data, max_payload=None, versions=oracle.VERSIONS):
    """Return the vector of a refused frame with the oracle's verdict, by default for versions 1 to 3."""
    limit = {} if max_payload is None else {"max_payload": max_payload}
    try:
        oracle.decode_frame(data, max_payload or oracle.MAX_PAYLOAD, versions)
    except oracle.Refused as verdict:
        found = {"code": f"0x{verdict.code:03x}", "check": verdict.check}
        return {"name": name, "frame": data.hex(), **limit, **found, **path_of(verdict)}
    raise AssertionError(f"accepted: {name}")


def path_of(verdict):
    return {} if verdict.path is None else {"path": verdict.path}


def bad_frames():
    good = frame(3, PING, 0, pack({"n": 1}), NOW)
    plain = frame(1, PING, 0, pack({"n": 1}))
    short = {
        "nothing": b"",
        "one byte": b"\x01",
        "ten bytes": plain[:10],
        "V3 in eleven bytes": good[:11],
        "V3 in eighteen bytes": good[:18],
    }
    short["unknown version in ten bytes"] = b"\x09" + plain[1:10]
    for name, data in short.items():
        yield refused(f"too short: {name}", data)
    for version in (0, 4, 5, 0x7F, 0x80, 0xFF):
        yield refused(f"version {version}", bytes([version]) + plain[1:])
    for type in (0, 5, 0x0F, 0x13, 0x1F, 0x23, 0x7F, 0xFB, 0xFC):
        yield refused(f"type {type:#04x}", frame(3, type, 0, pack({}), NOW))
    for version in (1, 2, 3):
        yield refused(f"length past the limit v{version}", frame(version, PING, 0, b"", NOW, length=2**24 + 1))
        yield refused(f"length 2^32-1 v{version}", frame(version, PING, 0, b"\xc0", NOW, length=2**32 - 1))
        yield refused(
            f"length past a small limit v{version}", frame(version, PING, 0, pack([0] * 99), NOW), max_payload=101
        )
        yield refused(f"length one too many v{version}", frame(version, PING, 0, b"\xc0", NOW, length=2))
        yield refused(f"length one too few v{version}", frame(version, PING, 0, b"\xc0\xc0", NOW, length=1))
        yield refused(f"length 16 MiB and nothing there v{version}", frame(version, PING, 0, b"", NOW, length=2**24))
        yield refused(f"a second frame behind v{version}", frame(version, PING, 0, b"\xc0", NOW) * 2)
        for checksum in (0, 1, zlib.crc32(b"\xc0") ^ 0x80000000, zlib.crc32(b"\xc0") ^ 1):
            yield refused(
                f"checksum {checksum:#010x} v{version}", frame(version, PING, 0, b"\xc0", NOW, checksum=checksum)
            )
        yield refused(f"empty payload with a checksum v{version}", frame(version, PING, 0, b"", NOW, checksum=1))
    little = struct.pack("<BBBIIQ", 3, PING, 0, 1, zlib.crc32(b"\xc0"), NOW) + b"\xc0"
    yield refused("little-endian header", little)
    yield refused("compressed v1", frame(1, PING, 1, zlib.compress(b"\xc0")))
    yield refused("encrypted v1", frame(1, PING, 2, b"\xc0"))
    yield refused("encrypted v2", frame(2, PING, 2, b"\xc0"))
    yield refused("encrypted and compressed v2", frame(2, PING, 3, zlib.compress(b"\xc0")))
    yield refused("encrypted v3", frame(3, PING, 2, b"\xc0", NOW))
    yield refused("encrypted and compressed v3", frame(3, PING, 3, zlib.compress(b"\xc0"), NOW))


def bad_streams():
    whole = zlib.compress(pack("lead II " * 200))
    streams = {
        "nothing": b"",
        "not zlib": pack({"n": 1}),
        "cut by one byte": whole[:-1],
        "cut before the sum": whole[:-4],
        "cut in half": whole[: len(whole) // 2],
        "two bytes of it": whole[:2],
        "a byte after it": whole + b"\0",
        "two streams": whole + whole,
        "wrong Adler sum": whole[:-1] + bytes([whole[-1] ^ 1]),
        "raw deflate": whole[2:-4],
        "gzip": zlib.compressobj(wbits=31).flush(),
        "a preset dictionary": b"\x78\xbb\0\0\0\1" + whole[2:],
        "a bad block": b"\x78\x9c\x07\x00",
    }
    for name, data in streams.items():
        for version in (2, 3):
            yield refused(f"stream: {name} v{version}", frame(version, PING, 1, data, NOW))
    bomb = zlib.compress(pack(bytes(4000)), 9)
    yield refused("inflates past a small limit", frame(3, PING, 1, bomb, NOW), max_payload=4002)
    yield refused("inflates past a small limit, then garbage", frame(3, PING, 1, bomb + b"\0", NOW), max_payload=1000)
    yield refused("inflates past the default limit", frame(3, PING, 1, zlib.compress(bytes(2**24 + 1), 9), NOW))


def bad_payloads():
    payloads = {
        "a value and a half": b"\xc0\xc0",
        "0xc1": b"\xc1",
        "0xc1 in a list": b"\x91\xc1",
        "a list one short": b"\x92\x01",
        "a map one short": b"\x82\xa1a\x01",
        "a map without its value": b"\x81\xa1a",
        "text one short": b"\xa3II",
        "bytes one short": b"\xc4\x03II",
        "text of 2^32-1": b"\xdb\xff\xff\xff\xff",
        "bytes of 2^32-1": b"\xc6\xff\xff\xff\xff",
        "a list of 2^32-1": b"\xdd\xff\xff\xff\xff",
        "a map of 2^32-1": b"\xdf\xff\xff\xff\xff",
        "a list of 2^32-1 sixty-four deep": b"\xdd\xff\xff\xff\xff" * 64,
        "65 deep": b"\x91" * 64 + b"\x90",
        "65 deep in maps": b"\x81\xa1a" * 64 + b"\x80",
        "2,000 deep": b"\x91" * 2000,
        "extension type": b"\xd4\x05\0",
        "extension of 8 bits": b"\xc7\x01\x05\0",
        "timestamp extension": b"\xd6\xff\0\0\0\0",
        "text that is no UTF-8": b"\xa1\xff",
        "overlong UTF-8": b"\xa2\xc0\xaf",
        "a surrogate in UTF-8": b"\xa3\xed\xa0\x80",
        "UTF-8 past the last code point": b"\xa4\xf4\x90\x80\x80",
        "a key that is no UTF-8": b"\x81\xa1\xff\xc0",
        "a nil key": b"\x81\xc0\xc0",
        "a bool key": b"\x81\xc3\xc0",
        "a float key": b"\x81\xcb" + bytes(8) + b"\xc0",
        "a bytes key": b"\x81\xc4\x01a\xc0",
        "a list key": b"\x81\x90\xc0",
        "a map key": b"\x81\x80\xc0",
        "a key twice": b"\x82\xa1a\x01\xa1a\x02",
        "a key twice in two widths": b"\x82\xa1a\x01\xd9\x01a\x02",
        "an integer key twice": b"\x82\x01\x01\xd0\x01\x02",
    }
    for tag in (*range(0xC4, 0xC7), *range(0xCA, 0xD4), *range(0xD9, 0xE0)):
        payloads[f"nothing after {tag:#x}"] = bytes([tag])
    for name, payload in payloads.items():
        yield refused(f"payload: {name}", frame(3, PING, 0, payload, NOW))
    yield refused(
        "payload: more than 2^20 containers",
        frame(2, PING, 1, zlib.compress(b"\xdd\x00\x10\x00\x00" + b"\x80" * 2**20, 9)),
    )


BAD_DATES = (
    "",
    "yesterday",
    "20240115T103045",
    "20240115",
    "2024-W03-1",
    "2024-015",
    "2024-01-15 10:30:45",
    "2024-01-15t10:30:45",
    "2024-01-15T10:30:45z",
    "2024-01-15T",
    "2024-01-15T10",
    "2024-01-15T1030",
    "2024-01-15T12:30.5",
    "2024-01-15T12:Z",
    "2024-01-15T10:30:45,5",
    "2024-01-15T10:30:45.",
    "2024-01-15T10:30:45.1234567890",
    "2024-01-15T10:30:45+01",
    "2024-01-15T10:30:45+0100",
    "2024-01-15T10:30:45+0130:15",
    "2024-01-15T10:30:45 +01:00",
    "2024-01-15T10:30:45+01:00:15.5",
    "2024-01-15T10:30:45+24:00",
    "2024-01-15T10:30:45+01:60",
    "2024-01-15T24:00:00",
    "2024-01-15T23:59:60",
    "2024-01-15T10:60:00",
    "2024-02-30",
    "2023-02-29T00:00:00Z",
    "2024-13-01",
    "2024-00-01",
    "2024-01-00",
    "0000-01-01",
    "12024-01-15",
    "-2024-01-15",
    "2024-01-15T10:30:45Z ",
    " 2024-01-15T10:30:45Z",
    "2024-01-15T10:30:45\n",
    "2024-01-15T10:30:45\0",
    "2024-01-15T10:30:4\u0665",
    "2024\u221201-15T10:30:45",
    "2024-01-15T10:30:45\u221201:00",
)
BAD_UUIDS = (
    "550e8400e29b41d4a716446655440000",
    "{550e8400-e29b-41d4-a716-446655440000}",
    "urn:uuid:550e8400-e29b-41d4-a716-446655440000",
    "urn:urn:550e8400-e29b-41d4-a716-446655440000",
    "0x0e8400-e29b-41d4-a716-446655440000",
    "0x0e8400e29b41d4a716446655440000ab",
    "+50e8400-e29b-41d4-a716-446655440000",
    " 50e8400-e29b-41d4-a716-446655440000",
    "550e8400-e29b-41d4-a716-446655440000 ",
    "550e8400-e29b-41d4-a716-446655440000\n",
    "5_0e8400-e29b-41d4-a716-446655440000",
    "\u066150e8400-e29b-41d4-a716-446655440000",
    "550e8400-e29b-41d4-a716-44665544000",
    "550e840-0e29b-41d4-a716-446655440000",
    "550e8400-e29b-41d4-a7164-46655440000",
)
BAD_DTYPES = (
    *("f08", "<f08", "f008", "i02", "u004", "b01", "?1", "f8_", "f+8", "f8 ", " f8", "f8\0", "F8", "Float64"),
    *(">float64", "<int16", "=double", "|bool", "<>i2", "i3", "f1", "u16", "b8", "f16"),
    *("U1", "S1", "datetime64", "i2,i2", "8", "int0"),
    *("float_", "bool8", "n", "N", "\uff46\uff18", "f\u0668", "f8" + "0" * 40),
)


def bad_texts():
    """Return invalid texts of dates, UUIDs and dtypes that some parsers accept."""
    deep = pack(wrapper([[[]]], "int8", [1, 1, 0]))
    yield refused("lie: ndarray whose lists are 65 deep", frame(3, PING, 0, b"\x91" * 61 + deep, NOW))
    for text in BAD_DATES:
        yield refused(f"lie: date {text!a}", frame(3, PING, 0, pack({"__datetime__": text}), NOW))
    for text in BAD_UUIDS:
        yield refused(f"lie: uuid {text!a}", frame(3, PING, 0, pack({"__uuid__": text}), NOW))
    for text in BAD_DTYPES:
        yield refused(f"lie: dtype {text!a}", frame(3, PING, 0, pack(wrapper([], text, [0])), NOW))


def too_many_values():
    """Yield a compressed payload of each kind with one value more than allowed."""
    ndarray = pack(wrapper([], "u1", [0]))
    of_many = {
        "texts": b"\xdd\x00\x10\x00\x00" + b"\xa0" * 2**20,
        "bins": b"\xdd\x00\x04\x00\x00" + b"\xc4\x00" * 2**18,
        "ndarrays": b"\xdd\x00\x02\x00\x00" + ndarray * 2**17,
        "maps of a text": b"\xdd\x00\x05\x55\x56" + b"\x81\xa0\xa0" * 0x55556,
        "maps of an integer": b"\xdd\x00\x08\x00\x00" + b"\x81\x01\x02" * 2**19,
        "dates": b"\xdd\x00\x05\x55\x56" + pack({"__datetime__": "2024-01-15"}) * 0x55556,
    }
    for name, payload in of_many.items():
        yield refused(f"payload: too many {name}", frame(2, PING, 1, zlib.compress(payload, 9)))


def lies():
    cases = {
        "no shape": {"__ndarray__": [1], "dtype": "int8"},
        "no dtype": {"__ndarray__": [1], "shape": [1]},
        "data alone": {"__ndarray__": [1]},
        "too few elements": wrapper([1, 2], "int8", [3]),
        "too many elements": wrapper([1, 2, 3, 4], "int8", [3]),
        "no elements": wrapper([], "int8", [1]),
        "elements for an empty shape": wrapper([1], "int8", [0]),
        "transposed": wrapper([[1, 2], [3, 4], [5, 6]], "int8", [2, 3]),
        "nested where flat": wrapper([[1], [2]], "int8", [2]),
        "half nested": wrapper([[1, 2], [3, 4]], "int8", [2, 1, 2]),
        "too deep": wrapper([[[1, 2]], [[3, 4]]], "int8", [2, 2]),
        "ragged": wrapper([[1, 2], [3]], "int8", [2, 2]),
        "ragged to the right count": wrapper([[1, 2, 3], [4]], "int8", [2, 2]),
        "numbers among lists": wrapper([[1, 2], 3, 4], "int8", [2, 2]),
        "lists in an empty dimension": wrapper([[], []], "int8", [3, 0]),
        "a list of none for one": wrapper([[]], "int8", [1]),
        "0-d with two": wrapper([1, 2], "int8", []),
        "0-d with none": wrapper([], "int8", []),
        "0-d nested": wrapper([[1]], "int8", []),
        "a number for one dimension": wrapper(1, "int8", [1]),
        "no data": wrapper(None, "int8", [0]),
        "text for data": wrapper("\x01", "int8", [1]),
        "a map for data": wrapper({}, "int8", [0]),
        "text among elements": wrapper(["1"], "int8", [1]),
        "nil among elements": wrapper([None], "float64", [1]),
        "bytes among elements": wrapper([b"\x01"], "int8", [1]),
        "a map among elements": wrapper([{}], "int8", [1]),
        "a datetime among elements": wrapper([NAIVE], "float64", [1]),
        "an ndarray among elements": wrapper([np.array(1)], "int64", [1]),
        "an ndarray for data": wrapper(np.array([1]), "int64", [1]),
        "an ndarray for a shape": wrapper([1], "int64", np.array([1])),
        "a bool among integers": wrapper([1, True], "int8", [2]),
        "a bool among floats": wrapper([1.0, False], "float64", [2]),
        "a bool for 0-d": wrapper(True, "int8", []),
        "two for a bool": wrapper([2], "bool", [1]),
        "minus one for a bool": wrapper([-1], "bool", [1]),
        "a float for a bool": wrapper([1.0], "bool", [1]),
        "a fraction for an integer": wrapper([1.5], "int8", [1]),
        "NaN for an integer": wrapper([float("nan")], "int64", [1]),
        "infinity for an integer": wrapper([float("inf")], "int64", [1]),
        "a float out of range": wrapper([2.0**63], "int64", [1]),
        "a float past uint64": wrapper([2.0**64], "uint64", [1]),
        "a negative float for unsigned": wrapper([-1.0], "uint64", [1]),
        "becomes infinite in float32": wrapper([1e39], "float32", [1]),
        "rounds to infinity in float32": wrapper([3.4028235677973366e38], "float32", [1]),
        "becomes infinite in float16": wrapper([65520], "float16", [1]),
        "a float becomes infinite in float16": wrapper([65520.0], "float16", [1]),
        "a huge integer for float16": wrapper([2**64 - 1], "float16", [1]),
        "bytes too few": wrapper(bytes(15), "float64", [2]),
        "bytes too many": wrapper(bytes(17), "float64", [2]),
        "no bytes": wrapper(b"", "float64", [1]),
        "bytes for 0-d too few": wrapper(bytes(7), "float64", []),
        "bytes for an empty shape": wrapper(bytes(8), "float64", [0]),
        "a byte that is no bool": wrapper(b"\x00\x02", "bool", [2]),
        "bytes as text": wrapper("\0" * 8, "float64", [1]),
    }
    for bits in (8, 16, 32, 64):
        for name, low, high in (
            (f"int{bits}", -(2 ** (bits - 1)), 2 ** (bits - 1) - 1),
            (f"uint{bits}", 0, 2**bits - 1),
        ):
            if high < 2**64 - 1:
                cases[f"above {name}"] = wrapper([high + 1], name, [1])
            if low > -(2**63):
                cases[f"below {name}"] = wrapper([low - 1], name, [1])
    texts = [
        "",
        "O",
        "object",
        "float128",
        "g",
        "c8",
        "complex64",
        "M8[s]",
        "m8",
        "S4",
        "U4",
        "V8",
        "f8,f8",
        "2f8",
        "(2,)f8",
        "f3",
        "i16",
    ]
    texts += ["()f8", "\t", "|", "f8\n", "float64\0", "float64 ", "dtype", "(", "f8" + " " * 40, "float\uff16\uff14"]
    for text in texts:
        cases[f"dtype {text!r}"] = wrapper([1], text, [1])
    for dtype in (None, 8, b"float64", ["float64"], {"descr": "f8"}, True):
        cases[f"dtype {dtype!r}"] = wrapper([1], dtype, [1])
    shapes = [
        [-1],
        [2**32],
        [2**63],
        [2**64 - 1],
        [1.0],
        [True],
        [None],
        ["1"],
        [[1]],
        None,
        1,
        "1",
        b"\x01",
        {},
        {0: 1},
    ]
    shapes += [[2**32 - 1], [2**31, 2**31, 2], [2**16] * 4, [1] * 33, [0, -1], [2**32 - 1, 2**31, 0], [0, 2**32]]
    for shape in shapes:
        cases[f"shape {shape!r}"] = wrapper([1], "float64", shape)
        cases[f"shape {shape!r} in binary"] = wrapper(bytes(8), "float64", shape)
        cases[f"shape {shape!r} with nothing"] = wrapper([], "float64", shape)
    for text in (
        "",
        "now",
        "2024-13-01",
        "2024-02-30T00:00:00",
        "2024-01-15T25:00:00",
        "10:30",
        "2024-01-15T10:30:45.123456 CET",
        "1705314645",
    ):
        cases[f"datetime {text!r}"] = {"__datetime__": text}
    for text in (
        "",
        "550e8400",
        "550e8400-e29b-41d4-a716-44665544000g",
        "550e8400-e29b-41d4-a716-4466554400000",
        "x" * 36,
    ):
        cases[f"uuid {text!r}"] = {"__uuid__": text}
    for data in (None, 5, 1.5, True, b"2024-01-15", ["2024-01-15"], {"a": 1}, {"__datetime__": "2024-01-15"}):
        cases[f"datetime {data!r}"] = {"__datetime__": data}
        cases[f"uuid {data!r}"] = {"__uuid__": data}
    for name, data in cases.items():
        yield refused(f"lie: {name}", frame(3, PING, 0, pack(data), NOW))
    yield refused("lie: deep inside", frame(3, PING, 0, pack({"a": [{"b": wrapper([1], "int8", [2])}]}), NOW))
    yield refused("lie: in a compressed frame", frame(2, PING, 1, zlib.compress(pack(wrapper([1], "int8", [2])))))


def two_faults():
    """Yield frames with two faults, for which the earlier check of the table decides."""
    lie = pack(wrapper([1], "int8", [2]))
    faults = [
        ("short and of no version", b"\x09\x99\xff"),
        ("short and of no type", b"\x01\x99\xff"),
        ("version and type", frame(9, 0x99, 0, b"")),
        ("version and length", frame(9, PING, 0, b"", length=2**32 - 1)),
        ("version and checksum", frame(9, PING, 0, b"\xc0", checksum=0)),
        ("type and length past the limit", frame(3, 0x99, 0, b"", length=2**32 - 1)),
        ("type and bytes left over", frame(3, 0x99, 0, b"\xc0\xc0", length=1)),
        ("type and checksum", frame(3, 0x99, 0, b"\xc0", checksum=0)),
        ("length past the limit and missing bytes", frame(3, PING, 0, b"", length=2**24 + 1)),
        ("length past the limit and flag", frame(1, PING, 1, b"", length=2**24 + 1)),
        ("length past the limit and checksum", frame(1, PING, 0, b"\xc0", length=2**24 + 1, checksum=0)),
        ("bytes left over and flag", frame(1, PING, 1, b"\xc0\xc0", length=1)),
        ("bytes missing and checksum", frame(1, PING, 0, b"\xc0", length=2, checksum=0)),
        ("flag and checksum", frame(1, PING, 1, b"\xc0", checksum=0)),
        ("flag encrypted v2 and checksum", frame(2, PING, 2, b"\xc0", checksum=0)),
        ("checksum and encryption", frame(3, PING, 2, b"\xc0", checksum=0)),
        ("checksum and stream", frame(2, PING, 1, b"\xc0", checksum=0)),
        ("checksum and payload", frame(3, PING, 0, b"\xc1", checksum=0)),
        ("encryption and stream", frame(3, PING, 3, b"\xc0")),
        ("encryption and payload", frame(3, PING, 2, b"\xc1")),
        ("stream and payload", frame(3, PING, 1, zlib.compress(b"\xc1") + b"\0")),
    ]
    for name, data in faults:
        yield refused(f"two faults: {name}", data)
    yield refused(
        "two faults: the limit of inflating and the payload",
        frame(3, PING, 1, zlib.compress(b"\xc1" + bytes(4000))),
        max_payload=4000,
    )
    yield refused("two faults: a lie and bytes after it", frame(3, PING, 0, lie + b"\xc0"))


# --- version 4 --------------------------------------------------------------------------------------------------

T4 = oracle.TYPES_OF_V4
NUMBERED = {"stream": 7, "sequence": 57}
RECORD_PAYLOAD = bytes.fromhex("00010100 00000004 00060ef981a90fd0 08c8d0dcec 03ed00")
FIELDS = {"sampling_rate": 500, "leads": ["I", "II"], "units": "mV", "gain": 1000, "device_id": "cart-7"}
TEMPLATE = {"template": 1, "stream": "ecg/1", "dtype": "int16", "rows": 2, "fields": FIELDS}
OPENING = {"template": 0, "stream": "ecg/1", "epoch": 4_738_105_921_337_641}
ATTESTATION = {
    "stream": "ecg/1",
    "key": bytes.fromhex("24f6ed6acbfe1009"),
    "epoch": 1000,
    "number": 1,
    "last": False,
    "previous": bytes(32),
    "digests": bytes.fromhex("54cb78b05ff02dd37abccca516c53b269de03f81ba335ae95ec9afde74ea13ba"),
    "signature": bytes.fromhex(
        "66a2b19b479392580881a5a505e7d7694188b11845cebf5534c21e6fbd9a153b"
        "19f4a948447362576e4d75b6cca58c5e8db65801a0ac85f2b962f274224cff0f"
    ),
}
MESSAGES_OF_V4 = MESSAGES | {"STREAM_TEMPLATE": TEMPLATE, "STREAM_ATTESTATION": ATTESTATION}
OF_STREAMS = [name for name, number in T4.items() if number < 0x10 or name.startswith("STREAM_")]


def frame4(type, payload, flags=0, timestamp=NOW, **more):
    return frame(4, T4.get(type, type), flags, payload, timestamp, **more)


def sent4(name, about, data, type="PING", **more):
    return sent(name, about, data, type=T4[type], version=4, **more)


def headers_of_v4():
    for name, data in MESSAGES_OF_V4.items():
        yield sent4(f"V4 {name}", "of no stream: stream and sequence are 0", data, name)
        for flags in (4, 8, 16, 28):
            yield sent4(f"V4 {name} flags {flags:#04x}", "flags that a caller may set", data, name, flags=flags)
    for name in OF_STREAMS:
        data = MESSAGES_OF_V4[name]
        yield sent4(f"V4 {name} of a stream", "numbered within its stream", data, name, **NUMBERED)
        if name != "ANOMALY_ALERT":
            yield sent4(f"V4 {name} of a stream, bulk", "it may wait", data, name, form=oracle.BULK, **NUMBERED)
    alert = MESSAGES["ANOMALY_ALERT"]
    yield sent4("V4 an alert with priority", "", alert, "ANOMALY_ALERT", flags=oracle.PRIORITY, **NUMBERED)
    for stream, sequence in ((1, 1), (2**31, 2**32), (2**32 - 1, 2**53 - 1)):
        about = "stream is an unsigned 32-bit integer, sequence one of 64 bits that stays below 2^53"
        yield sent4(
            f"V4 stream {stream}, sequence {sequence}", about, {}, "FEATURE_DATA", stream=stream, sequence=sequence
        )
    for timestamp in (0, 2**53 + 1, 2**64 - 1):
        yield sent4(f"V4 timestamp {timestamp}", "the timestamp is that of version 3", {}, timestamp=timestamp)
    about = "the bit that no version defines is ignored and kept"
    yield vector("V4 flags 0x80", about, frame4(PING, pack({}), 0x80))
    yield vector("V4 empty payload", "reads as None", frame4(PING, b""))
    yield vector(
        "V4's answer to the offer",
        "which travels in version 1",
        frame(
            1, T4["PROTOCOL_NEGOTIATION"], 0, pack({"version": 4, "capabilities": ["delta", "fragments", "templates"]})
        ),
    )


def payloads_of_v4():
    for size in range(8):
        data = {"k" * size: np.array([1.5, -2.5])}
        about = "the bytes begin at a multiple of 8 of the frame, whose header has 32"
        yield sent4(f"V4 binary form, {size} bytes in front", about, data, "ECG_DATA", ndarray="binary", **NUMBERED)
    samples = np.round(np.sin(np.arange(500) / 10) * 100)
    for form in ("list", "binary"):
        data = zlib.compress(pack({"signal": samples}, form, 32), 6)
        made = frame4("ECG_DATA", data, oracle.COMPRESSED, form=oracle.BULK, **NUMBERED)
        yield vector(f"V4 compressed {form}", "algorithm 0 is zlib", made)
    singles = [
        oracle.encode_frame(T4[name], MESSAGES_OF_V4[name], version, 0, NOW + version)
        for name, version in zip(MESSAGES, itertools.cycle(oracle.ALL_VERSIONS))
    ]
    yield vector("V4 among others end to end", "a batch in all versions", b"".join(singles))


def templates():
    def one(name, about, data, **more):
        return sent4(f"V4 template: {name}", about, data, "STREAM_TEMPLATE", **({"stream": 7, "sequence": 1} | more))

    yield one("opening", "sequence 0", OPENING, sequence=0)
    yield one("opening, smallest epoch", "", OPENING | {"epoch": 1}, sequence=0)
    yield one("opening, largest epoch", "", OPENING | {"epoch": 2**53 - 1}, sequence=0)
    yield one("sequence 0", "the header does not know whether it is an opening", TEMPLATE, sequence=0)
    for dtype in ("int8", "uint8", "int16", "uint16", "int32"):
        yield one(f"missing in {dtype}", "a count of the dtype", TEMPLATE | {"dtype": dtype, "missing": 127})
    for dtype in ("float32", "float64"):
        yield one(dtype, "", TEMPLATE | {"dtype": dtype})
    for rows in (0, 1, 4096):
        yield one(f"rows {rows}", "0: one dimension", TEMPLATE | {"rows": rows})
    yield one("number 65535", "the largest", TEMPLATE | {"template": 65535})
    yield one("no fields", "", TEMPLATE | {"fields": {}})
    yield one("scale", "floats that were counts", TEMPLATE | {"scale": {"mul": 4.88, "div": 1000}})
    yield one("scale at its ends", "", TEMPLATE | {"scale": {"mul": 1e-100, "div": 1e100}})
    for name in ("missing", "scale", "epoch"):
        yield one(f"{name} in fields", "a field of the messages like any other", TEMPLATE | {"fields": {name: 1}})
    with_gain = FIELDS | {"gain": [1000, 200.5], "baseline": [0, -3]}
    yield one("missing with gain", "one a lead", TEMPLATE | {"missing": -32768, "fields": with_gain})
    yield one("another field", "is kept", TEMPLATE | {"note": "x"})
    for stream in ("x", "é" * 256, "\U0001fac0" * 256):
        yield one(
            f"a name of {len(stream)} characters, {len(stream.encode())} bytes", "", TEMPLATE | {"stream": stream}
        )
    yield one("an opening of a name of 256 characters", "", OPENING | {"stream": "x" * 256}, sequence=0)
    yield one("fields with integer keys within", "only the outermost are names", TEMPLATE | {"fields": {"map": {1: 2}}})
    yield one("a gain of nil", "no sample is missing", TEMPLATE | {"fields": {"gain": None}})
    yield one("of 4,096 bytes", "", of_bytes(4096))
    yield one("of 256 values", "", of_values(256))
    nils = TEMPLATE | {"missing": None, "scale": None, "epoch": None}
    payload = pack(nils)
    about = "nil in a field that may be left out counts as left out: data has it not"
    made = vector("V4 template: nils", about, frame4("STREAM_TEMPLATE", payload, stream=7, sequence=1))
    [message] = made["messages"]
    message["data"] = to_json(TEMPLATE)
    yield made


def of_bytes(size):
    """Return a template of this many bytes."""
    with_note = TEMPLATE | {"note": "x" * 1000}
    return TEMPLATE | {"note": "x" * (1000 + size - len(pack(with_note)))}


def of_values(count):
    """Return a template that counts as this many values."""
    with_none = TEMPLATE | {"fields": {"leads": []}}
    return TEMPLATE | {"fields": {"leads": ["I"] * (count - oracle.survey(pack(with_none), 0, 0)[1])}}


def attestations():
    def one(name, data):
        return sent4(f"V4 attestation: {name}", "", data, "STREAM_ATTESTATION", **NUMBERED)

    yield one("the last", ATTESTATION | {"last": True, "number": 2})
    yield one("of no message", ATTESTATION | {"digests": b""})
    yield one("of 20 messages", ATTESTATION | {"digests": bytes(range(32)) * 20})


def refused4(name, data, **more):
    return refused(f"V4 {name}", data, versions=oracle.ALL_VERSIONS, **more)


def bad_headers_of_v4():
    good = frame4("ECG_DATA", pack({}), **NUMBERED)
    for size in (11, 12, 19, 20, 31):
        yield refused4(f"in {size} bytes", good[:size])
    for type in (0x05, 0x13, 0x25, 0xFC):
        yield refused4(f"type {type:#04x}", frame4(type, pack({})))
    for version in (1, 2, 3):
        for name in ("STREAM_TEMPLATE", "STREAM_ATTESTATION"):
            yield refused4(
                f"has {name}, V{version} has not", frame(version, T4[name], 0, pack(MESSAGES_OF_V4[name]), NOW)
            )
    yield refused4("length past the limit", frame4(PING, b"", length=2**24 + 1))
    yield refused4("length past a small limit", frame4(PING, pack([0] * 99)), max_payload=101)
    yield refused4("length one too many", frame4(PING, b"\xc0", length=2))
    yield refused4("length one too few", frame4(PING, b"\xc0\xc0", length=1))
    yield refused4("checksum", frame4(PING, b"\xc0", checksum=0))


def bad_forms():
    deflated = zlib.compress(pack("lead II " * 200), 6)
    for bit in (0x08, 0x20, 0x40, 0x80):
        yield refused4(f"form {bit:#04x}", frame4("ECG_DATA", pack({}), form=bit, **NUMBERED))
    for algorithm in (1, 2, 3):
        yield refused4(f"algorithm {algorithm} without COMPRESSED", frame4(PING, pack({}), form=algorithm))
    yield refused4("algorithm 3", frame4(PING, deflated, oracle.COMPRESSED, form=3))
    for name in MESSAGES_OF_V4:
        if name != "ECG_DATA":
            numbered = NUMBERED if name in OF_STREAMS else {}
            yield refused4(f"record in {name}", frame4(name, RECORD_PAYLOAD, form=oracle.RECORD, **numbered))
        if name not in OF_STREAMS or name == "ANOMALY_ALERT":
            numbered = NUMBERED if name in OF_STREAMS else {}
            yield refused4(f"bulk {name}", frame4(name, pack({}), form=oracle.BULK, **numbered))
        if name not in OF_STREAMS:
            yield refused4(f"{name} of a stream", frame4(name, pack({}), **NUMBERED))
            yield refused4(f"{name} of a stream without a sequence", frame4(name, pack({}), stream=7))
        elif name != "STREAM_TEMPLATE":
            yield refused4(f"{name} without a sequence", frame4(name, pack({}), stream=7))
        yield refused4(f"{name} with a sequence of no stream", frame4(name, pack({}), sequence=57))
    for form, word in ((oracle.RECORD, "record"), (oracle.BULK, "bulk"), (oracle.RECORD | oracle.BULK, "bulk record")):
        yield refused4(f"{word} of no stream", frame4("ECG_DATA", RECORD_PAYLOAD, form=form))
        flags = oracle.PRIORITY
        yield refused4(f"{word} with priority", frame4("ECG_DATA", RECORD_PAYLOAD, flags, form=form, **NUMBERED))
    for sequence in (2**53, 2**63, 2**64 - 1):
        yield refused4(f"sequence {sequence}", frame4("ECG_DATA", pack({}), stream=7, sequence=sequence))
        yield refused4(f"sequence {sequence} of no stream", frame4("ECG_DATA", pack({}), sequence=sequence))


def not_supported_yet():
    """Yield frames that a receiver without a key, without zstd and lz4, and without templates refuses."""
    for flags, word in (
        (oracle.FRAGMENT, "fragment"),
        (oracle.ENCRYPTED, "encrypted"),
        (oracle.SIGNED, "signed"),
        (oracle.FRAGMENT | oracle.ENCRYPTED, "fragment of what is encrypted"),
        (oracle.ENCRYPTED | oracle.SIGNED, "encrypted and signed"),
        (oracle.SIGNED | oracle.COMPRESSED, "signed and compressed"),
    ):
        yield refused4(word, frame4("ECG_DATA", bytes(100), flags, **NUMBERED))
    for algorithm, word in ((1, "zstd"), (2, "lz4")):
        yield refused4(word, frame4("ECG_DATA", bytes(20), oracle.COMPRESSED, form=algorithm, **NUMBERED))
    yield refused4("record of an unknown template", worked_record())
    for size in (0, 2, 15):
        made = frame4("ECG_DATA", RECORD_PAYLOAD[:size], form=oracle.RECORD, **NUMBERED)
        yield refused4(f"record of {size} bytes", made)
    squeezed = zlib.compress(RECORD_PAYLOAD[:15])
    yield refused4("compressed record of 15 bytes", frame4("ECG_DATA", squeezed, 1, form=oracle.RECORD, **NUMBERED))
    yield refused4("inflates past the limit", frame4(PING, zlib.compress(pack(bytes(4000))), 1), max_payload=4000)
    yield refused4("damaged stream", frame4(PING, b"\x78\x9c\0", 1))
    yield refused4("no value", frame4(PING, b"\xc1"))


def worked_record():
    """Return the frame that the page on the protocol explains."""
    return frame4("ECG_DATA", RECORD_PAYLOAD, 0, 1_705_314_660_000_018, form=oracle.RECORD, **NUMBERED)


def without(data, name):
    return {key: value for key, value in data.items() if key != name}


def bad_templates():
    cases = {
        "nothing": None,
        "a list": [1],
        "an empty map": {},
        **{f"without {name}": without(TEMPLATE, name) for name in TEMPLATE},
        **{f"opening without {name}": without(OPENING, name) for name in OPENING},
        "a number without its fields": OPENING | {"template": 1},
        "an opening with a template's fields alone": TEMPLATE | {"template": 0},
        "an opening with rows": OPENING | {"rows": 2},
        "an opening with all": TEMPLATE | OPENING,
        "with an epoch": TEMPLATE | {"epoch": 5},
        "number 65536": TEMPLATE | {"template": 65536},
        "number -1": TEMPLATE | {"template": -1},
        "number 1.0": TEMPLATE | {"template": 1.0},
        "number true": TEMPLATE | {"template": True},
        "stream 7": TEMPLATE | {"stream": 7},
        "rows 4097": TEMPLATE | {"rows": 4097},
        "rows -1": TEMPLATE | {"rows": -1},
        "rows nil": TEMPLATE | {"rows": None},
        **{
            f"dtype {dtype}": TEMPLATE | {"dtype": dtype}
            for dtype in ("int64", "uint32", "float16", ">i2", "i2", "", 2)
        },
        "fields a list": TEMPLATE | {"fields": []},
        "fields with an integer key": TEMPLATE | {"fields": {1: 2}},
        **{
            f"{name} in fields": TEMPLATE | {"fields": FIELDS | {name: 1}}
            for name in ("signal", "stream", "timestamp", "sequence")
        },
        "missing 1.5": TEMPLATE | {"missing": 1.5},
        "missing beyond int16": TEMPLATE | {"missing": 32768},
        "missing below int16": TEMPLATE | {"missing": -32769},
        "missing below uint8": TEMPLATE | {"dtype": "uint8", "missing": -1},
        "missing in float32": TEMPLATE | {"dtype": "float32", "missing": 0},
        "scale in float64": TEMPLATE | {"dtype": "float64", "scale": {"mul": 1, "div": 1}},
        "missing with gain 0": TEMPLATE | {"missing": 0, "fields": {"gain": 0}},
        "missing with a gain of 0 among others": TEMPLATE | {"missing": 0, "fields": {"gain": [1, 0]}},
        "missing with an infinite gain": TEMPLATE | {"missing": 0, "fields": {"gain": float("inf")}},
        "missing with baseline NaN": TEMPLATE | {"missing": 0, "fields": {"baseline": float("nan")}},
        "missing with a text for gain": TEMPLATE | {"missing": 0, "fields": {"gain": "1000"}},
        **{
            f"scale {scale!r}": TEMPLATE | {"scale": scale}
            for scale in (
                1,
                {},
                {"mul": 1},
                {"mul": 1, "div": 1, "add": 0},
                {"mul": 0, "div": 1},
                {"mul": 1, "div": -1},
                {"mul": 1, "div": 1e101},
                {"mul": 1e-101, "div": 1},
                {"mul": float("nan"), "div": 1},
                {"mul": True, "div": 1},
            )
        },
        "an empty name": TEMPLATE | {"stream": ""},
        "a name of 257 characters": TEMPLATE | {"stream": "x" * 257},
        "an opening of an empty name": OPENING | {"stream": ""},
        "an opening of a name of 257 characters": OPENING | {"stream": "x" * 257},
        "an opening with missing": OPENING | {"missing": 0},
        "an opening of 0.0": OPENING | {"template": 0.0},
        "fields with an integer key among others": TEMPLATE | {"fields": FIELDS | {1: 2}},
        "missing with a gain of nil": TEMPLATE | {"missing": 0, "fields": {"gain": None}},
        "missing with a baseline of nil": TEMPLATE | {"missing": 0, "fields": {"baseline": None}},
        "missing with one gain of two": TEMPLATE | {"missing": 0, "fields": {"gain": [1000]}},
        "missing with three gains of two": TEMPLATE | {"missing": 0, "fields": {"gain": np.array([1.0, 2.0, 3.0])}},
        "missing with an array of no gain": TEMPLATE | {"missing": 0, "fields": {"gain": np.array([1.0, 0.0])}},
        "of 4,097 bytes": of_bytes(4097),
        "an opening of 4,097 bytes": OPENING | {"note": "x" * 4097},
        "of 257 values": of_values(257),
        "an opening of 257 values": OPENING | {"note": ["x"] * 257},
        "missing and gain both wrong": TEMPLATE | {"missing": 1.5, "fields": {"gain": 0}},
        "scale and epoch both wrong": TEMPLATE | {"scale": {"mul": 0, "div": 0}, "epoch": 5},
        "epoch 0": OPENING | {"epoch": 0},
        "epoch 2^53": OPENING | {"epoch": 2**53},
        "epoch nil": OPENING | {"epoch": None},
        "epoch 1.0": OPENING | {"epoch": 1.0},
    }
    for name, data in cases.items():
        yield refused4(f"template: {name}", frame4("STREAM_TEMPLATE", pack(data), stream=7, sequence=1))


def bad_attestations():
    cases = {
        "nothing": None,
        **{f"without {name}": without(ATTESTATION, name) for name in ATTESTATION},
        **{f"{name} nil": ATTESTATION | {name: None} for name in ATTESTATION},
        "stream 7": ATTESTATION | {"stream": 7},
        "key of 7 bytes": ATTESTATION | {"key": bytes(7)},
        "key as text": ATTESTATION | {"key": "24f6ed6a"},
        "epoch 0": ATTESTATION | {"epoch": 0},
        "number 0": ATTESTATION | {"number": 0},
        "number 2^53": ATTESTATION | {"number": 2**53},
        "last 0": ATTESTATION | {"last": 0},
        "previous of 31 bytes": ATTESTATION | {"previous": bytes(31)},
        "digests of 33 bytes": ATTESTATION | {"digests": bytes(33)},
        "4,097 digests": ATTESTATION | {"digests": bytes(32 * 4097)},
        "digests in a list": ATTESTATION | {"digests": [bytes(32)]},
        "signature of 63 bytes": ATTESTATION | {"signature": bytes(63)},
        "signature of 65 bytes": ATTESTATION | {"signature": bytes(65)},
    }
    for name, data in cases.items():
        payload = pack(data)
        flags = 0
        if len(payload) > 4096:
            payload, flags = zlib.compress(payload, 9), oracle.COMPRESSED
        yield refused4(f"attestation: {name}", frame4("STREAM_ATTESTATION", payload, flags, **NUMBERED))


def two_faults_of_v4():
    """Yield frames with two faults; the earlier check decides: 1 to 7, 13, 8, 14, 9, 10, 11, 12."""
    deflated = zlib.compress(b"\xc1")
    faults = {
        "short and of no type": frame4(0x99, b"")[:31],
        "type and form": frame4(0x99, b"", form=0x80),
        "length past the limit and form": frame4(PING, b"", form=0x80, length=2**24 + 1),
        "bytes missing and form": frame4(PING, b"", form=0x80, length=1),
        "form and checksum": frame4(PING, b"\xc0", form=0x80, checksum=0),
        "checksum and fragment": frame4(PING, b"\xc0", oracle.FRAGMENT, checksum=0),
        "fragment, encrypted and signed": frame4(PING, b"\xc0", 0x62),
        "encrypted and signed": frame4(PING, b"\xc0", 0x42),
        "signed and a damaged stream": frame4(PING, b"\xc0", 0x41),
        "zstd and a record": frame4("ECG_DATA", b"\0", 1, form=5, **NUMBERED),
        "a damaged stream and a short record": frame4("ECG_DATA", b"\0", 1, form=4, **NUMBERED),
        "stream and payload": frame4(PING, deflated + b"\0", 1),
        "payload and fields": frame4("STREAM_TEMPLATE", b"\x80\x80", stream=7, sequence=1),
        "no version 4, and a form": frame(3, T4["STREAM_TEMPLATE"], 0x20, b"\xc0", checksum=0),
    }
    for name, data in faults.items():
        yield refused4(f"two faults: {name}", data)


def headers_alone():
    """Return headers that pass checks 1 to 7 with any payload."""
    made = {
        "the worked record": worked_record(),
        "record, bulk": frame4("ECG_DATA", RECORD_PAYLOAD, form=oracle.RECORD | oracle.BULK, **NUMBERED),
        "record, compressed with zlib": frame4("ECG_DATA", b"\0" * 30, 1, form=oracle.RECORD, **NUMBERED),
        "record, compressed with zstd": frame4("ECG_DATA", b"\0" * 30, 1, form=oracle.RECORD | 1, **NUMBERED),
        "compressed with lz4": frame4("FEATURE_DATA", b"\0" * 30, 1, form=2, **NUMBERED),
        "all flags": frame4("ECG_DATA", bytes(120), 0xFF, **NUMBERED),
        "sealed": frame4("ANOMALY_ALERT", bytes(80), oracle.ENCRYPTED | oracle.PRIORITY, **NUMBERED),
        "signed": frame4("ANOMALY_ALERT", bytes(80), oracle.SIGNED, **NUMBERED),
        "fragment": frame4("ECG_DATA", bytes(80), oracle.FRAGMENT, form=oracle.BULK, **NUMBERED),
    }
    for name, data in made.items():
        version, type, flags, timestamp, payload, _ = oracle.split(data)
        form, stream, sequence = oracle.numbering_of(data)
        header = {"version": version, "type": type, "flags": flags, "timestamp": str(timestamp)}
        header |= {"form": form, "stream": stream, "sequence": sequence}
        yield {"name": f"V4 header: {name}", "frame": data.hex(), "header": header, "payload": payload.hex()}


# --- files ------------------------------------------------------------------------------------------------------

ACCEPTED = (types_versions_flags, values, datetimes_and_uuids, ndarrays, paddings, compressed, wide_headers, end_to_end)
V4 = {
    "accepted": (headers_of_v4, payloads_of_v4, templates, attestations),
    "headers": (headers_alone,),
    "refused": (
        bad_headers_of_v4,
        bad_forms,
        not_supported_yet,
        bad_templates,
        bad_attestations,
        two_faults_of_v4,
    ),
}
REFUSED = (bad_frames, bad_streams, bad_payloads, lies, two_faults, bad_texts, too_many_values)


def gather(makers):
    vectors = [vector for maker in makers for vector in maker()]
    names = [vector["name"] for vector in vectors]
    twice = {name for name in names if names.count(name) > 1}
    assert not twice, twice
    return vectors


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--force", action="store_true", help="overwrite the frozen files")
    options = parser.parse_args()
    for name, write in (
        ("frames.json", lambda: listed(gather(ACCEPTED))),
        ("refused.json", lambda: listed(gather(REFUSED))),
        ("v4.json", text_of_v4),
    ):
        path = VECTORS / name
        if path.exists() and not options.force:
            sys.exit(f"{path} is frozen; --force overwrites it")
        path.write_text(f"{write()}\n")
        print(f"{path}: {path.stat().st_size:,} bytes")


def listed(vectors):
    """Return the vectors as JSON, one in each line."""
    return "[\n" + ",\n".join(json.dumps(vector, ensure_ascii=True) for vector in vectors) + "\n]"


def text_of_v4():
    """Return the text of the file of version 4: an object with a list of vectors for each kind."""
    kinds = [f"{json.dumps(kind)}: {listed(gather(makers))}" for kind, makers in V4.items()]
    return "{\n" + ",\n".join(kinds) + "\n}"


if __name__ == "__main__":
    main()
