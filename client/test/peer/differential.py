"""Writes mutated frames and Python's verdict on each, as JSON lines for ``differential.test.ts``.

    python client/test/peer/differential.py FRAMES SEED

Each line has the frame in hexadecimal and the verdict: code and check of the error, or the decoded message in the form
of ``tests/vectors/README.md``. For a control message, it includes the verdict on its fields.
"""

from __future__ import annotations

import json
import random
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[3] / "tests"))

import oracle
from fuzz import mutations
from rendering import VECTORS, to_json
from twin_fuzz import NUMBERS, starts

from ecgframe import Codec, ProtocolError
from ecgframe.messages import check_received
from ecgframe.protocol import DATA_TYPES, DTYPE_SPELLINGS, MessageType

if TYPE_CHECKING:
    from collections.abc import Iterator

PER_BASE = 40
LONGEST = 2000
CODEC = Codec()
NOW = 1_705_314_645_123_456

# fmt: off
TEXTS = [
    "2024-01-15T10:30:45.123456+00:00", "2024-01-15T10:30:45Z", "2024-01-15", "2024-02-29T23:59:59.9-23:59",
    "0001-01-01", "9999-12-31T23:59:59.999999999+05:53:28.000001", "2024-01-15T10:30",
    "2024-01-15T10:30:45.12+01:30:15", "550e8400-e29b-41d4-a716-446655440000", "550E8400-E29B-41D4-A716-44665544000F",
]
LETTERS = "0123456789abcdefABCDEFTtZzWxnurn:{}-+_., \u2212\u0660\u00b2\t\n\0"
FIELDS = [
    "stream", "since", "status", "code", "from", "to", "message", "details", "dropped", "versions", "version",
    "preferred", "capabilities", "max_payload", "heartbeat_interval", "compatible", "ack", "ping", "sent", "type", "0",
    "499", "__proto__",
]
CONTENTS = [
    None, True, "ecg/1", "denied", "subscribed", 3, -1, 2**53, 2**64 - 1, -(2**63), 1.5, float("nan"),
    float("inf"), 1e300, [1, 2, 3], ["ack", "batch"], [1, "a"], [], {}, {"dropped": -3}, b"",
    {"__datetime__": "2024-01-15T10:30:45Z"},
]
# fmt: on


def changed(rng: random.Random, text: str) -> str:
    """Return a text unchanged, or with one or two letters inserted, removed or replaced."""
    letters = list(text)
    for _ in range(rng.randrange(3)):
        at = rng.randrange(len(letters) + 1)
        letters[at : at + rng.randrange(2)] = rng.choice(LETTERS) * rng.randrange(3)
    return "".join(letters)


def text_frame(rng: random.Random) -> bytes:
    """Return a frame with a date, a UUID or a dtype, valid or almost."""
    text = changed(rng, rng.choice(TEXTS))
    wrapped: Any = {rng.choice(["__datetime__", "__uuid__"]): text}
    if rng.random() < 0.4:
        dtype = changed(rng, rng.choice(list(DTYPE_SPELLINGS)))
        wrapped = {"__ndarray__": [], "dtype": dtype, "shape": [0]}
    return oracle.frame(3, 1, 0, oracle.pack([wrapped]), NOW)


def control_frame(rng: random.Random) -> bytes:
    """Return a control message with some of the defined fields, with arbitrary values."""
    type = rng.choice([one for one in MessageType if one not in DATA_TYPES])
    data = {name: rng.choice(CONTENTS) for name in rng.sample(FIELDS, rng.randrange(7))}
    if rng.random() < 0.2:
        data[rng.choice([0, 7, -1, 2**63])] = 1
    return oracle.frame(rng.choice(oracle.VERSIONS), int(type), 0, oracle.pack(data), NOW)


def map_frame(rng: random.Random) -> bytes:
    """Return a map with many keys of both kinds, more than a reader puts into a hash table without a salt."""
    integers = [number for number in NUMBERS if number[0] < 0x80 or number[0] >= 0xE0 or 0xCC <= number[0] <= 0xD3]
    keys = [rng.choice(integers) if rng.random() < 0.5 else oracle.pack(str(rng.randrange(600))) for _ in range(10)]
    keys += [b"\xcf" + rng.randbytes(8) for _ in range(rng.choice([0, 60, 80]))]
    keys = list({oracle.unpack(key): key for key in keys}.values()) + rng.choices(keys, k=rng.random() < 0.1)
    entries = b"".join(key + b"\x01" for key in keys)
    return oracle.frame(3, 4, 0, b"\xde" + len(keys).to_bytes(2, "big") + entries, NOW)


def deflated_frame(rng: random.Random) -> bytes:
    """Return one of the other frames, compressed."""
    frame = rng.choice([text_frame, control_frame, map_frame])(rng)
    start = oracle.header_size(frame[0])
    payload = oracle.zlib.compress(frame[start:], rng.choice([0, 1, 6, 9]))
    return oracle.frame(rng.choice([2, 3]), frame[1], oracle.COMPRESSED, payload, NOW)


def long_vectors() -> list[bytes]:
    """Return the vectors that the other fuzzers leave out: compressed and long ones."""
    names = {"frames.json": "frames", "refused.json": "frame"}
    texts = [one[key] for name, key in names.items() for one in json.loads((VECTORS / name).read_text())]
    return [frame for frame in map(bytes.fromhex, texts) if 19 < len(frame) <= LONGEST]


def mutated(rng: random.Random) -> Iterator[bytes]:
    """Yield mutations of valid or almost valid frames without end."""
    vectors, generated = long_vectors(), starts(rng)
    other = vectors[0]
    while True:
        makers = (text_frame, control_frame, map_frame, deflated_frame)
        kind = rng.randrange(len(makers) + 3)
        base = (
            makers[kind](rng) if kind < len(makers) else next(generated) if kind > len(makers) else rng.choice(vectors)
        )
        yield base
        for frame in mutations(base, other, rng.randbytes, PER_BASE):
            yield bytes(frame)
        other = base


def verdict(frame: bytes) -> dict[str, Any]:
    """Return Python's verdict on a frame."""
    try:
        message = CODEC.decode(frame)
    except ProtocolError as error:
        return {"code": int(error.code), "check": error.check}
    said = {
        "version": message.version,
        "type": int(message.type),
        "flags": int(message.flags),
        "timestamp": None if message.timestamp is None else str(message.timestamp),
        "data": to_json(message.data),
    }
    if message.type in DATA_TYPES:
        return said
    try:
        check_received(message.type, message.data)
    except ProtocolError as error:
        return said | {"fields": [int(error.code), error.check]}
    return said | {"fields": None}


def main() -> None:
    """Write the requested number of lines."""
    count, seed = map(int, sys.argv[1:])
    for frame in islice(mutated(random.Random(seed)), count):
        sys.stdout.write(json.dumps({"frame": frame.hex(), **verdict(frame)}) + "\n")


main()
