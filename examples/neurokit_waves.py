"""P, R and T of a recording by neurokit2, as annotations of the recording.

    pip install "ecgframe[edf,wfdb]" neurokit2
    python neurokit_waves.py RECORD OUT.edf II

RECORD is anything that ecgframe reads, or "shipped"; OUT ends in .edf, .bdf, .hea, .csv or .npz. The waves have the
codes of WFDB: "p", "t", and "Q" for a beat that nobody has classified. Stretches in which samples of the lead are
missing, and what is left between them of less than ten seconds, are left out.
"""

import sys
from dataclasses import replace
from itertools import pairwise

import neurokit2
import numpy as np

from ecgframe.records import Annotation, read_record, save_record, shipped_ecg

CODES = {"ECG_P_Peaks": "p", "ECG_R_Peaks": "Q", "ECG_T_Peaks": "t"}
SHORTEST = 10  # seconds that neurokit2 needs to know the beats


def stretches(is_missing):
    """Return the first index and the end of each stretch of the lead that has samples."""
    edges = np.flatnonzero(np.diff(is_missing, prepend=True, append=True))
    return zip(edges[::2], edges[1::2], strict=True)


def waves(record, lead):
    """Annotations of the waves, and the seconds that were left out."""
    one = record.take([lead])
    [millivolts], [is_missing] = one.physical(), one.is_missing()
    found, used = [], 0
    for start, stop in stretches(is_missing):
        if stop - start < SHORTEST * record.sampling_rate:
            continue
        used += stop - start
        # The rate sets filters and windows only; peaks are counted in samples.
        _, info = neurokit2.ecg_process(millivolts[start:stop], sampling_rate=round(record.sampling_rate))
        for name, code in CODES.items():
            peaks = np.array(info[name], float)
            found += [Annotation(float(start + peak) / record.sampling_rate, code) for peak in peaks[~np.isnan(peaks)]]
    return sorted(found), (record.samples - used) / record.sampling_rate


def main(source, target, lead):
    record = shipped_ecg() if source == "shipped" else read_record(source)
    found, left_out = waves(record, lead)
    beats = [note.time for note in found if note.text == "Q"]
    print(f"{len(beats)} beats, {len(found) - len(beats)} P and T waves, {left_out:g} s left out")
    if intervals := [later - earlier for earlier, later in pairwise(beats)]:
        print(f"median rate {60 / np.median(intervals):.1f} per minute")
    saved = save_record(replace(record, annotations=tuple(sorted([*record.annotations, *found]))), target)
    print(*saved.files, *saved.remarks, sep="\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
