"""Reading and writing ECG recordings: WFDB, EDF, BDF, DICOM, CSV, NPY, NPZ, and an ECG that ships with the package.

This package does not depend on the protocol. Libraries for the formats are optional, and imported when needed.
"""

from .annotation import Annotation
from .mne_raw import from_mne, to_mne
from .pandas_frames import from_pandas, to_pandas
from .read import read_record
from .record import Record, RecordError
from .shipped import shipped_ecg
from .write import Saved, save_record, write_record

__all__ = [
    "Annotation",
    "Record",
    "RecordError",
    "Saved",
    "from_mne",
    "from_pandas",
    "read_record",
    "save_record",
    "shipped_ecg",
    "to_mne",
    "to_pandas",
    "write_record",
]
