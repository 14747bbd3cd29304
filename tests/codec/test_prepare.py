"""Frames that are prepared in one thread and sealed in another: the same bytes as encode makes."""

import numpy as np
import pytest

from ecgframe import Codec, Compression, Flag, MessageTooLarge, MessageType
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


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("compression", [None, Compression(), Compression(threshold=0)], ids=str)
@pytest.mark.parametrize("ndarray", ["list", "binary"])
@pytest.mark.parametrize("data", PAYLOADS.values(), ids=PAYLOADS)
def test_a_prepared_frame_is_the_one_that_encode_makes(version, compression, ndarray, data):
    codec = Codec(version=version, compression=compression, ndarray=ndarray)
    timestamp = 1_705_314_645_500_000 if version == 3 else None
    frame = codec.encode(MessageType.ECG_DATA, data, timestamp=timestamp)
    prepared = codec.prepare(MessageType.ECG_DATA, data)
    assert prepared.seal(timestamp) == frame
    header, payload = codec.split(frame)
    assert prepared.nbytes == payload.nbytes
    assert prepared.flags == header.flags
    assert prepared.packed == codec.decode(frame).nbytes


def test_it_is_sealed_once_with_a_timestamp_that_can_be():
    prepared = Codec().prepare(MessageType.ECG_DATA, {"a": 1}, flags=Flag.PRIORITY)
    for impossible in (-1, 2**64):
        with pytest.raises(ValueError, match="microseconds since 1970 in 64 bits"):
            prepared.seal(impossible)
    with pytest.raises(ValueError, match="a V3 frame has a timestamp"):
        prepared.seal(None)
    assert Codec().decode(prepared.seal(7)).flags == Flag.PRIORITY
    with pytest.raises(ValueError, match="sealed before"):
        prepared.seal(8)
    with pytest.raises(ValueError, match="a V1 frame has no timestamp"):
        Codec(version=1).prepare(MessageType.PING, None).seal(7)


def test_what_cannot_be_sent_is_refused_when_it_is_prepared():
    codec = Codec(max_payload=1000, validate=True)
    with pytest.raises(MessageTooLarge):
        codec.prepare(MessageType.PING, bytes(2000))
    with pytest.raises(TypeError, match=r"data\[0\]"):
        codec.prepare(MessageType.PING, [{1}])
    with pytest.raises(ValueError, match="none of the specification's thirteen"):
        codec.prepare(99, None)
    with pytest.raises(ValueError, match="ECG_DATA lacks"):
        codec.prepare(MessageType.ECG_DATA, {})


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
