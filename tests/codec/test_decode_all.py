"""Several frames end to end in one buffer."""

import gc
from collections.abc import Iterator

import numpy as np
import oracle
import pytest

from ecgframe import Codec, MessageType, ProtocolError, decode, decode_all, encode


def test_the_frames_come_out_in_order():
    types = oracle.TYPES.values()
    frames = [encode(type, {"n": n}, version=n % 3 + 1) for n, type in enumerate(types)]
    messages = list(decode_all(b"".join(frames)))
    assert [message.type for message in messages] == list(types)
    assert [message.version for message in messages] == [n % 3 + 1 for n in range(13)]
    assert [message.data for message in messages] == [{"n": n} for n in range(13)]


def test_decode_all_returns_an_iterator():
    assert isinstance(decode_all(encode(MessageType.PING, None)), Iterator)


def test_an_empty_buffer_has_no_frames():
    assert list(decode_all(b"")) == []


def test_one_frame_decode_refuses_what_decode_all_takes():
    two = encode(MessageType.PING, 1) + encode(MessageType.PONG, 2)
    assert [message.data for message in decode_all(two)] == [1, 2]
    with pytest.raises(ProtocolError) as caught:
        decode(two)
    assert (caught.value.code, caught.value.check) == (0x200, 5)


@pytest.mark.parametrize("left_over", [b"\0", b"\x03" * 10, bytes(11)])
def test_the_remaining_bytes_must_be_a_frame(left_over):
    messages = decode_all(encode(MessageType.PING, 1) + left_over)
    assert next(messages).data == 1
    with pytest.raises(ProtocolError):
        next(messages)
    with pytest.raises(StopIteration):
        next(messages)


def test_a_frame_lost_to_a_late_check_ends_the_iteration_with_its_error():
    frames = (
        oracle.frame(1, 0x11, 0, b"\x01")
        + oracle.frame(1, 0x11, 0, b"\x02", checksum=0)
        + oracle.frame(1, 0x11, 0, b"\x03")
    )
    messages = decode_all(frames)
    assert next(messages).data == 1
    with pytest.raises(ProtocolError) as caught:
        next(messages)
    assert caught.value.check == 7


def test_the_limit_holds_for_each_frame_and_not_for_all():
    codec = Codec(max_payload=10)
    frame = encode(MessageType.PING, bytes(8), version=1)
    assert len(list(codec.decode_all(frame * 5))) == 5


@pytest.mark.parametrize("version", [1, 2, 3])
def test_arrays_of_later_frames_have_the_right_values_wherever_they_lie(version):
    codec = Codec(ndarray="binary", compression=None, version=version)
    signals = [np.arange(n, n + 5, dtype="float64") for n in range(20)]
    batch = b"".join(
        codec.encode(MessageType.ECG_DATA, {"s": signal, "x": "y" * n}) for n, signal in enumerate(signals)
    )
    for signal, message in zip(signals, codec.decode_all(batch), strict=True):
        array = message.data["s"]
        assert np.array_equal(array, signal)
        assert array.flags.aligned
        assert not array.flags.writeable


def test_an_abandoned_iterator_releases_the_buffer():
    frames = bytearray(encode(MessageType.PING, 1) * 3)
    messages = decode_all(frames)
    next(messages)
    del messages
    gc.collect()
    frames.append(0)
