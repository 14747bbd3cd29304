"""The frozen vectors of version 4, by the codec and by the oracle."""

import json

import oracle
import pytest
from cases import each_case
from rendering import VECTORS, from_json, to_json
from verdicts import verdict

from ecgframe import Codec, Compression, ProtocolError
from ecgframe.codec import EncodedFrame
from ecgframe.protocol import STANDALONE_VERSIONS, Form

V4 = json.loads((VECTORS / "v4.json").read_text())
ACCEPTED, HEADERS, REFUSED = V4["accepted"], V4["headers"], V4["refused"]
ONE_FRAME = [vector for vector in ACCEPTED if len(vector["messages"]) == 1]
FROZEN = (142, 9, 242)

by_name = {"ids": lambda vector: vector["name"]}


def codec_for(vector):
    return Codec(max_payload=vector.get("max_payload", oracle.MAX_PAYLOAD))


def header_of(one):
    """Return the fields of a message or a header in the form of the vectors."""
    timestamp = None if one.timestamp is None else str(one.timestamp)
    found = {"version": one.version, "type": one.type, "flags": one.flags, "timestamp": timestamp}
    if one.version == 4:
        stream = one.stream if isinstance(one, oracle.Frame) else one.stream_id
        found |= {"form": one.form, "stream": stream, "sequence": one.sequence}
    return found


def expect(message, expected):
    assert header_of(message) == {name: value for name, value in expected.items() if name != "data"}
    data = message.data
    if expected["type"] == 0x23:  # what counts as left out is not there
        data = {name: value for name, value in data.items() if value is not None}
    assert oracle.same(data, from_json(expected["data"]))


def test_no_vector_was_removed():
    assert (len(ACCEPTED), len(HEADERS), len(REFUSED)) == FROZEN
    assert len({vector["name"] for vector in ACCEPTED + HEADERS + REFUSED}) == sum(FROZEN)


@each_case("vector", ACCEPTED, **by_name)
def test_a_vector_means_what_it_says(vector):
    data = bytes.fromhex(vector["frames"])
    for read in (codec_for(vector).decode_all, oracle.decode_frames):
        for message, expected in zip(read(data), vector["messages"], strict=True):
            expect(message, expected)


@each_case("vector", [vector for vector in ACCEPTED if vector["canonical"]], **by_name)
def test_sending_the_value_makes_the_vectors_bytes(vector):
    [message] = vector["messages"]
    codec = Codec(version=4, ndarray=vector["canonical"]["ndarray"], compression=None)
    made = codec.encode_frame(
        message["type"],
        from_json(message["data"]),
        flags=message["flags"],
        timestamp=int(message["timestamp"]),
        stream_id=message["stream"],
        sequence=message["sequence"],
        form=message["form"],
    )
    assert isinstance(made, EncodedFrame)
    assert made.frame.hex() == vector["frames"]
    assert header_of(made) == {name: value for name, value in message.items() if name != "data"}
    assert made.nbytes == made.packed == len(made.frame) - 32


@each_case("vector", ONE_FRAME, **by_name)
def test_no_prefix_of_a_vector_is_a_frame(vector):
    data = bytes.fromhex(vector["frames"])
    for size in range(len(data)):
        assert verdict(codec_for(vector).decode, data[:size]) == (0x200, 1 if size < oracle.header_size(data[0]) else 5)


@each_case("vector", HEADERS, **by_name)
def test_a_header_is_read_and_written_again(vector):
    data = bytes.fromhex(vector["frame"])
    header, payload = Codec().split(data)
    assert header_of(header) == vector["header"]
    assert payload.hex() == vector["payload"]
    assert bytes(header) == data[:32]
    verified = Codec().verify(data)
    assert header_of(verified) == vector["header"]
    assert header_of(Codec().verify(verified.with_timestamp(5).frame)) == vector["header"] | {"timestamp": "5"}


@each_case("vector", REFUSED, **by_name)
def test_a_refused_vector_has_its_code(vector):
    data, limit = bytes.fromhex(vector["frame"]), vector.get("max_payload", oracle.MAX_PAYLOAD)
    expected = int(vector["code"], 16), vector["check"]
    codec = codec_for(vector)
    assert verdict(codec.decode, data) == verdict(oracle.decode_frame, data, limit) == expected
    if vector["check"] > 7:
        verified = codec.verify(data)
        if vector["check"] != 12:
            assert verdict(codec.unpack_frame, verified) == expected
    else:
        assert verdict(codec.verify, data) == expected


@each_case("vector", [vector for vector in REFUSED if vector["check"] == 12], **by_name)
def test_a_vector_refused_for_its_fields_names_the_place(vector):
    with pytest.raises(ProtocolError) as caught:
        Codec().decode(bytes.fromhex(vector["frame"]))
    assert caught.value.path == vector.get("path")
    assert "path" in vector or vector["code"] == "0x102"


@each_case("vector", REFUSED, **by_name)
def test_cut_or_with_bytes_left_over_it_gets_the_oracles_verdict(vector):
    whole, limit = bytes.fromhex(vector["frame"]), vector.get("max_payload", oracle.MAX_PAYLOAD)
    decode = codec_for(vector).decode
    for data in [*(whole[:size] for size in range(min(len(whole), 200))), whole + b"\0", whole + whole]:
        assert verdict(decode, data) == verdict(oracle.decode_frame, data, limit)


@each_case("vector", ONE_FRAME + REFUSED, **by_name)
def test_a_receiver_of_versions_1_to_3_refuses_all_frames_of_version_4(vector):
    data = bytes.fromhex(vector.get("frames") or vector["frame"])
    if data[0] == 4:
        found = verdict(Codec(versions=STANDALONE_VERSIONS).decode, data)
        assert found == verdict(oracle.decode_frame, data, oracle.MAX_PAYLOAD, STANDALONE_VERSIONS) == (0x100, 2)


def test_every_check_of_a_codec_is_among_the_refused():
    assert {vector["check"] for vector in REFUSED} == {1, *range(3, 15)}
    codes = {"0x101", "0x102", "0x103", "0x104", "0x200", "0x201", "0x202"}
    assert {vector["code"] for vector in REFUSED} == codes


def test_the_worked_frame_and_the_worked_answer():
    worked = next(vector for vector in HEADERS if vector["name"] == "V4 header: the worked record")
    header = "04 01 00 00000018 bbb58552 00060ef9828a2112 04 00000007 0000000000000039"
    record = "00010100 00000004 00060ef981a90fd0 08c8d0dcec 03ed00"
    assert worked["frame"] == (header + record).replace(" ", "")
    made = Codec(version=4).encode(
        0x01,
        bytes.fromhex(record),
        timestamp=1_705_314_660_000_018,
        form=Form.RECORD,
        stream_id=7,
        sequence=57,
    )
    assert made.hex() == worked["frame"]
    answer = next(vector for vector in ACCEPTED if vector["name"] == "V4's answer to the offer")
    assert answer["frames"] == (
        "01fe00000000329237e4f7"
        "82a776657273696f6e04ac6361706162696c697469657393a564656c7461a9667261676d656e7473a974656d706c61746573"
    )


def test_the_rendering_is_read_and_written_alike():
    for vector in ACCEPTED:
        for message in vector["messages"]:
            assert to_json(from_json(message["data"])) == message["data"], vector["name"]


def test_the_maker_still_makes_every_vector_that_does_not_hang_on_a_deflater():
    maker = pytest.importorskip("make_vectors")
    made = {kind: {vector["name"]: vector for vector in maker.gather(makers)} for kind, makers in maker.V4.items()}
    assert {kind: list(vectors) for kind, vectors in made.items()} == {
        kind: [vector["name"] for vector in vectors] for kind, vectors in V4.items()
    }
    for kind, vectors in V4.items():
        for vector in vectors:
            flags = [message["flags"] for message in vector.get("messages", [])] or [bytes.fromhex(vector["frame"])[2]]
            if not any(bits & oracle.COMPRESSED for bits in flags):
                assert made[kind][vector["name"]] == vector


def test_compression_is_marked_with_algorithm_0():
    data = {"signal": [0.5] * 500}
    frame = Codec(version=4, compression=Compression()).encode(0x01, data, stream_id=1, sequence=1, form=Form.BULK)
    message = Codec().decode(frame)
    assert (message.flags, message.form, message.data) == (1, Form.BULK, data)
