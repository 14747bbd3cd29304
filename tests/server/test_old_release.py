"""Today's server and client with those of a release that knows versions 1 to 3 only: the same bytes as that release.

The bytes of the release stand in ``vectors/release-v3.json``. With version 4 among the versions of this side, as by
default, only the offer of the server is another one.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from old_release import CLIENTS, COUNTS, FILE, PUBLISHED, client_course, server_course, told_by

from ecgframe import MessageType, decode
from ecgframe.protocol import STANDALONE_VERSIONS, VERSIONS
from ecgframe.session import RateLimit, Settings

RELEASE = {
    part: {name: [bytes.fromhex(text) for text in texts] for name, texts in sides.items()}
    for part, sides in json.loads(FILE.read_text(encoding="utf-8")).items()
}
each_choice = pytest.mark.parametrize("versions", [None, STANDALONE_VERSIONS, VERSIONS], ids=["default", "3", "4"])


def test_clients_ask_in_the_same_bytes():
    assert RELEASE["told"] == {name: told_by(*client) for name, client in CLIENTS.items()}


@each_choice
def test_a_client_of_the_release_gets_the_same_bytes(versions):
    settings = None if versions is None else Settings(versions=versions, rate_limit=RateLimit())
    sent = server_course(RELEASE["told"], settings)
    assert sent.keys() == RELEASE["servers"].keys()
    for name, messages in sent.items():
        offer, *others = messages
        assert others == RELEASE["servers"][name][1:], name
        if versions == STANDALONE_VERSIONS:
            assert offer == RELEASE["servers"][name][0]
        else:
            assert decode(offer).data["versions"] == [1, 2, 3, 4]
            assert decode(offer).version == 1


@each_choice
@pytest.mark.parametrize("name", RELEASE["clients"])
def test_a_server_of_the_release_gets_the_same_bytes(name, versions):
    settings = None if versions is None else Settings(versions=versions)
    sent, received = client_course(RELEASE["servers"][name], settings)
    assert sent == RELEASE["clients"][name]
    ecg = [message for message in received if message.type is MessageType.ECG_DATA]
    assert [message.version for message in ecg] == [3, 3, 3]
    np.testing.assert_array_equal(ecg[0].data["signal"], COUNTS)
    np.testing.assert_array_equal(ecg[1].data["signal"], COUNTS / 800)
    assert {message.type for message in received} == {type for type, _, _ in PUBLISHED}


def test_the_release_served_what_is_replayed_here():
    """The recording holds all that was published, resumption, repetition and compression."""
    servers = RELEASE["servers"]
    assert servers.keys() == CLIENTS.keys() | {"version 3, everything, back", "version 3, nothing, back"}
    types = {decode(octets).type for octets in servers["version 3, everything"]}
    assert types >= {type for type, _, _ in PUBLISHED} | {MessageType.SUBSCRIPTION_ACK, MessageType.PONG}
    alerts = [octets for octets in servers["version 3, everything"] if octets[1] == MessageType.ANOMALY_ALERT]
    assert len(alerts) == 5
    assert len(set(alerts)) == 1
