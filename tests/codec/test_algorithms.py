"""zstd and LZ4 in frames of version 4: both cores, the frozen vectors, the oracle, and what a sender chooses."""

import json
import random
import sys
import tracemalloc
import zlib
from collections import Counter

import oracle
import pytest
import twin
from cases import each_case
from hypothesis import given
from hypothesis import strategies as st
from rendering import VECTORS
from verdicts import verdict

import ecgframe
from ecgframe import Codec, Compression, DecompressionFailed, MessageTooLarge, MessageType, decode, pack
from ecgframe._core import lz4_compress, lz4_decompress
from ecgframe.compression import inflate, shrink, zstd
from ecgframe.compression.choice import INTERVAL, LARGEST, AlgorithmChoice
from ecgframe.libraries import MissingLibrary
from ecgframe.protocol import Algorithm, Form

needs_zstd = pytest.mark.skipif(not zstd.is_available(), reason="the library for zstd is not installed")
VECTORS_OF = json.loads((VECTORS / "v4-compression.json").read_text())
ACCEPTED, REFUSED = VECTORS_OF["accepted"], VECTORS_OF["refused"]
FROZEN = (48, 56)
NUMBERED = {"stream": 7, "sequence": 1}
COMPRESSED = oracle.COMPRESSED
by_name = {"ids": lambda vector: vector["name"]}


def _algorithms():
    for one in Algorithm:
        yield pytest.param(one, marks=[needs_zstd] if one is Algorithm.ZSTD else [], id=one.name)


ALGORITHMS = list(_algorithms())


def frame_of(vector):
    payload = bytes.fromhex(vector["payload"])
    return oracle.frame(4, 0x04, COMPRESSED, payload, 9, form=vector["algorithm"], **NUMBERED)


def skip_without_zstd(vector):
    if vector["algorithm"] == Algorithm.ZSTD and not zstd.is_available():
        pytest.skip("the library for zstd is not installed")


# --- the frozen vectors ---


def test_no_vector_was_removed():
    assert (len(ACCEPTED), len(REFUSED)) == FROZEN


@each_case("vector", ACCEPTED, **by_name)
def test_an_accepted_vector_inflates_to_its_payload(vector):
    skip_without_zstd(vector)
    payload = memoryview(bytes.fromhex(vector["payload"]))
    content = inflate(payload, vector["nbytes"], vector["algorithm"])
    assert (len(content), zlib.crc32(content)) == (vector["nbytes"], vector["crc32"])
    message = decode(frame_of(vector))
    assert message.nbytes == vector["nbytes"]
    assert oracle.same(message.data, oracle.decode_frame(frame_of(vector)).data)
    with pytest.raises(MessageTooLarge) as caught:
        inflate(payload, vector["nbytes"] - 1, vector["algorithm"])
    assert caught.value.check == 10


@each_case("vector", REFUSED, **by_name)
def test_a_refused_vector_has_its_error(vector):
    skip_without_zstd(vector)
    wanted = int(vector["code"], 16), vector["check"]
    assert verdict(decode, frame_of(vector)) == wanted
    with pytest.raises(oracle.Refused) as caught:
        oracle.decode_frame(frame_of(vector))
    assert (caught.value.code, caught.value.check) == wanted


@each_case("vector", [vector for vector in ACCEPTED if len(vector["payload"]) < 3000], **by_name)
def test_no_prefix_of_a_vector_is_accepted(vector):
    skip_without_zstd(vector)
    payload = bytes.fromhex(vector["payload"])
    for size in range(len(payload)):
        with pytest.raises((DecompressionFailed, MessageTooLarge)):
            inflate(memoryview(payload[:size]), 16 * 2**20, vector["algorithm"])


# --- LZ4, by both cores ---

contents = st.one_of(
    st.binary(max_size=200),
    st.lists(st.sampled_from([b"ab", b"abcdefgh", b"\0" * 20, b"lead II "]), max_size=60).map(b"".join),
    st.builds(lambda seed, size: random.Random(seed).randbytes(size), st.integers(0, 9), st.integers(0, 3000)),
    st.builds(lambda unit, count: unit * count, st.binary(min_size=1, max_size=9), st.integers(0, 400)),
)


def plain_core():
    return twin.load_plain()._core if ecgframe.accelerated else ecgframe._core


@given(contents)
def test_both_cores_write_the_same_block_and_read_it_back(content):
    block = lz4_compress(content, len(content) + len(content) // 255 + 16)
    plain = plain_core()
    assert block == plain.lz4_compress(content, len(block))
    assert plain.lz4_compress(content, len(block) - 1) is lz4_compress(content, len(block) - 1) is None
    assert lz4_decompress(block, len(content)) == plain.lz4_decompress(block, len(content)) == content
    if content:
        assert oracle.read_lz4_block(block) == content


@given(contents.filter(len), st.data())
def test_both_cores_and_the_oracle_agree_on_a_damaged_block(content, data):
    block = bytearray(lz4_compress(content, len(content) + len(content) // 255 + 16))
    for _ in range(data.draw(st.integers(1, 4))):
        block[data.draw(st.integers(0, len(block) - 1))] = data.draw(st.integers(0, 255))
    size = len(content) + data.draw(st.sampled_from([0, 0, 0, 1, -1, 300]))
    size = max(size, 0)
    found = lz4_decompress(block, size)
    assert found == plain_core().lz4_decompress(block, size)
    try:
        known = bytes(oracle.read_lz4_block(bytes(block)))
    except IndexError:
        assert isinstance(found, int)
    else:
        assert (found == known) if len(known) == size else isinstance(found, int)


def test_a_block_needs_less_memory_than_it_names():
    """The largest size that a short block can name is allocated once, and freed where the block is damaged."""
    payload = memoryview((255 * 60_000).to_bytes(4, "big") + b"\xff" * 60_000)
    tracemalloc.start()
    try:
        with pytest.raises(DecompressionFailed):
            inflate(payload, 16 * 2**20, Algorithm.LZ4)
        assert tracemalloc.get_traced_memory()[1] < 255 * 60_000 + 1_000_000
    finally:
        tracemalloc.stop()


# --- in frames ---


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("way", ["encode", "encode_frame", "prepare", "encode_into"])
def test_a_codec_writes_and_reads_each_algorithm(algorithm, way):
    codec = Codec(version=4, compression=Compression(algorithms=(algorithm,)))
    data = {"text": "lead II, " * 400}
    if way == "encode_into":
        buffer = bytearray(5000)
        frame = bytes(buffer[: codec.encode_into(buffer, 0, MessageType.FEATURE_DATA, data, timestamp=9)])
        frame = bytes(buffer[: len(frame)])
    elif way == "prepare":
        made = codec.prepare(MessageType.FEATURE_DATA, data).finish(9)
        frame = made.frame
        assert (made.form, made.packed) == (algorithm, len(pack(data)))
    else:
        frame = bytes(getattr(codec, way)(MessageType.FEATURE_DATA, data, timestamp=9))
    assert (frame[2], frame[19]) == (COMPRESSED, algorithm)
    assert len(frame) < 500
    assert decode(frame).data == oracle.decode_frame(frame).data == data
    assert decode(frame).form == algorithm
    assert codec.unpack_frame(codec.verify(frame)) == data


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_record_is_compressed_unless_it_has_a_filter(algorithm):
    codec = Codec(version=4, compression=Compression(algorithms=(algorithm,)))
    for filter, wanted in ((0, COMPRESSED), (1, 0)):
        record = bytes([0, 1, filter, 0]) + bytes(2000)
        place = {"form": Form.RECORD, "stream_id": 7, "sequence": 1}
        frame = codec.encode(MessageType.ECG_DATA, record, **place)
        assert frame[2] == wanted
        assert frame[19] == Form.RECORD | (algorithm if wanted else 0)
        assert codec.prepare(MessageType.ECG_DATA, record, form=Form.RECORD).finish(9, 7, 1).form == frame[19]


@pytest.mark.parametrize("version", [1, 2, 3])
def test_earlier_versions_have_zlib_only(version):
    codec = Codec(compression=Compression(algorithms=(Algorithm.LZ4,)))
    frame = codec.encode(MessageType.PING, "II" * 2000, version=version)
    assert oracle.decode_frame(frame).data == "II" * 2000
    assert frame[2] == (COMPRESSED if version > 1 else 0)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_incompressible_payloads_are_sent_uncompressed(algorithm):
    codec = Codec(version=4, compression=Compression(algorithms=(algorithm,)))
    for size in (1100, 100_000):
        frame = codec.encode(MessageType.PING, random.Random(3).randbytes(size))
        assert (frame[2], frame[19]) == (0, 0)


def test_at_least_one_algorithm_is_required():
    assert Compression(algorithms=[2, 0, 2]).algorithms == (Algorithm.LZ4, Algorithm.ZLIB)
    with pytest.raises(ValueError, match="algorithms are some of"):
        Compression(algorithms=())
    with pytest.raises(ValueError, match="3 is not a valid Algorithm"):
        Compression(algorithms=(3,))
    for speed in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="link speed"):
            Compression(link_speed=speed)


# --- zstd without its library ---


@pytest.fixture
def without_zstd(monkeypatch):
    for name in ("backports", "backports.zstd", "compression", "compression.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    for cached in (zstd._library, zstd.is_available):
        cached.cache_clear()
    yield
    monkeypatch.undo()
    for cached in (zstd._library, zstd.is_available):
        cached.cache_clear()


def test_without_the_library_zstd_is_refused_and_not_written(without_zstd):
    frame = frame_of(next(vector for vector in ACCEPTED if vector["algorithm"] == Algorithm.ZSTD))
    with pytest.raises(DecompressionFailed, match=r"zstd.*not installed: pip install") as caught:
        decode(frame)
    assert caught.value.check == 9
    with pytest.raises(MissingLibrary, match="zstd"):
        Codec(version=4, compression=Compression(algorithms=(Algorithm.ZSTD,)))
    assert not zstd.is_available()


@needs_zstd
def test_a_window_is_not_allocated_for_a_short_frame():
    frame = next(vector for vector in ACCEPTED if "0x68" in vector["name"])
    tracemalloc.start()
    try:
        for _ in range(20):
            inflate(memoryview(bytes.fromhex(frame["payload"])), 100, Algorithm.ZSTD)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@given(st.binary(min_size=1, max_size=3000), st.sampled_from(list(Algorithm)))
def test_compressed_payloads_inflate_to_the_original(content, algorithm):
    if algorithm is Algorithm.ZSTD and not zstd.is_available():
        return
    made = shrink(memoryview(content * 3), 6, algorithm)
    if made is not None:
        assert len(made) < 3 * len(content)
        assert inflate(memoryview(made), 3 * len(content), algorithm) == content * 3


# --- choosing ---


class Clock:
    """Seconds, of which compressing takes as many as its algorithm says."""

    def __init__(self, seconds, shares):
        self.now = 0.0
        self.calls = Counter()
        self.sizes = []
        self._seconds, self._shares = seconds, shares

    def __call__(self):
        return self.now

    def compress(self, payload, algorithm):
        self.calls[algorithm] += 1
        self.sizes.append(len(payload))
        self.now += self._seconds[algorithm] * len(payload)
        share = self._shares[algorithm]
        return bytes(int(share * len(payload))) if share < 1 else None


def choice_of(clock, link_speed):
    return AlgorithmChoice((0, 1, 2), link_speed, clock.compress, clock)


SECONDS = {0: 12e-9, 1: 5e-9, 2: 1e-9}
SHARES = {0: 0.5, 1: 0.55, 2: 0.8}


@pytest.mark.parametrize(("link_speed", "wanted"), [(1e6, 0), (100e6, 1), (10e9, 2)])
def test_the_algorithm_with_which_a_frame_arrives_first_is_used(link_speed, wanted):
    clock = Clock(SECONDS, SHARES)
    choice = choice_of(clock, link_speed)
    for _ in range(10):
        algorithm, made = choice.compress(1, False, memoryview(bytes(2000)))
        assert (algorithm, len(made)) == (wanted, SHARES[wanted] * 2000)


def test_measuring_is_bounded():
    clock = Clock(SECONDS, SHARES)
    choice = choice_of(clock, 100e6)
    for _ in range(3 + 2 * INTERVAL):
        choice.compress(1, False, memoryview(bytes(2000)))
    assert clock.calls[0] == clock.calls[2] == 5  # on the first three messages, and two more
    assert clock.calls[1] == 3 + 2 * INTERVAL
    clock.sizes.clear()
    algorithm, made = choice.compress(1, False, memoryview(bytes(1_000_000)))
    assert sorted(clock.sizes) == [LARGEST, LARGEST, LARGEST, 1_000_000]
    assert len(made) == int(SHARES[algorithm] * 1_000_000)


def test_each_kind_of_message_is_measured_separately():
    shares = dict(SHARES)
    clock = Clock(SECONDS, shares)
    choice = choice_of(clock, 100e6)
    assert choice.compress(1, False, memoryview(bytes(2000)))[0] == 1
    shares.update({0: 0.1, 1: 0.5, 2: 1.0})
    for kind in ((2, False, 2000), (1, True, 2000), (1, False, 5000)):
        assert choice.compress(*kind[:2], memoryview(bytes(kind[2])))[0] == 0
    assert len(choice._kinds) == 4


def test_one_slow_measurement_does_not_decide():
    seconds = dict(SECONDS)
    clock = Clock(seconds, SHARES)
    choice = choice_of(clock, 100e6)
    choice.compress(1, False, memoryview(bytes(2000)))
    seconds[1] = 1e-3
    assert [choice.compress(1, False, memoryview(bytes(2000)))[0] for _ in range(5)] == [1] * 5


def test_a_single_algorithm_is_not_measured():
    clock = Clock(SECONDS, SHARES)
    choice = AlgorithmChoice((2,), 100e6, clock.compress, clock)
    for _ in range(10):
        assert choice.compress(1, False, memoryview(bytes(2000)))[0] == 2
    assert clock.calls == {2: 10}


def test_a_payload_that_the_chosen_algorithm_does_not_shrink_is_sent_uncompressed():
    clock = Clock(SECONDS, {0: 1.0, 1: 1.0, 2: 1.0})
    assert choice_of(clock, 100e6).compress(1, False, memoryview(bytes(2000))) == (2, None)
