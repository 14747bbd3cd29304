"""The frozen vectors, with which any implementation of the protocol can be tested."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import oracle
import pytest
from cases import each_case
from rendering import VECTORS, from_json, to_json
from verdicts import verdict

from ecgframe import Codec, Compression, ProtocolError

FRAMES = json.loads((VECTORS / "frames.json").read_text())
REFUSED = json.loads((VECTORS / "refused.json").read_text())
ONE_FRAME = [vector for vector in FRAMES if len(vector["messages"]) == 1]
# These hold a million values, which the oracle reads one by one, in a second or more.
AT_THE_LIMIT = [vector for vector in REFUSED if vector["name"].startswith(("payload: too many", "payload: more than"))]
CANONICAL = [vector for vector in FRAMES if vector["canonical"]]

by_name = {"ids": lambda vector: vector["name"]}


def codec_for(vector):
    """A reader of versions 1 to 3, of which these vectors are; those of version 4 are in v4.json."""
    return Codec(max_payload=vector.get("max_payload", oracle.MAX_PAYLOAD), versions=oracle.VERSIONS)


def expect(message, expected):
    timestamp = None if message.timestamp is None else str(message.timestamp)
    assert (message.version, message.type, message.flags, timestamp) == (
        expected["version"],
        expected["type"],
        expected["flags"],
        expected["timestamp"],
    )
    assert oracle.same(message.data, from_json(expected["data"]))


def test_no_vector_was_removed():
    assert (len(FRAMES), len(REFUSED)) == FROZEN
    assert len({vector["name"] for vector in FRAMES + REFUSED}) == sum(FROZEN)


FROZEN = (388, 470)


@each_case("vector", FRAMES, **by_name)
def test_a_vector_means_what_it_says(vector):
    data = bytes.fromhex(vector["frames"])
    messages = list(codec_for(vector).decode_all(data))
    assert len(messages) == len(vector["messages"])
    for message, expected in zip(messages, vector["messages"], strict=True):
        expect(message, expected)


@each_case("vector", ONE_FRAME, **by_name)
def test_a_frame_alone_means_the_same(vector):
    expect(codec_for(vector).decode(bytes.fromhex(vector["frames"])), vector["messages"][0])


@each_case("vector", FRAMES, **by_name)
def test_the_oracle_reads_the_vector_alike(vector):
    frames = oracle.decode_frames(bytes.fromhex(vector["frames"]), vector.get("max_payload", oracle.MAX_PAYLOAD))
    for frame, expected in zip(frames, vector["messages"], strict=True):
        expect(frame, expected)


@each_case("vector", CANONICAL, **by_name)
def test_sending_the_value_makes_the_vectors_bytes(vector):
    message, canonical = vector["messages"][0], vector["canonical"]
    codec = Codec(
        version=message["version"],
        ndarray=canonical["ndarray"],
        compression=Compression() if canonical.get("compression") else None,
    )
    timestamp = None if message["timestamp"] is None else int(message["timestamp"])
    frame = codec.encode(message["type"], from_json(message["data"]), flags=message["flags"], timestamp=timestamp)
    assert frame.hex() == vector["frames"]


def cuts(size):
    """Every length that a prefix may have, or for a long one those near its ends and some between."""
    return range(size) if size <= 600 else [*range(200), *range(200, size, size // 100), *range(size - 50, size)]


@each_case("vector", ONE_FRAME, **by_name)
def test_no_prefix_of_a_vector_is_a_frame(vector):
    data = bytes.fromhex(vector["frames"])
    decode, header = codec_for(vector).decode, oracle.header_size(data[0])
    for size in cuts(len(data)):
        assert verdict(decode, data[:size]) == (0x200, 1 if size < header else 5)


def ends_of(data):
    """Return the end of each frame of a batch."""
    ends = [0]
    while ends[-1] < len(data):
        ends.append(ends[-1] + oracle.split(data[ends[-1] :], alone=False)[-1])
    return ends


@each_case("vector", [vector for vector in FRAMES if len(vector["messages"]) > 1], **by_name)
def test_a_prefix_of_a_batch_gives_the_frames_that_are_whole(vector):
    data = bytes.fromhex(vector["frames"])
    ends = ends_of(data)
    for size in range(len(data)):
        messages = codec_for(vector).decode_all(data[:size])
        for _ in range(sum(end <= size for end in ends) - 1):
            next(messages)
        if size in ends:
            assert next(messages, None) is None
        else:
            with pytest.raises(ProtocolError) as caught:
                next(messages)
            assert caught.value.code == 0x200


@each_case("vector", FRAMES, **by_name)
def test_bytes_left_over_are_refused_by_decode_and_read_on_by_decode_all(vector):
    data = bytes.fromhex(vector["frames"])
    codec = codec_for(vector)
    for left_over in (b"\0", b"\xc0" * 30, bytes.fromhex("0111000000000000000000")):
        assert verdict(codec.decode, data + left_over) == (0x200, 5), left_over
        messages = codec.decode_all(data + left_over)
        for expected in vector["messages"]:
            assert next(messages).type == expected["type"]
        assert verdict(next, messages) == verdict(next, oracle.decode_frames(left_over)), left_over


@each_case("vector", REFUSED, **by_name)
def test_a_refused_vector_has_its_code(vector):
    assert verdict(codec_for(vector).decode, bytes.fromhex(vector["frame"])) == expected_verdict(vector)


@each_case("vector", [vector for vector in REFUSED if vector not in AT_THE_LIMIT], **by_name)
def test_the_oracle_gives_a_refused_vector_the_same_code(vector):
    assert oracles_verdict(vector) == expected_verdict(vector)


@pytest.mark.slow
@each_case("vector", AT_THE_LIMIT, **by_name)
def test_the_oracle_counts_a_million_values_alike(vector):
    assert oracles_verdict(vector) == expected_verdict(vector)


def expected_verdict(vector):
    return int(vector["code"], 16), vector["check"]


def oracles_verdict(vector):
    limit = vector.get("max_payload", oracle.MAX_PAYLOAD)
    return verdict(oracle.decode_frame, bytes.fromhex(vector["frame"]), limit, oracle.VERSIONS)


@each_case("vector", REFUSED, **by_name)
def test_cut_or_with_bytes_left_over_it_gets_the_oracles_verdict(vector):
    whole, limit = bytes.fromhex(vector["frame"]), vector.get("max_payload", oracle.MAX_PAYLOAD)
    decode = codec_for(vector).decode
    for data in [*(whole[:size] for size in cuts(len(whole))), whole + b"\0", whole + whole]:
        assert verdict(decode, data) == verdict(oracle.decode_frame, data, limit, oracle.VERSIONS)


def test_every_code_and_every_check_up_to_11_is_among_the_refused():
    assert {vector["code"] for vector in REFUSED} == {"0x100", "0x101", "0x102", "0x103", "0x104", "0x200", "0x202"}
    assert {vector["check"] for vector in REFUSED} == set(range(1, 12))


def test_the_rendering_is_read_and_written_alike():
    for vector in FRAMES:
        for message in vector["messages"]:
            assert to_json(from_json(message["data"])) == message["data"], vector["name"]


def test_the_maker_does_not_overwrite_what_is_frozen(tmp_path):
    copy = tmp_path / "tests"
    shutil.copytree(VECTORS, copy / "vectors")
    for name in ("make_vectors.py", "oracle.py", "rendering.py"):
        shutil.copy(VECTORS.parent / name, copy)
    (copy / "vectors" / "refused.json").unlink()
    command = [sys.executable, str(copy / "make_vectors.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 1
    assert "frozen" in done.stderr
    assert (copy / "vectors" / "frames.json").read_bytes() == (VECTORS / "frames.json").read_bytes()
    assert not Path(copy / "vectors" / "refused.json").exists()


def test_the_maker_still_makes_every_vector_that_does_not_hang_on_a_deflater():
    maker = pytest.importorskip("make_vectors")
    made = {vector["name"]: vector for vector in maker.gather(maker.ACCEPTED)}
    assert made.keys() == {vector["name"] for vector in FRAMES}
    for vector in FRAMES:
        if not any(message["flags"] & oracle.COMPRESSED for message in vector["messages"]):
            assert made[vector["name"]] == vector
