"""Hypothesis strategies: templates, samples as converters and as adversaries make them, and records that went wrong."""

import struct

import numpy as np
import record_oracle
from hypothesis import strategies as st
from strategies import edited

INTEGERS = sorted(record_oracle.INTEGERS)
LIMB_LEADS = ["I", "II", "III", "aVR", "aVL", "aVF"]
COUNTS = st.one_of(st.integers(0, 6), st.integers(29, 38), st.integers(61, 70), st.just(100))
TIMES = st.one_of(st.sampled_from([0, -1, -(2**63), 2**63 - 1]), st.integers(-(2**63), 2**63 - 1))
SEQUENCES = st.one_of(st.none(), st.sampled_from([0, 2**64 - 1]), st.integers(0, 2**64 - 1))


@st.composite
def rows_of(draw, dtype, count):
    """One lead, as a list of integers that the dtype holds."""
    least, most = record_oracle.INTEGERS[dtype]
    kind = draw(st.sampled_from(["noise", "few bits", "constant", "edges", "ramp", "walk", "steps"]))
    seed = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    middle = draw(st.sampled_from([least, most, (least + most) // 2, max(least, 0)]))
    if kind == "noise":
        row = seed.integers(least, most, count, endpoint=True)
    elif kind == "few bits":
        row = middle + seed.integers(-(2 ** draw(st.integers(0, 25))), 2 ** draw(st.integers(0, 25)), count)
    elif kind == "constant":
        row = np.full(count, middle)
    elif kind == "edges":
        row = seed.choice([least, most], count)
    elif kind == "ramp":
        row = middle + draw(st.integers(-(2**20), 2**20)) * np.arange(count)
    elif kind == "walk":
        row = middle + np.cumsum(seed.integers(-5, 6, count))
    else:
        step = draw(st.one_of(st.integers(2, 300), st.sampled_from([65534, 65535, 65536])))
        row = draw(st.integers(-3, 3)) + step * seed.integers(-40, 40, count)
    return np.clip(row, least, most).tolist()


@st.composite
def signals(draw):
    """Template and counts: integers of any dtype; rows with and without names, some that follow from others."""
    dtype, count = draw(st.sampled_from(INTEGERS)), draw(COUNTS)
    row_count = draw(st.sampled_from([0, 1, 2, 3, 6, 7]))
    rows = [draw(rows_of(dtype, count)) for _ in range(row_count or 1)]
    fields = {}
    if draw(st.booleans()):
        names = draw(st.permutations(LIMB_LEADS)) if draw(st.booleans()) else LIMB_LEADS
        fields["leads"] = [name.upper() if draw(st.booleans()) else name for name in names[: max(1, row_count)]]
        if draw(st.booleans()):
            rows = derived(rows, [name.lower() for name in fields["leads"]], dtype)
    counts = np.array(rows, dtype)
    template = {"template": draw(st.integers(1, 65535)), "stream": "ecg/1", "dtype": dtype, "rows": row_count}
    return template | {"fields": fields}, counts if row_count else counts[0]


def derived(rows, names, dtype):
    """The same with the limb leads following from I and II, as far as the dtype holds them."""
    if not {"i", "ii"} <= set(names[: len(rows)]):
        return rows
    least, most = record_oracle.INTEGERS[dtype]
    one, two = rows[names.index("i")], rows[names.index("ii")]
    out = []
    for name, row in zip(names, rows, strict=False):
        rules = record_oracle.RULES.get(name)
        made = row if rules is None else record_oracle.predict((one, two, *rules[-1]), len(row))
        out.append([min(max(x, least), most) for x in made])
    return out + rows[len(out) :]


@st.composite
def foreign_rows(draw, dtype, count, row):
    """One lead as any writer may write it: any order, step, prediction and width."""
    order = draw(st.integers(0, min(3, count)))
    left = count - order
    width = draw(st.integers(0, draw(st.sampled_from([3, 8, 24])))) if left else 0
    options, out = 0, b""
    if draw(st.booleans()):
        options |= record_oracle.STEP
        out += struct.pack("<H", draw(st.one_of(st.integers(2, 9), st.integers(2, 65535))))
    if row and draw(st.booleans()):
        options |= record_oracle.PREDICTION
        a, b = draw(st.integers(0, row - 1)), draw(st.integers(0, row - 1))
        rule = draw(st.integers(0, 4)) + 8 * draw(st.integers(0, 4)) + 64 * draw(st.integers(0, 1))
        out += bytes([a, b, rule])
    out = bytes([width | order << 5 | (128 if options else 0)]) + (bytes([options]) if options else b"") + out
    first = draw(rows_of(dtype, order))
    out += np.array(first, np.dtype(dtype).newbyteorder("<")).tobytes()
    seed = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    for start in range(0, left, record_oracle.BLOCK):
        n = min(record_oracle.BLOCK, left - start)
        if start:
            width = draw(st.integers(0, 24))
            out += bytes([width])
        largest = 2 ** draw(st.integers(0, width))
        bits = sum(int(seed.integers(0, largest)) << i * width for i in range(n))
        out += bits.to_bytes((n * width + 7) // 8, "little")
    return out


@st.composite
def foreign_records(draw):
    """Template and record: what any writer may send, but that a sample may lie outside the dtype."""
    dtype, count, row_count = draw(st.sampled_from(INTEGERS)), draw(COUNTS), draw(st.sampled_from([0, 1, 2, 5]))
    rows = [draw(foreign_rows(dtype, count, row)) for row in range(row_count or 1)]
    template = {"template": 1, "stream": "s", "dtype": dtype, "rows": row_count, "fields": {}}
    return template, struct.pack(">HBBIq", 1, record_oracle.DELTA, 0, count, 0) + b"".join(rows)


@st.composite
def damaged_records(draw):
    """Template and record: a sound one, edited."""
    if draw(st.booleans()):
        template, record = draw(foreign_records())
    else:
        template, counts = draw(signals())
        record = record_oracle.write_record(template, 0, draw(SEQUENCES), counts, delta=draw(st.booleans()))
    for _ in range(draw(st.integers(1, 3))):
        record = edited(draw, record, record)
    return template, record
