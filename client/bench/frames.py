"""Prints the frames that the benchmark reads, made by the Python codec, with the same data as JSON, as one JSON object.

The messages are one second of the shipped 12-lead ECG at 500 Hz, in millivolts (short decimals, as a converter's counts
give) and behind a filter (decimals of full length), and its counts; and 50 ms of those.
"""

from __future__ import annotations

import json

import numpy as np

from ecgframe import Codec, MessageType
from ecgframe.records import shipped_ecg

KERNEL = np.array([1, 4, 6, 4, 1]) / 16.1


def main() -> None:
    """Print them."""
    record = shipped_ecg()
    millivolts = np.ascontiguousarray(record.physical()[:, ::2][:, :500], np.float64)
    filtered = np.array([np.convolve(lead, KERNEL, "same") for lead in millivolts])
    counts = np.ascontiguousarray(record.signal[:, ::2][:, :500], np.int16)
    messages = {"mV": millivolts, "filtered mV": filtered, "counts": counts, "counts of 50 ms": counts[:, :25]}
    print(json.dumps({name: forms(np.ascontiguousarray(signal)) for name, signal in messages.items()}))


def forms(signal: np.ndarray) -> dict[str, str]:
    """The message in each form: frames in hexadecimal, and the text of the same data."""
    data = {"signal": signal, "sampling_rate": 500, "timestamp": 1705320000.25, "stream": "ecg/bed-7", "units": "mV"}
    frames = {
        form: Codec(ndarray=form, compression=None).encode(MessageType.ECG_DATA, data, timestamp=1).hex()
        for form in ("list", "binary")
    }
    deflated = Codec(ndarray="binary").encode(MessageType.ECG_DATA, data, timestamp=1).hex()
    text = json.dumps({**data, "signal": signal.tolist()}, separators=(",", ":"))
    return {**frames, "binary, deflated": deflated, "json": text}


if __name__ == "__main__":
    main()
