"""Write vectors/heartbeats.json: signals, and what the detector tells of them, for its twin in TypeScript.

    python tests/make_heart_vectors.py

What stands there is what Python's detector tells; ``features/test_heart_vectors.py`` says whether it still does.
"""

import base64
import json
import zlib
from pathlib import Path

import numpy as np
from heart_signals import QRS, SINUS, WIDE, beats_at, ecg, fibrillation, noise, spikes

from ecgframe.features import HeartDetector

VECTORS = Path(__file__).parent / "vectors" / "heartbeats.json"
MISSING = -(2**15)


def signals():
    """Name, sampling rate, leads, microvolts as int16 [leads, samples], marked pacing spikes."""
    rng = np.random.default_rng(2026)
    for name, rate, leads, size in (
        ("everything at 125 Hz", 125, ("II",), 0.02),
        ("everything at 250 Hz in three leads", 250, ("I", "MLII", "V1"), 0.02),
        ("everything at 360 Hz", 360, ("V1",), 0.05),
        ("everything at 500 Hz in two leads", 500, ("V5", "II"), 0.1),
    ):
        rows = [_everything(rate, size, 0.4 + 0.6 * lead, rng) for lead in range(len(leads))]
        yield name, rate, leads, _microvolts(np.stack(rows)), []
    fast = ecg(beats_at(280, 0, 8), 8, 250, QRS)
    yield "280 a minute", 250, ("II",), _microvolts(fast[None]), []
    wide = np.concatenate([ecg(beats_at(190, 0, 10), 10, 250, WIDE), ecg(beats_at(15, 0, 17), 17, 250)])
    yield "tachycardia, then 15 a minute", 250, ("II",), _microvolts(wide[None]), []
    at = beats_at(70, 0, 8)
    pacing = (
        ecg(beats_at(70, 0, 4), 8, 1000)
        + spikes(at, 0.009, 5, 8, 1000)
        + spikes(np.array(at) + 0.2, 0.002, -5, 8, 1000)
    )
    yield "marked pacing spikes", 1000, ("II",), _microvolts(pacing[None]), [round(second * 1000) for second in at]
    moved = ecg(beats_at(75, 0, 12), 12, 250)
    moved[1000:] += 25
    moved[1500:1700] = 31
    muscle = np.stack([ecg(beats_at(75, 0, 12), 12, 250) for _ in range(2)])
    muscle[1, 1000:] += rng.normal(0, 0.6, 2000)
    yield "muscle in the preferred lead", 250, ("I", "II"), _microvolts(muscle), []
    paced = np.stack([ecg(np.array(at) + 0.05, 8, 500, WIDE), np.zeros(4000)]) + rng.normal(0, 0.02, (2, 4000))
    two = spikes(at, 0.001, 2, 8, 500) + spikes(np.array(at[::2]) - 0.15, 0.002, -3, 8, 500)
    paced += np.outer((1, -0.6), two)
    yield "pacing spikes that nobody marks, in two leads", 500, ("II", "V1"), _microvolts(paced), []
    off = ecg(beats_at(75, 0, 6), 14, 250) + rng.normal(0, 0.01, 14 * 250)
    off[int(6.2 * 250) : 12 * 250] = 0.1
    yield "all leads flat soon after a beat", 250, ("II",), _microvolts(off[None]), []
    yield "an electrode that moves, and the end of the range", 250, ("aVF",), _microvolts(moved[None]), []
    burst = ecg(beats_at(75, 0, 14), 14, 250)
    burst[5 * 250 : 9 * 250] += rng.normal(0, 0.6, 4 * 250)
    yield "muscle in the only lead", 250, ("II",), _microvolts(burst[None]), []
    slow = ecg(beats_at(40, 0, 20), 20, 250)
    slow[6 * 250 : 12 * 250] += rng.normal(0, 0.6, 6 * 250)
    yield "a slow heart after muscle", 250, ("II",), _microvolts(slow[None]), []


def _everything(rate, size, height, rng):
    """Beats, silence, fibrillation, beats again; gaps and single missing samples."""
    parts = [
        height * ecg(beats_at(80, 0, 8), 8, rate, SINUS),
        np.zeros(5 * rate),
        fibrillation("sum", 0.6 * height, 5 * rate, rate, rng),
        height * ecg(beats_at(110, 0, 9), 9, rate, SINUS),
    ]
    signal = np.concatenate(parts)
    signal += noise("smoothed", size, len(signal), rate, rng)
    signal[rng.random(len(signal)) < 0.02] = np.nan
    for second in rng.uniform(1, 26, 4):
        signal[int(second * rate) : int((second + rng.uniform(0.02, 0.3)) * rate)] = np.nan
    begin = int(rng.uniform(20, 22) * rate)
    signal[begin : begin + int(rng.uniform(0.6, 2.5) * rate)] = rng.choice([np.nan, 0.0, 4.0])
    return signal


def _microvolts(signal):
    return np.where(np.isnan(signal), MISSING, np.round(np.nan_to_num(signal) * 1000)).astype("<i2")


def millivolts(microvolts):
    return np.where(microvolts == MISSING, np.nan, microvolts / 1000)


def told(detector, signal, pacing, chunks):
    """Its beats, its status after every half second, and the pacing spikes that it saw."""
    beats, looks, seen, at, half = [], [], [], 0, int(detector.sampling_rate / 2)
    while at < signal.shape[1]:
        end = min(at + next(chunks), signal.shape[1], at - at % half + half)
        here = [mark - at for mark in pacing if at <= mark < end]
        beats += [
            [one.sample, one.lead, one.amplitude, one.interval] for one in detector.feed(signal[:, at:end], pacing=here)
        ]
        seen += [[one.sample, one.lead, one.amplitude] for one in detector.take_pacing_spikes()]
        at = end
        if at % half == 0:
            s = detector.status
            looks.append(
                [
                    s.rate_bpm,
                    s.seconds_since_beat,
                    str(s.rhythm),
                    s.lead,
                    [str(one) for one in s.signal_quality],
                    s.silent_seconds,
                ]
            )
    return beats, looks, seen


def unpacked(vector):
    """Microvolts, int16 [leads, samples]."""
    octets = zlib.decompress(base64.b64decode(vector["signal"]))
    return np.frombuffer(octets, "<i2").reshape(len(vector["leads"]), -1)


def main():
    vectors = []
    for name, rate, leads, microvolts, pacing in signals():
        beats, looks, seen = told(HeartDetector(rate, leads), millivolts(microvolts), pacing, iter(lambda: 10**9, None))
        packed = base64.b64encode(zlib.compress(microvolts.tobytes(), 9)).decode()
        vectors.append(
            {
                "name": name,
                "sampling_rate": rate,
                "leads": leads,
                "pacing": pacing,
                "signal": packed,
                "beats": beats,
                "looks": looks,
                "pacing_seen": seen,
            }
        )
    VECTORS.write_text(
        json.dumps(vectors, indent=None, separators=(",", ":")).replace('{"name"', '\n{"name"') + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
