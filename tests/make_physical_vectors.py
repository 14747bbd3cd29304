"""Write vectors/physical.json: data of ECG_DATA in each form that senders choose, and its physical values.

    python tests/make_physical_vectors.py

The values are worked out by hand, here; ``messages/test_physical.py`` and the TypeScript client read the file.
"""

import json
from pathlib import Path

import numpy as np
import oracle

VECTORS = Path(__file__).parent / "vectors" / "physical.json"
NAN, INF = float("nan"), float("inf")
RATE = {"sampling_rate": 250}

COUNTS = [[100, -200, 300], [0, 50, -32768]]
# Of COUNTS with gain 200 and 100, baseline 0 and 50.
CALIBRATED = [[0.5, -1.0, 1.5], [-0.5, 0.0, -328.18]]

ACCEPTED = [
    ("a list is one lead", {"signal": [0.5, -1, 2]}, [[0.5, -1.0, 2.0]]),
    ("a list of lists", {"signal": [[0.5, 1], [2, 3]]}, [[0.5, 1.0], [2.0, 3.0]]),
    ("no samples", {"signal": []}, [[]]),
    ("two leads without samples", {"signal": [[], []]}, [[], []]),
    ("NaN is a missing sample", {"signal": [1.0, NAN, 3.0], "gain": 2, "baseline": 1}, [[0.0, NAN, 1.0]]),
    ("infinities stay", {"signal": [INF, -INF, 1], "gain": -2}, [[-INF, INF, -0.5]]),
    ("integers beyond 2^53 are rounded once", {"signal": [2**53 + 1, 2**63 + 1025]}, [[2.0**53, 2.0**63 + 2048]]),
    ("gain a number", {"signal": COUNTS, "gain": 100}, [[1.0, -2.0, 3.0], [0.0, 0.5, -327.68]]),
    ("gain a float, baseline a number", {"signal": [[3, 5]], "gain": 0.5, "baseline": -1}, [[8.0, 12.0]]),
    ("one a lead, as lists", {"signal": COUNTS, "gain": [200, 100.0], "baseline": [0, 50]}, CALIBRATED),
    (
        "one a lead, as arrays",
        {"signal": COUNTS, "gain": np.array([200.0, 100.0]), "baseline": np.array([0, 50], "i2")},
        CALIBRATED,
    ),
    ("one number for one lead, in a list", {"signal": [1, 2], "gain": [4], "baseline": [1]}, [[0.0, 0.25]]),
    ("a baseline without gain", {"signal": [1, 2], "baseline": 1}, [[0.0, 1.0]]),
    ("nil for what may be left out", {"signal": [1, 2], "gain": None, "baseline": None}, [[1.0, 2.0]]),
    ("no leads", {"signal": np.zeros((0, 3), "i2"), "gain": []}, []),
    *[
        (
            f"an array of {dtype}",
            {"signal": np.array(COUNTS, dtype), "gain": [200, 100], "baseline": np.array([0, 50])},
            CALIBRATED,
        )
        for dtype in ("int16", "int32", "int64", ">i2", ">f4", "float32", "float64")
    ],
    ("an array of uint8", {"signal": np.array([0, 255], "u1"), "baseline": 128, "gain": 64}, [[-2.0, 1.984375]]),
    ("an array of uint64", {"signal": np.array([2**64 - 1], "u8")}, [[2.0**64]]),
    ("an array of float16", {"signal": np.array([[0.5], [NAN]], "f2"), "gain": 2}, [[0.25], [NAN]]),
    ("an array of one dimension", {"signal": np.array([2.5, NAN, -4], "f4")}, [[2.5, NAN, -4.0]]),
    ("a missing count", {"signal": [[5, -7, 9]], "gain": 2, "missing": -7}, [[2.5, NAN, 4.5]]),
    ("a missing count in each lead", {"signal": COUNTS, "missing": -32768}, [[100.0, -200.0, 300.0], [0.0, 50.0, NAN]]),
    ("a missing count of an array", {"signal": np.array([1, 2**15 - 1], "i2"), "missing": 2**15 - 1}, [[1.0, NAN]]),
    ("a missing count of 64 bits", {"signal": np.array([2, -(2**63)], "i8"), "missing": -(2**63)}, [[2.0, NAN]]),
    ("a missing count that no sample has", {"signal": [1, 2], "missing": 3, "baseline": 1}, [[0.0, 1.0]]),
    ("nil for no missing count", {"signal": [1, 2], "missing": None}, [[1.0, 2.0]]),
    (
        "three leads of one sample",
        {"signal": np.array([[1], [2], [3]], "i1"), "gain": [1, 2, 4]},
        [[1.0], [1.0], [0.75]],
    ),
]

REFUSED = [
    ("no signal", {"gain": 1}, "0x201", "data"),
    ("a signal of nil", {"signal": None}, "0x201", "data"),
    ("text", {"signal": "1 2"}, "0x200", 'data["signal"]'),
    ("a number", {"signal": 1}, "0x200", 'data["signal"]'),
    ("text among numbers", {"signal": [1, "2"]}, "0x200", None),
    ("nil among numbers", {"signal": [1, None]}, "0x200", None),
    ("a boolean among numbers", {"signal": [[1, True]]}, "0x200", None),
    ("rows of different length", {"signal": [[1], [1, 2]]}, "0x200", None),
    ("rows and numbers", {"signal": [[1], 2]}, "0x200", None),
    ("an array without dimensions", {"signal": np.array(1.0)}, "0x200", 'data["signal"]'),
    ("an array of three dimensions", {"signal": np.zeros((1, 1, 1))}, "0x200", 'data["signal"]'),
    ("an array of booleans", {"signal": np.array([True])}, "0x200", 'data["signal"]'),
    *[
        (f"{name}: {what}", {"signal": [[1, 2], [3, 4]], name: value}, "0x200", None)
        for name in ("gain", "baseline")
        for what, value in (
            ("text", "1"),
            ("a boolean", True),
            ("NaN", NAN),
            ("infinite", INF),
            ("one too few", [1]),
            ("one too many", [1, 2, 3]),
            ("nil among numbers", [1, None]),
            ("a boolean among numbers", [1, True]),
            ("NaN among numbers", [1, NAN]),
            ("an array of two dimensions", np.ones((1, 2))),
            ("an array of booleans", np.array([True, True])),
            ("an array without dimensions", np.array(1.0)),
        )
    ],
    ("a missing count that is text", {"signal": [1], "missing": "1"}, "0x200", 'data["missing"]'),
    ("a missing count that is a boolean", {"signal": [1], "missing": True}, "0x200", 'data["missing"]'),
    ("a missing count with a fraction", {"signal": [1], "missing": 1.5}, "0x200", 'data["missing"]'),
    ("a gain of 0", {"signal": [1], "gain": 0}, "0x200", 'data["gain"]'),
    ("a gain of 0 among others", {"signal": [[1], [1]], "gain": [1, 0.0]}, "0x200", None),
    ("a gain of -0 in an array", {"signal": [[1], [1]], "gain": np.array([1, -0.0])}, "0x200", None),
]


def vectors():
    for name, data, values in ACCEPTED:
        yield {"name": name, "data": oracle.pack(data | RATE).hex(), "values": written(values)}
    for name, data, code, path in REFUSED:
        yield {"name": name, "data": oracle.pack(data | RATE).hex(), "code": code} | ({"path": path} if path else {})


def written(value):
    if isinstance(value, list):
        return [written(item) for item in value]
    return value if np.isfinite(value) else str(value)


if __name__ == "__main__":
    lines = ",\n".join(json.dumps(vector, ensure_ascii=False) for vector in vectors())
    VECTORS.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
