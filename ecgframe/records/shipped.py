"""The recording that ships with the package. ``ecgframe/data/README.md`` states its origin."""

from __future__ import annotations

from importlib.resources import files

import numpy as np

from .record import Record

SOURCE = "the shipped 12-lead ECG"


def shipped_ecg() -> Record:
    """Return the ECG that ships with the package: 12 leads at rest, 10 s at 1000 Hz, int16 counts of 1.25 µV."""
    with (files("ecgframe.data") / "ecg12.npz").open("rb") as file, np.load(file) as stored:
        return Record(
            # stored as differences between samples, which compress to two thirds of the size
            signal=np.cumsum(stored["differences"], axis=1, dtype=np.int16),
            sampling_rate=float(stored["sampling_rate"]),
            leads=tuple(map(str, stored["leads"])),
            units="mV",
            gain=tuple(stored["gain"].tolist()),
            baseline=tuple(stored["baseline"].tolist()),
            source=SOURCE,
        )
