"""Frames of version 4: what a sender may give, what comes back, and how records are read by templates."""

import copy
import pickle
from itertools import product
from types import SimpleNamespace

import numpy as np
import oracle
import pytest
from verdicts import verdict

from ecgframe import (
    AuthenticationFailed,
    Codec,
    Compression,
    DecompressionFailed,
    Flag,
    Header,
    InvalidDataFormat,
    InvalidProtocolVersion,
    Message,
    MessageTooLarge,
    MessageType,
    MissingRequiredFields,
    ProtocolError,
    decode,
    decode_all,
    encode,
    split,
)
from ecgframe.protocol import RECORD_HEADER, STANDALONE_VERSIONS, Algorithm, Form

NOW = 1_705_314_645_123_456
PLACE = {"stream_id": 7, "sequence": 57}
RECORD = bytes.fromhex("0001 00 00 00000002 00060ef981a90fd0 0100 feff")
ZIPPED = bytes.fromhex("0001 01 00") + RECORD[4:]


class Counts:
    """A template of int16 counts of one lead, which the tests need no more of."""

    rows = 0

    coder = None

    def __init__(self):
        self.limits = []

    def decode(self, payload, *, max_payload, copy, numeric):
        self.limits.append((max_payload, copy))
        samples = np.frombuffer(payload, "<i2", offset=RECORD_HEADER)
        return SimpleNamespace(data={"signal": samples.copy() if copy else samples, "sampling_rate": 500})


BOOK = {(7, 1): Counts()}


def record(payload=RECORD, **more):
    return encode(MessageType.ECG_DATA, payload, version=4, timestamp=NOW, form=Form.RECORD, **(PLACE | more))


# --- sending ---


def test_the_default_is_version_3():
    assert encode(MessageType.PING, None)[0] == 3
    assert Codec().encode(MessageType.PING, None)[0] == 3
    assert Codec(version=4).encode(MessageType.PING, None)[0] == 4


@pytest.mark.parametrize("type", oracle.TYPES_OF_V4.values())
def test_a_sender_and_a_receiver_accept_the_same_fields(type):
    """Every form, stream, sequence and priority: the sender refuses exactly what check 6 refuses."""
    data = {0x23: {"template": 0, "stream": "ecg", "epoch": 1}}.get(type, {})
    if type == 0x24:
        data = {"stream": "ecg", "key": bytes(8), "epoch": 1, "number": 1, "last": False}
        data |= {"previous": bytes(32), "digests": b"", "signature": bytes(64)}
    accepted = 0
    for form, flags, stream, sequence in product((0, 4, 8, 16, 20, 32, 128), (0, 4, 28), (0, 7), (0, 57, 2**53 - 1)):
        payload = RECORD if form & Form.RECORD else oracle.pack(data)
        wanted = oracle.frame(4, type, flags, payload, NOW, form=form, stream=stream, sequence=sequence)
        is_right = oracle.is_numbering(type, flags, form, stream, sequence)
        options = {"flags": flags, "timestamp": NOW, "stream_id": stream, "sequence": sequence, "form": form}
        given = RECORD if form & Form.RECORD else data
        if is_right:
            assert encode(type, given, version=4, **options) == wanted
            accepted += 1
        else:
            with pytest.raises(ValueError, match=r".") as caught:
                encode(type, given, version=4, **options)
            assert not isinstance(caught.value, ProtocolError)
            assert verdict(split, wanted) == (0x200, 6)
    assert accepted >= 3


@pytest.mark.parametrize(
    "mistake",
    [
        {"stream_id": 7, "sequence": 1, "version": 3},
        {"sequence": 1, "version": 1},
        {"form": Form.BULK, "version": 2},
        {"stream_id": -1, "sequence": 1},
        {"stream_id": 2**32, "sequence": 1},
        {"stream_id": 1, "sequence": -1},
        {"stream_id": 1, "sequence": 2**53},
        {"form": 256},
        {"form": -1},
        {"form": Algorithm.ZSTD},
        {"form": 3},
        {"flags": Flag.FRAGMENT},
        {"flags": Flag.SIGNED},
        {"flags": Flag.ENCRYPTED},
        {"flags": Flag.COMPRESSED},
        {"flags": 0x80},
    ],
    ids=str,
)
def test_values_that_do_not_fit_a_header_are_a_value_error(mistake):
    options = {"version": 4} | mistake
    codec = Codec()
    for send in (codec.encode, codec.encode_frame):
        with pytest.raises(
            ValueError, match=r"stream|sequence|form|FRAGMENT|SIGNED|ENCRYPTED|COMPRESSED|flag"
        ) as caught:
            send(MessageType.ECG_DATA, {}, **options)
        assert not isinstance(caught.value, ProtocolError)
    with pytest.raises(ValueError, match=r"."):
        codec.encode_into(bytearray(100), 0, MessageType.ECG_DATA, {}, **options)


def test_a_type_that_version_3_has_not():
    with pytest.raises(ValueError, match="0x23 is none of the specification's thirteen"):
        encode(MessageType.STREAM_TEMPLATE, {"template": 0, "stream": "ecg", "epoch": 1})
    with pytest.raises(ValueError, match="0x25 is none of the specification's fifteen"):
        encode(0x25, None, version=4)


@pytest.mark.parametrize("type", [MessageType.STREAM_TEMPLATE, MessageType.STREAM_ATTESTATION])
def test_the_fields_of_the_new_types_are_always_checked(type):
    for codec in (Codec(version=4), Codec(version=4, validate=True)):
        with pytest.raises(MissingRequiredFields):
            codec.encode(type, {"stream": "ecg"}, **PLACE)
        frame = oracle.frame(4, type, 0, oracle.pack({"stream": "ecg"}), NOW, stream=7, sequence=57)
        assert verdict(codec.decode, frame) == (0x201, 12)
        [item] = codec.decode_each(frame)
        assert isinstance(item, MissingRequiredFields)


def test_all_ways_to_encode_make_the_same_frame():
    codec = Codec(version=4)
    for data, form in (({"signal": [1, 2]}, Form.BULK), (RECORD, Form.RECORD), ({"text": "lead II " * 300}, Form(0))):
        options = {"timestamp": NOW, "form": form} | PLACE
        frame = codec.encode(MessageType.ECG_DATA, data, **options)
        encoded = codec.encode_frame(MessageType.ECG_DATA, data, **options)
        prepared = codec.prepare(MessageType.ECG_DATA, data, form=form).finish(NOW, **PLACE)
        target = bytearray(len(data) * 100 + 4000)
        size = codec.encode_into(target, 5, MessageType.ECG_DATA, data, **options)
        assert frame == encoded.frame == prepared.frame == target[5 : 5 + size]
        for one in (encoded, prepared, codec.verify(frame)):
            assert (one.version, one.timestamp, one.form, one.stream_id, one.sequence) == (4, NOW, form, 7, 57)
            assert one.nbytes == len(frame) - 32
        assert encoded.packed == prepared.packed
        moved = encoded.with_timestamp(NOW + 1)
        assert (moved.form, moved.stream_id, moved.sequence) == (form, 7, 57)
        assert moved.frame[:11] + moved.frame[19:] == frame[:11] + frame[19:]
        assert oracle.split(moved.frame)[3] == NOW + 1


def test_a_prepared_frame_is_checked_as_far_as_it_is_known():
    codec = Codec(version=4)
    with pytest.raises(ValueError, match="RECORD is for ECG_DATA"):
        codec.prepare(MessageType.PING, RECORD, form=Form.RECORD)
    with pytest.raises(ValueError, match="neither stream, sequence nor form"):
        codec.prepare(MessageType.ECG_DATA, {}, version=3, form=Form.BULK)
    prepared = codec.prepare(MessageType.ECG_DATA, {}, form=Form.BULK)
    assert (prepared.form, prepared.version) == (Form.BULK, 4)
    with pytest.raises(ValueError, match="BULK is for messages of a stream"):
        prepared.finish(NOW)
    with pytest.raises(ValueError, match="has no sequence"):
        codec.prepare(MessageType.ECG_DATA, {}).finish(NOW, 7)
    assert codec.decode(prepared.finish(NOW, 7, 1).frame).sequence == 1
    with pytest.raises(ValueError, match="neither stream"):
        codec.prepare(MessageType.ECG_DATA, {}, version=3).finish(NOW, 7, 1)


def test_a_record_without_room():
    with pytest.raises(BufferError):
        Codec().encode_into(
            bytearray(40), 0, MessageType.ECG_DATA, RECORD, version=4, form=Form.RECORD, timestamp=NOW, **PLACE
        )
    with pytest.raises(BufferError):
        Codec().encode_into(
            bytearray(99), -1, MessageType.ECG_DATA, RECORD, version=4, form=Form.RECORD, timestamp=NOW, **PLACE
        )


@pytest.mark.parametrize("data", [{"signal": [1]}, None, "text", 5])
def test_a_record_is_given_packed(data):
    with pytest.raises(TypeError, match="with RECORD, data is the packed record"):
        record(data)


def test_a_record_of_any_buffer():
    for buffer in (bytearray(RECORD), memoryview(RECORD), np.frombuffer(RECORD, np.uint8)):
        assert record(buffer) == record()
    with pytest.raises(ValueError, match="at least 16 bytes, not 15"):
        record(RECORD[:15])
    with pytest.raises(MessageTooLarge):
        Codec(max_payload=19).encode(MessageType.ECG_DATA, RECORD, version=4, form=Form.RECORD, **PLACE)


@pytest.mark.parametrize(("payload", "is_deflated"), [(RECORD + bytes(2000), True), (ZIPPED + bytes(2000), False)])
def test_a_record_is_deflated_unless_it_has_a_filter(payload, is_deflated):
    codec = Codec(version=4, compression=Compression())
    frame = codec.encode_frame(MessageType.ECG_DATA, payload, form=Form.RECORD, **PLACE)
    assert (frame.flags == Flag.COMPRESSED) == is_deflated
    assert frame.packed == len(payload)
    message = decode(frame.frame, templates=BOOK)
    assert message.data["signal"].nbytes == message.nbytes - 16 == len(payload) - 16
    prepared = codec.prepare(MessageType.ECG_DATA, payload, form=Form.RECORD).finish(NOW, **PLACE)
    assert prepared.flags == frame.flags


# --- receiving ---


def test_a_record_is_read_by_the_template_of_its_stream():
    for read in (
        lambda frame: decode(frame, templates=BOOK),
        lambda frame: next(decode_all(frame, BOOK)),
        lambda frame: next(Codec().decode_each(frame, templates=BOOK)),
    ):
        message = read(record())
        assert oracle.same(message.data["signal"], np.array([1, -2], "<i2"))
        assert (message.stream_id, message.sequence, message.form, message.nbytes) == (7, 57, Form.RECORD, len(RECORD))
    frame = Codec().verify(record())
    assert Codec().unpack_frame(frame, BOOK)["sampling_rate"] == 500


@pytest.mark.parametrize("templates", [None, {}, {(7, 2): Counts()}, {(8, 1): Counts()}])
def test_a_record_of_another_template_is_refused(templates):
    with pytest.raises(InvalidDataFormat, match="template 1 of stream 7 is not known") as caught:
        decode(record(), templates=templates)
    assert (caught.value.check, caught.value.code, caught.value.offset) == (11, 0x200, 0)
    item, *rest = Codec().decode_each(record() + encode(MessageType.PING, None), templates=templates)
    assert isinstance(item, InvalidDataFormat)
    assert [one.type for one in rest] == [MessageType.PING]  # only this frame is lost


def test_a_template_that_is_added_while_decoding_applies_to_later_records():
    book = {}
    template = {"template": 1, "stream": "ecg", "dtype": "int16", "rows": 0, "fields": {}}
    opened = encode(MessageType.STREAM_TEMPLATE, template, version=4, stream_id=7, sequence=1)
    seen = []
    for message in decode_all(opened + record(), book):
        seen.append(message.type)
        if message.type is MessageType.STREAM_TEMPLATE:
            book[message.stream_id, message.data["template"]] = Counts()
    assert seen == [MessageType.STREAM_TEMPLATE, MessageType.ECG_DATA]


def test_a_template_gets_the_limit_and_whether_to_copy():
    counts = Counts()
    frame = record()
    view = Codec(max_payload=100).decode(frame, templates={(7, 1): counts}).data["signal"]
    copied = Codec(max_payload=100, copy=True).decode(frame, templates={(7, 1): counts}).data["signal"]
    assert counts.limits == [(100, False), (100, True)]
    assert not view.flags.writeable
    assert copied.flags.writeable
    assert np.shares_memory(view, np.frombuffer(frame, np.uint8))


def test_a_validating_reader_checks_what_a_record_stands_for():
    class Wrong:
        coder = None

        def decode(self, payload, *, max_payload, copy, numeric):
            return SimpleNamespace(data={"signal": "no numbers", "sampling_rate": 500})

    assert decode(record(), templates={(7, 1): Wrong()}).data["signal"] == "no numbers"
    with pytest.raises(InvalidDataFormat) as caught:
        Codec(validate=True).decode(record(), templates={(7, 1): Wrong()})
    assert caught.value.check == 12


def test_a_meter_is_asked_of_a_record_and_weighs_what_is_messagepack():
    class Meter:
        def __init__(self, room):
            self.room, self.asked, self.weighed, self.records = room, [], [], []

        def admit(self, header, room):
            self.asked.append((header.form, header.stream_id, header.sequence))
            return min(room, self.room)

        def weigh(self, flat, start, stop):
            self.weighed.append(stop - start)

        def weigh_record(self, template, count, payload):
            self.records.append((template, count))
            if count > self.room:
                raise MessageTooLarge("too many samples", check=11)

    meter = Meter(1000)
    counts = Counts()
    assert decode(record(), meter, {(7, 1): counts}).data["signal"].size == 2
    assert meter.records == [(counts, 2)]
    assert (meter.asked, meter.weighed, counts.limits) == ([(Form.RECORD, 7, 57)], [], [(1000, False)])
    squeezed = encode(MessageType.ECG_DATA, {"text": "lead II " * 200}, version=4, form=Form.BULK, **PLACE)
    decode(squeezed, Meter(10_000))
    with pytest.raises(MessageTooLarge):
        decode(record(), Meter(10), BOOK)


@pytest.mark.parametrize(
    ("flags", "form", "error", "check"),
    [
        (0x20, 0, InvalidDataFormat, 13),
        (0x02, 0, AuthenticationFailed, 8),
        (0x40, 0, AuthenticationFailed, 14),
        (0x01, 1, DecompressionFailed, 9),
        (0x01, 2, DecompressionFailed, 9),
    ],
)
def test_unsupported_forms_and_flags_cost_one_frame(flags, form, error, check):
    frame = oracle.frame(4, 0x01, flags, bytes(100), NOW, form=form, stream=7, sequence=57)
    with pytest.raises(error) as caught:
        decode(frame)
    assert caught.value.check == check
    refused, good = Codec().decode_each(frame + encode(MessageType.PING, 5))
    assert isinstance(refused, error)
    assert good.data == 5


def test_the_bits_of_version_4_mean_nothing_in_version_3():
    for flags in (0x20, 0x40, 0x60):
        assert decode(oracle.frame(3, 0x11, flags, oracle.pack(5), NOW)).data == 5


def test_a_receiver_of_versions_1_to_3_refuses_version_4_at_its_eleventh_byte():
    codec = Codec(versions=STANDALONE_VERSIONS)
    frame = encode(MessageType.PING, 5, version=4)
    for size in range(len(frame) + 1):
        assert verdict(codec.decode, frame[:size]) == ((0x200, 1) if size < 11 else (0x100, 2))
    with pytest.raises(InvalidProtocolVersion, match=r"version 4 \(byte 0\); this receiver knows \[1, 2, 3\]"):
        codec.decode(frame)


# --- messages and headers as objects ---


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_message_and_a_header_are_copied_with_all(copied):
    frame = encode(MessageType.ECG_DATA, {"n": 1}, version=4, timestamp=NOW, form=Form.BULK, **PLACE)
    message, (header, _) = decode(frame), split(frame)
    for one in (message, copied(message)):
        assert (one.stream_id, one.sequence, one.form, one.version, one.timestamp) == (7, 57, Form.BULK, 4, NOW)
        assert (one.data, one.flags, one.nbytes) == ({"n": 1}, Flag(0), 4)
        assert isinstance(one.form, Form)
        assert "stream_id=7, sequence=57, form=<Form.BULK: 16>" in repr(one)
    assert copied(header) == header
    assert hash(copied(header)) == hash(header)
    assert bytes(copied(header)) == frame[:32]
    assert "form=<Form.BULK: 16>, stream_id=7, sequence=57" in repr(header)


def test_earlier_versions_refuse_the_fields_of_version_4():
    for version in (1, 2, 3):
        frame = encode(MessageType.PING, 5, version=version)
        for one in (
            decode(frame),
            split(frame)[0],
            Codec().verify(frame),
            Codec().encode_frame(0x11, 5, version=version),
        ):
            assert one.stream_id is one.sequence is one.form is None
        assert "stream_id" not in repr(decode(frame))


def test_headers_and_messages_that_cannot_be():
    for numbering in ((0, 0, 0), (None, 7, None)):
        with pytest.raises(ValueError, match="V3 header has neither form, stream and sequence"):
            Header(3, 0x01, 0, 0, 0, NOW, *numbering)
    for numbering in ((), (None, 0, 0), (0, None, 0), (0, 0, None)):
        with pytest.raises(ValueError, match="V4 header has a form, stream and sequence"):
            Header(4, 0x01, 0, 0, 0, NOW, *numbering)
    with pytest.raises(ValueError, match="bits of one byte"):
        Header(4, 0x01, 0, 0, 0, NOW, 256, 0, 0)
    for numbering in ((0, 2**32, 0), (0, -1, 0), (0, 0, 2**64), (0, 0, -1)):
        with pytest.raises(OverflowError):
            Header(4, 0x01, 0, 0, 0, NOW, *numbering)
    for name in ("stream_id", "sequence", "form"):
        with pytest.raises(ValueError, match="a V3 message has neither"):
            Message(0x01, None, 3, 0, NOW, **{name: 0})
    message = Message(0x01, None, 4, 0, NOW)
    assert (message.stream_id, message.sequence, message.form) == (0, 0, Form(0))
    with pytest.raises(ValueError, match="form 256"):
        Message(0x01, None, 4, 0, NOW, form=256)
    with pytest.raises(OverflowError):
        Message(0x01, None, 4, 0, NOW, stream_id=2**32)


def test_a_codec_of_version_4_is_copied():
    codec = pickle.loads(pickle.dumps(Codec(version=4, versions=(3, 4))))
    assert codec.encode(MessageType.PING, None)[0] == 4
    assert codec.decode(codec.encode(MessageType.PING, 5)).data == 5
    assert verdict(codec.decode, encode(MessageType.PING, None, version=2)) == (0x100, 2)
