# ruff: noqa: SIM117 - long lists of contexts are harder to read
"""The class BULK on servers that share a real Redis: of a stream as a whole, on every server."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from recordings import optional
from running import run
from server.numbered_viewer import numbered_viewer
from server.redis_server import redis_server
from server.test_opened_streams import EPOCH, publishing
from server.test_redis_numbers import until
from server.test_redis_opened import node

from ecgframe import ErrorCode, Flag, MessageType
from ecgframe.protocol import Form
from ecgframe.server import WebSocketBinaryHandler

pytestmark = pytest.mark.slow

optional("redis.asyncio")

STREAM = "ecg/bed-7"
FEATURES, DATA, ALERT = MessageType.FEATURE_DATA, MessageType.ECG_DATA, MessageType.ANOMALY_ALERT


@pytest.fixture
def redis(tmp_path):
    with redis_server(tmp_path) as running:
        yield running


def classes(viewer):
    return [bool(message.form & Form.BULK) for message in viewer.received]


def test_the_first_message_decides_the_class_on_every_server(redis):
    async def main():
        async with node(redis) as one, node(redis) as two:
            async with numbered_viewer(one) as near, numbered_viewer(two) as far:
                for viewer in (near, far):
                    await viewer.subscribe(STREAM)
                await two.publish(STREAM, ALERT, {"kind": "pause", "timestamp": 1.0})  # decides nothing
                await one.publish(STREAM, FEATURES, {"n": 1}, bulk=True)
                await two.publish(STREAM, FEATURES, {"n": 2}, bulk=True)
                for handler in (one, two):
                    with pytest.raises(ValueError, match=r"was published with bulk=True|is of the other class"):
                        await handler.publish(STREAM, FEATURES, {"n": 3})
                await two.publish(STREAM, FEATURES, {"pad": bytes(60_000)}, bulk=True)
                await one.publish(STREAM, FEATURES, {"n": 4}, Flag.PRIORITY)  # urgent all the same
                for viewer in (near, far):
                    await until(lambda viewer=viewer: len(viewer.received) == 5, viewer)
                    by_number = sorted(
                        (message.sequence, bool(message.form & Form.BULK)) for message in viewer.received
                    )
                    assert by_number == [(1, False), (2, True), (3, True), (4, True), (5, False)]

    run(main())


def test_a_server_that_has_nothing_of_the_stream_is_told_the_class(redis):
    async def main():
        async with node(redis) as one, node(redis) as two:
            await one.publish(STREAM, FEATURES, {"n": 1}, bulk=True)
            with pytest.raises(ValueError, match=r"bulk=True|other class"):
                await two.publish(STREAM, FEATURES, {"n": 2})
            async with numbered_viewer(two) as viewer:
                await viewer.subscribe(STREAM)
                await two.publish(STREAM, FEATURES, {"n": 3}, bulk=True)
                await until(lambda: viewer.received, viewer)
                assert classes(viewer) == [True]

    run(main())


def test_two_servers_that_publish_at_once_agree_on_the_class(redis):
    async def main():
        async with node(redis) as one, node(redis) as two:
            with one._streams.hold(STREAM) as a, two._streams.hold(STREAM) as b:
                await one._streams.join(a)
                await two._streams.join(b)
                publishing = [
                    one.publish(STREAM, FEATURES, {"n": 1}, bulk=True),
                    two.publish(STREAM, FEATURES, {"n": 2}),
                ]
                told = await asyncio.gather(*publishing, return_exceptions=True)
                assert sorted(isinstance(one, ValueError) for one in told) == [False, True]
                async with asyncio.timeout(20):
                    while (
                        a.viewers.is_bulk is not b.viewers.is_bulk
                    ):  # the one that is refused has yet to read the other's message
                        await asyncio.sleep(0.01)
                assert a.viewers.is_bulk is b.viewers.is_bulk is isinstance(told[1], ValueError)

    run(main())


def test_records_of_bulk_and_their_templates_have_the_bit(redis):
    async def main():
        async with node(redis) as one, node(redis) as two:
            async with numbered_viewer(one) as near, numbered_viewer(two) as far:
                for viewer in (near, far):
                    await viewer.subscribe(STREAM)
                for n in range(6):
                    signal = np.arange(20, dtype="int16").reshape(2, 10)
                    data = {"signal": signal, "sampling_rate": 500, "timestamp": float(n)}
                    await one.publish(STREAM, DATA, data, bulk=True)
                for viewer in (near, far):
                    await until(lambda viewer=viewer: len(viewer.received) == 6, viewer)
                    assert classes(viewer) == [True] * 6
                    assert viewer.received[-1].form == Form.RECORD | Form.BULK
                    assert viewer.numbers == sorted(viewer.numbers)

    run(main())


def test_bulk_of_a_client_keeps_its_class_over_redis(redis):
    async def main():
        async with node(redis) as one, node(redis) as two:
            async with numbered_viewer(one) as near, numbered_viewer(two) as far, publishing(one) as peer:
                for viewer in (near, far):
                    await viewer.subscribe(STREAM)
                assert await peer.open() == 1
                peer.alert(1)
                peer.features(2, form=Form.BULK)
                peer.features(3)  # of the other class
                peer.features(4, form=Form.BULK)
                for viewer in (near, far):
                    await until(lambda viewer=viewer: len(viewer.received) == 3, viewer, peer.viewer)
                    assert [one.sequence for one in viewer.received] == [1, 2, 4]
                    assert classes(viewer) == [False, True, True]
                assert await peer.codes() == [ErrorCode.INVALID_DATA_FORMAT]
            async with publishing(two) as other:  # goes on over the other server, which knows the class
                assert await other.open() == 5
                other.features(5)
                other.features(6, form=Form.BULK)
                await until(lambda: other.viewer.errors, other.viewer)
                assert [error.code for error in other.viewer.errors] == [ErrorCode.INVALID_DATA_FORMAT]
                assert two._streams.admission(STREAM).is_bulk
                assert two._streams.admission(STREAM).epoch == EPOCH

    run(main())


def test_without_numbers_bulk_is_refused(redis):
    from ecgframe.server.redis import RedisBackplane

    async def main():
        async with WebSocketBinaryHandler(backplane=RedisBackplane(redis.url)) as handler:
            with pytest.raises(ValueError, match="bulk=True needs a backplane"):
                await handler.publish(STREAM, FEATURES, {"n": 1}, bulk=True)

    run(main())
