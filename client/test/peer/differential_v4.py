"""Writes mutated frames of version 4 and Python's verdict on each, as JSON lines for ``differential-v4.test.ts``.

    python client/test/peer/differential_v4.py FRAMES SEED

Each line is as ``differential.py`` writes it, with form, stream and sequence; of a record also the bytes that Python
writes for what it has read. Records are read by the templates of ``tests/vectors/v4-records.json``: stream n has that
of the n-th vector, from 1 on, the accepted ones first.
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

from ecgframe import Codec, ProtocolError
from ecgframe.messages.templates import DecodedRecord, Template
from ecgframe.protocol import Check, Form, MessageType

if TYPE_CHECKING:
    from collections.abc import Iterator

PER_BASE = 40
LONGEST = 2000
NOW = 1_705_314_645_123_456
CODEC = Codec()
FRAMES = json.loads((VECTORS / "v4.json").read_text())
RECORDS = json.loads((VECTORS / "v4-records.json").read_text())
OF_STREAMS = RECORDS["accepted"] + RECORDS["refused"]


class Known:
    """A template for the codec, which remembers the last record that it has decoded."""

    def __init__(self, payload: str) -> None:
        self.template = Template.unpack(bytes.fromhex(payload))
        self.rows = self.template.rows
        self.last: DecodedRecord

    def decode(self, payload: memoryview, *, max_payload: int, copy: bool, numeric: bool) -> DecodedRecord:
        self.last = self.template.decode(payload, max_payload=max_payload, copy=copy, numeric=numeric)
        return self.last

    def written_again(self) -> str:
        record = self.template.encode(self.last.counts, self.last.time, self.last.sequence)
        return record.hex()


KNOWN = [Known(vector["template_payload"]) for vector in OF_STREAMS]
BOOK = {(stream, known.template.number): known for stream, known in enumerate(KNOWN, 1)}


def record_frame(rng: random.Random) -> bytes:
    """Return a record of one of the vectors, valid or not, sometimes compressed."""
    at = rng.randrange(len(OF_STREAMS))
    record = bytes.fromhex(OF_STREAMS[at]["record"])
    deflate = rng.random() < 0.1
    payload = oracle.zlib.compress(record) if deflate else record
    flags = oracle.COMPRESSED if deflate else 0
    return oracle.frame(
        4, int(MessageType.ECG_DATA), flags, payload, NOW, stream=at + 1, sequence=9, form=int(Form.RECORD)
    )


def template_frame(rng: random.Random) -> bytes:
    """Return a template, valid or not."""
    payloads = [vector["payload"] for vector in RECORDS["refused_templates"]]
    payloads += [vector["template_payload"] for vector in OF_STREAMS]
    payload = bytes.fromhex(rng.choice(payloads))
    return oracle.frame(4, int(MessageType.STREAM_TEMPLATE), 0, payload, NOW, stream=7, sequence=rng.randrange(2))


def spoilt_frame(rng: random.Random) -> bytes:
    """Return a template with fields of other templates."""
    payloads = [vector["payload"] for vector in RECORDS["refused_templates"] if vector["check"] == 12]
    payloads += [vector["template_payload"] for vector in OF_STREAMS]
    told, *others = (oracle.unpack(bytes.fromhex(one)) for one in rng.choices(payloads, k=3))
    told = told if isinstance(told, dict) else {}
    for other in others:
        if isinstance(other, dict):
            told |= {name: value for name, value in other.items() if rng.random() < 0.4}
    return oracle.frame(4, int(MessageType.STREAM_TEMPLATE), 0, oracle.pack(told), NOW, stream=7, sequence=1)


def mutated(rng: random.Random) -> Iterator[bytes]:
    """Yield mutations of valid or almost valid frames without end."""
    texts = [vector["frames"] for vector in FRAMES["accepted"]]
    texts += [vector["frame"] for kind in ("headers", "refused") for vector in FRAMES[kind]]
    vectors = [frame for frame in map(bytes.fromhex, texts) if 32 < len(frame) <= LONGEST]
    other = vectors[0]
    while True:
        base = rng.choice([record_frame, record_frame, template_frame, spoilt_frame, lambda rng: rng.choice(vectors)])(
            rng
        )
        if not 32 < len(base) <= LONGEST:
            continue
        yield base
        yield from (spoilt_frame(rng) for _ in range(PER_BASE // 4))
        for frame in mutations(base, other, rng.randbytes, PER_BASE):
            yield bytes(frame)
        other = base


def verdict(frame: bytes) -> dict[str, Any]:
    """Return Python's verdict on a frame."""
    try:
        message = CODEC.decode(frame, templates=BOOK)
    except ProtocolError as error:
        path = {"path": error.path} if error.check == Check.FIELDS else {}
        return {"code": int(error.code), "check": error.check, **path}
    said = {
        "version": message.version,
        "type": int(message.type),
        "flags": int(message.flags),
        "timestamp": None if message.timestamp is None else str(message.timestamp),
        "form": None if message.form is None else int(message.form),
        "stream": message.stream_id,
        "sequence": message.sequence,
        "data": to_json(message.data),
    }
    if message.form is not None and message.form & Form.RECORD:
        return said | {"again": KNOWN[(message.stream_id or 0) - 1].written_again()}
    return said


def main() -> None:
    """Write the requested number of lines."""
    count, seed = map(int, sys.argv[1:])
    for frame in islice(mutated(random.Random(seed)), count):
        sys.stdout.write(json.dumps({"frame": frame.hex(), **verdict(frame)}) + "\n")


main()
