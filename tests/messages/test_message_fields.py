"""Section by section what the specification says a message holds: one row a type, one line a field."""

import inspect
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, get_args, get_type_hints
from uuid import UUID

import numpy as np
import pytest

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
NO_BASELINE = ["0", True, NAN, -INF, [0, None], [INF], np.array([NAN, 0]), np.array(1), np.array([True])]


@dataclass(frozen=True)
class Row:
    """A message type: the least it can hold, everything it can hold, and what each field refuses."""

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
        full=[{"stream": "ecg/bed-7", "since": 1705320000.25}, {"stream": "ecg/bed-7", "since": NOON}],
        refuses={"stream": NO_TEXT, "since": NO_TIME},
    ),
    MessageType.UNSUBSCRIBE: Row(
        required=["stream"],
        minimal=[{"stream": "ecg/bed-7"}],
        full=[{"stream": "ecg/bed-7"}],
        refuses={"stream": NO_TEXT},
    ),
    MessageType.SUBSCRIPTION_ACK: Row(
        required=["stream", "status"],
        minimal=[{"stream": "ecg", "status": "subscribed"}, {"stream": "ecg", "status": "unsubscribed"}],
        full=[{"stream": "ecg", "status": "denied", "code": ErrorCode.PERMISSION_DENIED, "from": 1705320000.25}],
        refuses={
            "stream": NO_TEXT,
            "status": ["ok", "Denied", 1, ["denied"]],
            "code": NO_INTEGER,
            "from": NO_TIME,
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
FREE = [MessageType.HEARTBEAT, MessageType.PING, MessageType.PONG]
CHECKS = [check_sent, check_received]

EXAMPLES = [
    pytest.param(message_type, data, id=f"{message_type.name}-{kind}-{number}")
    for message_type, row in TABLE.items()
    for kind, examples in [("minimal", row.minimal), ("full", row.full)]
    for number, data in enumerate(examples)
]
REFUSED = [
    pytest.param(message_type, name, value, id=f"{message_type.name}-{name}-{number}")
    for message_type, row in TABLE.items()
    for name, values in row.refuses.items()
    for number, value in enumerate(values)
]
REQUIRED = [
    pytest.param(message_type, name, id=f"{message_type.name}-{name}")
    for message_type, row in TABLE.items()
    for name in row.required
]


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
@pytest.mark.parametrize(("message_type", "data"), EXAMPLES)
def test_an_example_passes_as_it_is(check, message_type, data):
    assert check(message_type, data) is data


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize(("message_type", "data"), EXAMPLES)
def test_unknown_fields_are_kept(check, message_type, data):
    extended = data | {"x-site": {"ward": None}, 7: "seven"}
    assert check(message_type, extended) is extended
    assert extended.keys() == data.keys() | {"x-site", 7}


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize(("message_type", "name", "value"), REFUSED)
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
@pytest.mark.parametrize(("message_type", "name"), REQUIRED)
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
def test_where_either_field_will_do_both_are_named(check, message_type, either, other):
    with pytest.raises(MissingRequiredFields, match=rf'lacks data\["{either}"\] \(.*\) or data\["{other}"\] \('):
        check(message_type, {})


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("data", [None, [], "text", 5, 1.5, True, b"", np.zeros(3), NOON, {1, 2}], ids=repr)
@pytest.mark.parametrize("message_type", TABLE)
def test_a_payload_that_is_no_map_is_refused(check, message_type, data):
    with pytest.raises(InvalidDataFormat, match=f"^{message_type.name}: data must be a map of fields; got ") as caught:
        check(message_type, data)
    assert (caught.value.check, caught.value.path) == (12, "data")


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("data", [None, {}, {"signal": "anything"}, [1, None], "text", 5, b""], ids=repr)
@pytest.mark.parametrize("message_type", FREE)
def test_heartbeat_ping_and_pong_hold_anything(check, message_type, data):
    assert check(message_type, data) is data


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
