"""Write vectors/v4-fragments.json: fragments of version 4, and what a receiver makes of each of them.

    python tests/make_fragment_vectors.py

vectors/README.md says what is in the file. The expected results are written down here, not computed by ecgframe.
"""

import json
import struct

import oracle
from rendering import VECTORS

PATH = VECTORS / "v4-fragments.json"
T = oracle.TYPES_OF_V4
LEAST = 1024
PRIORITY = oracle.PRIORITY
FRAGMENT = {"code": "0x200", "check": 13}
TOO_LARGE = {"code": "0x102", "check": 13}


def filled(nbytes, n=1):
    """Return a payload of so many bytes."""
    empty = len(oracle.pack({"n": n, "pad": bytes(300)}))
    return oracle.pack({"n": n, "pad": bytes([n]) * (nbytes - empty + 300)})


class Message:
    """A message to cut; ``header`` holds its flags, and form, stream and sequence."""

    def __init__(self, payload, type="FEATURE_DATA", flags=0, timestamp=1, **header):
        self.payload, self.type, self.flags, self.timestamp, self.header = payload, type, flags, timestamp, header

    def whole(self):
        return oracle.frame(4, T[self.type], self.flags, self.payload, self.timestamp, **self.header)

    def piece(self, start, stop, *, total=None, offset=None, type=None, flags=0, header=None):
        """Return the fragment with these bytes of the payload. What is named otherwise is wrong in it."""
        fields = struct.pack(">II", len(self.payload) if total is None else total, start if offset is None else offset)
        travels = fields + self.payload[start:stop]
        bits = self.flags | flags | oracle.FRAGMENT
        return oracle.frame(4, T[type or self.type], bits, travels, self.timestamp, **(header or self.header))

    def cut(self, size=LEAST):
        return [self.piece(start, start + size) for start in range(0, len(self.payload), size)]


def case(name, *steps, **options):
    """Return a vector. Each step is a fragment and its result: None, a message that is whole now, or an error."""
    frames, results = [], []
    for frame, result in steps:
        frames.append(frame.hex())
        results.append({"whole": result.whole().hex()} if isinstance(result, Message) else result)
    return {"name": name, **options, "frames": frames, "results": results}


def arriving(message, fragments=None):
    """Return the steps of a message that arrives whole."""
    fragments = fragments or message.cut()
    return [(fragment, None) for fragment in fragments[:-1]] + [(fragments[-1], message)]


def worked():
    """Return the message of the page, in pieces of 16 bytes."""
    payload = oracle.pack({"features": {"x": 1.5}, "stream": "ecg/1"})
    message = Message(payload, timestamp=1_705_314_660_000_021, stream=7, sequence=59)
    return case("the worked fragments", *arriving(message, message.cut(16)), least=16)


def vectors():
    live = Message(filled(3000), stream=7, sequence=1, timestamp=11)
    other = Message(filled(2500, 2), stream=8, sequence=1, timestamp=12)
    bulk = Message(filled(2100, 3), stream=9, sequence=1, timestamp=13, form=oracle.BULK)
    alarm = Message(filled(2049, 4), "ANOMALY_ALERT", timestamp=14, stream=7, sequence=2)
    urgent = Message(filled(2049, 5), flags=PRIORITY, timestamp=15, stream=7, sequence=3)
    a, b, c = live.cut()
    yield worked()
    yield case("three pieces, the last one short", *arriving(live))
    yield case("pieces of different sizes", *arriving(live, [live.piece(0, 1024), live.piece(1024, 3000)]))
    yield case("one piece is the whole message", *arriving(live, [live.piece(0, 3000)]))
    yield case("of no stream", *arriving(Message(filled(2000), timestamp=3)))
    yield case("an empty map in one small piece", *arriving(Message(b"\x80", stream=7, sequence=1)))
    flags = oracle.ACK_REQUIRED | oracle.BROADCAST | 0x80
    yield case("with other flags", *arriving(Message(filled(2000), flags=flags, stream=7, sequence=1)))
    yield case("a record", *arriving(Message(bytes(2000), "ECG_DATA", form=oracle.RECORD, stream=7, sequence=1)))
    sealed = Message(bytes(range(256)) * 8, "ECG_DATA", flags=oracle.ENCRYPTED, stream=7, sequence=1)
    yield case("sealed: whatever is in it", *arriving(sealed))
    yield case("an attestation", *arriving(Message(filled(2000), "STREAM_ATTESTATION", stream=7, sequence=1)))
    classes = [each.cut() for each in (live, bulk, alarm)]
    turns = [(fragment, None) for group in zip(*classes, strict=False) for fragment in group]
    ends = [live, bulk, alarm]
    assert len(turns) == 9
    last = [(frame, end) for (frame, _), end in zip(turns[6:], ends, strict=True)]
    yield case("three classes in turn", *turns[:6], *last)
    urgently = [(a, None), *arriving(urgent), (b, None), (c, live)]
    yield case("PRIORITY is of the class of alerts", *urgently)
    yield case("begun anew", (a, None), (b, None), *arriving(live))
    yield case("the first piece twice", (a, None), (a, None), (b, None), (c, live))

    yield case("the first piece is missing", (b, FRAGMENT), (c, None))
    yield case("a piece is missing", (a, None), (c, FRAGMENT), (b, None))
    yield case("a piece twice", (a, None), (b, None), (b, FRAGMENT), (c, None))
    yield case("the last piece twice", *arriving(live), (c, FRAGMENT))
    yield case("pieces that overlap", (a, None), (live.piece(1023, 2048), FRAGMENT), (c, None))
    yield case("a gap of a byte", (a, None), (live.piece(1025, 2049), FRAGMENT), (c, None))
    yield case("after a refused piece, the message comes again", (a, None), (c, FRAGMENT), *arriving(live))
    yield case("another message of the class begins", (a, None), (other.cut()[0], FRAGMENT), *arriving(other)[1:])
    yield case("its pieces among those of another", (a, None), (other.cut()[1], FRAGMENT), (b, None), (c, live))
    yield case("a piece below the least size", (live.piece(0, 1023), FRAGMENT), (live.piece(1023, 3000), None))
    yield case("a piece of the least size", *arriving(live, [live.piece(0, 1024), live.piece(1024, 2048), c]))
    yield case("no piece", (live.piece(0, 0), FRAGMENT))
    yield case("no piece at the end", (live.piece(0, 2999), None), (live.piece(3000, 3000), FRAGMENT))
    yield case("no total", (live.piece(0, 0, total=0), FRAGMENT))
    yield case("more than the total", (live.piece(0, 2000, total=1999), FRAGMENT))
    yield case("another total later", (a, None), (live.piece(1024, 2048, total=3001), FRAGMENT), (c, None))
    yield case("another type later", (a, None), (live.piece(1024, 2048, type="PREDICTION_RESULT"), FRAGMENT))
    yield case("another flag later", (a, None), (live.piece(1024, 2048, flags=oracle.ACK_REQUIRED), FRAGMENT))
    moved = {"stream": 7, "sequence": 2}
    yield case("another sequence later", (a, None), (live.piece(1024, 2048, header=moved), FRAGMENT), (c, None))
    for size in (0, 7):
        frame = oracle.frame(4, T["FEATURE_DATA"], oracle.FRAGMENT, bytes(size), 1, stream=7, sequence=1)
        yield case(f"a payload of {size} bytes", (frame, FRAGMENT))
    for name in ("PING", "SUBSCRIPTION_ACK", "ERROR"):
        yield case(f"of a control message, {name}", (Message(filled(2000), name).cut()[0], FRAGMENT))
    for total in (3001, 2**32 - 1):
        frame = live.piece(0, 1024, total=total)
        yield case(f"a total of {total} bytes, beyond the limit", (frame, TOO_LARGE), max_payload=3000)
    yield case("as large as the limit", *arriving(live), max_payload=3000)


def main():
    made = list(vectors())
    lines = ",\n".join(json.dumps(vector) for vector in made)
    PATH.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    print(f"{PATH}: {len(made)} vectors, {PATH.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
