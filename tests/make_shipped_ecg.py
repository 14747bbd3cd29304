"""Makes ``ecgframe/data/ecg12.npz`` from the ECG that the pydicom wheel carries as a test file.

Run it from a checkout, with ``pydicom`` installed: ``python tests/make_shipped_ecg.py``.
Only samples, calibration and lead names are taken; everything else in that file, anonymous as it is, stays there.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ecgframe.records import Record, read_record

TARGET = Path(__file__).parents[1] / "ecgframe" / "data" / "ecg12.npz"


def original() -> Record:
    """The recording as pydicom carries it."""
    from pydicom.data import get_testdata_file

    return read_record(str(get_testdata_file("waveform_ecg.dcm")))


def main() -> None:
    """Write the file anew."""
    record = original()
    np.savez_compressed(
        TARGET,
        differences=np.diff(record.signal, axis=1, prepend=np.int16(0)),
        sampling_rate=record.sampling_rate,
        leads=record.leads,
        units=record.units,
        gain=record.gain,
        baseline=record.baseline,
    )
    print(f"{TARGET}: {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
