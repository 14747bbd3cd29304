"""zstd and LZ4 between a server and its viewers, and the largest payload that a viewer of version 4 takes."""

import numpy as np
import pytest
from running import run
from server.numbered_viewer import numbered_viewer

from ecgframe import Compression, Flag, MessageType, decode
from ecgframe.compression import zstd
from ecgframe.protocol import Algorithm, Capability
from ecgframe.server import WebSocketBinaryHandler
from ecgframe.session import FrameRefused, Settings
from ecgframe.session.outgoing import codec_for, encoding_for, within
from ecgframe.session.settings import EVERYTHING, OF_VERSION_4, supported_by

ALL = (1, 2, 3, 4)
FEATURES = MessageType.FEATURE_DATA
needs_zstd = pytest.mark.skipif(not zstd.is_available(), reason="the library for zstd is not installed")
WITHOUT = (EVERYTHING | OF_VERSION_4) - {Capability.LZ4, Capability.COMPRESSION}
"""The capabilities of a viewer without any algorithm."""


def features(n, size=3000):
    return {"features": {"n": n, "text": "lead II, " * (size // 9)}, "timestamp": 1705314645.0 + n}


async def published(viewers, handler, *messages, type=FEATURES, **options):
    for data in messages:
        await handler.publish("ecg/1", type, data, **options)
    for viewer in viewers:
        await viewer.until(lambda: len(viewer.received) == len(messages))  # noqa: B023


def form_of(frame):
    return frame[19] & 3 if frame[0] == 4 else 0


def data_frames(viewer):
    return [frame for frame in viewer.link.sent if frame[1] == FEATURES]


@needs_zstd
def test_each_viewer_gets_the_algorithms_that_it_announced():
    kinds = {
        frozenset({Capability.COMPRESSION}): {0},
        frozenset({Capability.ZSTD}): {1},
        frozenset({Capability.LZ4}): {2},
        frozenset({Capability.COMPRESSION, Capability.ZSTD, Capability.LZ4}): {0, 1, 2},
        frozenset(): None,
    }

    async def conversation():
        async with WebSocketBinaryHandler(settings=Settings(versions=ALL)) as handler:
            for names, wanted in kinds.items():
                async with numbered_viewer(handler, capabilities=WITHOUT | names) as viewer:
                    await viewer.subscribe("ecg/1")
                    await published([viewer], handler, *map(features, range(3)))
                    for message, n in zip(viewer.received, range(3), strict=True):
                        assert message.data["features"] == features(n)["features"]
                        is_compressed = Flag.COMPRESSED in message.flags
                        assert is_compressed is (wanted is not None)
                        if wanted is not None:
                            assert int(message.form) & 3 in wanted
            counts = handler.stats()["compressed"]
            assert sum(counts.values()) == 12
            assert counts["zstd"] >= 3
            assert counts["lz4"] >= 3

    run(conversation())


def test_viewers_of_version_3_get_zlib():
    async def conversation():
        async with WebSocketBinaryHandler(settings=Settings(versions=ALL)) as handler:
            async with numbered_viewer(handler, versions=(1, 2, 3)) as viewer:
                await viewer.subscribe("ecg/1")
                await published([viewer], handler, features(1))
                [message] = viewer.received
                assert (message.version, Flag.COMPRESSED in message.flags) == (3, True)
            assert handler.stats()["compressed"] == {"zlib": 1, "zstd": 0, "lz4": 0}

    run(conversation())


@pytest.mark.parametrize("algorithm", [Algorithm.ZLIB, Algorithm.LZ4])
def test_a_sender_can_be_limited_to_some(algorithm):
    settings = Settings(versions=ALL, compression=Compression(algorithms=(algorithm,)))

    async def conversation():
        async with WebSocketBinaryHandler(settings=settings) as handler, numbered_viewer(handler) as viewer:
            await viewer.subscribe("ecg/1")
            await published([viewer], handler, features(1))
            assert int(viewer.received[0].form) == algorithm

    run(conversation())


def test_a_client_publishes_with_what_the_server_has():
    encoding = encoding_for(4, supported_by(ALL))
    assert set(encoding.algorithms) >= {Algorithm.ZLIB, Algorithm.LZ4}
    assert encoding_for(3, EVERYTHING).algorithms == ()
    codec = codec_for(encoding._replace(algorithms=(Algorithm.LZ4,)), Compression(), 1 << 20)
    assert codec.encode(FEATURES, features(1))[19] == Algorithm.LZ4
    only = codec_for(encoding, Compression(algorithms=(Algorithm.ZSTD,)), 1 << 20) if zstd.is_available() else None
    assert only is None or only.encode(FEATURES, features(1))[19] == Algorithm.ZSTD
    none = codec_for(encoding._replace(algorithms=(Algorithm.LZ4,)), Compression(algorithms=(Algorithm.ZLIB,)), 1 << 20)
    assert none.encode(FEATURES, features(1))[2] == 0


# --- the largest payload of a viewer ---


def test_a_client_of_version_4_names_its_largest_payload_and_no_other_does():
    async def conversation():
        async with WebSocketBinaryHandler(settings=Settings(versions=ALL)) as handler:
            async with numbered_viewer(handler, max_payload=5000):
                [link] = [one.session for one in handler._connections.values()]
                assert link.max_payload_of_peer == 5000
                assert link.encoding.max_payload == 4096
            async with numbered_viewer(handler, versions=(1, 2, 3), max_payload=5000):
                [link] = [one.session for one in handler._connections.values()]
                assert link.max_payload_of_peer is None

    run(conversation())


@pytest.mark.parametrize("announced", [0, 1, 4095, 4096, 2**24 - 1, 2**24, 2**32])
def test_the_limit_is_rounded_down_to_a_power_of_two_below_the_own(announced):
    encoding = encoding_for(4, frozenset())
    found = within(encoding, announced, 2**24)
    if announced >= 2**24:
        assert found is encoding
    else:
        assert found.max_payload <= announced < 2 * found.max_payload + 1
        assert found.max_payload & (found.max_payload - 1) == 0


@pytest.mark.parametrize("is_record", [False, True])
@pytest.mark.parametrize("capabilities", [WITHOUT, None], ids=["plain", "all"])
def test_a_viewer_is_not_sent_more_than_it_takes(is_record, capabilities):
    options = {} if capabilities is None else {"capabilities": capabilities}

    def message(n, size):
        if not is_record:
            return features(n, size)
        signal = np.arange(size // 2, dtype="int16").reshape(1, -1) // 7
        return {"signal": signal, "sampling_rate": 500, "timestamp": 1705314645.0 + n}

    async def conversation():
        async with (
            WebSocketBinaryHandler(settings=Settings(versions=ALL)) as handler,
            numbered_viewer(handler, max_payload=8192, **options) as small,
            numbered_viewer(handler) as other,
        ):
            for viewer in (small, other):
                await viewer.subscribe("ecg/1")
            kind = MessageType.ECG_DATA if is_record else FEATURES
            for n, size in enumerate((900, 30_000, 900)):
                await handler.publish("ecg/1", kind, message(n, size))
            await other.until(lambda: len(other.received) == 3)
            await small.until(lambda: len(small.received) == 2)
            assert [one.sequence for one in small.received] == [1, 3] or is_record
            errors = [decode(frame).data for frame in small.link.sent if frame[1] == MessageType.ERROR]
            assert [(one["code"], one["details"]["dropped"]) for one in errors] == [(0x102, 1)]
            assert not [event for event in small.events if isinstance(event, FrameRefused)]

    run(conversation())


def test_viewers_whose_limit_a_message_does_not_reach_share_its_frame():
    async def conversation():
        async with (
            WebSocketBinaryHandler(settings=Settings(versions=ALL, compression=None)) as handler,
            numbered_viewer(handler, max_payload=1 << 20) as one,
            numbered_viewer(handler) as other,
        ):
            for viewer in (one, other):
                await viewer.subscribe("ecg/1")
            before = handler.stats()["encoded"]
            await published([one, other], handler, features(1))
            assert data_frames(one) == data_frames(other)
            assert handler.stats()["encoded"] - before == 2  # the canonical frame, and one of version 4

    run(conversation())
