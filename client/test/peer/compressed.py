"""Prints mutated payloads in zstd and LZ4, with Python's verdict on each: compressed.py COUNT SEED."""

import json
import random
import sys
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "tests"))

from compressed_mutations import bases, mutated

from ecgframe import ProtocolError
from ecgframe.compression import inflate

LIMIT = 1 << 20


def main():
    count, seed = int(sys.argv[1]), int(sys.argv[2])
    draw = random.Random(seed)
    known = bases()
    for _ in range(count):
        algorithm, payload = mutated(known, draw)
        said = {"frame": payload.hex(), "algorithm": algorithm}
        try:
            content = inflate(memoryview(payload), LIMIT, algorithm)
        except ProtocolError as error:
            said |= {"code": int(error.code), "check": int(error.check)}
        else:
            said |= {"nbytes": len(content), "crc32": zlib.crc32(content)}
        print(json.dumps(said))


main()
