"""Respiration, a plethysmogram and their numbers for a demonstration: computed from the heartbeats of a recording.

Nothing of it is measured. ``with_vitals`` adds the signals to the recording; ``DemoVitals`` publishes the numbers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from ..features import HeartDetector
from ..other_signals import ecg_rows
from ..protocol import MessageType
from ..records import Record, RecordError
from ..records.record import check_one_unit
from .player import Publish

BREATHS: Final = 15.0
"""Breaths a minute, before they are rounded to a whole number in a round of the recording."""

SATURATION: Final = 97
"""Oxygen saturation in percent."""

DELAY: Final = 0.2
"""Seconds from an R peak to the beginning of the pulse at the finger."""

PULSE: Final = ((0.14, 0.06, 1.0), (0.36, 0.08, 0.35))
"""The waves of a pulse: seconds from its beginning, width in seconds, height."""

LONGEST: Final = 3600.0
"""Seconds of a recording for which signals are computed."""

_COUNTS: Final = 8000
"""ADC counts of a unit of the computed signals."""


class Vitals(NamedTuple):
    """Numbers that go with the signals.

    Attributes:
        respiration_rate: breaths a minute.
        pulse_rate: pulses a minute.
        saturation: oxygen saturation in percent.
    """

    respiration_rate: float
    pulse_rate: float
    saturation: float


def with_vitals(record: Record, played: range | None = None) -> tuple[Record, Vitals]:
    """Add RESP (in ohm) and PLETH (without a dimension, NU) to a recording, without a jump where it is looped.

    Args:
        record: the recording, in a voltage.
        played: the samples that are played in a loop; all by default.

    Returns:
        The recording with two more leads, and the numbers that fit them.

    Raises:
        RecordError: no heartbeats are found, the leads have several units or no calibration, or it is too long.
    """
    where = record.source or "record"
    check_one_unit(record, "a demonstration of vital signs (--vitals)")
    if record.duration > LONGEST:
        raise RecordError(f"{where}: vital signs (--vitals) are computed for at most {LONGEST / 60:g} minutes")
    if record.is_counts and record.gain is None:
        raise RecordError(f"{where}: vital signs (--vitals) need samples in mV, or a gain (--gain)")
    start, stop = (0, record.samples) if played is None else (played.start, played.stop)
    length, rate = stop - start, record.sampling_rate
    peaks = [peak - start for peak in _peaks(record) if start <= peak < stop]
    if not peaks:
        raise RecordError(f"{where}: no heartbeats are found, of which vital signs (--vitals) are computed")
    seconds = length / rate
    breaths = max(1, round(seconds * BREATHS / 60))
    places = (np.arange(record.samples) - start) % length
    resp = 1.0 + 0.4 * np.sin(2 * np.pi * breaths * places / length)
    pleth = _pulses(peaks, length, rate)[places]
    vitals = Vitals(60 * breaths / seconds, 60 * len(peaks) / seconds, SATURATION)
    return _with_leads(record, np.stack([resp, pleth])), vitals


def _peaks(record: Record) -> list[int]:
    """Return the samples of the R peaks."""
    rows = ecg_rows(record.leads, [record.units] * len(record.leads))
    if not rows:
        return []
    try:
        detector = HeartDetector(record.sampling_rate, [record.leads[row] for row in rows])
    except ValueError as error:
        raise RecordError(f"{record.source or 'record'}: {error}") from error
    beats = detector.feed(record.physical()[rows])
    # The last beats of a recording are found a moment after its end.
    beats += detector.feed(np.zeros((len(rows), int(2 * record.sampling_rate))))
    return [int(beat.sample) for beat in beats if beat.sample < record.samples]


def _pulses(peaks: Sequence[int], length: int, rate: float) -> npt.NDArray[np.float64]:
    """Return a round of the plethysmogram: a pulse after each beat; the last ones continue at the beginning."""
    signal = np.full(length, 0.2)
    span = np.arange(round(0.8 * rate))
    pulse = sum(height * np.exp(-(((span / rate - at) / wide) ** 2)) for at, wide, height in PULSE)
    for peak in peaks:
        np.add.at(signal, (peak + round(DELAY * rate) + span) % length, 0.6 * pulse)
    return signal


def _with_leads(record: Record, values: npt.NDArray[np.float64]) -> Record:
    units = (*(record.units,) * len(record.leads), "Ohm", "NU")
    leads = (*record.leads, "RESP", "PLETH")
    if not record.is_counts or record.gain is None or record.baseline is None:
        signal = np.concatenate([record.signal, values.astype(record.signal.dtype)])
        return replace(record, signal=signal, leads=leads, lead_units=units)
    counts = np.concatenate([record.signal, np.round(values * _COUNTS).astype(record.signal.dtype)])
    gain, baseline = (*record.gain, _COUNTS, _COUNTS), (*record.baseline, 0, 0)
    return replace(record, signal=counts, leads=leads, lead_units=units, gain=gain, baseline=baseline)


class DemoVitals:
    """Publishes the numbers on every stream as FEATURE_DATA, with the names of IEEE 11073, once a second.

    Args:
        streams: names of the streams.
        publish: takes a stream, a message type and the data.
        vitals: the numbers.
        wall_clock: returns Unix seconds.
    """

    def __init__(
        self,
        streams: Sequence[str],
        publish: Publish,
        vitals: Vitals,
        *,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._streams = streams
        self._publish = publish
        self._vitals = vitals
        self._wall_clock = wall_clock

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            numbers = self._numbers()
            await asyncio.gather(
                *[self._publish(stream, MessageType.FEATURE_DATA, {**numbers}) for stream in self._streams]
            )
            await asyncio.sleep(1)

    def _numbers(self) -> dict[str, Any]:
        respiration, pulse, saturation = self._vitals
        return {
            "features": {
                "MDC_PULS_OXIM_SAT_O2": saturation,
                "MDC_RESP_RATE": round(respiration),
                "MDC_PULS_OXIM_PULS_RATE": round(pulse),
            },
            "units": {"MDC_PULS_OXIM_SAT_O2": "%", "MDC_RESP_RATE": "/min", "MDC_PULS_OXIM_PULS_RATE": "/min"},
            "origin": "demonstration, not measured",
            "timestamp": self._wall_clock() - 1,
            "window": 1.0,
        }
