"""Streams that are not valid deflate: zlib refuses them, libdeflate gives the payload that was summed."""

import json
import zlib

import make_deflate_vectors as making
import oracle
import pytest
from rendering import VECTORS

from ecgframe import Codec, DecompressionFailed, compression

CODEC = Codec()
STREAMS = json.loads((VECTORS / "invalid-deflate.json").read_text())
each_stream = pytest.mark.parametrize("vector", [pytest.param(one, id=one["name"]) for one in STREAMS])


def decode(stream):
    return CODEC.decode(oracle.frame(3, 0x11, oracle.COMPRESSED, stream, 7)).data


def test_the_vectors_are_as_they_are_made():
    made = {name: make()[1].hex() for name, make in making.STREAMS.items()}
    assert {one["name"]: one["stream"] for one in STREAMS} == made


@pytest.mark.parametrize("make", making.VALID.values(), ids=list(making.VALID))
def test_the_nearest_valid_streams_are_read(make):
    content, stream = make()
    assert zlib.decompress(stream) == content
    assert decode(stream) == oracle.unpack(content)


@each_stream
def test_zlib_refuses_them(vector, monkeypatch):
    monkeypatch.setattr(compression, "_inflate", None)
    with pytest.raises(DecompressionFailed) as caught:
        decode(bytes.fromhex(vector["stream"]))
    assert caught.value.check == 9
    with pytest.raises(zlib.error, match=r"invalid|too many"):
        zlib.decompress(bytes.fromhex(vector["stream"]))


@each_stream
def test_libdeflate_gives_the_payload_that_was_summed(vector):
    pytest.importorskip("deflate")
    payload = zlib.decompress(bytes.fromhex(vector["valid"]))
    assert decode(bytes.fromhex(vector["stream"])) == oracle.unpack(payload)
    spoilt = bytearray.fromhex(vector["stream"])
    spoilt[-1] ^= 1
    with pytest.raises(DecompressionFailed):
        decode(spoilt)
