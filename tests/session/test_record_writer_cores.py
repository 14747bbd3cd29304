"""Records that a stream's writer makes, by both cores: the compiled one recognises the fields of the last template."""

import importlib

import numpy as np
import pytest
import twin
from hypothesis import example, given
from hypothesis import strategies as st
from thoroughness import examples

import ecgframe

SIGNAL = np.array([[1, 2, 3], [4, 5, 6]], "i2")
FIELDS = {
    "sampling_rate": 250,
    "unit": "mV",
    "gain": 0.0,
    "is_paced": True,
    "leads": ["I", "II"],
    "filters": [0.05, 40, None],
    "note": None,
    "patient": {"age": 60},
}
PARTS = {"signal": SIGNAL, "timestamp": 1705314645.25, "sequence": 7, "stream": "ecg/1"}
OTHER_VALUES = st.sampled_from(
    [
        *[250, 250.0, -0.0, 0.0, float("nan"), True, False, 1, 0, None, "mV", "mv", ["I", "II"], ["I"], ["I", 2]],
        *[[0.05, 40, 0], ("I", "II"), [0.05, 40.0, None], {"age": 60}, {"age": 61}, np.float64(0.0), np.zeros(2)],
    ]
)
OTHER_PARTS = {
    "signal": [SIGNAL[:, :2], SIGNAL[:1], SIGNAL[0], SIGNAL.astype("f4"), SIGNAL.T.copy().T, np.zeros((2, 40), "i2")],
    "timestamp": [1, -0.5, float("nan"), 1e15, np.float32(1)],
    "sequence": [0, 2**64 - 1, 2**64, -1, True],
    "stream": ["ecg/2", None],
}


def package(core):
    return ecgframe if core == "compiled" or not ecgframe.accelerated else twin.load_plain()


def writer_of(core, maps, **state):
    """A writer of a stream that has written these maps, with a template for each."""
    module = importlib.import_module(f"{package(core).__name__}.session.record_writer")
    writer = module.RecordWriter("ecg/1")
    for data in maps:
        _, template = writer.record_of(data, 0.0, max_payload=2**20)
        if template is not None:
            writer.write_with(template, 0.0)
    for name, value in state.items():
        setattr(writer, name, value)
    return writer


def written(core, maps, data, max_payload=2**20, **state):
    record, wanted = writer_of(core, maps, **state).shared_record_of(data, 0.0, max_payload=max_payload)
    return record and (record.template.number, record.payload), wanted and wanted.key


@st.composite
def similar(draw):
    """A map with nearly the fields of FIELDS."""
    data = {**FIELDS, **PARTS}
    for name in draw(st.lists(st.sampled_from(sorted(data)), max_size=2, unique=True)):
        if name in OTHER_PARTS:
            data[name] = draw(st.sampled_from(OTHER_PARTS[name]))
        elif draw(st.booleans()):
            data[name] = draw(OTHER_VALUES)
        else:
            data.pop(name)
    if draw(st.booleans()):
        data[draw(st.sampled_from(["more", "unit2", "stream"]))] = draw(OTHER_VALUES)
    if draw(st.booleans()):
        data = dict(draw(st.permutations(list(data.items()))))
    return data


LIMITS = st.sampled_from([2**20, 100, 12, 11])
STATE = st.fixed_dictionaries({"binds": st.booleans(), "filters": st.booleans()})
WHOLE = {name: value for name, value in FIELDS.items() if name != "patient"}


@given(similar(), similar(), LIMITS, STATE, st.booleans())
@example({**WHOLE, **PARTS}, {**WHOLE, **PARTS, "gain": -0.0}, 2**20, {}, False)
@example({**WHOLE, **PARTS}, {**WHOLE, **PARTS, "is_paced": 1}, 2**20, {}, False)
@example({**WHOLE, **PARTS}, {**dict(reversed(WHOLE.items())), **PARTS}, 2**20, {}, False)
@example({**WHOLE, **PARTS}, {**WHOLE, **PARTS, "more": 1}, 2**20, {}, False)
@example({**WHOLE, **PARTS, "more": 1}, {**WHOLE, **PARTS}, 2**20, {}, False)
@examples(400)
def test_both_cores_write_the_same_records(first, second, limit, state, without_maps):
    if without_maps:
        first, second = ({name: data[name] for name in data if name != "patient"} for data in (first, second))
    maps = [{**first, "unit": "uV"}, first]
    assert written("compiled", maps, second, limit, **state) == written("plain", maps, second, limit, **state)


@pytest.mark.parametrize("core", ["compiled", "plain"])
def test_a_record_has_the_template_of_its_fields_whichever_was_the_last(core):
    millivolts, microvolts = ({**WHOLE, **PARTS, "unit": unit} for unit in ("mV", "uV"))
    writer = writer_of(core, [millivolts, microvolts])
    for data, number in [(millivolts, 1), (microvolts, 2), (microvolts, 2), (millivolts, 1)]:
        record, _ = writer.shared_record_of(data, 0.0, max_payload=2**20)
        assert record.template.number == number
    writer.write_with_all([])
    assert writer.shared_record_of(millivolts, 0.0, max_payload=2**20)[0] is None


@pytest.mark.skipif(not ecgframe.accelerated, reason="only the compiled core does this in one step")
def test_the_compiled_core_writes_usual_maps_in_one_step():
    data = {**WHOLE, **PARTS}
    _, template = writer_of("compiled", []).record_of(data, 0.0, max_payload=2**20)
    assert template.encode_map(data, delta=True, max_payload=2**20) == template.encode(SIGNAL, 1705314645250000, 7)
    assert template.encode_map({**data, "leads": ["I", "V1"]}, delta=True, max_payload=2**20) is None
    assert template.encode_map(data, delta=True, max_payload=11) is None
