"""The examination of frames, which the tools show: fields, errors and their places, and records by their templates."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cases import each_case

from ecgframe import Codec, Header, MessageType, ProtocolError, decode, encode, unpack
from ecgframe.messages.templates import Template
from ecgframe.protocol import DEFAULT_MAX_PAYLOAD, HEADER_FIELDS, HEADER_SIZES, Check, Form
from ecgframe.tools.budget import Budget
from ecgframe.tools.frame_analysis import (
    Examiner,
    details_of,
    flag_names,
    form_names,
    header_fields,
    place_of,
    type_name,
)
from ecgframe.tools.observation import NOWHERE, Delivery, Origin
from ecgframe.tools.seen_templates import MOST_SEEN, SeenTemplates

VECTORS = Path(__file__).parents[1] / "vectors"
V4 = json.loads((VECTORS / "v4.json").read_text())
REFUSED = json.loads((VECTORS / "refused.json").read_text()) + V4["refused"]
GOOD = encode(MessageType.PING, {"n": 1}, version=1)
WITHOUT_A_KEY = (0x202, Check.ENCRYPTION)
"""The verdict of a codec without keys on a sealed frame."""
WITHOUT_A_SIGNER = (0x202, Check.SIGNATURE)
"""The verdict of a codec without keys on a signed frame."""


def examine(octets, **options):
    return list(Examiner(**options).examine(Delivery(octets)))


@pytest.mark.parametrize("version", HEADER_SIZES)
def test_the_fields_are_those_of_the_header(version):
    timestamp = 0x1122334455667788 if version >= 3 else None
    numbering = (0x10, 0xE1E2E3E4, 0x0010203040506070) if version >= 4 else ()
    header = Header(version, MessageType.ERROR, 0x11, 0x01020304, 0xA1B2C3D4, timestamp, *numbering)
    fields = header_fields(bytes(header))
    assert list(fields) == list(HEADER_FIELDS)[: len(fields)]
    assert sum(HEADER_FIELDS[name] for name in fields) == HEADER_SIZES[version]
    for name, value in fields.items():
        assert value == getattr(header, "stream_id" if name == "stream" else name), name


@each_case("size", range(20))
def test_a_header_that_is_cut_short_has_the_fields_that_are_there(size):
    fields = header_fields(encode(MessageType.PING, None)[:size])
    ends = {"version": 1, "type": 2, "flags": 3, "length": 7, "checksum": 11, "timestamp": 19}
    assert list(fields) == [name for name, end in ends.items() if end <= size]


@pytest.mark.slow
@each_case("vector", REFUSED, ids=lambda v: v["name"])
def test_a_refused_frame_is_refused_as_by_the_codec(vector):
    octets = bytes.fromhex(vector["frame"])
    limit = vector.get("max_payload", DEFAULT_MAX_PAYLOAD)
    expected = [verdict(one) for one in Codec(max_payload=limit, validate=True).decode_each(octets)]
    found = examine(octets, max_payload=limit, validate=True)
    expected = expected or [(0x200, 1)]  # an empty message is one that is cut
    assert len(found) == len(expected)
    for one, refused in zip(found, expected, strict=True):
        if refused == WITHOUT_A_KEY:  # a sealed frame is shown as such, and refused if it cannot be one
            assert verdict(one.error) == (0x200, Check.ENCRYPTION) if one.error else one.unread is not None
        elif refused == WITHOUT_A_SIGNER and one.error and one.error.check < Check.SIGNATURE:
            # its payload is read, which a codec does not do, and is damaged
            assert one.error.check in (Check.COMPRESSION, Check.PAYLOAD)
        else:
            assert verdict(one.error) == refused
    assert b"".join(one.octets for one in found) == octets


def verdict(error):
    return (error.code, error.check) if isinstance(error, ProtocolError) else None


@each_case("vector", V4["accepted"], ids=lambda v: v["name"])
def test_a_frame_of_version_4_is_taken_apart(vector):
    found = examine(bytes.fromhex(vector["frames"]), validate=False)
    for frame, expected in zip(found, vector["messages"], strict=True):
        assert frame.error is None
        shown = {name: value for name, value in frame.fields.items() if name in ("form", "stream", "sequence")}
        assert shown == {name: value for name, value in expected.items() if name in ("form", "stream", "sequence")}
        assert (frame.header_size, frame.is_intact) == (HEADER_SIZES[expected["version"]], True)


def test_the_names_of_forms_and_flags():
    assert form_names(0) == []
    assert form_names(0x14) == ["RECORD", "BULK"]
    assert form_names(0x06) == ["RECORD", "LZ4"]
    assert form_names(0xEB) == ["algorithm 3", "0x08", "0x20", "0x40", "0x80"]
    assert flag_names(0xE1, 4) == ["COMPRESSED", "FRAGMENT", "SIGNED", "0x80"]
    assert flag_names(0x61, 3) == ["COMPRESSED", "0x20", "0x40"]


def test_a_good_frame():
    [frame] = examine(GOOD)
    assert (frame.number, frame.offset, frame.octets, frame.error) == (1, 0, GOOD, None)
    assert (frame.type_name, frame.flag_names, frame.header_size) == ("PING", [], 11)
    assert frame.message.data == {"n": 1}
    assert (frame.checksum, frame.is_intact) == (frame.fields["checksum"], True)
    assert frame.stream is None


def test_frames_after_one_with_a_damaged_payload_are_read():
    broken = bytearray(GOOD)
    broken[-1] ^= 1
    first, second, third = examine(GOOD + bytes(broken) + encode(MessageType.SUBSCRIBE, {"stream": "ecg/1"}))
    assert (first.error, third.error) == (None, None)
    assert (second.error.check, second.is_intact, second.offset) == (7, False, len(GOOD))
    assert (third.number, third.stream, third.offset) == (3, "ecg/1", 2 * len(GOOD))


def test_no_frame_is_read_after_one_of_unknown_length():
    first, second = examine(GOOD + b"\x07" + GOOD)
    assert first.error is None
    assert second.error.check == 2
    assert second.octets == b"\x07" + GOOD


def test_the_checksum_of_a_truncated_payload_is_not_compared():
    [frame] = examine(GOOD[:-1])
    assert (frame.error.check, frame.checksum, frame.is_intact) == (5, None, None)
    assert len(frame.payload) == frame.fields["length"] - 1


def test_an_empty_message_is_a_broken_frame():
    [frame] = examine(b"")
    assert (frame.error.check, frame.fields, frame.type_name) == (1, {}, "?")


def test_a_text_message_is_refused():
    [frame] = Examiner().examine(Delivery(b"hello", is_text=True))
    assert (int(frame.error.code), frame.is_text, frame.fields) == (0x200, True, {})


def test_control_messages_are_always_validated_and_data_messages_where_asked():
    subscribe, signal = encode(MessageType.SUBSCRIBE, {}), encode(MessageType.ECG_DATA, {})
    assert examine(subscribe)[0].error.check == 12
    assert examine(signal)[0].error is None
    assert examine(signal, validate=True)[0].error.check == 12


def test_a_known_fault_is_reported_as_it_is():
    fault = ProtocolError("as found before")
    [frame] = Examiner().examine(Delivery(GOOD + GOOD, offset=100, fault=fault))
    assert (frame.error, frame.offset, frame.octets) == (fault, 100, GOOD + GOOD)


def test_places_and_details():
    errors = {
        "byte 7 of the frame": ProtocolError("x", check=7, offset=7),
        "byte 3 of the payload": ProtocolError("x", check=11, offset=3),
        'data["stream"]': ProtocolError("x", check=12, path='data["stream"]'),
        "": ProtocolError("x"),
    }
    assert {place_of(error): error for error in errors.values()} == errors
    assert details_of(errors["byte 7 of the frame"]) == {
        "code": 0x200,
        "name": "INVALID_DATA_FORMAT",
        "check": 7,
        "path": None,
        "offset": 7,
        "message": "x",
    }


def test_names():
    assert (type_name(1), type_name(0x13)) == ("ECG_DATA", "0x13")
    assert flag_names(0b10010101) == ["COMPRESSED", "PRIORITY", "ACK_REQUIRED", "0x80"]
    assert decode(GOOD).type.name == type_name(GOOD[1])


# --- records ---

TEMPLATE = Template(1, "ecg/1", "int16", 2, {"sampling_rate": 500, "gain": 0.1})
COUNTS = np.array([[1, 2, 3], [4, 5, 6]], "int16")
OF_TEMPLATE = encode(MessageType.STREAM_TEMPLATE, unpack(TEMPLATE.payload), version=4, stream_id=7, sequence=1)
ANSWER = encode(
    MessageType.SUBSCRIPTION_ACK,
    {"stream": "ecg/1", "status": "subscribed", "id": 7, "epoch": 5, "next": 2, "templates": [OF_TEMPLATE, b"?"]},
    version=4,
)


def record(counts=COUNTS, **numbering):
    payload = TEMPLATE.encode(counts, 5_000_000)
    form = Form.RECORD
    return encode(MessageType.ECG_DATA, payload, version=4, form=form, **{"stream_id": 7, "sequence": 2, **numbering})


@pytest.mark.parametrize("explained", [OF_TEMPLATE, ANSWER], ids=["by a template", "by an answer"])
def test_a_record_is_read_by_the_template_before_it(explained):
    first, second = examine(explained + record())
    assert (first.error, second.error) == (None, None)
    assert second.stream == "ecg/1"
    assert second.message.data["signal"].tolist() == COUNTS.tolist()
    assert second.message.data["gain"] == 0.1


def test_templates_belong_to_a_direction_of_a_connection():
    here, there = Origin(client="a", server="s", from_server=True), Origin(client="b", server="s", from_server=True)
    examiner = Examiner()

    def only(octets, origin):
        [frame] = examiner.examine(Delivery(octets, origin))
        return frame

    assert only(OF_TEMPLATE, here).error is None
    assert only(record(), here).error is None
    assert only(record(stream_id=8), here).error.reason == "template"
    assert only(record(), there).error.reason == "template"


def test_a_later_template_replaces_the_one_with_the_same_number():
    other = Template(1, "ecg/1", "int16", 2, {"sampling_rate": 250})
    later = encode(MessageType.STREAM_TEMPLATE, unpack(other.payload), version=4, stream_id=7, sequence=3)
    frames = examine(OF_TEMPLATE + record() + later + record())
    rates = [frame.message.data["sampling_rate"] for frame in frames if frame.type_name == "ECG_DATA"]
    assert rates == [500, 250]


def test_records_of_a_hostile_source_are_inflated_up_to_the_budget():
    budget = Budget()
    flat = record(np.zeros((2, 1_000_000), "int16"))
    assert len(flat) < 70_000
    found = examine(OF_TEMPLATE + flat * 60, budget=budget)
    assert found[1].message.data["signal"].shape == (2, 1_000_000)
    assert found[-1].message is None
    assert "inflates to too many bytes" in found[-1].unread
    assert budget.inflated < 140 * 2**20


@pytest.mark.slow
def test_the_number_of_remembered_templates_is_limited():
    seen = SeenTemplates()
    examiner = Examiner()
    for id in range(1, MOST_SEEN + 3):
        frame = encode(MessageType.STREAM_TEMPLATE, unpack(TEMPLATE.payload), version=4, stream_id=id, sequence=1)
        [found] = examiner.examine(Delivery(frame))
        seen.note(frame, found.message, NOWHERE)
    assert [seen.find(NOWHERE, id, 1) is None for id in (1, 2, 3, MOST_SEEN + 2)] == [True, True, False, False]
