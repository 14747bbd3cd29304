"""Hypothesis strategies: settings of two sides, and WebSocket messages as sound, odd and broken peers send them."""

import numpy as np
import oracle
import strategies
from hypothesis import strategies as st

from ecgframe.session import RateLimit
from ecgframe.session.settings import EVERYTHING

T = oracle.TYPES
FLAGS = [oracle.PRIORITY, oracle.BROADCAST, oracle.ACK_REQUIRED, 0x20, 0x40, 0x80]

numbers = st.one_of(
    st.integers(-1, 5),
    strategies.ints,
    st.floats(),
    st.sampled_from([0x100, 0x204, 1e308, 1e-300, 2**64 - 1, 1.7e15, 1_705_314_645.0]),
)


@st.composite
def odd_arrays(draw):
    """Arrays deep inside lists, of many dimensions, or with many rows of nothing."""
    value = draw(st.one_of(strategies.arrays(2), st.integers(0, 10**5).map(lambda rows: np.zeros((rows, 0)))))
    if draw(st.booleans()):
        value = np.zeros((1,) * draw(st.integers(0, 32)))
    for _ in range(draw(st.sampled_from([0, 0, 1, 30, 61, 62, 63]))):
        value = [value]
    return value


values = st.one_of(numbers, st.booleans(), st.none(), st.text(max_size=5), strategies.datetimes, odd_arrays())
names = st.sampled_from(["ecg/1", "ecg/2", "", "é" * 300])
versions = st.lists(numbers, max_size=4) | st.lists(st.integers(1, 3), max_size=3) | strategies.arrays(3)
capabilities = st.lists(st.sampled_from([*sorted(EVERYTHING), "encryption", "telepathy"]), max_size=8)


@st.composite
def body(draw, **fields):
    """A map of these fields, a few left out, a few with anything in them."""
    found = {}
    for name, usual in fields.items():
        luck = draw(st.integers(0, 15))
        if luck:
            found[name] = draw(usual if luck > 1 else values)
    return found


CONTROL = {
    "HEARTBEAT": st.one_of(values, body(timestamp=numbers)),
    "PING": st.one_of(values, body(ping=numbers, ack=numbers)),
    "PONG": st.one_of(values, body(ping=numbers, ack=numbers, type=numbers)),
    "SUBSCRIBE": body(stream=names, since=st.one_of(numbers, strategies.datetimes)),
    "UNSUBSCRIBE": body(stream=names),
    "SUBSCRIPTION_ACK": body(
        stream=names,
        status=st.sampled_from(["subscribed", "unsubscribed", "denied"]),
        code=strategies.ints,
        **{"from": st.one_of(numbers, strategies.datetimes)},
    ),
    "ERROR": body(code=strategies.ints, message=st.text(max_size=20), details=values),
    "PROTOCOL_NEGOTIATION": body(
        version=st.integers(1, 4),
        versions=versions,
        capabilities=capabilities,
        max_payload=st.integers(0, 2**64 - 1),
        heartbeat_interval=st.floats(0, 1e308, exclude_min=True),
        preferred=strategies.ints,
    ),
    "VERSION_CHECK": body(version=strategies.ints, compatible=st.booleans(), versions=versions),
}


@st.composite
def control_frames(draw):
    """A control message whose fields are mostly what they should be."""
    name = draw(st.sampled_from(sorted(CONTROL)))
    return oracle.encode_frame(
        T[name],
        draw(CONTROL[name]),
        draw(st.integers(1, 3)),
        sum(draw(st.sets(st.sampled_from(FLAGS)))),
        draw(st.one_of(st.integers(0, 3), st.just(2**64 - 1))),
        compression=draw(st.booleans()),
        ndarray=draw(st.sampled_from(["list", "binary"])),
        threshold=0,
    )


@st.composite
def data_frames(draw):
    """A data message."""
    return oracle.encode_frame(
        draw(st.integers(1, 4)),
        draw(st.one_of(st.just({"stream": "ecg/1"}), strategies.nests(strategies.leaves))),
        draw(st.integers(1, 3)),
        sum(draw(st.sets(st.sampled_from(FLAGS)))),
        draw(st.integers(0, 3)),
        compression=draw(st.booleans()),
        threshold=0,
    )


sound_frames = st.one_of(control_frames(), data_frames())
broken_frames = st.one_of(
    strategies.mutated_frames(sound_frames), strategies.mutated_frames(), strategies.wrapper_frames()
)


@st.composite
def messages(draw):
    """What a WebSocket brings: binary messages, of one frame mostly, sometimes a text message.

    Many more sound ones than others, since most of the others end the conversation.
    """
    kind = draw(st.integers(0, 15))
    if kind < 10:
        return draw(control_frames())
    if kind < 12:
        return draw(data_frames())
    if kind == 12:
        return draw(broken_frames)
    if kind == 13:
        return b"".join(draw(st.lists(st.one_of(sound_frames, broken_frames), max_size=4)))
    return draw(st.binary(max_size=60) if kind == 14 else st.text(max_size=5))


rate_limits = st.builds(
    RateLimit,
    frames=st.sampled_from([0.5, 5, 1000]),
    frames_burst=st.integers(1, 50),
    nbytes=st.sampled_from([10.0, 1000.0, 1e9]),
    nbytes_burst=st.sampled_from([2100, 5000, 10**8]),
)


@st.composite
def settings_of_one_side(draw):
    """Settings with narrow limits, so that they are met; most sides can do everything."""
    plain = draw(st.integers(0, 3)) > 0
    return {
        "versions": (1, 2, 3) if plain else tuple(draw(st.sets(st.integers(1, 3), min_size=1))),
        "capabilities": EVERYTHING if plain else frozenset(draw(st.sets(st.sampled_from(sorted(EVERYTHING))))),
        "max_payload": draw(st.sampled_from([2000, 2000, 300])),
        "heartbeat_interval": draw(st.sampled_from([15.0, 60.0, 2.0])),
        "negotiation_timeout": draw(st.sampled_from([0.5, 5.0])),
        "acknowledgement_timeout": draw(st.sampled_from([0.3, 2.0])),
        "acknowledgement_attempts": draw(st.integers(1, 4)),
        "max_unacknowledged": draw(st.sampled_from([2, 10, 100])),
        "queue_frames": draw(st.sampled_from([2, 5, 40])),
        "queue_bytes": draw(st.sampled_from([200, 1500, 10**6])),
        "batch_bytes": draw(st.sampled_from([1, 300, 65536])),
        "rate_limit": None if plain else draw(rate_limits),
        "validate": draw(st.booleans()),
        "numeric_lists": draw(st.sampled_from(["list", "ndarray"])),
    }
