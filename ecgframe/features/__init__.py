"""Heartbeats, heart rate and rhythm of a live ECG, detected sample by sample, as a monitor does.

This package does not depend on the protocol, and requires only NumPy. ``client/src/features`` is the same detector in
TypeScript; both give the same beats and states, sample for sample. Not a medical device.
"""

from .heart_detector import HeartDetector
from .pacing_spikes import PacingSpike
from .status import Beat, HeartStatus, Rhythm, SignalQuality

__all__ = ["Beat", "HeartDetector", "HeartStatus", "PacingSpike", "Rhythm", "SignalQuality"]
