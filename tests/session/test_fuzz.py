"""Thousands of random messages for both sides: fast and without a model, unlike ``test_any_bytes``."""

import gc
import random
import tracemalloc

import fuzz
import fuzz_fragments
import numpy as np
import oracle
import pytest
from session.conversation import client, server

from ecgframe.session import Received
from ecgframe.session.acknowledgements import REMEMBERED

T = oracle.TYPES
SEED = random.SystemRandom().getrandbits(32)
ROUNDS = 1500
LIVES = 16  # messages of one conversation
NUMBERS = [0, 1, 2, 3, -1, 2**31, 2**63, 2**64 - 1, -(2**63), 0.5, 1e308, 1e-300, float("nan"), float("inf"), 1.7e15]
TEXTS = ["", "ecg/1", "subscribed", "denied", "batch", "é" * 300]
FIELDS = [
    "stream",
    "since",
    "status",
    "code",
    "from",
    "message",
    "details",
    "version",
    "versions",
    "preferred",
    "capabilities",
    "max_payload",
    "heartbeat_interval",
    "compatible",
    "ack",
    "type",
    "ping",
    "signal",
    "sampling_rate",
    "kind",
    "timestamp",
]
CAPABILITIES = ["compression", "timestamps", "priority", "broadcast", "ack", "encryption", "ndarray-bin", "batch"]


def value(rng, depth=0):  # noqa: PLR0911 - one for each kind
    """Anything, mostly a number."""
    kind = rng.randrange(12)
    if kind < 4:
        return rng.choice(NUMBERS)
    if kind == 4:
        return rng.choice(TEXTS)
    if kind == 5:
        return rng.choice([None, True, False, b"\0\1", oracle.datetime(1, 1, 1), oracle.datetime(9999, 12, 31)])
    if kind == 6:
        return [rng.choice(NUMBERS) for _ in range(rng.randrange(4))]
    if kind == 7:
        return rng.choices(CAPABILITIES, k=3)
    if kind == 8:
        return np.zeros(
            rng.choice([(), (0,), (3,), (2, 2), (1,) * 20, (1000, 0)]), rng.choice(["f8", "u1", ">i4", "?"])
        )
    if kind == 9 and depth == 0:
        return nested(value(rng, 1), rng.choice([1, 20, 50, 60]))
    return {rng.choice(FIELDS): value(rng, depth + 1) for _ in range(rng.randrange(3))} if depth < 2 else 7


def nested(inner, depth):
    for _ in range(depth):
        inner = [inner]
    return inner


LIKELY = {
    "SUBSCRIBE": {"stream": "ecg/1", "since": 1.5},
    "UNSUBSCRIBE": {"stream": "ecg/1"},
    "SUBSCRIPTION_ACK": {"stream": "ecg/1", "status": "subscribed", "code": 3, "from": 1.5},
    "ERROR": {"code": 0x204, "message": "", "details": None},
    "PROTOCOL_NEGOTIATION": {
        "version": 3,
        "versions": [1, 2, 3],
        "capabilities": CAPABILITIES,
        "max_payload": 1000,
        "heartbeat_interval": 1,
    },
    "VERSION_CHECK": {"version": 3, "compatible": True, "versions": [3]},
    "PONG": {"ack": 7, "ping": 7},
    "ECG_DATA": {"signal": [1], "sampling_rate": 250},
}


def message(rng):
    """A frame whose fields are what they should be, but for one or two."""
    name = rng.choice(list(T))
    data = dict(LIKELY.get(name, {}))
    for _ in range(rng.randrange(3)):
        field = rng.choice(list(data) or FIELDS)
        data.pop(field, None)
        if rng.random() < 0.7:
            data[field] = value(rng)
    if rng.random() < 0.1 or name in ("PING", "HEARTBEAT"):
        data = value(rng)
    flags = rng.choice([0, 0, oracle.ACK_REQUIRED, oracle.PRIORITY, oracle.BROADCAST, 0xE0])
    form = rng.choice(["list", "binary"])
    return oracle.encode_frame(T[name], data, rng.randint(1, 3), flags, rng.choice([0, 7, 2**64 - 1]), ndarray=form)


def messages(rng):
    """Sound ones, now and then one that was mutated, or a few laid end to end."""
    for _ in range(LIVES):
        kind = rng.randrange(20)
        if kind == 0:
            base = message(rng)
            base += base if len(base) < 20 else b""  # the fuzzer does not take shorter ones
            yield from (bytes(one) for one in fuzz.mutations(base, message(rng), rng.randbytes, 1))
        elif kind == 1:
            yield b"".join(message(rng) for _ in range(3))
        elif kind == 2:
            yield rng.choice([b"", "text", rng.randbytes(30)])
        else:
            yield message(rng)


def talk_to(one, rng):
    one.starts()
    for said in messages(rng):
        one.clock.now += rng.choice([0.0, 0.1, 5.0])
        for event in one.hears(said):
            if isinstance(event, Received):
                one.session.acknowledge(event.message)
        if rng.random() < 0.2:
            one.session.ping(one.clock.now)
        for frame in one.tells():
            assert frame.version <= 3
        one.ticks()
        deadline = one.session.deadline()
        assert deadline is None or one.clock.now < deadline
        assert one.session.queued_frames <= one.session.settings.queue_frames
        assert len(one.session._seen) <= 2 * REMEMBERED
    one.loses()


@pytest.mark.slow
@pytest.mark.parametrize("role", [server, client])
def test_random_messages(role):
    print("seed", SEED)
    rng = random.Random(SEED)
    seen = set()
    for _ in range(ROUNDS):
        one = role(validate=rng.random() < 0.5, queue_frames=rng.choice([3, 50]), max_payload=100_000)
        talk_to(one, rng)
        seen |= {type(event).__name__ for event in one.events}
    assert {"Received", "FrameRefused", "ErrorReceived", "Negotiated", "VersionChecked"} <= seen


@pytest.mark.slow
def test_random_messages_leave_no_memory_behind():
    rng = random.Random(SEED)
    tracemalloc.start()
    try:
        for n in range(300):
            talk_to(server(), rng)
            if n == 149:
                gc.collect()
                before = tracemalloc.get_traced_memory()[0]
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 500_000
    finally:
        tracemalloc.stop()


def test_mutated_fragments():
    """``fuzz_fragments.py`` gives more, and watches memory."""
    run = fuzz_fragments.Run(SEED)
    run.read(4000)
    assert not run.failures, SEED
    assert run.outcomes["received"] > 10
    assert run.outcomes["0x200 INVALID_DATA_FORMAT"] > 100
