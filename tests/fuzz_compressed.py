"""Mutated payloads in zstd and LZ4, alone and in frames: only ProtocolError comes out, and memory stays flat.

    python tests/fuzz_compressed.py --payloads 1000000 [--seed N]

Prints how many were accepted and refused, and the resident memory on the way. Ends with 1 when anything but a
ProtocolError came out, or when memory grew; the payload and the seed are printed then. With ECGFRAME_PLAIN=1 in the
environment, the plain core reads them.
"""

import argparse
import gc
import random
import sys
import time
import zlib
from collections import Counter

from compressed_mutations import bases, mutated
from fuzz import ALLOWED_GROWTH, resident

from ecgframe import Codec, ProtocolError, accelerated
from ecgframe.compression import inflate

LIMIT = 1 << 20
FRAME_EVERY = 8


def frame_of(algorithm, payload):
    """A frame of version 4 with the payload, and the right checksum."""
    header = bytes([4, 4, 1]) + len(payload).to_bytes(4, "big") + zlib.crc32(payload).to_bytes(4, "big")
    return header + bytes(8) + bytes([algorithm]) + (7).to_bytes(4, "big") + (1).to_bytes(8, "big") + payload


def verdict(work):
    try:
        work()
    except ProtocolError as error:
        return f"{error.code:#x} check {error.check}"
    return "accepted"


def run(count, seed, say=print):
    """Read so many payloads; True if all went well."""
    draw, known, codec = random.Random(seed), bases(), Codec(max_payload=LIMIT)
    verdicts, begun, first = Counter(), time.monotonic(), None
    for n in range(count):
        algorithm, payload = mutated(known, draw)
        try:
            found = verdict(lambda: inflate(memoryview(payload), LIMIT, algorithm))  # noqa: B023
            if n % FRAME_EVERY == 0:
                verdict(lambda: codec.decode(frame_of(algorithm, payload)))  # noqa: B023
        except Exception as error:  # anything else is a fault
            say(f"seed {seed}, payload {n}: algorithm {algorithm}, {payload.hex()}: {error!r}")
            return False
        verdicts[f"{algorithm}: {found}"] += 1
        if n % 50_000 == 49_999:
            gc.collect()
            now = resident()
            first = now if first is None else first
            say(f"{n + 1:,} payloads in {time.monotonic() - begun:,.0f} s, {now / 2**20:.1f} MiB resident")
            if now > first + ALLOWED_GROWTH:
                say(f"memory grew by {(now - first) / 2**20:.1f} MiB")
                return False
    say(f"seed {seed}, {'compiled' if accelerated else 'plain'} core: {dict(verdicts)}")
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--payloads", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    sys.exit(0 if run(options.payloads, options.seed) else 1)


if __name__ == "__main__":
    main()
