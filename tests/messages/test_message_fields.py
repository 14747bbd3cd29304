"""The fields of each message type according to the specification."""

import inspect
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, get_args, get_type_hints
from uuid import UUID

import numpy as np
import pytest
from cases import each_case

from ecgframe.errors import InvalidDataFormat, MissingRequiredFields, ProtocolError
from ecgframe.messages import PAYLOADS, check_received, check_sent
from ecgframe.protocol import ErrorCode, MessageType

NOON = datetime(2024, 1, 15, 12, tzinfo=UTC)
NAN, INF = float("nan"), float("inf")

# What each kind of field refuses.
NO_TEXT = [1, b"ecg", ["ecg"], True]
NO_INTEGER = ["1", 1.0, True, [1], NAN, np.bool_(True), np.timedelta64(1, "s")]
NO_COUNT = [*NO_INTEGER, -1, np.int8(-1)]
NO_NUMBER = ["1", True, [1.0], np.bool_(True), np.timedelta64(1, "s"), 1j, np.array(1.0)]
NO_TIME = [*NO_NUMBER, NAN, INF, NOON.date(), "2024-01-15T12:00:00"]
NO_POSITIVE = [*NO_NUMBER, 0, -1, 0.0, NAN, INF, np.float32(0)]
NO_SHARE = [*NO_NUMBER, -0.001, 1.001, 2, NAN, INF]
NO_TEXTS = ["II", {"II": 1}, [1], ["II", None], [b"II"], 5]
NO_INTEGERS = [1, "1", [1, "2"], [1.0], [True], np.array([1.0]), np.array([[1]]), np.array(1)]
NO_IDENTIFIER = [1.5, True, b"7", ["7"]]
NO_SIGNAL = [
    *("0.1", 1.0, b"\x00", {"II": [1.0]}, True),
    *([True], ["1"], [1.0, None], [1.0, [2.0]], [[1.0], 2.0], [[1.0, 2.0], [1.0]], [[[1.0]]], [[1.0], np.array([1.0])]),
    *(np.array(1.0), np.zeros((2, 2, 2)), np.array([True]), np.array(["1"]), np.array([1j]), np.array([1], "m8[s]")),
]
NO_FEATURES = [
    *([], "hr", [("hr", 60)], {1: 60}, {"hr": 60, b"qt": 1}),
    *({"hr": v} for v in ["60", None, True, {"mean": 60}, [True], ["60"], np.array(["60"]), np.array([1j])]),
]
NO_PROBABILITIES = [0.5, [0.5], {1: 0.5}, {None: 0.5}, *({"AF": value} for value in NO_SHARE)]
NO_GAIN = ["200", True, 0, 0.0, NAN, INF, [200.0, 0], [200.0, "1"], [NAN], np.array([200.0, 0]), np.ones((2, 2))]
NO_EPOCH = [*NO_INTEGER, 0, -1, 2**53]
NO_SCALE = [
    *(5, [1, 2], {}, {"mul": 1}, {"div": 1}, {"mul": 1, "div": 1, "add": 0}),
    *({"mul": 1, "div": value} for value in [*NO_NUMBER, 0, -1, NAN, INF, 1e101, 1e-101]),
]
NO_BASELINE = ["0", True, NAN, -INF, [0, None], [INF], np.array([NAN, 0]), np.array(1), np.array([True])]


@dataclass(frozen=True)
class Row:
    """A message type: its smallest payload, a payload with all fields, and invalid values of each field."""

    minimal: list[dict[str, Any]]
    full: list[dict[str, Any]]
    refuses: dict[str, list[Any]]
    required: list[str] = field(default_factory=list)


TABLE = {
    MessageType.ECG_DATA: Row(
        required=["signal", "sampling_rate"],
        minimal=[
            {"signal": [0.1, 0.2], "sampling_rate": 250},
            {"signal": np.zeros((12, 500), np.int16), "sampling_rate": np.float32(500)},
            {"signal": [], "sampling_rate": 0.5},
        ],
        full=[
            {
                "signal": np.array([[1, 2, 3], [4, 5, 6]], np.int16),
                "sampling_rate": 360.0,
                "timestamp": 1705320000.25,
                "stream": "ecg/bed-7",
                "leads": ["MLII", "V5"],
                "units": "mV",
                "gain": [200.0, 400],
                "baseline": np.array([1024, 0]),
                "missing": -32768,
                "sequence": np.uint64(2**64 - 1),
                "device_id": UUID(int=7),
                "patient_id": "p-7",
            },
            {
                "signal": [[1, 2], [3, 4]],
                "sampling_rate": np.int32(1),
                "timestamp": NOON,
                "stream": "",
                "leads": ("I", "II"),
                "units": "µV",
                "gain": -200,
                "baseline": np.int16(-5),
                "missing": np.uint8(255),
                "sequence": 0,
                "device_id": 17,
                "patient_id": np.int64(3),
            },
        ],
        refuses={
            "signal": NO_SIGNAL,
            "sampling_rate": NO_POSITIVE,
            "timestamp": NO_TIME,
            "stream": NO_TEXT,
            "leads": NO_TEXTS,
            "units": NO_TEXT,
            "gain": NO_GAIN,
            "baseline": NO_BASELINE,
            "missing": NO_INTEGER,
            "sequence": NO_COUNT,
            "device_id": NO_IDENTIFIER,
            "patient_id": NO_IDENTIFIER,
        },
    ),
    MessageType.ANOMALY_ALERT: Row(
        required=["kind", "timestamp"],
        minimal=[{"kind": "pause", "timestamp": 0}, {"kind": "", "timestamp": NOON}],
        full=[
            {
                "kind": "ventricular_tachycardia",
                "timestamp": 1705320000.25,
                "severity": severity,
                "confidence": confidence,
                "message": "Three beats in a row",
                "stream": "ecg/bed-7",
                "start": NOON,
                "end": np.float64(1705320001.5),
                "lead": "II",
            }
            for severity, confidence in [("info", 0), ("warning", np.float16(0.5)), ("critical", 1.0)]
        ],
        refuses={
            "kind": NO_TEXT,
            "timestamp": NO_TIME,
            "severity": ["Critical", "fatal", "", 1, ["info"], b"info"],
            "confidence": NO_SHARE,
            "message": NO_TEXT,
            "stream": NO_TEXT,
            "start": NO_TIME,
            "end": NO_TIME,
            "lead": NO_TEXT,
        },
    ),
    MessageType.PREDICTION_RESULT: Row(
        minimal=[{"label": "AF"}, {"probabilities": {"AF": 0.9, "N": 0}}, {"probabilities": {}}],
        full=[
            {
                "label": "AF",
                "probabilities": {"AF": np.float32(0.75), "N": 0.25},
                "timestamp": NOON,
                "model": "resnet-1",
                "confidence": 0.75,
                "stream": "ecg/bed-7",
            }
        ],
        refuses={
            "label": NO_TEXT,
            "probabilities": NO_PROBABILITIES,
            "timestamp": NO_TIME,
            "model": NO_TEXT,
            "confidence": NO_SHARE,
            "stream": NO_TEXT,
        },
    ),
    MessageType.FEATURE_DATA: Row(
        required=["features"],
        minimal=[{"features": {}}, {"features": {"hr": 60}}],
        full=[
            {
                "features": {
                    "hr": np.float32(60.5),
                    "sdnn": NAN,
                    "rr": np.array([0.8, 0.81]),
                    "mask": np.array([[True], [False]]),
                    "qrs": [1, 2.5],
                    "beats": [[1, 2], [3, 4]],
                    "none": np.array(1.0),
                },
                "timestamp": -1.5,
                "window": 10,
                "stream": "ecg/bed-7",
            }
        ],
        refuses={"features": NO_FEATURES, "timestamp": NO_TIME, "window": NO_POSITIVE, "stream": NO_TEXT},
    ),
    MessageType.SUBSCRIBE: Row(
        required=["stream"],
        minimal=[{"stream": "ecg/bed-7"}],
        full=[
            {"stream": "ecg/bed-7", "since": 1705320000.25, "epoch": 1, "after": 0, "catch_up": 0.5},
            {"stream": "ecg/bed-7", "since": NOON, "epoch": 2**53 - 1, "after": 2**53 - 1, "catch_up": 60},
            {"stream": "ecg/bed-7", "history": 1, "start": 1705320000.25, "stop": NOON},
        ],
        refuses={
            "stream": NO_TEXT,
            "since": NO_TIME,
            "epoch": NO_EPOCH,
            "after": [*NO_INTEGER, -1, 2**53],
            "catch_up": NO_POSITIVE,
            "history": [*NO_INTEGER, 0, 2**32],
            "start": NO_TIME,
            "stop": NO_TIME,
        },
    ),
    MessageType.UNSUBSCRIBE: Row(
        required=["stream"],
        minimal=[{"stream": "ecg/bed-7"}],
        full=[{"stream": "ecg/bed-7", "history": 1}],
        refuses={"stream": NO_TEXT, "history": [*NO_INTEGER, 0, 2**32]},
    ),
    MessageType.SUBSCRIPTION_ACK: Row(
        required=["stream", "status"],
        minimal=[{"stream": "ecg", "status": "subscribed"}, {"stream": "ecg", "status": "unsubscribed"}],
        full=[
            {
                "stream": "ecg",
                "status": "denied",
                "code": ErrorCode.PERMISSION_DENIED,
                "from": 1705320000.25,
                "id": 2**32 - 1,
                "epoch": 1,
                "next": 2**53 - 1,
                "templates": [b"\x04"] * 16,
                "ended": 61,
                "history": 1,
                "end": 9,
                "more": 1705320000.25,
            }
        ],
        refuses={
            "id": [*NO_INTEGER, 0, 2**32],
            "epoch": NO_EPOCH,
            "next": NO_EPOCH,
            "templates": [5, b"\x04", ["x"], [b"x", None], [b""] * 17, np.array([1])],
            "ended": [0, 2**53, 1.0, "1"],
            "history": [*NO_INTEGER, 0, 2**32],
            "end": NO_EPOCH,
            "more": NO_TIME,
            "stream": NO_TEXT,
            "status": ["ok", "Denied", 1, ["denied"]],
            "code": NO_INTEGER,
            "from": NO_TIME,
        },
    ),
    MessageType.STREAM_TEMPLATE: Row(
        required=["template", "stream", "dtype", "rows", "fields"],
        minimal=[
            {"template": 1, "stream": "ecg", "dtype": "int8", "rows": 0, "fields": {}},
            {"template": 0, "stream": "ecg", "epoch": 1},
        ],
        full=[
            {
                "template": 65_535,
                "stream": "ecg",
                "dtype": "int16",
                "rows": 4096,
                "fields": {"sampling_rate": 500, "gain": 1000.0, "baseline": np.float32(-3)},
                "missing": -32_768,
                "scale": {"mul": 4.88, "div": np.float32(1000)},
            },
            {"template": 0, "stream": "ecg", "epoch": 2**53 - 1},
        ],
        refuses={
            "template": [*NO_INTEGER, -1, 65_536],
            "stream": [*NO_TEXT, "", "x" * 257],
            "dtype": ["int64", "uint32", "float16", ">i2", "i2", "", 2, ["int16"], b"int16"],
            "rows": [*NO_INTEGER, -1, 4097],
            "fields": [5, [], {1: 2}, *({name: 1} for name in ("signal", "stream", "timestamp", "sequence"))],
            "missing": NO_INTEGER,
            "scale": NO_SCALE,
            "epoch": NO_EPOCH,
        },
    ),
    MessageType.STREAM_ATTESTATION: Row(
        required=["stream", "key", "epoch", "number", "last", "previous", "digests", "signature"],
        minimal=[],
        full=[
            {
                "stream": "ecg",
                "key": bytes(8),
                "epoch": 1,
                "number": 2**53 - 1,
                "last": True,
                "previous": bytes(32),
                "digests": bytes(size),
                "signature": bytes(64),
            }
            for size in (0, 32, 4096 * 32)
        ],
        refuses={
            "stream": NO_TEXT,
            "key": [bytes(7), bytes(9), "24f6ed6a", None, [1] * 8],
            "epoch": NO_EPOCH,
            "number": [*NO_INTEGER, 0, 2**53],
            "last": [0, 1, "true", None],
            "previous": [bytes(31), bytes(33), b"", None],
            "digests": [bytes(31), bytes(33), bytes(4097 * 32), [bytes(32)], "", None],
            "signature": [bytes(63), bytes(65), b"", None],
        },
    ),
    MessageType.ERROR: Row(
        required=["code", "message"],
        minimal=[{"code": 0x200, "message": "signal is missing"}],
        full=[{"code": ErrorCode.RATE_LIMIT_EXCEEDED, "message": "slow down", "details": {"limit": 50}}],
        refuses={"code": NO_INTEGER, "message": NO_TEXT, "details": []},
    ),
    MessageType.PROTOCOL_NEGOTIATION: Row(
        minimal=[{"versions": [1, 2, 3]}, {"version": 3}],
        full=[
            {
                "versions": [1, 2, 3],
                "preferred": 3,
                "capabilities": ["compression", "ndarray-bin"],
                "max_payload": 16 * 1024 * 1024,
                "heartbeat_interval": 15.5,
            },
            {"version": 3, "capabilities": []},
            {"versions": np.array([1, 2]), "version": np.uint8(2)},
        ],
        refuses={
            "versions": NO_INTEGERS,
            "version": NO_INTEGER,
            "preferred": NO_INTEGER,
            "capabilities": NO_TEXTS,
            "max_payload": NO_COUNT,
            "heartbeat_interval": NO_POSITIVE,
        },
    ),
    MessageType.VERSION_CHECK: Row(
        required=["version"],
        minimal=[{"version": 3}],
        full=[
            {"version": 4, "compatible": False, "versions": [1, 2, 3]},
            {"version": 3, "compatible": np.bool_(True), "versions": (3,)},
        ],
        refuses={"version": NO_INTEGER, "compatible": [0, 1, "true", [True]], "versions": NO_INTEGERS},
    ),
}
MISTAKES_OF_TEMPLATES = [
    ({"template": 0}, "rows", "left out of an opening"),
    ({"epoch": 5}, "epoch", "left out of a template"),
    ({"dtype": "float32", "scale": None}, "missing", "left out where the dtype is float32"),
    ({"dtype": "float64", "missing": None}, "scale", "left out where the dtype is float64"),
    ({"missing": 32768}, "missing", "an integer from -32,768 to 32,767"),
    ({"dtype": "uint8", "missing": -1}, "missing", "an integer from 0 to 255"),
    ({"fields": {"gain": 0}}, 'fields"]["gain', "a finite number other than 0"),
    ({"fields": {"baseline": NAN}}, 'fields"]["baseline', "a finite number"),
    ({"fields": {"gain": None}}, 'fields"]["gain', "a finite number other than 0"),
    ({"fields": {"gain": [1000.0] * 12}}, 'fields"]["gain', "a number, or one for each of 4096 leads"),
    ({"scale": {"mul": 1, "div": 1, "add": 0}}, "scale", 'a map of "mul" and "div", without other keys'),
]
FREE = [MessageType.HEARTBEAT, MessageType.PING, MessageType.PONG]
CHECKS = [check_sent, check_received]

EXAMPLES = [(message_type, data) for message_type, row in TABLE.items() for data in [*row.minimal, *row.full]]
REFUSED = [
    (message_type, name, value)
    for message_type, row in TABLE.items()
    for name, values in row.refuses.items()
    for value in values
]
REQUIRED = [(message_type, name) for message_type, row in TABLE.items() for name in row.required]


def shapes(message_type):
    return get_args(PAYLOADS[message_type]) or (PAYLOADS[message_type],)


def field_names(message_type):
    return {name for shape in shapes(message_type) for name in get_type_hints(shape)}


def test_the_table_has_every_type():
    assert {*TABLE, *FREE} == set(MessageType) == set(PAYLOADS)


@pytest.mark.parametrize("message_type", TABLE)
def test_the_table_has_every_field(message_type):
    row = TABLE[message_type]
    assert set(row.refuses) == {name for example in row.full for name in example} == field_names(message_type)


@pytest.mark.parametrize("message_type", TABLE)
def test_a_type_documents_every_field(message_type):
    text = "\n".join(inspect.getdoc(shape) for shape in shapes(message_type))
    assert message_type.name in text
    for name in field_names(message_type):
        assert f"\n    {name}: " in text


@pytest.mark.parametrize("check", CHECKS)
@each_case(("message_type", "data"), EXAMPLES)
def test_an_example_passes_as_it_is(check, message_type, data):
    assert check(message_type, data) is data


@pytest.mark.parametrize("check", CHECKS)
@each_case(("message_type", "data"), EXAMPLES)
def test_unknown_fields_are_kept(check, message_type, data):
    extended = data | {"x-site": {"ward": None}, 7: "seven"}
    assert check(message_type, extended) is extended
    assert extended.keys() == data.keys() | {"x-site", 7}


@pytest.mark.parametrize("check", CHECKS)
@each_case(("message_type", "name", "value"), REFUSED)
def test_a_field_of_the_wrong_kind_is_named(check, message_type, name, value):
    whole = next(example for example in TABLE[message_type].full if name in example)
    data = whole | {name: value}
    with pytest.raises(InvalidDataFormat) as caught:
        check(message_type, data)
    error = caught.value
    assert (error.code, error.check) == (ErrorCode.INVALID_DATA_FORMAT, 12)
    assert error.path.startswith(f'data["{name}"]')
    assert str(error).startswith(f"{message_type.name}: {error.path} must be ")


@pytest.mark.parametrize("check", CHECKS)
@each_case(("message_type", "name"), REQUIRED)
def test_a_missing_field_is_named(check, message_type, name):
    data = {key: value for key, value in TABLE[message_type].full[0].items() if key != name}
    with pytest.raises(MissingRequiredFields) as caught:
        check(message_type, data)
    error = caught.value
    assert (error.code, error.check, error.path) == (ErrorCode.MISSING_REQUIRED_FIELDS, 12, "data")
    assert str(error).startswith(f'{message_type.name} lacks data["{name}"] (')


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("message_type", [kind for kind, row in TABLE.items() if len(row.required) > 1])
def test_all_missing_fields_are_named_at_once(check, message_type):
    with pytest.raises(MissingRequiredFields) as caught:
        check(message_type, {"x-site": 1})
    for name in TABLE[message_type].required:
        assert f'data["{name}"]' in str(caught.value)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize(
    ("message_type", "either", "other"),
    [
        (MessageType.PREDICTION_RESULT, "label", "probabilities"),
        (MessageType.PROTOCOL_NEGOTIATION, "versions", "version"),
    ],
)
def test_alternative_fields_are_both_named(check, message_type, either, other):
    with pytest.raises(MissingRequiredFields, match=rf'lacks data\["{either}"\] \(.*\) or data\["{other}"\] \('):
        check(message_type, {})


@pytest.mark.parametrize("check", CHECKS)
@each_case("data", [None, [], "text", 5, 1.5, True, b"", np.zeros(3), NOON, {1, 2}], ids=repr)
@each_case("message_type", TABLE)
def test_a_payload_that_is_no_map_is_refused(check, message_type, data):
    with pytest.raises(InvalidDataFormat, match=f"^{message_type.name}: data must be a map of fields; got ") as caught:
        check(message_type, data)
    assert (caught.value.check, caught.value.path) == (12, "data")


@pytest.mark.parametrize("check", CHECKS)
@each_case("data", [None, {}, {"signal": "anything"}, [1, None], "text", 5, b""], ids=repr)
@each_case("message_type", FREE)
def test_heartbeat_ping_and_pong_hold_anything(check, message_type, data):
    assert check(message_type, data) is data


@pytest.mark.parametrize("check", CHECKS)
@each_case(("changes", "name", "expected"), MISTAKES_OF_TEMPLATES)
def test_the_fields_of_a_template_fit_together(check, changes, name, expected):
    data = TABLE[MessageType.STREAM_TEMPLATE].full[0] | {"epoch": None} | changes
    data = {key: value for key, value in data.items() if value is not None}
    if data["template"] == 0:
        data = {"template": 0, "stream": "ecg", "epoch": 5, "rows": 2}
    with pytest.raises(InvalidDataFormat) as caught:
        check(MessageType.STREAM_TEMPLATE, data)
    assert (caught.value.check, caught.value.path) == (12, f'data["{name}"]')
    assert f"must be {expected}" in str(caught.value)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize(("number", "lacks"), [(0, ["epoch"]), (7, ["dtype", "rows", "fields"])])
def test_an_opening_and_a_template_lack_different_fields(check, number, lacks):
    own = {"template": number, "stream": "ecg"}
    others = {"epoch": 5} if number else {"dtype": "int16", "rows": 1, "fields": {}}
    with pytest.raises(MissingRequiredFields) as caught:
        check(MessageType.STREAM_TEMPLATE, own | others)
    for name in ("epoch", "dtype", "rows", "fields"):
        assert (f'data["{name}"]' in str(caught.value)) == (name in lacks)


@pytest.mark.parametrize("check", CHECKS)
def test_a_type_may_be_given_as_its_number(check):
    with pytest.raises(MissingRequiredFields, match=r"^SUBSCRIBE lacks"):
        check(0x20, {})


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("number", [0x00, 0x05, 0x100])
def test_an_unknown_type_is_the_callers_mistake(check, number):
    with pytest.raises(ValueError, match="MessageType") as caught:
        check(number, {})
    assert not isinstance(caught.value, ProtocolError)
