"""Frames that are prepared in one thread and completed in another: the same bytes as ``encode`` returns."""

import numpy as np
import oracle
import pytest
from cases import each_case

from ecgframe import Codec, Compression, Flag, MessageTooLarge, MessageType, ProtocolError
from ecgframe._core.with_entry import WithEntry

STREAM = "ecg/bed-7"
RNG = np.random.default_rng(3)
PAYLOADS = {
    "nothing": None,
    "a map": {"a": 1},
    "floats": {"signal": [1.5] * 3000},
    "what does not shrink": {"signal": RNG.bytes(300_000)},
    "an array": {"signal": RNG.standard_normal((3, 9000))},
    "text": {"text": "äb" * 50_000},
}


def assert_described(encoded, codec):
    """The fields of an ``EncodedFrame`` are those that a receiver finds in its bytes."""
    header, payload = codec.split(encoded.frame)
    assert (encoded.version, encoded.type, encoded.flags) == (header.version, header.type, header.bits)
    assert (encoded.timestamp, encoded.nbytes) == (header.timestamp, payload.nbytes)
    message = codec.decode(encoded.frame)
    assert encoded.packed == message.nbytes
    assert oracle.same(codec.unpack_frame(encoded), message.data)
    verified = codec.verify(encoded.frame)
    for name in ("version", "type", "flags", "timestamp", "nbytes"):
        assert getattr(verified, name) == getattr(encoded, name), name
    assert verified.packed == (None if header.flags & Flag.COMPRESSED else encoded.nbytes)
    assert oracle.same(codec.unpack_frame(verified), message.data)
    assert bytes(encoded) is encoded.frame


@each_case("version", [1, 2, 3])
@each_case("compression", [None, Compression(), Compression(threshold=0)], ids=str)
@each_case("ndarray", ["list", "binary"])
@pytest.mark.parametrize("data", PAYLOADS.values(), ids=PAYLOADS)
def test_a_prepared_frame_is_the_one_that_encode_makes(version, compression, ndarray, data):
    codec = Codec(version=version, compression=compression, ndarray=ndarray)
    timestamp = 1_705_314_645_500_000 if version == 3 else None
    frame = codec.encode(MessageType.ECG_DATA, data, timestamp=timestamp)
    prepared = codec.prepare(MessageType.ECG_DATA, data)
    finished = prepared.finish(timestamp)
    assert finished.frame == frame
    assert_described(finished, codec)
    assert_described(codec.encode_frame(MessageType.ECG_DATA, data, timestamp=timestamp), codec)
    header, payload = codec.split(frame)
    assert prepared.nbytes == payload.nbytes
    assert prepared.flags == header.flags
    assert prepared.packed == codec.decode(frame).nbytes


def test_a_prepared_frame_is_finished_once_with_a_valid_timestamp():
    prepared = Codec().prepare(MessageType.ECG_DATA, {"a": 1}, flags=Flag.PRIORITY)
    for impossible in (-1, 2**64):
        with pytest.raises(ValueError, match="microseconds since 1970 in 64 bits"):
            prepared.finish(impossible)
    with pytest.raises(ValueError, match="a V3 frame has a timestamp"):
        prepared.finish(None)
    assert Codec().decode(prepared.finish(7).frame).flags == Flag.PRIORITY
    with pytest.raises(ValueError, match="finished before"):
        prepared.finish(8)
    with pytest.raises(ValueError, match="a V1 frame has no timestamp"):
        Codec(version=1).prepare(MessageType.PING, None).finish(7)


def test_unsendable_data_is_refused_by_prepare():
    codec = Codec(max_payload=1000, validate=True)
    with pytest.raises(MessageTooLarge):
        codec.prepare(MessageType.PING, bytes(2000))
    with pytest.raises(TypeError, match=r"data\[0\]"):
        codec.prepare(MessageType.PING, [{1}])
    with pytest.raises(ValueError, match="none of the specification's thirteen"):
        codec.prepare(99, None)
    with pytest.raises(ValueError, match="ECG_DATA lacks"):
        codec.prepare(MessageType.ECG_DATA, {})


@pytest.mark.parametrize("compression", [None, Compression(threshold=0)], ids=str)
def test_another_timestamp_is_written_without_summing_again(compression):
    codec = Codec(compression=compression)
    encoded = codec.encode_frame(MessageType.ECG_DATA, {"a": [0] * 100}, flags=Flag.ACK_REQUIRED, timestamp=5)
    later = encoded.with_timestamp(2**64 - 1)
    assert later.frame == codec.encode(
        MessageType.ECG_DATA, {"a": [0] * 100}, flags=Flag.ACK_REQUIRED, timestamp=2**64 - 1
    )
    assert_described(later, codec)
    assert encoded.timestamp == 5
    for impossible in (-1, 2**64):
        with pytest.raises(ValueError, match="microseconds since 1970 in 64 bits"):
            encoded.with_timestamp(impossible)
    with pytest.raises(ValueError, match="a V2 frame has no timestamp"):
        codec.encode_frame(MessageType.PING, None, version=2).with_timestamp(5)


def test_verify_and_split_refuse_the_same_frames():
    codec = Codec(max_payload=100, versions=[1, 3])
    good = codec.encode(MessageType.PING, {"a": 1})
    for broken in (good[:-1], good + b"x", good[:-1] + b"x", b"", b"\x02" + good[1:], good[:3] + b"\xff" + good[4:]):
        refusals = []
        for method in (codec.split, codec.verify):
            with pytest.raises(ProtocolError) as raised:
                method(broken)
            refusals.append((type(raised.value), str(raised.value), raised.value.check))
        assert refusals[0] == refusals[1]


def test_a_frame_that_is_unpacked_is_held_to_the_limit():
    large = Codec().encode_frame(MessageType.PING, bytes(100_000))
    assert large.nbytes < 1000
    with pytest.raises(MessageTooLarge):
        Codec(max_payload=1000).unpack_frame(large)


class Renamed(dict):
    """A dict that iterates as it likes."""

    def keys(self):
        return [key.upper() for key in dict.keys(self)]

    def __getitem__(self, key):
        return dict.__getitem__(self, key.lower())

    def __iter__(self):
        return iter(self.keys())


@pytest.mark.parametrize("size", [0, 1, 14, 15, 16, 65534, 65535, 65536])
def test_an_entry_is_added_as_a_copy_would_have_it(size):
    entries = {f"k{number}": number for number in range(size)}
    assert Codec().pack(WithEntry(entries, "stream", STREAM)) == Codec().pack(entries | {"stream": STREAM})
    assert len(entries) == size


def test_an_entry_is_added_to_what_a_subclass_says_that_it_holds():
    assert Codec().pack(WithEntry(Renamed(a=1), "stream", STREAM)) == Codec().pack({"A": 1, "stream": STREAM})


@pytest.mark.parametrize("wrong", [{"a": {1}}, {"a": {"b": [1, {2}]}}, {1.5: 2}, {"a": 1 << 70}, {"a": "\ud800"}])
@pytest.mark.parametrize("limit", [20, 1000])
def test_errors_are_those_of_a_copy(wrong, limit):
    def refusal(data):
        with pytest.raises(Exception) as raised:  # noqa: PT011 - compared below
            Codec(max_payload=limit).pack(data)
        return raised.type, str(raised.value)

    assert refusal(WithEntry(wrong, "stream", STREAM)) == refusal(wrong | {"stream": STREAM})
    fits = {"a": "text"}
    assert Codec(max_payload=25).pack(WithEntry(fits, "stream", STREAM)) == Codec().pack(fits | {"stream": STREAM})
    with pytest.raises(MessageTooLarge, match="24 bytes at data"):
        Codec(max_payload=24).pack(WithEntry(fits, "stream", STREAM))
