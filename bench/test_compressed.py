"""Time and size of compressed messages. The payloads of the other libraries are compressed with zlib at level 6.

The name of each result states the size in bytes: of the whole frame for ecgframe, of the payload for the others.
"""

import random

import ecg
import peers
import pytest

from ecgframe import pack
from ecgframe.compression import deflate

PEERS = [peers.ECGFRAME_COMPRESSED, peers.ZLIB, *(peer.deflated() for peer in peers.OTHERS)]


@pytest.mark.parametrize("dtype", ["float64", "int16"])
@peers.each(PEERS)
def test_encode_compressed(measure, peer, dtype):
    message = ecg.message(ecg.ONE_SECOND, dtype)
    encoded = peer.encode(message)
    reader = peer.then_array(dtype)
    assert ecg.same(reader.message(reader.decode(encoded)), message)
    group = f"encode {ecg.ONE_SECOND} {dtype} from ndarray, compressed"
    measure(group, f"{peer.name}: {len(encoded)} bytes", peer.encode, message, bytes=len(encoded))


@pytest.mark.parametrize("dtype", ["float64", "int16"])
@peers.each(PEERS)
def test_decode_compressed(measure, peer, dtype):
    message = ecg.message(ecg.ONE_SECOND, dtype)
    encoded = peer.encode(message)
    reader = peer.then_array(dtype)
    group = f"decode {ecg.ONE_SECOND} {dtype} to array, compressed"
    decoded = measure(group, f"{reader.name}: {len(encoded)} bytes", reader.decode, encoded, bytes=len(encoded))
    assert ecg.same(reader.message(decoded), message)


@peers.each([peers.ECGFRAME, peers.ECGFRAME_COMPRESSED])
@pytest.mark.parametrize("size", [65_536, 1_000_000])
def test_encode_what_will_not_shrink(measure, peer, size):
    message = {"image": random.Random(7).randbytes(size)}
    encoded = measure(f"encode {size:,} random bytes", peer.name, peer.encode, message)
    assert encoded[19:] == pack(message)


@pytest.mark.parametrize("size", [65_536, 1_000_000])
def test_deflate_what_will_not_shrink(measure, size):
    payload = pack({"image": random.Random(7).randbytes(size)})
    deflated = measure(f"encode {size:,} random bytes", "(deflated, but not smaller)", deflate, memoryview(payload), 6)
    assert len(deflated) > size
