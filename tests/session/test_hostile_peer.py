"""Messages that are small to send and large to answer, and other attacks of a peer."""

import gc
import time
import tracemalloc
import zlib

import numpy as np
import oracle
import pytest
from cases import each_case
from session.conversation import client, server

from ecgframe.session import ErrorReceived, FrameRefused, Negotiated, SubscriptionAnswered, VersionChecked

pytestmark = pytest.mark.usefixtures("each_version")

T = oracle.TYPES
DEEP = b"\x91" * 62


def array_of(shape, data, dtype="f8"):
    """The wrapper as a peer may write it, sound or not so sound."""
    return oracle.SCALARS.pack({"__ndarray__": data, "dtype": dtype, "shape": shape})


def codes(side):
    return [int(event.error.code) for event in side.told(FrameRefused)]


# --- pings that do not come back ---


@pytest.mark.parametrize("version", [1, 3])
@pytest.mark.parametrize("data", [b"", []], ids=["binary form", "list form"])
def test_many_empty_rows_are_not_written_out(version, data):
    """Fifty bytes that say "a hundred million rows of nothing" would take a hundred megabytes in list form."""
    theirs = server().starts()
    theirs.says()
    ping = oracle.frame(version, T["PING"], 0, array_of([100_000_000, 0], data))
    tracemalloc.start()
    try:
        theirs.hears(ping)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert codes(theirs) == [0x102]
    assert [frame.data["code"] for frame in theirs.tells()] == [0x102]
    assert theirs.session.closing is None


@pytest.mark.parametrize("payload", [DEEP + array_of([1] * 32, bytes(8)), DEEP + array_of([1] * 20, [0.5])])
def test_arrays_that_are_deeper_in_list_form(payload):
    theirs = server().starts()
    theirs.says()
    theirs.hears(oracle.frame(1, T["PING"], 0, payload))
    assert codes(theirs) == [0x102]
    assert theirs.session.closing is None


def test_deflated_pings_do_not_come_back_inflated():
    """A client that sends deflated frames of version 2 and was taken for one of version 1."""
    theirs = server().starts()
    theirs.hears(oracle.encode_frame(T["HEARTBEAT"], None, 1))
    theirs.says()
    theirs.hears(oracle.encode_frame(T["PING"], "x" * 10_000_000, 2))
    assert codes(theirs) == [0x102]
    theirs.hears(oracle.encode_frame(T["PING"], oracle.SCALARS.pack(list(range(1000))), 2))
    assert codes(theirs) == [0x102]


@pytest.mark.parametrize("size", [100, 5_000, 8_000])
def test_large_pings_come_back_all_the_same(size):
    theirs = server().starts()
    theirs.says()
    noise = np.random.default_rng(1).bytes(size)
    theirs.hears(
        oracle.encode_frame(T["PING"], {"noise": noise, "half": np.zeros(size // 2, "float16")}, 1, ndarray="binary")
    )
    [pong] = theirs.tells()
    assert pong.data["noise"] == noise
    assert pong.data["half"].dtype == "float16"


def test_pings_of_a_peer_that_reads_nothing():
    theirs = server(queue_bytes=1_000_000).starts()
    ping = oracle.encode_frame(T["PING"], bytes(15_000), 1)
    theirs.hears(*[ping] * 1000)
    assert theirs.session.queued_bytes <= 1_000_000
    assert theirs.session.closing.code == 1013


# --- numbers ---

EXTREMES = [0, 1, -1, 2**31, 2**63, 2**64 - 1, -(2**63), 5e-324, 1e-300, 1e308, -1e308, 0.0, -0.0]


@each_case(
    "number", [*EXTREMES, float("nan"), float("inf"), True, None, "1", b"1", [], np.array(1), np.zeros(3)], ids=str
)
@pytest.mark.parametrize("role", [server, client])
@pytest.mark.parametrize(
    ("type", "body"),
    [
        ("PROTOCOL_NEGOTIATION", {"versions": [3], "version": 3, "heartbeat_interval": ...}),
        ("PROTOCOL_NEGOTIATION", {"versions": [3], "version": 3, "max_payload": ...}),
        ("PROTOCOL_NEGOTIATION", {"versions": ..., "version": ...}),
        ("PROTOCOL_NEGOTIATION", {"versions": [3, ...], "version": ..., "preferred": ..., "capabilities": ...}),
        ("SUBSCRIBE", {"stream": "a", "since": ...}),
        ("SUBSCRIPTION_ACK", {"stream": "a", "status": "subscribed", "from": ..., "code": ...}),
        ("ERROR", {"code": ..., "message": "x", "details": ...}),
        ("VERSION_CHECK", {"version": ...}),
        ("VERSION_CHECK", {"version": 1, "compatible": ..., "versions": ...}),
        ("PONG", {"ack": ..., "ping": ...}),
        ("PING", ...),
        ("HEARTBEAT", ...),
    ],
)
def test_numbers_at_the_edges(role, type, body, number):
    one = role().starts()
    one.says()
    one.hears(oracle.encode_frame(T[type], filled(body, number), 3, oracle.ACK_REQUIRED, 2**64 - 1))
    one.session.ping(one.clock.now)
    one.tells()
    deadline = one.session.deadline()
    assert deadline is None or one.clock.now < deadline < 10**6
    one.waits(100)


def filled(body, number):
    if body is ...:
        return number
    if isinstance(body, dict):
        return {key: filled(value, number) for key, value in body.items()}
    return [filled(value, number) for value in body] if isinstance(body, list) else body


def test_arrays_where_lists_are_expected():
    ours = client().starts()
    versions = np.array([1, 2, 3], "uint64")
    ours.hears(oracle.encode_frame(T["PROTOCOL_NEGOTIATION"], {"versions": versions}, 1))
    assert [event.version for event in ours.told(Negotiated)] == [3]
    ours.hears(oracle.encode_frame(T["VERSION_CHECK"], {"version": 1, "compatible": True, "versions": versions}))
    assert ours.told(VersionChecked) == [VersionChecked(1, True, (1, 2, 3))]


def test_codes_that_nobody_knows():
    ours = client().starts()
    ours.hears(oracle.encode_frame(T["SUBSCRIPTION_ACK"], {"stream": "a", "status": "denied", "code": -5}, 1))
    ours.hears(oracle.encode_frame(T["ERROR"], {"code": 2**64 - 1, "message": ""}, 1))
    assert ours.told(SubscriptionAnswered) == [SubscriptionAnswered("a", "denied", -5, None, None)]
    assert ours.told(ErrorReceived) == [ErrorReceived(2**64 - 1, "", None)]


# --- much of everything ---


def test_an_offer_of_a_million_versions():
    """Sixteen kilobytes of deflated offer."""
    versions = oracle.pack({"versions": np.zeros(2**22, "uint8")}, "binary")
    ours = client().starts()
    begin = time.process_time()
    ours.hears(oracle.frame(2, T["PROTOCOL_NEGOTIATION"], oracle.COMPRESSED, zlib.compress(versions)))
    assert time.process_time() - begin < 1
    assert codes(ours) == [0x102]
    assert not ours.session.established


FLOODS = {
    "ping": lambda n: oracle.encode_frame(T["PING"], {"n": n}),
    "pong": lambda n: oracle.encode_frame(T["PONG"], {"ack": n, "type": 1}),
    "data": lambda n: oracle.encode_frame(T["ECG_DATA"], {}, 3, oracle.ACK_REQUIRED, n),
    "subscribe": lambda n: oracle.encode_frame(T["SUBSCRIBE"], {"stream": str(n)}),
    "subscribe, acknowledged": lambda n: oracle.encode_frame(
        T["SUBSCRIBE"], {"stream": str(n)}, 3, oracle.ACK_REQUIRED, n
    ),
    "version check": lambda n: oracle.encode_frame(T["VERSION_CHECK"], {"version": n}),
    "error": lambda n: oracle.encode_frame(T["ERROR"], {"code": n, "message": str(n)}),
    "negotiation": lambda n: oracle.encode_frame(T["PROTOCOL_NEGOTIATION"], {"version": 1 + n % 3}, 1),
    "heartbeat": lambda n: oracle.encode_frame(T["HEARTBEAT"], n),
}


@pytest.mark.slow
@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_leaves_nothing_behind(kind, reads):
    theirs = server(heartbeat_interval=1e6).starts()
    tracemalloc.start()
    try:
        for n in range(6000):
            theirs.session.receive(FLOODS[kind](n), n / 10)
            if reads:
                while theirs.session.next_message(n / 10):
                    pass
            if n == 2999:
                before = tracemalloc.get_traced_memory()[0]
        assert tracemalloc.get_traced_memory()[0] - before < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.parametrize("size", [1_000_000])
def test_a_refused_message_is_let_go_at_once(size):
    """Not only when Python next looks for cycles: an error knows where it was raised, and with that what was read."""
    messages = {
        "sum": oracle.frame(3, T["ECG_DATA"], 0, bytes(size), checksum=1),
        "deflate": oracle.frame(3, T["ECG_DATA"], oracle.COMPRESSED, bytes(size)),
        "payload": oracle.frame(3, T["ECG_DATA"], 0, b"\xc6" + (size + 1).to_bytes(4, "big") + bytes(size)),
        "fields": oracle.encode_frame(T["SUBSCRIBE"], {"stream": 7, "pad": bytes(size)}, compression=False),
        "role": oracle.encode_frame(
            T["SUBSCRIPTION_ACK"], {"stream": "", "status": "denied", "pad": bytes(size)}, compression=False
        ),
        "echo": oracle.encode_frame(
            T["PING"], [*nested(np.zeros((1,) * 20), 60), bytes(size)], 3, ndarray="binary", compression=False
        ),
        "version": oracle.frame(9, T["ECG_DATA"], 0, bytes(size)),
    }
    for kind, message in messages.items():
        theirs = server().starts()
        server().starts().hears(message)  # whatever is imported or kept when it happens for the first time
        gc.collect()
        gc.disable()
        tracemalloc.start()
        try:
            theirs.hears(bytes(bytearray(message)))
            assert isinstance(theirs.events.pop(), FrameRefused), kind
            theirs.events.clear()
            theirs.says()
            assert tracemalloc.get_traced_memory()[0] < size / 2, kind
        finally:
            tracemalloc.stop()
            gc.enable()


def nested(inner, depth):
    for _ in range(depth):
        inner = [inner]
    return inner
