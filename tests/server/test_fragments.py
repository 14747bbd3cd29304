"""Large messages in fragments, from a handler over real sockets to a client, and what overtakes them."""

import asyncio
import os

import pytest
from client.cutting_proxy import cutting_proxy
from client.servers import impatient, serving
from running import run
from server.engines import until

from ecgframe import MessageType
from ecgframe.protocol import Capability
from ecgframe.server import WebSocketBinaryHandler
from ecgframe.session import Settings
from ecgframe.session.settings import EVERYTHING, OF_VERSION_4

ALL = (1, 2, 3, 4)
STREAM = "ecg/bed-7"
MBIT = 125_000
WITHOUT = EVERYTHING | OF_VERSION_4 - {Capability.FRAGMENTS}


async def alert_behind(nbytes, rate, **settings):
    """Publish an alert at byte 1 of a message. Returns the seconds until it arrives, and the types in order."""
    loop = asyncio.get_running_loop()
    handler = WebSocketBinaryHandler(settings=Settings(versions=ALL))
    async with serving(handler) as target, cutting_proxy(target) as proxy:
        proxy.rate = rate
        async with impatient(proxy.url, settings=Settings(versions=ALL, **settings)) as client:
            async with client.subscribe(STREAM) as stream:
                await handler.publish(STREAM, MessageType.ECG_DATA, {"n": 0})
                arrived = [await anext(stream)]
                begun = handler.stats()["bytes"]["sent"]
                await handler.publish(STREAM, MessageType.FEATURE_DATA, {"n": 1, "pad": os.urandom(nbytes)})
                await until(lambda: handler.stats()["bytes"]["sent"] > begun + 1000)
                published = loop.time()
                await handler.publish(STREAM, MessageType.ANOMALY_ALERT, {"kind": "asystole", "timestamp": 1.0})
                arrived.append(await anext(stream))
                seconds = loop.time() - published
                if nbytes <= 300_000:
                    arrived.append(await anext(stream))
            proxy.rate = None
    return seconds, [message.type for message in arrived]


@pytest.mark.slow
def test_an_alert_and_a_message_in_pieces_both_arrive():
    _, types = run(alert_behind(300_000, 8 * MBIT), 60)
    assert types == [MessageType.ECG_DATA, MessageType.ANOMALY_ALERT, MessageType.FEATURE_DATA]


@pytest.mark.slow
def test_without_fragments_the_alert_comes_behind_it():
    _, types = run(alert_behind(300_000, 8 * MBIT, capabilities=WITHOUT), 60)
    assert types == [MessageType.ECG_DATA, MessageType.FEATURE_DATA, MessageType.ANOMALY_ALERT]


@pytest.mark.slow
@pytest.mark.alone
def test_an_alert_at_byte_1_of_ten_mebibytes_arrives_soon_over_a_slow_socket():
    """At 1 Mbit/s, where the message takes 84 s."""
    seconds, types = run(alert_behind(10 * 1024 * 1024, MBIT), 60)
    assert types == [MessageType.ECG_DATA, MessageType.ANOMALY_ALERT]
    assert seconds <= 0.4
