"""The binary form compared with the list form, with raw bytes by hand, and with a mere copy of the samples."""

import ecg
import numpy as np
import peers
import pytest

from ecgframe import Codec, MessageType, crc32

ARRAYS = [peers.ECGFRAME_BINARY, peers.ECGFRAME, *peers.RAW_BYTES]
BINARY = Codec(ndarray="binary", compression=None)
every_size = pytest.mark.parametrize("size", ecg.SIZES, ids=lambda size: size.id)


def address(array):
    return array.__array_interface__["data"][0]


@every_size
@peers.each(ARRAYS)
def test_encode_binary(measure, peer, size):
    message = ecg.message(size, "float64")
    assert ecg.same(peer.decode(peer.encode(message)), message)
    measure(f"binary form, encode {size} float64", peer.name, peer.encode, message)


@every_size
def test_copy_the_samples(measure, size):
    samples = ecg.signal(size, "float64")
    assert np.array_equal(np.frombuffer(samples.tobytes()), samples.ravel())
    measure(f"binary form, encode {size} float64", "(a copy of the samples)", samples.tobytes)


@every_size
@peers.each(ARRAYS)
def test_decode_binary(measure, peer, size):
    message = ecg.message(size, "float64")
    decoded = measure(f"binary form, decode {size} float64", peer.name, peer.decode, peer.encode(message))
    assert ecg.same(decoded, message)


@every_size
def test_decode_makes_no_copy_of_the_samples(measure, size):
    frame = np.frombuffer(BINARY.encode(MessageType.ECG_DATA, ecg.message(size, "float64")), np.uint8)
    message = measure(
        f"binary form, decode {size} float64", "ecgframe, binary form, of an ndarray", BINARY.decode, frame
    )
    inside = address(message.data["signal"]) - address(frame)
    assert 0 < inside < len(frame)
    assert inside % 8 == 0


@every_size
def test_decode_nothing_but_the_signal(measure, size):
    frame = BINARY.encode(MessageType.ECG_DATA, {"signal": ecg.signal(size, "float64"), "sampling_rate": 500.0})
    message = measure(f"binary form, decode {size} float64", "ecgframe, signal and rate alone", BINARY.decode, frame)
    assert np.array_equal(message.data["signal"], ecg.signal(size, "float64"))


@every_size
def test_split(measure, size):
    frame = BINARY.encode(MessageType.ECG_DATA, ecg.message(size, "float64"))
    header, payload = measure(f"split {size} float64", "split: header, CRC-32, view", BINARY.split, frame)
    assert (len(payload), crc32(payload)) == (header.length, header.checksum)
    assert payload == frame[header.size :]


@every_size
def test_the_sum_alone(measure, size):
    header, payload = BINARY.split(BINARY.encode(MessageType.ECG_DATA, ecg.message(size, "float64")))
    assert measure(f"split {size} float64", "(CRC-32 of the payload)", crc32, payload) == header.checksum
