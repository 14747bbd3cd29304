from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import numpy as np
import pytest

from ecgframe.tools.value_summary import as_array, in_json, in_words, sparkline

MOMENT = datetime(2026, 1, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.array([[0, 1, 2, 3], [0, 0, 0, 9]], "int16"), "int16 [2, 4], 0 to 9  ▁▃▆█"),
        (np.array([1.5, np.nan, -1.5]), "float64 [3], -1.5 to 1.5, 1 missing  █ ▁"),
        (np.array([], "float32"), "float32 [0]"),
        (np.array([True, False]), "bool [2]  █▁"),
        (np.array(7), "int64 [], 7 to 7  ▁"),
        (list(range(20)), f"list of int64 [20], 0 to 19  {sparkline(np.arange(20))}"),
        ([1, 2], "[1, 2]"),
        (["I", "II"], '["I", "II"]'),
        ({"a": None, 1: True}, '{"a": nil, 1: true}'),
        ("x" * 300, f'"{"x" * 200}…"'),
        ("\x1b[31mred", '"\\x1b[31mred"'),
        (b"abc", "3 bytes"),
        (MOMENT, "2026-01-15T00:00:00+00:00"),
        (UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (["x"] * 18, "[" + '"x", ' * 16 + "… 2 more]"),
        ([[[[[1]]]]], "[[[[[1 entries]]]]]"),
        (None, "nil"),
        (2**70, str(2**70)),
        ({"a": np.zeros(2)}, '{"a": float64 [2], 0 to 0  ▁▁}'),
    ],
)
def test_in_words(value, words):
    assert in_words(value) == words


def test_a_sparkline_keeps_the_peak_between_two_blocks():
    beat = np.zeros(4000)
    beat[1777] = 5
    assert sparkline(beat).count("█") == 1
    assert len(sparkline(beat)) == 40


@pytest.mark.parametrize("value", [[], [[]], [1, "a"], [[1], [1, 2]], [[1], 2], [True], None, [1.5, 2**2000]])
def test_maps_that_are_no_valid_arrays_are_shown_as_maps(value):
    assert as_array(value) is None


def test_in_json():
    assert in_json({1: np.array([1, 2]), "raw": b"ab", "at": MOMENT, "id": UUID(int=0), "x": [1, "a"]}) == {
        "1": {"dtype": "int64", "shape": [2], "min": 1, "max": 2, "missing": 0},
        "raw": {"bytes": 2},
        "at": MOMENT.isoformat(),
        "id": str(UUID(int=0)),
        "x": [1, "a"],
    }
    assert in_json([0.5] * 20)["shape"] == [20]
