"""Which maps become records, by both cores: the compiled one divides maps of the usual types itself."""

import numpy as np
import pytest
from both_cores import CORES
from hypothesis import example, given
from hypothesis import strategies as st
from thoroughness import examples

import ecgframe

CORE, *OTHERS = [core.values[0] for core in CORES]
PLAIN = OTHERS[0] if OTHERS else CORE
SIGNAL = np.array([[1, 2, 3], [4, 5, 6]], "i2")
HALF = 4_328_391_991_283_007 / 1e6  # seconds times 10^6 would be halfway between two microseconds


class Text(str):
    __slots__ = ()


class Map(dict):
    pass


SIGNALS = [
    SIGNAL,
    SIGNAL[0],
    SIGNAL.T,
    SIGNAL[:, ::2],
    SIGNAL[:0],
    SIGNAL[:, :0],
    SIGNAL.astype("f4"),
    SIGNAL.astype(">i2"),
    SIGNAL.astype("i8"),
    SIGNAL.astype(np.dtype("i2", metadata={"unit": "mV"})),
    SIGNAL[None],
    np.int16(3),
    np.array(3, "i2"),
    np.zeros((4096, 1), "i1"),
    np.zeros((4097, 1), "i1"),
    np.ma.masked_array(SIGNAL, SIGNAL == 1),
    SIGNAL.tolist(),
    None,
]
TIMES = st.one_of(
    st.floats(),
    st.floats(-1e13, 1e13),
    st.integers(-(2**64), 2**64),
    st.integers(-(2**53), 2**53).map(lambda time: time / 1e6),
    st.sampled_from(
        [HALF, -HALF, 9e12, -9e12, 0.0000005, -0.0000015, np.float32(0.25), np.float64(1.5), True, "1", None]
    ),
)
SEQUENCES = st.one_of(
    st.integers(-2, 2**64 + 1), st.sampled_from([2**64 - 1, 2**64, -1, True, np.int64(7), np.uint64(7), 1.0, None])
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "signal": st.sampled_from(SIGNALS),
        "timestamp": TIMES,
        "sequence": SEQUENCES,
        "stream": st.sampled_from(["ecg/1", "ecg/2", "", Text("ecg/1"), 5, None]),
        "sampling_rate": st.integers(),
        "leads": st.just(["I", "II"]),
        Text("unit"): st.just("mV"),
        7: st.just("a key that is no text"),
    },
)
USUAL = {"signal": SIGNAL, "timestamp": 1705314645.25, "sequence": 7, "stream": "ecg/1", "sampling_rate": 250}


def divided(core, data):
    content = core.record_content(data, "ecg/1")
    return content and (id(content.signal), *content[1:], *map(type, content[1:]), list(content.fields))


@given(FIELDS, st.sets(st.sampled_from(sorted(USUAL))), st.sampled_from([dict, Map]))
@example({"timestamp": HALF}, set(USUAL), dict)
@examples(400)
def test_both_cores_divide_the_same_maps_alike(fields, usual, kind):
    data = kind({**{name: USUAL[name] for name in usual}, **fields})
    before = list(data)
    assert divided(CORE, data) == divided(PLAIN, data)
    assert list(data) == before


@pytest.mark.parametrize("sequence", [-1, 0, 2**64 - 1, 2**64, True], ids=repr)
def test_both_cores_have_the_same_limits_of_a_sequence(sequence):
    data = {**USUAL, "sequence": sequence}
    assert divided(CORE, data) == divided(PLAIN, data)


@pytest.mark.parametrize("rows", [0, 1, 4096, 4097])
def test_both_cores_have_the_same_limits_of_rows(rows):
    data = {**USUAL, "signal": np.zeros((rows, 2), "i1")}
    assert divided(CORE, data) == divided(PLAIN, data)


@pytest.mark.skipif(not ecgframe.accelerated, reason="only the compiled core divides maps")
@pytest.mark.parametrize("left_out", [None, "sequence", "stream"])
def test_the_compiled_core_divides_the_usual_maps(left_out):
    data = {name: value for name, value in USUAL.items() if name != left_out}
    signal, time, sequence, fields = ecgframe._core.divide_common(data, "ecg/1")
    assert signal is SIGNAL
    assert (time, fields) == (1705314645250000, {"sampling_rate": 250})
    assert sequence == data.get("sequence")
