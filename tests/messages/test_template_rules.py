"""Check 12 of templates, where it is made twice: as a message that is decoded, and as the payload of a template."""

import numpy as np
import oracle
import pytest
import record_oracle
from hypothesis import given
from hypothesis import strategies as st
from thoroughness import examples

from ecgframe import Codec, MessageTooLarge, MessageType, ProtocolError, encode, pack
from ecgframe.messages import check_received
from ecgframe.messages.templates import Template

CODEC = Codec(version=4)
GOOD = {"template": 7, "stream": "ecg/1", "dtype": "int16", "rows": 2, "fields": {"gain": [200, 100.0]}}
NUMBERS = st.one_of(
    st.sampled_from([0, 1, -1, 0.0, -0.0, 1.0, 0.5, 1e-100, 1e100, 1e-101, 1e101, 2**53, 2**63, 2**64 - 1]),
    st.sampled_from([float("nan"), float("inf"), True, False, None, "1", b"1", [], {}, [1], [1, 2], [1, 0], [1, None]]),
    st.sampled_from([np.ones(2), np.ones(1), np.zeros(2), np.ones((1, 2)), np.ones(2, "?"), np.arange(1, 3)]),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
)
NAMES = st.sampled_from(
    [*record_oracle.OWN, "gain", "baseline", "missing", "leads", "epoch", "", "1", "__proto__", 1, -5]
)
FIELDS = st.dictionaries(NAMES, NUMBERS, max_size=4)
SCALES = st.dictionaries(st.sampled_from(["mul", "div", "add", 1]), NUMBERS, max_size=4)
SPOILT = {
    "template": st.one_of(st.sampled_from([0, 1, 65535, 65536, 0.0, 7.0]), NUMBERS),
    "stream": st.one_of(st.sampled_from(["", "x", "x" * 256, "x" * 257, "é" * 256, "\U0001fac0" * 257]), NUMBERS),
    "dtype": st.one_of(st.sampled_from(["int8", "uint8", "int32", "float32", "float64", "int64", "i2", ""]), NUMBERS),
    "rows": st.one_of(st.sampled_from([0, 1, 2, 4096, 4097, 2.0]), NUMBERS),
    "fields": st.one_of(FIELDS, NUMBERS),
    "missing": st.one_of(st.sampled_from([0, 127, 128, -32768, 32768, 65535, 1.0]), NUMBERS),
    "scale": st.one_of(st.fixed_dictionaries({"mul": NUMBERS, "div": NUMBERS}), SCALES, NUMBERS),
    "epoch": st.one_of(st.sampled_from([1, 2**53 - 1, 2**53]), NUMBERS),
    "note": st.one_of(st.integers(3900, 4100).map("x".__mul__), st.integers(220, 260).map(["I"].__mul__), NUMBERS),
}
LARGE = MessageTooLarge.code


@st.composite
def spoilt_templates(draw):
    """A sound template with some fields replaced, added or left out: up to all of them."""
    told = dict(GOOD)
    for name in draw(st.lists(st.sampled_from(sorted(SPOILT)), unique=True, max_size=4)):
        if name in told and draw(st.booleans()) and draw(st.booleans()):
            del told[name]
        else:
            told[name] = draw(SPOILT[name])
    return told


def refusal(read, *args):
    """Code, check and path with which a payload is refused; None where it is accepted."""
    try:
        read(*args)
    except (ProtocolError, oracle.Refused) as error:
        return int(error.code), error.check, error.path if error.check == 12 else None
    return None


def framed(payload, *, deflated=False):
    flags = oracle.COMPRESSED if deflated else 0
    return oracle.frame(4, 0x23, flags, oracle.zlib.compress(payload) if deflated else payload, 0, stream=7, sequence=1)


def is_opening(told):
    return type(told.get("template")) is int and told["template"] == 0


@given(spoilt_templates(), st.booleans())
@examples(1500)
def test_a_message_is_accepted_where_its_template_is(told, deflated):
    payload = oracle.pack(told)
    found = refusal(CODEC.decode, framed(payload, deflated=deflated))
    assert found == refusal(oracle.read_template, payload)
    if not is_opening(told):
        assert found == refusal(Template.unpack, payload)
    else:
        assert refusal(Template.unpack, payload) is not None


@given(spoilt_templates())
@examples(500)
def test_templates_of_the_writer_are_accepted(told):
    """A sender refuses what a receiver does, with the same error; and nil where the field can be left out."""
    expected = refusal(oracle.read_template, oracle.pack(told))
    found = refusal(lambda: CODEC.encode(MessageType.STREAM_TEMPLATE, told))
    nils = [name for name in ("dtype", "rows", "fields", "missing", "scale", "epoch") if told.get(name, 0) is None]
    if nils:
        assert found is not None
    elif expected is None or found is None:
        assert found == expected
    else:
        assert found[0] == expected[0] or LARGE in {found[0], expected[0]}  # its bytes are counted last
        assert found[1] == 12


def test_the_strategy_spoils_some_and_leaves_some():
    seen = set()

    @given(spoilt_templates())
    @examples(400)
    def look(told):
        found = refusal(oracle.read_template, oracle.pack(told))
        seen.add(found and found[0])

    look()
    assert seen >= {None, 0x200, 0x201}


@pytest.mark.parametrize("size", [4096, 4097, 200_000])
@pytest.mark.parametrize("deflated", [False, True])
def test_a_template_has_at_most_4096_bytes(size, deflated):
    head = oracle.pack(GOOD | {"note": "x" * 1000})
    payload = oracle.pack(GOOD | {"note": "x" * (1000 + size - len(head) - (2 if size > 70_000 else 0))})
    assert len(payload) == size
    expected = None if size == 4096 else (0x102, 12, None)
    for read in (CODEC.decode, lambda frame: list(CODEC.decode_all(frame))):
        assert refusal(read, framed(payload, deflated=deflated)) == expected
    assert refusal(Template.unpack, payload) == expected


def test_a_payload_too_large_is_refused_unread_once_its_sum_is_right():
    frame = bytearray(framed(b"\xc1" * 5000))
    assert refusal(CODEC.decode, frame) == (0x102, 12, None)
    frame[-1] ^= 1
    assert refusal(CODEC.decode, frame)[:2] == (0x101, 7)


def test_no_template_is_sent_that_its_receiver_finds_too_large():
    for note in ("x" * 4096, ["I"] * 256, [{}] * 256):
        told = GOOD | {"note": note}
        for send in (
            lambda told=told: encode(MessageType.STREAM_TEMPLATE, told, version=4),
            lambda told=told: CODEC.prepare(MessageType.STREAM_TEMPLATE, told),
            lambda told=told: CODEC.encode_into(bytearray(9000), 0, MessageType.STREAM_TEMPLATE, told),
        ):
            with pytest.raises(MessageTooLarge, match="a template of") as caught:
                send()
            assert caught.value.check == 12
    turning = []
    turning.append(turning)
    with pytest.raises(MessageTooLarge):
        encode(MessageType.STREAM_TEMPLATE, GOOD | {"note": turning}, version=4)


def test_an_opening_is_no_template():
    opening = {"template": 0, "stream": "s", "epoch": 5}
    assert check_received(MessageType.STREAM_TEMPLATE, opening | {"rows": None}) == opening
    assert refusal(Template.unpack, pack(opening)) == (0x201, 12, "data")
    assert refusal(Template.unpack, pack(GOOD | {"template": 0})) == (0x200, 12, 'data["template"]')
