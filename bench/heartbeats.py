"""``python -m bench.heartbeats DIRECTORY``: the heartbeat detectors side by side, written into docs/features.md.

The directory holds annotated WFDB records (``.hea``, ``.dat``, ``.atr``), such as those of the MIT-BIH Arrhythmia
Database; the project carries none. Each detector is judged as ANSI/AAMI EC57 asks: a beat is found where a detection
lies within 150 ms of its annotation, each counted once. Peers that are not installed are left out, and said so.
"""

import argparse
import os
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecgframe.features import HeartDetector
from ecgframe.records import read_record, shipped_ecg

DOCS = Path(__file__).parent.parent / "docs" / "features.md"
DIST = Path(__file__).parent.parent / "client" / "dist" / "src" / "index.js"
IN_NODE = """
const { HeartDetector } = await import(process.argv[1]);
const octets = await new Response(process.stdin).arrayBuffer();
const all = new Float64Array(octets), count = all.length / 12;
const rows = Array.from({ length: 12 }, (_, lead) => all.subarray(lead * count, (lead + 1) * count));
const detector = new HeartDetector(500, ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]);
const feed = (from, to) => {
  for (let at = from; at < to; at += 25) detector.feed(rows.map((row) => row.subarray(at, at + 25)));
};
feed(0, count / 4);
const begin = process.cpuUsage();
feed(count / 4, count);
const { user, system } = process.cpuUsage(begin);
console.log((user + system) / ((0.75 * count) / 500));
"""
"""The same in TypeScript's detector: the shipped ECG at 500 Hz, in frames of 50 ms."""
WINDOW = 0.150
"""Seconds between an annotation and a detection of it, at the most."""
BEATS = frozenset("NLRBAaJSVrFejnE/fQ?")
"""WFDB's codes of beats."""
SIZES = (0.0, 0.1, 0.2)
"""mV (root mean square) of the noise that is added: white, smoothed over five samples."""

Detector = Callable[[NDArray[np.float64], float], NDArray[np.int64]]


def ours(signal: NDArray[np.float64], rate: float) -> NDArray[np.int64]:
    """Detect beats in frames of 50 ms. Half a second without samples at the end completes the last beats."""
    detector, frame = HeartDetector(rate, ["II"]), round(0.05 * rate)
    beats = [beat for at in range(0, len(signal), frame) for beat in detector.feed(signal[at : at + frame])]
    beats += detector.skip(round(0.5 * rate))
    return np.array([beat.sample for beat in beats], np.int64)


def peers() -> dict[str, Detector]:
    """Return the other detectors that are installed."""
    found: dict[str, Detector] = {}
    try:
        sleepecg = import_module("sleepecg")
        found["sleepecg"] = lambda signal, rate: np.asarray(sleepecg.detect_heartbeats(signal, rate), np.int64)
    except ImportError:
        print("left out: sleepecg is not installed")
    processing = import_module("wfdb.processing")
    found["wfdb xqrs"] = lambda signal, rate: processing.xqrs_detect(signal, rate, verbose=False)
    found["wfdb gqrs"] = processing.gqrs_detect
    return found


def found(reference: NDArray[np.int64], detections: NDArray[np.int64], rate: float) -> int:
    """Return the number of annotated beats with a detection of their own, in order of time."""
    count, at = 0, 0
    for beat in reference:
        while at < len(detections) and detections[at] < beat - WINDOW * rate:
            at += 1
        if at < len(detections) and detections[at] <= beat + WINDOW * rate:
            count, at = count + 1, at + 1
    return count


def records(directory: Path) -> Iterator[tuple[str, NDArray[np.float64], float, NDArray[np.int64]]]:
    """Name, first lead in mV, sampling rate and annotated beats of each record."""
    wfdb = import_module("wfdb")
    for header in sorted(directory.glob("*.hea")):
        path = header.with_suffix("")
        if not path.with_suffix(".atr").exists():
            continue
        record = read_record(path)
        annotation = wfdb.rdann(str(path), "atr")
        beats = annotation.sample[[symbol in BEATS for symbol in annotation.symbol]]
        yield path.name, np.asarray(record.physical()[0], np.float64), float(record.sampling_rate), beats


def measure(directories: list[Path]) -> Iterator[str]:
    """Yield the lines of the table."""
    detectors = {"ecgframe": ours} | peers()
    yield "| record | beats | noise added | detector | sensitivity | positive predictivity | µs a second |"
    yield "| --- | ---: | ---: | --- | ---: | ---: | ---: |"
    for directory in directories:
        for name, signal, rate, beats in records(directory):
            rng = np.random.default_rng(0)
            white = np.convolve(rng.normal(0, 1, len(signal) + 4), np.ones(5) / 5, "valid")
            for size in SIZES:
                noisy = signal + size * white / white.std()
                for detector, detect in detectors.items():
                    begin = time.process_time()
                    detections = np.sort(detect(noisy, rate))
                    took = (time.process_time() - begin) / (len(signal) / rate) * 1e6
                    hits = found(beats, detections, rate)
                    added = f"{size * 1000:.0f} µV" if size else "none"
                    scores = f"{hits / len(beats):.4f} | {hits / max(1, len(detections)):.4f}"
                    yield f"| {name} | {len(beats)} | {added} | {detector} | {scores} | {took:.0f} |"
                    print(name, added, detector, scores, flush=True)


def cost() -> str:
    """Processor time for a second of twelve leads at 500 Hz in frames of 50 ms, in both languages."""
    record = shipped_ecg()
    signal = np.tile(record.physical()[:, ::2].astype(np.float64), 12)
    detector = HeartDetector(500, record.leads)
    begin = time.process_time()
    for at in range(0, signal.shape[1], 25):
        detector.feed(signal[:, at : at + 25])
    python = (time.process_time() - begin) / (signal.shape[1] / 500)
    text = f"{python * 1000:.1f} ms in Python"
    node = shutil.which("node")
    if node is None or not DIST.exists():
        print("left out: TypeScript needs node, and `npm run build` in client/")
        return text
    command = [node, "--input-type=module", "-e", IN_NODE, DIST.as_uri()]
    told = subprocess.run(command, input=signal.tobytes(), capture_output=True, check=True).stdout
    return f"{text}, {float(told) / 1000:.1f} ms in TypeScript (Node)"


def written(text: str, mark: str, content: str) -> str:
    """Return the page with the content between the marks."""
    marks = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- end of {mark} -->)", re.S)
    return marks.sub(lambda found: f"{found[1]}{content}\n{found[2]}", text)


def main() -> None:
    """Measure, and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "directory", nargs="*", type=Path, help="with annotated WFDB records; without one, only the cost"
    )
    options = parser.parse_args()
    machine = f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} processors"
    page = DOCS.read_text(encoding="utf-8")
    if options.directory:
        lines = list(measure(options.directory))
        page = written(page, "bench", "\n".join([*lines, "", f"Written by `python -m bench.heartbeats` ({machine})."]))
    page = written(page, "cost", f"A second of twelve leads at 500 Hz, in frames of 50 ms, costs {cost()} ({machine}).")
    DOCS.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
