"""Frames end to end: a broken one is lost alone if it is known where the next one begins."""

import gc
import struct
import zlib
from collections.abc import Iterator

import numpy as np
import oracle
import pytest
import strategies
from both_cores import CORES
from hypothesis import given
from hypothesis import strategies as st

import ecgframe
from ecgframe import Codec, MessageType, ProtocolError, encode
from ecgframe.protocol import MAX_BATCH_PAYLOAD

CODEC = Codec(max_payload=4096)
PING, ECG = oracle.TYPES["PING"], oracle.TYPES["ECG_DATA"]

GOOD = [oracle.encode_frame(PING, n, version, 0, n) for n, version in enumerate((1, 2, 3, 1, 2, 3))]

LOST_ALONE = {
    "sum": (7, 0x101, oracle.frame(3, PING, 0, b"\xc3", checksum=5)),
    "key": (8, 0x202, oracle.frame(3, PING, oracle.ENCRYPTED, b"\xc3")),
    "deflate": (9, 0x103, oracle.frame(2, PING, oracle.COMPRESSED, b"\xc3")),
    "bomb": (10, 0x102, oracle.frame(2, PING, oracle.COMPRESSED, zlib.compress(bytes(5000)))),
    "payload": (11, 0x200, oracle.frame(1, PING, 0, b"\xc1")),
    "empty array of arrays": (11, 0x200, oracle.frame(1, PING, 0, b"\x92\x90")),
}
LOST_WITH_THE_REST = {
    "cut": (1, 0x200, b"\x03\x11\x00"),
    "version": (2, 0x100, oracle.frame(9, PING, 0, b"\xc3")),
    "type": (3, 0x104, oracle.frame(1, 0x13, 0, b"\xc3")),
    "limit": (4, 0x102, oracle.frame(1, PING, 0, b"\xc3", length=4097)),
    "flag": (6, 0x200, oracle.frame(1, PING, oracle.COMPRESSED, b"\xc3")),
}


def brief(items):
    """Messages by what they hold, errors by check and code."""
    return [(item.check, item.code) if isinstance(item, ProtocolError) else item.data for item in items]


def test_good_frames_come_out_as_from_decode_all():
    batch = b"".join(GOOD)
    each, all_of_them = list(CODEC.decode_each(batch)), list(CODEC.decode_all(batch))
    assert [repr(message) for message in each] == [repr(message) for message in all_of_them]
    assert len(each) == len(GOOD)


def test_decode_each_returns_an_iterator():
    assert isinstance(CODEC.decode_each(GOOD[0]), Iterator)


def test_an_empty_buffer_has_no_frames():
    assert list(CODEC.decode_each(b"")) == []


@pytest.mark.parametrize(("check", "code", "bad"), LOST_ALONE.values(), ids=LOST_ALONE)
def test_a_broken_frame_that_is_lost_alone(check, code, bad):
    batch = GOOD[1] + bad + GOOD[2] + bad + bad + GOOD[3]
    assert brief(CODEC.decode_each(batch)) == [1, (check, code), 2, (check, code), (check, code), 3]


@pytest.mark.parametrize(("check", "code", "bad"), LOST_WITH_THE_REST.values(), ids=LOST_WITH_THE_REST)
def test_a_broken_frame_after_which_none_is_found(check, code, bad):
    batch = GOOD[1] + bad + GOOD[2]
    if check == 1:
        batch = GOOD[1] + bad
    assert brief(CODEC.decode_each(batch)) == [1, (check, code)]


def test_a_frame_that_is_cut_short():
    whole = GOOD[1] + GOOD[2]
    for size in range(len(GOOD[1]) + 1, len(whole)):
        assert brief(CODEC.decode_each(whole[:size])) in ([1, (1, 0x200)], [1, (5, 0x200)])


def test_fields_where_they_are_checked():
    bad = oracle.encode_frame(oracle.TYPES["SUBSCRIBE"], {"since": 0})
    assert brief(Codec(validate=True).decode_each(bad + GOOD[1])) == [(12, 0x201), 1]


def test_errors_know_where_they_are():
    first, second = LOST_ALONE["sum"][2], LOST_WITH_THE_REST["type"][2]
    errors = list(CODEC.decode_each(GOOD[0] + first + GOOD[1] + second))
    assert errors[1].offset >= len(GOOD[0])
    assert errors[3].offset >= len(GOOD[0] + first + GOOD[1])


def test_the_limit_holds_for_each_frame():
    frame = encode(MessageType.PING, bytes(4000), version=1)
    assert len([item for item in CODEC.decode_each(frame * 5) if not isinstance(item, ProtocolError)]) == 5


@pytest.mark.parametrize("wrong", ["text", 7, None, [b""]])
def test_an_argument_without_a_buffer_is_a_type_error(wrong):
    with pytest.raises(TypeError):
        list(CODEC.decode_each(wrong))


def test_arrays_are_views_of_the_buffer():
    codec = Codec(ndarray="binary", compression=None)
    batch = codec.encode(ECG, {"s": np.arange(4.0)})
    [message] = codec.decode_each(batch)
    assert np.shares_memory(message.data["s"], np.frombuffer(batch, "u1"))


def test_an_abandoned_iterator_releases_the_buffer():
    frames = bytearray(LOST_ALONE["sum"][2] * 3)
    items = CODEC.decode_each(frames)
    assert isinstance(next(items), ProtocolError)
    del items
    gc.collect()
    frames.append(0)


@given(st.lists(st.one_of(strategies.frames(), strategies.mutated_frames(), strategies.wrapper_frames()), max_size=5))
def test_it_continues_exactly_as_far_as_the_oracle(pieces):
    batch = b"".join(pieces)
    found = list(ecgframe.Codec().decode_each(batch))
    for item in found:
        expected, size = told_by_the_oracle(batch)
        if isinstance(expected, oracle.Refused):
            assert isinstance(item, ProtocolError)
            assert (item.check, item.code) == (expected.check, expected.code)
        else:
            assert (item.type, item.version, item.timestamp) == (expected.type, expected.version, expected.timestamp)
            assert oracle.same(item.data, expected.data, nan_bits=False)
        batch = batch[size:] if size else b""
    assert batch == b""


def told_by_the_oracle(batch):
    """Return the first frame or its error, and its size in bytes; 0 if that is unknown."""
    try:
        *_, size = oracle.split(batch, alone=False)
    except oracle.Refused as refused:
        if refused.check < 7:
            return refused, 0
        length = int.from_bytes(batch[3:7], "big")
        return refused, oracle.header_size(batch[0]) + length
    try:
        return oracle.first_frame(batch, oracle.MAX_PAYLOAD, alone=False)
    except oracle.Refused as refused:
        return refused, size


def of_size(nbytes):
    """A deflated frame whose payload inflates to so many bytes."""
    payload = b"\xc6" + (nbytes - 5).to_bytes(4, "big") + bytes(nbytes - 5)
    return oracle.frame(2, PING, oracle.COMPRESSED, zlib.compress(payload))


def test_a_message_says_how_large_its_payload_was():
    [inflated, plain] = Codec().decode_each(of_size(70_000) + oracle.encode_frame(PING, "four", 1, 0, 0))
    assert (inflated.nbytes, plain.nbytes) == (70_000, 5)
    assert Codec().decode(of_size(70_000)).nbytes == 70_000


def test_the_frames_after_the_first_share_four_mebibytes():
    half = MAX_BATCH_PAYLOAD // 2
    large = of_size(3 * half)  # the first may be as large as any
    items = list(Codec().decode_each(large + of_size(half) + of_size(half - 1000) + of_size(1001) + of_size(1000)))
    assert brief(items[3:4]) == [(10, 0x102)]
    assert [item.nbytes for item in (*items[:3], items[4])] == [3 * half, half, half - 1000, 1000]


def test_uncompressed_payloads_count_for_the_limit():
    plain = oracle.encode_frame(PING, bytes(MAX_BATCH_PAYLOAD), 1, 0, 0)
    items = list(Codec().decode_each(GOOD[0] + plain + GOOD[1]))
    assert brief(items[1:2]) == [(10, 0x102)]
    assert [item.data for item in (items[0], items[2])] == [0, 1]


# --- records of version 4: a byte of one becomes 32 samples ---

each_core = pytest.mark.parametrize("core", CORES)
MOST_SAMPLES = MAX_BATCH_PAYLOAD // 8
"""That the frames behind the first may stand for together."""


def record_frame(core, count, *, dtype="int8", rows=0, deflated=False, delta=False):
    """The frame of a record of zeros, with its template."""
    template = core.Template(1, "ecg/1", dtype, rows, {})
    payload = template.encode(np.zeros((rows, 0 if delta else count) if rows else count, dtype), 0, delta=False)
    if delta:  # as a writer with the filter would, which takes the plain core its time
        payload = struct.pack(">HBBIq", 1, 1, 0, count, 0) + bytes(rows * -(-count // 32))
    flags = oracle.COMPRESSED if deflated else 0
    travels = zlib.compress(payload) if deflated else payload
    frame = oracle.frame(4, ECG, flags, travels, 0, form=oracle.RECORD, stream=7, sequence=1)
    return frame, {(7, 1): template}


@each_core
@pytest.mark.parametrize(("dtype", "rows"), [("int8", 0), ("uint16", 1), ("int32", 4), ("float32", 2)])
@pytest.mark.parametrize("deflated", [False, True])
def test_a_record_counts_by_the_samples_that_it_stands_for(core, dtype, rows, deflated):
    leads = rows or 1
    counts = MOST_SAMPLES // 2 // leads, MOST_SAMPLES // 2 // leads - 5, 6, 5
    made = [record_frame(core, count, dtype=dtype, rows=rows, deflated=deflated) for count in counts]
    book = made[0][1]
    batch = b"".join([made[0][0], *(frame for frame, _ in made)])  # the first is not counted
    items = list(core.Codec().decode_each(batch, templates=book))
    # Six samples of each lead are one too many, and what is refused takes nothing of the room.
    assert [getattr(item, "code", None) for item in items] == [None, None, None, 0x102, None]
    assert items[3].check == 11
    assert [items[n].data["signal"].shape[-1] for n in (1, 2, 4)] == [counts[0], counts[1], counts[3]]


@each_core
def test_the_size_of_a_records_samples_is_known_from_its_head(core):
    """The template is not even asked, which would make the samples."""
    frame, _ = record_frame(core, MOST_SAMPLES // 3 + 1, rows=3, delta=True)

    class Template:
        coder = None
        rows = 3

        def decode(self, payload, *, max_payload, copy, numeric):
            raise AssertionError("nothing is made of it")

    assert len(frame) < MAX_BATCH_PAYLOAD // 200
    first, second, third = core.Codec().decode_each(GOOD[0] + frame + GOOD[1], templates={(7, 1): Template()})
    assert (second.check, second.code) == (11, 0x102)
    assert "stands for 4194312 bytes of samples (byte 4), where the frames of this batch have room for 4194304" in str(
        second
    )
    assert (first.data, third.data) == (0, 1)
    frame, book = record_frame(core, MOST_SAMPLES // 3 + 1, rows=3)
    [message, _] = core.Codec().decode_each(frame + GOOD[1], templates=book)  # the first may be as large as any
    assert message.data["signal"].nbytes == MOST_SAMPLES + 3 - MOST_SAMPLES % 3
    [_, message] = core.Codec().decode_all(GOOD[0] + frame, book)
    assert message.data["signal"].shape == (3, MOST_SAMPLES // 3 + 1)


@each_core
def test_a_record_counts_its_payload_where_that_is_more(core):
    frame, book = record_frame(core, MOST_SAMPLES - 2, dtype="float64")  # and 16 bytes before the samples
    items = list(core.Codec().decode_each(GOOD[0] + frame + GOOD[1], templates=book))
    assert items[1].nbytes == MAX_BATCH_PAYLOAD
    assert (items[2].check, items[2].code) == (10, 0x102)
