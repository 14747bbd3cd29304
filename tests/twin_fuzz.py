"""Mutated frames through the compiled and the plain core: both must accept them with equal values, or refuse alike.

    python tests/twin_fuzz.py --frames 10000000 [--seed N]

Prints how many were accepted and refused by code. Stops at the first disagreement, with the frame, and ends with 1.
"""

import argparse
import math
import random
import sys
import time
from collections import Counter
from typing import NamedTuple

import numpy as np
import oracle
import twin
from fuzz import bases, header_size, mutations

import ecgframe

PER_BASE = 200
# fmt: off
DTYPES = [
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64",
    ">i2", ">u4", ">i8", ">f2", ">f4", ">f8",
]
ODD_DTYPES = [
    "?", "b", "h", "=f4", "|u1", "|f8", "l", "long", "double", "g", "f16", "c8", "O", "U1", "m8", "M8[s]", "f8,f8",
    "2f8", "(2,)f8", "8", "f1", "i3", "object", "datetime64", "", " f8", "f8\0", "é", "f" * 32, "f" * 33,
]
NUMBERS = [bytes.fromhex(number) for number in (
    "00", "01", "7f", "ff", "e0", "c2", "c3", "cc00", "cc01", "ccff", "cd0001", "cdffff", "ce00000001", "ceffffffff",
    "cf0000000000000001", "cf7fffffffffffffff", "cf8000000000000000", "cfffffffffffffffff", "cf0020000000000000",
    "cf1000001000000001", "d001", "d080", "d10001", "d18000", "d200000001", "d280000000", "d30000000000000001",
    "d38000000000000000", "d30020000000000001", "d3efffffefffffffff", "ca00000000", "ca3f800000", "caff800000",
    "ca7fc00000", "ca477fe000", "ca477ff000", "ca7f7fffff", "cb0000000000000000", "cb8000000000000000",
    "cb3ff0000000000000", "cb3fe0000000000000", "cb7ff0000000000000", "cb7ff8000000000000", "cb43e0000000000000",
    "cb43f0000000000000", "cbc3e0000000000000", "cb40effc0000000000", "cb40effe0000000000", "cb47efffffefffffff",
    "cb47effffff0000000", "cb3e60000000000000", "cb406fe00000000000", "cb4070000000000000",
    "c0", "90", "9100", "a161", "80", "c1",
)]
COUNTS = [bytes.fromhex(number) for number in (
    "05", "7f", "e0", "ff", "ccd0", "cc80", "d0cc", "d0d1", "cd4cd0", "cdcdd0", "d1d0cc", "d1cdcd", "d18000",
)]
# fmt: on
"""Numbers in every width, at the edges of every dtype; the last few are none. The counts fit into 16 bits, and
hold bytes that look like tags."""


class Reader(NamedTuple):
    """A way to read frames with one of the cores."""

    name: str
    compiled: object
    plain: object


def readers(plain):
    """The ways to read a frame that are compared, from the two packages."""
    ways = [
        ("decode", {}, "decode"),
        ("decode, lists as arrays", {"numeric_lists": "ndarray"}, "decode"),
        ("decode, checked, small", {"validate": True, "max_payload": 300}, "decode"),
        ("split", {}, "split"),
    ]
    found = [
        Reader(name, getattr(ecgframe.Codec(**options), call), getattr(plain.Codec(**options), call))
        for name, options, call in ways
    ]
    found.append(Reader("decode_all", *(batch_reader(package) for package in (ecgframe, plain))))
    found.append(Reader("decode_each", *(each_reader(package) for package in (ecgframe, plain))))
    found.append(Reader("unpack", *(payload_reader(package) for package in (ecgframe, plain))))
    return found


def batch_reader(package):
    def read(frame):
        return list(package.decode_all(bytes(frame) * 2))

    return read


def each_reader(package):
    codec = package.Codec(validate=True)

    def read(frame):
        return twin.each(codec, bytes(frame) * 2)

    return read


def payload_reader(package):
    codec = package.Codec(numeric_lists="ndarray")

    def read(frame):
        return codec.unpack(memoryview(frame)[header_size(frame[:1]) :])

    return read


# --- frames to start from, beside the vectors ---


def wrapper_frame(rng):
    """Return a frame with an ndarray wrapper of any form, dtype and numbers, valid or almost."""
    dtype = rng.choice(DTYPES)
    shape = [rng.randrange(4) for _ in range(rng.randrange(4))]
    count = math.prod(shape)
    sort = rng.randrange(6)
    pool = NUMBERS if sort == 0 else NUMBERS[:-6] if sort < 3 else [rng.choice(NUMBERS[:-6])]
    numbers = [rng.choice(pool) for _ in range(count)]
    form = rng.randrange(4)
    if form == 0:
        samples = oracle.SCALARS.pack(rng.randbytes(count * np.dtype(dtype).itemsize))
    elif form == 1:
        samples = oracle.SCALARS.pack_array_header(count) + b"".join(numbers)
    else:
        samples = nested(numbers, shape)
    entries = [
        oracle.SCALARS.pack("__ndarray__") + samples,
        oracle.SCALARS.pack("dtype") + oracle.SCALARS.pack(rng.choice(ODD_DTYPES) if rng.random() < 0.1 else dtype),
        oracle.SCALARS.pack("shape") + oracle.SCALARS.pack(shape),
    ]
    rng.shuffle(entries)
    wrapper = b"\x83" + b"".join(entries)
    return oracle.frame(3, 1, 0, rng.choice([wrapper, deep(rng, wrapper), b"\x82\xa1s" + wrapper + b"\xa1n\x01"]), 7)


def long_frame(rng):
    """A row so long that it is moved many samples at a time: counts, floats, or one number that is none of them."""
    pool = rng.choice([COUNTS, rng.sample(COUNTS, 2), [rng.choice(NUMBERS[:-6])]])
    numbers = rng.choices(pool, k=rng.randrange(60, 150))
    if rng.random() < 0.3:
        numbers[rng.randrange(len(numbers))] = rng.choice(NUMBERS)
    wrapper = b"\x83\xab__ndarray__" + nested(numbers, [len(numbers)])
    wrapper += b"\xa5dtype" + oracle.SCALARS.pack(rng.choice(DTYPES)) + b"\xa5shape\x91\xcc" + bytes([len(numbers)])
    return oracle.frame(3, 1, 0, wrapper, 7)


def deep(rng, value):
    """Return the value nested in lists and maps: to the maximum depth, one more, or a few levels."""
    return b"".join(rng.choices([b"\x91", b"\x81\xa1a"], k=rng.choice([1, 2, *range(58, 65)]))) + value


def nested(numbers, shape):
    if not shape:
        return numbers[0]
    size = len(numbers) // shape[0] if shape[0] else 0
    rows = [nested(numbers[i * size : (i + 1) * size], shape[1:]) for i in range(shape[0])]
    return oracle.SCALARS.pack_array_header(shape[0]) + b"".join(rows)


def list_frame(rng):
    """Return a frame with lists of numbers, which become arrays with ``numeric_lists``."""
    pool = rng.choice(
        [NUMBERS, NUMBERS[:-6], rng.sample(NUMBERS[:-6], 3), [number for number in NUMBERS if number[0] < 0xC0]]
    )
    columns = rng.randrange(5)
    rows = [nested([rng.choice(pool) for _ in range(columns)], [columns]) for _ in range(rng.randrange(4))]
    body = rng.choice([nested(rows, [len(rows)]), rows[0] if rows else b"\x90"])
    return oracle.frame(3, 2, 0, rng.choice([body, deep(rng, body), b"\x81\xa1x" + body, b"\x92" + body + body]), 7)


def numbered_frame(rng):
    """A frame of version 4 with any form, stream and sequence, most of which do not fit together."""
    type = rng.choice([0x01, 0x02, 0x03, 0x11, 0x20, 0x23, 0x24, rng.randrange(256)])
    form = rng.choice([0, 0, 0x04, 0x10, 0x14, 1, 2, 3, rng.randrange(256)])
    flags = rng.choice([0, 0, 0, 4, 0x20, 0x40, 2, 0x80, rng.randrange(256)])
    stream, sequence = rng.choice(
        [(0, 0), (7, 57), (7, 57), (7, 0), (0, 57), (2**32 - 1, 2**53 - 1), (1, 2**53), (1, rng.getrandbits(64))]
    )
    payload = rng.choice([b"\xc0", b"\x81\xa1n\x01", rng.randbytes(rng.randrange(1, 40)), template_payload(rng)])
    return oracle.frame(4, type, flags, payload, 7, form=form, stream=stream, sequence=sequence)


def template_payload(rng):
    """Fields of a template or an attestation, each valid or not."""
    fields = {
        "template": [0, 1, 65535, 65536, -1, 1.0, True],
        "stream": ["ecg/1", 7],
        "dtype": ["int16", "uint8", "float32", "int64", ">i2"],
        "rows": [0, 2, 4096, 4097],
        "fields": [{}, {"gain": 200}, {"gain": 0}, {"baseline": float("nan")}, {"signal": 1}, {1: 2}, []],
        "missing": [0, -32768, 256, 40000, None, 2**70 % 2**64],
        "scale": [{"mul": 1, "div": 2.5}, {"mul": 0, "div": 1}, {"mul": 1}, {"mul": 10**18, "div": True}],
        "epoch": [1, 0, 2**53 - 1, 2**53, None],
        "key": [bytes(8), bytes(7)],
        "number": [1, 0],
        "last": [True, 0],
        "previous": [bytes(32), None],
        "digests": [bytes(64), bytes(33)],
        "signature": [bytes(64), ""],
    }
    names = rng.choice(
        [list(fields)[:5], list(fields)[:8], ["template", "stream", "epoch"], ["stream", *list(fields)[7:]]]
    )
    chosen = {name: fields[name][0] if rng.random() < 0.7 else rng.choice(fields[name]) for name in names}
    if rng.random() < 0.3:
        chosen.pop(rng.choice(names))
    return oracle.pack(chosen)


def starts(rng):
    """Yield frames to be mutated, without end."""
    vectors = bases()
    while True:
        yield rng.choice(vectors)
        yield numbered_frame(rng)
        yield wrapper_frame(rng)
        yield list_frame(rng)
        yield long_frame(rng)


# --- running ---


class Disagreement(Exception):
    """The two cores differ on a frame."""


class Run:
    """A run of the fuzzer, with the verdicts of both cores."""

    def __init__(self, seed, plain=None):
        self.random = random.Random(seed)
        self.seed = seed
        self.readers = readers(plain or twin.load_plain())
        self.starts = starts(self.random)
        self.verdicts = Counter()

    def compare(self, count):
        """Read ``count`` frames with both; raise ``Disagreement`` at the first difference."""
        base, other = next(self.starts), next(self.starts)
        while count > 0:
            reader = self.random.choice(self.readers)
            for frame in mutations(base, other, self.random.randbytes, min(count, PER_BASE)):
                self.compare_one(reader, frame)
            count -= PER_BASE
            base, other = next(self.starts), base

    def compare_one(self, reader, frame):
        compiled, plain = twin.outcome(reader.compiled, frame), twin.outcome(reader.plain, frame)
        if not twin.alike(compiled, plain):
            raise Disagreement(
                f"{reader.name}, seed {self.seed}:\n  compiled: {compiled!r}\n  plain:    {plain!r}\n"
                f"  frame: {frame.hex()}"
            )
        refused = type(compiled) is twin.Refusal
        self.verdicts[f"{compiled.kind} at check {compiled.check}" if refused else "accepted"] += 1

    def report(self, seconds):
        total = sum(self.verdicts.values())
        print(f"{total:,} frames, one verdict each, in {seconds:.0f} s, seed {self.seed}")
        for verdict, count in self.verdicts.most_common():
            print(f"  {verdict:40} {count:>12,}  {count / total:6.1%}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=1_000_000, metavar="N", help="how many (1,000,000)")
    parser.add_argument("--seed", type=int, default=None, help="to see a run again (random)")
    options = parser.parse_args()
    if not ecgframe.accelerated:
        sys.exit("this needs the compiled core; it is not built, or ECGFRAME_PLAIN=1 is set")
    run = Run(random.SystemRandom().getrandbits(32) if options.seed is None else options.seed)
    begin = time.perf_counter()
    try:
        run.compare(options.frames)
    except Disagreement as difference:
        run.report(time.perf_counter() - begin)
        sys.exit(f"the cores disagree: {difference}")
    run.report(time.perf_counter() - begin)


if __name__ == "__main__":
    main()
