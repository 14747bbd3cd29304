"""The overhead of a frame with almost no payload."""

import ecg
import peers

MESSAGE = {"timestamp": 1705320000.25}


@peers.each([peers.HEARTBEAT, *peers.OTHERS])
def test_encode_heartbeat(measure, peer):
    assert ecg.same(peer.message(peer.decode(peer.encode(MESSAGE))), MESSAGE)
    measure("encode heartbeat", peer.name, peer.encode, MESSAGE)


@peers.each([peers.HEARTBEAT, *peers.OTHERS])
def test_decode_heartbeat(measure, peer):
    decoded = measure("decode heartbeat", peer.name, peer.decode, peer.encode(MESSAGE))
    assert ecg.same(peer.message(decoded), MESSAGE)
