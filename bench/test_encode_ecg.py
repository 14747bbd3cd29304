"""Encoding of an ECG message.

Libraries without support for arrays convert an ndarray to lists first (`tolist`). From lists, all get the lists.
"""

import ecg
import peers
import pytest


@pytest.mark.parametrize("dtype", ecg.DTYPES)
@pytest.mark.parametrize("size", ecg.SIZES, ids=lambda size: size.id)
@peers.each([peers.ECGFRAME, peers.ECGFRAME_BINARY, *peers.OTHERS])
def test_encode_ndarray(measure, peer, size, dtype):
    message = ecg.message(size, dtype)
    assert ecg.same(peer.then_array(dtype).decode(peer.encode(message)), message)
    encoded = measure(f"encode {size} {dtype} from ndarray", peer.name, peer.encode, message)
    assert len(encoded) == len(peer.encode(message))


# A Python list has no float32.
@pytest.mark.parametrize("dtype", ["float64", "int16"])
@pytest.mark.parametrize("size", ecg.SIZES, ids=lambda size: size.id)
@peers.each([peers.ECGFRAME, *peers.OTHERS])
def test_encode_lists(measure, peer, size, dtype):
    message = ecg.message(size, dtype, "list")
    assert ecg.same(peer.decode(peer.encode(message)), message)
    measure(f"encode {size} {dtype} from lists", peer.name, peer.encode, message)
