"""Mutated fragments into sessions of both roles: they are refused with an ERROR, never raise, and memory stays flat.

    python tests/fuzz_fragments.py --frames 10000000 [--seed N]

A message is cut, plain, deflated or as a record; its fragments are damaged, dropped, doubled and mixed with those of
others. Prints what became of them, and the resident memory on the way; Ctrl-C ends it early, with the report. Ends with
1 when a session raised something or kept more than it may, or when memory grew. With ECGFRAME_PLAIN=1 in the
environment, the plain core reads them.
"""

import argparse
import random
import sys
import time
import zlib
from collections import Counter

from fuzz import ALLOWED_GROWTH, LENGTH_AND_CHECKSUM, mutations, resident

from ecgframe import Codec
from ecgframe.protocol import FRAGMENT_HEADER, HEADER_SIZES, Flag, Form, MessageType
from ecgframe.session import ClientSession, FrameRefused, Received, ServerSession, Settings

SIZE = HEADER_SIZES[4]
PIECE = 1024
LIMIT = 64 * 1024
"""Bytes of the largest payload that the sessions accept."""
LIFE = 400
"""Fragments that one session gets at most."""
NAME, ID, EPOCH = "ecg/1", 7, 4738


class Forgiving:
    """Counts no errors, so that a session is not closed by the fifth."""

    def spend(self, now):
        return True


def cut(frame, size=PIECE):
    """The fragments of a whole frame."""
    header, payload = frame[:SIZE], frame[SIZE:]
    for offset in range(0, len(payload), size):
        piece = len(payload).to_bytes(4, "big") + offset.to_bytes(4, "big") + payload[offset : offset + size]
        fragment = bytearray(header + piece)
        fragment[2] |= Flag.FRAGMENT
        LENGTH_AND_CHECKSUM.pack_into(fragment, 3, len(piece), zlib.crc32(piece))
        yield bytes(fragment)


def messages():
    """Whole frames of all sorts and classes that may be cut."""
    codec = Codec(version=4)
    plain = Codec(version=4, compression=None)
    text = {"features": {f"f{n}": n / 7 for n in range(400)}, "stream": NAME}
    record = bytes.fromhex("0001 00 00 00000400 00060ef981a90fd0") + bytes(range(256)) * 16
    template = {"template": 1, "stream": NAME, "dtype": "int16", "rows": 2, "fields": {"note": "x" * 3000}}
    kinds = [
        (plain, MessageType.FEATURE_DATA, text, 0, 0),
        (codec, MessageType.FEATURE_DATA, text, 0, 0),
        (plain, MessageType.FEATURE_DATA, text, 0, Form.BULK),
        (plain, MessageType.ANOMALY_ALERT, {"kind": "x" * 5000, "timestamp": 1.5}, Flag.PRIORITY, 0),
        (codec, MessageType.ECG_DATA, {"signal": list(range(2000)), "sampling_rate": 250}, Flag.ACK_REQUIRED, 0),
        (codec, MessageType.ECG_DATA, record, 0, Form.RECORD),
        (codec, MessageType.STREAM_TEMPLATE, template, 0, 0),
    ]
    for number, (writer, type, data, flags, form) in enumerate(kinds):
        for id in (0, ID):
            if id or (not form and type is not MessageType.STREAM_TEMPLATE):
                place = {"stream_id": id, "sequence": 10 + number, "form": form} if id else {}
                yield writer.encode(type, data, flags=flags, timestamp=1_705_314_645_000_000 + number, **place)


def agreed(role, wall_clock):
    """A session of that role in which version 4 is spoken and the stream is bound."""
    settings = Settings(versions=(1, 2, 3, 4), max_payload=LIMIT, heartbeat_interval=1.0)
    session = role(settings, wall_clock)
    session.start(0.0)
    offer = {"capabilities": sorted(settings.capabilities)}
    offer |= {"version": 4} if role is ServerSession else {"versions": [1, 2, 3, 4], "preferred": 4}
    session.receive(Codec(version=1).encode(MessageType.PROTOCOL_NEGOTIATION, offer), 0.0)
    codec = Codec(version=4)
    if role is ServerSession:
        opening = {"template": 0, "stream": NAME, "epoch": EPOCH}
        flags = Flag.ACK_REQUIRED
        session.receive(codec.encode(MessageType.STREAM_TEMPLATE, opening, flags=flags, stream_id=ID), 0.0)
    else:
        session.subscribe(NAME)
        answer = {"stream": NAME, "status": "subscribed", "id": ID, "epoch": EPOCH, "next": 1, "templates": []}
        session.receive(codec.encode(MessageType.SUBSCRIPTION_ACK, answer), 0.0)
    session._budget = Forgiving()
    drain(session, 0.0)
    return session


def drain(session, now):
    while session.next_message(now) is not None:
        pass


class Run:
    """A run of the fuzzer, with its results."""

    def __init__(self, seed):
        self.seed = seed
        self.random = random.Random(seed)
        self.messages = [list(cut(frame)) for frame in messages()]
        self.pieces = [piece for pieces in self.messages for piece in pieces]
        self.outcomes = Counter()
        self.failures = []
        self.memory = []
        self._clock = 0

    def wall_clock(self):
        self._clock += 1
        return 1_705_314_700_000_000 + self._clock

    def fragments(self):
        """Fragments of one message, most of them damaged in some way, others between them."""
        choice, randrange = self.random.choice, self.random.randrange
        for piece in choice(self.messages):
            kind = randrange(16)
            if kind < 7:
                yield piece
            elif kind < 10:
                yield from mutations(piece, choice(self.pieces), self.random.randbytes, randrange(1, 5))
            elif kind < 12:
                damaged = bytearray(piece)
                at = SIZE + randrange(FRAGMENT_HEADER)
                damaged[at] ^= 1 << randrange(8)
                LENGTH_AND_CHECKSUM.pack_into(damaged, 3, len(piece) - SIZE, zlib.crc32(damaged[SIZE:]))
                yield damaged
            elif kind == 12:
                yield piece
                yield piece
            elif kind == 13:
                yield choice(self.pieces)
            elif kind == 14:
                yield piece
                yield choice(self.pieces)
            # the last kind is lost

    def read(self, count):
        """Give ``count`` fragments to sessions."""
        while count > 0:
            role = self.random.choice((ServerSession, ClientSession))
            session = agreed(role, self.wall_clock)
            now, given = 0.0, 0
            while given < LIFE and not session.closing:
                for fragment in self.fragments():
                    given += 1
                    self.outcomes["fragments"] += 1
                    self.give(session, fragment, now)
                    if session.closing:
                        break
                now += 0.1
                if not self.random.randrange(20):
                    session.tick(now)
            self.outcomes["lives"] += 1
            count -= given

    def give(self, session, fragment, now):
        try:
            events = session.receive(bytes(fragment), now)
            drain(session, now)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            self.failures.append(error)
            print(f"{error!r} with seed {self.seed}:\n{bytes(fragment).hex()}", file=sys.stderr)
            if len(self.failures) >= 10:
                raise SystemExit("ten failures are enough") from error
            return
        for event in events:
            if isinstance(event, FrameRefused):
                self.outcomes[f"0x{event.error.code:03x} {event.error.code.name}"] += 1
            elif isinstance(event, Received):
                self.outcomes["received"] += 1
        kept = session._reassembly
        if kept is not None and (kept.nbytes > 3 * LIMIT or len(kept._unfinished) > 3):
            self.failures.append(AssertionError(f"{kept.nbytes} bytes are kept"))

    def note_memory(self):
        self.memory.append(resident())

    def growth(self):
        """Bytes that memory grew by from the first note to the last."""
        return 0 if None in self.memory else self.memory[-1] - self.memory[0]

    def report(self, seconds):
        total = self.outcomes["fragments"]
        print(f"{total:,} fragments in {seconds:.0f} s ({seconds / total * 1e6:.2f} us each), seed {self.seed}")
        for outcome, count in sorted(self.outcomes.items(), key=lambda item: -item[1]):
            print(f"  {outcome:36} {count:>12,}")
        if None not in self.memory:
            print("  resident MiB:", ", ".join(f"{size / 2**20:.1f}" for size in self.memory))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=1_000_000, metavar="N", help="how many fragments (1,000,000)")
    parser.add_argument("--seed", type=int, default=None, help="to see a run again (random)")
    options = parser.parse_args()
    seed = random.SystemRandom().getrandbits(32) if options.seed is None else options.seed
    run = Run(seed)
    begin = time.perf_counter()
    run.read(min(options.frames, 50_000))
    run.note_memory()
    try:
        for _ in range(20):
            run.read((options.frames - 50_000) // 20)
            run.note_memory()
    except KeyboardInterrupt:
        run.note_memory()
    run.report(time.perf_counter() - begin)
    if run.failures:
        sys.exit(f"{len(run.failures)} fragments broke out")
    if run.growth() > ALLOWED_GROWTH:
        sys.exit(f"memory grew by {run.growth() / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
