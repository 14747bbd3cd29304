"""A short recording of two leads, one sample of which is missing, for tests that convert recordings."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from ecgframe.records import Record

START = datetime(2026, 3, 1, 12, 30, 15, 250_001, UTC)


def record(**changes: object) -> Record:
    fields = {
        "signal": np.array([[1024, 1224, 1023, 824], [0, 100, -32768, 50]], np.int16),
        "sampling_rate": 360,
        "leads": ("I", "II"),
        "gain": (200.0, 100.0),
        "baseline": (1024, 0),
        "missing": -32768,
        "start": START,
    }
    return Record(**(fields | changes))
