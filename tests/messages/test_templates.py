"""Templates: which maps become records, what a template demands, and what a record gives back."""

import copy
import pickle
import tracemalloc
from datetime import UTC, datetime
from fractions import Fraction
from hashlib import sha256
from uuid import UUID

import numpy as np
import oracle
import pytest
import record_oracle
import strategies
from hypothesis import example, given
from hypothesis import strategies as st
from thoroughness import examples

from ecgframe import MessageTooLarge, MissingRequiredFields, ProtocolError, pack
from ecgframe.errors import InvalidDataFormat
from ecgframe.messages.template_rules import unknown_template
from ecgframe.messages.templates import (
    Scale,
    Template,
    record_content,
    template_key,
    template_number,
)

SIGNAL = np.array([[1, 2, 3], [4, 5, 6]], "i2")
DATA = {"signal": SIGNAL, "sampling_rate": 250, "timestamp": 1705314645.25, "leads": ["I", "II"]}


# --- which maps become records ---


def test_a_map_is_taken_apart_and_put_together():
    data = {**DATA, "stream": "ecg/1", "sequence": 7}
    content = record_content(data, "ecg/1")
    assert (content.time, content.sequence) == (1705314645250000, 7)
    assert content.fields == {"sampling_rate": 250, "leads": ["I", "II"]}
    template = Template.of(content, 3, "ecg/1")
    record = template.encode(content.signal, content.time, content.sequence)
    back = template.decode(record).data
    assert back.keys() == data.keys()
    assert all(oracle.same(back[name], data[name]) for name in data)
    assert list(data) == ["signal", "sampling_rate", "timestamp", "leads", "stream", "sequence"], "only read"


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_dtypes_that_records_have(dtype):
    assert record_content({**DATA, "signal": SIGNAL.astype(dtype)}, "s").signal.dtype == dtype


@pytest.mark.parametrize(
    "change",
    [
        {"signal": SIGNAL.astype("i8")},
        {"signal": SIGNAL.astype("u4")},
        {"signal": SIGNAL.astype("f2")},
        {"signal": SIGNAL.astype(">i2")},
        {"signal": SIGNAL.astype("?")},
        {"signal": SIGNAL.tolist()},
        {"signal": np.int16(3)},
        {"signal": np.array(3, "i2")},
        {"signal": np.zeros((1, 1, 1), "i2")},
        {"signal": np.zeros((0, 5), "i2")},
        {"signal": np.zeros((4097, 1), "i2")},
        {"signal": np.ma.masked_array(SIGNAL, SIGNAL == 1)},
        {"signal": None},
        {"timestamp": None},
        {"timestamp": datetime(2024, 1, 15, tzinfo=UTC)},
        {"timestamp": True},
        {"timestamp": "1705314645"},
        {"timestamp": float("nan")},
        {"timestamp": float("inf")},
        {"timestamp": 1e300},
        {"timestamp": 2.0**63 / 1e6 + 0.002},  # the next float, which is beyond 64 bits
        {"timestamp": 2**63 // 10**6 + 1},
        {"sequence": -1},
        {"sequence": 2**64},
        {"sequence": 1.0},
        {"sequence": True},
        {"sequence": None},
        {"stream": "other"},
        {"stream": 5},
        {"stream": np.array(["ecg/1", "ecg/1"])},
        {7: "a key that is no text"},
    ],
    ids=repr,
)
def test_these_messages_are_sent_as_messagepack(change):
    assert record_content({**DATA, "stream": "ecg/1", **change}, "ecg/1") is None


@pytest.mark.parametrize("data", [None, [1], "ecg", {}, {"signal": SIGNAL}, {"timestamp": 1.0}], ids=repr)
def test_other_maps_make_no_template(data):
    assert record_content(data, "ecg/1") is None


@pytest.mark.parametrize(
    ("timestamp", "time"),
    [
        (0, 0),
        (-1.5, -1500000),
        (np.float32(0.25), 250000),
        (np.int64(7), 7000000),
        (9_223_372_036_854, 9_223_372_036_854_000_000),
        (1705314645.123456, 1705314645123456),
        (1e-7, 0),
    ],
)
def test_timestamps(timestamp, time):
    assert record_content({**DATA, "timestamp": timestamp}, "s").time == time


@given(st.integers(-(2**52), 2**52))
@example(4_328_391_991_283_007)  # seconds times 10^6 would be halfway between two microseconds
def test_every_microsecond_arrives_as_it_was(time):
    seconds = time / 1e6
    assert record_content({**DATA, "timestamp": seconds}, "s").time == time
    assert float(Fraction(time, 10**6)) == seconds


@pytest.mark.parametrize(
    "signal",
    [SIGNAL.T.copy().T, SIGNAL[:, ::-1], np.tile(SIGNAL, 2)[:, ::2], strategies.as_layout(SIGNAL, "unaligned")],
)
def test_samples_in_other_memory_layouts(signal):
    template = Template(1, "s", "int16", 2, {})
    for delta in (True, False):
        assert oracle.same(template.decode(template.encode(signal, 0, delta=delta)).counts, np.array(signal, order="C"))


# --- templates ---


def test_a_template_equals_its_unpacked_payload():
    template = Template(7, "ecg/1", "int16", 2, {"leads": ("I", "II")}, missing=-5, scale=Scale(1.5, 200.0))
    assert template.fields == {"leads": ["I", "II"]}
    back = Template.unpack(template.payload)
    assert back == template
    assert hash(back) == hash(template)
    assert (back.missing, back.scale, back.number, back.rows) == (-5, Scale(1.5, 200.0), 7, 2)
    assert back.digest == sha256(template.payload).digest()[:8]
    assert record_oracle.read_template(template.payload)["scale"] == {"mul": 1.5, "div": 200.0}
    for other in (pickle.loads(pickle.dumps(template)), copy.deepcopy(template)):
        assert other == template
    assert template != Template(8, "ecg/1", "int16", 2, {"leads": ("I", "II")}, missing=-5, scale=Scale(1.5, 200.0))
    assert repr(template) == f"Template(7, 'ecg/1', 'int16', rows=2, {len(template.payload)} bytes)"


def test_templates_that_say_the_same_have_one_key():
    content = record_content(DATA, "s")
    template = Template.of(content, 1, "s")
    assert template_key(content) == template.key == Template.of(content, 9, "other").key
    others = [
        Template.of(content, 1, "s", missing=0),
        Template.of(content, 1, "s", scale=Scale(1.0, 2.0)),
        Template.of(content._replace(fields={**content.fields, "sampling_rate": 250.0}), 1, "s"),
        Template.of(content._replace(signal=SIGNAL.astype("i4")), 1, "s"),
        Template.of(content._replace(signal=SIGNAL[:1]), 1, "s"),
        Template.of(content._replace(signal=SIGNAL[0]), 1, "s"),
    ]
    assert len({template.key, *(other.key for other in others)}) == 7
    assert template_key(content, missing=0) == others[0].key
    assert template_key(content, scale=Scale(1.0, 2.0)) == others[1].key


@given(st.dictionaries(strategies.keys, strategies.nests(strategies.scalars), max_size=4))
@examples(100)
def test_any_fields_arrive_as_they_would_in_a_message(fields):
    expected = oracle.unpack(oracle.pack(fields))
    if any(name in record_oracle.OWN or isinstance(name, int) for name in fields):
        with pytest.raises(InvalidDataFormat):
            Template(1, "s", "int16", 0, fields)
        return
    try:
        template = Template(1, "s", "int16", 0, fields)
    except MessageTooLarge:
        return
    data = template.decode(template.encode(SIGNAL[0], 0)).data
    assert all(oracle.same(data[name], value) for name, value in expected.items())


def test_a_received_message_may_be_changed():
    fields = {"leads": ["I", "II"], "more": {"a": [1, {"b": []}]}, "gain": np.array([1.0, 2.0]), "units": "mV"}
    template = Template(1, "s", "int16", 2, fields)
    record = template.encode(SIGNAL, 0)
    first = template.decode(record).data
    first["leads"].append("III")
    first["more"]["a"][1]["b"].append(5)
    first["gain"][0] = 0
    first["units"] = "V"
    fields["leads"].append("V1")
    second = template.decode(record).data
    assert second["leads"] == ["I", "II"]
    assert second["more"] == {"a": [1, {"b": []}]}
    assert second["gain"].tolist() == [1.0, 2.0]
    assert second["units"] == "mV"


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"number": 0}, 'data["template"]'),
        ({"number": 65536}, 'data["template"]'),
        ({"stream": ""}, 'data["stream"]'),
        ({"dtype": "int64"}, 'data["dtype"]'),
        ({"rows": 4097}, 'data["rows"]'),
        ({"fields": {"signal": []}}, 'data["fields"]["signal"]'),
        ({"fields": {1: 2}}, 'data["fields"]'),
        ({"missing": 40000}, 'data["missing"]'),
        ({"scale": {"mul": 1.0}}, 'data["scale"]'),
        ({"scale": Scale(0.0, 1.0)}, 'data["scale"]["mul"]'),
        ({"scale": {"mul": 1.0, "div": 1.0, "add": 0}}, 'data["scale"]'),
        ({"missing": 0, "fields": {"gain": [1, 0]}}, 'data["fields"]["gain"][1]'),
        ({"missing": 0, "fields": {"gain": None}}, 'data["fields"]["gain"]'),
        ({"missing": 0, "fields": {"gain": np.array([1.0, 0.0])}}, 'data["fields"]["gain"]'),
        ({"missing": 0, "fields": {"baseline": [1]}}, 'data["fields"]["baseline"]'),
        ({"dtype": "float64", "missing": 0}, 'data["missing"]'),
    ],
)
def test_errors_name_the_place(change, path):
    told = {"number": 1, "stream": "s", "dtype": "int16", "rows": 2, "fields": {}} | change
    with pytest.raises(InvalidDataFormat) as caught:
        Template(**told)
    assert (caught.value.path, caught.value.check) == (path, 12)
    assert f"STREAM_TEMPLATE: {path} must be " in str(caught.value)


def test_bounds_of_a_template():
    room = 4096 - len(Template(1, "s", "int16", 0, {"note": "x" * 3000}).payload) + 3000
    assert len(Template(1, "s", "int16", 0, {"note": "x" * room}).payload) == 4096
    with pytest.raises(MessageTooLarge, match="4097 bytes"):
        Template(1, "s", "int16", 0, {"note": "x" * (room + 1)})
    with pytest.raises(MessageTooLarge, match="more than 256 values"):
        Template(1, "s", "int16", 0, {"leads": ["I"] * 246})
    assert len(Template(1, "s", "int16", 0, {"leads": ["I"] * 245}).fields["leads"]) == 245


@pytest.mark.parametrize(
    ("value", "counts"), [(None, 0), (1.5, 0), ("x", 1), (b"x", 4), ([1], 1), ({1: 2}, 2), (np.array([1, 2]), 8)]
)
def test_values_of_a_record_are_counted(value, counts):
    """As the oracle counts them: the rest of the map is filled up to the limit."""
    names = record_oracle.MAX_TEMPLATE_VALUES - 12 - counts
    fields = {"value": value, "leads": ["I"] * names}
    payload = Template(1, "s", "int16", 0, fields).payload
    assert oracle.survey(payload, 0, 0)[1] == record_oracle.MAX_TEMPLATE_VALUES
    with pytest.raises(MessageTooLarge):
        Template(1, "s", "int16", 0, {**fields, "leads": ["I"] * (names + 1)})


@pytest.mark.parametrize("value", [datetime(2024, 1, 15, tzinfo=UTC), UUID(int=5)])
def test_dates_and_uuids_count_as_the_maps_that_they_are(value):
    payload = Template(1, "s", "int16", 0, {"value": value}).payload
    without = Template(1, "s", "int16", 0, {"value": None}).payload
    assert oracle.survey(payload, 0, 0)[1] - oracle.survey(without, 0, 0)[1] == 3
    room = record_oracle.MAX_TEMPLATE_VALUES - oracle.survey(payload, 0, 0)[1] - 2
    Template(1, "s", "int16", 0, {"value": value, "leads": ["I"] * room})
    with pytest.raises(MessageTooLarge):
        Template(1, "s", "int16", 0, {"value": value, "leads": ["I"] * (room + 1)})


def test_a_field_without_a_form_on_the_wire():
    with pytest.raises(TypeError, match="fields"):
        Template(1, "s", "int16", 0, {"leads": {1, 2}})


def test_missing_fields_are_named():
    with pytest.raises(MissingRequiredFields, match=r'lacks data\["dtype"\] \(.*\) and data\["rows"\] \(') as caught:
        Template.unpack(pack({"template": 1, "stream": "s", "fields": {}}))
    assert caught.value.check == 12


# --- records ---


def test_views_and_copies():
    template = Template(1, "s", "int16", 2, {})
    record = bytearray(template.encode(SIGNAL, 0, delta=False))
    view = template.decode(record).data["signal"]
    assert not view.flags.writeable
    record[16] ^= 1
    assert view[0, 0] == SIGNAL[0, 0] ^ 1
    own = template.decode(record, copy=True).data["signal"]
    own[0, 0] = 99
    assert view[0, 0] == SIGNAL[0, 0] ^ 1
    assert template.decode(template.encode(SIGNAL, 0)).data["signal"].flags.writeable
    odd = memoryview(b"\0" + template.encode(SIGNAL, 0, delta=False))[1:]
    assert oracle.same(template.decode(odd).counts, SIGNAL)


@pytest.mark.parametrize(
    ("rows", "signal"),
    [
        (2, SIGNAL.astype("i4")),
        (2, SIGNAL[:1]),
        (2, SIGNAL[0]),
        (0, SIGNAL),
        (2, SIGNAL[None]),
        (0, np.array(5, "i2")),
        (2, np.array(5, "i2")),
    ],
)
def test_a_signal_that_is_not_the_templates(rows, signal):
    with pytest.raises(ValueError, match="the template has"):
        Template(1, "s", "int16", rows, {}).encode(signal, 0)


@pytest.mark.parametrize(("time", "sequence"), [(2**63, None), (-(2**63) - 1, None), (0, 2**64), (0, -1)])
def test_numbers_of_more_bits(time, sequence):
    with pytest.raises(OverflowError, match="64 bits"):
        Template(1, "s", "int16", 2, {}).encode(SIGNAL, time, sequence)


@pytest.mark.parametrize(("missing", "nbytes"), [(None, 12), (9, 48)])
def test_no_record_is_made_that_its_receiver_refuses(missing, nbytes):
    template = Template(1, "s", "int16", 2, {}, missing=missing)
    record = template.encode(SIGNAL, 0, max_payload=nbytes)
    template.decode(record, max_payload=nbytes)
    with pytest.raises(MessageTooLarge, match="6 samples"):
        template.encode(SIGNAL, 0, max_payload=nbytes - 1)
    with pytest.raises(MessageTooLarge):
        template.decode(record, max_payload=nbytes - 1)


def test_a_record_bound_to_another_template_of_the_number():
    mine, other = (Template(1, "s", "int16", 2, {"gain": gain}) for gain in (200, 100))
    record = other.encode(SIGNAL, 0, 5, bound=True)
    with pytest.raises(InvalidDataFormat, match=r"bound to another template of number 1 \(byte 24\)") as caught:
        mine.decode(record)
    assert (caught.value.reason, caught.value.check, caught.value.offset) == ("template", 11, 24)
    assert other.decode(record).data["gain"] == 100
    assert mine.decode(other.encode(SIGNAL, 0)).data["gain"] == 200, "what binding is for"


def test_a_record_of_another_template():
    record = Template(258, "s", "int16", 2, {}).encode(SIGNAL, 0)
    assert template_number(record) == 258
    with pytest.raises(InvalidDataFormat, match="template 258") as caught:
        Template(1, "s", "int16", 2, {}).decode(record)
    assert caught.value.reason == unknown_template(258, 7).reason == "template"
    assert unknown_template(258, 7).check == caught.value.check == 11
    with pytest.raises(ProtocolError):
        template_number(record[:15])


def test_the_counts_of_missing_samples_are_there_for_archives():
    template = Template(1, "s", "int16", 2, {"gain": 2}, missing=5)
    read = template.decode(template.encode(SIGNAL, 0))
    assert oracle.same(read.counts, SIGNAL)
    assert read.data["signal"].tolist()[0] == [0.5, 1.0, 1.5]
    assert np.isnan(read.data["signal"][1, 1])
    assert "gain" not in read.data
    assert template.decode(template.encode(SIGNAL + 10, 0)).data["gain"] == 2


def test_a_gain_that_makes_a_value_infinite():
    template = Template(1, "s", "int16", 0, {"gain": 5e-324}, missing=0)
    assert template.decode(template.encode(np.array([0, 1, -1], "i2"), 0)).data["signal"].tolist()[1:] == [
        float("inf"),
        float("-inf"),
    ]


def test_without_the_filter():
    template = Template(1, "s", "int16", 2, {}, missing=-1)
    record = template.encode(np.tile(SIGNAL, 30), 9, 5, bound=True)
    raw = template.without_filter(record)
    assert (record[2], raw[2], len(raw)) == (1, 0, 32 + 60 * 6)
    assert template.without_filter(raw) == raw
    assert oracle.same(template.decode(raw).counts, template.decode(record).counts)
    with pytest.raises(MessageTooLarge):
        template.without_filter(record, max_payload=100)


@pytest.mark.parametrize(
    "made",
    [
        lambda n: Template(n, "e", "int16", 1, {"maps": [{} for _ in range(230)], "n": n}),
        lambda n: Template(n, "e", "int16", 1, {"lists": [[] for _ in range(230)], "n": n}),
        lambda n: Template(n, "e", "int16", 4096, {"gain": 200.0 + n, "baseline": n}, missing=-1),
        lambda n: Template(n, "e", "int16", 1, {"note": f"\U0001fac0{n}" + "x" * 3900}),
        lambda n: Template(n, "e", "int16", 242, {"leads": ["i", "ii", *["iii"] * 240]}),
    ],
)
def test_a_template_knows_how_much_memory_it_takes(made):
    made(1)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        templates = [made(n) for n in range(1, 31)]
        taken = (tracemalloc.get_traced_memory()[0] - before) / len(templates)
    finally:
        tracemalloc.stop()
    assert taken <= templates[0].nbytes < 4 * taken + 2000
