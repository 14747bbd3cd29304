"""ECG recordings in memory and on disk: WFDB, EDF, BDF, DICOM, CSV, NPY, NPZ, and one that ships with the package.

Knows nothing of the protocol. The libraries that read the formats are optional and load when a file asks for them.
"""

from .read import read_record
from .record import Record, RecordError
from .shipped import shipped_ecg
from .write import write_record

__all__ = ["Record", "RecordError", "read_record", "shipped_ecg", "write_record"]
