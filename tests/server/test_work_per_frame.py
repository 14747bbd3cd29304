"""How often a published frame is packed, summed and parsed: each at most once, and its header never.

The plain core's functions are counted one by one. Of the compiled core, whose functions call one another in C, the
codec's methods are counted.
"""

import asyncio
import importlib
from collections import Counter

import numpy as np
import pytest
from twin import load_plain

import ecgframe
from ecgframe import Flag, MessageType
from ecgframe.codec import Codec
from ecgframe.server import WebSocketBinaryHandler
from ecgframe.server import publication as publication_module
from ecgframe.server.publication import CANONICAL, Publication
from ecgframe.session import Encoding, Settings, encode_frame
from ecgframe.session import outgoing as outgoing_module
from ecgframe.tools.frame_analysis import Examiner
from ecgframe.tools.observation import Delivery

STREAM = "ecg/1"
NOISE = np.random.default_rng(5)
SMALL = {"signal": np.zeros(20, np.float32), "sampling_rate": 250}
DEFLATED = {"signal": np.zeros((3, 1000), np.float32), "sampling_rate": 250}
INCOMPRESSIBLE = {"signal": np.frombuffer(NOISE.bytes(9600), "i4").reshape(3, 800), "sampling_rate": 250}
LARGE = {"signal": np.zeros((12, 60_000), np.float32), "sampling_rate": 250}
MESSAGES = {"small": SMALL, "deflated": DEFLATED, "incompressible": INCOMPRESSIBLE, "large": LARGE}
V1 = Encoding(1, 0, False, False)
METHODS = ("encode", "encode_frame", "encode_into", "prepare", "pack", "split", "verify", "decode", "unpack_frame")


def counting(function, name, counts):
    def call(*args, **options):
        counts[name] += 1
        return function(*args, **options)

    return call


@pytest.fixture
def plain(monkeypatch):
    """The package with the plain core, and the number of calls of its functions."""
    package = ecgframe if not ecgframe.accelerated else load_plain()
    counts = Counter()

    def module(name):
        return importlib.import_module(f"{package.__name__}.{name}")

    def count(owner, name, label):
        monkeypatch.setattr(owner, name, counting(getattr(owner, name), label, counts))

    count(module("_core.plain._header"), "_crc32", "sums")
    count(module("_core.plain._header").FlatBuffer, "header_at", "headers read")
    for part in (module("codec.codec"), module("codec.encoder"), module("codec.decoder")):
        for name in {"pack_frame", "pack_frame_into", "pack_payload"} & vars(part).keys():
            count(part, name, "packed")
        for name in {"unpack_payload", "unpack_checked"} & vars(part).keys():
            count(part, name, "unpacked")
    return module, counts


@pytest.fixture
def compiled(monkeypatch):
    """Count the calls of the codecs' methods that encode and publish frames."""
    counts = Counter()

    class CountedCodec(Codec):
        pass

    for name in METHODS:
        setattr(CountedCodec, name, counting(getattr(Codec, name), name, counts))
    monkeypatch.setattr(outgoing_module, "Codec", CountedCodec)
    monkeypatch.setattr(publication_module, "_reader", CountedCodec())
    monkeypatch.setattr(publication_module, "_small_reader", CountedCodec())
    outgoing_module.codec_for.cache_clear()
    yield counts
    outgoing_module.codec_for.cache_clear()


def publish(handler_class, data, flags=0):
    """Publish one message on a server without viewers, and return the publication that it keeps."""

    async def run():
        async with handler_class() as handler:
            await handler.publish(STREAM, MessageType.ECG_DATA, data, flags)
            stats = handler.stats()
            [publication] = handler._streams.get(STREAM).ring.start_from(0)
            return publication, stats

    return asyncio.run(run())


@pytest.mark.parametrize("data", MESSAGES.values(), ids=MESSAGES)
def test_a_published_frame_is_packed_and_summed_once(plain, data):
    module, counts = plain
    publication, stats = publish(module("server").WebSocketBinaryHandler, data)
    canonical = module("server.publication").CANONICAL
    for _ in range(3):
        assert publication.outgoing(canonical).frame is publication.frame
        assert not publication.takes_long(canonical)
    attempts = 2 if data is LARGE else 1  # the first attempt stops at the size limit of the event loop
    assert counts == {"packed": attempts, "sums": 1}
    compression = stats["compression"]["sent"]
    assert compression["frames"] == (data is DEFLATED or data is LARGE)
    if compression["frames"]:
        assert compression["before"] > data["signal"].nbytes > compression["after"]


@pytest.mark.parametrize("data", MESSAGES.values(), ids=MESSAGES)
def test_publishing_only_encodes(compiled, data):
    publication, _ = publish(WebSocketBinaryHandler, data)
    publication.outgoing(CANONICAL)
    expected = {"encode_frame": 1, "prepare": 1} if data is LARGE else {"encode_frame": 1}
    assert compiled == expected


def test_another_encoding_packs_once_more_and_checks_nothing(plain):
    module, counts = plain
    publication, _ = publish(module("server").WebSocketBinaryHandler, DEFLATED)
    counts.clear()
    encoding = module("session").Encoding(*V1)
    for _ in range(3):
        assert len(publication.outgoing(encoding).frame) > 12_000
    assert counts == {"unpacked": 1, "packed": 1, "sums": 1}


def test_bytes_from_another_server_are_checked_once(plain):
    module, counts = plain
    settings = module("session").Settings()
    frame = ecgframe.encode(MessageType.ECG_DATA, SMALL, timestamp=5)
    made = module("server.publication").Publication(STREAM, 5, frame, settings)
    assert made.frame is frame
    assert counts == {"headers read": 1, "sums": 1}


def test_another_timestamp_needs_no_other_checksum(plain):
    module, counts = plain
    settings = module("session").Settings()
    encoding = module("server.publication").CANONICAL
    encoded = module("session").encode_frame(
        encoding, MessageType.ECG_DATA, SMALL, timestamp=5, settings=settings, flags=Flag.ACK_REQUIRED
    )
    counts.clear()
    made = module("server.publication").Publication(STREAM, 6, encoded, settings)
    assert ecgframe.decode(made.frame).timestamp == 6
    assert counts == {"headers read": 1}


def test_the_inflated_size_of_an_own_frame_is_known(compiled):
    encoded = encode_frame(CANONICAL, MessageType.ECG_DATA, LARGE, timestamp=5, settings=Settings())
    made = Publication(STREAM, 5, encoded, Settings())
    assert made.is_large
    assert made.takes_long(V1)
    assert compiled == {"encode_frame": 1}


@pytest.mark.parametrize("is_intact", [True, False])
def test_inspecting_a_frame_computes_its_checksum_once(plain, is_intact):
    module, counts = plain
    frame = ecgframe.encode(MessageType.ECG_DATA, SMALL)
    if not is_intact:
        frame = frame[:-1] + bytes([frame[-1] ^ 1])
    examiner, delivery = module("tools.frame_analysis").Examiner, module("tools.observation").Delivery
    [examined] = examiner().examine(delivery(frame))
    for _ in range(3):
        assert examined.is_intact == is_intact
        assert examined.checksum == ecgframe.crc32(frame[19:])
    assert counts["sums"] == 1


def test_the_checksum_of_a_refused_frame_is_computed_once(plain):
    module, counts = plain
    frame = ecgframe.encode(MessageType.ECG_DATA, SMALL)
    frame = frame[:1] + b"\x77" + frame[2:]
    examiner, delivery = module("tools.frame_analysis").Examiner, module("tools.observation").Delivery
    [examined] = examiner().examine(delivery(frame))
    assert (examined.error.check, examined.is_intact, examined.checksum) == (3, True, ecgframe.crc32(frame[19:]))
    assert counts["sums"] == 1


def test_both_cores_report_the_checksum_that_they_computed():
    frame = ecgframe.encode(MessageType.ECG_DATA, SMALL)
    broken = frame[:-1] + bytes([frame[-1] ^ 1])
    [examined] = Examiner().examine(Delivery(broken))
    assert examined.error.found == examined.checksum == ecgframe.crc32(broken[19:])
