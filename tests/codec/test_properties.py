"""Any message is decoded as it was encoded, and any bytes get the same verdict as from the oracle."""

import oracle
import strategies
from hypothesis import example, given
from hypothesis import strategies as st
from thoroughness import examples
from verdicts import verdict

from ecgframe import Codec, Compression, ProtocolError, decode, decode_all, split, unpack

CODECS = {
    (form, compression is not None): Codec(ndarray=form, compression=compression)
    for form in ("list", "binary")
    for compression in (None, Compression(threshold=64))
}


def verdict_of(read, refusal, *args):
    """The result of decoding some bytes, in the same form for codec and oracle."""
    try:
        frame = read(*args)
    except refusal as error:
        return (int(error.code), error.check), None
    return (frame.version, frame.type, frame.flags, frame.timestamp), frame.data


def agree(frame):
    expected, data = verdict_of(oracle.decode_frame, oracle.Refused, frame)
    found, decoded = verdict_of(decode, ProtocolError, frame)
    assert found == expected
    assert oracle.same(decoded, data, nan_bits=False)


@examples(300)
@given(strategies.messages, strategies.types, strategies.versions, strategies.timestamps, st.data())
def test_frames_of_the_codec_are_read_by_both(message, type, version, timestamp, data):
    flags = data.draw(strategies.flags_of(version))
    expected = strategies.received(message)
    for (form, compressed), codec in CODECS.items():
        frame = codec.encode(type, message, version=version, flags=flags, timestamp=timestamp if version == 3 else None)
        header = (version, type, flags | frame[2] & compressed, timestamp if version == 3 else None)
        for read in (oracle.decode_frame, decode):
            arrived = read(frame)
            assert (arrived.version, arrived.type, arrived.flags, arrived.timestamp) == header
            assert oracle.same(arrived.data, expected)
        if not frame[2] & 1:
            assert frame == oracle.encode_frame(
                type, message, version, flags, timestamp, compression=False, ndarray=form
            )


@examples(300)
@given(strategies.messages, st.sampled_from(["list", "binary"]))
def test_pack_writes_the_oracles_bytes(message, form):
    payload = oracle.pack(message, form)
    assert CODECS[form, False].pack(message) == payload
    assert oracle.same(unpack(payload), strategies.received(message))


@examples(200)
@given(strategies.frames())
def test_frames_of_the_oracle_are_read_by_the_codec(frame):
    agree(frame)


@examples(200)
@given(st.lists(strategies.frames(), max_size=4))
def test_frames_end_to_end(frames):
    batch = b"".join(frames)
    expected = list(oracle.decode_frames(batch))
    found = list(decode_all(batch))
    assert [(m.version, m.type, m.flags, m.timestamp) for m in found] == [frame[:4] for frame in expected]
    assert all(
        oracle.same(message.data, frame.data, nan_bits=False) for message, frame in zip(found, expected, strict=True)
    )


@examples(800)
@given(strategies.mutated_frames())
def test_a_mutated_frame_gets_the_oracles_verdict(frame):
    agree(frame)


@examples(800)
@given(strategies.wrapper_frames())
def test_an_invalid_wrapper_gets_the_verdict_of_the_oracle(frame):
    agree(frame)


@examples(600)
@given(strategies.near_payloads())
def test_a_payload_of_odd_pieces_gets_the_oracles_verdict(payload):
    agree(oracle.frame(1, 0x11, 0, payload))


@examples(300)
@given(st.binary(max_size=60))
@example(b"")
def test_any_bytes_at_all_get_the_oracles_verdict(data):
    agree(data)
    agree(oracle.frame(3, 1, 0, data))
    agree(oracle.frame(2, 1, oracle.COMPRESSED, data))


@examples(200)
@given(strategies.mutated_frames())
def test_split_makes_the_oracles_first_seven_checks(frame):
    assert verdict(split, frame) == verdict(oracle.split, frame)
    if verdict(split, frame) is None:
        version, type, flags, timestamp, payload, size = oracle.split(frame)
        header, view = split(frame)
        assert (header.version, header.type, header.flags, header.timestamp) == (version, type, flags, timestamp)
        assert header.size + header.length == size
        assert bytes(view) == payload


@examples(150)
@given(st.lists(strategies.mutated_frames(), min_size=1, max_size=3))
def test_a_batch_is_read_up_to_the_frame_that_is_refused(frames):
    batch = b"".join(frames)
    messages, others = decode_all(batch), oracle.decode_frames(batch)
    while True:
        expected, data = verdict_of(lambda: next(others, END), oracle.Refused)
        found, decoded = verdict_of(lambda: next(messages, END), ProtocolError)
        assert found == expected
        assert oracle.same(decoded, data, nan_bits=False)
        if len(expected) == 2 or expected == END[:4]:
            return


END = oracle.Frame(0, 0, 0, 0, None)
"""Stands for the end of a batch."""


@examples(100)
@given(strategies.frames(), st.integers(1, 40))
def test_a_small_limit_gets_the_oracles_verdict(frame, limit):
    expected, data = verdict_of(oracle.decode_frame, oracle.Refused, frame, limit)
    found, decoded = verdict_of(Codec(max_payload=limit).decode, ProtocolError, frame)
    assert found == expected
    assert oracle.same(decoded, data, nan_bits=False)
