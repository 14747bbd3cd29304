"""What does a frame cost that carries next to nothing?"""

import ecg
import peers

from ecgframe import MessageType

HEARTBEAT = peers.ecgframe_peer(kind=MessageType.HEARTBEAT)
MESSAGE = {"timestamp": 1705320000.25}


@peers.each([HEARTBEAT, *peers.OTHERS])
def test_encode_heartbeat(measure, peer):
    assert ecg.same(peer.decode(peer.encode(MESSAGE)), MESSAGE)
    measure("encode heartbeat", peer.name, peer.encode, MESSAGE)


@peers.each([HEARTBEAT, *peers.OTHERS])
def test_decode_heartbeat(measure, peer):
    decoded = measure("decode heartbeat", peer.name, peer.decode, peer.encode(MESSAGE))
    assert ecg.same(decoded, MESSAGE)
