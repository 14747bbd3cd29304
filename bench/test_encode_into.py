"""What does a sender save that writes frames into a buffer of its own, instead of having bytes made for each?

msgspec has the like, for its bare payload.
"""

import ecg
import peers
import pytest

WRITERS = [peers.ECGFRAME, peers.ECGFRAME_BINARY, peers.OTHERS[3]]
every_size = pytest.mark.parametrize("size", ecg.SIZES, ids=lambda size: size.id)


def compare(measure, group, peer, message):
    encoded = peer.encode(message)
    buffer = bytearray(2 * len(encoded))
    encode_into = peer.into(message, buffer)
    measure(group, f"{peer.name}: encode_into", encode_into)
    assert ecg.same(peer.decode(bytes(buffer[: len(encoded)])), peer.decode(encoded))


@every_size
@peers.each(WRITERS)
def test_encode_into_ndarray(measure, peer, size):
    compare(measure, f"encode {size} float64 from ndarray", peer, ecg.message(size, "float64"))


@every_size
@peers.each([WRITERS[0], WRITERS[2]])
def test_encode_into_lists(measure, peer, size):
    compare(measure, f"encode {size} float64 from lists", peer, ecg.message(size, "float64", "list"))


@peers.each([WRITERS[0], WRITERS[2]])
def test_encode_into_heartbeat(measure, peer):
    compare(measure, "encode heartbeat", peer, {"timestamp": 1705320000.25})
