"""The messages of the benchmarks: the shipped ECG in the sizes that monitors and viewers use."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from ecgframe.records import shipped_ecg

DTYPES = ["float64", "float32", "int16"]


@dataclass(frozen=True)
class Size:
    """Number of leads and samples, and the factor by which the record (1000 Hz) is decimated."""

    leads: int
    samples: int
    every: int

    def __str__(self) -> str:
        return f"{self.leads}\N{MULTIPLICATION SIGN}{self.samples}"

    @property
    def id(self) -> str:
        return f"{self.leads}x{self.samples}"

    @property
    def rows(self) -> slice:
        """The leads of the record: lead II, if there is only one."""
        return slice(1, 2) if self.leads == 1 else slice(self.leads)


ONE_LEAD = Size(1, 250, every=4)
"""A second of one lead at 250 Hz, as from a bedside monitor."""
ONE_SECOND = Size(12, 500, every=2)
"""A second of twelve leads at 500 Hz."""
TEN_SECONDS = Size(12, 5000, every=2)
"""A whole resting ECG: ten seconds of twelve leads at 500 Hz."""
SIZES = [ONE_LEAD, ONE_SECOND, TEN_SECONDS]


@cache
def signal(size: Size, dtype: str) -> np.ndarray:
    """Return samples, [leads, samples], C-contiguous: floats in millivolts, or integer ADC counts."""
    record = shipped_ecg()
    source = record.signal if np.dtype(dtype).kind == "i" else record.physical()
    cut = source[size.rows, :: size.every][:, : size.samples]
    assert cut.shape == (size.leads, size.samples)
    return np.ascontiguousarray(cut, dtype)


def message(size: Size, dtype: str, form: str = "ndarray") -> dict:
    """Return an ECG_DATA message whose signal is an ndarray or, for ``form="list"``, nested lists."""
    record, samples = shipped_ecg(), signal(size, dtype)
    data = {
        "signal": samples if form == "ndarray" else samples.tolist(),
        "sampling_rate": record.sampling_rate / size.every,
        "timestamp": 1705320000.25,
        "stream": "ecg/bed-7",
        "leads": list(record.leads[size.rows]),
        "units": "mV",
    }
    return data | ({"gain": record.gain[0], "baseline": record.baseline[0]} if dtype == "int16" else {})


def same(left: object, right: object) -> bool:
    """Return whether values are equal, including types, dtypes and shapes."""
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        return left.dtype == right.dtype and np.array_equal(left, right)
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return type(left) is type(right) and left == right
