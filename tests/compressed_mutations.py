"""Payloads in zstd and LZ4, as they are and damaged, for fuzzing."""

import json

from rendering import VECTORS

from ecgframe.compression import zstd
from ecgframe.protocol import Algorithm

LONGEST = 1500


def bases():
    """The frozen payloads that are not too long, accepted and refused, by algorithm."""
    found = {}
    for vectors in json.loads((VECTORS / "v4-compression.json").read_text()).values():
        for vector in vectors:
            payload = bytes.fromhex(vector["payload"])
            if 0 < len(payload) <= LONGEST and (vector["algorithm"] != Algorithm.ZSTD or zstd.is_available()):
                found.setdefault(vector["algorithm"], []).append(payload)
    return found


def mutated(bases, draw):
    """Return an algorithm and a payload: a frozen one with up to four changes.

    Args:
        bases: those of ``bases``.
        draw: a ``random.Random``.
    """
    algorithm = draw.choice(sorted(bases))
    payload = bytearray(draw.choice(bases[algorithm]))
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        at, kind = draw.randrange(len(payload) + 1), draw.randrange(8)
        if kind < 3:
            payload[at : at + 1] = bytes([draw.randrange(256)])
        elif kind == 3:
            payload[at : at + 1] = bytes([payload[at] ^ 1 << draw.randrange(8)]) if at < len(payload) else b""
        elif kind == 4:
            del payload[at : at + draw.randrange(1, 9)]
        elif kind == 5:
            payload[at:at] = draw.randbytes(draw.randrange(1, 9))
        elif kind == 6:
            other = draw.choice(bases[algorithm])
            start = draw.randrange(len(other))
            payload[at:at] = other[start : start + draw.randrange(1, 40)]
        else:
            del payload[at:]
        if not payload:
            payload = bytearray(b"\0")
    return algorithm, bytes(payload)
