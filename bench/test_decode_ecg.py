"""How long does it take to make an ECG message of bytes?

To an array, for a reader that computes: peers that return lists are followed by `np.array`. To lists, for one that
hands them on.
"""

import ecg
import peers
import pytest


@pytest.mark.parametrize("dtype", ecg.DTYPES)
@pytest.mark.parametrize("size", ecg.SIZES, ids=lambda size: size.id)
@peers.each([peers.ECGFRAME, peers.ECGFRAME_BINARY, *peers.OTHERS])
def test_decode_to_array(measure, peer, size, dtype):
    message = ecg.message(size, dtype)
    encoded = peer.encode(message)
    reader = peer.then_array(dtype)
    decoded = measure(f"decode {size} {dtype} to array", reader.name, reader.decode, encoded)
    assert ecg.same(decoded, message)


@pytest.mark.parametrize("size", ecg.SIZES, ids=lambda size: size.id)
def test_decode_plain_lists_to_array(measure, size):
    peer = peers.ECGFRAME_FROM_LISTS
    encoded = peer.encode(ecg.message(size, "float64", "list"))
    decoded = measure(f"decode {size} float64 to array", peer.name, peer.decode, encoded)
    assert ecg.same(decoded, ecg.message(size, "float64"))


@pytest.mark.parametrize("dtype", ["float64", "int16"])
@pytest.mark.parametrize("size", ecg.SIZES, ids=lambda size: size.id)
@peers.each([peers.ECGFRAME, *peers.OTHERS])
def test_decode_to_lists(measure, peer, size, dtype):
    message = ecg.message(size, dtype, "list")
    encoded = peer.encode(message)
    decoded = measure(f"decode {size} {dtype} to lists", peer.name, peer.decode, encoded)
    assert ecg.same(decoded, message)
