"""Mutated frames through the whole reading side: accepted, or refused with a ProtocolError, and memory stays flat.

    python tests/fuzz.py --frames 10000000 [--seed N] [--version 4]

Prints how many were accepted and refused by code, and the resident memory on the way. Ends with 1 when anything but a
ProtocolError came out, or when memory grew; the frame and the seed are printed then. With ECGFRAME_PLAIN=1 in the
environment, the plain core reads them.
"""

import argparse
import gc
import json
import os
import random
import sys
import time
import zlib
from collections import Counter
from struct import Struct

from rendering import VECTORS

from ecgframe import Codec, ProtocolError
from ecgframe.protocol import LAST_FATAL_CHECK

LENGTH_AND_CHECKSUM = Struct(">II")
LONGEST = 700
PER_BASE = 500
TAGS = bytes(
    [
        *range(0xC0, 0xE0),
        0x00,
        0x01,
        0x7F,
        0x80,
        0x81,
        0x82,
        0x83,
        0x8F,
        0x90,
        0x91,
        0x93,
        0x9F,
        0xA0,
        0xA5,
        0xAB,
        0xBF,
        0xE0,
        0xFF,
    ]
)
ALLOWED_GROWTH = 4 * 2**20


def bases():
    """The frames to be mutated: the frozen vectors of all versions, accepted and refused, that are not too long."""
    frames = [vector["frames"] for vector in json.loads((VECTORS / "frames.json").read_text())]
    refused = [vector["frame"] for vector in json.loads((VECTORS / "refused.json").read_text())]
    in_v4 = json.loads((VECTORS / "v4.json").read_text())
    of_v4 = [vector.get("frames") or vector["frame"] for kind in in_v4.values() for vector in kind]
    found = [bytes.fromhex(text) for text in (*frames, *refused, *of_v4)]
    return [frame for frame in found if max(19, header_size(frame[:1])) < len(frame) <= LONGEST]


def header_size(first_byte):
    """Return the size of the header of a frame with this first byte."""
    return {b"\3": 19, b"\4": 32}.get(bytes(first_byte), 11)


def mutations(base, other, draw, count):
    """Return ``count`` mutations of ``base``. Most get a correct length and checksum, so that the payload is read."""
    start = header_size(base[:1])
    version, size = base[0], len(base)
    pieces = [other[n : n + 1 + n % 24] for n in range(0, len(other), 3)]
    numbers = memoryview(draw(8 * count)).cast("Q")
    for number in numbers:
        frame = bytearray(base)
        at = start + (number & 0xFFFF) % (size - start) if number >> 60 else (number & 0xFFFF) % size
        kind = number >> 16 & 7
        if kind < 3:
            frame[at] = number >> 24 & 0xFF
        elif kind == 3:
            frame[at] ^= 1 << (number >> 24 & 7)
        elif kind == 4:
            frame[at] = TAGS[(number >> 24) % len(TAGS)]
        elif kind == 5:
            piece = pieces[(number >> 24 & 0xFFFF) % len(pieces)]
            frame[at : at + (number >> 40 & 15)] = piece
        elif kind == 6:
            del frame[at : at + 1 + (number >> 24 & 15)]
        else:
            frame[at] = TAGS[(number >> 24) % len(TAGS)]
            frame[start + (number >> 32 & 0xFFFF) % (size - start)] = number >> 48 & 0xFF
        if number >> 59 & 15 and frame[0] == version and len(frame) >= start:
            with memoryview(frame) as view:
                LENGTH_AND_CHECKSUM.pack_into(frame, 3, len(frame) - start, zlib.crc32(view[start:]))
        yield frame


def readers():
    plain, arrays = Codec(), Codec(numeric_lists="ndarray", max_payload=1 << 16, validate=True)

    def whole_batch(frame):
        for _ in plain.decode_all(frame):
            pass

    def each_of_a_batch(frame):
        for item in arrays.decode_each(frame):
            if isinstance(item, ProtocolError) and item.check > LAST_FATAL_CHECK:
                continue
            if isinstance(item, ProtocolError):
                raise item

    def payload_alone(frame):
        plain.unpack(memoryview(frame)[header_size(frame[:1]) :] if frame else frame)

    # decode twice: it is what a receiver does
    return [plain.decode, plain.decode, arrays.decode, whole_batch, each_of_a_batch, plain.split, payload_alone]


def resident():
    """Return the bytes of memory of this process; None if the system does not tell."""
    gc.collect()
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


class Run:
    """A run of the fuzzer, with its results."""

    def __init__(self, seed, version=None):
        self.seed = seed
        self.random = random.Random(seed)
        self.bases = [frame for frame in bases() if version in (None, frame[0])]
        self.readers = readers()
        self.outcomes = Counter()
        self.failures = []
        self.memory = []

    def read(self, count):
        """Read ``count`` mutated frames."""
        random, outcomes = self.random, self.outcomes
        while count > 0:
            base, other = random.choice(self.bases), random.choice(self.bases)
            read = random.choice(self.readers)
            accepted = 0
            for frame in mutations(base, other, random.randbytes, min(count, PER_BASE)):
                try:
                    read(frame)
                except ProtocolError as error:
                    outcomes[error.code] += 1
                except BaseException as error:
                    if isinstance(error, KeyboardInterrupt):
                        raise
                    self.fail(error, read, frame)
                else:
                    accepted += 1
            outcomes["accepted"] += accepted
            count -= PER_BASE

    def fail(self, error, read, frame):
        self.failures.append((error, read, bytes(frame)))
        print(f"{error!r} from {read} with seed {self.seed}:\n{frame.hex()}", file=sys.stderr)
        if len(self.failures) >= 10:
            raise SystemExit("ten failures are enough")

    def note_memory(self):
        self.memory.append(resident())

    def growth(self):
        """Bytes that memory grew by from the first note to the last."""
        return 0 if None in self.memory else self.memory[-1] - self.memory[0]

    def report(self, seconds):
        total = sum(self.outcomes.values())
        print(f"{total:,} frames in {seconds:.0f} s ({seconds / max(total, 1) * 1e6:.2f} us a frame), seed {self.seed}")
        for outcome, count in sorted(self.outcomes.items(), key=lambda item: -item[1]):
            name = outcome if isinstance(outcome, str) else f"0x{outcome:03x} {outcome.name}"
            print(f"  {name:36} {count:>12,}  {count / total:6.1%}")
        if None not in self.memory:
            print(
                "  resident MiB at start, on the way, at the end:",
                ", ".join(f"{size / 2**20:.1f}" for size in self.memory),
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=1_000_000, metavar="N", help="how many (1,000,000)")
    parser.add_argument("--seed", type=int, default=None, help="to see a run again (random)")
    parser.add_argument("--version", type=int, default=None, choices=[1, 2, 3, 4], help="mutate its frames (all)")
    parser.add_argument("--any-memory", action="store_true", help="may grow: a sanitizer keeps what was freed")
    options = parser.parse_args()
    seed = random.SystemRandom().getrandbits(32) if options.seed is None else options.seed
    run = Run(seed, options.version)
    begin = time.perf_counter()
    run.read(min(options.frames, 50_000))
    run.note_memory()
    for _ in range(4):
        run.read((options.frames - 50_000) // 4)
        run.note_memory()
    run.report(time.perf_counter() - begin)
    if run.failures:
        sys.exit(f"{len(run.failures)} frames broke out")
    if run.growth() > ALLOWED_GROWTH and not options.any_memory:
        sys.exit(f"memory grew by {run.growth() / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
