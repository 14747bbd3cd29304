"""A stream with other signals beside the ECG: respiration, a plethysmogram and a blood pressure, each in its unit."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

RATE, SAMPLES = 250, 25
LEADS = ("II", "V1", "RESP", "PLETH", "ABP")
UNITS = ("mV", "mV", "Ohm", "NU", "mmHg")
GAIN = (200.0, 200.0, 1000.0, 2000.0, 20.0)
BASELINE = (0, 0, 0, 0, -1000)


def physical(at: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The values at these times in seconds, [leads, samples], each in its unit: 75 beats and 15 breaths a minute."""
    phase = (at % 0.8) / 0.8
    beat = np.exp(-(((phase - 0.3) / 0.02) ** 2)) + 0.25 * np.exp(-(((phase - 0.65) / 0.06) ** 2))
    pulse = np.exp(-(((phase - 0.6) / 0.12) ** 2)) + 0.4 * np.exp(-(((phase - 0.85) / 0.1) ** 2))
    breath = np.sin(2 * np.pi * at / 4)
    return np.stack([beat, -0.7 * beat, 0.5 + 0.4 * breath, 0.2 + 0.6 * pulse, 80 + 42 * pulse])


def mixed(number: int) -> dict[str, Any]:
    """The fields of the message of that number, as ADC counts."""
    values = physical((np.arange(SAMPLES) + number * SAMPLES) / RATE)
    counts = np.round(values * np.array(GAIN)[:, None] + np.array(BASELINE)[:, None]).astype(np.int16)
    taken = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=SAMPLES / RATE)
    return {
        "signal": counts,
        "sampling_rate": RATE,
        "leads": list(LEADS),
        "units": "mV",
        "lead_units": list(UNITS),
        "gain": list(GAIN),
        "baseline": list(BASELINE),
        "timestamp": taken,
        "sequence": number,
    }


def numbers() -> dict[str, Any]:
    """The fields of a FEATURE_DATA message with the numbers that fit the signals."""
    features = {"MDC_PULS_OXIM_SAT_O2": 97, "MDC_RESP_RATE": 15, "MDC_PULS_OXIM_PULS_RATE": 75, "ABP mean": 93.4}
    now = datetime.datetime.now(datetime.UTC).timestamp()
    return {"features": features, "units": {"ABP mean": "mmHg"}, "timestamp": now - 1, "window": 1.0}
