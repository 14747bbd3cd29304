"""Electrocardiograms made by hand, in mV: beats, silence, noise, fibrillation, pacing spikes."""

import numpy as np

P, Q, R, S, T = (-0.16, 0.02, 0.12), (-0.026, 0.008, -0.1), (0.0, 0.011, 1.1), (0.028, 0.009, -0.22), (0.24, 0.045, 0.3)
SINUS = (P, Q, R, S, T)
"""Waves of a beat: seconds from the R peak, standard deviation in seconds, mV."""
QRS = (Q, R, S)
WIDE = ((0.0, 0.035, 1.2), (0.12, 0.05, -0.5))
"""A ventricular beat."""


def beats_at(bpm, begin, end):
    return list(np.arange(begin + 0.3, end - 0.3, 60 / bpm))


def ecg(beats, seconds, rate, waves=SINUS):
    """The sum of the waves of the beats at these seconds."""
    time = np.arange(round(seconds * rate)) / rate
    signal = np.zeros(len(time))
    for beat in beats:
        part = slice(max(0, int((beat - 0.6) * rate)), max(0, int((beat + 0.8) * rate)))
        for at, width, height in waves:
            signal[part] += height * np.exp(-(((time[part] - beat - at) / width) ** 2) / 2)
    return signal


def noise(kind, size, count, rate, rng):
    """Noise of an electrode. `size` in mV is the root mean square of random noise, or the amplitude of hum."""
    time = np.arange(count) / rate
    wander = rng.uniform(0.1, 0.3) * np.sin(2 * np.pi * rng.uniform(0.15, 0.4) * time + rng.uniform(0, 6))
    match kind:
        case "white":
            return wander + rng.normal(0, size, count)
        case "smoothed":
            smoothed = np.convolve(rng.normal(0, 1, count + 4), np.ones(5) / 5, "valid")
            return wander + size * smoothed / smoothed.std()
        case "50 Hz" | "60 Hz":
            return wander + size * np.sin(2 * np.pi * int(kind[:2]) * time + rng.uniform(0, 6))
    raise ValueError(kind)


def fibrillation(kind, size, count, rate, rng):
    """Irregular waves of 4 to 7 Hz, about `size` mV high."""
    time = np.arange(count) / rate
    if kind == "sum":
        waves = [np.sin(2 * np.pi * rng.uniform(4, 7) * time + rng.uniform(0, 6)) for _ in range(4)]
        return size * np.sum(waves, axis=0) / 2.2
    steps = np.arange(0, count / rate + 1, 0.25)
    frequency = np.interp(time, steps, rng.uniform(4, 7, len(steps)))
    height = np.interp(time, steps, rng.uniform(0.5, 1.2, len(steps)))
    return size * height * np.sin(2 * np.pi * np.cumsum(frequency) / rate)


def spikes(at, width, size, seconds, rate):
    """Pacing spikes at these seconds, `width` seconds wide."""
    signal = np.zeros(round(seconds * rate))
    for second in at:
        begin = int(second * rate)
        signal[begin : begin + max(1, round(width * rate))] = size
    return signal


def watch(detector, signal, step=0.1):
    """Feed as it comes; gives the beats, and what is told from look to look: seconds and status."""
    signal = np.atleast_2d(signal)
    count = max(1, round(step * detector.sampling_rate))
    beats, looks = [], []
    for begin in range(0, signal.shape[1], count):
        beats += detector.feed(signal[:, begin : begin + count])
        looks.append((min(begin + count, signal.shape[1]) / detector.sampling_rate, detector.status))
    return beats, looks
