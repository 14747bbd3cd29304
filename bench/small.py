"""Small messages, as most are: maps of a few fields, and a frame of 50 ms. ``python -m bench.small`` prints each row.

Each row is one comparison: candidates take turns in one process, and the ratio is that of their fastest slices. Rows of
maps compare a complete frame, checks included, with the bare payload of the fastest other library.
"""

import argparse
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from ecgframe import Codec, Compression, MessageType, crc32, pack, split

from . import core, ecg, peers
from .measuring import Call, Effort, time_together

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")

ALERT = {
    "kind": "ventricular_tachycardia",
    "timestamp": 1705320000.25,
    "severity": "critical",
    "confidence": 0.97,
    "message": "Wide-complex tachycardia at 182 bpm",
    "stream": "ecg/bed-7",
    "start": 1705319992.5,
    "end": 1705319999.75,
    "lead": "V2",
}
PREDICTION = {
    "label": "atrial_fibrillation",
    "probabilities": {"sinus_rhythm": 0.03, "atrial_fibrillation": 0.91, "atrial_flutter": 0.04, "other": 0.02},
    "timestamp": 1705320000.25,
    "model": "rhythm-net 2.3",
    "confidence": 0.91,
}
FEATURES = {
    "features": {
        f"{name}_{lead}": round(0.137 * i + 0.01 * j, 3)
        for i, name in enumerate(("st_level", "r_amplitude", "t_amplitude"))
        for j, lead in enumerate(LEADS)
    }
    | {"heart_rate": 71.5, "rmssd": 38.2, "sdnn": 51.1, "pnn50": 0.12, "qt": 0.384, "qtc": 0.421, "pr": 0.158}
    | {"rr_intervals": [0.836, 0.841, 0.829, 0.833, 0.847, 0.838, 0.831, 0.842]},
    "timestamp": 1705320000.25,
    "window": 10.0,
    "stream": "ecg/bed-7",
}
MAPS = {
    "alert": (MessageType.ANOMALY_ALERT, ALERT),
    "prediction": (MessageType.PREDICTION_RESULT, PREDICTION),
    "features": (MessageType.FEATURE_DATA, FEATURES),
    "heartbeat": (MessageType.HEARTBEAT, {"timestamp": 1705320000.25}),
}
FIFTY_MS = ecg.Size(12, 25, every=2)


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        name: what is compared.
        ours: nanoseconds of ecgframe.
        other: nanoseconds of the other candidate.
        than: its name.
    """

    name: str
    ours: float
    other: float
    than: str

    @property
    def ratio(self) -> float:
        """Time of ecgframe in times of the other candidate."""
        return self.ours / self.other

    def __str__(self) -> str:
        return f"{self.name}: {self.ours:,.0f} ns, {self.ratio:.2f} times {self.than} ({self.other:,.0f} ns)"


def rows(effort: Effort) -> Iterator[Row]:
    """Measure the rows one after the other."""
    for name, (kind, message) in MAPS.items():
        yield from _map_rows(name, kind, message, effort)
    yield from _signal_rows(effort)
    yield from _large_rows(effort)
    yield from _compressed_rows(effort)


def _map_rows(name: str, kind: MessageType, message: dict[str, Any], effort: Effort) -> Iterator[Row]:
    frame = Codec(compression=None).encode(kind, message)
    calls: dict[str, Call] = {
        "decode": partial(Codec(compression=None).decode, frame),
        "validate": partial(Codec(compression=None, validate=True).decode, frame),
    }
    others = {peer.name: partial(peer.decode, pack(message)) for peer in _map_peers()}
    found = time_together(calls | others, effort)
    ours = 1e9 * found["decode"].best
    if others:
        best = min(others, key=lambda other: found[other].best)
        yield Row(f"decode {name}", ours, 1e9 * found[best].best, best)
    yield Row(f"decode {name}, validate=True", 1e9 * found["validate"].best, ours, "without")


def _map_peers() -> list[peers.Peer]:
    return [peer for peer in peers.OTHERS if peer.name in {"msgspec", "ormsgpack"} and peer.installed]


def _signal_rows(effort: Effort) -> Iterator[Row]:
    message = ecg.message(FIFTY_MS, "int16")
    frames = {form: Codec(compression=None, ndarray=form).encode(MessageType.ECG_DATA, message) for form in FORMS}
    calls: dict[str, Call] = {form: partial(Codec().decode, frame) for form, frame in frames.items()}
    calls |= {f"{form}, validated": partial(Codec(validate=True).decode, frame) for form, frame in frames.items()}
    by_hand = [peer for peer in peers.RAW_BYTES if peer.name.startswith("msgspec") and peer.installed]
    others: dict[str, Call] = {peer.name: partial(peer.decode, peer.encode(message)) for peer in by_hand}
    found = {name: 1e9 * timing.best for name, timing in time_together(calls | others, effort).items()}
    for other in others:
        yield Row(f"decode {FIFTY_MS} int16, binary form", found["binary"], found[other], other)
    yield Row(f"decode {FIFTY_MS} int16, list form", found["list"], found["binary"], "the binary form")
    for form in FORMS:
        yield Row(
            f"decode {FIFTY_MS} int16, {form} form, validate=True", found[f"{form}, validated"], found[form], "without"
        )


FORMS = ("binary", "list")


def _large_rows(effort: Effort) -> Iterator[Row]:
    message = ecg.message(ecg.TEN_SECONDS, "float64")
    frame = Codec(compression=None, ndarray="binary").encode(MessageType.ECG_DATA, message)
    calls: dict[str, Call] = {"decode": partial(Codec().decode, frame), "sum": partial(crc32, split(frame)[1])}
    found = {name: 1e9 * timing.best for name, timing in time_together(calls, effort).items()}
    yield Row(f"decode {ecg.TEN_SECONDS} float64, binary form", found["decode"], found["sum"], "its CRC-32 alone")


def _compressed_rows(effort: Effort) -> Iterator[Row]:
    try:
        inflate: Callable[..., object] = import_module("deflate").zlib_decompress
    except ImportError:
        return
    for dtype in ("float64", "int16"):
        frame = Codec(compression=Compression()).encode(MessageType.ECG_DATA, ecg.message(ecg.ONE_SECOND, dtype))
        payload = bytes(split(frame)[1])
        calls: dict[str, Call] = {
            "decode": partial(Codec().decode, frame),
            "libdeflate": partial(inflate, payload, len(zlib.decompress(payload))),
        }
        found = {name: 1e9 * timing.best for name, timing in time_together(calls, effort).items()}
        name = f"decode {ecg.ONE_SECOND} {dtype}, compressed"
        yield Row(name, found["decode"], found["libdeflate"], "libdeflate alone")


def table(found: list[Row]) -> Iterator[str]:
    """Return the rows as a table in Markdown."""
    yield "| | ecgframe | ratio | compared with | |\n| --- | ---: | ---: | ---: | --- |"
    for row in found:
        yield f"| {row.name} | {row.ours:,.0f} ns | {row.ratio:.2f} | {row.other:,.0f} ns | {row.than} |"


def main() -> None:
    """Print each row as it is measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.small", description=__doc__)
    parser.add_argument("--rounds", type=int, default=Effort().rounds, metavar="N", help="slices of each candidate")
    core.add_option(parser)
    arguments = parser.parse_args()
    core.check(parser, plain=arguments.plain)
    print(f"NumPy {np.__version__}, Python {sys.version.split()[0]}")
    for row in rows(Effort(rounds=arguments.rounds)):
        print(row, flush=True)


if __name__ == "__main__":
    main()
