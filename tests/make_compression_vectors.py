"""Write vectors/v4-compression.json: payloads in zstd and LZ4, and what a receiver makes of each of them.

    python tests/make_compression_vectors.py

vectors/README.md says what is in the file. Needs a library for zstd; ecgframe computes nothing of it.
"""

import importlib
import json
import random
import sys
import zlib

import oracle
from oracle import pack
from rendering import VECTORS

PATH = VECTORS / "v4-compression.json"
ZSTD, LZ4 = 1, 2
MAGIC = b"\x28\xb5\x2f\xfd"
DAMAGED = {"code": "0x103", "check": 9}
TOO_LARGE = {"code": "0x102", "check": 10}

zstd = importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
Parameter = zstd.CompressionParameter

TEXT = pack({"text": "lead II, lead III, lead aVF; " * 60})
SMOOTH = pack({"signal": [n * n // 7 % 900 for n in range(700)]})
ZEROS = pack({"data": bytes(200_000)})
NOISE = pack({"data": random.Random(5).randbytes(900)})
CONTENTS = {"text": TEXT, "numbers": SMOOTH, "zeros": ZEROS, "noise": NOISE, "nil": b"\xc0", "short": pack("II" * 9)}


# --- LZ4, written down sequence by sequence ---


def sequence(literals, offset=None, length=4):
    """One sequence of a block; the last one has no match."""
    match = 0 if offset is None else length - 4
    token = bytes([min(len(literals), 15) << 4 | min(match, 15)]) + more(len(literals)) + literals
    return token if offset is None else token + offset.to_bytes(2, "little") + more(match)


def more(number):
    return b"" if number < 15 else b"\xff" * ((number - 15) // 255) + bytes([(number - 15) % 255])


def lz4(size, *sequences):
    return size.to_bytes(4, "big") + b"".join(sequences)


def simple_lz4(content):
    """A block of the content: a match where it goes on as it did 1, 2, 8 or 29 bytes before, and literals."""
    made, begin, at = [], 0, 0
    while at < len(content) - 12:
        for offset in (1, 2, 8, 29):
            length = 0
            while (
                at >= offset
                and at + length < len(content) - 5
                and content[at + length] == content[at + length - offset]
            ):
                length += 1
            if length >= 4:
                made.append(sequence(content[begin:at], offset, length))
                begin = at = at + length
                break
        else:
            at += 1
    return lz4(len(content), *made, sequence(content[begin:]))


# --- zstd ---


def zstd_frame(content, level=3, **parameters):
    options = {Parameter.compression_level: level}
    options |= {getattr(Parameter, name): value for name, value in parameters.items()}
    return zstd.compress(content, options=options)


def header(size, *, nbytes=4, window=None, flags=0):
    """The header of a zstd frame: a single segment, unless there is a window descriptor."""
    code = {1: 0, 2: 1, 4: 2, 8: 3}[nbytes]
    descriptor = code << 6 | (window is None) << 5 | flags
    begin = MAGIC + bytes([descriptor]) + (b"" if window is None else bytes([window]))
    return begin + (size - 256 * (nbytes == 2)).to_bytes(nbytes, "little")


def block(content, *, kind=0, size=None, last=True):
    """A block as it is (kind 0), or of one byte again and again (kind 1)."""
    field = (len(content) if size is None else size) << 3 | kind << 1 | last
    return field.to_bytes(3, "little") + content


def accepted():
    for name, content in CONTENTS.items():
        for level in (1, 3, 9, 19):
            yield f"zstd {level}: {name}", ZSTD, zstd_frame(content, level), content
        yield f"LZ4: {name}", LZ4, simple_lz4(content), content
        if len(content) < 2000:
            yield f"LZ4, literals alone: {name}", LZ4, lz4(len(content), sequence(content)), content
    nil = pack(None)
    for nbytes in (1, 4, 8):
        yield f"zstd: content size of {nbytes} bytes", ZSTD, header(1, nbytes=nbytes) + block(nil), nil
    long = pack("a" * 300)
    yield "zstd: content size of 2 bytes", ZSTD, header(len(long), nbytes=2) + block(long), long
    for window in (0, 0x68):
        about = f"zstd: window descriptor {window:#04x}"
        yield about, ZSTD, header(1, window=window) + block(nil), nil
    parts = block(long[:100], last=False) + block(b"", last=False) + block(long[100:], last=False) + block(b"")
    yield "zstd: several blocks, empty ones among them", ZSTD, header(len(long)) + parts, long
    body = pack("a" * 40)
    runs = block(body[:2], last=False) + block(b"a", kind=1, size=40)
    yield "zstd: a block of one byte repeated", ZSTD, header(42) + runs, body
    unused = bytearray(header(1) + block(nil))
    unused[4] |= 0x10
    yield "zstd: the unused bit", ZSTD, bytes(unused), nil
    overlapping = pack("ab" * 40)
    made = lz4(82, sequence(overlapping[:4], 2, 73), sequence(overlapping[-5:]))
    yield "LZ4: a match that overlaps itself", LZ4, made, overlapping
    run = pack(bytes(66_000))
    made = lz4(len(run), sequence(run[:6], 1, len(run) - 11), sequence(bytes(5)))
    yield "LZ4: a long match", LZ4, made, run
    far = pack(random.Random(6).randbytes(5_000) + b"x" * 24)
    made = lz4(len(far), sequence(far[:5_004], 1, 18), sequence(far[-5:]))
    yield "LZ4: many literals", LZ4, made, far
    distant = pack(b"abcdefgh" + bytes(65_527) + b"abcdefgh" + b"wxyz!")
    filled = sequence(distant[:14], 1, 65_526)
    made = lz4(len(distant), filled, sequence(b"", 65_535, 8), sequence(distant[-5:]))
    yield "LZ4: the largest offset", LZ4, made, distant


def refused():
    frame, made = zstd_frame(TEXT), simple_lz4(TEXT)
    for algorithm, name, octets in ((ZSTD, "zstd", frame), (LZ4, "LZ4", made)):
        yield f"{name}: nothing", algorithm, b"", DAMAGED
        yield f"{name}: bytes behind", algorithm, octets + b"\0", DAMAGED
        for size in (1, 3, 4, 5, 8, len(octets) // 2, len(octets) - 1):
            yield f"{name}: the first {size} bytes", algorithm, octets[:size], DAMAGED
        zlib_stream, error = (
            zlib.compress(b"\0"),
            TOO_LARGE if algorithm == LZ4 else DAMAGED,
        )  # its first bytes are a size
        yield f"{name}: a zlib stream", algorithm, zlib_stream, error
    yield "zstd: two frames", ZSTD, frame + frame, DAMAGED
    skippable = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + bytes(4)
    yield "zstd: a skippable frame", ZSTD, skippable, DAMAGED
    yield "zstd: a skippable frame in front", ZSTD, skippable + frame, DAMAGED
    yield "zstd: a skippable frame behind", ZSTD, frame + skippable, DAMAGED
    yield "zstd: a checksum", ZSTD, zstd_frame(TEXT, checksum_flag=1), DAMAGED
    yield "zstd: no content size", ZSTD, zstd_frame(TEXT, content_size_flag=0), DAMAGED
    for flags, nbytes in ((1, 1), (2, 2), (3, 4)):
        named = MAGIC + bytes([0xA0 | flags]) + bytes(nbytes) + (1).to_bytes(4, "little") + block(b"\xc0")
        yield f"zstd: a dictionary id of {nbytes} bytes", ZSTD, named, DAMAGED
    yield "zstd: the reserved bit", ZSTD, header(1, flags=8) + block(b"\xc0"), DAMAGED
    nil = block(b"\xc0")
    yield "zstd: a content size of 0", ZSTD, header(0) + block(b""), DAMAGED
    yield "zstd: one byte more than it names", ZSTD, header(len(TEXT) - 1) + block(TEXT), DAMAGED
    yield "zstd: one byte less than it names", ZSTD, header(len(TEXT) + 1) + block(TEXT), DAMAGED
    yield "zstd: a content size beyond any frame of its length", ZSTD, header(16_000_000) + nil, DAMAGED
    yield "zstd: a content size beyond the limit", ZSTD, header(16 * 2**20 + 1) + nil, TOO_LARGE
    yield "zstd: the largest content size", ZSTD, header(2**64 - 1, nbytes=8) + nil, TOO_LARGE
    yield "zstd: a window of 9 MiB", ZSTD, header(1, window=0x69) + nil, DAMAGED
    yield "zstd: the largest window", ZSTD, header(1, window=0xFF) + nil, DAMAGED
    segment = header(8 * 2**20 + 1)
    runs = b"".join(block(b"\0", kind=1, size=1 << 17, last=False) for _ in range(64)) + block(b"\0")
    yield "zstd: a single segment of more than 8 MiB", ZSTD, segment + runs, DAMAGED
    yield "zstd: a block of the reserved type", ZSTD, header(1) + block(b"\xc0", kind=3), DAMAGED
    yield "zstd: no last block", ZSTD, header(1) + block(b"\xc0", last=False), DAMAGED
    yield "zstd: a compressed block of nothing", ZSTD, header(1) + block(b"", kind=2), DAMAGED
    beyond = bytes((0, 255, 255, 255, 0x54, 0, 1, 52, 1))  # 98,047 sequences of 65,538 bytes each, of no bits
    yield "zstd: sequences beyond their block", ZSTD, header(100_000) + block(beyond, kind=2), DAMAGED
    yield "LZ4: a size of 0", LZ4, lz4(0, b"\0"), DAMAGED
    yield "LZ4: a size of 0, and something", LZ4, lz4(0, sequence(b"\xc0")), DAMAGED
    yield "LZ4: one byte more than it names", LZ4, lz4(len(TEXT) - 1, made[4:]), DAMAGED
    yield "LZ4: one byte less than it names", LZ4, lz4(len(TEXT) + 1, made[4:]), DAMAGED
    yield "LZ4: a size beyond any block of its length", LZ4, lz4(255 * 2 + 1, sequence(b"\xc0")), DAMAGED
    yield "LZ4: a size beyond the limit", LZ4, lz4(16 * 2**20 + 1, sequence(b"\xc0")), TOO_LARGE
    yield "LZ4: the largest size", LZ4, lz4(2**32 - 1, sequence(b"\xc0")), TOO_LARGE
    yield "LZ4: an offset of 0", LZ4, lz4(13, sequence(b"\xc4\x0b\0\0", 0, 4), sequence(bytes(5))), DAMAGED
    yield (
        "LZ4: an offset before the content",
        LZ4,
        lz4(13, sequence(b"\xc4\x0b\0\0", 5, 4), sequence(bytes(5))),
        DAMAGED,
    )
    yield "LZ4: a number that never ends", LZ4, lz4(255 * 20, b"\xf0" + b"\xff" * 60), DAMAGED
    yield "LZ4: a match length that never ends", LZ4, lz4(255 * 20, b"\x1f\0\x01\0" + b"\xff" * 60), DAMAGED
    yield "LZ4: a match beyond the size", LZ4, lz4(20, sequence(b"\xc4\x12\0\0", 1, 400), sequence(bytes(5))), DAMAGED
    yield "LZ4: no last literals", LZ4, lz4(8, sequence(b"\xc4\x06\0\0", 1, 4)), DAMAGED


def main():
    made = {"accepted": [], "refused": []}
    for name, algorithm, octets, content in accepted():
        read = (None, oracle.inflate_zstd, oracle.inflate_lz4)[algorithm]
        assert read(octets) == content, name
        entry = {"name": name, "algorithm": algorithm, "payload": octets.hex()}
        made["accepted"].append(entry | {"nbytes": len(content), "crc32": zlib.crc32(content)})
    for name, algorithm, octets, error in refused():
        made["refused"].append({"name": name, "algorithm": algorithm, "payload": octets.hex(), **error})
    kinds = [f"{json.dumps(kind)}: [\n" + ",\n".join(map(json.dumps, each)) + "\n]" for kind, each in made.items()]
    PATH.write_text("{\n" + ",\n".join(kinds) + "\n}\n")
    print(f"{PATH}: {len(made['accepted'])} accepted, {len(made['refused'])} refused, {PATH.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
