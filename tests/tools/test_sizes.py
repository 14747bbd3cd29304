from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from uuid import UUID

import msgpack
import numpy as np
import orjson
import pytest
from recordings import optional

from ecgframe import Codec, MessageType, encode
from ecgframe.frame_file import ecg_messages
from ecgframe.messages.templates import Template, record_content
from ecgframe.protocol import Form
from ecgframe.records import shipped_ecg
from ecgframe.tools.frame_analysis import Examiner
from ecgframe.tools.observation import Delivery
from ecgframe.tools.sizes import Integers, SizeAnalysis, as_integers, largest_numbers

optional("orjson")

PLAIN = Codec(compression=None)


def analysed(*frames):
    analysis, examiner = SizeAnalysis(), Examiner()
    for octets in frames:
        for frame in examiner.examine(Delivery(octets)):
            analysis.add(frame)
    return analysis


def ecg(signal, codec=PLAIN, **fields):
    return codec.encode(MessageType.ECG_DATA, {"signal": signal, "sampling_rate": 250, **fields})


def test_fields_add_up_to_the_payload():
    frame = ecg(np.arange(100, dtype="int16"), leads=["I"], n=1)
    [compared] = analysed(frame, frame).compare()
    found = compared.found
    assert (found.frames, found.wire_bytes, found.header_bytes) == (2, 2 * len(frame), 2 * 19)
    assert sum(found.fields.values()) + 2 == found.payload_bytes == 2 * (len(frame) - 19)  # a byte each: the map
    assert found.fields["n"] == 2 * len(b"\xa1n\x01")
    assert found.fields.most_common(1)[0][0] == "signal"


def test_maps_within_are_taken_apart():
    frame = encode(MessageType.FEATURE_DATA, {"features": {"rr": np.arange(5.5), "hr": 60}, "timestamp": 1.5})
    [compared] = analysed(frame).compare()
    assert set(compared.found.fields) == {"features.rr", "features.hr", "timestamp"}
    assert compared.numbers == "features.rr"
    assert any(form.name.startswith("float32") for form in compared.forms)


def test_other_forms_are_what_the_codec_would_send():
    signal = np.round(np.sin(np.arange(400) / 9), 3)
    message = {"signal": signal, "sampling_rate": 250}
    [compared] = analysed(PLAIN.encode(MessageType.ECG_DATA, message)).compare()
    forms = {form.name: form for form in compared.forms}
    assert forms["JSON"].nbytes == len(orjson.dumps({**message, "signal": signal.tolist()}))
    for name, turned in {
        "float64": message,
        "float32": {**message, "signal": signal.astype("float32")},
        "int16 with a gain of 1000": {"gain": 1000, **message, "signal": np.round(signal * 1000).astype("int16")},
    }.items():
        for form in ("list", "binary"):
            plain, packed = Codec(ndarray=form, compression=None), Codec(ndarray=form)
            assert forms[f"{name}, {form}"].nbytes == len(plain.encode(MessageType.ECG_DATA, turned))
            compressed = len(packed.encode(MessageType.ECG_DATA, turned))
            plain_size = forms[f"{name}, {form}"].nbytes
            assert forms[f"{name}, {form}"].compressed == (compressed if compressed < plain_size else None)


@pytest.mark.parametrize(
    ("codec", "value", "form"),
    [
        (PLAIN, np.arange(4.0), "float64, list"),
        (Codec(ndarray="binary"), np.arange(4, dtype="int16"), "int16, binary"),
        (PLAIN, [1.5, 2.5], "a plain list of float64"),
        (Codec(ndarray="binary"), np.zeros(4000), "float64, binary, compressed"),
    ],
)
def test_how_it_came(codec, value, form):
    [compared] = analysed(ecg(value, codec)).compare()
    assert list(compared.found.forms) == [form]


@pytest.mark.parametrize(
    ("array", "integers"),
    [
        (np.arange(-5, 5), Integers("int16", 1, 0.0)),
        (np.arange(5) * 10_000_000, Integers("int32", 1, 0.0)),
        (np.array([0.125, -3.5]), Integers("int16", 200, 0.0)),
        (np.array([0.001, -2.0]), Integers("int16", 1000, 0.0)),
        (np.array([1.0, 2.0]), Integers("int16", 1, 0.0)),
        (np.array([0.1234567, 1.5]), Integers("int16", 20_000, 0.5 / 20_000)),
        (np.array([np.nan, 1.5]), None),
        (np.array([1e9 + 0.123]), None),
        (np.array([2**40]), None),
        (np.array([]), None),
    ],
)
def test_integers(array, integers):
    assert as_integers([array]) == integers


def test_no_arrays_no_integers():
    assert as_integers([]) is None


def test_the_shipped_ecg_in_millivolts_is_advised_to_travel_as_counts():
    signal = shipped_ecg().physical()
    frames = [
        encode(MessageType.ECG_DATA, {"signal": signal[:, at : at + 500], "sampling_rate": 1000}) for at in (0, 500)
    ]
    [compared] = analysed(*frames).compare()
    assert compared.integers == Integers("int16", 800, 0.0)
    words, _, share = compared.advice.partition(": ")
    assert words == "send signal as int16 with a gain of 800, in list form, compressed"
    best = min(form.smallest for form in compared.forms)
    assert share == f"{1 - best / compared.sent:.0%} smaller"


@pytest.mark.parametrize(
    ("signal", "words"),
    [
        (np.random.default_rng(0).normal(size=500), "as int16 with a gain of 8000"),
        (np.r_[np.nan, np.random.default_rng(0).normal(size=500)], "as float32, in binary form"),
    ],
)
def test_advice_that_rounds_says_so(signal, words):
    [compared] = analysed(ecg(signal)).compare()
    assert words in compared.advice
    assert "rounds" in compared.advice
    if "binary" in compared.advice:
        assert "for peers that announced ndarray-bin" in compared.advice


def test_small_messages_get_no_advice():
    counts = ecg(shipped_ecg().signal[:, :50], Codec(ndarray="binary"))
    advice = {compared.found.type.name: compared.advice for compared in analysed(counts, encode(0x11, None)).compare()}
    assert advice["ECG_DATA"].startswith("nothing to gain: signal is sent as int16, binary")
    assert advice["PING"] == "nothing to gain: no array could be sent in another form"


def test_messages_without_the_field_do_no_harm():
    [compared] = analysed(ecg(np.arange(9.5)), encode(MessageType.ECG_DATA, {"signal": 7}), b"\x01").compare()
    assert compared.numbers == "signal"
    assert compared.found.frames == 2


def test_version_1_is_not_compressed():
    [compared] = analysed(encode(MessageType.ECG_DATA, {"signal": np.zeros(900)}, version=1)).compare()
    assert all(form.compressed is None for form in compared.forms)


def test_broken_frames_are_counted():
    analysis = analysed(b"\x07", encode(0x11, None))
    assert analysis.broken == 1


@pytest.mark.parametrize("data", [None, [1, 2], {"a": 1}, {"a": [True, False]}, {"a": "x"}])
def test_data_without_numbers(data):
    assert largest_numbers(data) is None
    [compared] = analysed(encode(MessageType.PING, data)).compare()
    assert sum(compared.found.fields.values()) <= len(msgpack.packb(data)) + 1


def test_all_that_the_protocol_has_can_be_compared_with_json():
    data = {"at": datetime(2026, 1, 1, tzinfo=UTC), "id": UUID(int=1), "raw": b"ab", "big": np.array([1], ">i2"), 1: 2}
    [compared] = analysed(encode(MessageType.PING, data)).compare()
    assert compared.forms[0].nbytes > 60


def live_frames(version, *, delta=True, number=1):
    """Two frames of 50 ms, after their template in version 4."""
    codec = Codec(version=version, compression=None)
    template, frames = None, []
    for message in islice(ecg_messages(shipped_ecg(), 50), 2):
        if version < 4:
            frames.append(codec.encode(MessageType.ECG_DATA, {"stream": "ecg/1", **message}))
            continue
        content = record_content(message, "ecg/1")
        if template is None:
            template = Template.of(content, number, "ecg/1")
            told = template.fields_on_the_wire()
            frames.append(codec.encode(MessageType.STREAM_TEMPLATE, told, stream_id=1, sequence=1))
        payload = template.encode(content.signal, content.time, content.sequence, delta=delta)
        frames.append(
            codec.encode(MessageType.ECG_DATA, payload, stream_id=1, sequence=len(frames) + 1, form=Form.RECORD)
        )
    return frames


def comparison_of(frames):
    """Of the ECG_DATA."""
    return next(one for one in analysed(*frames).compare() if one.found.type is MessageType.ECG_DATA)


@pytest.mark.parametrize("number", [1, 0x8101])  # the second begins like a map of MessagePack
def test_records_are_measured_by_their_parts(number):
    frames = live_frames(4, number=number)
    compared = comparison_of(frames)
    sent = sum(map(len, frames[1:]))
    assert compared.found.fields == {"(head of the record)": 48, "signal": sent - 2 * (32 + 24)}
    assert compared.found.forms == {"int16, delta record": 2}
    assert compared.sent == sent / 2
    assert compared.advice == "nothing to gain: signal is sent as int16, delta record"


def test_the_saving_of_version_4_is_reported():
    template, *records = live_frames(4)
    compared = comparison_of(live_frames(3))
    form = next(form for form in compared.forms if form.name == "as it is, delta record")
    assert (form.nbytes, form.once) == (sum(map(len, records)) / 2, len(template))
    saved = f"{1 - form.nbytes / compared.sent:.0%}"
    other = f"; or speak version 4 (--protocol 4): {saved} smaller, as delta records, after "
    assert compared.advice.endswith(f"{other}{len(template)} bytes of templates")


def test_advice_for_version_4_names_what_saves_bytes():
    without_filter = comparison_of(live_frames(4, delta=False))
    assert without_filter.found.forms == {"int16, record": 2}
    assert without_filter.advice.startswith("announce the capability delta: 7")
    floats = [
        Codec(version=4, compression=None).encode(
            MessageType.ECG_DATA, {"stream": "ecg/1", **message}, stream_id=1, sequence=1 + message["sequence"]
        )
        for message in islice(ecg_messages(shipped_ecg(), 50, shipped_ecg().physical()), 2)
    ]
    assert comparison_of(floats).advice.startswith('publish with samples="exact": 95% smaller, as delta records')


@pytest.mark.parametrize(
    "fields", [{}, {"timestamp": "now"}, {"timestamp": 1.5, "stream": [1]}, {"timestamp": 1.5, "note": "x" * 5000}]
)
def test_messages_that_cannot_be_records_get_no_such_advice(fields):
    compared = comparison_of([ecg(np.arange(2000, dtype="int16"), **fields)])
    assert not any("record" in form.name for form in compared.forms)
    assert "version 4" not in compared.advice


def test_fields_that_always_change_have_no_template():
    frames = [ecg(np.arange(99, dtype="int16"), timestamp=1.5, note=number) for number in range(17)]
    assert not any("record" in form.name for form in comparison_of(frames).forms)
    assert any("record" in form.name for form in comparison_of(frames[1:]).forms)


def test_numbers_near_the_largest_float_are_no_integers():
    assert as_integers([np.array([1.7e308, 0.5])]) is None
