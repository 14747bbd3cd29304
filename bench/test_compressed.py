"""What does compression cost, and what does it leave? The peers get zlib at level 6 around their payload.

The size stands behind the name: bytes, of a whole frame for ecgframe, of the bare payload for the others.
"""

import ecg
import peers
import pytest

PEERS = [peers.ECGFRAME_COMPRESSED, *(peer.deflated() for peer in peers.OTHERS)]


@pytest.mark.parametrize("dtype", ["float64", "int16"])
@peers.each(PEERS)
def test_encode_compressed(measure, peer, dtype):
    message = ecg.message(ecg.ONE_SECOND, dtype)
    encoded = peer.encode(message)
    assert ecg.same(peer.then_array(dtype).decode(encoded), message)
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
    assert ecg.same(decoded, message)
