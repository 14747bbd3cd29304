"""The messages that the suites send: the shipped ECG, cut and decimated to the sizes that monitors and viewers use."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from ecgframe.records import shipped_ecg

DTYPES = ["float64", "float32", "int16"]


@dataclass(frozen=True)
class Size:
    """So many leads by so many samples, from every nth sample of the record (1000 Hz)."""

    leads: int
    samples: int
    every: int

    def __str__(self) -> str:
        return f"{self.leads}\N{MULTIPLICATION SIGN}{self.samples}"

    @property
    def id(self) -> str:
        return f"{self.leads}x{self.samples}"


ONE_LEAD = Size(1, 250, every=4)
"""A second of one lead at 250 Hz: what a bedside monitor sends."""
ONE_SECOND = Size(12, 500, every=2)
"""A second of twelve leads at 500 Hz."""
TEN_SECONDS = Size(12, 5000, every=2)
"""A whole resting ECG: ten seconds of twelve leads at 500 Hz."""
SIZES = [ONE_LEAD, ONE_SECOND, TEN_SECONDS]


@cache
def signal(size: Size, dtype: str) -> np.ndarray:
    """Floats are millivolts, integers the converter's counts; [leads, samples], C-contiguous."""
    record = shipped_ecg()
    source = record.signal if np.dtype(dtype).kind == "i" else record.physical()
    first = 1 if size.leads == 1 else 0  # lead II, where there is but one
    cut = source[first : first + size.leads, :: size.every][:, : size.samples]
    assert cut.shape == (size.leads, size.samples)
    return np.ascontiguousarray(cut, dtype)


def message(size: Size, dtype: str, form: str = "ndarray") -> dict:
    """An ECG_DATA message, its signal an ndarray or (``form="list"``) nested lists of the same numbers."""
    record, samples = shipped_ecg(), signal(size, dtype)
    first = 1 if size.leads == 1 else 0
    data = {
        "signal": samples if form == "ndarray" else samples.tolist(),
        "sampling_rate": record.sampling_rate / size.every,
        "timestamp": 1705320000.25,
        "stream": "ecg/bed-7",
        "leads": list(record.leads[first : first + size.leads]),
        "units": "mV",
    }
    return data | ({"gain": record.gain[0], "baseline": record.baseline[0]} if dtype == "int16" else {})


def same(left: object, right: object) -> bool:
    """Equal in value and kind, arrays in dtype and shape as well."""
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        return left.dtype == right.dtype and np.array_equal(left, right)
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return type(left) is type(right) and left == right
