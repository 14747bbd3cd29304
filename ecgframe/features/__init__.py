"""Heartbeats, heart rate and rhythm of live ECG: what a monitor counts, found as the samples come.

Knows nothing of the protocol, and needs NumPy alone. ``client/src/features`` holds the same in TypeScript, and both
give the same beats and states, sample for sample. Not a medical device.
"""

from .heart_detector import HeartDetector
from .status import Beat, HeartStatus, Rhythm, SignalQuality

__all__ = ["Beat", "HeartDetector", "HeartStatus", "Rhythm", "SignalQuality"]
