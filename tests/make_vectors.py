"""Write vectors/frames.json and vectors/refused.json, from the oracle.

They were written once and are frozen: other implementations hold themselves to them. ``--force`` is for the day when
the format gains something; what stands there already must come out as it is.
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
    """One vector: what the oracle reads in ``data``, and how a sender would come to the same bytes."""
    limit = {} if max_payload is None else {"max_payload": max_payload}
    messages = []
    for one in oracle.decode_frames(data, max_payload or oracle.MAX_PAYLOAD):
        rendered = to_json(one.data)
        assert oracle.same(one.data, from_json(rendered)), name
        timestamp = None if one.timestamp is None else str(one.timestamp)
        messages.append(
            {"version": one.version, "type": one.type, "flags": one.flags, "timestamp": timestamp, "data": rendered}
        )
    return {"name": name, "about": about, "frames": data.hex(), **limit, "canonical": canonical, "messages": messages}


def sent(name, about, data, *, type=PING, version=3, flags=0, timestamp=NOW, ndarray="list"):
    """A frame that a sender sends, uncompressed: the same value must give the same bytes."""
    made = oracle.encode_frame(type, data, version, flags, timestamp, compression=False, ndarray=ndarray)
    return vector(name, about, made, {"ndarray": ndarray})


def foreign(name, about, payload, *, version=3, flags=0, timestamp=NOW, **more):
    """A frame that some sender may send, though ours would not: it must be read."""
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
        "2024-01-15 10:30",
        "20240115T103045+0100",
    ):
        yield foreign(f"datetime {text}", "ISO 8601 as other senders write it", pack({"__datetime__": text}))
    yield sent("uuid", "the specification's example", NAME)
    for text in ("550E8400-E29B-41D4-A716-446655440000", "550e8400e29b41d4a716446655440000"):
        yield foreign(f"uuid {text}", "any usual spelling", pack({"__uuid__": text}))
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
    """What a reader takes though our sender would not write it so."""
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
    """Every padding of the binary form, brought about by what stands in front of it."""
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


def refused(name, data, max_payload=None):
    """One refused vector, with the oracle's verdict."""
    limit = {} if max_payload is None else {"max_payload": max_payload}
    try:
        oracle.decode_frame(data, max_payload or oracle.MAX_PAYLOAD)
    except oracle.Refused as verdict:
        return {"name": name, "frame": data.hex(), **limit, "code": f"0x{verdict.code:03x}", "check": verdict.check}
    raise AssertionError(f"accepted: {name}")


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
    """The earlier check of the table decides."""
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


# --- files ------------------------------------------------------------------------------------------------------

ACCEPTED = (types_versions_flags, values, datetimes_and_uuids, ndarrays, paddings, compressed, wide_headers, end_to_end)
REFUSED = (bad_frames, bad_streams, bad_payloads, lies, two_faults)


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
    for name, makers in (("frames.json", ACCEPTED), ("refused.json", REFUSED)):
        path = VECTORS / name
        if path.exists() and not options.force:
            sys.exit(f"{path} is frozen; --force overwrites it")
        vectors = gather(makers)
        lines = ",\n".join(json.dumps(vector, ensure_ascii=True) for vector in vectors)
        path.write_text(f"[\n{lines}\n]\n")
        print(f"{path}: {len(vectors)} vectors, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
